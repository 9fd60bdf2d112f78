//! BFD at work: a thread of its own with a session to each director on each network of the groups that want it.
//!
//! The thread waits in `poll`, takes what came before it looks at its timers, and never waits for anybody else. A neighbour
//! that has become silent is lost for the group's machine ([`crate::director`]), which decides what that means. Sessions
//! are stopped by AdminDown before a planned end, and before another process of this node takes over.

mod plan;

use std::fmt;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use relevo_api::types::BfdStatus;
use relevo_model::cluster::{ClusterFile, Family};
use relevo_model::{NodeName, Time};
use relevo_net::bfd_socket::{BfdSender, BfdSocket};
use relevo_net::route::Route;
use relevo_net::{clock, realtime};
use relevo_proto::bfd::{Output, PORT, Session, SessionState, Settings};

use crate::director::Teller;
use plan::{Plan, Wanted};

/// Source ports of sessions (RFC 5881 section 4).
const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;
/// Time between two tries to open a socket.
const RETRY: Duration = Duration::from_millis(200);
/// Most packets taken from one socket in one turn.
const MOST_PACKETS: usize = 256;
/// How long an end waits for the last words, each said three times.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The sessions of this node.
pub(crate) struct Bfd {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    views: Mutex<Vec<BfdStatus>>,
    /// Say AdminDown.
    stopping: AtomicBool,
    /// End when that has been said often enough.
    ending: AtomicBool,
    wake: EventFd,
}

impl Bfd {
    /// Begins, if a group wants it.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start(
        cluster: &ClusterFile,
        own: &NodeName,
        teller: Teller,
    ) -> std::io::Result<Option<Self>> {
        let plan = plan::plan(cluster, own);
        if plan.is_empty() {
            return Ok(None);
        }
        let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        let shared = Arc::new(Shared {
            views: Mutex::default(),
            stopping: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            wake,
        });
        let mut turns = Turns::new(plan, teller, Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("bfd".to_owned()).spawn(move || turns.run())?;
        Ok(Some(Self { shared, thread: Some(thread) }))
    }

    /// Every session.
    pub(crate) fn status(&self) -> Vec<BfdStatus> {
        lock(&self.shared.views).clone()
    }

    /// Tells all neighbours that this is a planned stop, now and until it ends.
    pub(crate) fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.ring();
    }
}

impl Drop for Bfd {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Release);
        self.stop();
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Bfd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bfd").finish_non_exhaustive()
    }
}

impl Shared {
    fn ring(&self) {
        // It fails only when 2^64 wakes wait; then the thread wakes anyway.
        let _ = self.wake.write(1);
    }
}

/// The thread.
struct Turns {
    legs: Vec<Leg>,
    teller: Teller,
    shared: Arc<Shared>,
    random: u64,
    /// Since when the sessions are stopped.
    stopped: Option<Time>,
    shown: bool,
}

/// A network.
struct Leg {
    plan: Plan,
    socket: Option<BfdSocket>,
    retry: Time,
    told: bool,
    live: Vec<Live>,
}

/// A neighbour there.
struct Live {
    wanted: Wanted,
    session: Session,
    sender: Option<BfdSender>,
    /// Times that AdminDown was sent.
    last_words: u32,
    drops: u64,
}

impl Turns {
    fn new(plan: Vec<Plan>, teller: Teller, shared: Arc<Shared>) -> Self {
        let now = clock::now();
        // Jitter has to differ between nodes, and no more.
        let mut random = now.as_nanos() ^ u64::from(std::process::id()) << 32;
        let mut number = 0;
        let legs = plan.into_iter().map(|plan| {
            let live = plan.wanted.iter().map(|wanted| {
                number += 1;
                let discriminator = u32::try_from(next(&mut random) >> 40).unwrap_or(0) << 8 | number & 0xff;
                let settings =
                    Settings { discriminator, interval: wanted.interval, multiplier: wanted.multiplier };
                Live {
                    wanted: wanted.clone(),
                    session: Session::new(settings, now),
                    sender: None,
                    last_words: 0,
                    drops: 0,
                }
            });
            let live = live.collect();
            Leg { plan, socket: None, retry: Time::ZERO, told: false, live }
        });
        let legs = legs.collect();
        Self { legs, teller, shared, random, stopped: None, shown: false }
    }

    fn run(&mut self) {
        if let Err(error) = realtime::prefer_this_thread() {
            tracing::debug!(%error, "no real-time priority");
        }
        loop {
            let now = clock::now();
            for leg in &mut self.legs {
                leg.open_if_due(now);
            }
            self.receive(now);
            self.stop_if_told(now);
            self.fire(clock::now());
            self.show();
            if self.is_over(now) {
                return;
            }
            self.wait();
        }
    }

