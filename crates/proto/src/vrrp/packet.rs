//! The VRRP message on the wire: encoding, decoding, and why a packet is dropped.
//!
//! ```text
//!  0        1        2        3            version 3: RFC 9568 section 5.1
//! +--------+--------+--------+--------+
//! |ver type| vrid   |priority| count  |
//! +--------+--------+--------+--------+
//! |rsvd,interval_cs | checksum        |    version 2 (RFC 3768): authentication type, interval_s
//! +-----------------+-----------------+
//! | address 1 .. count, 4 or 16 bytes |    version 2: 8 bytes of authentication data follow
//! +-----------------------------------+
//! ```
//!
//! Version 2 is of IPv4 only. Behind the message there may be a signature: see [`super::sign`].
//!
//! Checks are as strict as keepalived's, and where RFC 9568 leaves a choice (section 7.1: the receiver MAY verify
//! the addresses) this decoder does what keepalived does: the list of addresses must be the same set as ours, in any
//! order, or the packet is dropped. Packets with trailing bytes are dropped too. The checksum of version 3 is over a pseudo-header
//! and the message. In IPv4, RFC 9568 section 5.2.8 has none, but RFC 5798 and keepalived have one: we send it with, and take both.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use relevo_model::cluster::{Family, HmacMode, Unicast, VrrpVersion};

use super::sign::{self, Key, Signing, TRAILER};
use super::timer;

/// The IPv4 multicast group of VRRP (RFC 9568 section 5.1.1.2).
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// The IPv6 multicast group of VRRP (RFC 9568 section 5.1.2.2).
pub const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// The IP protocol number of VRRP (RFC 9568 section 5.1.1.4).
pub const PROTOCOL: u8 = 112;
/// The TTL (IPv6: hop limit) that every packet to a group has and must have (RFC 9568 sections 5.1.1.3 and 5.1.2.3).
pub const TTL: u8 = 255;

const HEADER: usize = 8;
const AUTH: usize = 8;
const ADVERTISEMENT: u8 = 1;
const AUTH_NONE: u8 = 0;
const AUTH_TEXT: u8 = 1;

/// An advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    /// The version that it is written in.
    pub version: VrrpVersion,
    /// Virtual router id.
    pub vrid: u8,
    /// 0: the sender stops being active. 255: the sender owns the addresses.
    pub priority: u8,
    /// Time between adverts: hundredths of a second up to 40.95 s (version 3), whole seconds up to 255 s (version 2).
    pub interval: Duration,
    /// The virtual addresses; 1 to 255.
    pub addresses: Vec<IpAddr>,
    /// Text password, version 2 only, padded with zeros.
    pub password: Option<[u8; 8]>,
}

