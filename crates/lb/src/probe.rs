//! One probe of one server.

use std::io;
use std::net::SocketAddrV4;

use relevo_model::cluster::{Check, CheckKind};
use relevo_proto::health::ProbeResult;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Most bytes of an answer that are read; the status stands at its beginning.
const MOST: usize = 4096;

/// Asks a server what the check asks.
pub(crate) async fn run(at: SocketAddrV4, check: &Check) -> ProbeResult {
    let probe = async {
        match &check.kind {
            CheckKind::None => Ok(ProbeResult::Good("not checked".to_owned())),
            CheckKind::Connect | CheckKind::Script { .. } | CheckKind::Command { .. } | CheckKind::Ping => {
                connect(at).await
            }
            CheckKind::Http(check) => http(at, &check.path, check.host.as_deref()).await,
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

async fn connect(at: SocketAddrV4) -> io::Result<ProbeResult> {
    TcpStream::connect(at).await?;
    Ok(ProbeResult::Good("accepts connections".to_owned()))
}

async fn http(at: SocketAddrV4, path: &str, host: Option<&str>) -> io::Result<ProbeResult> {
    let mut stream = TcpStream::connect(at).await?;
    let host = host.map_or_else(|| at.to_string(), str::to_owned);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: relevo-check\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::with_capacity(MOST);
    while memchr::memchr(b'\n', &answer).is_none() && answer.len() < MOST {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
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
    word.map_or_else(|| error.to_string(), |(_, word)| (*word).to_owned())
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
