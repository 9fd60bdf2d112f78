//! A lease, and whose it is.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use relevo_model::cluster::Mac;
use sha2::{Digest, Sha256};

/// Longest client identifier that is kept as it is, bytes.
const MOST_ID: usize = 32;

/// Who asks: its client identifier (RFC 2132 section 9.14), or its hardware address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client(Vec<u8>);

impl Client {
    /// By its hardware address.
    pub fn of_mac(mac: Mac) -> Self {
        Self([&[0], &mac.0[..]].concat())
    }

    /// By its identifier; a long one by its SHA-256.
    pub fn of_id(id: &[u8]) -> Self {
        if id.len() > MOST_ID {
            return Self([&[2], &Sha256::digest(id)[..]].concat());
        }
        Self([&[1], id].concat())
    }

    /// At most 33 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What [`Client::as_bytes`] gave.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (1..=MOST_ID + 1).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// The client has it until its end.
    Bound,
    /// The client gave it back.
    Free,
    /// Somebody who was not asked uses it: nobody gets it until its end.
    Declined,
}

/// What all directors know about an address. The newest version holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub ip: Ipv4Addr,
    /// When this was decided, milliseconds since 1970, and more than that of what was before.
    pub version: u64,
    /// The director that made the change: decides between equal versions.
    pub origin: u32,
    /// What is with it.
    pub state: LeaseState,
    /// When the state ends, seconds since 1970.
    pub until: u64,
    /// Whose it is, or was.
    pub client: Client,
    /// The hardware address that asked.
    pub mac: Mac,
    /// What the client calls itself, a host name in lower case; empty: nothing.
    pub name: String,
}

impl Lease {
    /// Whether somebody has it.
    pub fn is_bound(&self, now_s: u64) -> bool {
        self.state == LeaseState::Bound && self.until > now_s
    }

    /// What decides which of two is newer.
    pub(super) fn age(&self) -> (u64, u32) {
        (self.version, self.origin)
    }
}

/// One line without its end, for a file.
impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ip, version, origin, state, until, client, mac, name } = self;
        let state = match state {
            LeaseState::Bound => "bound",
            LeaseState::Free => "free",
            LeaseState::Declined => "declined",
        };
        let name = if name.is_empty() { "-" } else { name };
        write!(f, "{ip} {version} {origin} {state} {until} {mac} {client:?} {name}")
    }
}

impl FromStr for Lease {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let mut words = line.split(' ');
        let mut word = || words.next().ok_or(());
        let ip = word()?.parse().map_err(drop)?;
        let version = word()?.parse().map_err(drop)?;
        let origin = word()?.parse().map_err(drop)?;
        let state = match word()? {
            "bound" => LeaseState::Bound,
            "free" => LeaseState::Free,
            "declined" => LeaseState::Declined,
            _ => return Err(()),
        };
        let until = word()?.parse().map_err(drop)?;
        let mac = word()?.parse()?;
        let digits = word()?.as_bytes();
        let byte =
            |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let client: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        let client = client.and_then(|bytes| Client::from_bytes(&bytes)).ok_or(())?;
        let name = match word()? {
            "-" => String::new(),
            name => host_name(name).ok_or(())?,
        };
        if words.next().is_some() {
            return Err(());
        }
        Ok(Self { ip, version, origin, state, until, client, mac, name })
    }
}

/// The first label of what a client calls itself, if it can be a host's name; in lower case.
pub(super) fn host_name(text: &str) -> Option<String> {
    let label = text.trim_end_matches('\0').split('.').next()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let right = (1..=63).contains(&label.len())
        && label.bytes().all(fits)
        && !label.starts_with('-')
        && !label.ends_with('-');
    right.then(|| label.to_ascii_lowercase())
}