/// Why a packet was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// The TTL is too small: it did not come from this network, or too many routers were passed.
    Ttl {
        /// What it is.
        got: u8,
        /// What it must be at least.
        least: u8,
    },
    /// Unicast: the sender is none of the group's directors.
    Stranger,
    /// The source is our own address: a loop, or another machine with our address.
    OwnSource,
    /// Shorter than a header.
    TooShort(usize),
    /// Not the version that we speak.
    Version(u8),
    /// Not an advertisement.
    Type(u8),
    /// No address in it (RFC 9568 section 5.2.5: at least one).
    NoAddresses,
    /// The length does not fit the number of addresses.
    Length {
        /// Bytes that the header promises.
        want: usize,
        /// Bytes received.
        got: usize,
    },
    /// The checksum is wrong.
    Checksum,
    /// Another virtual router's.
    Vrid(u8),
    /// The interval is 0 (version 3), or not ours (version 2, RFC 3768 section 7.1), in milliseconds.
    Interval(u32),
    /// The addresses are not ours.
    Addresses,
    /// Version 2: not our kind of authentication (0 none, 1 text password).
    AuthType(u8),
    /// Version 2: the password is not ours.
    Password,
    /// It is not signed, and must be.
    Unsigned,
    /// It is signed, and this group has no keys.
    Signed,
    /// Its signature is of another kind.
    Trailer,
    /// It is signed with a key that we do not have.
    KeyId(u8),
    /// The signature is wrong.
    Signature,
    /// It was signed by a clock that differs from ours by so many seconds.
    Clock(i32),
    /// It was heard before.
    Replay,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ttl { got, least: 255 } => write!(f, "TTL is {got}, must be 255"),
            Self::Ttl { got, least } => write!(f, "TTL is {got}, must be at least {least}"),
            Self::Stranger => write!(f, "comes from a machine that is no director of this group"),
            Self::OwnSource => write!(f, "comes from our own address"),
            Self::TooShort(got) => write!(f, "{got} bytes are too short for a VRRP header"),
            Self::Version(version) => write!(f, "VRRP version {version} is not the one spoken here"),
            Self::Type(kind) => write!(f, "type {kind} is not an advertisement"),
            Self::NoAddresses => write!(f, "carries no address"),
            Self::Length { want, got } => write!(f, "is {got} bytes long, its header promises {want}"),
            Self::Checksum => write!(f, "wrong checksum"),
            Self::Vrid(vrid) => write!(f, "belongs to VRID {vrid}"),
            Self::Interval(millis) => write!(f, "advert interval of {millis} ms is not ours"),
            Self::Addresses => write!(f, "its virtual addresses are not ours"),
            Self::AuthType(kind) => write!(f, "authentication type {kind} is not ours"),
            Self::Password => write!(f, "wrong password"),
            Self::Unsigned => {
                write!(f, "is not signed, and this group has `hmac` (keepalived before 2.4 cannot sign)")
            }
            Self::Signed => write!(f, "is signed, and this group has no `hmac`"),
            Self::Trailer => write!(f, "its signature is of a kind that is not known here"),
            Self::KeyId(id) => write!(f, "is signed with key {id}, which is not in our key file"),
            Self::Signature => {
                write!(f, "wrong signature: its key is another one, or it was changed on the way")
            }
            Self::Clock(seconds) if *seconds < 0 => {
                write!(f, "was signed by a clock {} s behind ours, or long ago", seconds.unsigned_abs())
            }
            Self::Clock(seconds) => write!(f, "was signed by a clock {seconds} s ahead of ours"),
            Self::Replay => write!(f, "was heard before: somebody repeats it"),
        }
    }
}

/// What a packet must agree with.
#[derive(Clone, Copy, Debug)]
pub struct Expect<'a> {
    /// The version spoken.
    pub version: VrrpVersion,
    /// Our virtual router id.
    pub vrid: u8,
    /// Our own address.
    pub source: IpAddr,
    /// Our virtual addresses, in any order.
    pub addresses: &'a [IpAddr],
    /// Our interval (compared in version 2).
    pub interval: Duration,
    /// Our password (compared in version 2).
    pub password: Option<[u8; 8]>,
    /// How it must come if not to the multicast group.
    pub unicast: Option<Unicast>,
    /// Our keys.
    pub signing: Option<&'a Signing>,
}

/// The IP header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TTL, in IPv6 the hop limit.
    pub ttl: u8,
}

impl Envelope {
    /// From a source on the network to all its routers.
    pub fn multicast(source: IpAddr) -> Self {
        Self { source, destination: group_of(source), ttl: TTL }
    }
}

/// The multicast group of an address's family.
pub const fn group_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => IpAddr::V4(GROUP),
        IpAddr::V6(_) => IpAddr::V6(GROUP6),
    }
}

impl Advert {
    /// Writes the message for the multicast group; `source` goes into the checksum of version 3.
    ///
    /// The interval is cut to what the wire can say ([`timer::on_the_wire`]); addresses beyond 255 are left out.
    pub fn encode(&self, source: impl Into<IpAddr>) -> Vec<u8> {
        let source = source.into();
        self.encode_to(source, group_of(source), None)
    }

