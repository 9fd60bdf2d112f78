//! The TCP connections that this machine's kernel has (`NETLINK_SOCK_DIAG`, sock_diag(7)), of this network namespace.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::libc;

use crate::Error;
use crate::netlink::{self, Netlink};

/// A connection of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// This end.
    pub local: SocketAddr,
    /// The other one.
    pub remote: SocketAddr,
    /// Whether it is more than what the kernel remembers of one that this end has closed.
    pub alive: bool,
    /// Whether both ends may send.
    pub established: bool,
}

/// All TCP connections whose own port is one of these, listening sockets not among them; at most [`MOST`]. `closed`: also those
/// that this end has closed and the other one has not yet. Those that both have closed (TIME-WAIT), which may be many more, are none.
///
/// # Errors
/// [`Error::Kernel`] where the kernel does not tell.
pub fn connections(ports: &[u16], closed: bool) -> Result<Vec<Connection>, Error> {
    let states = ALIVE | 1 << NEW_SYN_RECV | if closed { 1 << FIN_WAIT2 } else { 0 };
    let work = || -> io::Result<Vec<Connection>> {
        let mut kernel = Netlink::open(SOCK_DIAG)?;
        let mut found = Vec::new();
        for port in ports {
            for family in [libc::AF_INET, libc::AF_INET6] {
                kernel.exchange(&request(family as u8, *port, states), |kind, payload| {
                    if kind == BY_FAMILY && found.len() < MOST {
                        found.extend(connection(payload));
                    }
                })?;
            }
        }
        Ok(found)
    };
    work().map_err(|source| Error::kernel("list the TCP connections", source))
}

/// `struct inet_diag_req_v2`.
fn request(family: u8, port: u16, states: u32) -> Vec<u8> {
    let mut bytes = vec![family, libc::IPPROTO_TCP as u8, 0, 0];
    bytes.extend(states.to_ne_bytes());
    bytes.extend(port.to_be_bytes());
    bytes.resize(56, 0);
    netlink::request(BY_FAMILY, netlink::DUMP, &bytes)
}

/// From `struct inet_diag_msg`.
fn connection(bytes: &[u8]) -> Option<Connection> {
    let (family, state) = (i32::from(*bytes.first()?), u32::from(*bytes.get(1)?));
    let port = |at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let ip = |at: usize| {
        let bytes: &[u8; 16] = bytes.get(at..)?.first_chunk()?;
        match family {
            libc::AF_INET => {
                let [a, b, c, d, ..] = *bytes;
                Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
            }
            // A socket of the other family may have clients of this one.
            libc::AF_INET6 => Some(IpAddr::V6(Ipv6Addr::from(*bytes)).to_canonical()),
            _ => None,
        }
    };
    Some(Connection {
        local: SocketAddr::new(ip(8)?, port(4)?),
        remote: SocketAddr::new(ip(24)?, port(6)?),
        alive: 1u32.checked_shl(state)? & ALIVE != 0,
        established: state == ESTABLISHED,
    })
}

/// `NETLINK_SOCK_DIAG`.
const SOCK_DIAG: isize = 4;
/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// States (`net/tcp_states.h`).
const ESTABLISHED: u32 = 1;
const FIN_WAIT2: u32 = 5;
const NEW_SYN_RECV: u32 = 12;
/// Established, SYN-received, FIN-wait-1, close-wait, last-ack, closing.
const ALIVE: u32 = 1 << ESTABLISHED | 1 << 3 | 1 << 4 | 1 << 8 | 1 << 9 | 1 << 11;
/// Most connections that are listed.
pub const MOST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_seen_with_both_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let client = TcpStream::connect(at).unwrap();
        let (_served, peer) = listener.accept().unwrap();
        let mut found = connections(&[at.port()], true).unwrap();
        // Others may use the same port on other addresses.
        found.retain(|connection| connection.local == at);
        let wanted = Connection { local: at, remote: peer, alive: true, established: true };
        assert_eq!(found, [wanted], "{:?}", client.local_addr());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(0u8.., 0..120)) {
            let _ = connection(&bytes);
        }
    }
}
