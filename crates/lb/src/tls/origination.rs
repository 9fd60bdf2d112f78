//! TLS with a pool's servers.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use relevo_model::cluster::{ClientTls, Pool, Protocol, Verify};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::{TlsError, files, provider};

/// Sessions that are kept for one server.
const SESSIONS: usize = 32;

/// What new connections to a pool's servers need.
#[derive(Debug)]
pub(crate) struct Origination {
    /// By their addresses. A fallback has none: it is asked without TLS.
    servers: BTreeMap<SocketAddr, Ways>,
}

/// What a server is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// What the pool names.
    All,
    /// HTTP/1.1 alone.
    Http1,
}

/// How a connection to one server is made.
#[derive(Debug)]
struct Ways {
    all: Arc<ClientConfig>,
    /// The same without HTTP/2, if that is offered.
    http1: Option<Arc<ClientConfig>>,
    name: ServerName<'static>,
}

impl Origination {
    /// Loads what a pool needs for its servers.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub(crate) fn load(pool: &Pool, tls: &ClientTls) -> Result<Self, TlsError> {
        let config = config(tls)?;
        let http2 = pool.protocols.contains(&Protocol::H2);
        let server = |server: &relevo_model::cluster::Server| {
            let name = match &tls.name {
                Some(name) => ServerName::try_from(name.clone())
                    .map_err(|_| TlsError::BadName { name: name.clone() })?,
                None => ServerName::from(server.at.ip()),
            };
            // A session of one server is of no use with another one, though they may be called alike.
            let mut config = config.clone();
            config.resumption = Resumption::in_memory_sessions(SESSIONS);
            let mut http1 = None;
            if http2 {
                let mut other = config.clone();
                other.alpn_protocols = vec![b"http/1.1".to_vec()];
                other.resumption = Resumption::in_memory_sessions(SESSIONS);
                http1 = Some(Arc::new(other));
                config.alpn_protocols = vec![b"h2".to_vec()];
                if pool.protocols.contains(&Protocol::Http1) {
                    config.alpn_protocols.push(b"http/1.1".to_vec());
                }
            }
            Ok((server.at, Ways { all: Arc::new(config), http1, name }))
        };
        Ok(Self { servers: pool.servers.iter().map(server).collect::<Result<_, _>>()? })
    }

    /// A connection to a server before its handshake; `None`: it is no server of the pool.
    pub(crate) fn connection(
        &self,
        at: SocketAddr,
        offer: Offer,
    ) -> Option<io::Result<UnbufferedClientConnection>> {
        let Ways { all, http1, name } = self.servers.get(&at)?;
        let config = http1.as_ref().filter(|_| offer == Offer::Http1).unwrap_or(all);
        Some(UnbufferedClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other))
    }
}

fn config(tls: &ClientTls) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Refused)?;
    let builder = match (tls.verify, &tls.ca) {
        (Verify::None, _) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider())))
        }
        // A server always shows one.
        (Verify::Optional | Verify::Required, Some(path)) => {
            builder.with_root_certificates(files::authorities(path)?)
        }
        (Verify::Optional | Verify::Required, None) => {
            builder.with_root_certificates(files::system_authorities()?)
        }
    };
    Ok(match &tls.certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => {
            let loaded = files::load_one(&certificate.chain, certificate.key.as_deref(), false)?;
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(loaded.key)))
        }
    })
}

/// Takes any certificate; that the server has its key is still made sure of.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
