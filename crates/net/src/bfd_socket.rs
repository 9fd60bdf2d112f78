//! UDP sockets for BFD on one interface (RFC 5881 section 4), IPv4 and IPv6: one that hears, with the TTL or hop limit of what came, and
//! one for each session that sends from a port of its own with 255.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, recvmsg};
use socket2::{Domain, Socket, Type};

use crate::Error;
use crate::link::Link;

/// Hears packets to a port on one interface.
#[derive(Debug)]
pub struct BfdSocket {
    socket: UdpSocket,
    is_v6: bool,
}

/// Sends on one interface.
#[derive(Debug)]
pub struct BfdSender {
    socket: UdpSocket,
}

impl BfdSocket {
    /// Opens a socket at `own`, the node's address on an interface.
    ///
    /// # Errors
    /// [`Error::Permission`]; [`Error::Kernel`] with `EADDRINUSE` when something else has the port.
    pub fn open(link: &Link, own: IpAddr, port: u16) -> Result<Self, Error> {
        let open = || -> io::Result<UdpSocket> {
            let socket = bound(link, own, port)?;
            match own {
                IpAddr::V4(_) => tell_ttl(&socket)?,
                IpAddr::V6(_) => socket2::SockRef::from(&socket).set_recv_hoplimit_v6(true)?,
            }
            Ok(socket)
        };
        let doing = || format!("hear BFD on {} ({})", link.name, SocketAddr::new(own, port));
        open()
            .map(|socket| Self { socket, is_v6: own.is_ipv6() })
            .map_err(|source| Error::kernel(doing(), source))
    }

    /// The next packet that waits: who sent it, with which TTL, and its length in the buffer. Errors of the socket are
    /// passed over: it stays usable.
    pub fn receive(&self, buffer: &mut [u8]) -> Option<(IpAddr, u8, usize)> {
        let mut slices = [IoSliceMut::new(buffer)];
        let mut space = nix::cmsg_space!(libc::c_int);
        let flags = MsgFlags::MSG_DONTWAIT;
        if self.is_v6 {
            let message =
                recvmsg::<SockaddrIn6>(self.socket.as_raw_fd(), &mut slices, Some(&mut space), flags).ok()?;
            let source = message.address?.ip();
            let hops = message.cmsgs().ok()?.find_map(|message| {
                if let ControlMessageOwned::Ipv6HopLimit(hops) = message {
                    u8::try_from(hops).ok()
                } else {
                    None
                }
            })?;
            return Some((source.into(), hops, message.bytes));
        }
        let message =
            recvmsg::<SockaddrIn>(self.socket.as_raw_fd(), &mut slices, Some(&mut space), flags).ok()?;
        let source = message.address?.ip();
        let ttl = message.cmsgs().ok()?.find_map(|message| {
            if let ControlMessageOwned::Ipv4Ttl(ttl) = message { u8::try_from(ttl).ok() } else { None }
        })?;
        Some((source.into(), ttl, message.bytes))
    }
}

impl AsFd for BfdSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl BfdSender {
    /// Opens a socket at `own`, the node's address on an interface, at one of these ports that is free.
    ///
    /// # Errors
    /// As [`BfdSocket::open`].
    pub fn open(link: &Link, own: IpAddr, ports: impl Iterator<Item = u16>) -> Result<Self, Error> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for port in ports {
            match bound(link, own, port) {
                Ok(socket) => return Ok(Self { socket }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
        Err(Error::kernel(format!("send BFD on {} ({own})", link.name), last))
    }

    /// Sends a packet. What cannot be sent is lost: the neighbour notices.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send(&self, to: IpAddr, port: u16, bytes: &[u8]) -> Result<(), Error> {
        match self.socket.send_to(bytes, SocketAddr::new(to, port)) {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::kernel("send a BFD packet", source)),
        }
    }
}

fn bound(link: &Link, own: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let domain = if own.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), None)?;
    let index = NonZeroU32::new(link.index);
    match own {
        IpAddr::V4(_) => {
            socket.bind_device_by_index_v4(index)?;
            socket.set_ttl_v4(255)?;
            socket.set_tos_v4(INTERNETWORK_CONTROL)?;
        }
        IpAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.bind_device_by_index_v6(index)?;
            socket.set_unicast_hops_v6(255)?;
            socket.set_tclass_v6(INTERNETWORK_CONTROL)?;
        }
    }
    socket.bind(&SocketAddr::new(own, port).into())?;
    Ok(socket.into())
}

#[allow(unsafe_code, reason = "neither std nor socket2 nor nix can set IP_RECVTTL")]
fn tell_ttl(socket: &UdpSocket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the pointer is to a live c_int of the length given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_RECVTTL,
            (&raw const on).cast::<libc::c_void>(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Precedence 6 (RFC 791), as VRRP.
const INTERNETWORK_CONTROL: u32 = 0xc0;
