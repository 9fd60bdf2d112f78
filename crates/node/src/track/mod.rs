//! What this director watches, and what that makes of its groups.
//!
//! ```text
//!  a thread "track":  looks (look, process, file, lb::command, lb::ping, net) ─► proto::track ─► Standing
//!                                                                                     │ when it changes, and once a second
//!                                                                                     ▼
//!                                                              Director::stand ─► proto::vrrp::Group
//! ```
//!
//! The director's thread never waits for a look: it hears of a standing as of any command. A thread that is stuck, as in a
//! file system that does not answer, leaves the last standing as it is.

mod look;
mod process;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use relevo_api::types::{TrackerEffect, TrackerStatus, TrackerVerdict};
use relevo_model::cluster::{AtStart, ClusterFile, Group};
use relevo_model::{GroupName, NodeName, Time};
use relevo_net::clock;
use relevo_proto::track::{Effect, Settings, Standing, Tracker, Verdict};
use tokio::sync::Notify;

use crate::control::Node;
use watch::Watch;

/// How this node stands in a group, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stand {
    /// 1 to 254.
    pub(crate) priority: u8,
    /// Whether all has been looked at, and nothing speaks against what was seen before.
    pub(crate) ready: bool,
    /// Why it cannot hold the addresses.
    pub(crate) trouble: Option<String>,
}

/// The trackers of a node, ready to look.
#[derive(Debug)]
pub(crate) struct Prepared {
    groups: Vec<Tracked>,
}

/// A group with what is watched for it.
#[derive(Debug)]
struct Tracked {
    name: GroupName,
    /// What the file says.
    priority: u8,
    slots: Vec<Slot>,
    /// What the director was told last, and when.
    told: Option<(Stand, Time)>,
}

/// A tracker at work.
#[derive(Debug)]
struct Slot {
    config: relevo_model::cluster::Tracker,
    machine: Tracker,
    /// When to look next; `None`: a look is under way.
    next: Option<Time>,
    /// The look that is under way: a late answer of another one is known.
    number: u64,
    /// It has looked; at servers, when they have been checked.
    looked: bool,
    /// The operator has been told that it cannot look.
    told: bool,
}

/// The thread that looks.
#[derive(Debug)]
pub(crate) struct Tracking {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What others see of the thread, and tell it.
#[derive(Debug, Default)]
struct Shared {
    board: Mutex<BTreeMap<GroupName, (u8, Vec<TrackerStatus>)>>,
    nudge: Notify,
    /// The kernel has told of links.
    links: AtomicBool,
    stopped: AtomicBool,
}

impl Prepared {
    /// The trackers of all groups that a node is of. `goes_on`: another process of this node was a director until now, so
    /// that what it knew is taken for granted until something else is seen.
    pub(crate) fn new(cluster: &ClusterFile, node: &NodeName, goes_on: bool) -> Self {
        let now = clock::now();
        let ours = cluster.groups.iter().filter_map(|group| Some((group, group.priority_of(node)?)));
        let groups = ours.map(|(group, priority)| Tracked {
            name: group.name.clone(),
            priority,
            slots: slots(cluster, group, Vec::new(), now, goes_on),
            told: None,
        });
        Self { groups: groups.collect() }
    }

    /// How the groups stand before anything was looked at.
    pub(crate) fn stands(&self) -> Vec<(GroupName, Stand)> {
        self.groups.iter().map(|group| (group.name.clone(), group.stand())).collect()
    }

    /// Begins to look.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start(self, node: &Arc<Node>) -> io::Result<Tracking> {
        let shared = Arc::<Shared>::default();
        let watch = Watch::new(self.groups, Arc::downgrade(node), Arc::clone(&shared));
        watch.publish();
        let thread = std::thread::Builder::new().name("track".to_owned()).spawn(move || watch.run())?;
        Ok(Tracking { shared, thread: Some(thread) })
    }
}

/// The trackers of a group; those that were there go on.
fn slots(cluster: &ClusterFile, group: &Group, mut former: Vec<Slot>, now: Time, goes_on: bool) -> Vec<Slot> {
    let slot = |mut config: relevo_model::cluster::Tracker| {
        if let Some(place) = former.iter().position(|slot| slot.config == config) {
            return former.swap_remove(place);
        }
        let written = config.clone();
        if goes_on {
            config.at_start = AtStart::Unknown;
        }
        let machine = Tracker::new(Settings::from(&config), now);
        Slot { config: written, machine, next: Some(now), number: 0, looked: false, told: false }
    };
    cluster.trackers_of(group).into_iter().map(slot).collect()
}

impl Tracked {
    fn stand(&self) -> Stand {
        let effects = self.slots.iter().map(|slot| slot.machine.effect());
        let Standing { priority, fault } = Standing::of(self.priority, effects);
        let trouble = fault.and_then(|place| self.slots.get(place)).map(|slot| {
            format!(
                "tracker {} ({}): {}",
                slot.config.name,
                look::words(&slot.config.what),
                slot.machine.evidence()
            )
        });
        Stand {
            priority,
            ready: self.slots.iter().all(|slot| slot.looked && slot.machine.is_certain()),
            trouble,
        }
    }

    fn status(&self) -> Vec<TrackerStatus> {
        let status = |slot: &Slot| TrackerStatus {
            name: slot.config.name.clone(),
            watches: look::words(&slot.config.what),
            verdict: verdict(slot.machine.verdict()),
            weight: slot.config.weight,
            effect: effect(slot.machine.effect()),
            since: crate::words::wall_of(slot.machine.since()),
            evidence: slot.machine.evidence().to_owned(),
        };
        self.slots.iter().map(status).collect()
    }
}

impl Tracking {
    /// The priority of a group as its trackers say, and its trackers.
    pub(crate) fn of(&self, group: &str) -> Option<(u8, Vec<TrackerStatus>)> {
        lock(&self.shared.board).get(group).cloned()
    }

    /// Ends the thread. A look that is under way is given up.
    pub(crate) fn stop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.nudge.notify_one();
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whole values are put into it: a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The word of a verdict.
const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unknown => "unknown",
        Verdict::Up => "up",
        Verdict::Down => "down",
    }
}

const fn verdict(verdict: Verdict) -> TrackerVerdict {
    match verdict {
        Verdict::Unknown => TrackerVerdict::Unknown,
        Verdict::Up => TrackerVerdict::Up,
        Verdict::Down => TrackerVerdict::Down,
    }
}

const fn effect(effect: Effect) -> TrackerEffect {
    match effect {
        Effect::None => TrackerEffect::None,
        Effect::Weight(weight) => TrackerEffect::Weight(weight),
        Effect::Fault => TrackerEffect::Fault,
    }
}
