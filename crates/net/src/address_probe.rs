//! Asks on one link who has an IPv4 address, any one, by ARP probes (RFC 5227 section 2.1.1): nobody learns anything from them. Only
//! answers are heard.

use std::io::Read;
use std::net::Ipv4Addr;
use std::time::Duration;

use nix::libc;
use socket2::{Domain, SockFilter, Socket, Type};

use crate::Error;
use crate::arp::{self, Operation};
use crate::conflict;
use crate::link::Link;

/// A packet socket on one interface.
#[derive(Debug)]
pub struct AddressProbe {
    socket: Socket,
    index: u32,
    hardware: [u8; 6],
}

impl AddressProbe {
    /// Opens it.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_RAW`; [`Error::NotEthernet`].
    pub fn open(link: &Link) -> Result<Self, Error> {
        let hardware = arp::hardware_of(link)?;
        let open = || {
            // Without a protocol nothing comes in before it is bound.
            let socket = Socket::new(Domain::PACKET, Type::RAW.cloexec(), None)?;
            socket.attach_filter(&REPLIES)?;
            let at = arp::link_address(link.index, libc::ETH_P_ARP as u16, [0xff; 6]);
            socket.bind(&at)?;
            Ok(socket)
        };
        let socket = open().map_err(|source| Error::kernel(format!("hear ARP on {}", link.name), source))?;
        Ok(Self { socket, index: link.index, hardware })
    }

    /// A second descriptor.
    ///
    /// # Errors
    /// When the process has too many.
    pub fn try_clone(&self) -> Result<Self, Error> {
        let socket =
            self.socket.try_clone().map_err(|source| Error::kernel("copy a packet socket", source))?;
        Ok(Self { socket, index: self.index, hardware: self.hardware })
    }

    /// Asks who has an address.
    ///
    /// # Errors
    /// [`Error::Kernel`] with `ENETDOWN` when the interface is down.
    pub fn ask(&self, ip: Ipv4Addr) -> Result<(), Error> {
        let frame = arp::frame(Operation::Request, self.hardware, Ipv4Addr::UNSPECIFIED, ip);
        match self.socket.send_to(&frame, &arp::broadcast_on(self.index)) {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::kernel(format!("ask who has {ip}"), source)),
        }
    }

    /// Waits for an answer to anything that was asked; `None`: none came in time. Errors of the socket are passed over: it
    /// stays usable.
    pub fn answer(&self, patience: Duration) -> Option<(Ipv4Addr, [u8; 6])> {
        self.socket.set_read_timeout(Some(patience)).ok()?;
        let mut frame = [0; FRAME_BYTES];
        let length = (&self.socket).read(&mut frame).ok()?;
        conflict::parse(frame.get(..length)?).and_then(|claim| match claim.ip {
            std::net::IpAddr::V4(ip) => Some((ip, claim.hardware)),
            std::net::IpAddr::V6(_) => None,
        })
    }
}

/// A program for the kernel (bpf(4), "classic") that lets ARP replies pass: the operation stands behind 14 bytes of Ethernet and 6
/// of ARP.
const REPLIES: [SockFilter; 4] = [
    SockFilter::new(0x28, 0, 0, 20),
    SockFilter::new(0x15, 1, 0, Operation::Reply as u32),
    SockFilter::new(0x06, 0, 0, 0),
    SockFilter::new(0x06, 0, 0, u32::MAX),
];
/// An ARP packet and its padding fit.
const FRAME_BYTES: usize = 128;
