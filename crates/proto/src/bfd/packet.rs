//! The control packet (RFC 5880 section 4.1).

use std::fmt;
use std::time::Duration;

use super::TTL;

/// What a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionState {
    /// Held down by the operator.
    AdminDown,
    /// Nothing heard.
    Down,
    /// The neighbour is heard.
    Init,
    /// Each hears the other.
    Up,
}

/// Why a session went down last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Diagnostic {
    /// It did not.
    None,
    /// Nothing came for the detection time.
    TimeExpired,
    /// The neighbour said so.
    NeighborDown,
    /// The operator did.
    AdminDown,
    /// Another of RFC 5880 section 4.1.
    Other(u8),
}

/// A control packet without authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender's session went down.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: SessionState,
    /// An answer is asked for.
    pub poll: bool,
    /// It is that answer.
    pub is_final: bool,
    /// The sender wants no periodic packets.
    pub demand: bool,
    /// How many packets may be missing.
    pub multiplier: u8,
    /// The sender's session; not 0.
    pub own: u32,
    /// The receiver's session as the sender knows it; 0: not known.
    pub other: u32,
    /// Least time between packets that the sender would send.
    pub transmit: Duration,
    /// Least time between packets that the sender can take; zero: send none.
    pub receive: Duration,
}

/// Why a packet was not used (RFC 5880 section 6.8.6, RFC 5881 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// It came through a router.
    Ttl(u8),
    /// Another version.
    Version(u8),
    /// Shorter than it says or than any can be.
    Length(usize),
    /// A field cannot be so.
    Field(&'static str),
    /// It is authenticated, and this session is not.
    Authenticated,
    /// It is of another session.
    Session(u32),
    /// This session is stopped.
    Stopped,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ttl(ttl) => write!(f, "its TTL is {ttl}, not 255: it came through a router"),
            Self::Version(version) => write!(f, "its version is {version}, not 1"),
            Self::Length(length) => write!(f, "it has {length} bytes, and not what it says"),
            Self::Field(field) => write!(f, "{field} is wrong"),
            Self::Authenticated => write!(f, "it is authenticated, which this session is not"),
            Self::Session(session) => write!(f, "it is for the session {session}"),
            Self::Stopped => write!(f, "this session is stopped"),
        }
    }
}

impl Diagnostic {
    const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::TimeExpired => 1,
            Self::NeighborDown => 3,
            Self::AdminDown => 7,
            Self::Other(code) => code & 0x1f,
        }
    }

    const fn of(code: u8) -> Self {
        match code {
            0 => Self::None,
            1 => Self::TimeExpired,
            3 => Self::NeighborDown,
            7 => Self::AdminDown,
            other => Self::Other(other),
        }
    }
}

impl Packet {
    /// 24 bytes.
    pub fn encode(&self) -> [u8; 24] {
        let state = match self.state {
            SessionState::AdminDown => 0,
            SessionState::Down => 1,
            SessionState::Init => 2,
            SessionState::Up => 3,
        };
        let mut bytes = [0; 24];
        bytes[0] = 1 << 5 | self.diagnostic.code();
        bytes[1] =
            state << 6 | u8::from(self.poll) << 5 | u8::from(self.is_final) << 4 | u8::from(self.demand) << 1;
        bytes[2] = self.multiplier;
        bytes[3] = 24;
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let words = [self.own, self.other, micros(self.transmit), micros(self.receive), 0];
        for (place, word) in bytes[4..].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    /// Reads what came with this TTL.
    ///
    /// # Errors
    /// Why it must be dropped.
    pub fn decode(ttl: u8, bytes: &[u8]) -> Result<Self, DropReason> {
        if ttl != TTL {
            return Err(DropReason::Ttl(ttl));
        }
        let fixed: &[u8; 24] = bytes.first_chunk().ok_or(DropReason::Length(bytes.len()))?;
        if fixed[0] >> 5 != 1 {
            return Err(DropReason::Version(fixed[0] >> 5));
        }
        let said = usize::from(fixed[3]);
        if said < 24 || said > bytes.len() {
            return Err(DropReason::Length(bytes.len()));
        }
        if fixed[1] & 0b100 != 0 {
            return Err(DropReason::Authenticated);
        }
        if fixed[1] & 1 != 0 {
            return Err(DropReason::Field("the multipoint bit"));
        }
        let word = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        let packet = Self {
            diagnostic: Diagnostic::of(fixed[0] & 0x1f),
            state: match fixed[1] >> 6 {
                0 => SessionState::AdminDown,
                1 => SessionState::Down,
                2 => SessionState::Init,
                _ => SessionState::Up,
            },
            poll: fixed[1] & 0x20 != 0,
            is_final: fixed[1] & 0x10 != 0,
            demand: fixed[1] & 0b10 != 0,
            multiplier: fixed[2],
            own: word(4),
            other: word(8),
            transmit: Duration::from_micros(word(12).into()),
            receive: Duration::from_micros(word(16).into()),
        };
        if packet.multiplier == 0 {
            return Err(DropReason::Field("the detect multiplier"));
        }
        if packet.own == 0 {
            return Err(DropReason::Field("the sender's discriminator"));
        }
        if packet.poll && packet.is_final {
            return Err(DropReason::Field("poll and final together"));
        }
        if packet.other == 0 && !matches!(packet.state, SessionState::Down | SessionState::AdminDown) {
            return Err(DropReason::Field("the receiver's discriminator"));
        }
        Ok(packet)
    }
}
