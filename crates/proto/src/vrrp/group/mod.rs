//! The machine: its entries and what all states share.

mod active;
mod adopt;
mod backup;
mod health;
mod parting;
mod rivals;
mod told;
mod wire;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use relevo_model::Time;
use relevo_model::cluster::{Family, HmacMode, Multicast, Unicast, VrrpVersion};

use super::announce::Series;
use super::packet::{self, Advert, DropReason, Envelope, Expect};
use super::router::{Router, Seen};
use super::sign::{self, Signing};
use super::timer;
use super::words::{Input, Output, Settings, State, Status};

/// The priority of the adverts that claim a group: the highest that is not an address owner's.
pub const CLAIM: u8 = 254;
/// The least priority of a router that became active by a claim, until it stops being active.
pub const CLAIMED: u8 = 253;
/// How long a claim waits for the active to say that it yielded.
pub const CLAIM_GRACE: Duration = Duration::from_millis(50);

use adopt::Adopted;
pub use adopt::Handed;
pub use parting::{Parting, Passed};
pub use told::Told;

/// A group of VRRP routers that move together; starts in Init.
#[derive(Clone, Debug)]
pub struct Group {
    version: VrrpVersion,
    /// As the trackers say.
    priority: u8,
    /// When nothing is wrong.
    healthy: u8,
    advert: Duration,
    missed: u8,
    preempt: bool,
    preempt_delay: Duration,
    password: Option<[u8; 8]>,
    unicast: Option<Unicast>,
    multicast: Multicast,
    signing: Option<Signing>,
    /// The time that was signed last.
    signed_at: u64,
    routers: Vec<Router>,

    state: State,
    since: Time,
    reason: String,
    transitions: u64,
    dropped: u64,
    outputs: VecDeque<Output>,
    /// The last time that any entry was called.
    last_run: Time,
    finished: bool,
    /// How it was given up last.
    parting: Parting,
    /// Active: who gave it.
    predecessor: Option<IpAddr>,
    /// Who gave it to whom before this one's eyes last, and when.
    passed: Option<Passed>,

    /// Whether it knows how well it can serve.
    ready: bool,
    /// Why this director cannot hold the addresses though the links are up.
    trouble: Option<String>,

    /// Backup: do not take over before this, whatever was heard.
    earliest: Time,
    /// Backup: do not preempt the successor that we resigned for.
    behind: bool,
    /// Backup: do not take over from a healthy active of lower priority before this.
    preempt_at: Option<Time>,
    /// Backup: the active one has proven that it holds until then.
    proven: Time,
    /// Backup: when the active one was told to be lost.
    lost: Option<Time>,
    claim: Option<Claim>,

    /// Init: a former process was active until just now.
    adopted: Option<Adopted>,

    /// Active: became so by a claim.
    claimed: bool,
    resign: Option<Resign>,
    advert_at: Time,
    last_sent: Time,
    hold_at: Time,
    announce: Series,
    rivals: rivals::Rivals,
}

#[derive(Clone, Copy, Debug)]
enum Claim {
    /// To be sent when listening is over.
    Waiting { at: Time },
    /// Sent; take over at the latest then.
    Sent { at: Time },
}

#[derive(Clone, Copy, Debug)]
struct Resign {
    until: Time,
    repeat_at: Time,
    shutdown: bool,
}

impl Group {
    /// Makes a group in Init; it begins to listen when every router's link was reported up.
    pub fn new(settings: Settings, now: Time) -> Self {
        let advert = timer::on_the_wire(settings.version, settings.advert);
        let missed = settings.missed.clamp(1, 100);
        let password = match settings.version {
            VrrpVersion::V2 => settings.password.as_deref().map(packet::password),
            VrrpVersion::V3 => None,
        };
        Self {
            version: settings.version,
            priority: settings.priority.clamp(1, 254),
            healthy: settings.healthy.clamp(1, 254),
            advert,
            missed,
            preempt: settings.preempt,
            preempt_delay: settings.preempt_delay,
            password,
            unicast: settings.unicast,
            multicast: settings.multicast,
            signing: settings.signing,
            signed_at: 0,
            routers: settings.routers.into_iter().map(|router| Router::new(router, advert, missed)).collect(),
            state: State::Init,
            since: now,
            reason: String::from("waiting for the links"),
            transitions: 0,
            dropped: 0,
            outputs: VecDeque::new(),
            last_run: now,
            finished: false,
            parting: Parting::Sudden,
            predecessor: None,
            passed: None,
            ready: true,
            trouble: None,
            earliest: now,
            behind: false,
            preempt_at: None,
            proven: Time::ZERO,
            lost: None,
            claim: None,
            adopted: None,
            claimed: false,
            resign: None,
            advert_at: now,
            last_sent: now,
            hold_at: now,
            announce: Series::new(settings.announce),
            rivals: rivals::Rivals::default(),
        }
    }

