//! What happens to a DHCP server, and what it wants done.

use std::net::Ipv4Addr;

use relevo_model::cluster::Mac;

use super::lease::Lease;

/// What happens.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The group became active here.
    Take,
    /// It is not any more.
    Leave,
    /// A datagram of a client or relay.
    Packet(&'a [u8]),
    /// Everything up to this number of [`Output::Store`] is on disk.
    Stored(u64),
    /// Another director said something.
    Peer(&'a [u8]),
    /// Somebody answered for an address, after [`Output::Probe`] or by itself.
    Used {
        /// The address.
        ip: Ipv4Addr,
        /// Who.
        mac: Mac,
    },
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to a client.
    Send {
        /// Where to.
        to: (Ipv4Addr, u16),
        /// What.
        bytes: Vec<u8>,
    },
    /// Write this lease to the disk, and say [`Input::Stored`] when it is there.
    Store {
        /// Its number.
        number: u64,
        /// The lease.
        lease: Lease,
    },
    /// Tell all other directors.
    Publish(Vec<u8>),
    /// Ask on the link who has this address, by ARP; who answers is [`Input::Used`].
    Probe(Ipv4Addr),
}