    /// Writes the message for a destination, signed at a time if there is a key.
    pub fn encode_to(&self, source: IpAddr, destination: IpAddr, key: Option<(&Key, u64)>) -> Vec<u8> {
        let interval = timer::on_the_wire(self.version, self.interval);
        let addresses = &self.addresses[..self.addresses.len().min(255)];
        let count = u8::try_from(addresses.len()).unwrap_or(u8::MAX);
        let mut bytes = Vec::with_capacity(HEADER + 16 * addresses.len() + AUTH + TRAILER);
        bytes.push(version_number(self.version) << 4 | ADVERTISEMENT);
        bytes.extend([self.vrid, self.priority, count]);
        match self.version {
            VrrpVersion::V3 => {
                let interval_cs = u16::try_from(interval.as_millis() / 10).unwrap_or(0x0fff) & 0x0fff;
                bytes.extend(interval_cs.to_be_bytes());
            }
            VrrpVersion::V2 => {
                let auth = if self.password.is_some() { AUTH_TEXT } else { AUTH_NONE };
                bytes.extend([auth, u8::try_from(interval.as_secs()).unwrap_or(u8::MAX)]);
            }
        }
        bytes.extend([0, 0]);
        for address in addresses {
            match address {
                IpAddr::V4(ip) => bytes.extend(ip.octets()),
                IpAddr::V6(ip) => bytes.extend(ip.octets()),
            }
        }
        if self.version == VrrpVersion::V2 {
            bytes.extend(self.password.unwrap_or_default());
        }
        let length = bytes.len();
        if let Some((key, sequence)) = key {
            sign::sign(key, self.version, source, &mut bytes, sequence);
        }
        let header = match (self.version, source) {
            (VrrpVersion::V2, _) => None,
            (VrrpVersion::V3, IpAddr::V4(_)) if key.is_some() => None,
            (VrrpVersion::V3, _) => Some((source, destination)),
        };
        let covered = if source.is_ipv6() { &bytes[..] } else { &bytes[..length] };
        let sum = checksum(header, covered);
        bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// Reads a message to the multicast group as it stands, without comparing it with anything of ours but the version.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn decode(version: VrrpVersion, source: impl Into<IpAddr>, bytes: &[u8]) -> Result<Self, DropReason> {
        let source = source.into();
        let (advert, trailer) = Self::decode_from(version, source, group_of(source), bytes)?;
        if trailer.is_some() { Err(DropReason::Signed) } else { Ok(advert) }
    }

