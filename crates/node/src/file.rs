//! Takes a cluster file from the disk: what is not a readable text is told before anyone reads it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Largest cluster file, bytes.
pub const LARGEST: u64 = 4 * 1024 * 1024;

/// A file that could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is none.
    #[error("there is no file {}", .0.display())]
    Missing(PathBuf),
    /// It is a folder.
    #[error("{} is a folder: name the file itself", .0.display())]
    Folder(PathBuf),
    /// It may not be read.
    #[error("no permission to read {}", .0.display())]
    Denied(PathBuf),
    /// It is larger than any cluster file.
    #[error("{} is larger than {LARGEST} bytes: this is not a cluster file", .0.display())]
    TooLarge(PathBuf),
    /// It is not text.
    #[error("{} is not UTF-8 text: byte {} (line {}) is wrong", .path.display(), .offset, .line)]
    NotText {
        /// The file.
        path: PathBuf,
        /// The first wrong byte, counting from 1.
        offset: usize,
        /// Its line, counting from 1.
        line: usize,
    },
    /// The kernel said something else.
    #[error("cannot read {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// What tells one text from another, as a node says of its cluster file: the beginning of its SHA-256.
pub fn hash(text: &str) -> String {
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The folder of a file; the working directory for the standard input.
pub fn folder_of(file: &Path) -> PathBuf {
    let full = std::path::absolute(file).unwrap_or_default();
    full.parent().map(Path::to_owned).unwrap_or_default()
}

/// Reads a text file; `-` is the standard input.
///
/// # Errors
/// When it is missing, a folder, forbidden, too large or not text.
pub fn read(path: &Path) -> Result<String, FileError> {
    let io = |error: io::Error| {
        let path = path.to_owned();
        if error.kind() == io::ErrorKind::NotFound {
            FileError::Missing(path)
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            FileError::Denied(path)
        } else if error.kind() == io::ErrorKind::IsADirectory {
            FileError::Folder(path)
        } else {
            FileError::Io { path, source: error }
        }
    };
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes).map_err(io)?;
    } else {
        File::open(path).map_err(io)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(io)?;
    }
    if bytes.len() as u64 > LARGEST {
        return Err(FileError::TooLarge(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
        FileError::NotText { path: path.to_owned(), offset: valid + 1, line }
    })
}
