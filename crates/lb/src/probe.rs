//! One probe of one server.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;

use relevo_model::cluster::{Check, CheckKind, ProxyVersion};
use relevo_proto::health::ProbeResult;
use tokio::net::TcpStream;

use crate::proxied;
use crate::stream::{ServerStream, Stream};
use crate::tls::Origination;

/// Most bytes of an answer that are read; the status stands at its beginning.
const MOST: usize = 4096;

/// How a pool's servers are reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'a> {
    pub(crate) tls: Option<&'a Arc<Origination>>,
    /// The header that begins each connection; it says that this one is our own.
    pub(crate) proxy_protocol: Option<ProxyVersion>,
}

/// Asks a server what the check asks.
pub(crate) async fn run(at: SocketAddrV4, check: &Check, way: Way<'_>) -> ProbeResult {
    let probe = async {
        match &check.kind {
            CheckKind::None => Ok(ProbeResult::Good("not checked".to_owned())),
            CheckKind::Connect | CheckKind::Script { .. } | CheckKind::Command { .. } | CheckKind::Ping => {
                connect(at, way).await.map(|_| {
                    let how = if way.tls.is_some() { "speaks TLS" } else { "accepts connections" };
                    ProbeResult::Good(how.to_owned())
                })
            }
            CheckKind::Http(check) => http(at, way, &check.path, check.host.as_deref()).await,
        }
    };
    match tokio::time::timeout(check.timeout, probe).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) if is_ours(&error) => {
            tracing::debug!(%at, %error, "no check: this process lacks the means");
            ProbeResult::NotAsked
        }
        Ok(Err(error)) => ProbeResult::Bad(words(&error)),
        Err(_) => ProbeResult::TimedOut(check.timeout),
    }
}

/// A connection, with TLS if the check wants it.
async fn connect(at: SocketAddrV4, way: Way<'_>) -> io::Result<ServerStream> {
    let stream = TcpStream::connect(at).await?;
    if let Some(version) = way.proxy_protocol {
        proxied::introduce(&stream, version, None, false)?;
    }
    let Some((origination, connection)) = way.tls.and_then(|tls| Some((tls, tls.connection(at)?))) else {
        return Ok(ServerStream::plain(stream));
    };
    let mut stream = ServerStream::tls(stream, connection?, origination)?;
    poll_fn(|cx| stream.poll_handshake(cx)).await?;
    Ok(stream)
}

async fn http(at: SocketAddrV4, way: Way<'_>, path: &str, host: Option<&str>) -> io::Result<ProbeResult> {
    let mut stream = connect(at, way).await?;
    let host = host.map_or_else(|| at.to_string(), str::to_owned);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: relevo-check\r\nConnection: close\r\n\r\n"
    );
    stream.send([request.as_bytes(), &[]], false)?;
    poll_fn(|cx| stream.poll_flush(cx)).await?;
    let mut answer = vec![0; MOST];
    let mut got = 0;
    while memchr::memchr(b'\n', answer.get(..got).unwrap_or_default()).is_none() {
        let space = answer.get_mut(got..).unwrap_or_default();
        match poll_fn(|cx| stream.poll_read(cx, space)).await? {
            // Or there is no space left.
            0 => break,
            count => got += count,
        }
    }
    answer.truncate(got);
    Ok(match status(&answer) {
        Some(status @ 200..=399) => ProbeResult::Good(format!("GET {path} answered {status}")),
        Some(status) => ProbeResult::Bad(format!("GET {path} answered {status}")),
        None if answer.is_empty() => ProbeResult::Bad("closed without an answer".to_owned()),
        None => ProbeResult::Bad("does not speak HTTP".to_owned()),
    })
}

/// The status of `HTTP/1.x NNN`.
fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "))?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}

/// Whether it is the balancer that has no descriptors, ports or memory left: socket(2), connect(2).
fn is_ours(error: &io::Error) -> bool {
    use nix::libc::{EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    matches!(error.raw_os_error(), Some(EADDRNOTAVAIL | EMFILE | ENFILE | ENOBUFS | ENOMEM))
}

/// An error as an operator says it.
fn words(error: &io::Error) -> String {
    let known = [
        (io::ErrorKind::ConnectionRefused, "connection refused"),
        (io::ErrorKind::ConnectionReset, "connection reset"),
        (io::ErrorKind::HostUnreachable, "host unreachable"),
        (io::ErrorKind::NetworkUnreachable, "network unreachable"),
    ];
    let word = known.iter().find(|(kind, _)| *kind == error.kind());
    // What TLS does not like: "invalid peer certificate: UnknownIssuer".
    let tls = if error.kind() == io::ErrorKind::InvalidData { "TLS: " } else { "" };
    word.map_or_else(|| format!("{tls}{error}"), |(_, word)| (*word).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_balancer_lacks_is_not_the_servers_fault() {
        use nix::libc::{ECONNREFUSED, EHOSTUNREACH, EMFILE};
        assert!(is_ours(&io::Error::from_raw_os_error(EMFILE)));
        for theirs in [ECONNREFUSED, EHOSTUNREACH] {
            assert!(!is_ours(&io::Error::from_raw_os_error(theirs)));
        }
    }
}