    /// Reads a message with its destination, and its signature, which is not looked at.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn decode_from(
        version: VrrpVersion,
        source: IpAddr,
        destination: IpAddr,
        bytes: &[u8],
    ) -> Result<(Self, Option<[u8; TRAILER]>), DropReason> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(DropReason::TooShort(bytes.len()));
        };
        let [kind, vrid, priority, count, byte4, byte5, ..] = *header;
        let (number, auth) = match version {
            VrrpVersion::V3 => (3, 0),
            VrrpVersion::V2 => (2, AUTH),
        };
        if kind >> 4 != number {
            return Err(DropReason::Version(kind >> 4));
        }
        if kind & 0x0f != ADVERTISEMENT {
            return Err(DropReason::Type(kind & 0x0f));
        }
        if count == 0 {
            return Err(DropReason::NoAddresses);
        }
        let size = match Family::of(source) {
            Family::V4 => 4,
            Family::V6 => 16,
        };
        let want = HEADER + size * usize::from(count) + auth;
        let trailer = match bytes.len().checked_sub(want) {
            Some(0) => None,
            Some(TRAILER) => bytes.last_chunk::<TRAILER>().copied(),
            Some(_) | None => return Err(DropReason::Length { want, got: bytes.len() }),
        };
        // Summing up a message with its right checksum gives zero (RFC 1071).
        let message = &bytes[..want];
        let is_right = match (version, source) {
            (VrrpVersion::V2, _) => checksum(None, message) == 0,
            (VrrpVersion::V3, IpAddr::V4(_)) => {
                checksum(Some((source, destination)), message) == 0 || checksum(None, message) == 0
            }
            (VrrpVersion::V3, IpAddr::V6(_)) => checksum(Some((source, destination)), bytes) == 0,
        };
        if !is_right {
            return Err(DropReason::Checksum);
        }
        let list = &rest[..size * usize::from(count)];
        let auth_data = &message[HEADER + list.len()..];
        let (interval, password) = match version {
            VrrpVersion::V3 => {
                // RFC 9568 section 5.2.6: the reserved bits are ignored on reception
                let interval_cs = u16::from_be_bytes([byte4, byte5]) & 0x0fff;
                (Duration::from_millis(10) * u32::from(interval_cs), None)
            }
            VrrpVersion::V2 => {
                let password = match byte4 {
                    AUTH_NONE => None,
                    AUTH_TEXT => auth_data.first_chunk::<AUTH>().copied(),
                    other => return Err(DropReason::AuthType(other)),
                };
                (Duration::from_secs(u64::from(byte5)), password)
            }
        };
        if interval.is_zero() {
            return Err(DropReason::Interval(0));
        }
        let addresses = addresses(list, size);
        Ok((Self { version, vrid, priority, interval, addresses, password }, trailer))
    }

    /// Reads a received packet and compares it with what we expect (RFC 9568 section 7.1, RFC 3768 section 7.1). With it
    /// comes the time that it was signed at, if it was.
    ///
    /// # Errors
    /// The first reason not to use it.
    pub fn receive(
        expect: &Expect<'_>,
        envelope: Envelope,
        bytes: &[u8],
    ) -> Result<(Self, Option<u64>), DropReason> {
        let Envelope { source, destination, ttl } = envelope;
        // Before all else: other groups' packets, however they look, are none of our business.
        if let Some(vrid) = bytes.get(1).copied().filter(|vrid| bytes.len() >= HEADER && *vrid != expect.vrid)
        {
            return Err(DropReason::Vrid(vrid));
        }
        let least = expect.unicast.map_or(TTL, |unicast| unicast.min_ttl);
        if ttl < least {
            return Err(DropReason::Ttl { got: ttl, least });
        }
        let (advert, trailer) = Self::decode_from(expect.version, source, destination, bytes)?;
        if source == expect.source {
            return Err(DropReason::OwnSource);
        }
        let message = &bytes[..bytes.len() - trailer.map_or(0, |trailer| trailer.len())];
        let signed_at = match (expect.signing, trailer) {
            (None, None) => None,
            (None, Some(_)) => return Err(DropReason::Signed),
            (Some(Signing { keys, .. }), Some(trailer)) => {
                Some(sign::verify(keys, expect.version, source, message, &trailer)?)
            }
            (Some(Signing { mode: HmacMode::Enforce, .. }), None) => return Err(DropReason::Unsigned),
            (Some(Signing { mode: HmacMode::Permissive | HmacMode::ReceiveOnly, .. }), None) => None,
        };
        if advert.version == VrrpVersion::V2 {
            match (advert.password, expect.password) {
                (None, None) => {}
                (Some(theirs), Some(ours)) if theirs == ours => {}
                (Some(_), Some(_)) => return Err(DropReason::Password),
                (Some(_), None) => return Err(DropReason::AuthType(AUTH_TEXT)),
                (None, Some(_)) => return Err(DropReason::AuthType(AUTH_NONE)),
            }
            if advert.interval != expect.interval {
                let millis = advert.interval.as_millis();
                return Err(DropReason::Interval(u32::try_from(millis).unwrap_or(u32::MAX)));
            }
        }
        let same = advert.addresses.len() == expect.addresses.len()
            && expect.addresses.iter().all(|address| advert.addresses.contains(address));
        if same { Ok((advert, signed_at)) } else { Err(DropReason::Addresses) }
    }
}

/// A version as the wire has it.
pub(super) const fn version_number(version: VrrpVersion) -> u8 {
    match version {
        VrrpVersion::V2 => 2,
        VrrpVersion::V3 => 3,
    }
}

fn addresses(list: &[u8], size: usize) -> Vec<IpAddr> {
    let address = |bytes: &[u8]| -> Option<IpAddr> {
        match size {
            4 => bytes.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
            _ => bytes.first_chunk::<16>().map(|octets| IpAddr::from(*octets)),
        }
    };
    list.chunks_exact(size).filter_map(address).collect()
}

/// A text password as it stands in a packet: cut to 8 bytes, padded with zeros.
pub fn password(text: &str) -> [u8; 8] {
    let mut data = [0; AUTH];
    for (to, from) in data.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    data
}

/// The Internet checksum (RFC 1071) of the message, with the pseudo-header from a source to a destination.
fn checksum(header: Option<(IpAddr, IpAddr)>, message: &[u8]) -> u16 {
    let mut sum = 0_u64;
    let mut add = |bytes: &[u8]| {
        for pair in bytes.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    };
    if let Some((source, destination)) = header {
        for ip in [source, destination] {
            match ip {
                IpAddr::V4(ip) => add(&ip.octets()),
                IpAddr::V6(ip) => add(&ip.octets()),
            }
        }
        add(&[0, PROTOCOL]);
        add(&u16::try_from(message.len()).unwrap_or(u16::MAX).to_be_bytes());
    }
    add(message);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
