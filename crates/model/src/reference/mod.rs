//! Every key of the cluster file: its type, range, default, modes and meaning, one table for each table of the file.
//!
//! The reader takes from here which keys there are and which values they can have; `relevo reference` and
//! `docs/reference/cluster-file.md` are written from it. So they cannot say different things. How a value is understood is
//! the reader's business.

mod check;
mod cluster;
mod dhcp;
mod lab;
mod layer2;
mod markdown;
mod operation;
mod peers;
mod pool;
mod rule;
mod service;
mod tls;
mod track;
mod vrrp;

use std::time::Duration;

use serde::Serialize;

use crate::cluster::Mode;

pub use markdown::{document, markdown};

pub(crate) use check::{AGENT, CHECK, STEP};
pub(crate) use cluster::{ADDRESS, GROUP, INTERFACE, NETWORK, NODE, TOP};
pub(crate) use dhcp::{DHCP, DHCP_HOST, DNS};
pub(crate) use lab::{CLIENT, HOST, LAB, LINK, SWITCH, VXLAN};
pub(crate) use layer2::{BOND, BRIDGE, FIREWALL, GATEWAY, LAYER2, MACVLAN, VLAN, VXLAN_DEVICE};
pub(crate) use operation::{LOG, STATS, USERS};
pub(crate) use peers::{BFD, PEERS};
pub(crate) use pool::{AFFINITY, COOKIE, HASH, POOL, POOL_TIMEOUT, SERVER};
pub(crate) use rule::{AUTH, CONDITION, RATE, REDIRECT, RETURN, RULE, TARPIT};
pub(crate) use service::{CACHE, COMPRESS, LIMIT, LISTEN, SERVICE, SERVICE_LOG, SERVICE_TIMEOUT, SYNPROXY};
pub(crate) use tls::{ACME, CERTIFICATE, CLIENT_TLS, SERVER_TLS};
pub(crate) use track::{DELAY, POLICY, ROUTE, TRACK};
pub(crate) use vrrp::{ANNOUNCE, HMAC, UNICAST};

/// What a value looks like, with both ends of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "type")]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer {
        /// The least.
        least: i64,
        /// The most.
        most: i64,
    },
    /// A duration, as text.
    Duration {
        /// The shortest, milliseconds.
        least: u64,
        /// The longest, milliseconds.
        most: u64,
    },
    /// A size, as text.
    Size {
        /// The smallest, bytes.
        least: u64,
        /// The largest, bytes.
        most: u64,
    },
    /// One of a few words, as text.
    Words {
        /// The words.
        words: &'static [&'static str],
    },
    /// Something else, told in Markdown.
    Other {
        /// What it looks like.
        form: &'static str,
    },
}

/// What holds when a key is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "is", content = "text")]
pub enum Otherwise {
    /// The key must be there.
    Required,
    /// This value, as it would be written.
    Value(&'static str),
    /// Something that is told in Markdown.
    Told(&'static str),
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Its name; in capitals what the operator chooses.
    pub name: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// What holds without it.
    pub default: Otherwise,
    /// The modes of a service in which it has a meaning.
    pub modes: &'static [Mode],
    /// What it means, Markdown.
    pub meaning: &'static str,
}

/// A table of the cluster file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Its heading, Markdown.
    pub title: &'static str,
    /// What is said before its keys.
    pub before: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
    /// What is said after its keys.
    pub after: &'static str,
}

/// Milliseconds of a second, a minute, an hour, a day, for ranges of durations.
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const ALL: &[Mode] = &[Mode::Tcp, Mode::Http, Mode::Udp];
const LAYER_4: &[Mode] = &[Mode::Tcp, Mode::Udp];
const TCP: &[Mode] = &[Mode::Tcp];
const STREAMS: &[Mode] = &[Mode::Tcp, Mode::Http];

impl Key {
    const fn new(name: &'static str, kind: Kind, meaning: &'static str) -> Self {
        Self { name, kind, default: Otherwise::Told(""), modes: ALL, meaning }
    }

    const fn boolean(name: &'static str, meaning: &'static str) -> Self {
        Self::new(name, Kind::Boolean, meaning)
    }

    const fn integer(name: &'static str, least: i64, most: i64, meaning: &'static str) -> Self {
        Self::new(name, Kind::Integer { least, most }, meaning)
    }

    const fn duration(name: &'static str, least: u64, most: u64, meaning: &'static str) -> Self {
        Self::new(name, Kind::Duration { least, most }, meaning)
    }

    const fn size(name: &'static str, least: u64, most: u64, meaning: &'static str) -> Self {
        Self::new(name, Kind::Size { least, most }, meaning)
    }

    const fn words(name: &'static str, words: &'static [&'static str], meaning: &'static str) -> Self {
        Self::new(name, Kind::Words { words }, meaning)
    }

    const fn other(name: &'static str, form: &'static str, meaning: &'static str) -> Self {
        Self::new(name, Kind::Other { form }, meaning)
    }

    /// Without it this value holds.
    const fn or(self, value: &'static str) -> Self {
        Self { default: Otherwise::Value(value), ..self }
    }

    /// Without it this holds, in words.
    const fn or_told(self, words: &'static str) -> Self {
        Self { default: Otherwise::Told(words), ..self }
    }

    const fn required(self) -> Self {
        Self { default: Otherwise::Required, ..self }
    }

    /// It has a meaning in mode `http` only.
    const fn http(self) -> Self {
        Self { modes: &[Mode::Http], ..self }
    }

    /// It has no meaning in mode `http`.
    const fn layer_4(self) -> Self {
        Self { modes: LAYER_4, ..self }
    }

    /// It has a meaning in mode `tcp` alone.
    const fn tcp(self) -> Self {
        Self { modes: TCP, ..self }
    }

    /// It has no meaning in mode `udp`.
    const fn streams(self) -> Self {
        Self { modes: STREAMS, ..self }
    }
}

impl Table {
    /// The names of all keys.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.keys.iter().map(|key| key.name)
    }

    /// The key of this name.
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Kind {
    /// The range of a duration.
    pub(crate) const fn times(self) -> Option<(Duration, Duration)> {
        match self {
            Self::Duration { least, most } => {
                Some((Duration::from_millis(least), Duration::from_millis(most)))
            }
            Self::Boolean
            | Self::Integer { .. }
            | Self::Size { .. }
            | Self::Words { .. }
            | Self::Other { .. } => None,
        }
    }
}
