//! Handing everything over to a new process of the program, which may be a newer one, without a break.
//!
//! ```text
//!   former process                                  next process
//!     starts its program, a socket as its stdin ──►
//!     Estate, copies of all sockets ──────────────►   reads the file, has all that a start needs, balances
//!                                    ◄────────────── Ready
//!     director ends without a word
//!     Groups ─────────────────────────────────────►   director goes on: holds, advertises
//!                                    ◄────────────── Done: the control socket is served
//!     accepts nothing, finishes its connections
//! ```
//! Listening sockets are the same ones in both processes: what the kernel has accepted waits until one of them takes it.
//! Until `Done` the former process can go on as if nothing had happened, and does so whatever goes wrong before.

mod giver;
mod heir;
mod program;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use relevo_lb::{Health, Known};
use relevo_model::{GroupName, PoolName, ServerName, Time};
use relevo_proto::vrrp::Handed;
use serde::{Deserialize, Serialize};

pub(crate) use giver::Giver;
pub use heir::HeirError;
pub(crate) use heir::{Belongings, Heir};
pub(crate) use program::Program;

/// Set for a process that takes over; its stdin is the socket of the former one.
const VARIABLE: &str = "RELEVO_TAKE_OVER";
/// The language of both; another one is not understood.
const LANGUAGE: &str = "1";
/// Time for each step of the other process.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the next process gets. The descriptors come behind it, in this order.
#[derive(Debug, Serialize, Deserialize)]
struct Estate {
    pid: u32,
    workers: usize,
    servers: Vec<ServerWord>,
    /// What each descriptor is.
    sockets: Vec<Place>,
    /// Folders that were made: run and state.
    made: [Vec<PathBuf>; 2],
}

/// What a descriptor is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    /// Where errors and the log are written.
    Stderr,
    /// The lock of the run folder.
    RunLock,
    /// The lock of the state folder.
    StateLock,
    /// The control socket.
    Control,
    /// A socket of the statistics page.
    Stats(SocketAddr),
    /// One of the balancer.
    Balancer(String),
}

/// What is known of a server.
#[derive(Debug, Serialize, Deserialize)]
struct ServerWord {
    pool: PoolName,
    server: ServerName,
    at: SocketAddr,
    /// `None`: unknown.
    up: Option<bool>,
    #[serde(default)]
    leaving: bool,
    #[serde(default)]
    agent: Option<String>,
    /// Nanoseconds since boot.
    since: u64,
    reason: String,
    weight: Option<u16>,
}

/// What the next process says.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// It has all that it needs, and balances.
    Ready {
        /// Its version.
        version: String,
    },
    /// It has everything.
    Done,
}

/// The groups of the former process's director.
#[derive(Debug, Serialize, Deserialize)]
struct Groups(Vec<GroupWord>);

#[derive(Debug, Serialize, Deserialize)]
struct GroupWord {
    name: GroupName,
    /// Nanoseconds since boot.
    active: Option<u64>,
    claimed: bool,
    behind: bool,
}

impl From<Known> for ServerWord {
    fn from(known: Known) -> Self {
        let Known { pool, server, at, health, leaving, agent, since, reason, weight } = known;
        let up = match health {
            Health::Unknown => None,
            Health::Up => Some(true),
            Health::Down => Some(false),
        };
        Self { pool, server, at, up, leaving, agent, since: since.as_nanos(), reason, weight }
    }
}

impl From<ServerWord> for Known {
    fn from(word: ServerWord) -> Self {
        let ServerWord { pool, server, at, up, leaving, agent, since, reason, weight } = word;
        let health = match up {
            None => Health::Unknown,
            Some(true) => Health::Up,
            Some(false) => Health::Down,
        };
        Self { pool, server, at, health, leaving, agent, since: Time::from_nanos(since), reason, weight }
    }
}

impl Groups {
    fn of(groups: &[(GroupName, Handed)]) -> Self {
        let word = |(name, handed): &(GroupName, Handed)| GroupWord {
            name: name.clone(),
            active: handed.active.map(Time::as_nanos),
            claimed: handed.claimed,
            behind: handed.behind,
        };
        Self(groups.iter().map(word).collect())
    }

    fn into_handed(self) -> Vec<(GroupName, Handed)> {
        let handed = |word: GroupWord| {
            let active = word.active.map(Time::from_nanos);
            (word.name, Handed { active, claimed: word.claimed, behind: word.behind })
        };
        self.0.into_iter().map(handed).collect()
    }
}
