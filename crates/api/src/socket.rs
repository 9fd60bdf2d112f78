//! The control socket's file: who may open it, and what to do with one that is already there.
//!
//! It knows nothing of HTTP. The socket is made with mode 0600 before it has a name, so at no moment can
//! another user connect.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr};
use nix::sys::stat::{Mode, fchmod};

/// Longest path of a socket, bytes (`sun_path` without its closing zero, unix(7)).
pub const LONGEST_PATH: usize = 107;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// A control socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A living process answers on it.
    #[error("another relevo node is running{}: it answers at {}", pid_text(.pid), .path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
        /// The process, where the kernel knows it.
        pid: Option<i32>,
    },
    /// Something that is not a socket has its name.
    #[error("{} is in the way: it is not a socket; remove it or choose another run folder", .0.display())]
    NotASocket(PathBuf),
    /// The path does not fit into an address.
    #[error("the path {} has {} bytes, a socket's path may have {LONGEST_PATH}: choose a shorter run folder", .0.display(), .0.as_os_str().len())]
    TooLong(PathBuf),
    /// The kernel said no.
    #[error("cannot make the control socket {}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

fn pid_text(pid: &Option<i32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", pid {pid}"))
}

/// A listening control socket; its file goes away with it.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
    /// Its file is left to another process.
    left: bool,
}

impl ControlSocket {
    /// Makes the socket, mode 0600, in a folder that is there already. Replaces the socket of a dead process.
    ///
    /// # Errors
    /// When a living process answers on it, something else has its name, or the kernel says no.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        check_length(path)?;
        refuse_if_alive(path)?;
        let io = |source| BindError::Io { path: path.to_owned(), source };
        // Bound under another name and moved, so that there is no moment without a socket of the right mode.
        let temporary = temporary_name(path);
        let target = if temporary.as_os_str().len() <= LONGEST_PATH { &temporary } else { path };
        remove_if_there(target).map_err(io)?;
        let listener = listen(target).map_err(io)?;
        if target != path {
            std::fs::rename(target, path).map_err(|error| {
                let _ = std::fs::remove_file(target);
                io(error)
            })?;
        }
        let inode = std::fs::symlink_metadata(path).map_err(io)?.ino();
        Ok(Self { listener, path: path.to_owned(), inode, left: false })
    }

    /// Goes on with the socket of a former process. Its file stays if this value goes away before [`ControlSocket::keep`].
    ///
    /// # Errors
    /// When there is no such file any more.
    pub fn inherit(listener: OwnedFd, path: &Path) -> Result<Self, BindError> {
        let io = |source| BindError::Io { path: path.to_owned(), source };
        let inode = std::fs::symlink_metadata(path).map_err(io)?.ino();
        Ok(Self { listener: listener.into(), path: path.to_owned(), inode, left: true })
    }

    /// From now on the file goes away with this value.
    pub fn keep(&mut self) {
        self.left = false;
    }

    /// From now on the file is another process's.
    pub fn leave(&mut self) {
        self.left = true;
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A second handle of the listening socket, for the server.
    pub(crate) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Only our own: the name may be another process's by then.
        if !self.left && std::fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn check_length(path: &Path) -> Result<(), BindError> {
    if path.as_os_str().len() > LONGEST_PATH {
        return Err(BindError::TooLong(path.to_owned()));
    }
    Ok(())
}

fn refuse_if_alive(path: &Path) -> Result<(), BindError> {
    let there = match std::fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(BindError::Io { path: path.to_owned(), source }),
    };
    if !there.file_type().is_socket() {
        return Err(BindError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Ok(stream) => {
            let pid =
                socket::getsockopt(&stream, socket::sockopt::PeerCredentials).ok().map(|peer| peer.pid());
            Err(BindError::InUse { path: path.to_owned(), pid })
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(source) => Err(BindError::Io { path: path.to_owned(), source }),
    }
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".new");
    path.with_file_name(name)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // The file gets the mode that the socket has when it is bound.
    fchmod(socket.as_fd(), Mode::S_IRUSR | Mode::S_IWUSR)?;
    socket::bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    socket::listen(&socket, Backlog::new(BACKLOG)?)?;
    Ok(UnixListener::from(socket))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("relevo-socket-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn only_the_owner_may_open_it_and_it_goes_away() {
        let folder = Folder::new("mode");
        let path = folder.0.join("control.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(std::fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(socket);
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn a_living_one_is_an_error_that_names_the_process() {
        let folder = Folder::new("living");
        let path = folder.0.join("control.sock");
        let _socket = ControlSocket::bind(&path).unwrap();
        let error = ControlSocket::bind(&path).unwrap_err().to_string();
        assert!(
            error.contains(&format!("another relevo node is running, pid {}", std::process::id())),
            "{error}"
        );
    }

    #[test]
    fn a_dead_ones_socket_is_replaced() {
        let folder = Folder::new("dead");
        let path = folder.0.join("control.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = ControlSocket::bind(&path).unwrap();
        assert!(UnixStream::connect(socket.path()).is_ok());
    }

    #[test]
    fn other_things_are_not_removed() {
        let folder = Folder::new("file");
        let path = folder.0.join("control.sock");
        std::fs::write(&path, "precious").unwrap();
        let error = ControlSocket::bind(&path).unwrap_err().to_string();
        assert!(error.contains("not a socket"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_long_path_is_told() {
        let error =
            ControlSocket::bind(&PathBuf::from(format!("/{}", "a".repeat(120)))).unwrap_err().to_string();
        assert!(error.contains("121 bytes") && error.contains("107"), "{error}");
    }
}
