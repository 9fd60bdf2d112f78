//! How the connections fared, together and by server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Reasons that are kept, and stalls.
const MOST: usize = 8;

/// How they fared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flows {
    /// Downloads.
    pub downloads: u32,
    /// Uploads.
    #[serde(default)]
    pub uploads: u32,
    /// Connections that asked now and then.
    pub kept: u32,
    /// Of all, those that broke or were silent for 15 s.
    pub lost: u32,
    /// Of those, the ones that were reset.
    #[serde(default)]
    pub reset: u32,
    /// Downloads and uploads whose content was not right.
    pub wrong: u32,
    /// The longest that one of them waited for the next bytes, milliseconds.
    pub longest_ms: u64,
    /// The longest that the client itself was late: a busy machine, and no fault of the cluster. Milliseconds.
    #[serde(default)]
    pub late_ms: u64,
    /// The same by the server that each of them has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub servers: BTreeMap<String, Part>,
    /// Servers that did not live through it, as the drill says; not the client.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dead: Vec<String>,
    /// The longest waits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stalls: Vec<Stall>,
    /// When the last of those that were lost knew it, milliseconds since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_at: Option<u64>,
    /// From the fault until then, milliseconds, as the drill says; 0: none was lost.
    #[serde(default)]
    pub dark_ms: u64,
    /// Times that an answer asked for another connection.
    #[serde(default)]
    pub anew: u32,
    /// Why the first ones were lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<Loss>,
}

/// Why a connection was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The connection: what it is for, and its port at the client.
    pub flow: String,
    /// Its server; empty: none had said its name yet.
    pub server: String,
    /// What its client was told.
    pub why: String,
}

/// How the connections of a server fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// How many there were.
    pub flows: u32,
    /// Lost, or with wrong content.
    pub lost: u32,
    /// The longest wait of one that was not lost, milliseconds.
    pub longest_ms: u64,
}

/// A wait of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stall {
    /// The connection: what it is for, and its port at the client.
    pub flow: String,
    /// Its server.
    pub server: String,
    /// How long, milliseconds.
    pub ms: u64,
    /// When it began, milliseconds after the client did.
    pub at_ms: u64,
}

/// What becomes of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate {
    /// What it is for, and its port.
    pub(super) flow: String,
    /// Who answers it; empty: nobody has yet.
    pub(super) server: String,
    /// Its longest wait, and when that began.
    pub(super) longest_ms: u64,
    pub(super) at_ms: u64,
    /// Its content is not right.
    pub(super) wrong: bool,
    /// It was reset.
    pub(super) reset: bool,
}

impl Flows {
    /// How many there were.
    pub const fn count(&self) -> u32 {
        self.downloads + self.uploads + self.kept
    }

    /// Those of servers that lived: how many, how many of them were lost or wrong, and the longest wait of the others.
    pub fn living(&self) -> Part {
        let living = self.servers.iter().filter(|(server, _)| !self.dead.contains(server));
        living.fold(Part::default(), |sum, (_, part)| Part {
            flows: sum.flows + part.flows,
            lost: sum.lost + part.lost,
            longest_ms: sum.longest_ms.max(part.longest_ms),
        })
    }

    pub(super) fn add(&mut self, fate: &Fate, lost: Option<String>) {
        let part = self.servers.entry(fate.server.clone()).or_default();
        part.flows += 1;
        part.lost += u32::from(lost.is_some() || fate.wrong);
        self.wrong += u32::from(fate.wrong);
        self.reset += u32::from(fate.reset);
        match lost {
            None => part.longest_ms = part.longest_ms.max(fate.longest_ms),
            Some(why) => {
                self.lost += 1;
                if self.why.len() < MOST {
                    self.why.push(Loss { flow: fate.flow.clone(), server: fate.server.clone(), why });
                }
            }
        }
        self.longest_ms = self.longest_ms.max(fate.longest_ms);
        self.stalls.push(Stall {
            flow: fate.flow.clone(),
            server: fate.server.clone(),
            ms: fate.longest_ms,
            at_ms: fate.at_ms,
        });
        self.stalls.sort_by_key(|stall| std::cmp::Reverse(stall.ms));
        self.stalls.truncate(MOST);
    }
}
