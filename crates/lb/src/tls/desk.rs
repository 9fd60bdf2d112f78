//! Where the ordering of certificates (ACME, RFC 8555) and the balancer meet: what the authority will ask for, and the
//! certificates that it gave. Who orders them, and when, is not decided here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;

use super::TlsError;
use super::files::{self, CertificateSnapshot, Loaded};

/// The protocol's name of tls-alpn-01 (RFC 8737 section 6.2).
pub(super) const ALPN: &[u8] = b"acme-tls/1";
/// Where http-01 asks (RFC 8555 section 8.3).
const PATH: &[u8] = b"/.well-known/acme-challenge/";

/// The desk of an engine: all services share it.
#[derive(Debug, Default)]
pub struct AcmeDesk {
    /// Whether there are tokens: requests look here, and mostly no further.
    is_asked: AtomicBool,
    /// What is answered to http-01, by token.
    tokens: ArcSwap<BTreeMap<String, String>>,
    /// What is shown to tls-alpn-01, by name.
    proofs: ArcSwap<BTreeMap<String, Arc<CertifiedKey>>>,
    /// By name.
    certificates: ArcSwap<BTreeMap<String, Arc<Loaded>>>,
}

impl AcmeDesk {
    /// From now on http-01 is answered so for this token, on every address where HTTP is spoken in clear.
    pub fn offer_token(&self, token: &str, authorization: &str) {
        change(&self.tokens, |tokens| {
            tokens.insert(token.to_owned(), authorization.to_owned());
        });
        self.is_asked.store(true, Ordering::Release);
    }

    /// From now on tls-alpn-01 is shown this certificate for this name. Both in PEM.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn offer_proof(&self, name: &str, certificate: &str, key: &str) -> Result<(), TlsError> {
        let path = Path::new("the proof");
        let proof = files::parse(certificate.as_bytes(), path, key.as_bytes(), path)?;
        change(&self.proofs, |proofs| {
            proofs.insert(name.to_ascii_lowercase(), Arc::clone(&proof.key));
        });
        Ok(())
    }

    /// The authority has seen enough.
    pub fn withdraw_all(&self) {
        self.is_asked.store(false, Ordering::Release);
        self.tokens.store(Arc::default());
        self.proofs.store(Arc::default());
    }

    /// Clients that ask for one of its names get this certificate from now on. PEM with the chain and the key; `file`:
    /// where it is kept.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn install(&self, file: &Path, pem: &[u8]) -> Result<CertificateSnapshot, TlsError> {
        let loaded = Arc::new(files::parse(pem, file, pem, file)?);
        change(&self.certificates, |certificates| {
            for name in &loaded.snapshot.names {
                certificates.insert(name.clone(), Arc::clone(&loaded));
            }
        });
        Ok(loaded.snapshot.clone())
    }

    /// The answer to a request for this target, if it is one of http-01.
    pub(crate) fn answer(&self, target: &[u8]) -> Option<String> {
        if !self.is_asked.load(Ordering::Acquire) {
            return None;
        }
        let token = target.strip_prefix(PATH)?;
        self.tokens.load().get(std::str::from_utf8(token).ok()?).cloned()
    }

    /// What is shown to tls-alpn-01.
    pub(super) fn proof(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.proofs.load().get(name).cloned()
    }

    /// The certificate of a name.
    pub(super) fn certificate(&self, name: &str) -> Option<Arc<Loaded>> {
        let certificates = self.certificates.load();
        let wildcard = || certificates.get(&format!("*.{}", name.split_once('.')?.1));
        certificates.get(name).or_else(wildcard).cloned()
    }
}

fn change<T: Clone>(place: &ArcSwap<T>, change: impl Fn(&mut T)) {
    place.rcu(|now| {
        let mut next = T::clone(now);
        change(&mut next);
        next
    });
}
