//! Hears from directors that another process goes on, as a service manager does (sd_notify(3)): `relevo upgrade`.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;

use anyhow::Context as _;
use nix::cmsg_space;
use nix::sys::socket::sockopt::PassCred;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt};

use crate::Result;
use crate::registry::Registry;

/// Longest message, bytes; what is longer is none of ours.
const MESSAGE_MAX: usize = 256;

/// The socket that directors know as `NOTIFY_SOCKET`.
#[derive(Debug)]
pub(super) struct Notify(UnixDatagram);

impl Notify {
    /// Opens it. It must be there before the nodes' folders are made.
    pub(super) fn listen(registry: &Registry) -> Result<Self> {
        let path = registry.notify_socket();
        let open = || -> std::io::Result<UnixDatagram> {
            let socket = UnixDatagram::bind(&path)?;
            socket.set_nonblocking(true)?;
            setsockopt(&socket, PassCred, &true)?;
            Ok(socket)
        };
        Ok(Self(open().with_context(|| format!("cannot listen at {}", path.display()))?))
    }

    /// The next hand-over that was told: from which process to which one. `None`: no more for now.
    pub(super) fn heir(&self) -> Option<(i32, i32)> {
        loop {
            let mut bytes = [0; MESSAGE_MAX];
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let mut space = cmsg_space!(UnixCredentials);
            let flags = MsgFlags::MSG_DONTWAIT;
            let message = recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut space), flags).ok()?;
            let sender = message.cmsgs().ok().and_then(|mut all| {
                all.find_map(|one| {
                    let ControlMessageOwned::ScmCredentials(sender) = one else { return None };
                    Some(sender.pid())
                })
            });
            let count = message.bytes;
            if let Some(heir) = sender.zip(main_pid(bytes.get(..count).unwrap_or_default())) {
                return Some(heir);
            }
        }
    }
}

/// The `MAINPID=` of a message.
fn main_pid(message: &[u8]) -> Option<i32> {
    let words = std::str::from_utf8(message).ok()?;
    words.lines().find_map(|line| line.strip_prefix("MAINPID=")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_id_is_one() {
        assert_eq!(main_pid(b"READY=1\nMAINPID=42\n"), Some(42));
        for other in [&b"READY=1"[..], b"MAINPID=", b"MAINPID=x", b"\xff", b""] {
            assert_eq!(main_pid(other), None);
        }
    }
}