    fn wait(&self) {
        let sessions =
            self.legs.iter().flat_map(|leg| leg.live.iter().map(|live| live.session.poll_timeout()));
        let retries = self.legs.iter().filter(|leg| !leg.is_open()).map(|leg| leg.retry);
        let due = sessions.chain(retries).min().unwrap_or(Time::MAX);
        let mut timeout = due.since(clock::now());
        if self.stopped.is_some() {
            timeout = timeout.min(Duration::from_millis(10));
        }
        let mut fds = vec![PollFd::new(self.shared.wake.as_fd(), PollFlags::POLLIN)];
        let sockets = self.legs.iter().filter_map(|leg| leg.socket.as_ref());
        fds.extend(sockets.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
        if let Err(error) = ppoll(&mut fds, Some(TimeSpec::from_duration(timeout)), None)
            && error != nix::errno::Errno::EINTR
        {
            tracing::error!(%error, "cannot wait for BFD sockets");
            std::thread::sleep(Duration::from_millis(10));
        }
        // Not readable: nobody woke us.
        let _ = self.shared.wake.read();
    }

    fn receive(&mut self, now: Time) {
        let mut buffer = [0; 512];
        for leg in &mut self.legs {
            for _ in 0..MOST_PACKETS {
                let Some(socket) = &leg.socket else { break };
                let Some((source, ttl, length)) = socket.receive(&mut buffer) else { break };
                let Some(live) = leg.live.iter_mut().find(|live| live.wanted.at == source) else { continue };
                let chance = next(&mut self.random);
                if let Err(reason) = live.session.handle_packet(now, ttl, &buffer[..length], chance) {
                    live.drops += 1;
                    tracing::debug!(node = %live.wanted.node, network = %leg.plan.network, "dropped a BFD packet: {reason}");
                }
            }
        }
        self.act();
    }

    fn fire(&mut self, now: Time) {
        for live in self.legs.iter_mut().flat_map(|leg| &mut leg.live) {
            if live.session.poll_timeout() <= now {
                live.session.handle_timeout(now, next(&mut self.random));
            }
        }
        self.act();
    }

    fn act(&mut self) {
        for leg in &mut self.legs {
            for live in &mut leg.live {
                while let Some(output) = live.session.poll_output() {
                    let (node, network) = (&live.wanted.node, &leg.plan.network);
                    self.shown &= matches!(output, Output::Send(_));
                    match output {
                        Output::Send(bytes) => {
                            live.last_words += u32::from(live.session.state().0 == SessionState::AdminDown);
                            if let Some(sender) = &live.sender
                                && let Err(error) = sender.send(live.wanted.at, PORT, &bytes)
                            {
                                tracing::trace!(%node, %network, "{}", crate::in_full(&error));
                            }
                        }
                        Output::Up => {
                            let at = live.wanted.at;
                            tracing::info!(%node, %network, %at, "BFD: {node} is heard on {network}");
                        }
                        Output::Down { silent: true, .. } => {
                            // First what matters.
                            for group in &live.wanted.groups {
                                self.teller.lost(*group, node, Some((network, Family::of(live.wanted.at))));
                            }
                            let at = live.wanted.at;
                            let text = format!("BFD: {node} is silent on {network}");
                            tracing::warn!(%node, %network, %at, "{text}");
                            let fields = [
                                ("node", node.to_string()),
                                ("network", network.to_string()),
                                ("at", at.to_string()),
                            ];
                            crate::incidents::note("bfd", &text, &fields);
                        }
                        Output::Down { silent: false, diagnostic } => {
                            tracing::info!(%node, %network, ?diagnostic, "BFD: {node} has ended the session on {network}");
                        }
                    }
                }
            }
        }
    }

    fn stop_if_told(&mut self, now: Time) {
        if self.stopped.is_none() && self.shared.stopping.load(Ordering::Acquire) {
            self.stopped = Some(now);
            self.shown = false;
            for live in self.legs.iter_mut().flat_map(|leg| &mut leg.live) {
                live.session.stop(now);
            }
            self.act();
        }
    }

    fn is_over(&self, now: Time) -> bool {
        let Some(stopped) = self.stopped else { return false };
        let mut live = self.legs.iter().flat_map(|leg| &leg.live);
        let said = live.all(|live| live.last_words >= 3 || live.sender.is_none());
        self.shared.ending.load(Ordering::Acquire) && (said || now.since(stopped) > LAST_WORDS)
    }

    fn show(&mut self) {
        if std::mem::replace(&mut self.shown, true) {
            return;
        }
        let views = self.legs.iter().flat_map(|leg| {
            leg.live.iter().map(|live| {
                let (state, since) = live.session.state();
                BfdStatus {
                    node: live.wanted.node.clone(),
                    network: leg.plan.network.clone(),
                    at: Some(live.wanted.at),
                    state: match state {
                        SessionState::AdminDown => "admindown",
                        SessionState::Down => "down",
                        SessionState::Init => "init",
                        SessionState::Up => "up",
                    }
                    .to_owned(),
                    since: clock::wall_millis(since),
                }
            })
        });
        let views = views.collect();
        *lock(&self.shared.views) = views;
    }
}

impl Leg {
    fn is_open(&self) -> bool {
        self.socket.is_some() && self.live.iter().all(|live| live.sender.is_some())
    }

    fn open_if_due(&mut self, now: Time) {
        if self.is_open() || now < self.retry {
            return;
        }
        self.retry = now + RETRY;
        if let Err(error) = self.open() {
            if !std::mem::replace(&mut self.told, true) {
                tracing::warn!(network = %self.plan.network, "no BFD: {}; trying again", crate::in_full(&error));
            }
        } else {
            self.told = false;
        }
    }

    fn open(&mut self) -> Result<(), relevo_net::Error> {
        let interface = Route::open()?.interface(self.plan.own, self.plan.interface.as_deref())?;
        if self.socket.is_none() {
            self.socket = Some(BfdSocket::open(&interface.link, self.plan.source, PORT)?);
        }
        for live in self.live.iter_mut().filter(|live| live.sender.is_none()) {
            live.sender = Some(BfdSender::open(&interface.link, self.plan.source, SOURCE_PORTS)?);
        }
        Ok(())
    }
}

/// The next of many numbers (SplitMix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Whoever panicked with the lock has left whole values behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
