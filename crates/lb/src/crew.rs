//! The workers among themselves: how many clients each has, and who gets a new one.
//!
//! The kernel spreads connections over the workers' sockets by a hash, so that one worker may have twice the clients of
//! another for as long as they stay. Whoever has accepted a connection and has more clients than another worker hands it
//! over. That costs a wake-up, so it is done a few times in a tick at most ([`MOST_IN_A_TICK`]): enough for clients that
//! stay, and next to nothing where each request has a connection of its own.

use std::cell::Cell;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::gate::Gate;
use crate::generation::Place;
use crate::worker::Command;

/// Connections that a worker hands over between two ticks.
pub(crate) const MOST_IN_A_TICK: u32 = 32;
/// Workers that are looked at for each connection; the next ones for the next connection.
const LOOKED_AT: usize = 4;

/// All workers.
#[derive(Debug)]
pub(crate) struct Crew {
    mates: Box<[Mate]>,
    /// Nothing is handed over any more.
    closed: AtomicBool,
}

/// One worker, as the others see it. On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Mate {
    /// Clients that it has, and those on the way to it.
    clients: AtomicU32,
    /// Clients that it gave to others since the start.
    handed: AtomicU64,
    commands: mpsc::UnboundedSender<Command>,
}

/// A worker at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerSnapshot {
    /// Connections of clients that it has.
    pub clients: u64,
    /// Connections that it accepted and gave to a worker that had fewer, since the start.
    pub handed: u64,
}

impl Crew {
    pub(crate) fn new(workers: &[mpsc::UnboundedSender<Command>]) -> Self {
        let mate = |commands: &mpsc::UnboundedSender<Command>| Mate {
            clients: AtomicU32::new(0),
            handed: AtomicU64::new(0),
            commands: commands.clone(),
        };
        Self { mates: workers.iter().map(mate).collect(), closed: AtomicBool::new(false) }
    }

    /// From now on everybody keeps what it accepts. Who looks at [`Crew::clients`] after that sees all that is on the way.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Counts a client of a worker.
    pub(crate) fn enter(&self, worker: usize) {
        self.count(worker, 1);
    }

    /// It is gone.
    pub(crate) fn leave(&self, worker: usize) {
        self.count(worker, u32::MAX);
    }

    /// Clients of a worker, with those on the way to it.
    pub(crate) fn clients(&self, worker: usize) -> u32 {
        self.mates.get(worker).map_or(0, |mate| mate.clients.load(Ordering::SeqCst))
    }

    /// Whether another worker has clearly fewer clients; `turn` goes on with each call.
    pub(crate) fn lighter(&self, own: usize, turn: &Cell<usize>) -> Option<usize> {
        let count = |worker: usize| self.mates.get(worker).map(|mate| mate.clients.load(Ordering::Relaxed));
        let (mine, all) = (count(own)?, self.mates.len());
        if mine == 0 || all < 2 {
            return None;
        }
        let looked = LOOKED_AT.min(all - 1);
        let first = turn.get();
        turn.set((first + looked) % (all - 1));
        let others = (0..looked).map(|step| (own + 1 + (first + step) % (all - 1)) % all);
        let (least, who) = others.filter_map(|who| Some((count(who)?, who))).min()?;
        (mine > least + 1 + least / 8).then_some(who)
    }

    /// Hands a connection over. It comes back if that is not to be done any more.
    pub(crate) fn hand_over(self: &Arc<Self>, to: usize, visitor: Visitor) -> Option<Visitor> {
        let seat = Seat { crew: Arc::clone(self), worker: to };
        self.enter(to);
        // After the count: either a worker that ends sees it, or it is seen here that all end.
        if self.closed.load(Ordering::SeqCst) {
            drop(seat);
            return Some(visitor);
        }
        let from = visitor.from;
        if !self.send(to, Visitor { seat: Some(seat), ..visitor }) {
            return None;
        }
        if let Some(mate) = self.mates.get(from) {
            mate.handed.fetch_add(1, Ordering::Relaxed);
        }
        None
    }

