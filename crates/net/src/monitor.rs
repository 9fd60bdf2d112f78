//! What changes in the kernel's tables of links and addresses, as it happens.
//!
//! A burst can overrun the socket's buffer; then the kernel drops messages and says so. That is [`Event::Overrun`]:
//! nothing is known any more until the tables are read again (netlink(7), `ENOBUFS`).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::Error;
use crate::address::Address;
use crate::link::Link;
use crate::route::parse;

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A link appeared or changed; also sent when nothing that we look at changed.
    Link(Link),
    /// A link is gone.
    LinkRemoved(Link),
    /// An address appeared or its lease was refreshed.
    AddressAdded(Address),
    /// An address is gone: removed by somebody, or its lease ran out.
    AddressRemoved(Address),
    /// Changes were lost: read the tables again.
    Overrun,
}

/// A socket that hears of changes in the network namespace that the thread was in when it was opened.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    events: VecDeque<Event>,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Subscribes. Changes from now on are heard.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the process has no file descriptors left.
    pub fn open() -> Result<Self, Error> {
        let doing = "watch links and addresses";
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.set_non_blocking(true)?;
            socket.set_rx_buf_sz(RECEIVE_BUFFER_BYTES)?;
            let groups =
                u32::try_from(libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR)
                    .unwrap_or_default();
            socket.bind(&SocketAddr::new(0, groups))?;
            Ok(socket)
        };
        let socket = open().map_err(|source| Error::kernel(doing, source))?;
        Ok(Self { socket, events: VecDeque::new(), buffer: vec![0; MESSAGE_BYTES] })
    }

    /// The next change, or `None` when there is none within `timeout`. A timeout of zero never waits.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the socket broke.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Event>, Error> {
        let kernel = |source| Error::kernel("watch links and addresses", source);
        let mut waited = false;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.receive().map_err(kernel)? {
                continue;
            }
            if waited || timeout.is_zero() {
                return Ok(None);
            }
            waited = true;
            let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, timeout) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(kernel(error.into())),
            }
        }
    }

    /// Takes one datagram. Returns whether there was one.
    fn receive(&mut self) -> io::Result<bool> {
        let length = match self.socket.recv(&mut &mut self.buffer[..], 0) {
            Ok(length) => length,
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                self.events.push_back(Event::Overrun);
                return Ok(true);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error),
        };
        match parse(self.buffer.get(..length).unwrap_or(&self.buffer)) {
            Ok(messages) => {
                for message in messages {
                    if let NetlinkPayload::InnerMessage(message) = message.payload {
                        self.events.extend(Event::from_message(&message));
                    }
                }
            }
            // A datagram cut short is a change that was lost.
            Err(_) => self.events.push_back(Event::Overrun),
        }
        Ok(true)
    }
}

impl AsFd for Monitor {
    /// Readable when there is something new. Take events until `None` before waiting on it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Event {
    fn from_message(message: &RouteNetlinkMessage) -> Option<Self> {
        if let RouteNetlinkMessage::NewLink(link) = message {
            Link::from_message(link).map(Self::Link)
        } else if let RouteNetlinkMessage::DelLink(link) = message {
            Link::from_message(link).map(Self::LinkRemoved)
        } else if let RouteNetlinkMessage::NewAddress(address) = message {
            Address::from_message(address).map(Self::AddressAdded)
        } else if let RouteNetlinkMessage::DelAddress(address) = message {
            Address::from_message(address).map(Self::AddressRemoved)
        } else {
            None
        }
    }
}

const RECEIVE_BUFFER_BYTES: u32 = 1024 * 1024;
const MESSAGE_BYTES: usize = 64 * 1024;
