//! The kernel's path: services of mode `tcp` and `udp` whose packets nftables translates, so that connections live on when
//! this director dies.
//!
//! ```text
//!   cluster file ──► wanted ─┐
//!   balancer: who is well ───┴─► fronts and slots ──► Carrier ── Tables: Rules (relevo_proto::flows) ──► what has changed ──► nft
//!         └─ rings the bell ───────► relevo-flows, a thread
//! ```
//! The rules stand on every director, active or not, and stay when the process dies: what it has set up goes on. They go
//! when the node is stopped in good order, after the addresses. Services listen in the userspace engine all the same: it
//! answers clients beside the servers, and all when no server is well (the fallback). Where the kernel does not take the
//! rules the engine serves everybody.

mod adopt;
mod carrier;
mod counts;
mod forget;
mod going;
mod tables;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use relevo_api::types::ServicePath;
use relevo_lb::{Bell, Share};
use relevo_model::cluster::{Family, Forward, Mode, Service};
use relevo_model::{ClusterFile, GroupName, PoolName, ServerName, ServiceName};
use relevo_net::nft::Nft;
use relevo_proto::flows::Front;

use self::carrier::{Carrier, Wanted};
use self::tables::Tables;
use crate::control::{Balancer, Node};
pub(crate) use forget::Forgetful;
use going::Going;

/// How often it is looked whether somebody has removed the table, and how soon what failed is tried again.
const LOOK: Duration = Duration::from_secs(5);

/// How long both sides of a flow that was cut are told so, when they send.
const CUT: Duration = Duration::from_secs(60);

/// The kernel's path of this node.
#[derive(Debug)]
pub(crate) struct Flows {
    carrier: Box<dyn Carrier>,
    bell: Arc<Bell>,
    stopped: AtomicBool,
    state: Mutex<State>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct State {
    /// The fronts that the file wants.
    fronts: Vec<Front>,
    going: Going,
    /// The group whose addresses each front has.
    groups: BTreeMap<String, GroupName>,
    /// Groups that are not active here any more, and when what is remembered of them is forgotten.
    left: BTreeMap<GroupName, Instant>,
    /// Servers whose flows end, and until when both sides are told.
    cut: BTreeMap<(PoolName, ServerName), Instant>,
    /// Why the kernel does not take the rules.
    problem: Option<String>,
    paths: BTreeMap<ServiceName, ServicePath>,
    /// Those of mode `http`, which have no choice.
    web: BTreeSet<ServiceName>,
}

/// What the rules are made from.
struct Facts {
    cluster: Arc<ClusterFile>,
    shares: Vec<(PoolName, Vec<Share>)>,
}

impl Flows {
    /// Nothing stands yet. `bell`: the balancer's, it rings when a server's part changes.
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        Self {
            carrier: Box::new(Tables::new(Nft::new())),
            bell,
            stopped: AtomicBool::new(false),
            state: Mutex::default(),
            thread: Mutex::default(),
        }
    }

    /// Sets up what the file wants, before the first address is there, and follows changes from now on, on a thread.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn begin(node: &Arc<Node>, is_heir: bool) -> std::io::Result<()> {
        if let Some(facts) = node.flow_facts() {
            node.flows.apply(&facts);
        }
        if !is_heir {
            // What an earlier process saw may be long ago.
            node.flows.forget_all();
        }
        let itself: Weak<Node> = Arc::downgrade(node);
        let bell = Arc::clone(&node.flows.bell);
        let run = move || {
            let mut heard = 0;
            loop {
                let Some(node) = itself.upgrade() else { break };
                if node.flows.stopped.load(Ordering::Acquire) {
                    break;
                }
                // While another process takes over, the rules are that one's.
                if !node.frozen.load(Ordering::Acquire)
                    && let Some(facts) = node.flow_facts()
                {
                    node.flows.carrier.look(&node.flows.fronts());
                    node.flows.forget_left();
                    node.flows.apply(&facts);
                }
                let within = node.flows.next_look();
                drop(node);
                heard = bell.wait(heard, within);
            }
        };
        let thread = std::thread::Builder::new().name("flows".to_owned()).spawn(run)?;
        *node.flows.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// The file is another one.
    pub(crate) fn follow(&self) {
        self.bell.ring();
    }

    /// Ends the flows of these servers, which get nothing new any more.
    pub(crate) fn cut(&self, servers: &[(PoolName, ServerName)]) {
        let until = Instant::now() + CUT;
        self.state().cut.extend(servers.iter().map(|server| (server.clone(), until)));
        self.bell.ring();
    }

    /// Ends the thread; the rules stay, unless `remove`.
    pub(crate) fn end(&self, remove: bool) {
        self.stopped.store(true, Ordering::Release);
        self.bell.ring();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
        let mut state = self.state();
        if remove && !state.fronts.is_empty() {
            if let Err(error) = self.carrier.remove() {
                tracing::warn!(error, "the rules of the kernel's path stay");
            }
            state.fronts.clear();
        }
    }

    /// Which path a service uses and why; `None`: not known yet.
    pub(crate) fn path(&self, service: &str) -> Option<ServicePath> {
        self.state().paths.get(service).cloned()
    }

