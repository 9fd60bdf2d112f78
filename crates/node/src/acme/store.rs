//! Accounts and certificates on the disk: `STATE/acme/`, for nobody else to read.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use relevo_model::cluster::Acme;
use serde::{Deserialize, Serialize};

use crate::disk;

/// The folder.
#[derive(Debug)]
pub(super) struct Store(PathBuf);

/// An account, and where it is one.
#[derive(Serialize, Deserialize)]
struct Account {
    directory: String,
    credentials: AccountCredentials,
}

impl Store {
    /// The store of a node; it is made with the first file.
    pub(super) fn new(state: &Path) -> Self {
        Self(state.join("acme"))
    }

    /// The account with this authority, if there is one.
    pub(super) fn account(&self, authority: &Acme) -> io::Result<Option<AccountCredentials>> {
        let Some(text) = read(&self.account_file(authority))? else { return Ok(None) };
        let account: Account = serde_json::from_slice(&text).map_err(io::Error::other)?;
        Ok((account.directory == authority.directory).then_some(account.credentials))
    }

    /// Keeps an account.
    pub(super) fn keep_account(&self, authority: &Acme, credentials: AccountCredentials) -> io::Result<()> {
        let account = Account { directory: authority.directory.clone(), credentials };
        let text = serde_json::to_vec_pretty(&account).map_err(io::Error::other)?;
        self.write(&self.account_file(authority), &text)
    }

    /// Where a service's certificate is: chain and key, as HAProxy wants it.
    pub(super) fn certificate_file(&self, service: &str) -> PathBuf {
        self.0.join(format!("{service}.pem"))
    }

    /// A service's certificate, if there is one.
    pub(super) fn certificate(&self, service: &str) -> io::Result<Option<Vec<u8>>> {
        read(&self.certificate_file(service))
    }

    /// Keeps a certificate.
    pub(super) fn keep_certificate(&self, service: &str, pem: &[u8]) -> io::Result<()> {
        self.write(&self.certificate_file(service), pem)
    }

    fn account_file(&self, authority: &Acme) -> PathBuf {
        self.0.join(format!("account-{}.json", authority.name))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if !self.0.exists() {
            DirBuilder::new().mode(0o700).create(&self.0)?;
        }
        disk::replace(path, bytes)
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_for_nobody_else_to_read() {
        let state = std::env::temp_dir().join(format!("relevo-acme-{}", std::process::id()));
        std::fs::create_dir(&state).unwrap();
        let store = Store::new(&state);
        assert_eq!(store.certificate("shop").unwrap(), None);
        store.keep_certificate("shop", b"old").unwrap();
        store.keep_certificate("shop", b"new").unwrap();
        assert_eq!(store.certificate("shop").unwrap().unwrap(), b"new");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&store.certificate_file("shop")), mode(&state.join("acme"))), (0o600, 0o700));
        std::fs::remove_dir_all(&state).unwrap();
    }
}
