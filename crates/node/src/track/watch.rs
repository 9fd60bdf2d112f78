//! The thread: what is due is looked at, and what that changes is told to the director.

use std::net::{SocketAddr, SocketAddrV6};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use relevo_model::cluster::{ClusterFile, Watched};
use relevo_model::{NodeName, Time};
use relevo_net::clock;
use relevo_net::monitor::{Event, Monitor};
use relevo_net::route::Route;
use relevo_proto::health::ProbeResult;
use relevo_proto::track::{Reading, Verdict};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use super::look::{self, Seen};
use super::process::Processes;
use super::{Shared, Stand, Tracked, lock, slots, word};
use crate::bfd::Bfd;
use crate::control::{Balancer, Node};

/// Most answers of slow looks that wait.
const MOST_ANSWERS: usize = 64;
/// How often servers and BFD's sessions are looked at; these have their own rhythm.
const TOLD: Duration = Duration::from_millis(100);
/// The director is told again after this, whatever changed: it may be another one.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the kernel is listened to before it is asked whether to stop.
const LISTEN: Duration = Duration::from_millis(500);

/// The answer of a look that took its time: group, tracker, number of the look.
type Answer = (usize, usize, u64, Seen);

/// All that the thread has.
pub(super) struct Watch {
    groups: Vec<Tracked>,
    node: Weak<Node>,
    shared: Arc<Shared>,
    /// The file that the trackers were made of.
    cluster: Option<Arc<ClusterFile>>,
    processes: Processes,
    /// Looks that took their time, so far.
    looks: u64,
}

impl Watch {
    pub(super) fn new(groups: Vec<Tracked>, node: Weak<Node>, shared: Arc<Shared>) -> Self {
        Self { groups, node, shared, cluster: None, processes: Processes::default(), looks: 0 }
    }

