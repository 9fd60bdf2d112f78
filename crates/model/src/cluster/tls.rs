//! TLS: with clients, with servers, and where certificates come from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::name::AcmeName;

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V13,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// PEM with the chain; a folder stands for all `*.pem` in it.
    pub chain: PathBuf,
    /// PEM with the key; `None`: it is in the chain's file, as HAProxy wants it.
    pub key: Option<PathBuf>,
}

/// Whether the other side must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// No.
    None,
    /// If it shows one, it must be good.
    Optional,
    /// It must show a good one.
    Required,
}

/// TLS with clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerTls {
    /// The certificates. The client's name (SNI) chooses among their names, the exact one before a wildcard; the first is
    /// for everybody else.
    pub certificates: Vec<Certificate>,
    /// Names whose certificates come by ACME, and from where.
    pub acme: Option<(AcmeName, Vec<String>)>,
    /// Clients that ask for a name that no certificate has are refused, instead of getting the first (HAProxy's
    /// `strict-sni`).
    pub strict_sni: bool,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// PEM with the authorities of client certificates.
    pub client_ca: Option<PathBuf>,
    /// Whether clients need a certificate.
    pub client_verify: Verify,
    /// DER file with an OCSP response to staple, beside the first certificate (HAProxy's `.ocsp`): looked for as
    /// CHAIN.ocsp when true.
    pub ocsp: bool,
}

/// TLS with servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientTls {
    /// `None`: any certificate will do.
    pub verify: Verify,
    /// PEM with the authorities; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// The name that is asked for and that the certificate must have; `None`: the server's address.
    pub name: Option<String>,
    /// The certificate that we show.
    pub certificate: Option<Certificate>,
}

/// How the authority is shown that we own a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Challenge {
    /// RFC 8555 section 8.3: a file at `/.well-known/acme-challenge/` on port 80.
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// RFC 8737: a certificate in a handshake on port 443.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

/// A certificate authority that speaks ACME (RFC 8555), `[acme.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Acme {
    /// Its name.
    pub name: AcmeName,
    /// The URL of its directory.
    pub directory: String,
    /// Mail addresses it may write to.
    pub contact: Vec<String>,
    /// How names are proved.
    pub challenge: Challenge,
    /// PEM with the authorities of the directory's own certificate; `None`: those of the system.
    pub ca: Option<PathBuf>,
}
