//! Duties: what this node does besides while it is the active director of a group: DHCP, gateway and the like.
//!
//! ```text
//!   director ── Bell (rings on each change, never waits) ──► relevo-duties ──► Duty::take, Duty::leave
//!   operator's switch-over, stop, upgrade ── Order ────────►      │
//!                                             one thread for all ─┘
//! ```
//! Addresses come first and duties follow some milliseconds later; what must move in the same instant as an address is
//! the director's own business. Where a group is given away on purpose its duties end before its addresses go. A duty that could
//! not be taken is tried again each second.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use relevo_api::types::GroupState;
use relevo_model::{ClusterFile, GroupName};

use crate::director::{Director, View};

/// How long a duty that failed is left alone.
const AGAIN: Duration = Duration::from_secs(1);
/// How long somebody who gives a group away waits for its duties to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// Something that is done on the active director of a group.
pub(crate) trait Duty: Send {
    /// What it is, for the log.
    fn name(&self) -> &'static str;

    /// The group became active here: its addresses are held. It may be told so again, after an error or a reload.
    ///
    /// # Errors
    /// What is in the way; it is logged, and tried again after a second.
    fn take(&mut self, group: &GroupName) -> io::Result<()>;

    /// The group is not active here any more, or will not be in a moment. Quick: somebody may wait to give the addresses away.
    fn leave(&mut self, group: &GroupName, why: Leaving);

    /// The cluster file is another one now. [`Duty::take`] follows for each active group.
    fn follow(&mut self, cluster: &Arc<ClusterFile>) {
        let _ = cluster;
    }
}

/// Why a duty ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// The group is given away, or the node stops; the addresses are still here.
    Planned,
    /// Somebody else is active, or the director failed; the addresses are gone.
    Lost,
    /// Another process of this node goes on in a moment: what is set up in the kernel stays as it is.
    HandedOver,
}

/// What the thread is told.
enum Order {
    /// Something has changed.
    Look,
    /// This is the director from now on.
    Watch(View),
    /// The group is about to be given away; answer when its duties have ended.
    Aside(GroupName, Sender<()>),
    /// It is not given away any more.
    Back(GroupName),
    /// All duties end; answer when they have.
    Rest(Leaving, Sender<()>),
    /// Duties go on.
    Resume,
    /// Another file.
    Follow(Arc<ClusterFile>),
    Stop,
}

/// Rings when the director's status changes. Ringing never waits, and one ring is enough until it is heard.
#[derive(Debug)]
pub(crate) struct Bell {
    rung: Arc<AtomicBool>,
    orders: Sender<Order>,
}

impl Bell {
    /// Rings.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Nobody hears it once the thread is gone.
            let _ = self.orders.send(Order::Look);
        }
    }
}

/// A handle to the duties of this node. Dropping it ends them all as [`Leaving::Planned`].
pub(crate) struct Duties {
    orders: Sender<Order>,
    rung: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Duties {
    /// Starts the thread. Nothing is taken before there is a director to [`Duties::watch`].
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start(duties: Vec<Box<dyn Duty>>) -> io::Result<Self> {
        let (orders, receiver) = channel();
        let rung = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            duties,
            rung: Arc::clone(&rung),
            view: None,
            aside: BTreeSet::new(),
            resting: None,
            held: BTreeSet::new(),
            failed: BTreeSet::new(),
            again: None,
        };
        let thread = std::thread::Builder::new().name("duties".to_owned());
        let thread = thread.spawn(move || worker.run(&receiver))?;
        Ok(Self { orders, rung, thread: Mutex::new(Some(thread)) })
    }

    /// Follows this director from now on.
    pub(crate) fn watch(&self, director: &Director) {
        director.listen(Bell { rung: Arc::clone(&self.rung), orders: self.orders.clone() });
        let _ = self.orders.send(Order::Watch(director.view()));
    }

