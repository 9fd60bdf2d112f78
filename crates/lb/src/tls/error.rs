//! Why a certificate, a key or a list of authorities cannot be used.

use std::io;
use std::path::PathBuf;

/// What is wrong with a file, and which one it is.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It is larger than any certificate.
    #[error("{path} is larger than 1 MiB; that is no certificate")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not PEM, or a part of it is broken.
    #[error("{path} is not a PEM file: {reason}")]
    NotPem {
        /// The file.
        path: PathBuf,
        /// Where it is broken.
        reason: String,
    },
    /// There is no certificate in it.
    #[error("there is no certificate in {path}")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no key.
    #[error(
        "there is no private key in {path}; write it behind the certificates, or name its file with `key`"
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key needs a password.
    #[error("the private key in {path} is encrypted; nobody is there to type its password")]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is of a kind that is not known here.
    #[error("the private key in {path} cannot be used: {reason}")]
    BadKey {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The first certificate is for another key.
    #[error("the private key in {key} is not the one of the first certificate in {chain}")]
    OtherKey {
        /// The file with the chain.
        chain: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// The certificate itself is broken.
    #[error("the first certificate in {path} is broken")]
    BadCertificate {
        /// The file.
        path: PathBuf,
    },
    /// No `*.pem` in a folder.
    #[error("there is no file *.pem in {path}")]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A certificate of an authority is broken.
    #[error("{path} has an authority that cannot be used: {reason}")]
    BadAuthority {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Client certificates are wanted, but nobody says from whom.
    #[error("`client_verify` needs `client_ca`, the authorities of client certificates")]
    NoClientAuthority,
    /// The system has no list of authorities.
    #[error(
        "this system has no list of certificate authorities (package ca-certificates); give one with `ca`"
    )]
    NoSystemAuthorities,
    /// The name is neither a host name nor an address.
    #[error("{name:?} is neither a host name nor an address")]
    BadName {
        /// The name.
        name: String,
    },
    /// rustls refuses what was asked for.
    #[error("TLS cannot be set up so: {0}")]
    Refused(rustls::Error),
}
