//! The folders of a node: made when missing, owned by one process at a time.
//!
//! A lock of the kernel (flock(2)) says who owns a folder; it goes with the process, however that ends. The
//! lock's file names the process for the message to a second one.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The lock's file in a folder.
const LOCK: &str = "node.lock";

/// A folder could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process owns it.
    #[error("another relevo node is running{}: it uses the {} folder {}", .pid.map_or_else(String::new, |pid| format!(", pid {pid}")), .what, .path.display())]
    InUse {
        /// `run` or `state`.
        what: &'static str,
        /// The folder.
        path: PathBuf,
        /// The process, if it said so.
        pid: Option<u32>,
    },
    /// Any user may write to it.
    #[error("every user may write to the {} folder {}: choose one of your own, or chmod 700 it", .what, .path.display())]
    Open {
        /// `run` or `state`.
        what: &'static str,
        /// The folder.
        path: PathBuf,
    },
    /// The kernel said no.
    #[error("cannot use the {} folder {}", .what, .path.display())]
    Io {
        /// `run` or `state`.
        what: &'static str,
        /// The folder.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// A folder that this process owns.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    // Declared in the order of undoing.
    lock: Lock,
    made: Made,
}

impl Folder {
    /// Makes the folder if it is missing (mode 0700) and takes it for this process. What was made goes away
    /// with the value, as far as it is empty then.
    pub(crate) fn own(what: &'static str, path: &Path) -> Result<Self, FolderError> {
        let io = |source| FolderError::Io { what, path: path.to_owned(), source };
        let made = Made::new(path).map_err(io)?;
        if std::fs::metadata(path).map_err(io)?.permissions().mode() & 0o002 != 0 {
            return Err(FolderError::Open { what, path: path.to_owned() });
        }
        let lock = match Lock::take(&path.join(LOCK)).map_err(io)? {
            Taken::Ours(lock) => lock,
            Taken::Theirs(pid) => return Err(FolderError::InUse { what, path: path.to_owned(), pid }),
        };
        Ok(Self { path: path.to_owned(), lock, made })
    }

    /// Goes on with a folder of a former process: its lock, and the folders that it had made. Until [`Folder::keep`]
    /// nothing goes away with the value.
    pub(crate) fn inherit(
        what: &'static str,
        path: &Path,
        (lock, made): (File, Vec<PathBuf>),
    ) -> Result<Self, FolderError> {
        let io = |source| FolderError::Io { what, path: path.to_owned(), source };
        let place = path.join(LOCK);
        let is_there = std::fs::metadata(&place).map_err(io)?.ino() == lock.metadata().map_err(io)?.ino();
        if !is_there {
            return Err(FolderError::InUse { what, path: path.to_owned(), pid: None });
        }
        let lock = Lock { file: lock, path: place, left: true };
        Ok(Self { path: path.to_owned(), lock, made: Made { paths: made, left: true } })
    }

    /// From now on it is this process's, as if it had made it.
    pub(crate) fn keep(&mut self) -> io::Result<()> {
        (self.lock.left, self.made.left) = (false, false);
        self.lock.sign()
    }

    /// From now on it is another process's, which has the lock.
    pub(crate) fn leave(&mut self) {
        (self.lock.left, self.made.left) = (true, true);
    }

    /// A second descriptor of the lock, for a process that takes over.
    pub(crate) fn lock(&self) -> io::Result<OwnedFd> {
        Ok(self.lock.file.try_clone()?.into())
    }

    /// The folders that were missing, outermost first.
    pub(crate) fn made(&self) -> &[PathBuf] {
        &self.made.paths
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The folders that were missing, outermost first.
#[derive(Debug)]
struct Made {
    paths: Vec<PathBuf>,
    /// They are left to another process.
    left: bool,
}

impl Made {
    fn new(path: &Path) -> io::Result<Self> {
        let missing = path.ancestors().take_while(|part| !part.as_os_str().is_empty() && !part.exists());
        let mut made = Self { paths: Vec::new(), left: false };
        for part in missing.collect::<Vec<_>>().into_iter().rev() {
            match DirBuilder::new().mode(0o700).create(part) {
                Ok(()) => made.paths.push(part.to_owned()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let paths = if self.left { &[][..] } else { &self.paths };
        for part in paths.iter().rev() {
            let _ = std::fs::remove_dir(part);
        }
    }
}

enum Taken {
    Ours(Lock),
    Theirs(Option<u32>),
}

#[derive(Debug)]
struct Lock {
    file: File,
    path: PathBuf,
    /// The file is left to another process.
    left: bool,
}

impl Lock {
    fn take(path: &Path) -> io::Result<Taken> {
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut text = String::new();
                    let _ = file.take(32).read_to_string(&mut text);
                    return Ok(Taken::Theirs(text.trim().parse().ok()));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // The former owner removes the file as it goes: then this is the lock of a file without a name.
            if std::fs::metadata(path)
                .is_ok_and(|there| file.metadata().is_ok_and(|ours| ours.ino() == there.ino()))
            {
                let mut lock = Self { file, path: path.to_owned(), left: false };
                lock.sign()?;
                return Ok(Taken::Ours(lock));
            }
        }
    }

    /// Writes whose it is.
    fn sign(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{}", std::process::id())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if !self.left {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("relevo-folder-{}-{name}", std::process::id()))
    }

    #[test]
    fn what_was_made_goes_away() {
        let top = place("made");
        let folder = Folder::own("run", &top.join("a/b")).unwrap();
        assert_eq!(std::fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
        drop(folder);
        assert!(!top.exists());
    }

    #[test]
    fn what_was_there_stays() {
        let top = place("stays");
        std::fs::create_dir(&top).unwrap();
        std::fs::write(top.join("mine"), "").unwrap();
        drop(Folder::own("run", &top).unwrap());
        assert!(top.join("mine").exists() && !top.join(LOCK).exists());
        std::fs::remove_dir_all(&top).unwrap();
    }

    #[test]
    fn a_second_owner_is_told_who_is_first() {
        let top = place("second");
        let first = Folder::own("state", &top).unwrap();
        let error = Folder::own("state", &top).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        drop(first);
        drop(Folder::own("state", &top).unwrap());
        assert!(!top.exists());
    }

    #[test]
    fn a_folder_that_everyone_writes_to_is_refused() {
        let top = place("open");
        std::fs::create_dir(&top).unwrap();
        std::fs::set_permissions(&top, std::fs::Permissions::from_mode(0o777)).unwrap();
        let error = Folder::own("run", &top).unwrap_err().to_string();
        assert!(error.contains("every user may write"), "{error}");
        std::fs::remove_dir(&top).unwrap();
    }
}
