//! A netlink socket for requests to the kernel's network tables (rtnetlink(7)).
//!
//! Synchronous: the kernel answers a request before `send` returns, so nothing here waits for anybody else.
//! What can be asked is in [`crate::link`] and [`crate::address`].

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::RouteAddress;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;

use crate::Error;

/// A request socket. It belongs to the network namespace that the thread was in when it was opened.
#[derive(Debug)]
pub struct Route {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Route {
    /// Opens a socket.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the process has no file descriptors left.
    pub fn open() -> Result<Self, Error> {
        let doing = "open a netlink socket";
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(|source| Error::kernel(doing, source))?;
        socket.bind_auto().map_err(|source| Error::kernel(doing, source))?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(|source| Error::kernel(doing, source))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; RECEIVE_BYTES] })
    }

    /// Asks for a change and waits for the kernel's word. `flags` beside request and acknowledge.
    pub(crate) fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), io::Error> {
        self.send(message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        loop {
            for message in self.receive()? {
                if let NetlinkPayload::Error(error) = message.payload {
                    return if error.code.is_none() { Ok(()) } else { Err(error.to_io()) };
                }
            }
        }
    }

    /// Reads a whole table. Starts again when it changed under the reader, a few times.
    pub(crate) fn dump(
        &mut self,
        message: &RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, io::Error> {
        let mut rows = Vec::new();
        for _ in 0..DUMP_TRIES {
            rows.clear();
            if self.dump_once(message.clone(), &mut rows)? {
                break;
            }
        }
        Ok(rows)
    }

    /// Returns whether the table stayed the same while it was read.
    fn dump_once(
        &mut self,
        message: RouteNetlinkMessage,
        rows: &mut Vec<RouteNetlinkMessage>,
    ) -> Result<bool, io::Error> {
        self.send(message, NLM_F_REQUEST | NLM_F_DUMP)?;
        let mut consistent = true;
        loop {
            for message in self.receive()? {
                consistent &= message.header.flags & NLM_F_DUMP_INTR == 0;
                if let NetlinkPayload::InnerMessage(row) = message.payload {
                    rows.push(row);
                } else if let NetlinkPayload::Done(_) = message.payload {
                    return Ok(consistent);
                } else if let NetlinkPayload::Error(error) = message.payload {
                    return Err(error.to_io());
                }
            }
        }
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<(), io::Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(|_| ())
    }

    /// One datagram's messages, those of older requests left out.
    fn receive(&mut self) -> Result<Vec<NetlinkMessage<RouteNetlinkMessage>>, io::Error> {
        let length = loop {
            match self.socket.recv(&mut &mut self.buffer[..], 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        let sequence = self.sequence;
        let mut messages = parse(self.buffer.get(..length).unwrap_or(&self.buffer))?;
        messages.retain(|message| message.header.sequence_number == sequence);
        Ok(messages)
    }
}

/// The messages of one datagram. A message of a kind that this program does not know is left out.
pub(crate) fn parse(mut bytes: &[u8]) -> Result<Vec<NetlinkMessage<RouteNetlinkMessage>>, io::Error> {
    let mut messages = Vec::new();
    while let Some(length) = message_length(bytes) {
        if length < HEADER_BYTES || length > bytes.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a netlink message with a wrong length"));
        }
        match NetlinkMessage::deserialize(&bytes[..length]) {
            Ok(message) => messages.push(message),
            Err(error) => tracing::debug!(%error, "netlink message not understood"),
        }
        // NLMSG_ALIGN: the next message begins at a multiple of four.
        bytes = bytes.get((length + 3) & !3..).unwrap_or(&[]);
    }
    Ok(messages)
}

fn message_length(bytes: &[u8]) -> Option<usize> {
    let length: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
    usize::try_from(u32::from_ne_bytes(length)).ok()
}

/// The kernel fills at most 32 KiB in one answer of a dump.
const RECEIVE_BYTES: usize = 64 * 1024;
const HEADER_BYTES: usize = 16;
const DUMP_TRIES: usize = 5;

/// Whether an error means that the thing was already gone.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV | libc::ENXIO))
}

/// An address as routes have it.
pub(crate) fn route_address(ip: IpAddr) -> RouteAddress {
    match ip {
        IpAddr::V4(ip) => RouteAddress::Inet(ip),
        IpAddr::V6(ip) => RouteAddress::Inet6(ip),
    }
}

/// The address in a route; `None`: it is of another family.
pub(crate) fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    if let RouteAddress::Inet(ip) = address {
        Some(IpAddr::V4(*ip))
    } else if let RouteAddress::Inet6(ip) = address {
        Some(IpAddr::V6(*ip))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_datagrams_are_errors() {
        assert!(parse(&[]).unwrap().is_empty());
        assert!(parse(&[1, 2, 3]).unwrap().is_empty());
        assert!(parse(&[0; 16]).is_err());
        assert!(parse(&[255; 16]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(0u8.., 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
