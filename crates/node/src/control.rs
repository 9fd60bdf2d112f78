//! Answers the control API: asks the director and the balancer, and remembers what the operator wants.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};

use relevo_api::server::{Control, Refusal};
use relevo_api::types::{
    AffinityClients, AffinityStatus, Changed, FlowStatus, Forgotten, GroupState, GroupStatus, LeaseStatus,
    PoolStatus, Reloaded, ServiceStatus, SetServer, Status, Switched, Switchover, Upgraded,
};
use relevo_lb::Engine;
use relevo_model::{ClusterFile, GroupName, NodeName};

use crate::affinity;
use crate::bfd::Bfd;
use crate::dhcp::Dhcp;
use crate::director::{Director, SwitchoverError};
use crate::dns::Dns;
use crate::duty::Duties;
use crate::flows::Flows;
use crate::gateway::Rules;
use crate::moves::Moves;
use crate::ownership::Truth;
use crate::peers::Peers;
use crate::process::{Event, wall_ms};
use crate::reload::Loaded;
use crate::state::State;
use crate::stats;
use crate::track::Tracking;
use crate::words;

/// Everything that answers are made of.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) loaded: RwLock<Loaded>,
    /// Held while the file is read again.
    pub(crate) reloading: Mutex<()>,
    pub(crate) name: NodeName,
    pub(crate) since: u64,
    pub(crate) state: Mutex<State>,
    /// What the operator wants of servers is another thing than before.
    pub(crate) wishes_changed: Condvar,
    /// `None`: no group of addresses has this node, or it has been stopped.
    pub(crate) director: RwLock<Option<Director>>,
    /// What is watched; `None`: there is no director, or it has been stopped.
    pub(crate) tracking: Mutex<Option<Tracking>>,
    /// The channel to the other directors; empty: it has not begun, or the cluster file wants none.
    pub(crate) peers: OnceLock<Arc<Peers>>,
    /// What is known of them; `None`: there is no channel, or it has been stopped.
    pub(crate) truth: Mutex<Option<Truth>>,
    /// The sessions of BFD; `None`: no group wants it, or they have been stopped.
    pub(crate) bfd: Mutex<Option<Bfd>>,
    /// What goes with the groups that are active here.
    pub(crate) duties: Duties,
    /// Addresses for machines on networks.
    pub(crate) dhcp: Dhcp,
    /// Names for machines on networks.
    pub(crate) dns: Dns,
    /// The kernel's path.
    pub(crate) flows: Arc<Flows>,
    /// Connections of groups that move on purpose.
    pub(crate) moves: Moves,
    /// The rules that stand in the kernel.
    pub(crate) rules: Arc<Rules>,
    pub(crate) balancer: RwLock<Balancer>,
    /// The statistics page; `None`: there was none yet, or it has been stopped.
    pub(crate) stats: Mutex<Option<stats::Server>>,
    /// Another process is about to take over: what it has read already must not change.
    pub(crate) frozen: AtomicBool,
    /// The way to the main thread; `None`: it is not waiting yet.
    pub(crate) events: Mutex<Option<Sender<Event>>>,
    /// For the statistics page, which has a thread of its own.
    pub(crate) itself: Weak<Self>,
}

/// The balancer of a node.
#[derive(Debug)]
pub(crate) enum Balancer {
    Running(Engine),
    /// It finishes what it has, or has ended; its services and pools as they were then.
    Stopped(Vec<ServiceStatus>, Vec<PoolStatus>),
}

impl Control for Node {
    fn status(&self) -> Status {
        let (services, pools) = self.balanced();
        let loaded = self.loaded();
        // Before the rest: what is asked for below holds locks until the answer is whole.
        let groups = self.groups();
        let gateways = self.rules.status(&groups);
        Status {
            cluster: loaded.cluster.name.clone(),
            node: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: self.since,
            file: loaded.status(),
            groups,
            services,
            pools,
            dhcp: self.dhcp.status(),
            dns: self.dns.status(),
            bfd: self.bfd().as_ref().map_or_else(Vec::new, Bfd::status),
            paths: self.truth().as_ref().map_or_else(Vec::new, Truth::paths),
            gateways,
            bridges: crate::layer2::bridges(&loaded.cluster, &self.name),
        }
    }