    /// Looks until told to stop, or until the node is gone.
    pub(super) fn run(mut self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "nothing is watched: the groups stay as they are");
                return;
            }
        };
        runtime.block_on(self.watch());
        // A look into a file system that does not answer is left behind.
        runtime.shutdown_background();
    }

    async fn watch(&mut self) {
        let slots = self.groups.iter().flat_map(|group| &group.slots);
        if slots.into_iter().any(|slot| is_of_the_kernel(&slot.config.what)) {
            listen_to_the_kernel(Arc::clone(&self.shared));
        }
        let mut route =
            Route::open().inspect_err(|error| tracing::error!(%error, "links are not watched")).ok();
        let (sender, mut answers) = channel(MOST_ANSWERS);
        while !self.shared.stopped.load(Ordering::Acquire) {
            let Some(node) = self.node.upgrade() else { break };
            let now = clock::now();
            self.follow_the_file(&node, now);
            self.look(&node, route.as_mut(), &sender, now);
            self.judge(&node, now);
            drop(node);
            let wait = self.due().since(clock::now());
            let shared = Arc::clone(&self.shared);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shared.nudge.notified() => {
                    let links = shared.links.swap(false, Ordering::AcqRel);
                    self.hurry(|what| links && is_of_the_kernel(what));
                }
                Some(answer) = answers.recv() => {
                    self.take(answer);
                    self.take_more(&mut answers);
                }
            }
        }
    }

    /// A file that was read again may have other services.
    fn follow_the_file(&mut self, node: &Node, now: Time) {
        let cluster = node.loaded().cluster;
        if self.cluster.as_ref().is_some_and(|before| Arc::ptr_eq(before, &cluster)) {
            return;
        }
        if self.cluster.is_some() {
            for tracked in &mut self.groups {
                if let Some(group) = cluster.group(&tracked.name) {
                    let former = std::mem::take(&mut tracked.slots);
                    // What is new has not been looked at: it changes nothing yet.
                    tracked.slots = slots(&cluster, group, former, now, true);
                    // An answer would come to the place that it had before.
                    let waiting = tracked.slots.iter_mut().filter(|slot| slot.next.is_none());
                    waiting.for_each(|slot| slot.next = Some(now));
                }
            }
        }
        self.cluster = Some(cluster);
    }

    /// When something is due.
    fn due(&self) -> Time {
        let slots = self.groups.iter().flat_map(|group| &group.slots);
        let looks = slots.clone().filter_map(|slot| slot.next);
        let delays = slots.filter_map(|slot| slot.machine.poll_timeout());
        looks.chain(delays).min().unwrap_or(Time::MAX).min(clock::now() + AGAIN)
    }

    /// Looks now at what the kernel or somebody else has told of.
    fn hurry(&mut self, is_meant: impl Fn(&Watched) -> bool) {
        let now = clock::now();
        for slot in self.groups.iter_mut().flat_map(|group| &mut group.slots) {
            if is_meant(&slot.config.what) && slot.next.is_some() {
                slot.next = Some(now);
            }
        }
    }

    fn look(&mut self, node: &Arc<Node>, mut route: Option<&mut Route>, answers: &Sender<Answer>, now: Time) {
        let Some(cluster) = self.cluster.clone() else { return };
        for (group, tracked) in self.groups.iter_mut().enumerate() {
            for (place, slot) in tracked.slots.iter_mut().enumerate() {
                if slot.next.is_none_or(|next| next > now) {
                    continue;
                }
                let what = &slot.config.what;
                let (reading, evidence) = match (what, route.as_deref_mut()) {
                    (Watched::Interface(name), Some(route)) => look::interface(route, name),
                    (Watched::Link(network), Some(route)) => look::link(route, &cluster, &node.name, network),
                    (Watched::Route(to), Some(route)) => look::route(route, *to),
                    (
                        Watched::Interface(_) | Watched::Link(_) | Watched::Route(_) | Watched::PingOn(..),
                        None,
                    ) => (Reading::Unknown, "cannot look: there is no netlink socket".to_owned()),
                    (Watched::Process(process), _) => self.processes.look(process),
                    (Watched::Service(service), _) => {
                        let pool = cluster.services.iter().find(|one| one.name == *service);
                        look::reach(pool.and_then(|service| reach(node, &service.pool)))
                    }
                    (Watched::Pool(pool), _) => look::reach(reach(node, pool)),
                    (Watched::Bfd(peer), _) => {
                        look::bfd(&node.bfd().as_ref().map_or_else(Vec::new, Bfd::status), peer)
                    }
                    (
                        Watched::File(_) | Watched::Script(_) | Watched::Ping(_) | Watched::PingOn(..),
                        route,
                    ) => {
                        let scope = match (what, route) {
                            (Watched::PingOn(_, network), Some(route)) => {
                                look::scope(route, &cluster, &node.name, network)
                            }
                            _ => Ok(0),
                        };
                        let scope = match scope {
                            Ok(scope) => scope,
                            Err((reading, evidence)) => {
                                slot.machine.handle_input(now, reading, &evidence);
                                slot.looked = true;
                                slot.next = Some(now + slot.config.interval);
                                continue;
                            }
                        };
                        self.looks += 1;
                        slot.number = self.looks;
                        slot.next = None;
                        let at = (group, place, slot.number);
                        ask(
                            (what.clone(), scope),
                            slot.config.timeout,
                            &tracked.name,
                            &node.name,
                            at,
                            answers.clone(),
                        );
                        continue;
                    }
                };
                slot.machine.handle_input(now, reading, &evidence);
                let is_server = matches!(what, Watched::Service(_) | Watched::Pool(_));
                slot.looked |= !is_server || reading != Reading::Unknown;
                let is_told = is_server || matches!(what, Watched::Bfd(_));
                let interval = if is_told { slot.config.interval.min(TOLD) } else { slot.config.interval };
                slot.next = Some(now + interval);
            }
        }
    }

    fn take(&mut self, (group, place, number, (reading, evidence)): Answer) {
        let now = clock::now();
        let slot = self.groups.get_mut(group).and_then(|group| group.slots.get_mut(place));
        // The file was read again meanwhile: it is another one's answer.
        let Some(slot) = slot.filter(|slot| slot.number == number && slot.next.is_none()) else { return };
        slot.machine.handle_input(now, reading, &evidence);
        slot.looked = true;
        slot.next = Some(now + slot.config.interval);
        if reading == Reading::Unknown && !std::mem::replace(&mut slot.told, true) {
            tracing::warn!(tracker = %slot.config.name, "{evidence}");
        }
    }

    fn take_more(&mut self, answers: &mut Receiver<Answer>) {
        while let Ok(answer) = answers.try_recv() {
            self.take(answer);
        }
    }

    /// Tells what has changed: people in the log, the director where it stands.
    fn judge(&mut self, node: &Node, now: Time) {
        let mut is_new = false;
        for tracked in &mut self.groups {
            let group = &tracked.name;
            for slot in &mut tracked.slots {
                slot.machine.handle_timeout(now);
                while let Some(changed) = slot.machine.poll_output() {
                    is_new = true;
                    tell(group, &slot.config.name, &changed);
                }
            }
            let stand = tracked.stand();
            let is_old = |told: &(Stand, Time)| told.0 == stand && now.since(told.1) < AGAIN;
            if tracked.told.as_ref().is_some_and(is_old) {
                continue;
            }
            let director = node.director.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(director) = director.as_ref() {
                director.stand(group, &stand);
            }
            drop(director);
            tracked.told = Some((stand, now));
            is_new = true;
        }
        if is_new {
            self.publish();
        }
    }

    /// Shows the newest status.
    pub(super) fn publish(&self) {
        let mut board = lock(&self.shared.board);
        for group in &self.groups {
            board.insert(group.name.clone(), (group.stand().priority, group.status()));
        }
    }
}

