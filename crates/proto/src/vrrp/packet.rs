//! The VRRP message on the wire: encoding, decoding, and why a packet is dropped.
//!
//! ```text
//!  0        1        2        3            version 3: RFC 9568 section 5.1
//! +--------+--------+--------+--------+
//! |ver type| vrid   |priority| count  |
//! +--------+--------+--------+--------+
//! |rsvd,interval_cs | checksum        |    version 2 (RFC 3768): authentication type, interval_s
//! +-----------------+-----------------+
//! | IPv4 address 1 .. count           |    version 2: 8 bytes of authentication data follow
//! +-----------------------------------+
//! ```
//!
//! Checks are as strict as keepalived's, and where RFC 9568 leaves a choice (section 7.1: the receiver MAY verify
//! the addresses) this decoder does what keepalived does: the list of addresses must be the same set as ours, in any
//! order, or the packet is dropped. Trailing bytes are dropped too. The checksum of version 3 is over the IPv4
//! pseudo-header to 224.0.0.18 and the message; forms without it (old keepalived modes) are not accepted.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use relevo_model::cluster::VrrpVersion;

use super::timer;

/// The IPv4 multicast group of VRRP (RFC 9568 section 5.1.1.2).
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// The IP protocol number of VRRP (RFC 9568 section 5.1.1.4).
pub const PROTOCOL: u8 = 112;
/// The TTL that every packet has and must have (RFC 9568 section 5.1.1.3).
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
    pub addresses: Vec<Ipv4Addr>,
    /// Text password, version 2 only, padded with zeros.
    pub password: Option<[u8; 8]>,
}

/// Why a packet was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// TTL is not 255: it did not come from this network.
    Ttl(u8),
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
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ttl(ttl) => write!(f, "TTL is {ttl}, must be 255"),
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
    pub source: Ipv4Addr,
    /// Our virtual addresses, in any order.
    pub addresses: &'a [Ipv4Addr],
    /// Our interval (compared in version 2).
    pub interval: Duration,
    /// Our password (compared in version 2).
    pub password: Option<[u8; 8]>,
}

impl Advert {
    /// Writes the message; `source` goes into the checksum of version 3.
    ///
    /// The interval is cut to what the wire can say ([`timer::on_the_wire`]); addresses beyond 255 are left out.
    pub fn encode(&self, source: Ipv4Addr) -> Vec<u8> {
        let interval = timer::on_the_wire(self.version, self.interval);
        let addresses = &self.addresses[..self.addresses.len().min(255)];
        let count = u8::try_from(addresses.len()).unwrap_or(u8::MAX);
        let mut bytes = Vec::with_capacity(HEADER + 4 * addresses.len() + AUTH);
        bytes.push(self.version_number() << 4 | ADVERTISEMENT);
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
            bytes.extend(address.octets());
        }
        if self.version == VrrpVersion::V2 {
            bytes.extend(self.password.unwrap_or_default());
        }
        let sum = checksum(self.version, source, &bytes);
        bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// Reads a message as it stands, without comparing it with anything of ours but the version.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn decode(version: VrrpVersion, source: Ipv4Addr, bytes: &[u8]) -> Result<Self, DropReason> {
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
        let want = HEADER + 4 * usize::from(count) + auth;
        if bytes.len() != want {
            return Err(DropReason::Length { want, got: bytes.len() });
        }
        // Summing up a message with its right checksum gives zero (RFC 1071).
        if checksum(version, source, bytes) != 0 {
            return Err(DropReason::Checksum);
        }
        let (list, auth_data) = rest.split_at(4 * usize::from(count));
        let addresses = list.chunks_exact(4).map(|quad| Ipv4Addr::new(quad[0], quad[1], quad[2], quad[3]));
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
        Ok(Self { version, vrid, priority, interval, addresses: addresses.collect(), password })
    }

    /// Reads a received packet and compares it with what we expect (RFC 9568 section 7.1, RFC 3768 section 7.1).
    ///
    /// # Errors
    /// The first reason not to use it.
    pub fn receive(expect: &Expect<'_>, source: Ipv4Addr, ttl: u8, bytes: &[u8]) -> Result<Self, DropReason> {
        if ttl != TTL {
            return Err(DropReason::Ttl(ttl));
        }
        let advert = Self::decode(expect.version, source, bytes)?;
        if advert.vrid != expect.vrid {
            return Err(DropReason::Vrid(advert.vrid));
        }
        if source == expect.source {
            return Err(DropReason::OwnSource);
        }
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
        if same { Ok(advert) } else { Err(DropReason::Addresses) }
    }

    fn version_number(&self) -> u8 {
        match self.version {
            VrrpVersion::V2 => 2,
            VrrpVersion::V3 => 3,
        }
    }
}

/// A text password as it stands in a packet: cut to 8 bytes, padded with zeros.
pub fn password(text: &str) -> [u8; 8] {
    let mut data = [0; AUTH];
    for (to, from) in data.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    data
}

/// The Internet checksum (RFC 1071) of the message, in version 3 with the IPv4 pseudo-header (RFC 9568 section 5.2.8).
fn checksum(version: VrrpVersion, source: Ipv4Addr, message: &[u8]) -> u16 {
    let mut sum = 0_u64;
    let mut add = |bytes: &[u8]| {
        for pair in bytes.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    };
    if version == VrrpVersion::V3 {
        add(&source.octets());
        add(&GROUP.octets());
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
