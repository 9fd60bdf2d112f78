//! The TCP connections that this machine's kernel has (`NETLINK_SOCK_DIAG`, sock_diag(7)), of this network namespace.

use std::collections::{BTreeSet, HashSet};
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

/// A connection that is closed and that no process has any more: what the kernel remembers of it for a minute (TIME-WAIT).
#[derive(Clone, Debug)]
pub struct Closed {
    /// This end.
    pub local: SocketAddr,
    /// The other one.
    pub remote: SocketAddr,
    destruction: Vec<u8>,
}

/// The closed connections that the kernel remembers at these places: those whose ends are among the `awaited`, and the others, of which
/// there are at most [`MOST_CLOSED`].
///
/// # Errors
/// [`Error::Kernel`] where the kernel does not tell.
pub fn closed(
    places: &BTreeSet<SocketAddr>,
    awaited: &HashSet<(SocketAddr, SocketAddr)>,
) -> Result<[Vec<Closed>; 2], Error> {
    let ports: BTreeSet<u16> = places.iter().map(SocketAddr::port).collect();
    let work = || -> io::Result<[Vec<Closed>; 2]> {
        let mut kernel = Netlink::open(SOCK_DIAG)?;
        let (mut first, mut others) = (Vec::new(), Vec::new());
        for port in ports {
            for family in [libc::AF_INET, libc::AF_INET6] {
                kernel.exchange(&request(family as u8, port, CLOSED), |kind, payload| {
                    let found =
                        remembered(payload).filter(|one| kind == BY_FAMILY && places.contains(&one.local));
                    match found {
                        Some(one) if awaited.contains(&(one.local, one.remote)) => first.push(one),
                        Some(one) if others.len() < MOST_CLOSED => others.push(one),
                        Some(_) | None => {}
                    }
                })?;
            }
        }
        Ok([first, others])
    };
    work().map_err(|source| Error::kernel("list the closed TCP connections", source))
}

/// Lets the kernel forget them; how many it still remembered. Where two of a client's connections have the same ports in turn, packets
/// of the second are then answered as those of an unknown one. Some 25 us each.
///
/// # Errors
/// [`Error::Kernel`] where the kernel lets nobody do that (`CONFIG_INET_DIAG_DESTROY`, CAP_NET_ADMIN).
pub fn forget<'a>(closed: impl IntoIterator<Item = &'a Closed>) -> Result<usize, Error> {
    let work = || -> io::Result<usize> {
        let mut kernel = Netlink::open(SOCK_DIAG)?;
        let mut forgotten = 0;
        for one in closed {
            match kernel.exchange(&one.destruction, |_, _| {}) {
                Ok(()) => forgotten += 1,
                // Its time was over.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(forgotten)
    };
    work().map_err(|source| Error::kernel("forget closed TCP connections", source))
}

fn remembered(bytes: &[u8]) -> Option<Closed> {
    let Connection { local, remote, .. } = connection(bytes)?;
    Some(Closed { local, remote, destruction: destruction(bytes)? })
}

/// The request that destroys what this `struct inet_diag_msg` tells of; `None`: a process has it.
fn destruction(bytes: &[u8]) -> Option<Vec<u8>> {
    let inode: [u8; 4] = *bytes.get(68..)?.first_chunk()?;
    if u32::from_ne_bytes(inode) != 0 {
        return None;
    }
    let mut wanted = vec![*bytes.first()?, libc::IPPROTO_TCP as u8, 0, 0];
    wanted.extend(CLOSED.to_ne_bytes());
    // Its `struct inet_diag_sockid`: both ends, interface and cookie.
    wanted.extend(bytes.get(4..52)?);
    Some(netlink::request(DESTROY, netlink::ACK, &wanted))
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
/// `SOCK_DESTROY`.
const DESTROY: u16 = 21;
/// States (`net/tcp_states.h`).
const ESTABLISHED: u32 = 1;
const FIN_WAIT2: u32 = 5;
const TIME_WAIT: u32 = 6;
const NEW_SYN_RECV: u32 = 12;
/// Established, SYN-received, FIN-wait-1, close-wait, last-ack, closing.
const ALIVE: u32 = 1 << ESTABLISHED | 1 << 3 | 1 << 4 | 1 << 8 | 1 << 9 | 1 << 11;
/// FIN-wait-2 and TIME-WAIT.
const CLOSED: u32 = 1 << FIN_WAIT2 | 1 << TIME_WAIT;
/// Most closed connections that are listed but not awaited: about as many as there are ports for one client.
pub const MOST_CLOSED: usize = 1 << 16;
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
            let _ = (connection(&bytes), remembered(&bytes));
        }
    }
}