    /// Tells it that something happened. Drain [`Group::poll_output`] afterwards.
    ///
    /// An index beyond the routers is ignored, and so is everything after [`Output::Finished`].
    pub fn handle_input(&mut self, now: Time, input: Input<'_>) {
        let now = self.enter(now);
        if self.finished {
            return;
        }
        match input {
            Input::Packet { router, envelope, bytes } => self.on_packet(now, router, envelope, bytes),
            Input::Source { router, source } => self.on_source(router, source),
            Input::Wall(wall) => self.on_wall(wall),
            Input::Keys(keys) => self.on_keys(keys),
            Input::Link { router, up } => self.on_link(now, router, up),
            Input::Resign => self.on_resign(now, false),
            Input::Claim => self.on_claim(now),
            Input::Priority(priority) => self.on_priority(now, priority),
            Input::Ready(ready) => self.ready = ready,
            Input::Trouble(trouble) => self.on_trouble(now, trouble),
            Input::Shutdown => self.on_resign(now, true),
            Input::Told(told) => self.on_told(now, told),
        }
        self.check_invariants();
    }

    /// Tells it that the time of [`Group::poll_timeout`] has come. Drain [`Group::poll_output`] afterwards.
    ///
    /// Being late is noticed here and in [`Group::handle_input`]. An active that sent nothing for longer than its
    /// own Active_Down interval releases and listens as if newly started. A backup is woken once per advert interval,
    /// so that it knows how long it slept: time asleep beyond two intervals does not count as listening, because
    /// adverts may be waiting in the socket; after more than an Active_Down interval asleep it begins to listen
    /// anew. Both are bounded: a machine that is always late by less than that still takes over, after at most
    /// four wakings; one that is always late by more could not stay active anyway.
    pub fn handle_timeout(&mut self, now: Time) {
        let now = self.enter(now);
        if self.finished {
            return;
        }
        match self.state {
            State::Init | State::Fault => {}
            State::Backup => self.on_backup_timeout(now),
            State::Active => self.on_active_timeout(now),
        }
        self.check_invariants();
    }

