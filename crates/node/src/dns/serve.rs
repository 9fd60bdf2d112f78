//! Questions of clients, by UDP and TCP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use relevo_net::clock;
use relevo_proto::dns::{Forward, Leases, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Shared, lock, upstream};
use crate::dhcp::Names;
use crate::process::wall_ms;

/// Largest question, bytes.
const LARGEST: usize = 4096;
/// How long a connection may say nothing (RFC 7766 section 6.2.3).
const IDLE: Duration = Duration::from_secs(10);
/// After an error of the socket.
const PAUSE: Duration = Duration::from_millis(50);

/// What is bounded.
pub(super) struct Limits {
    /// Questions that are with other name servers.
    forwards: Semaphore,
    connections: Semaphore,
}

impl Default for Limits {
    fn default() -> Self {
        Self { forwards: Semaphore::new(256), connections: Semaphore::new(64) }
    }
}

/// The names of leases, now.
struct Now<'a>(&'a Names, u64);

impl Leases for Now<'_> {
    fn address(&self, name: &str) -> Option<Ipv4Addr> {
        self.0.address(name, self.1)
    }

    fn name(&self, ip: Ipv4Addr) -> Option<String> {
        self.0.name(ip, self.1)
    }
}

impl Shared {
    fn ask(&self, source: IpAddr, datagram: bool, bytes: &[u8]) -> Step {
        let leases = Now(&self.names, wall_ms() / 1000);
        match &mut *lock(&self.desk) {
            Some(desk) => desk.ask(clock::now(), source, datagram, bytes, &leases),
            None => Step::Silent,
        }
    }

    /// Asks elsewhere, unless too many do.
    async fn forward(&self, forward: &Forward) -> Vec<u8> {
        let Ok(_place) = self.limits.forwards.try_acquire() else { return forward.fail() };
        let message = upstream::ask(forward).await;
        match &mut *lock(&self.desk) {
            Some(desk) => desk.answered(clock::now(), forward, message),
            None => forward.fail(),
        }
    }
}

/// Answers datagrams for ever.
pub(super) async fn datagrams(shared: Arc<Shared>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut buffer = [0; LARGEST];
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "DNS socket");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let bytes = buffer.get(..length).unwrap_or_default();
        match shared.ask(from.ip(), true, bytes) {
            Step::Answer(answer) => send(&socket, from, &answer).await,
            Step::Forward(forward) => {
                let (shared, socket) = (Arc::clone(&shared), Arc::clone(&socket));
                tasks.spawn(async move {
                    let answer = shared.forward(&forward).await;
                    send(&socket, from, &answer).await;
                });
            }
            Step::Silent => {}
        }
    }
}

async fn send(socket: &UdpSocket, to: SocketAddr, bytes: &[u8]) {
    if let Err(error) = socket.send_to(bytes, to).await {
        tracing::debug!(%to, %error, "a DNS answer cannot be sent");
    }
}

/// Answers connections for ever.
pub(super) async fn connections(shared: Arc<Shared>, listener: TcpListener) {
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "DNS listener");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            // Who comes when all places are taken is let go.
            if let Ok(_place) = shared.limits.connections.try_acquire() {
                let _ = connection(&shared, stream, from.ip()).await;
            }
        });
    }
}

async fn connection(shared: &Shared, mut stream: TcpStream, source: IpAddr) -> io::Result<()> {
    loop {
        let length = timeout(IDLE, stream.read_u16()).await??;
        let mut bytes = vec![0; usize::from(length).min(LARGEST)];
        if usize::from(length) > LARGEST {
            return Ok(());
        }
        timeout(IDLE, stream.read_exact(&mut bytes)).await??;
        let answer = match shared.ask(source, false, &bytes) {
            Step::Answer(answer) => answer,
            Step::Forward(forward) => shared.forward(&forward).await,
            Step::Silent => return Ok(()),
        };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let whole = [&length.to_be_bytes()[..], &answer].concat();
        timeout(IDLE, stream.write_all(&whole)).await??;
    }
}
