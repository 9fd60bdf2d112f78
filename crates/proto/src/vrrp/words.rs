//! What goes into a group and what comes out of it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use relevo_model::Time;
use relevo_model::cluster::{Announce, Multicast, Unicast, VrrpVersion};

use super::packet::{DropReason, Envelope};
use super::sign::Signing;

/// One VRRP router of a group: its part on one network, in IPv4 or IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterSettings {
    /// Virtual router id, 1 to 255.
    pub vrid: u8,
    /// Own primary address on the network: the source of adverts. Of IPv6 routers that speak to the multicast group, the
    /// interface's link-local address; see [`Input::Source`].
    pub source: IpAddr,
    /// The virtual addresses on this network, all of the source's family; at least one, at most 255.
    pub addresses: Vec<IpAddr>,
    /// The group's other directors; may be empty.
    pub peers: Vec<Peer>,
}

/// Another director of the group, on one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its primary address there.
    pub source: IpAddr,
    /// Its priority when nothing is wrong there.
    pub priority: u8,
}

/// A group of VRRP routers that move together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// One for each network of the group and each family there; at least one. All nodes list them in the same order.
    pub routers: Vec<RouterSettings>,
    /// 1 to 254; others are cut to that range (255 is for address owners, which this machine never is).
    pub priority: u8,
    /// What the priority is when nothing is wrong: the trackers may say less with [`Input::Priority`].
    pub healthy: u8,
    /// Time between adverts. Version 3: 10 ms to 40.95 s; version 2: 1 s to 255 s. Others are cut to that range and
    /// rounded down to what the wire can say.
    pub advert: Duration,
    /// Adverts that must be missing before this one takes over, 1 to 100; others are cut to that range. The RFCs say 3.
    pub missed: u8,
    /// Whether to take over from a living active of lower priority. From one that is worse off than the file says, and
    /// has lost more of its priority than this one, is always taken over.
    pub preempt: bool,
    /// How long a lower priority must have been heard before that one is taken over from; not from one that is worse off.
    pub preempt_delay: Duration,
    /// The version spoken; the other one is dropped.
    pub version: VrrpVersion,
    /// Text password of version 2 (cut to 8 bytes); ignored in version 3.
    pub password: Option<String>,
    /// Adverts go to each router's peers; `None`: to the multicast group.
    pub unicast: Option<Unicast>,
    /// The multicast group.
    pub multicast: Multicast,
    /// Adverts are signed.
    pub signing: Option<Signing>,
    /// When the addresses are announced.
    pub announce: Announce,
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A packet of IP protocol 112 came in on a router's network: to the multicast group, with [`Settings::unicast`] to us.
    Packet {
        /// Index into [`Settings::routers`].
        router: usize,
        /// What its IP header says.
        envelope: Envelope,
        /// The VRRP message, without the IP header.
        bytes: &'a [u8],
    },
    /// A router's network interface has a carrier and its own address, or not.
    Link {
        /// Index into [`Settings::routers`].
        router: usize,
        /// Whether it is usable.
        up: bool,
    },
    /// A router's own primary address is another one. Before its link is said to be up, for an IPv6 router.
    Source {
        /// Index into [`Settings::routers`].
        router: usize,
        /// The address.
        source: IpAddr,
    },
    /// The wall clock (since 1970, UTC) at the machine's time zero; with [`Settings::signing`] before each packet, as clocks are
    /// set now and then.
    Wall(Duration),
    /// The keys to sign and verify with from now on; ignored without [`Settings::signing`], or when there is none.
    Keys(&'a [super::sign::Key]),
    /// The priority has changed: 1 to 254, others are cut to that range. When active it is advertised at once.
    Priority(u8),
    /// Whether this director knows how well it can serve. Until then it takes the addresses from no living active. True
    /// unless told otherwise.
    Ready(bool),
    /// Something other than a link keeps this director from holding the addresses, for people; `None`: no more.
    Trouble(Option<&'a str>),
    /// Give the group away; ignored unless active.
    ///
    /// Priority 0 goes out at once and then every two intervals; the addresses are kept until a successor's advert is
    /// heard on any router, then released: clients see no gap. If nobody takes over within the larger of 1 s and
    /// five intervals, the group goes on as active and says so. A router that resigned does not preempt its
    /// successor, also with `preempt = true`, until it has been active again (the successor was gone). Of two
    /// actives that both resign, the one with the lower address releases at once.
    Resign,
    /// Take the group; ignored in Init and Fault, and when active (there it only takes back a Resign).
    ///
    /// The router advertises priority 254 without holding the addresses. A Relevo active yields and says so with
    /// priority 0; other implementations yield in silence. It takes over when all its routers heard that, or after
    /// 50 ms. Then it keeps priority 253 until it stops being active, so that a preempting router of higher
    /// priority does not take it back at once and a later claim (254) still wins.
    Claim,
    /// As [`Input::Resign`] when active, but ends in [`Output::Finished`] in any case.
    Shutdown,
    /// Something is known beside adverts.
    Told(super::Told),
}

/// Something to do. Outputs must be done in order and at once: a `Send` that is done long after it came out is a
/// lie about who is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this VRRP message from the router's source address, to the multicast group with TTL 255, to a peer with that of
    /// [`Settings::unicast`].
    Send {
        /// Index into [`Settings::routers`].
        router: usize,
        /// Where to.
        to: IpAddr,
        /// The VRRP message, without the IP header.
        bytes: Vec<u8>,
    },
    /// Put all addresses on their interfaces, or refresh them, with this kernel lifetime (whole seconds).
    Hold {
        /// `valid_lft` and `preferred_lft`.
        valid: Duration,
    },
    /// Remove all addresses.
    Release,
    /// Send a gratuitous ARP, or an unsolicited neighbour advertisement, for every address. Comes at the takeover and then
    /// as [`Settings::announce`] says; and anew when another active was heard.
    Announce,
    /// The state changed. From Active to Active: a Resign came to nothing.
    Changed {
        /// The state before.
        from: State,
        /// The state after.
        to: State,
        /// Why, for people.
        reason: String,
    },
    /// Another active one was heard while this one is active, and stays so: it is to yield. Once for as long as it is heard.
    Rival {
        /// Source address of the IP header.
        source: IpAddr,
        /// What it advertises.
        priority: u8,
    },
    /// A packet was not used. Packets of other VRIDs are not reported.
    Dropped {
        /// Index into [`Settings::routers`].
        router: usize,
        /// Source address of the IP header.
        source: IpAddr,
        /// Why.
        reason: DropReason,
    },
    /// The answer to [`Input::Shutdown`]: nothing is held and nothing more will come.
    Finished,
}

/// The state of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Not all links are known, or shut down.
    Init,
    /// Listening.
    Backup,
    /// Holding the addresses.
    Active,
    /// A link is down, or there is other trouble: not taking part.
    Fault,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Init => "init",
            Self::Backup => "backup",
            Self::Active => "active",
            Self::Fault => "fault",
        })
    }
}

/// What a group says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Since when.
    pub since: Time,
    /// Why, for people.
    pub reason: String,
    /// Source address of the active router on the first network: own when active, the last heard one when backup
    /// (`None` if none was heard since it began to listen or the last one resigned).
    pub active: Option<IpAddr>,
    /// The priority that adverts carry: the own one as the trackers say, or that of a claim.
    pub priority: u8,
    /// State changes since the start.
    pub transitions: u64,
    /// Packets dropped since the start (packets of other VRIDs not counted).
    pub dropped: u64,
}
