//! The life of the process: everything that must be there is had or refused, then it runs until a signal.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use relevo_api::server::Server;
use relevo_api::socket::ControlSocket;
use relevo_lb::Engine;
use relevo_model::{ClusterFile, Diagnostic, GroupName, NodeName, PoolName, ServerName};
use relevo_proto::vrrp::Handed;

use crate::acme::{self, Orderer};
use crate::control::{Balancer, Node};
use crate::dhcp::Dhcp;
use crate::director::{Director, Prepared};
use crate::dns::Dns;
use crate::duty::Duties;
use crate::flows::{Flows, Forgetful};
use crate::folder::Folder;
use crate::gateway::{Forgetting, Rules};
use crate::logging::Log;
use crate::moves::Moves;
use crate::ownership::Truth;
use crate::peers::{Peers, PeersError};
use crate::reload::Loaded;
use crate::state::{Start, State};
use crate::upgrade::{Belongings, Giver, Heir, Program};
use crate::{incidents, notify, track, words};

mod asked;
mod end;
mod signals;

use asked::director_of;
pub use asked::{Options, RunError, node_of};
pub(crate) use signals::{Event, block, wait_for_signals, waited_signals};

/// Runs a node until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start; then nothing was changed: no address is held, no socket is left.
pub fn run(options: &Options) -> Result<(), RunError> {
    let program = Program::of_this_process();
    let heir = Heir::of_this_process()?;
    let (belongings, voice) = heir.map_or((None, None), |heir| (Some(heir.belongings), Some(heir.voice)));
    let (loaded, warnings) = read_cluster(options)?;
    let cluster = &*loaded.cluster;
    if let Some(name) = crate::server::who_answers(cluster, options.name.as_deref()) {
        return crate::server::run(options, cluster, &name);
    }
    let name = director_of(cluster, options.name.as_deref())?;
    // Before any thread, the log's too: all of them inherit it, so that only our own waits for signals.
    let signals = waited_signals();
    block(&signals)?;
    let log = Log::start(options.log)?;
    crate::panics::end_the_process(log.flusher());
    let files = raise_open_files(cluster);
    let Places { mut run_folder, mut state_folder, mut socket, remains } =
        Places::own_or_inherit(options, belongings)?;
    let state = State::open(&state_folder)?;
    incidents::start(state_folder.path())
        .map_err(|source| RunError::System { what: "the incident log", source })?;
    let peers = Peers::prepare(cluster, &name, state_folder.path(), options.peers_key.as_deref())?;
    let (node, director) = start(loaded.clone(), name, state, options, remains, voice.is_some())?;
    let handed = voice.as_ref().map_or_else(|| Ok(Vec::new()), |voice| voice.ready())?;
    let active = handed.iter().filter(|(_, handed)| handed.active.is_some()).map(|(group, _)| group.clone());
    let active = voice.is_some().then(|| active.collect());
    Moves::begin(&node, active).map_err(|source| RunError::System { what: "the thread of moves", source })?;
    // Addresses come when all else is there.
    if let Some(director) = director {
        lead(&node, director, &handed, voice.is_some())?;
    }
    node.start_bfd().map_err(|source| RunError::System { what: "BFD", source })?;
    if let Some(peers) = peers {
        let peers = Arc::new(peers.start()?);
        let peers = node.peers.get_or_init(|| peers);
        let truth = Truth::start(&node, peers);
        *node.truth() = Some(truth.map_err(PeersError::Thread)?);
        node.moves
            .connect(peers)
            .map_err(|source| RunError::System { what: "the channel of moves", source })?;
        node.dhcp.connect(peers).map_err(|source| RunError::System { what: "DHCP", source })?;
    }
    let former = voice.as_ref().map(|voice| voice.pid);
    if let Some(voice) = voice {
        voice.done()?;
        socket.keep();
        for folder in [&mut run_folder, &mut state_folder] {
            folder.keep().map_err(|source| RunError::System { what: "the lock of a folder", source })?;
        }
    }
    // Only now: a node that does not start says why, and nothing else.
    warn(options, &warnings, files);
    remember_start(&node, former.is_some());
    let server = Server::start(socket, node.clone())
        .map_err(|source| RunError::System { what: "the control API", source })?;
    tracing::info!(cluster = cluster.name, node = %node.name, version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), former, "ready");
    if former.is_none() {
        notify::tell("READY=1");
    }

    let orderer = Orderer::start(&node, state_folder.path())
        .map_err(|source| RunError::System { what: "the ordering of certificates", source })?;
    let expiring = Arc::clone(&node);
    std::thread::Builder::new()
        .name("expiry".to_owned())
        .spawn(move || expiring.expire_wishes())
        .map_err(|source| RunError::System { what: "the clock of the operator's wishes", source })?;

    if !cluster.interfaces.is_empty() {
        let folder = state_folder.path().to_owned();
        std::thread::Builder::new()
            .name("net".to_owned())
            .spawn(move || crate::layer2::stand_in(&folder))
            .map_err(|source| RunError::System { what: "the guard of changed interfaces", source })?;
    }
    let (sender, events) = channel();
    wait_for_signals(signals, sender.clone())?;
    *node.events.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender.clone());
    let giver =
        Giver { node: &node, server: &server, run: &run_folder, state: &state_folder, program: &program };
    let is_left = end::until_told(&node, &giver, &events);
    drop(orderer);
    *node.events.lock().unwrap_or_else(PoisonError::into_inner) = None;
    if is_left {
        node.flows.end(false);
        node.moves.end(false);
        run_folder.leave();
        state_folder.leave();
        server.leave();
        return end::finish(&node, options.upgrade_grace, sender, &events);
    }
    end::stop(&node, server, options.grace, sender, &events)
}

