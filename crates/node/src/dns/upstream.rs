//! Questions to other name servers: one after the other, each with a socket and a number of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use relevo_proto::dns::Forward;
use rustls::crypto::ring;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Time for one server's answer.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How often all servers are asked.
const ROUNDS: usize = 2;
/// Largest answer in a datagram, bytes.
const LARGEST: usize = 4096;

/// An answer; `None`: nobody gave one in time.
pub(super) async fn ask(forward: &Forward) -> Option<Answer> {
    let mut failure = None;
    for server in forward.servers.iter().cycle().take(forward.servers.len() * ROUNDS) {
        match timeout(PATIENCE, ask_one(forward, *server)).await {
            Ok(Ok(answer)) if Forward::is_failure(&answer) => failure = Some(answer),
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::debug!(%server, %error, "a name server cannot be asked"),
            Err(_) => tracing::debug!(%server, "a name server does not answer"),
        }
    }
    failure
}

/// What a name server says.
type Answer = relevo_proto::dns::Message;

async fn ask_one(forward: &Forward, server: SocketAddr) -> io::Result<Answer> {
    let id = number()?;
    let question = forward.question(id);
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    // From now on the kernel passes nobody else's datagrams.
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut buffer = [0; LARGEST];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Something that was guessed is passed over.
        let Some(answer) = forward.read(id, buffer.get(..length).unwrap_or_default()) else { continue };
        if !Forward::is_cut(&answer) {
            return Ok(answer);
        }
        drop(socket);
        return whole(forward, server, id, &question).await;
    }
}

async fn whole(forward: &Forward, server: SocketAddr, id: u16, question: &[u8]) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], question].concat()).await?;
    let mut bytes = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut bytes).await?;
    forward.read(id, &bytes).ok_or_else(|| io::Error::other("it answers something else"))
}

/// A number that nobody can guess.
fn number() -> io::Result<u16> {
    let mut bytes = [0; 2];
    let random = ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| io::Error::other("the system has no random numbers"))?;
    Ok(u16::from_be_bytes(bytes))
}
