//! UDP sockets for BFD on one interface (RFC 5881 section 4): one that hears, with the TTL of what came, and one for each session
//! that sends from a port of its own with TTL 255.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg};
use socket2::{Domain, Socket, Type};

use crate::Error;
use crate::link::Interface;

/// Hears packets to a port on one interface.
#[derive(Debug)]
pub struct BfdSocket {
    socket: UdpSocket,
}

/// Sends on one interface.
#[derive(Debug)]
pub struct BfdSender {
    socket: UdpSocket,
}

impl BfdSocket {
    /// Opens a socket at the node's own address on an interface.
    ///
    /// # Errors
    /// [`Error::Permission`]; [`Error::Kernel`] with `EADDRINUSE` when something else has the port.
    pub fn open(interface: &Interface, port: u16) -> Result<Self, Error> {
        let open = || -> io::Result<UdpSocket> {
            let socket = bound(interface, port)?;
            tell_ttl(&socket)?;
            Ok(socket)
        };
        let doing = || format!("hear BFD on {} ({}:{port})", interface.link.name, interface.ip);
        open().map(|socket| Self { socket }).map_err(|source| Error::kernel(doing(), source))
    }

    /// The next packet that waits: who sent it, with which TTL, and its length in the buffer. Errors of the socket are
    /// passed over: it stays usable.
    pub fn receive(&self, buffer: &mut [u8]) -> Option<(Ipv4Addr, u8, usize)> {
        let mut slices = [IoSliceMut::new(buffer)];
        let mut space = nix::cmsg_space!(libc::c_int);
        let flags = MsgFlags::MSG_DONTWAIT;
        let message =
            recvmsg::<SockaddrIn>(self.socket.as_raw_fd(), &mut slices, Some(&mut space), flags).ok()?;
        let source = message.address?.ip();
        let ttl = message.cmsgs().ok()?.find_map(|message| {
            if let ControlMessageOwned::Ipv4Ttl(ttl) = message { u8::try_from(ttl).ok() } else { None }
        })?;
        Some((source, ttl, message.bytes))
    }
}

impl AsFd for BfdSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl BfdSender {
    /// Opens a socket at the node's own address on an interface, at one of these ports that is free.
    ///
    /// # Errors
    /// As [`BfdSocket::open`].
    pub fn open(interface: &Interface, ports: impl Iterator<Item = u16>) -> Result<Self, Error> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for port in ports {
            match bound(interface, port) {
                Ok(socket) => return Ok(Self { socket }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
        Err(Error::kernel(format!("send BFD on {} ({})", interface.link.name, interface.ip), last))
    }

    /// Sends a packet. What cannot be sent is lost: the neighbour notices.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send(&self, to: Ipv4Addr, port: u16, bytes: &[u8]) -> Result<(), Error> {
        match self.socket.send_to(bytes, SocketAddrV4::new(to, port)) {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::kernel("send a BFD packet", source)),
        }
    }
}

fn bound(interface: &Interface, port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), None)?;
    socket.bind_device_by_index_v4(NonZeroU32::new(interface.link.index))?;
    socket.set_ttl_v4(255)?;
    socket.set_tos_v4(INTERNETWORK_CONTROL)?;
    socket.bind(&SocketAddrV4::new(interface.ip, port).into())?;
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
