//! The thread: what happened goes into the groups' machines, and what they want is done.

mod shown;
mod silence;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use relevo_api::types::MoveStatus;
use relevo_model::{GroupName, NodeName, ServiceName, Time};
use relevo_net::clock;
use relevo_net::nft::Nft;
use relevo_net::route::Route;
use relevo_proto::moves::{self, Input, Mover, Output, Place, Said, Stage, Way};
use relevo_proto::ownership;

use super::clients::Clients;
use super::facts::Facts;
use super::kernel::{Found, connections, interfaces_of};
use super::{Happened, News, Order, Shared, TOPIC, tickles};
use crate::control::{Balancer, Node};
use crate::peers::Peers;

/// How often it is looked how many connections are left, and whether others have removed the rules.
const COUNT: Duration = Duration::from_millis(250);
const LOOK: Duration = Duration::from_secs(5);
/// How often the lease of silent addresses is refreshed.
const REFRESH: Duration = Duration::from_secs(1);
/// Time for the last words of connections that were cut.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How long this node answers for connections that died with another director, if the group goes on to a third one.
const ANSWERED_FOR: Duration = Duration::from_secs(10);
/// What is not repeated is said so often: one may be lost.
const SAYINGS: usize = 3;

/// Everything that the thread owns.
pub(super) struct Work {
    node: Weak<Node>,
    name: NodeName,
    shared: Arc<Shared>,
    nft: Nft,
    route: Option<Route>,
    groups: Vec<Group>,
    peers: Option<Arc<Peers>>,
    clients: Clients,
    /// Why the rules do not stand.
    problem: Option<String>,
    /// Where they stand: interfaces with their numbers.
    interfaces: BTreeMap<String, u32>,
    /// The interfaces of addresses, as they were looked up last: that may wait for others who change interfaces.
    found: BTreeMap<IpAddr, Found>,
    counted: Time,
    looked: Time,
    refreshed: Time,
}

/// A group with its machine.
struct Group {
    facts: Facts,
    mover: Mover,
    /// How its packets are treated: what the machine wanted last and is done.
    stage: Stage,
    /// Its addresses are kept.
    keeps: bool,
    active: bool,
    /// Connections that died with who had the addresses before this node, place and client, and until when it answers for them.
    dead: Option<(Time, Vec<(SocketAddr, SocketAddr)>)>,
}

impl Group {
    fn new(facts: Facts, active: bool) -> Self {
        let mut mover = Mover::new(facts.drain, active);
        // What it wants to begin with is what is set up with all groups at once.
        while mover.poll_output().is_some() {}
        Self { stage: mover.stage().clone(), mover, facts, keeps: false, active, dead: None }
    }
}

/// Which addresses have connections to go on with.
pub(super) fn kept(node: &Node, shared: &Shared) -> BTreeSet<IpAddr> {
    let status = shared.status();
    let is_ready = |group: &GroupName| {
        status.iter().any(|(name, status)| name == group && !matches!(status, MoveStatus::Unavailable { .. }))
    };
    let all = facts(node);
    let ready = all.iter().filter(|facts| is_ready(&facts.name));
    ready.flat_map(|facts| facts.addresses.iter().map(|address| address.ip)).collect()
}

fn facts(node: &Node) -> Vec<Facts> {
    let cluster = node.loaded().cluster;
    let in_kernel = |service: &str| node.flows.path(service).is_some_and(|path| path.kernel);
    Facts::all(&cluster, &node.name, in_kernel)
}

impl Work {
    pub(super) fn new(node: &Arc<Node>, shared: Arc<Shared>, active: Option<&BTreeSet<GroupName>>) -> Self {
        let now = clock::now();
        let group = |facts: Facts| {
            let active = active.is_some_and(|active| active.contains(&facts.name));
            Group::new(facts, active)
        };
        Self {
            node: Arc::downgrade(node),
            name: node.name.clone(),
            shared,
            nft: Nft::new(),
            route: Route::open().ok(),
            groups: facts(node).into_iter().map(group).collect(),
            peers: None,
            clients: Clients::default(),
            problem: None,
            interfaces: BTreeMap::new(),
            found: BTreeMap::new(),
            counted: now,
            looked: now,
            refreshed: now,
        }
    }