    fn flows(&self) -> Result<FlowStatus, Refusal> {
        self.flows.counts()
    }

    fn switchover(&self, group: &str, wish: Switchover) -> Result<Switched, Refusal> {
        let cluster = self.loaded().cluster;
        if cluster.group(group).is_none() {
            let there = listed("group", cluster.groups.iter().map(|group| &*group.name));
            return Err(Refusal::Unknown(format!("there is no group {group:?}; {there}")));
        }
        let director = self.director.read().unwrap_or_else(PoisonError::into_inner);
        let Some(director) = director.as_ref() else {
            return Err(Refusal::Conflict(format!("the director of {} is not running", self.name)));
        };
        let to = wish.to.as_ref().map_or_else(|| "whoever is next".to_owned(), ToString::to_string);
        tracing::info!(%group, "the operator asks: switch {group} over to {to}");
        let stays = wish.to.as_ref() == Some(&self.name);
        let _aside = (!stays).then(|| self.duties.aside(&GroupName::new(group)));
        let from = director.status().into_iter().find(|status| status.name.as_str() == group);
        if let Some(from) = from.and_then(|status| status.active).filter(|from| stays && *from != self.name) {
            self.moves.prepare(group, &from);
        }
        director.switchover(group, wish.to.as_ref()).map_err(|error| {
            if stays {
                self.moves.withdraw(group);
            }
            tracing::warn!(%group, "not switched over: {error}");
            refusal(error)
        })
    }

    fn set_server(&self, server: &str, wish: SetServer) -> Result<Changed, Refusal> {
        self.wish(server, &wish)
    }

    fn leases(&self) -> Vec<LeaseStatus> {
        self.dhcp.leases()
    }

    fn affinity(&self, which: &AffinityClients) -> Result<Vec<AffinityStatus>, Refusal> {
        match &*self.balancer.read().unwrap_or_else(PoisonError::into_inner) {
            Balancer::Running(engine) => affinity::tables(engine, &self.loaded().cluster, which),
            Balancer::Stopped(..) => Err(Refusal::Conflict("this node is being stopped".to_owned())),
        }
    }

    fn forget(&self, which: &AffinityClients) -> Result<Forgotten, Refusal> {
        match &*self.balancer.read().unwrap_or_else(PoisonError::into_inner) {
            Balancer::Running(engine) => affinity::forget(engine, &self.loaded().cluster, which),
            Balancer::Stopped(..) => Err(Refusal::Conflict("this node is being stopped".to_owned())),
        }
    }

    fn reload(&self) -> Result<Reloaded, Refusal> {
        self.read_again()
            .inspect_err(|refusal| tracing::warn!("not reloaded, nothing was changed: {refusal}"))
    }

    fn upgrade(&self) -> Result<Upgraded, Refusal> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stopping = || Refusal::Conflict("this node is being started or stopped".to_owned());
        let (to, answer) = channel();
        events.ok_or_else(stopping)?.send(Event::Upgrade(to)).map_err(|_| stopping())?;
        answer.recv().map_err(|_| stopping())?
    }
}

impl Node {
    pub(crate) fn groups(&self) -> Vec<GroupStatus> {
        let director = self.director.read().unwrap_or_else(PoisonError::into_inner);
        let mut groups = match director.as_ref() {
            Some(director) => director.status(),
            None => self.stopped_groups(),
        };
        drop(director);
        let tracking = self.tracking.lock().unwrap_or_else(PoisonError::into_inner);
        for group in &mut groups {
            if let Some((_, trackers)) = tracking.as_ref().and_then(|tracking| tracking.of(&group.name)) {
                group.trackers = trackers;
            }
        }
        drop(tracking);
        groups.iter_mut().for_each(|group| group.moves = self.moves.of(&group.name));
        if let Some(truth) = &*self.truth() {
            groups.iter_mut().for_each(|group| truth.add_to(group));
        }
        groups
    }