/// Lets the director begin, or go on with what a former process has handed over.
fn lead(
    node: &Arc<Node>,
    director: Prepared,
    handed: &[(GroupName, Handed)],
    is_heir: bool,
) -> Result<(), RunError> {
    let tracked = track::Prepared::new(&node.loaded().cluster, &node.name, is_heir);
    let director = director.go_on(handed, &tracked.stands())?;
    node.duties.watch(&director);
    node.moves.watch(&director, node);
    *node.director.write().unwrap_or_else(PoisonError::into_inner) = Some(director);
    let tracking =
        tracked.start(node).map_err(|source| RunError::System { what: "the thread that watches", source })?;
    *node.tracking.lock().unwrap_or_else(PoisonError::into_inner) = Some(tracking);
    Ok(())
}

/// What the operator should know though the node runs. `files`: open files that are allowed and needed.
fn warn(options: &Options, warnings: &[Diagnostic], files: Option<(u64, u64)>) {
    for warning in warnings {
        tracing::warn!(file = %options.file.display(), line = warning.place.line, help = warning.hint, "{}", warning.message);
    }
    if let Some((allowed, needed)) = files {
        tracing::warn!(
            allowed,
            needed,
            "fewer open files are allowed than max_connections need; raise the limit (ulimit -n, LimitNOFILE=) or lower max_connections"
        );
    }
}

/// The places that belong to one process at a time.
struct Places {
    run_folder: Folder,
    state_folder: Folder,
    socket: ControlSocket,
    remains: Remains,
}

/// What else a former process left.
#[derive(Default)]
struct Remains {
    former: relevo_lb::Former,
    stats: Vec<(SocketAddr, OwnedFd)>,
}

impl Places {
    fn own_or_inherit(options: &Options, belongings: Option<Belongings>) -> Result<Self, RunError> {
        let Some(belongings) = belongings else {
            let run_folder = Folder::own("run", &options.run_dir)?;
            let state_folder = Folder::own("state", &options.state_dir)?;
            let socket = ControlSocket::bind(&relevo_api::socket_path(run_folder.path()))?;
            return Ok(Self { run_folder, state_folder, socket, remains: Remains::default() });
        };
        let Belongings { former, stats, control, run, state } = belongings;
        let run_folder = Folder::inherit("run", &options.run_dir, run)?;
        let state_folder = Folder::inherit("state", &options.state_dir, state)?;
        let socket = ControlSocket::inherit(control, &relevo_api::socket_path(run_folder.path()))?;
        Ok(Self { run_folder, state_folder, socket, remains: Remains { former, stats } })
    }
}

