//! One probe of one server. What is asked, and how an answer is judged, is `proto::health`'s; here are the sockets.

mod agent;
mod command;
mod http;
mod ping;
mod script;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use relevo_model::cluster::{CheckKind, Protocol, ProxyVersion};
use relevo_proto::health::ProbeResult;
use relevo_proto::health::script::Script;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

pub(crate) use agent::ask as ask_agent;
pub use command::run_with as command;
pub use ping::run as ping;

use crate::backend::Backend;
use crate::proxied;
use crate::shared::Link;
use crate::stream::{Late, ServerStream, Stream};
use crate::tls::{Offer, Origination};
use http::Http;

/// Most probes at a time.
const PROBES: usize = 2000;
/// Most commands at a time.
const COMMANDS: usize = 32;
/// Bytes that are read at a time.
const PIECE: usize = 4096;

/// How many may be asked at a time.
#[derive(Debug)]
pub(crate) struct Means {
    pub(crate) probes: Semaphore,
    commands: Semaphore,
}

impl Default for Means {
    fn default() -> Self {
        Self { probes: Semaphore::new(PROBES), commands: Semaphore::new(COMMANDS) }
    }
}

/// What the servers of a pool are asked; made ready once.
#[derive(Debug)]
pub(crate) enum Question {
    Connect,
    Http(Http),
    Script(Script),
    Command(Vec<String>),
    Ping,
    /// It cannot be asked, and why. The reader of cluster files lets none of these through.
    Broken(String),
}

/// Who is asked.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) name: &'a str,
    /// Where the server listens.
    pub(crate) at: SocketAddr,
    /// Where it is asked.
    pub(crate) port: u16,
    pub(crate) tls: Option<&'a Arc<Origination>>,
    /// What is spoken with the server where it is asked.
    pub(crate) protocols: &'a [Protocol],
    /// The header that begins each connection; it says that this one is our own.
    pub(crate) proxy_protocol: Option<ProxyVersion>,
}

impl Target<'_> {
    /// Where it is asked.
    fn asked_at(&self) -> SocketAddr {
        SocketAddr::new(self.at.ip(), self.port)
    }

    /// A connection for one request, with TLS if the check wants it; a stream of one where HTTP/2 is spoken.
    async fn connect_http(&self) -> io::Result<ServerStream> {
        if !self.protocols.contains(&Protocol::H2) {
            return self.connect(Offer::Http1).await;
        }
        let stream = self.connect(Offer::All).await?;
        if self.protocols.contains(&Protocol::Http1) && !stream.is_http2_agreed() {
            return Ok(stream);
        }
        let link = Link::open(stream, self.tls.map(Arc::clone), self.asked_at().to_string(), None).await?;
        Ok(ServerStream::shared(link.stream()))
    }

    /// A connection, with TLS if the check wants it.
    async fn connect(&self, offer: Offer) -> io::Result<ServerStream> {
        let stream = TcpStream::connect(self.asked_at()).await?;
        if let Some(version) = self.proxy_protocol {
            proxied::introduce(stream.as_fd(), version, None, false)?;
        }
        // A server's name and keys are known by where it listens.
        let tls = self.tls.and_then(|tls| Some((tls, tls.connection(self.at, offer)?)));
        let Some((origination, connection)) = tls else {
            return Ok(ServerStream::plain(Late::Ready(stream)));
        };
        let mut stream = ServerStream::tls(stream, connection?, origination)?;
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }
}

impl Question {
    /// What this pool's servers are asked; `None`: nothing.
    pub(crate) fn of(backend: &Backend) -> Option<Self> {
        Some(match &backend.config.check.kind {
            CheckKind::None => return None,
            CheckKind::Connect => Self::Connect,
            CheckKind::Http(check) => Http::new(check).map_or_else(Self::Broken, Self::Http),
            CheckKind::Script { steps } => Script::new(steps).map_or_else(Self::Broken, Self::Script),
            CheckKind::Command { argv } => Self::Command(argv.clone()),
            CheckKind::Ping => Self::Ping,
        })
    }

    /// Asks it; within `timeout`, counted from when the means are there.
    pub(crate) async fn ask(&self, target: &Target<'_>, timeout: Duration, means: &Means) -> ProbeResult {
        if let Self::Command(argv) = self {
            let _place = means.commands.acquire().await;
            return command::run(argv, target, timeout).await;
        }
        let _place = means.probes.acquire().await;
        let asked = match self {
            Self::Broken(why) => return ProbeResult::NotAsked(why.clone()),
            Self::Script(script) => script::run(script, target, timeout).await,
            Self::Connect => within(timeout, connect(target)).await,
            Self::Http(http) => within(timeout, http.ask(target)).await,
            Self::Command(_) | Self::Ping => {
                within(timeout, ping::run(SocketAddr::new(target.at.ip(), 0))).await
            }
        };
        asked.unwrap_or_else(|error| judged(&error, target))
    }
}

async fn within(
    timeout: Duration,
    probe: impl Future<Output = io::Result<ProbeResult>>,
) -> io::Result<ProbeResult> {
    tokio::time::timeout(timeout, probe).await.unwrap_or(Ok(ProbeResult::TimedOut(timeout)))
}

async fn connect(target: &Target<'_>) -> io::Result<ProbeResult> {
    target.connect(Offer::Http1).await?;
    let how = if target.tls.is_some() { "speaks TLS" } else { "accepts connections" };
    Ok(ProbeResult::Good(how.to_owned()))
}

/// Sends all.
async fn send(stream: &mut ServerStream, bytes: &[u8]) -> io::Result<()> {
    stream.send([bytes, &[]], false)?;
    poll_fn(|cx| stream.poll_flush(cx)).await
}

/// Reads what is there; 0: the end.
async fn read(stream: &mut ServerStream, piece: &mut [u8]) -> io::Result<usize> {
    match poll_fn(|cx| stream.poll_read(cx, piece)).await {
        // TLS without a good-bye.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        read => read,
    }
}

/// What an error says of a server.
fn judged(error: &io::Error, target: &Target<'_>) -> ProbeResult {
    if is_ours(error) {
        tracing::debug!(at = %target.at, %error, "no check: this process lacks the means");
        return ProbeResult::NotAsked(format!("not checked, the balancer lacks the means: {error}"));
    }
    ProbeResult::Bad(words(error))
}

/// Whether it is the balancer that has no descriptors, ports or memory left: socket(2), connect(2).
fn is_ours(error: &io::Error) -> bool {
    use nix::libc::{EADDRNOTAVAIL, EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    matches!(error.raw_os_error(), Some(EADDRNOTAVAIL | EAGAIN | EMFILE | ENFILE | ENOBUFS | ENOMEM))
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
