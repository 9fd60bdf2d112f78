//! What the statistics say, in whatever form: one moment of this node. Times are milliseconds since 1970-01-01 UTC.

use std::net::SocketAddr;

use relevo_lb::{Figures, WorkerSnapshot};
use relevo_model::cluster::Mode;

/// One moment of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) cluster: String,
    /// The director that answers.
    pub(crate) node: String,
    pub(crate) version: &'static str,
    pub(crate) pid: u32,
    /// When the process started.
    pub(crate) since: u64,
    pub(crate) now: u64,
    /// Each group of addresses, and whether this director holds it.
    pub(crate) groups: Vec<(String, bool)>,
    /// Their priorities, as their trackers say.
    pub(crate) priorities: Vec<(String, u8)>,
    /// What they watch.
    pub(crate) trackers: Vec<TrackerReport>,
    pub(crate) services: Vec<ServiceReport>,
    pub(crate) pools: Vec<PoolReport>,
    /// Lines of the access log that could not be written.
    pub(crate) lost_lines: u64,
    /// The balancer's threads.
    pub(crate) workers: Vec<WorkerSnapshot>,
}

/// Something that a group watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrackerReport {
    pub(crate) group: String,
    pub(crate) name: String,
    /// `None`: unknown.
    pub(crate) up: Option<bool>,
}

/// How many came in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rate {
    /// In the last one.
    pub(crate) current: u64,
    /// The most.
    pub(crate) most: u64,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceReport {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    /// The pool that answers unless a rule says otherwise.
    pub(crate) pool: String,
    pub(crate) listen: Vec<SocketAddr>,
    /// Most client connections.
    pub(crate) limit: u64,
    pub(crate) figures: Figures,
    pub(crate) sessions: Rate,
    pub(crate) requests: Rate,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolReport {
    pub(crate) name: String,
    /// Since when any server may get work, or none.
    pub(crate) since: u64,
    /// Times that none was left.
    pub(crate) downs: u64,
    /// How long none was there altogether, seconds.
    pub(crate) downtime: u64,
    pub(crate) mode: Mode,
    /// How it balances, as in the cluster file.
    pub(crate) balance: String,
    /// Whether the fallback is answering.
    pub(crate) fallback: bool,
    pub(crate) figures: Figures,
    pub(crate) sessions: Rate,
    pub(crate) servers: Vec<ServerReport>,
}

/// What is to be seen of a server at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Look {
    /// Answers and gets work.
    Up,
    /// Does not answer.
    Down,
    /// The operator, or its agent, lets it finish what it has.
    Drain,
    /// It finishes what it has, as it said itself to a check.
    Leaving,
    /// The operator, or its agent, has stopped it.
    Maint,
    /// Is checked, and has not been yet.
    Unknown,
    /// Is not checked.
    Unchecked,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerReport {
    pub(crate) name: String,
    pub(crate) at: SocketAddr,
    pub(crate) look: Look,
    /// Since when its health is so.
    pub(crate) since: u64,
    /// The evidence for its health, in words.
    pub(crate) reason: String,
    /// The same as HAProxy says it, and the status of the answer; empty: it is not checked.
    pub(crate) checked: (&'static str, Option<u16>),
    /// How near it is to going down or coming up; `None`: it is not checked.
    pub(crate) row: Option<CheckRow>,
    /// Why the operator took it out of work, in the operator's words; empty: nothing was said.
    pub(crate) asked: String,
    /// When it is ready again by itself.
    pub(crate) until: Option<u64>,
    /// What the operator, or else the file, says.
    pub(crate) weight: u16,
    /// As much of it as its agent wants.
    pub(crate) effective: u16,
    pub(crate) backup: bool,
    /// Most requests or connections at a time.
    pub(crate) limit: Option<u32>,
    pub(crate) cookie: Option<String>,
    pub(crate) figures: Figures,
    pub(crate) sessions: Rate,
    /// Checks that failed while it was not down.
    pub(crate) check_failures: u64,
    /// Times that it went down.
    pub(crate) downs: u64,
    /// How long it was down altogether, seconds.
    pub(crate) downtime: u64,
}

impl Look {
    /// HAProxy's word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Up => "UP",
            Self::Down => "DOWN",
            Self::Drain => "DRAIN",
            Self::Leaving => "NOLB",
            Self::Maint => "MAINT",
            Self::Unknown => "UNKNOWN",
            Self::Unchecked => "no check",
        }
    }

    /// The word for style sheets and labels.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Drain => "drain",
            Self::Leaving => "nolb",
            Self::Maint => "maint",
            Self::Unknown => "unknown",
            Self::Unchecked => "unchecked",
        }
    }

    /// All of them.
    pub(crate) const ALL: [Self; 7] =
        [Self::Up, Self::Down, Self::Drain, Self::Leaving, Self::Maint, Self::Unknown, Self::Unchecked];

    /// Whether it may get work, if it has a weight.
    const fn is_usable(self) -> bool {
        matches!(self, Self::Up | Self::Unchecked | Self::Unknown)
    }
}

/// Checks in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckRow {
    /// Those that speak against what it is.
    pub(crate) against: u32,
    /// Good ones that bring it up.
    pub(crate) rise: u32,
    /// Bad ones that take it down.
    pub(crate) fall: u32,
}

impl ServerReport {
    /// HAProxy's word, with the checks that are left of a server that is failing (`UP 2/3`), and those that were good of one
    /// that is coming up (`DOWN 1/2`).
    pub(crate) fn word(&self) -> String {
        let word = self.look.word();
        match (self.row, self.look) {
            (Some(CheckRow { against: against @ 1.., fall, .. }), Look::Up | Look::Drain | Look::Leaving) => {
                format!("{word} {}/{fall}", fall.saturating_sub(against))
            }
            (Some(CheckRow { against: against @ 1.., rise, .. }), Look::Down) => {
                format!("{word} {against}/{rise}")
            }
            _ => word.to_owned(),
        }
    }

    /// HAProxy's number for the same: below `rise` it is down, and `rise + fall - 1` is the best.
    pub(crate) fn check_health(&self) -> Option<u32> {
        let CheckRow { against, rise, fall } = self.row?;
        match self.look {
            Look::Down => Some(against),
            Look::Up | Look::Drain | Look::Leaving => Some((rise + fall).saturating_sub(1 + against)),
            Look::Maint | Look::Unknown | Look::Unchecked => None,
        }
    }

    /// Whether it may get work: one of weight 0 may not.
    pub(crate) const fn is_usable(&self) -> bool {
        self.look.is_usable() && self.effective > 0
    }
}

impl PoolReport {
    /// Servers that may get work: without backups, and the backups.
    pub(crate) fn usable(&self) -> (usize, usize) {
        let count =
            |backup| self.servers.iter().filter(|one| one.backup == backup && one.is_usable()).count();
        (count(false), count(true))
    }

    /// Whether anybody answers.
    pub(crate) fn is_up(&self) -> bool {
        self.fallback || self.usable() != (0, 0)
    }

    /// The weight of those who get work now.
    pub(crate) fn weight(&self) -> u64 {
        let backup = self.usable().0 == 0;
        let usable = self.servers.iter().filter(|one| one.backup == backup && one.is_usable());
        usable.map(|one| u64::from(one.effective)).sum()
    }
}

/// The word of a mode, as in the cluster file.
pub(crate) const fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Tcp => "tcp",
        Mode::Http => "http",
        Mode::Udp => "udp",
    }
}
