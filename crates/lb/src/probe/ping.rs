//! An ICMP echo, over a socket for echoes alone (icmp(7), `ping_group_range`) or a raw one.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use relevo_proto::health::{ProbeResult, echo};
use socket2::{Domain, Protocol, Socket, Type};

/// Asks an address; whoever waits for it bounds the time.
///
/// # Errors
/// What the kernel said of the way there.
pub async fn run(to: Ipv4Addr) -> io::Result<ProbeResult> {
    let socket = match socket() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(ProbeResult::NotAsked(
                "not checked, ping is not permitted: it needs CAP_NET_RAW, or this process's group in \
                 net.ipv4.ping_group_range"
                    .to_owned(),
            ));
        }
        socket => socket?,
    };
    socket.connect(&SocketAddrV4::new(to, 0).into())?;
    socket.set_nonblocking(true)?;
    // To the event loop it is a socket for datagrams as any other.
    let socket = tokio::net::UdpSocket::from_std(UdpSocket::from(socket))?;
    let random = RandomState::new();
    let token = (u128::from(random.hash_one(0)) << 64 | u128::from(random.hash_one(1))).to_be_bytes();
    let [first, second, ..] = token;
    socket.send(&echo::request(u16::from_be_bytes([first, second]), 1, token)).await?;
    let mut message = [0; 128];
    loop {
        // A raw socket gets all that comes from there.
        let count = socket.recv(&mut message).await?;
        if echo::is_reply(message.get(..count).unwrap_or_default(), token) {
            return Ok(ProbeResult::Good("answers pings".to_owned()));
        }
    }
}

fn socket() -> io::Result<Socket> {
    let open = |kind| Socket::new(Domain::IPV4, kind, Some(Protocol::ICMPV4));
    match open(Type::DGRAM) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => open(Type::RAW),
        socket => socket,
    }
}