/// What can fail for a reason that an operator must mend comes first; then the balancer, so that it answers when the first
/// address comes. The director has all it needs, and has not begun.
fn start(
    loaded: Loaded,
    name: NodeName,
    state: State,
    options: &Options,
    remains: Remains,
    is_heir: bool,
) -> Result<(Arc<Node>, Option<Prepared>), RunError> {
    let since = wall_ms();
    let cluster = Arc::clone(&loaded.cluster);
    let director = match cluster.groups.iter().any(|group| group.priority_of(&name).is_some()) {
        true => Some(Director::prepare(&cluster, &name)?),
        false => None,
    };
    let workers = if remains.former.workers == 0 { options.workers } else { remains.former.workers };
    let admin = remembered(&cluster, &state);
    let settings = relevo_lb::Settings { workers, admin, ..relevo_lb::Settings::default() };
    // Nobody who connects from now on shall miss them.
    acme::show_kept(&settings.desk, &cluster, state.folder());
    let balancer = Engine::take_over(settings, &cluster, remains.former)?;
    for (pool, server, weight) in state.weights(&cluster) {
        tracing::info!(%pool, %server, weight, "weight set as before the restart");
        let _ = balancer.set_weight(Some(&pool), &server, Some(weight));
    }
    let flows = Arc::new(Flows::new(balancer.bell()));
    let rules = Arc::new(Rules::new(&name, state.folder()));
    let dhcp = Dhcp::start(&cluster, &name, state.folder())
        .map_err(|source| RunError::System { what: "DHCP", source })?;
    let duties = Duties::start(vec![
        Box::new(Forgetting::new(Arc::clone(&rules))),
        Box::new(Forgetful(Arc::clone(&flows))),
        dhcp.duty(),
    ])
    .map_err(|source| RunError::System { what: "the duties of a director", source })?;
    let node = Arc::new_cyclic(|itself| Node {
        loaded: RwLock::new(loaded),
        reloading: Mutex::new(()),
        name,
        since,
        state: Mutex::new(state),
        wishes_changed: Condvar::new(),
        director: RwLock::new(None),
        tracking: Mutex::new(None),
        peers: OnceLock::new(),
        truth: Mutex::new(None),
        bfd: Mutex::new(None),
        duties,
        dns: Dns::new(dhcp.names()),
        dhcp,
        flows,
        moves: Moves::new(),
        rules: Arc::clone(&rules),
        balancer: RwLock::new(Balancer::Running(balancer)),
        stats: Mutex::new(None),
        frozen: AtomicBool::new(false),
        events: Mutex::new(None),
        itself: Weak::clone(itself),
    });
    node.serve_stats(&cluster, remains.stats)?;
    node.dns.follow(&cluster).map_err(|source| RunError::System { what: "DNS", source })?;
    // Last: of all that can fail these alone change something that outlives the process.
    rules.stand(&cluster, is_heir)?;
    Flows::begin(&node, is_heir).map_err(|source| RunError::System { what: "the kernel's path", source })?;
    Ok((node, director))
}

/// What the operator wanted of servers before the restart.
fn remembered(cluster: &ClusterFile, state: &State) -> Vec<(PoolName, ServerName, relevo_lb::Admin)> {
    let is_there = |pool: &PoolName, server: &ServerName| {
        cluster.pool(pool).is_some_and(|pool| pool.servers.iter().any(|one| one.name == *server))
    };
    let mut list = Vec::new();
    let (expired, _) = state.expired(wall_ms());
    for (pool, server, wish) in state.wishes() {
        if expired.contains(&(pool.clone(), server.clone())) {
            continue;
        }
        let (admin, wish) = (wish.admin, words::admin(wish.admin));
        if is_there(pool, server) {
            tracing::info!(%pool, %server, admin = wish, "server set as before the restart");
        } else {
            tracing::warn!(%pool, %server, admin = wish, "a server of the state folder is not in the cluster file; it is remembered");
        }
        list.push((pool.clone(), server.clone(), words::to_lb(admin)));
    }
    list
}

/// The cluster, and what its operator should know.
pub(crate) fn read_cluster(options: &Options) -> Result<(Loaded, Vec<Diagnostic>), RunError> {
    let text = crate::file::read(&options.file)?;
    let reading = relevo_model::read(&text);
    match reading.cluster {
        Some(cluster) => {
            let folder = options.files_from.clone().unwrap_or_else(|| crate::file::folder_of(&options.file));
            Ok((Loaded::new(cluster, &options.file, &folder, &text), reading.diagnostics))
        }
        None => {
            let (path, diagnostics) = (options.file.clone(), reading.diagnostics);
            Err(RunError::Mistakes { path, text, diagnostics })
        }
    }
}

/// Open files with all services full: one for each client and one for its server, and some for the rest.
pub(crate) fn needed_files(cluster: &ClusterFile) -> u64 {
    let connections: u64 = cluster.services.iter().map(|service| service.limits.connections as u64).sum();
    connections.saturating_mul(2).saturating_add(256)
}

/// Takes all the open files that the system allows. How many are allowed and needed, if that is too few.
fn raise_open_files(cluster: &ClusterFile) -> Option<(u64, u64)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let allowed = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_or(soft, |()| hard);
    let needed = needed_files(cluster);
    (allowed < needed).then_some((allowed, needed))
}

fn remember_start(node: &Node, is_next: bool) {
    let start = Start {
        at: node.since,
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ended: None,
    };
    let mut state = node.state.lock().unwrap_or_else(PoisonError::into_inner);
    if is_next && let Err(error) = state.record_end(wall_ms()) {
        tracing::warn!(%error, "the end of the former process cannot be written to the state folder");
    }
    match state.record_start(start) {
        Ok(Some(before)) if before.ended.is_none() => {
            tracing::warn!(pid = before.pid, "the run before this one did not end in order");
            let text = format!("started; the run before, process {}, did not end in order", before.pid);
            incidents::note("start", &text, &[("pid", before.pid.to_string())]);
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "this start cannot be written to the state folder"),
    }
}

/// Milliseconds since 1970-01-01 UTC.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
