//! The socket of a DHCP server: port 67 of one interface, broadcast in and out.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::Error;
use crate::link::Interface;

/// Where DHCP servers listen (RFC 2131 section 4.1).
const PORT: u16 = 67;

/// A DHCP server's socket, bound to one interface.
#[derive(Debug)]
pub struct DhcpSocket {
    socket: Socket,
    index: u32,
    source: Ipv4Addr,
}

impl DhcpSocket {
    /// Opens it on an interface; what is sent comes from `source`, an address that is held there.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_BIND_SERVICE`; [`Error::Kernel`] when another server has the port there.
    pub fn open(interface: &Interface, source: Ipv4Addr) -> Result<Self, Error> {
        let index = interface.link.index;
        let open = || -> io::Result<Socket> {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
            socket.set_reuse_address(true)?;
            socket.set_broadcast(true)?;
            socket.bind_device_by_index_v4(NonZeroU32::new(index))?;
            socket.bind(&SockAddr::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT)))?;
            Ok(socket)
        };
        let socket = open().map_err(|error| {
            Error::kernel(format!("listen for DHCP clients on {}, port {PORT}", interface.link.name), error)
        })?;
        Ok(Self { socket, index, source })
    }

    /// How long [`DhcpSocket::receive`] waits.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(patience))
    }

    /// A second descriptor.
    ///
    /// # Errors
    /// When the process has too many.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, index: self.index, source: self.source })
    }

    /// Sends a datagram from our address.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send(&self, to: SocketAddrV4, bytes: &[u8]) -> io::Result<()> {
        let info = libc::in_pktinfo {
            ipi_ifindex: i32::try_from(self.index).unwrap_or_default(),
            ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(self.source.octets()) },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        let control = [ControlMessage::Ipv4PacketInfo(&info)];
        let to = SockaddrIn::from(to);
        sendmsg(self.socket.as_raw_fd(), &[IoSlice::new(bytes)], &control, MsgFlags::empty(), Some(&to))?;
        Ok(())
    }

    /// Waits for a datagram; `None`: none came in time.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match io::Read::read(&mut &self.socket, buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl AsFd for DhcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
