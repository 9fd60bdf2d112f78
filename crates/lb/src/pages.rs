//! The operator's own pages for the balancer's own errors. They are read when a configuration is loaded, so that a request
//! never waits for a disk, and a file that is gone meanwhile does no harm.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use relevo_model::cluster::ErrorPage;

/// Largest page, bytes.
const MOST: u64 = 64 * 1024;

/// The pages of a service, by status.
#[derive(Debug, Default)]
pub(crate) struct Pages(Box<[(u16, Box<[u8]>)]>);

impl Pages {
    /// Reads all of them.
    ///
    /// # Errors
    /// The first file that cannot be used, and why.
    pub(crate) fn load(pages: &[ErrorPage]) -> Result<Self, (PathBuf, io::Error)> {
        let load = |page: &ErrorPage| match read(&page.file) {
            Ok(body) => Ok((page.status, body.into_boxed_slice())),
            Err(error) => Err((page.file.clone(), error)),
        };
        pages.iter().map(load).collect::<Result<_, _>>().map(Self)
    }

    /// What is answered with this status.
    pub(crate) fn find(&self, status: u16) -> Option<&[u8]> {
        self.0.iter().find(|page| page.0 == status).map(|page| &*page.1)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for somebody who writes into it.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut body = Vec::new();
    File::open(path)?.take(MOST + 1).read_to_end(&mut body)?;
    if body.len() as u64 > MOST {
        return Err(io::Error::other("it is larger than 64 KiB"));
    }
    Ok(body)
}
