//! The life of the process: everything that must be there is had or refused, then it runs until a signal.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use relevo_api::server::{Control, Refusal, Server};
use relevo_api::socket::ControlSocket;
use relevo_lb::Engine;
use relevo_model::{ClusterFile, Diagnostic, NodeName, PoolName, ServerName};

use crate::acme::{self, Orderer};
use crate::control::{Balancer, Node};
use crate::dhcp::Dhcp;
use crate::director::{Director, Prepared};
use crate::dns::Dns;
use crate::duty::{Duties, Leaving};
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
        let tracked = track::Prepared::new(cluster, &node.name, voice.is_some());
        let director = director.go_on(&handed, &tracked.stands())?;
        node.duties.watch(&director);
        node.moves.watch(&director, &node);
        *node.director.write().unwrap_or_else(PoisonError::into_inner) = Some(director);
        let tracking = tracked.start(&node);
        let tracking =
            tracking.map_err(|source| RunError::System { what: "the thread that watches", source })?;
        *node.tracking.lock().unwrap_or_else(PoisonError::into_inner) = Some(tracking);
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
    let is_left = loop {
        match events.recv() {
            Ok(Event::Upgrade(answer)) => {
                tracing::info!("the operator asks: another process of the program shall take over");
                let upgraded = giver.hand_over();
                let is_left = upgraded.is_ok();
                match &upgraded {
                    Ok(upgraded) => {
                        notify::tell(&format!("MAINPID={}", upgraded.to));
                        tracing::info!(
                            pid = upgraded.to,
                            version = upgraded.version,
                            took_ms = upgraded.took_ms,
                            "another process has taken over; this one finishes its connections"
                        );
                    }
                    Err(refusal) => tracing::warn!("{refusal}"),
                }
                let _ = answer.send(upgraded);
                if is_left {
                    break true;
                }
            }
            Ok(Event::Signal(Signal::SIGHUP)) => {
                tracing::info!("SIGHUP: reading the cluster file again");
                node.reopen_log();
                // It tells in the log what came of it.
                if let Err(Refusal::Mistakes { details, .. }) = node.reload() {
                    tracing::warn!("{details}");
                }
            }
            Ok(Event::Signal(signal)) => {
                tracing::info!(signal = signal.as_str(), "stopping");
                break false;
            }
            Ok(Event::Stopped) | Err(_) => break false,
        }
    };
    drop(orderer);
    *node.events.lock().unwrap_or_else(PoisonError::into_inner) = None;
    if is_left {
        node.flows.end(false);
        node.moves.end(false);
        run_folder.leave();
        state_folder.leave();
        server.leave();
        drop(node.truth().take());
        if let Some(peers) = node.peers.get() {
            peers.stop();
        }
        drop(node.stats.lock().unwrap_or_else(PoisonError::into_inner).take());
        drop(node.tracking.lock().unwrap_or_else(PoisonError::into_inner).take());
        node.dhcp.stop();
        node.dns.stop();
        finish(&node, options.upgrade_grace, sender, &events)?;
        tracing::info!("stopped; another process goes on");
        return Ok(());
    }
    let brake = node.director.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(Director::brake);
    let stopping = Arc::clone(&node);
    let grace = options.grace;
    std::thread::Builder::new()
        .name("stop".to_owned())
        .spawn(move || {
            stop(&stopping, grace);
            let _ = sender.send(Event::Stopped);
        })
        .map_err(|source| RunError::System { what: "the stopping thread", source })?;
    while let Ok(event) = events.recv() {
        match event {
            Event::Stopped => break,
            // The answer is that it is being stopped.
            Event::Signal(Signal::SIGHUP) | Event::Upgrade(_) => {}
            Event::Signal(signal) => {
                tracing::warn!(signal = signal.as_str(), "a second signal: stopping at once");
                // Nobody shall find an address here, not even until its lease ends.
                if let Some(brake) = brake {
                    brake.pull();
                }
                break;
            }
        }
    }
    node.moves.end(true);
    server.stop();
    node.dhcp.stop();
    node.dns.stop();
    // It has the node, and the node has it.
    drop(node.stats.lock().unwrap_or_else(PoisonError::into_inner).take());
    let mut state = node.state.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = state.record_end(wall_ms()) {
        tracing::warn!(%error, "the end of this run cannot be written to the state folder");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Finishes the connections that this process has; another one has all else. A signal ends it at once.
fn finish(
    node: &Arc<Node>,
    grace: Duration,
    sender: Sender<Event>,
    events: &Receiver<Event>,
) -> Result<(), RunError> {
    let leaving = Arc::clone(node);
    std::thread::Builder::new()
        .name("stop".to_owned())
        .spawn(move || {
            if let Some(balancer) = leaving.take_balancer() {
                balancer.leave(grace);
            }
            let _ = sender.send(Event::Stopped);
        })
        .map_err(|source| RunError::System { what: "the stopping thread", source })?;
    while let Ok(event) = events.recv() {
        match event {
            Event::Stopped => break,
            // It is for the process that goes on.
            Event::Signal(Signal::SIGHUP) | Event::Upgrade(_) => {}
            Event::Signal(signal) => {
                tracing::warn!(signal = signal.as_str(), "connections that are not finished are cut");
                break;
            }
        }
    }
    Ok(())
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

/// Gives the addresses away while the balancer still answers, then lets requests in progress end.
fn stop(node: &Node, grace: Duration) {
    node.duties.rest(Leaving::Planned);
    if let Some(bfd) = &*node.bfd() {
        bfd.stop();
    }
    let director = node.director.write().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(director) = director {
        director.shutdown();
        tracing::info!("the addresses are given away");
    }
    drop(node.bfd().take());
    drop(node.truth().take());
    drop(node.tracking.lock().unwrap_or_else(PoisonError::into_inner).take());
    node.moves.wait_for_strays();
    let left = node.moves.left();
    if let Some(balancer) = node.take_balancer() {
        match left {
            // The new owner leads their packets here: clients that are idle have time to ask once more.
            Some(left) => balancer.leave(left.max(grace)),
            None => balancer.shutdown(grace),
        }
    }
    // What was sent has not arrived yet.
    node.moves.wait_for_the_last();
    node.moves.end(true);
    if let Some(peers) = node.peers.get() {
        peers.stop();
    }
    // Never before the addresses: what is not translated would be answered by this machine itself.
    node.flows.end(true);
}

/// The folder of a file; the working directory for the standard input.
fn folder_of(file: &Path) -> PathBuf {
    let full = std::path::absolute(file).unwrap_or_default();
    full.parent().map(Path::to_owned).unwrap_or_default()
}

/// The cluster, and what its operator should know.
pub(crate) fn read_cluster(options: &Options) -> Result<(Loaded, Vec<Diagnostic>), RunError> {
    let text = crate::file::read(&options.file)?;
    let reading = relevo_model::read(&text);
    match reading.cluster {
        Some(cluster) => {
            let folder = options.files_from.clone().unwrap_or_else(|| folder_of(&options.file));
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