    /// The group is about to be given away on purpose: its duties end now. They are taken again when the value goes, if the
    /// group is still active here then.
    pub(crate) fn aside(&self, group: &GroupName) -> Aside<'_> {
        self.told(|answer| Order::Aside(group.clone(), answer));
        Aside { duties: self, group: group.clone() }
    }

    /// Ends all duties until [`Duties::resume`].
    pub(crate) fn rest(&self, why: Leaving) {
        self.told(|answer| Order::Rest(why, answer));
    }

    /// Goes on.
    pub(crate) fn resume(&self) {
        let _ = self.orders.send(Order::Resume);
    }

    /// Follows a cluster file that was changed.
    pub(crate) fn follow(&self, cluster: &Arc<ClusterFile>) {
        let _ = self.orders.send(Order::Follow(Arc::clone(cluster)));
    }

    /// Waits for an answer, but not for ever: a duty that hangs must not keep an address here.
    fn told(&self, order: impl FnOnce(Sender<()>) -> Order) {
        let (answer, told) = channel();
        if self.orders.send(order(answer)).is_ok()
            && told.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout)
        {
            tracing::warn!("a duty of this director does not end in time; the addresses go anyway");
        }
    }
}

impl Drop for Duties {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Duties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duties").finish_non_exhaustive()
    }
}

/// A group that is about to be given away.
#[derive(Debug)]
pub(crate) struct Aside<'a> {
    duties: &'a Duties,
    group: GroupName,
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        let _ = self.duties.orders.send(Order::Back(self.group.clone()));
    }
}

struct Worker {
    duties: Vec<Box<dyn Duty>>,
    rung: Arc<AtomicBool>,
    view: Option<View>,
    aside: BTreeSet<GroupName>,
    /// `Some`: nothing is taken.
    resting: Option<Leaving>,
    /// Groups whose duties were taken.
    held: BTreeSet<GroupName>,
    /// Duties of held groups that could not be taken.
    failed: BTreeSet<(GroupName, usize)>,
    /// When they are tried again.
    again: Option<Instant>,
}