    /// Sets up what stands always. `alone`: nothing of an earlier process is to stay.
    pub(super) fn install(&mut self, alone: bool) {
        if alone {
            self.remove_leftovers();
        }
        if !self.groups.is_empty() {
            self.apply(&moves::fresh());
        }
        self.publish();
    }

    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let now = clock::now();
            self.turn(now);
            self.publish();
            match orders.recv_timeout(self.patience(clock::now())) {
                Ok(Order::End(remove)) => {
                    if remove {
                        self.remove();
                    }
                    return;
                }
                Ok(order) => self.take(clock::now(), order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, now: Time, order: Order) {
        match order {
            Order::News(News::Happened(group, happened)) => self.happened(now, &group, happened),
            Order::News(News::Done(answer)) => {
                self.publish();
                let _ = answer.send(());
            }
            Order::Heard(message) => match moves::decode(&message.bytes) {
                Some(Said::Group(id, word)) => {
                    let mut groups = self.groups.iter();
                    if let Some(index) = groups.position(|group| ownership::id(&group.facts.name) == id) {
                        self.input(now, index, Input::Said { from: message.from, word });
                    }
                }
                Some(Said::Clients { at, clients }) => self.clients.heard(now, message.from, at, clients),
                None => {
                    tracing::debug!(from = %message.from, "it says of moves what this version does not understand")
                }
            },
            Order::Peers(peers) => {
                self.peers = Some(peers);
                self.groups.iter_mut().for_each(|group| group.mover.set_words(true));
            }
            Order::Follow => self.follow(),
            Order::Prepare(group, from, answer) => {
                self.happened(now, &group, Happened::Offered { from });
                let _ = answer.send(());
            }
            Order::End(_) => {}
        }
    }

    fn happened(&mut self, now: Time, group: &GroupName, happened: Happened) {
        let Some(index) = self.groups.iter().position(|it| it.facts.name == *group) else { return };
        let input = match happened {
            Happened::Took { from } => {
                self.groups[index].active = true;
                Input::Took { from: from.filter(|_| self.problem.is_none()) }
            }
            Happened::Offered { from } => Input::Expect { from },
            Happened::Withdrawn => Input::Calm,
            Happened::Passed { from, to } => Input::Passed { from, to },
            Happened::Gave { to } => {
                self.groups[index].active = false;
                Input::Gave { to }
            }
            Happened::Lost => {
                self.groups[index].active = false;
                Input::Lost
            }
        };
        self.input(now, index, input);
    }

    fn input(&mut self, now: Time, index: usize, input: Input) {
        self.groups[index].mover.handle_input(now, input);
        self.act(now, index);
    }

    /// What is due by time.
    fn turn(&mut self, now: Time) {
        if now.since(self.counted) >= COUNT {
            self.counted = now;
            self.count(now);
        }
        for index in 0..self.groups.len() {
            self.groups[index].dead.take_if(|(until, _)| *until <= now);
            self.groups[index].mover.handle_timeout(now);
            self.act(now, index);
        }
        if now.since(self.refreshed) >= REFRESH {
            self.refreshed = now;
            self.refresh();
        }
        if now.since(self.looked) >= LOOK {
            self.looked = now;
            self.look();
        }
        if let Some(peers) = &self.peers {
            let own = self.groups.iter().filter(|group| group.active || group.keeps);
            self.clients.turn(now, peers, own.flat_map(|group| group.facts.places()).collect());
        }
    }

    fn patience(&self, now: Time) -> Duration {
        let due = self.groups.iter().filter_map(|group| group.mover.poll_timeout()).min();
        let due = due.map_or(REFRESH, |due| due.since(now));
        let drains = self.groups.iter().any(|group| group.mover.draining().is_some());
        let every = if drains { COUNT } else { REFRESH };
        // The other directors are told of clients twice a second.
        due.min(if self.peers.is_some() { every.min(REFRESH / 2) } else { every })
    }

    fn count(&mut self, now: Time) {
        let draining: Vec<usize> =
            (0..self.groups.len()).filter(|index| self.groups[*index].mover.draining().is_some()).collect();
        for index in draining {
            let places: BTreeSet<SocketAddr> = self.groups[index].facts.places().collect();
            if let Some(left) =
                connections(&places, false).map(|all| all.iter().filter(|one| one.alive).count())
            {
                self.input(now, index, Input::Left(left));
            }
        }
    }

    fn act(&mut self, now: Time, index: usize) {
        while let Some(output) = self.groups[index].mover.poll_output() {
            match output {
                Output::Stage { know, forget, stage } => {
                    let mut more = String::new();
                    if forget && self.may_forget(index) {
                        more = moves::fresh();
                    }
                    if know {
                        let Some(admitted) = self.admitted(index) else {
                            self.input(now, index, Input::Blind);
                            continue;
                        };
                        more += &admitted;
                    }
                    let group = &mut self.groups[index];
                    tracing::debug!(group = %group.facts.name, ?stage, "packets of its services");
                    group.stage = stage;
                    self.apply(&more);
                }
                Output::Shed(leaving) => {
                    let services = self.groups[index].facts.services.clone();
                    self.with_engine(|engine| engine.ask_to_leave(&services, leaving));
                }
                Output::Cut => {
                    let group = &self.groups[index];
                    let left = group.mover.draining().and_then(|(.., left)| left);
                    tracing::warn!(group = %group.facts.name, left, "the time to finish connections is over; what is left is cut");
                    let services = self.own_services(index);
                    self.with_engine(|engine| engine.cut(&services));
                    std::thread::sleep(LAST_WORDS);
                }
                Output::Keep(true) => {
                    self.groups[index].keeps = true;
                    tracing::info!(group = %self.groups[index].facts.name, "goes on with its connections");
                    self.hush();
                    self.refresh();
                    self.counted = now;
                }
                Output::Keep(false) => self.let_go(index),
                Output::Tell(word) => {
                    if let Some(peers) = &self.peers {
                        let word_bytes = moves::encode(ownership::id(&self.groups[index].facts.name), word);
                        let times = match word {
                            moves::Word::Drained | moves::Word::Took => SAYINGS,
                            moves::Word::Draining { .. } => 1,
                        };
                        (0..times).for_each(|_| peers.publish(TOPIC, &word_bytes));
                    }
                }
                Output::Bereaved => {
                    let group = &mut self.groups[index];
                    let lost = self.clients.bereaved(now, |at| group.facts.has(at.ip()));
                    tickles::send(&group.facts.name, group.facts.places().collect(), lost.clone());
                    group.dead = Some((now + ANSWERED_FOR, lost));
                }
            }
        }
    }

    /// Whether no other group needs what was noted.
    fn may_forget(&self, index: usize) -> bool {
        let mut others = self.groups.iter().enumerate().filter(|(other, _)| *other != index);
        others.all(|(_, group)| match &group.stage {
            Stage::Open => true,
            Stage::Guard => group.mover.draining().is_none(),
            Stage::Record | Stage::Forward(_) => false,
        })
    }

    /// The text that notes what the engine has already, and what the kernel shall reset because nobody else can; `None`: that is
    /// not known, or too much.
    fn admitted(&self, index: usize) -> Option<String> {
        let group = &self.groups[index].facts;
        let places: BTreeSet<SocketAddr> = group.places().collect();
        let Some(known) = connections(&places, true) else {
            tracing::warn!(group = %group.name, "the kernel does not list the connections");
            return None;
        };
        if known.len() > moves::MOST_KNOWN {
            tracing::warn!(group = %group.name, connections = known.len(), "too many connections to note");
            return None;
        }
        let dead = self.groups[index].dead.iter().flat_map(|(_, dead)| dead);
        let known: BTreeSet<(SocketAddr, SocketAddr)> = known
            .into_iter()
            .map(|one| (one.remote, one.local))
            .chain(dead.map(|(at, client)| (*client, *at)))
            .collect();
        Some(moves::admit(&known.into_iter().collect::<Vec<_>>()))
    }

    /// Services that no group has that is active here.
    fn own_services(&self, index: usize) -> Vec<ServiceName> {
        let others = self.groups.iter().enumerate().filter(|(other, group)| *other != index && group.active);
        let busy: BTreeSet<&ServiceName> = others.flat_map(|(_, group)| &group.facts.services).collect();
        let own = self.groups[index].facts.services.iter();
        own.filter(|service| !busy.contains(service)).cloned().collect()
    }

    fn with_engine(&self, what: impl FnOnce(&relevo_lb::Engine)) {
        let Some(node) = self.node.upgrade() else { return };
        if let Balancer::Running(engine) = &*node.balancer.read().unwrap_or_else(PoisonError::into_inner) {
            what(engine);
        }
    }

    /// Looks up what is not known of the interfaces of addresses.
    fn find(&mut self) {
        for address in self.groups.iter().flat_map(|group| &group.facts.addresses) {
            if !self.found.contains_key(&address.ip)
                && let Some(found) = self.route.as_mut().and_then(|route| interfaces_of(route, address))
            {
                self.found.insert(address.ip, found);
            }
        }
    }

    /// Makes the rules those of the machines.
    fn apply(&mut self, more: &str) {
        self.find();
        let mut places = Vec::new();
        let mut interfaces = BTreeMap::new();
        for group in &self.groups {
            for address in &group.facts.addresses {
                let Some(found) = self.found.get(&address.ip) else { continue };
                let way = match &group.stage {
                    Stage::Guard => Way::Guard,
                    Stage::Open => Way::Open,
                    Stage::Record => Way::Record,
                    Stage::Forward(to) => address.others.get(to).map_or(Way::Open, |to| Way::Forward(*to)),
                };
                for (name, index) in found.all() {
                    interfaces.insert(name.clone(), *index);
                    let each = address.ports.iter().map(|port| SocketAddr::new(address.ip, *port));
                    places.extend(each.map(|at| Place {
                        interface: name.clone(),
                        out: found.base.0.clone(),
                        way: way.clone(),
                        at,
                    }));
                }
            }
        }
        let text = moves::rules(&places) + more;
        let done = self.nft.run(&text);
        self.interfaces = interfaces;
        match &done {
            Err(error) if self.problem.is_none() => {
                tracing::warn!("connections will be cut when a group moves on purpose: {error}");
            }
            Ok(()) if self.problem.is_some() => {
                tracing::info!("connections will go on when a group moves on purpose");
            }
            Ok(()) | Err(_) => {}
        }
        let before = std::mem::replace(&mut self.problem, done.err().map(|error| error.to_string()));
        if before.is_some() != self.problem.is_some() {
            self.publish();
            self.tell_director();
        }
    }

    fn tell_director(&self) {
        let Some(node) = self.node.upgrade() else { return };
        if let Some(director) = &*node.director.read().unwrap_or_else(PoisonError::into_inner) {
            node.moves.watch(director, &node);
        }
    }

    /// Whether the rules still stand: others flush all rules of a machine at times, and an interface that was made anew has none.
    fn look(&mut self) {
        let Some(node) = self.node.upgrade() else { return };
        let wanted = facts(&node);
        drop(node);
        if !wanted.iter().eq(self.groups.iter().map(|group| &group.facts)) {
            self.follow();
        }
        if self.groups.is_empty() {
            return;
        }
        self.found.clear();
        self.find();
        let found: BTreeMap<String, u32> = self.found.values().flat_map(Found::all).cloned().collect();
        let same = found == self.interfaces;
        let stands = !matches!(self.nft.list_counters("netdev", moves::TABLE), Ok(None));
        if !same || !stands || self.problem.is_some() || self.interfaces.is_empty() {
            self.apply("");
        }
    }

    /// The file, or the path of a service, is another one.
    fn follow(&mut self) {
        let Some(node) = self.node.upgrade() else { return };
        let mut former = std::mem::take(&mut self.groups);
        for facts in facts(&node) {
            let place = former.iter().position(|group| group.facts.name == facts.name);
            let group = match place.map(|place| former.remove(place)) {
                Some(mut group) => {
                    group.mover.set_drain(facts.drain);
                    Group { facts, ..group }
                }
                None => {
                    let groups = node.groups();
                    let active = groups.iter().any(|group| {
                        group.name == facts.name && group.state == relevo_api::types::GroupState::Active
                    });
                    let mut group = Group::new(facts, active);
                    group.mover.set_words(self.peers.is_some());
                    group
                }
            };
            self.groups.push(group);
        }
        self.found.clear();
        self.apply("");
        self.publish();
        drop(node);
        self.tell_director();
    }

    fn remove(&mut self) {
        self.remove_leftovers();
        self.groups.clear();
        self.publish();
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("name", &self.name).finish_non_exhaustive()
    }
}
