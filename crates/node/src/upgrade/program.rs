//! The program of this process: where it is, so that it can be started anew.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// How this process was started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The path as it was said, so that a link that points elsewhere today is followed; else where it was. `None`: unknown.
    path: Option<PathBuf>,
    pub(super) arguments: Vec<OsString>,
}

impl Program {
    /// Must be asked before the file may have been replaced: at the start.
    pub(crate) fn of_this_process() -> Self {
        let mut arguments = std::env::args_os();
        let said = arguments.next().map(PathBuf::from).filter(|path| path.components().count() > 1);
        let said = said.and_then(|path| std::path::absolute(path).ok());
        let real = std::env::current_exe().ok();
        let is_same = |said: &PathBuf| said.canonicalize().ok() == real;
        Self { path: said.filter(is_same).or_else(|| real.clone()), arguments: arguments.collect() }
    }

    /// Where it is, if it can be started.
    ///
    /// # Errors
    /// One sentence.
    pub(super) fn path(&self) -> Result<&Path, String> {
        let Some(path) = &self.path else {
            return Err("where the program of this node is, is not known (is /proc mounted?)".to_owned());
        };
        match std::fs::metadata(path) {
            Err(error) => Err(format!("the program {} is not there: {error}", path.display())),
            Ok(there) if !there.is_file() || there.permissions().mode() & 0o111 == 0 => {
                Err(format!("{} is not a program", path.display()))
            }
            Ok(_) => Ok(path),
        }
    }
}