    /// All, in their order.
    pub(crate) fn snapshot(&self) -> Vec<WorkerSnapshot> {
        let one = |mate: &Mate| WorkerSnapshot {
            clients: mate.clients.load(Ordering::Relaxed).into(),
            handed: mate.handed.load(Ordering::Relaxed),
        };
        self.mates.iter().map(one).collect()
    }

    fn send(&self, to: usize, visitor: Visitor) -> bool {
        self.mates.get(to).is_some_and(|mate| mate.commands.send(Command::Take(Box::new(visitor))).is_ok())
    }

    fn count(&self, worker: usize, by: u32) {
        if let Some(mate) = self.mates.get(worker) {
            mate.clients.fetch_add(by, Ordering::SeqCst);
        }
    }
}

/// A connection on its way to another worker.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    /// Where it was accepted.
    pub(crate) place: Place,
    /// The count among the clients of its service.
    pub(crate) admission: Admission,
    from: usize,
    /// The count among the clients of the worker that gets it.
    pub(crate) seat: Option<Seat>,
    is_back: bool,
}

impl Visitor {
    pub(crate) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
        admission: Admission,
        from: usize,
    ) -> Self {
        Self { stream, peer, place, admission, from, seat: None, is_back: false }
    }

    /// Goes back to the worker that has accepted it: this one does not know the place yet, or not any more. If that one
    /// does not either, nobody wants it.
    pub(crate) fn go_back(mut self) {
        if let Some(seat) = self.seat.as_ref().filter(|_| !std::mem::replace(&mut self.is_back, true)) {
            let crew = Arc::clone(&seat.crew);
            crew.send(self.from, self);
        }
    }
}

/// A count among the clients of a service; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Admission(Option<Arc<Gate>>);

impl Admission {
    /// For a connection that the gate has admitted.
    pub(crate) fn of(gate: &Arc<Gate>) -> Self {
        Self(Some(Arc::clone(gate)))
    }

    /// Leaves the count to the caller, if it is one of this gate.
    pub(crate) fn transfer(mut self, gate: &Arc<Gate>) -> bool {
        let same = self.0.as_ref().is_some_and(|own| Arc::ptr_eq(own, gate));
        if same {
            self.0 = None;
        }
        same
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Some(gate) = &self.0 {
            gate.release();
        }
    }
}

/// A count among the clients of a worker; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    crew: Arc<Crew>,
    worker: usize,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crew.leave(self.worker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crew(clients: &[u32]) -> Crew {
        let (commands, _) = mpsc::unbounded_channel();
        let crew = Crew::new(&vec![commands; clients.len()]);
        for (mate, count) in crew.mates.iter().zip(clients) {
            mate.clients.store(*count, Ordering::Relaxed);
        }
        crew
    }

    #[test]
    fn who_has_clearly_fewer_gets_the_next() {
        let lighter = |clients: &[u32], own| crew(clients).lighter(own, &Cell::new(0));
        assert_eq!(lighter(&[5], 0), None);
        assert_eq!(lighter(&[0, 0], 0), None, "who has nobody keeps the first");
        assert_eq!(lighter(&[1, 0], 0), None, "so does who has one");
        assert_eq!(lighter(&[2, 0], 0), Some(1));
        assert_eq!(lighter(&[3, 3], 0), None);
        assert_eq!(lighter(&[40, 30], 0), Some(1));
        assert_eq!(lighter(&[30, 40], 0), None);
        assert_eq!(lighter(&[1010, 1000], 0), None, "so small a difference is none");
        assert_eq!(lighter(&[9, 4, 2, 7], 0), Some(2));
        assert_eq!(lighter(&[9, 4, 2, 7], 3), Some(2));
    }

    #[test]
    fn all_are_looked_at_in_turn() {
        let crew = crew(&[9, 9, 9, 9, 9, 9, 9, 0]);
        let turn = Cell::new(0);
        let found: Vec<_> = (0..4).map(|_| crew.lighter(2, &turn)).collect();
        assert!(found.contains(&Some(7)) && found.contains(&None), "{found:?}");
    }

    #[test]
    fn those_who_leave_are_counted_out() {
        let crew = crew(&[0, 0]);
        crew.enter(1);
        crew.enter(1);
        crew.leave(1);
        assert_eq!((crew.clients(0), crew.clients(1)), (0, 1));
    }
}
