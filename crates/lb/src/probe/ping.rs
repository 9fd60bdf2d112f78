//! An ICMP echo, over a socket for echoes alone (icmp(7), `ping_group_range`) or a raw one.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use relevo_proto::health::{ProbeResult, echo};
use socket2::{Domain, Protocol, Socket, Type};

/// Asks an address, of a link-local one with its scope; whoever waits for it bounds the time.
///
/// # Errors
/// What the kernel said of the way there.
pub async fn run(at: SocketAddr) -> io::Result<ProbeResult> {
    let to = at.ip();
    let socket = match socket(to) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(ProbeResult::NotAsked(
                "not checked, ping is not permitted: it needs CAP_NET_RAW, or this process's group in \
                 net.ipv4.ping_group_range"
                    .to_owned(),
            ));
        }
        socket => socket?,
    };
    socket.connect(&at.into())?;
    socket.set_nonblocking(true)?;
    // To the event loop it is a socket for datagrams as any other.
    let socket = tokio::net::UdpSocket::from_std(UdpSocket::from(socket))?;
    let random = RandomState::new();
    let token = (u128::from(random.hash_one(0)) << 64 | u128::from(random.hash_one(1))).to_be_bytes();
    let [first, second, ..] = token;
    let identifier = u16::from_be_bytes([first, second]);
    let request = match to {
        IpAddr::V4(_) => echo::request(identifier, 1, token),
        IpAddr::V6(_) => echo::request_v6(identifier, 1, token),
    };
    socket.send(&request).await?;
    let mut message = [0; 128];
    loop {
        // A raw socket gets all that comes from there.
        let count = socket.recv(&mut message).await?;
        let message = message.get(..count).unwrap_or_default();
        let is_reply = match to {
            IpAddr::V4(_) => echo::is_reply(message, token),
            IpAddr::V6(_) => echo::is_reply_v6(message, token),
        };
        if is_reply {
            return Ok(ProbeResult::Good("answers pings".to_owned()));
        }
    }
}

fn socket(to: IpAddr) -> io::Result<Socket> {
    let (domain, protocol) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let open = |kind| Socket::new(domain, kind, Some(protocol));
    match open(Type::DGRAM) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => open(Type::RAW),
        socket => socket,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_loopback_addresses_answer() {
        for ip in ["127.0.0.1", "::1"] {
            let to: IpAddr = ip.parse().unwrap();
            // A machine without IPv6 has no such address.
            if UdpSocket::bind(SocketAddr::new(to, 0)).is_err() {
                continue;
            }
            let result =
                tokio::time::timeout(Duration::from_secs(20), run(SocketAddr::new(to, 0))).await.unwrap();
            // Without the permission it is not asked.
            assert!(
                matches!(result, Ok(ProbeResult::Good(_) | ProbeResult::NotAsked(_))),
                "{ip}: {result:?}"
            );
        }
    }
}