    /// The services that the kernel carries.
    fn fronts(&self) -> Vec<Front> {
        self.state().fronts.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_look(&self) -> Duration {
        let state = self.state();
        let now = Instant::now();
        let left = state.left.values().min().map(|until| until.saturating_duration_since(now));
        let cut = state.cut.values().min().map(|until| until.saturating_duration_since(now));
        let soon = state.going.next(now).into_iter().chain(left).chain(cut).min().unwrap_or(LOOK);
        let soon = soon.max(Duration::from_millis(100));
        if state.fronts.is_empty() && state.problem.is_none() { soon.max(LOOK) } else { soon.min(LOOK) }
    }

    /// Makes the rules those of the file and of who is well now.
    fn apply(&self, facts: &Facts) {
        let cluster = &*facts.cluster;
        let mut state = self.state();
        let (mut fronts, mut pools) = (Vec::new(), wanted::Pools::new());
        let mut paths = BTreeMap::new();
        let now = Instant::now();
        let is_back = |pool: &PoolName, name: &ServerName| {
            let at =
                cluster.pool(pool).and_then(|pool| pool.servers.iter().find(|server| server.name == *name));
            let shares =
                facts.shares.iter().filter(|(other, _)| other == pool).flat_map(|(_, shares)| shares);
            at.is_none_or(|server| shares.clone().any(|share| share.open && share.at == server.at))
        };
        state.cut.retain(|(pool, name), until| *until > now && !is_back(pool, name));
        for (service, path) in cluster.services.iter().zip(cluster.kernel_paths()) {
            let path = path.and_then(|()| forwards(cluster, service));
            let shares = facts.shares.iter().find(|(pool, _)| *pool == service.pool);
            let front = cluster.pool_of(service).and_then(|pool| wanted::front(cluster, service, pool));
            if let (Ok(()), Some((pool, shares)), Some(mut front)) = (&path, shares, front) {
                let servers = cluster.pool(pool).into_iter().flat_map(|pool| &pool.servers);
                let cut =
                    servers.filter(|server| state.cut.contains_key(&(pool.clone(), server.name.clone())));
                front.cut = cut.map(|server| server.at).collect();
                pools.entry(pool.to_string()).or_insert_with(|| wanted::slots(shares));
                fronts.push(front);
            }
            paths.insert(service.name.clone(), path.map(|()| service.form()));
        }
        state.groups =
            fronts.iter().filter_map(|front| Some((front.name.clone(), group_of(cluster, front)?))).collect();
        let former = std::mem::take(&mut state.fronts);
        state.going.follow(&former, &fronts, now);
        let mut all = fronts.clone();
        state.going.add_to(&mut all);
        for front in &all {
            pools.entry(front.pool.clone()).or_default();
        }
        let is_new = |front: &&Front| !former.iter().any(|before| before.name == front.name);
        let new: Vec<&Front> = fronts.iter().filter(is_new).collect();
        let done = self.carrier.put(&Wanted { fronts: &all, pools: &pools, new: &new });
        match &done {
            Err(error) if state.problem.is_none() => {
                tracing::error!(
                    "the kernel does not take the rules of its path, services stay in userspace: {error}"
                );
            }
            Ok(()) if state.problem.is_some() => {
                tracing::info!("the kernel takes the rules of its path again")
            }
            Ok(()) | Err(_) => {}
        }
        state.problem = done.err();
        state.fronts = fronts;
        let web = cluster.services.iter().filter(|service| service.mode == Mode::Http);
        state.web = web.map(|service| service.name.clone()).collect();
        for (name, path) in paths {
            let path = path.and_then(|form| state.problem.clone().map_or(Ok(form), Err));
            let status = match path {
                Ok(form) => ServicePath { kernel: true, form, why: String::new() },
                Err(why) => ServicePath { kernel: false, form: String::new(), why },
            };
            let is_new = !state.web.contains(&name) && state.paths.get(&name) != Some(&status);
            if is_new && status.kernel {
                tracing::info!(service = %name, "its packets take the kernel's path");
            } else if is_new {
                tracing::info!(service = %name, why = status.why, "it is served by the userspace engine");
            }
            state.paths.insert(name, status);
        }
        state.paths.retain(|name, _| cluster.services.iter().any(|service| service.name == *name));
    }
}

impl Node {
    /// `None`: the balancer is being stopped.
    fn flow_facts(&self) -> Option<Facts> {
        let balancer = self.balancer.read().unwrap_or_else(PoisonError::into_inner);
        let Balancer::Running(engine) = &*balancer else { return None };
        Some(Facts { shares: engine.shares(), cluster: self.loaded().cluster })
    }
}

/// Whether this machine can carry a service's packets in its kernel, for one whose node does not run. Nothing is changed.
pub(crate) fn permits(cluster: &ClusterFile, service: &Service) -> Result<(), String> {
    forwards(cluster, service)?;
    Nft::new()
        .check(&format!("table ip {} {{\n}}\n", relevo_proto::flows::TABLE))
        .map_err(|error| error.to_string())
}

/// Whether this machine forwards packets. Where there is a gateway that was seen to; directly nothing is forwarded.
fn forwards(cluster: &ClusterFile, service: &Service) -> Result<(), String> {
    let v4 = service.listen.first().is_none_or(|listen| listen.at.is_ipv4());
    let family = if v4 { Family::V4 } else { Family::V6 };
    let has_gateway = cluster.gateways.iter().any(|gateway| gateway.way(family).is_some());
    if service.forward == Forward::Direct || has_gateway {
        return Ok(());
    }
    let name = if v4 { "net/ipv4/ip_forward" } else { "net/ipv6/conf/all/forwarding" };
    match std::fs::read_to_string(format!("/proc/sys/{name}")) {
        Ok(value) if value.trim() == "0" => {
            let name = name.replace('/', ".");
            Err(format!(
                "this machine does not forward packets: {name} is 0, and there is no [gateway] for them"
            ))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn group_of(cluster: &ClusterFile, front: &Front) -> Option<GroupName> {
    let address = cluster.addresses.iter().find(|address| address.ip == front.at.ip())?;
    Some(address.group.clone())
}

/// A server's address in rules.
fn place(at: SocketAddr, udp: bool) -> String {
    format!("{} . {} . {}", at.ip(), if udp { "udp" } else { "tcp" }, at.port())
}