    /// When to call [`Group::handle_timeout`]; `None`: only an input can change something.
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.state {
            State::Init | State::Fault => None,
            State::Backup => Some(self.backup_deadline()),
            State::Active => Some(self.active_deadline()),
        }
    }

    /// The next thing to do. Every entry may leave some; their number is bounded by the number of routers.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What to show to people.
    pub fn status(&self) -> Status {
        let first = self.routers.first();
        let active = match self.state {
            State::Init | State::Fault => None,
            State::Active => first.map(|router| router.settings.source),
            State::Backup => first.and_then(|router| match router.seen {
                Seen::Active { source, .. } => Some(source),
                Seen::Nobody | Seen::Resigned { .. } => None,
            }),
        };
        Status {
            state: self.state,
            since: self.since,
            reason: self.reason.clone(),
            active,
            priority: self.effective_priority(),
            transitions: self.transitions,
            dropped: self.dropped,
        }
    }

    /// Panics if the machine contradicts itself; does nothing in a release build. Every entry ends with it.
    pub fn check_invariants(&self) {
        let all_up = self.routers.iter().all(|router| router.link == Some(true));
        let obstructed = self.obstacle().is_some();
        debug_assert!(self.state != State::Active || all_up, "active needs all links up");
        debug_assert!(self.state != State::Backup || all_up, "backup needs all links up");
        debug_assert!(
            self.finished || (self.state == State::Fault) == obstructed,
            "fault is a link down, or trouble"
        );
        debug_assert!(self.resign.is_none() || self.state == State::Active, "only an active one resigns");
        debug_assert!(!self.claimed || self.state == State::Active, "only an active one has claimed");
        debug_assert!(self.claim.is_none() || self.state == State::Backup, "only a backup claims");
        debug_assert!(!self.finished || self.state == State::Init, "finished is Init");
        debug_assert!(self.state != State::Active || !self.behind, "an active one is not behind");
        debug_assert!(
            self.state != State::Active || self.last_run.since(self.last_sent) <= self.own_down(),
            "an active one was not silent"
        );
    }

    /// Every entry begins here: time does not go back, and a stall is noticed before anything else happens.
    fn enter(&mut self, now: Time) -> Time {
        let now = now.max(self.last_run);
        let gap = now.since(self.last_run);
        self.last_run = now;
        match self.state {
            State::Init | State::Fault => {}
            State::Backup => self.on_slept(now, gap),
            State::Active => {
                let silence = now.since(self.last_sent);
                if silence > self.own_down() {
                    self.on_stalled(now, silence);
                }
            }
        }
        now
    }

    fn on_packet(&mut self, now: Time, index: usize, envelope: Envelope, bytes: &[u8]) {
        if !matches!(self.state, State::Backup | State::Active) {
            return;
        }
        let Some(router) = self.routers.get(index) else { return };
        let expect = Expect {
            version: self.version,
            vrid: router.settings.vrid,
            source: router.settings.source,
            addresses: &router.settings.addresses,
            interval: self.advert,
            password: self.password,
            unicast: self.unicast,
            signing: self.signing.as_ref(),
        };
        let source = envelope.source;
        match self.authentic(now, index, Advert::receive(&expect, envelope, bytes), source) {
            Ok(advert) if self.state == State::Active => self.on_active_advert(now, index, source, &advert),
            Ok(advert) => self.on_backup_advert(now, index, source, &advert),
            Err(DropReason::Vrid(_)) => {}
            Err(reason) => {
                self.dropped += 1;
                self.outputs.push_back(Output::Dropped { router: index, source, reason });
            }
        }
    }

    fn on_link(&mut self, now: Time, index: usize, up: bool) {
        let Some(router) = self.routers.get_mut(index) else { return };
        router.link = Some(up);
        self.reconsider(now);
    }

    /// Goes to Backup as if newly started: nothing heard before counts, and nothing shortens it.
    fn listen(&mut self, now: Time, reason: String) {
        self.parting = Parting::Sudden;
        for router in &mut self.routers {
            router.listen(now, self.version, self.priority, self.advert);
        }
        self.earliest = now + self.own_down();
        self.preempt_at = None;
        self.claim = None;
        if self.state == State::Backup {
            self.reason = reason;
        } else {
            self.change(now, State::Backup, reason);
        }
    }

    fn finish(&mut self, now: Time) {
        if self.state != State::Init {
            self.change(now, State::Init, String::from("shut down"));
        }
        self.claim = None;
        self.finished = true;
        self.outputs.push_back(Output::Finished);
    }

    fn change(&mut self, now: Time, to: State, reason: String) {
        let from = self.state;
        self.outputs.push_back(Output::Changed { from, to, reason: reason.clone() });
        self.state = to;
        self.since = now;
        self.reason = reason;
        self.transitions += 1;
    }

    fn send(&mut self, index: usize, priority: u8) {
        let Some(router) = self.routers.get(index) else { return };
        let advert = Advert {
            version: self.version,
            vrid: router.settings.vrid,
            priority,
            interval: self.advert,
            addresses: router.settings.addresses.clone(),
            password: self.password,
        };
        let source = router.settings.source;
        let key = self.signing.as_ref().filter(|signing| signing.mode != HmacMode::ReceiveOnly);
        let key = key.and_then(|signing| signing.keys.first().map(|key| (key, signing.wall)));
        let key = key.map(|(key, wall)| {
            // One time for all peers: what each of them hears grows.
            self.signed_at = sign::next(self.signed_at, wall + self.last_run.since(Time::ZERO));
            (key, self.signed_at)
        });
        let group = self.multicast.of(Family::of(source));
        let peers = router.settings.peers.iter().map(|peer| peer.source);
        let peers = peers.filter(|peer| peer.is_ipv4() == source.is_ipv4());
        match self.unicast {
            Some(_) => self.outputs.extend(peers.map(|to| Output::Send {
                router: index,
                to,
                bytes: advert.encode_to(source, to, key),
            })),
            None => {
                let bytes = advert.encode_to(source, group, key);
                self.outputs.push_back(Output::Send { router: index, to: group, bytes });
            }
        }
    }

    fn send_all(&mut self, priority: u8) {
        for index in 0..self.routers.len() {
            self.send(index, priority);
        }
    }

    fn own_down(&self) -> Duration {
        timer::active_down(self.version, self.priority, self.advert, self.missed)
    }

    fn effective_priority(&self) -> u8 {
        match self.claim {
            Some(Claim::Sent { .. }) => CLAIM,
            Some(Claim::Waiting { .. }) | None if self.claimed && self.priority >= self.healthy => {
                self.priority.max(CLAIMED)
            }
            Some(Claim::Waiting { .. }) | None => self.priority,
        }
    }
}
