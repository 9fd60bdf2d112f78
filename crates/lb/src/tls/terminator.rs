//! TLS with a service's clients: certificates, versions, resumption, client certificates.

use std::io;
use std::sync::Arc;

use relevo_model::cluster::{Mode, Protocol, ServerTls, Service, TlsVersion, Verify};
use rustls::server::{
    ProducesTickets, ServerSessionMemoryCache, StoresServerSessions, UnbufferedServerConnection,
    WebPkiClientVerifier,
};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use super::desk::{self, AcmeDesk};
use super::files::{self, CertificateSnapshot};
use super::resolver::{self, Resolver};
use super::{TlsError, provider};

/// Sessions that are kept for clients of TLS 1.2 that know no tickets.
const SESSIONS: usize = 4096;

/// What new connections of a service's clients need.
#[derive(Debug)]
pub(crate) struct Terminator {
    config: Arc<ServerConfig>,
    certificates: Vec<CertificateSnapshot>,
    /// Names whose certificates come by ACME.
    ordered: Vec<String>,
    desk: Arc<AcmeDesk>,
    resumption: Resumption,
}

/// How clients go on with an earlier session. All workers share it, and it outlives new certificates.
#[derive(Clone, Debug)]
struct Resumption {
    /// New keys every six hours; the former ones are taken for as long again.
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
    /// Whom it holds for: a client that was let in before must not get in where another authority counts.
    verify: Verify,
    authorities: Vec<u8>,
}

impl Terminator {
    /// Loads everything that a service needs; `former`: what it had until now.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub(crate) fn load(
        service: &Service,
        tls: &ServerTls,
        desk: &Arc<AcmeDesk>,
        former: Option<&Self>,
    ) -> Result<Self, TlsError> {
        let mut certificates = Vec::new();
        for certificate in &tls.certificates {
            certificates.extend(files::load(certificate, tls.ocsp)?);
        }
        let (authorities, store) = match (&tls.client_ca, tls.client_verify) {
            (_, Verify::None) => (Vec::new(), None),
            (None, Verify::Optional | Verify::Required) => return Err(TlsError::NoClientAuthority),
            (Some(path), Verify::Optional | Verify::Required) => {
                (files::read(path)?, Some(files::authorities(path)?))
            }
        };
        let resumption = match former.map(|former| &former.resumption) {
            Some(former) if former.verify == tls.client_verify && former.authorities == authorities => {
                former.clone()
            }
            Some(_) | None => Resumption::new(tls.client_verify, authorities)?,
        };
        let ordered: Vec<String> =
            tls.acme.iter().flat_map(|(_, names)| names).map(|name| name.to_ascii_lowercase()).collect();
        let resolver = Resolver::new(&certificates, &ordered, desk, tls.strict_sni);
        let config = config(service, tls, store, resolver, &resumption)?;
        let certificates = certificates.into_iter().map(|loaded| loaded.snapshot).collect();
        Ok(Self { config, certificates, ordered, desk: Arc::clone(desk), resumption })
    }

    /// The certificates from files, and those that came by ACME.
    pub(crate) fn certificates(&self) -> Vec<CertificateSnapshot> {
        let mut all = self.certificates.clone();
        for name in &self.ordered {
            if let Some(loaded) = self.desk.certificate(name)
                && !all.contains(&loaded.snapshot)
            {
                all.push(loaded.snapshot.clone());
            }
        }
        all
    }

    /// A client's connection before its handshake.
    pub(crate) fn connection(&self) -> io::Result<UnbufferedServerConnection> {
        UnbufferedServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)
    }

    /// The name that the client asked for whose greeting this thread has just processed.
    pub(crate) fn take_asked() -> Option<Box<str>> {
        resolver::take_asked()
    }
}

impl Resumption {
    fn new(verify: Verify, authorities: Vec<u8>) -> Result<Self, TlsError> {
        let tickets = rustls::crypto::ring::Ticketer::new().map_err(TlsError::Refused)?;
        let sessions: Arc<dyn StoresServerSessions> = ServerSessionMemoryCache::new(SESSIONS);
        Ok(Self { tickets, sessions, verify, authorities })
    }
}

fn config(
    service: &Service,
    tls: &ServerTls,
    authorities: Option<RootCertStore>,
    resolver: Resolver,
    resumption: &Resumption,
) -> Result<Arc<ServerConfig>, TlsError> {
    let versions = match tls.min_version {
        TlsVersion::V12 => &[&TLS13, &TLS12][..],
        TlsVersion::V13 => &[&TLS13][..],
    };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(TlsError::Refused)?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(store) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider());
            let verifier = if tls.client_verify == Verify::Optional {
                verifier.allow_unauthenticated()
            } else {
                verifier
            };
            let verifier = verifier
                .build()
                .map_err(|error| TlsError::Refused(rustls::Error::General(error.to_string())))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.ticketer = Arc::clone(&resumption.tickets);
    config.session_storage = Arc::clone(&resumption.sessions);
    // As OpenSSL does: the server knows best which suite costs it least.
    config.ignore_client_order = true;
    if service.mode == Mode::Http {
        config.alpn_protocols = protocols(&service.protocols);
        if tls.acme.is_some() {
            config.alpn_protocols.push(desk::ALPN.to_vec());
        }
    }
    Ok(Arc::new(config))
}

/// Their names in ALPN (RFC 7301).
fn protocols(wanted: &[Protocol]) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    for protocol in wanted {
        match protocol {
            Protocol::H2 => names.push(b"h2".to_vec()),
            Protocol::Http1 => names.extend([b"http/1.1".to_vec(), b"http/1.0".to_vec()]),
        }
    }
    names
}
