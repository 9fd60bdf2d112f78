//! The way to an authority: HTTP/1.1 over TLS, one connection for each request. They are few.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use http_body_util::Limited;
use hyper::body::{Body, Bytes};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Largest answer, bytes. A chain of certificates has some thousands.
const LARGEST: usize = 1 << 20;

/// Asks over connections whose other end is known.
pub(super) struct Transport(TlsConnector);

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Transport {
    /// Trusts the authorities of this file; `None`: those of the system.
    pub(super) fn new(ca: Option<&Path>) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        match ca {
            Some(path) => {
                let unusable = |error| io::Error::other(format!("{}: {error}", path.display()));
                for certificate in
                    CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?
                {
                    let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                    roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
                }
            }
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let connector = self.0.clone();
        Box::pin(async move { ask(connector, request).await.map_err(Error::Other) })
    }
}

async fn ask(
    connector: TlsConnector,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<BytesResponse, Failure> {
    let uri = std::mem::take(request.uri_mut());
    let (Some("https"), Some(authority), Some(path)) =
        (uri.scheme_str(), uri.authority(), uri.path_and_query())
    else {
        return Err(format!("{uri} is not an https URL").into());
    };
    *request.uri_mut() = Uri::from(path.clone());
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    let name = ServerName::try_from(authority.host().to_owned())?;
    let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(443))).await?;
    let stream = connector.connect(name, stream).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // What goes wrong there is the request's error too.
    drop(tokio::spawn(connection));
    Ok(bounded(sender.send_request(request).await?))
}

/// An answer of which no more than [`LARGEST`] bytes are read.
fn bounded<B>(answer: Response<B>) -> BytesResponse
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Failure>,
{
    answer.map(|body| Limited::new(body, LARGEST)).into()
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_not_read_whole() {
        let read = async |length: usize| {
            let body = Full::new(Bytes::from(vec![b'a'; length]));
            bounded(Response::new(body)).body.into_bytes().await.map(|bytes| bytes.len())
        };
        assert_eq!(read(LARGEST).await.unwrap(), LARGEST);
        assert!(read(LARGEST + 1).await.is_err());
    }
}
