//! TLS: certificates and keys from files, which of them a client gets, and how servers are asked for theirs.
//!
//! Bytes are encrypted and decrypted by `stream`; here is what that needs to begin: [`Terminator`] for clients,
//! [`Origination`] for servers. Both are made anew when the configuration or the files have changed.

mod desk;
mod error;
mod files;
mod origination;
mod resolver;
mod session;
mod terminator;
mod x509;

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

pub use desk::AcmeDesk;
pub use error::TlsError;
pub use files::CertificateSnapshot;
pub(crate) use origination::{Offer, Origination};
pub(crate) use session::Session;
pub(crate) use terminator::Terminator;

/// The cryptography of the whole program. AES with the long key comes last: it costs a third more, and nobody breaks
/// the short one either.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = rustls::crypto::ring::default_provider();
        let is_long = |name: Option<&str>| name.is_some_and(|name| name.contains("AES_256"));
        provider.cipher_suites.sort_by_key(|suite| is_long(suite.suite().as_str()));
        Arc::new(provider)
    });
    Arc::clone(&PROVIDER)
}
