//! The machine.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use relevo_model::{AddressName, NetworkName, NodeName, Time};

use super::known::{Claim, Double, Peer, Watch, Way};
use super::names::Names;
use super::report::{self, Record};
use super::{Event, Output, Own, PathState, PathView, PeerView, Settings, Verdict};
use crate::vrrp::State;

/// A change is published at once, but not sooner than this after the last publication.
const SPACING: Duration = Duration::from_millis(10);
/// A state of a path is told when it has lasted this long; two actives that are that old are told at once.
const SETTLED: Duration = Duration::from_secs(1);

/// What this director knows of the others, and they of it.
#[derive(Debug)]
pub struct Ownership {
    settings: Settings,
    names: Names,
    round: u64,
    started: Time,
    published: Option<Time>,
    publish_at: Time,
    own: Vec<Option<Own>>,
    verdicts: BTreeMap<AddressName, Verdict>,
    peers: BTreeMap<NodeName, Peer>,
    paths: Vec<Way>,
    groups: Vec<Watch>,
    outputs: VecDeque<Output>,
}

impl Ownership {
    /// Begins to watch. `run` is higher than that of any run of this director before, as the channel's boot number.
    pub fn new(settings: Settings, run: u64, now: Time) -> Self {
        let names = Names::of(&settings);
        let way = |(node, network): &(NodeName, NetworkName)| Way {
            node: node.clone(),
            network: network.clone(),
            heard: None,
            they: None,
            told: PathState::Unknown,
            seems: (PathState::Unknown, now),
        };
        Self {
            paths: settings.paths.iter().map(way).collect(),
            own: vec![None; settings.groups.len()],
            groups: settings.groups.iter().map(|_| Watch::default()).collect(),
            names,
            round: run << 20,
            started: now,
            published: None,
            publish_at: now,
            verdicts: BTreeMap::new(),
            peers: BTreeMap::new(),
            outputs: VecDeque::new(),
            settings,
        }
    }

    /// Tells what this director is for a group now. Drain [`Ownership::poll_output`] afterwards, as after all.
    pub fn handle_own(&mut self, now: Time, group: usize, own: Own) {
        let Some(slot) = self.own.get_mut(group) else { return };
        let what = |own: &Own| (own.state, own.resigning, own.priority, own.owner.clone());
        if slot.as_ref().map(what) != Some(what(&own)) {
            let soon = self.published.map_or(now, |at| (at + SPACING).max(now));
            self.publish_at = self.publish_at.min(soon);
        }
        *slot = Some(own);
        self.look(now);
    }

    /// What came of asking an address.
    pub fn handle_verdict(&mut self, address: &AddressName, verdict: Verdict) {
        self.verdicts.insert(address.clone(), verdict);
    }

    /// Takes what another director said over a network. `false`: it was not understood.
    pub fn handle_message(
        &mut self,
        now: Time,
        from: &NodeName,
        network: &NetworkName,
        bytes: &[u8],
    ) -> bool {
        if let Some(way) = self.way(from, network) {
            way.heard = Some(now);
        }
        let Some((round, records)) = report::decode(bytes) else { return false };
        let before = self.peers.entry(from.clone()).or_default().round;
        if round < before {
            return true;
        }
        let is_new = round > before;
        self.peers.entry(from.clone()).or_default().round = round;
        for record in records {
            self.take(now, from, network, is_new, record);
        }
        self.look(now);
        true
    }