impl Worker {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let order = match self.again {
                Some(again) => match orders.recv_timeout(again.saturating_duration_since(Instant::now())) {
                    Ok(order) => Some(order),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => break,
                },
                None => match orders.recv() {
                    Ok(order) => Some(order),
                    Err(_) => break,
                },
            };
            match order {
                None => self.try_again(),
                // Before the look: what changes meanwhile rings again.
                Some(Order::Look) => self.rung.store(false, Ordering::Release),
                Some(Order::Watch(view)) => self.view = Some(view),
                Some(Order::Aside(group, answer)) => {
                    self.aside.insert(group.clone());
                    self.leave(&group, Leaving::Planned);
                    let _ = answer.send(());
                }
                Some(Order::Back(group)) => {
                    self.aside.remove(&group);
                }
                Some(Order::Rest(why, answer)) => {
                    self.resting = Some(why);
                    for group in self.held.clone() {
                        self.leave(&group, why);
                    }
                    let _ = answer.send(());
                }
                Some(Order::Resume) => self.resting = None,
                Some(Order::Follow(cluster)) => {
                    for duty in &mut self.duties {
                        duty.follow(&cluster);
                    }
                    for group in self.held.clone() {
                        self.take(&group);
                    }
                }
                Some(Order::Stop) => break,
            }
            self.look();
        }
        for group in self.held.clone() {
            self.leave(&group, self.resting.unwrap_or(Leaving::Planned));
        }
    }

    /// Compares what is done with what shall be done.
    fn look(&mut self) {
        let active: BTreeSet<GroupName> = match (&self.view, self.resting) {
            (Some(view), None) => {
                let groups = view.groups().into_iter().filter(|group| group.state == GroupState::Active);
                groups.map(|group| group.name).filter(|name| !self.aside.contains(name)).collect()
            }
            (Some(_) | None, _) => BTreeSet::new(),
        };
        for group in self.held.difference(&active).cloned().collect::<Vec<_>>() {
            self.leave(&group, Leaving::Lost);
        }
        for group in active.difference(&self.held.clone()) {
            self.take(group);
        }
    }

    fn take(&mut self, group: &GroupName) {
        self.held.insert(group.clone());
        for index in 0..self.duties.len() {
            self.take_one(group, index);
        }
    }

    fn take_one(&mut self, group: &GroupName, index: usize) {
        let Some(duty) = self.duties.get_mut(index) else { return };
        let place = (group.clone(), index);
        match duty.take(group) {
            Ok(()) => {
                if self.failed.remove(&place) {
                    tracing::info!(%group, "{}: it works now", duty.name());
                }
            }
            Err(error) => {
                // Once: it is tried each second.
                if self.failed.insert(place) {
                    tracing::error!(%group, %error, "{}: it does not work on this director; trying again each second", duty.name());
                }
                self.again = Some(Instant::now() + AGAIN);
            }
        }
    }

    fn try_again(&mut self) {
        self.again = None;
        for (group, index) in self.failed.clone() {
            self.take_one(&group, index);
        }
    }

    fn leave(&mut self, group: &GroupName, why: Leaving) {
        if !self.held.remove(group) {
            return;
        }
        self.failed.retain(|(failed, _)| failed != group);
        for duty in self.duties.iter_mut().rev() {
            duty.leave(group, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use relevo_api::types::GroupStatus;

    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        Take(String),
        Leave(String, Leaving),
        Follow,
    }

    struct Watcher(Sender<Seen>, u32);

    impl Duty for Watcher {
        fn name(&self) -> &'static str {
            "watcher"
        }

        fn take(&mut self, group: &GroupName) -> io::Result<()> {
            if self.1 > 0 {
                self.1 -= 1;
                return Err(io::Error::other("not yet"));
            }
            self.0.send(Seen::Take(group.to_string())).map_err(io::Error::other)
        }

        fn leave(&mut self, group: &GroupName, why: Leaving) {
            self.0.send(Seen::Leave(group.to_string(), why)).unwrap();
        }

        fn follow(&mut self, _: &Arc<ClusterFile>) {
            self.0.send(Seen::Follow).unwrap();
        }
    }

    fn status(state: GroupState) -> Vec<GroupStatus> {
        let name = GroupName::new("web");
        vec![GroupStatus::new(name, state, 100)]
    }

    fn started(failures: u32) -> (Duties, crate::director::tests::Stage, Receiver<Seen>) {
        let (sender, seen) = channel();
        let duties = Duties::start(vec![Box::new(Watcher(sender, failures))]).unwrap();
        let stage = crate::director::tests::Stage::default();
        stage.listen(Bell { rung: Arc::clone(&duties.rung), orders: duties.orders.clone() });
        duties.orders.send(Order::Watch(stage.view())).unwrap();
        (duties, stage, seen)
    }

    fn next(seen: &Receiver<Seen>) -> Seen {
        seen.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    fn take() -> Seen {
        Seen::Take("web".to_owned())
    }

    fn leave(why: Leaving) -> Seen {
        Seen::Leave("web".to_owned(), why)
    }

    #[test]
    fn duties_follow_the_group() {
        let (duties, stage, seen) = started(0);
        stage.publish(&status(GroupState::Backup));
        stage.publish(&status(GroupState::Active));
        assert_eq!(next(&seen), take());
        stage.publish(&status(GroupState::Backup));
        assert_eq!(next(&seen), leave(Leaving::Lost));
        stage.publish(&status(GroupState::Active));
        assert_eq!(next(&seen), take());
        stage.stop("it failed");
        assert_eq!(next(&seen), leave(Leaving::Lost));
        drop(duties);
        assert!(seen.try_recv().is_err());
    }

    #[test]
    fn they_end_before_the_addresses_are_given_away_and_come_back_if_nobody_took_them() {
        let (duties, stage, seen) = started(0);
        stage.publish(&status(GroupState::Active));
        assert_eq!(next(&seen), take());
        let aside = duties.aside(&GroupName::new("web"));
        assert_eq!(seen.try_recv(), Ok(leave(Leaving::Planned)));
        drop(aside);
        assert_eq!(next(&seen), take());
        duties.rest(Leaving::HandedOver);
        assert_eq!(seen.try_recv(), Ok(leave(Leaving::HandedOver)));
        duties.resume();
        assert_eq!(next(&seen), take());
        drop(duties);
        assert_eq!(next(&seen), leave(Leaving::Planned));
    }

    #[test]
    fn what_fails_is_tried_again() {
        let (_duties, stage, seen) = started(1);
        stage.publish(&status(GroupState::Active));
        assert_eq!(next(&seen), take());
    }

    #[test]
    fn another_file_is_told_and_duties_are_taken_again() {
        let (duties, stage, seen) = started(0);
        stage.publish(&status(GroupState::Active));
        assert_eq!(next(&seen), take());
        let text = "name = \"a\"\nnetwork.lan.subnet = \"10.0.0.0/24\"\nnode.lb1 = { roles = [\"director\"], address.lan = \"10.0.0.1\" }\naddress.front = { network = \"lan\", ip = \"10.0.0.9\" }\n";
        let cluster = relevo_model::read(text).cluster.unwrap();
        duties.follow(&Arc::new(cluster));
        assert_eq!([next(&seen), next(&seen)], [Seen::Follow, take()]);
    }
}
