//! Tells the service manager how it stands, if there is one that wants to know (sd_notify(3)).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Says it where `NOTIFY_SOCKET` points; nothing happens where there is none.
pub(crate) fn tell(words: &str) {
    let Some(to) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = tell_to(&to, words) {
        tracing::warn!(%error, "the service manager cannot be told: {words}");
    }
}

fn tell_to(to: &OsStr, words: &str) -> io::Result<()> {
    let address = match to.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold us up.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(words.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_arrive_at_a_path() {
        let path = std::env::temp_dir().join(format!("relevo-notify-{}", std::process::id()));
        let manager = UnixDatagram::bind(&path).unwrap();
        tell_to(path.as_os_str(), "READY=1").unwrap();
        let mut bytes = [0; 16];
        let length = manager.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"READY=1");
        std::fs::remove_file(&path).unwrap();
        assert!(tell_to(path.as_os_str(), "READY=1").is_err());
    }
}
