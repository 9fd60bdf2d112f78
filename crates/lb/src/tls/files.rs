//! Certificates, keys and authorities out of PEM files (RFC 7468).

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use relevo_model::cluster::Certificate;
use rustls::RootCertStore;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{TlsError, provider, x509};

/// Largest file that is read.
const MOST: u64 = 1024 * 1024;

/// A certificate with its key.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) snapshot: CertificateSnapshot,
}

/// What can be told of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSnapshot {
    /// The file with the chain.
    pub file: PathBuf,
    /// The host names that it is for, wildcards too.
    pub names: Vec<String>,
    /// From when on it holds, in seconds since 1970.
    pub not_before: i64,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
}

impl CertificateSnapshot {
    /// Whole days from now until it ends; negative: it has ended.
    pub fn days_left(&self) -> i64 {
        (self.not_after - now()).div_euclid(86_400)
    }
}

/// Loads what an entry of `certificates` stands for. `ocsp`: with an answer to staple, if there is one.
pub(super) fn load(certificate: &Certificate, ocsp: bool) -> Result<Vec<Loaded>, TlsError> {
    let chain = &certificate.chain;
    if !chain.is_dir() {
        return Ok(vec![load_one(chain, certificate.key.as_deref(), ocsp)?]);
    }
    let failed = |source| TlsError::Read { path: chain.clone(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(chain).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(TlsError::EmptyFolder { path: chain.clone() });
    }
    files.sort();
    files.iter().map(|path| load_one(path, None, ocsp)).collect()
}

/// One certificate with its chain and key.
pub(super) fn load_one(chain: &Path, key: Option<&Path>, ocsp: bool) -> Result<Loaded, TlsError> {
    let text = read(chain)?;
    // HAProxy's places: the chain's file, or the one beside it.
    let beside = with_suffix(chain, ".key");
    let key = match key {
        Some(key) => key,
        None if !has_key(&text) && beside.exists() => &beside,
        None => chain,
    };
    let key_text = if key == chain { text.clone() } else { read(key)? };
    warn_of_readers(key);
    let mut loaded = parse(&text, chain, &key_text, key)?;
    if ocsp
        && let Ok(answer) = read(&with_suffix(chain, ".ocsp"))
        && let Some(key) = Arc::get_mut(&mut loaded.key)
    {
        key.ocsp = Some(answer);
    }
    Ok(loaded)
}

/// The same out of texts; the paths are for what is told.
pub(super) fn parse(text: &[u8], chain: &Path, key_text: &[u8], key: &Path) -> Result<Loaded, TlsError> {
    let certificates = certificates(text, chain)?;
    let first = certificates.first().ok_or_else(|| TlsError::NoCertificate { path: chain.to_owned() })?;
    let facts = x509::read(first).ok_or_else(|| TlsError::BadCertificate { path: chain.to_owned() })?;
    let private = match PrivateKeyDer::from_pem_slice(key_text) {
        Ok(private) => private,
        Err(PemError::NoItemsFound)
            if memchr::memmem::find(key_text, b"BEGIN ENCRYPTED PRIVATE KEY").is_some() =>
        {
            return Err(TlsError::EncryptedKey { path: key.to_owned() });
        }
        Err(PemError::NoItemsFound) => return Err(TlsError::NoKey { path: key.to_owned() }),
        Err(error) => return Err(not_pem(key, &error)),
    };
    let bad_key = |error: rustls::Error| TlsError::BadKey { path: key.to_owned(), reason: error.to_string() };
    let private = provider().key_provider.load_private_key(private).map_err(bad_key)?;
    let certified = CertifiedKey::new(certificates, private);
    // Any other error is about extensions that rustls does not know, and clients may.
    if certified.keys_match() == Err(rustls::InconsistentKeys::KeyMismatch.into()) {
        return Err(TlsError::OtherKey { chain: chain.to_owned(), key: key.to_owned() });
    }
    let now = now();
    if facts.not_after < now {
        tracing::warn!("the certificate in {} has expired; clients will not accept it", chain.display());
    } else if facts.not_before > now {
        tracing::warn!("the certificate in {} is not valid yet; is the clock right?", chain.display());
    }
    let x509::Facts { names, not_before, not_after } = facts;
    let snapshot = CertificateSnapshot { file: chain.to_owned(), names, not_before, not_after };
    Ok(Loaded { key: Arc::new(certified), snapshot })
}

/// The authorities of a file.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(&read(path)?, path)? {
        store
            .add(certificate)
            .map_err(|error| TlsError::BadAuthority { path: path.to_owned(), reason: error.to_string() })?;
    }
    if store.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(store)
}

/// The system's authorities.
pub(super) fn system_authorities() -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() { Err(TlsError::NoSystemAuthorities) } else { Ok(store) }
}

/// A whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source: io::Error| TlsError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST { Err(TlsError::TooLarge { path: path.to_owned() }) } else { Ok(bytes) }
}

fn certificates(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().map_err(|error| not_pem(path, &error))
}

fn has_key(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"PRIVATE KEY-----").is_some()
}

fn not_pem(path: &Path, error: &PemError) -> TlsError {
    TlsError::NotPem { path: path.to_owned(), reason: error.to_string() }
}

/// Programs of this kind have always taken such keys, so this must not keep a cluster from starting.
fn warn_of_readers(key: &Path) {
    let mode = fs::metadata(key).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o004 != 0 {
        let key = key.display();
        tracing::warn!("everybody on this machine can read the private key in {key}; chmod o= {key}");
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed())
}
