//! The key file, and new keys.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use relevo_proto::peers::{Key, Keys};

use super::PeersError;

/// Longest key file, bytes.
const MOST: u64 = 64 * 1024;

/// A new random key, as a line of a key file.
///
/// # Errors
/// The system has no random numbers.
pub fn new() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(Key::new(bytes).to_hex())
}

/// Reads a key file that only its owner may read.
///
/// # Errors
/// It is not there, others may read it, or there is no key in it.
pub(crate) fn read(path: &Path) -> Result<Keys, PeersError> {
    let io = |source| PeersError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(PeersError::Open { path: path.to_owned() });
    }
    let mut text = String::new();
    Read::by_ref(&mut file).take(MOST).read_to_string(&mut text).map_err(io)?;
    Keys::parse(&text).map_err(|source| PeersError::Wrong { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_for_its_owner_alone() {
        let path = std::env::temp_dir().join(format!("relevo-peers-key-{}", std::process::id()));
        let message = || read(&path).unwrap_err().to_string();
        assert!(message().contains("cannot read"));
        std::fs::write(&path, format!("{}\n", relevo_proto::peers::Key::new([1; 32]).to_hex())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(message().contains("chmod 600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read(&path).is_ok());
        std::fs::write(&path, "secret\n").unwrap();
        assert!(message().contains("line 1 is not a key") && !message().contains("secret"));
        std::fs::remove_file(&path).unwrap();
    }
}
