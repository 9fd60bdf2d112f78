//! Files of the state folder that are replaced as a whole: whoever reads one finds the former text or the next one, after a
//! power failure too.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a JSON file says; nothing, if it is not there. One that makes no sense is put aside and said, it does not stop the node.
pub(crate) fn read<T: Default + DeserializeOwned>(path: &Path) -> io::Result<T> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(T::default()),
        Err(error) => return Err(error),
    };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(value),
        Err(error) => {
            let aside = beside(path, "bad");
            tracing::warn!(file = %path.display(), aside = %aside.display(), %error, "a file of the state folder cannot be understood; it is put aside and taken as empty");
            std::fs::rename(path, aside)?;
            Ok(T::default())
        }
    }
}

/// Replaces a JSON file.
pub(crate) fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    replace(path, &text)
}

/// Replaces a file: written beside as `NAME.new` for nobody else to read, synced, renamed, the folder synced. After an error
/// the former one is there, or the next one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let next = beside(path, "new");
    let written = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&next, path)
    };
    written().inspect_err(|_| {
        // It may not even be there.
        let _ = std::fs::remove_file(&next);
    })?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("relevo-disk-{}-{name}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let scratch = Scratch::new("whole");
        let path = scratch.0.join("a.json");
        assert_eq!(read::<Vec<u8>>(&path).unwrap(), [0; 0]);
        write(&path, &[1, 2, 3]).unwrap();
        write(&path, &[4]).unwrap();
        assert_eq!(read::<Vec<u8>>(&path).unwrap(), [4]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_replaced_stays_and_what_makes_no_sense_is_put_aside() {
        let scratch = Scratch::new("stays");
        let folder = scratch.0.join("folder");
        std::fs::create_dir(&folder).unwrap();
        assert!(replace(&folder, b"text").is_err());
        assert!(folder.is_dir() && std::fs::read_dir(&scratch.0).unwrap().count() == 1);
        let path = scratch.0.join("a.json");
        std::fs::write(&path, "{ \"a\": ").unwrap();
        assert_eq!(read::<Vec<u8>>(&path).unwrap(), [0; 0]);
        assert!(scratch.0.join("a.json.bad").exists() && !path.exists());
    }
}