fn tell(group: &str, tracker: &str, changed: &relevo_proto::track::Changed) {
    let (from, to) = (word(changed.from), word(changed.to));
    let text = format!("tracker {tracker} of {group} is {to}: {}", changed.evidence);
    match changed.to {
        Verdict::Down => tracing::warn!(group, tracker, from, to, "{text}"),
        Verdict::Up | Verdict::Unknown => tracing::info!(group, tracker, from, to, "{text}"),
    }
    // The first look of a process that has just begun is no incident, unless it is bad.
    if changed.from != changed.to && (changed.from != Verdict::Unknown || changed.to == Verdict::Down) {
        let fields = [("group", group.to_owned()), ("tracker", tracker.to_owned()), ("to", to.to_owned())];
        crate::incidents::note("tracker", &text, &fields);
    }
}

fn reach(node: &Node, pool: &str) -> Option<relevo_lb::Reach> {
    match &*node.balancer.read().unwrap_or_else(PoisonError::into_inner) {
        Balancer::Running(engine) => engine.reach(pool),
        Balancer::Stopped(..) => None,
    }
}

const fn is_of_the_kernel(what: &Watched) -> bool {
    matches!(what, Watched::Interface(_) | Watched::Link(_) | Watched::Route(_))
}

/// A look that may take its time, at something and, of a link-local address, in this scope. Whatever comes of it, there is an answer.
fn ask(
    (what, scope): (Watched, u32),
    most: Duration,
    group: &str,
    node: &NodeName,
    (group_place, place, number): (usize, usize, u64),
    answers: Sender<Answer>,
) {
    let (group, node) = (group.to_owned(), node.clone());
    tokio::spawn(async move {
        let seen = match what {
            Watched::File(path) => {
                let looked = tokio::task::spawn_blocking(move || look::file(&path)).await;
                looked.unwrap_or_else(|error| (Reading::Unknown, format!("cannot look: {error}")))
            }
            Watched::Script(argv) => {
                let about = [("RELEVO_GROUP", group.as_str()), ("RELEVO_NODE", node.as_str())];
                look::probed(relevo_lb::command(&argv, &about, most).await)
            }
            Watched::Ping(ip) => look::probed(ping(SocketAddr::new(ip, 0), most).await),
            Watched::PingOn(ip, _) => {
                let at = SocketAddr::V6(SocketAddrV6::new(ip, 0, 0, scope));
                look::probed(ping(at, most).await)
            }
            Watched::Interface(_)
            | Watched::Link(_)
            | Watched::Process(_)
            | Watched::Route(_)
            | Watched::Service(_)
            | Watched::Pool(_)
            | Watched::Bfd(_) => return,
        };
        // Nobody waits for it any more when the thread is gone.
        let _ = answers.send((group_place, place, number, seen)).await;
    });
}

async fn ping(at: SocketAddr, most: Duration) -> ProbeResult {
    match timeout(most, relevo_lb::ping(at)).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => ProbeResult::Bad(error.to_string()),
        Err(_) => ProbeResult::TimedOut(most),
    }
}

/// Hears of links, and wakes the thread: one of its own, as it waits in the kernel.
fn listen_to_the_kernel(shared: Arc<Shared>) {
    let listen = move || {
        let mut monitor = match Monitor::open() {
            Ok(monitor) => monitor,
            Err(error) => {
                tracing::error!(%error, "links are looked at only from time to time");
                return;
            }
        };
        while !shared.stopped.load(Ordering::Acquire) {
            match monitor.next(LISTEN) {
                Ok(Some(Event::Link(_) | Event::LinkRemoved(_) | Event::Overrun)) => {
                    shared.links.store(true, Ordering::Release);
                    shared.nudge.notify_one();
                }
                Ok(None | Some(Event::AddressAdded(_) | Event::AddressRemoved(_))) => {}
                Err(error) => {
                    tracing::error!(%error, "links are looked at only from time to time");
                    return;
                }
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("track-links".to_owned()).spawn(listen) {
        tracing::error!(%error, "links are looked at only from time to time");
    }
}
