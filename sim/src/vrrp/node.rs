//! A node: a clock with its own rate, a process that can be paused or killed, and the kernel's leases.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use relevo_model::Time;
use relevo_proto::vrrp::{Group, Settings, State, timer};

use super::health::Watch;

/// Packets that a socket keeps for a process that does not read; more are lost, as in a kernel.
const SOCKET: usize = 200;

/// What the process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// It runs.
    Running,
    /// Stopped; packets wait in its socket.
    Paused,
    /// Not there.
    Dead,
}

/// A packet waiting in a socket.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The router (network) that it came in on.
    pub net: usize,
    /// Its source.
    pub source: IpAddr,
    /// Where it went.
    pub destination: IpAddr,
    /// The message.
    pub bytes: Vec<u8>,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// How its group is set up.
    pub settings: Settings,
    /// The machine, while there is a process.
    pub group: Option<Group>,
    /// The process.
    pub process: Process,
    /// Link of each network.
    pub links: Vec<bool>,
    /// The socket of a paused process.
    pub inbox: VecDeque<Packet>,
    /// What it watches.
    pub watch: Watch,
    /// A shutdown was asked for.
    pub stopping: bool,
    /// Counts the wake-ups asked for; only the last one counts.
    pub wake: u64,
    /// True time at which the kernel removes the addresses, if it has them.
    pub lease_ends: Option<Time>,
    /// Whether the machine said Hold and not Release since.
    pub holding: bool,
    /// Whether the addresses are those of a process that died.
    pub left_over: bool,
    /// Local time before which it must not advertise itself.
    pub quiet_until: Time,
    /// Local time of the last Claim.
    pub claimed_at: Option<Time>,
    /// True time at which the process was paused.
    pub paused_at: Time,
    /// True time since when it could serve: running, all links up, not shut down.
    pub healthy_since: Option<Time>,
    /// Parts per million that its clock is fast.
    ppm: i64,
    /// Time that a mutant hides from the machine.
    hidden: Duration,
}

impl Node {
    /// A node whose process is not there yet.
    pub fn new(settings: Settings, ppm: i64) -> Self {
        let links = vec![true; settings.routers.len()];
        Self {
            settings,
            group: None,
            process: Process::Dead,
            links,
            inbox: VecDeque::new(),
            watch: Watch::none(),
            stopping: false,
            wake: 0,
            lease_ends: None,
            holding: false,
            left_over: false,
            quiet_until: Time::ZERO,
            claimed_at: None,
            paused_at: Time::ZERO,
            healthy_since: None,
            ppm,
            hidden: Duration::ZERO,
        }
    }

    /// What its clock shows at a true time.
    pub fn local(&self, now: Time) -> Time {
        let nanos = i128::from(now.as_nanos());
        let local = nanos + nanos * i128::from(self.ppm) / 1_000_000;
        Time::from_nanos(u64::try_from(local).unwrap_or(0)) - self.hidden
    }

    /// The first true time at which its clock shows `local`.
    pub fn when(&self, local: Time) -> Time {
        let nanos = i128::from((local + self.hidden).as_nanos());
        let now = nanos * 1_000_000 / (1_000_000 + i128::from(self.ppm)) + 2;
        Time::from_nanos(u64::try_from(now).unwrap_or(u64::MAX))
    }

    /// Takes time away from what the machine sees (a mutant).
    pub fn hide(&mut self, time: Duration) {
        self.hidden += time;
    }

    /// Its Active_Down interval.
    pub fn own_down(&self) -> Duration {
        timer::active_down(self.settings.version, self.priority(), self.settings.advert, self.settings.missed)
    }

    /// Its Active_Down interval when nothing is wrong: the shortest.
    pub fn least_down(&self) -> Duration {
        timer::active_down(
            self.settings.version,
            self.settings.priority,
            self.settings.advert,
            self.settings.missed,
        )
    }

    /// Its priority, as its trackers say.
    pub fn priority(&self) -> u8 {
        self.watch.told.map_or(self.settings.priority, |standing| standing.priority)
    }

    /// How much of its priority it has lost.
    pub fn lost(&self) -> u8 {
        self.settings.healthy.saturating_sub(self.priority())
    }

    /// Whether a tracker keeps it from holding the addresses.
    pub fn is_troubled(&self) -> bool {
        self.watch.told.is_some_and(|standing| standing.fault.is_some())
    }

    /// Whether the kernel has the addresses.
    pub fn holds(&self) -> bool {
        self.lease_ends.is_some()
    }

    /// Whether it holds and works.
    pub fn serves(&self) -> bool {
        self.holds() && self.holding && self.process == Process::Running && self.links.iter().all(|up| *up)
    }

    /// The machine's state, if there is a machine.
    pub fn state(&self) -> Option<State> {
        self.group.as_ref().map(|group| group.status().state)
    }

    /// Puts a packet into the socket of a paused process.
    pub fn keep(&mut self, packet: Packet) {
        if self.inbox.len() < SOCKET {
            self.inbox.push_back(packet);
        }
    }
}
