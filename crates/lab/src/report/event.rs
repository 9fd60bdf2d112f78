//! What was seen during one run, in the order it was seen. Probes and watches print these as JSON lines.

use std::net::IpAddr;

use relevo_model::{NodeName, Time};
use serde::{Deserialize, Serialize};

/// Something that the client's probe saw. `Time` is the machine's boot clock, the same in every namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "lowercase")]
pub enum ProbeEvent {
    /// A new connection was opened, asked for a page, and got a whole answer with a status below 500.
    Answer {
        /// When the connection was begun.
        sent: Time,
        /// When the answer was complete.
        at: Time,
        /// The HTTP status.
        status: u16,
        /// Who answered, as the answer itself says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<String>,
    },
    /// A new connection got no good answer.
    Lost {
        /// When the connection was begun.
        sent: Time,
        /// When it was given up.
        at: Time,
        /// What happened instead.
        why: LostReason,
    },
    /// A kept connection has its first answer: it counts from here on.
    Kept {
        /// Which one.
        connection: u32,
        /// When.
        at: Time,
    },
    /// A kept connection broke: its next request got no whole answer.
    Cut {
        /// Which one.
        connection: u32,
        /// When.
        at: Time,
        /// How.
        why: CutReason,
    },
}

/// Why a new connection got no good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LostReason {
    /// The connection was refused: the address is there, nobody listens.
    Refused,
    /// The connection was made and then reset or closed before the answer was whole.
    Reset,
    /// Nothing within the probe's deadline.
    Timeout,
    /// No way to the address: no route, or no answer to ARP.
    Unreachable,
    /// An answer with a status of 500 or more.
    #[serde(untagged)]
    Status(u16),
}

/// How a kept connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CutReason {
    /// It was reset.
    Reset,
    /// It was closed without `Connection: close` in the last answer, or in the middle of an answer.
    Closed,
    /// A request on it got no answer within the deadline.
    Timeout,
}

/// An address came onto or left a node, as the node's own kernel told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// When.
    pub at: Time,
    /// The node.
    pub node: NodeName,
    /// The address.
    pub ip: IpAddr,
    /// `true`: it was put on; `false`: it left.
    pub held: bool,
}

/// When the drill did what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Observation began: probes were being answered.
    pub start: Time,
    /// Just before the fault was made.
    pub fault: Time,
    /// Just before the fault was undone; `None`: not undone while observing.
    pub undone: Option<Time>,
    /// Observation ended.
    pub end: Time,
}

/// Everything that was seen in one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The address that the client asked.
    pub address: IpAddr,
    /// When the drill did what.
    pub marks: Marks,
    /// What the client saw.
    pub probes: Vec<ProbeEvent>,
    /// Who held which address.
    pub holdings: Vec<Holding>,
}

impl ProbeEvent {
    /// When it happened to the client: a loss when the connection was begun (it may be known only a deadline later),
    /// anything else when it was seen.
    pub const fn when(&self) -> Time {
        match self {
            Self::Lost { sent, .. } => *sent,
            Self::Answer { at, .. } | Self::Kept { at, .. } | Self::Cut { at, .. } => *at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_their_line() {
        let time = Time::from_millis(7);
        let events = [
            ProbeEvent::Answer { sent: time, at: time, status: 200, server: Some("serv1".into()) },
            ProbeEvent::Answer { sent: time, at: time, status: 404, server: None },
            ProbeEvent::Lost { sent: time, at: time, why: LostReason::Refused },
            ProbeEvent::Lost { sent: time, at: time, why: LostReason::Status(503) },
            ProbeEvent::Kept { connection: 3, at: time },
            ProbeEvent::Cut { connection: 3, at: time, why: CutReason::Timeout },
        ];
        for event in events {
            let line = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<ProbeEvent>(&line).unwrap(), event, "{line}");
        }
    }
}