    /// Publishes when it is time.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.publish_at <= now {
            self.publish(now);
        }
        self.look(now);
    }

    /// When to call [`Ownership::handle_timeout`].
    pub fn poll_timeout(&self) -> Time {
        self.publish_at
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Every way to another director.
    pub fn paths(&self, now: Time) -> Vec<PathView> {
        let view = |way: &Way| PathView {
            node: way.node.clone(),
            network: way.network.clone(),
            hears: self.hears(now, way),
            heard: self.they_hear(now, way),
        };
        self.paths.iter().map(view).collect()
    }

    /// What the other directors of a group say of it.
    pub fn group(&self, now: Time, group: usize) -> Vec<PeerView> {
        let Some(settings) = self.settings.groups.get(group) else { return Vec::new() };
        let others = settings.directors.iter().filter(|(node, _)| *node != self.settings.own);
        others.map(|(node, _)| self.peer(now, group, node)).collect()
    }

    /// The hardware address that a group's owner says to have on a network; `None`: not known.
    pub fn hardware(&self, group: usize, owner: &NodeName, network: &NetworkName) -> Option<[u8; 6]> {
        self.peers.get(owner)?.hardware.get(&(group, network.clone())).copied()
    }

    /// Who proves that a backup's active lives, and where, while that counts.
    pub fn proven_by(&self, now: Time, group: usize) -> Option<(NodeName, NetworkName)> {
        let watch = self.groups.get(group)?;
        watch.proven_by.clone().filter(|_| watch.proven_until > now && watch.held_back)
    }

    fn peer(&self, now: Time, group: usize, node: &NodeName) -> PeerView {
        let known = self.peers.get(node);
        let claim =
            known.and_then(|peer| peer.groups.get(&group)).filter(|claim| self.is_fresh(now, claim.at));
        let adverts = known.into_iter().flat_map(|peer| &peer.adverts).filter(|((of, _), (whose, at))| {
            *of == group && *whose == self.settings.own && self.is_fresh(now, *at)
        });
        let addresses = self.settings.groups.get(group).map_or(&[][..], |group| &group.addresses);
        let verdict = |address: &AddressName| {
            let (verdict, at) = known?.verdicts.get(address)?;
            self.is_fresh(now, *at).then(|| (address.clone(), *verdict))
        };
        PeerView {
            node: node.clone(),
            state: claim.map(|claim| claim.state),
            owner: claim.and_then(|claim| claim.owner.clone()),
            hears_adverts: adverts.map(|((_, network), _)| network.clone()).collect(),
            verdicts: addresses.iter().filter_map(verdict).collect(),
        }
    }

    fn take(&mut self, now: Time, from: &NodeName, over: &NetworkName, is_new: bool, record: Record) {
        match record {
            Record::Path { node, network, heard } => {
                if node == self.names.id(&self.settings.own)
                    && let Some(network) = self.names.networks.get(&network).cloned()
                    && let Some(way) = self.way(from, &network)
                {
                    way.they = Some((heard, now));
                }
            }
            Record::Group { group, state, resigning, priority, age, owner } => {
                let Some(group) = self.names.groups.get(&group).copied() else { return };
                let owner = self.names.nodes.get(&owner).cloned();
                let since = Time::from_nanos(
                    now.as_nanos().saturating_sub(Duration::from_millis(age.into()).as_nanos() as u64),
                );
                let claim = Claim { state, resigning, priority, since, owner, at: now };
                self.on_claim(now, group, from, over, is_new, claim);
            }
            Record::Adverts { group, network, node } => {
                let (group, network) = (self.names.groups.get(&group), self.names.networks.get(&network));
                if let (Some(group), Some(network), Some(node)) =
                    (group, network, self.names.nodes.get(&node))
                    && let Some(peer) = self.peers.get_mut(from)
                {
                    peer.adverts.insert((*group, network.clone()), (node.clone(), now));
                }
            }
            Record::Hardware { group, network, hardware } => {
                let (group, network) = (self.names.groups.get(&group), self.names.networks.get(&network));
                if let (Some(group), Some(network)) = (group, network)
                    && let Some(peer) = self.peers.get_mut(from)
                {
                    peer.hardware.insert((*group, network.clone()), hardware);
                }
            }
            Record::Verdict { address, verdict } => {
                if let Some(address) = self.names.addresses.get(&address).cloned()
                    && let Some(peer) = self.peers.get_mut(from)
                {
                    peer.verdicts.insert(address, (verdict, now));
                }
            }
        }
    }

    fn on_claim(
        &mut self,
        now: Time,
        group: usize,
        from: &NodeName,
        over: &NetworkName,
        is_new: bool,
        claim: Claim,
    ) {
        let Some(peer) = self.peers.get_mut(from) else { return };
        let before = peer.groups.insert(group, claim.clone());
        let settings = &self.settings.groups[group];
        let is_backup = self.own[group].as_ref().is_some_and(|own| own.state == State::Backup);
        let watch = &mut self.groups[group];
        if claim.holds() {
            if is_backup && settings.proofs.contains(over) {
                watch.proven_until = now + settings.validity;
                watch.proven_by = Some((from.clone(), over.clone()));
                self.outputs.push_back(Output::Proven { group, until: watch.proven_until });
            }
        } else if is_new && is_backup && claim.state != State::Active && before.is_some_and(|was| was.holds())
        {
            watch.proven_until = Time::ZERO;
            self.outputs.push_back(Output::Lost { group, node: from.clone() });
        }
    }

    /// Looks at everything that can have become another thing by what was heard, or by time.
    fn look(&mut self, now: Time) {
        for group in 0..self.groups.len() {
            self.look_at_doubles(now, group);
            self.look_at_proof(now, group);
            self.look_at_verdicts(now, group);
        }
        for index in 0..self.paths.len() {
            self.look_at_path(now, index);
        }
    }

    fn look_at_doubles(&mut self, now: Time, group: usize) {
        let settings = &self.settings.groups[group];
        let own = self.own[group].as_ref().filter(|own| own.state == State::Active && !own.resigning);
        let fresh = self.fresh();
        for (node, address) in settings.directors.iter().filter(|(node, _)| *node != self.settings.own) {
            let claim = self.peers.get(node).and_then(|peer| peer.groups.get(&group));
            // One that said so before we took over may be gone since.
            let both = |claim: &&Claim| own.is_some_and(|own| claim.at > own.since);
            let rival = claim.filter(|claim| claim.holds() && now.since(claim.at) < fresh).filter(both);
            let doubles = &mut self.groups[group].doubles;
            let (Some(own), Some(rival)) = (own, rival) else {
                // One that is not heard any more has not yielded.
                let is_over = own.is_none() || claim.is_some_and(|claim| !claim.holds());
                if let Some(double) = doubles.remove(node).filter(|double| double.told && is_over) {
                    let stayed = own.is_some();
                    if stayed {
                        self.outputs.push_back(Output::Reannounce { group });
                    }
                    debug_assert!(double.told, "only what was told is over");
                    let event =
                        Event::OneActive { group: settings.name.clone(), other: node.clone(), stayed };
                    self.outputs.push_back(Output::Event(event));
                }
                continue;
            };
            let double =
                doubles.entry(node.clone()).or_insert(Double { since: now, told: false, yielded: None });
            let ours = settings.directors.iter().find(|(node, _)| *node == self.settings.own);
            let theirs_wins =
                (rival.priority, Some(*address)) > (own.priority, ours.map(|(_, address)| *address));
            let patience = settings.active_down + self.settings.period * 2;
            let lasted = rival.at.since(double.since);
            // In a planned move both are active for a moment.
            let both_old = now.since(own.since) > SETTLED && now.since(rival.since) > SETTLED;
            if !double.told && (both_old || lasted > patience) {
                double.told = true;
                let winner = if theirs_wins { node } else { &self.settings.own };
                self.outputs.push_back(Output::Event(Event::TwoActives {
                    group: settings.name.clone(),
                    other: node.clone(),
                    winner: winner.clone(),
                }));
            }
            // Adverts settle it in one interval, where they are heard.
            let again = double.yielded.is_none_or(|at| now.since(at) > patience);
            if theirs_wins && lasted > patience * 2 && again {
                double.yielded = Some(now);
                self.outputs.push_back(Output::Yield { group, to: node.clone() });
            }
        }
    }

    fn look_at_proof(&mut self, now: Time, group: usize) {
        let settings = &self.settings.groups[group];
        let Some(own) = &self.own[group] else { return };
        let watch = &mut self.groups[group];
        let hears = own.heard.iter().any(|(.., at)| now.since(*at) < settings.active_down);
        let is_held = own.state == State::Backup
            && !hears
            && watch.proven_until > now
            && now.since(own.since) > settings.active_down;
        if !is_held {
            watch.seems_held = None;
        } else if now.since(*watch.seems_held.get_or_insert(now)) < settings.active_down {
            return;
        }
        if is_held == watch.held_back || (!is_held && own.state == State::Backup && !hears) {
            return;
        }
        watch.held_back = is_held;
        let group = settings.name.clone();
        let event = match watch.proven_by.clone() {
            Some((active, network)) if is_held => Event::HeldBack { group, active, network },
            Some(_) | None => Event::NotHeldBack { group },
        };
        self.outputs.push_back(Output::Event(event));
    }

    /// Somebody asked an address of ours, and another one answered.
    fn look_at_verdicts(&mut self, now: Time, group: usize) {
        let is_active = self.own[group].as_ref().is_some_and(|own| own.state == State::Active);
        let fresh = self.fresh();
        let wrong = |peer: &Peer| {
            let sees_us =
                peer.groups.get(&group).is_some_and(|claim| claim.owner.as_ref() == Some(&self.settings.own));
            let addresses = &self.settings.groups[group].addresses;
            let wrong = |(verdict, at): &(Verdict, Time)| {
                matches!(verdict, Verdict::Other(_)) && now.since(*at) < fresh
            };
            sees_us && addresses.iter().any(|address| peer.verdicts.get(address).is_some_and(wrong))
        };
        if is_active && self.peers.values().any(wrong) {
            let watch = &mut self.groups[group];
            if watch.reannounced.is_none_or(|at| now.since(at) > SETTLED) {
                watch.reannounced = Some(now);
                self.outputs.push_back(Output::Reannounce { group });
            }
        }
    }

    fn look_at_path(&mut self, now: Time, index: usize) {
        let way = &self.paths[index];
        let state = match (self.hears(now, way), self.they_hear(now, way)) {
            (None, _) | (Some(true), None) => PathState::Unknown,
            (Some(true), Some(true)) => PathState::Good,
            (Some(true), Some(false)) => PathState::NotHeardThere,
            (Some(false), Some(true)) => PathState::NotHeardHere,
            (Some(false), Some(false) | None) => PathState::Silent,
        };
        let way = &mut self.paths[index];
        if way.seems.0 != state {
            way.seems = (state, now);
        }
        if way.told != state && now.since(way.seems.1) >= SETTLED {
            // What begins well is no news.
            let is_news =
                !(way.told == PathState::Unknown && state == PathState::Good) && state != PathState::Unknown;
            way.told = state;
            if is_news {
                let (node, network) = (way.node.clone(), way.network.clone());
                self.outputs.push_back(Output::Event(Event::Path { node, network, state }));
            }
        }
    }

    fn publish(&mut self, now: Time) {
        self.round += 1;
        self.published = Some(now);
        self.publish_at = now + self.settings.period;
        let mut records = Vec::new();
        for (index, own) in self.own.iter().enumerate() {
            let (Some(own), settings) = (own, &self.settings.groups[index]) else { continue };
            let group = self.names.id(&settings.name);
            let age = u32::try_from(now.since(own.since).as_millis()).unwrap_or(u32::MAX);
            records.push(Record::Group {
                group,
                state: own.state,
                resigning: own.resigning,
                priority: own.priority,
                age,
                owner: own.owner.as_ref().map_or(0, |owner| self.names.id(owner)),
            });
            let heard = own.heard.iter().filter(|(.., at)| now.since(*at) < settings.active_down);
            records.extend(heard.map(|(network, node, _)| Record::Adverts {
                group,
                network: self.names.id(network),
                node: self.names.id(node),
            }));
            let hardware = own.hardware.iter();
            records.extend(hardware.map(|(network, hardware)| Record::Hardware {
                group,
                network: self.names.id(network),
                hardware: *hardware,
            }));
        }
        for way in &self.paths {
            if let Some(heard) = self.hears(now, way) {
                records.push(Record::Path {
                    node: self.names.id(&way.node),
                    network: self.names.id(&way.network),
                    heard,
                });
            }
        }
        let verdicts = self.verdicts.iter();
        records.extend(verdicts.map(|(address, verdict)| Record::Verdict {
            address: self.names.id(address),
            verdict: *verdict,
        }));
        self.outputs.extend(report::encode(self.round, &records).into_iter().map(Output::Publish));
    }

    fn way(&mut self, node: &NodeName, network: &NetworkName) -> Option<&mut Way> {
        self.paths.iter_mut().find(|way| way.node == *node && way.network == *network)
    }

    fn hears(&self, now: Time, way: &Way) -> Option<bool> {
        match way.heard {
            Some(at) => Some(now.since(at) < self.fresh()),
            None => (now.since(self.started) >= self.fresh() * 2).then_some(false),
        }
    }

    fn they_hear(&self, now: Time, way: &Way) -> Option<bool> {
        way.they.filter(|(_, at)| self.is_fresh(now, *at)).map(|(heard, _)| heard)
    }

    fn is_fresh(&self, now: Time, at: Time) -> bool {
        now.since(at) < self.fresh()
    }

    /// For how long what was heard is true for people.
    fn fresh(&self) -> Duration {
        (self.settings.period * 5).max(Duration::from_secs(1))
    }
}
