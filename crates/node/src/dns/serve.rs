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
use crate::seats::Seats;

/// Largest question, bytes.
const LARGEST: usize = 4096;
/// How long a connection may say nothing (RFC 7766 section 6.2.3).
const IDLE: Duration = Duration::from_secs(10);
/// After an error of the socket.
const PAUSE: Duration = Duration::from_millis(50);

/// Questions that are with other name servers at a time; who asks more is told that it failed.
const FORWARDS: usize = 256;
/// Connections at a time, and of them from one address (RFC 7766 section 6.2.2); more are closed at once.
const CONNECTIONS: usize = 64;
const OF_ONE: usize = 16;

/// What is bounded.
pub(super) struct Limits {
    forwards: Semaphore,
    connections: Arc<Seats>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { forwards: Semaphore::new(FORWARDS), connections: Seats::new(CONNECTIONS, OF_ONE) }
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
        let seats = &shared.limits.connections;
        // Who comes when all places are taken is let go.
        let Some(seat) = seats.free_now().and_then(|free| seats.take(free, from.ip())) else { continue };
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            if let Err(error) = connection(&shared, stream, from.ip()).await {
                tracing::debug!(%from, %error, "a DNS connection ended");
            }
            drop(seat);
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use relevo_proto::dns::Desk;
    use tokio::net::TcpSocket;

    use super::*;

    const FILE: &str = r#"
name = "shop"
network.lan.subnet = "10.1.0.0/24"
node.lb1 = { roles = ["director"], address.lan = "10.1.0.11" }
address.inside = { network = "lan", ip = "10.1.0.200" }
[dns]
listen = "inside"
domain = "shop.internal"
allow = ["127.0.0.0/8"]
"#;

    /// `A lb1.shop.internal`, by TCP (RFC 1035 section 4).
    const QUESTION: &[u8] =
        b"\0\x23\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03lb1\x04shop\x08internal\0\0\x01\0\x01";

    async fn connected(from: &str, to: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        socket.connect(to).await.unwrap()
    }

    #[tokio::test]
    async fn who_takes_all_places_keeps_nobody_else_out() {
        let reading = relevo_model::read(FILE);
        let cluster = reading.cluster.unwrap_or_else(|| panic!("{:?}", reading.diagnostics));
        let desk = Mutex::new(Desk::new(&cluster));
        let shared = Arc::new(Shared { desk, names: Arc::default(), limits: Limits::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = tokio::spawn(connections(shared, listener));
        let mut idle = Vec::new();
        for _ in 0..CONNECTIONS {
            idle.push(connected("127.0.0.1", at).await);
        }
        let mut other = connected("127.0.0.2", at).await;
        other.write_all(QUESTION).await.unwrap();
        let length = timeout(Duration::from_secs(20), other.read_u16()).await.unwrap();
        assert!(length.is_ok_and(|length| length > 40), "an answer with an address");
        server.abort();
    }
}