    pub(crate) fn bfd(&self) -> MutexGuard<'_, Option<Bfd>> {
        self.bfd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins BFD anew, with the director that there is now.
    pub(crate) fn start_bfd(&self) -> std::io::Result<()> {
        let director = self.director.read().unwrap_or_else(PoisonError::into_inner);
        let Some(teller) = director.as_ref().map(Director::teller) else { return Ok(()) };
        drop(director);
        *self.bfd() = Bfd::start(&self.loaded().cluster, &self.name, teller)?;
        Ok(())
    }

    pub(crate) fn truth(&self) -> MutexGuard<'_, Option<Truth>> {
        self.truth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The groups of a node whose director has been stopped.
    fn stopped_groups(&self) -> Vec<GroupStatus> {
        let cluster = self.loaded().cluster;
        let groups = cluster.groups.iter();
        let ours = groups.filter_map(|group| group.priority_of(&self.name).map(|priority| (group, priority)));
        ours.map(|(group, priority)| GroupStatus {
            since: wall_ms(),
            reason: "this node is being stopped".to_owned(),
            addresses: cluster.addresses_of(&group.name).map(words::address).collect(),
            ..GroupStatus::new(group.name.clone(), GroupState::Init, priority)
        })
        .collect()
    }

    /// Serves the statistics page where this file says, and nowhere else; with the sockets of a former process, if it had them.
    ///
    /// # Errors
    /// When it cannot; then nothing was changed.
    pub(crate) fn serve_stats(
        &self,
        cluster: &ClusterFile,
        inherited: Vec<(SocketAddr, OwnedFd)>,
    ) -> Result<(), stats::StatsError> {
        let wanted = cluster.stats.as_ref().map_or(&[][..], |stats| &stats.listen);
        let mut server = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*server, self.itself.upgrade()) {
            (None, Some(itself)) if !wanted.is_empty() => {
                let started = stats::Server::start(itself, inherited)?;
                started.listen(wanted)?;
                *server = Some(started);
                Ok(())
            }
            (Some(server), _) => server.listen(wanted),
            (None, _) => Ok(()),
        }
    }

    /// Opens the access log's file again: it was moved away.
    pub(crate) fn reopen_log(&self) {
        if let Balancer::Running(engine) = &*self.balancer.read().unwrap_or_else(PoisonError::into_inner) {
            engine.reopen_log();
        }
    }

    /// Takes the balancer out, to be stopped.
    pub(crate) fn take_balancer(&self) -> Option<Engine> {
        let (services, pools) = self.balanced();
        let mut balancer = self.balancer.write().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *balancer, Balancer::Stopped(services, pools)) {
            Balancer::Running(engine) => Some(engine),
            Balancer::Stopped(..) => None,
        }
    }

    fn balanced(&self) -> (Vec<ServiceStatus>, Vec<PoolStatus>) {
        let snapshot = match &*self.balancer.read().unwrap_or_else(PoisonError::into_inner) {
            Balancer::Running(engine) => engine.snapshot(),
            Balancer::Stopped(services, pools) => return (services.clone(), pools.clone()),
        };
        let pools = snapshot.pools.into_iter().map(words::pool).collect();
        let services = snapshot.services.into_iter().map(|service| {
            let path = self.flows.path(&service.name);
            ServiceStatus { path, ..words::service(service) }
        });
        (services.collect(), self.with_wishes(pools))
    }
}

fn refusal(error: SwitchoverError) -> Refusal {
    let text = error.to_string();
    match error {
        SwitchoverError::NoSuchGroup { .. } => Refusal::Unknown(text),
        SwitchoverError::NotMember { .. } => Refusal::Wrong(text),
        SwitchoverError::NotActive { .. }
        | SwitchoverError::WouldNotWin { .. }
        | SwitchoverError::Fault { .. } => Refusal::Conflict(text),
        SwitchoverError::NobodyTook { .. }
        | SwitchoverError::TimedOut { .. }
        | SwitchoverError::Stopped { .. } => Refusal::Failed(text),
    }
}

/// `there is the group "web"`, `there are the groups "web", "db"`, `there is none`.
pub(crate) fn listed<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    match names.as_slice() {
        [] => "there is none".to_owned(),
        [one] => format!("there is the {what} {one}"),
        many => format!("there are the {what}s {}", many.join(", ")),
    }
}
