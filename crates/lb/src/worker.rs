//! A worker: one thread, one event loop, its share of every service's connections.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use relevo_model::{ServiceName, Time};
use relevo_proto::cache::Clock;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::carriers::Carriers;
use crate::clock;
use crate::crew::{Crew, MOST_IN_A_TICK, Visitor};
use crate::generation::{Generation, Sockets};
use crate::house::House;
use crate::http::coder::Coders;
use crate::http::fields::Fields;
use crate::log::Journal;
use crate::population::Population;
use crate::slot::{Signal, Slots, TICK};
use crate::spent::Spent;
use crate::stream::Tubes;

/// Bytes read at a time. One buffer for each worker, so that it can be large.
const SCRATCH: usize = 128 * 1024;

/// Time that idle clients have, when another process takes over, before their connections are closed.
const IDLE: Duration = Duration::from_secs(30);

/// What the engine tells a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// Go over to another configuration.
    Apply(Next),
    /// Something happened to a server: its connections must react.
    Server {
        /// The server's id.
        server: u64,
        /// To whom uses it.
        signal: Signal,
    },
    /// Cut the connections of a service's clients.
    Cut(ServiceName),
    /// Serve a connection that another worker has accepted.
    Take(Box<Visitor>),
    /// Give copies of all listening sockets.
    Copies(std::sync::mpsc::Sender<io::Result<Vec<(String, OwnedFd)>>>),
    /// Stop: accept nothing more, and end when all is done or at this time.
    Stop(std::time::Instant),
    /// The same, for another process has the listening sockets: idle clients have time to ask once more.
    Leave(std::time::Instant),
}

/// The next configuration, for one worker.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) generation: Arc<Generation>,
    /// Those that were not there before.
    pub(crate) sockets: Sockets,
    /// The access log from now on.
    pub(crate) journal: Option<Journal>,
    /// Gets the answer once every new request follows it.
    pub(crate) done: std::sync::mpsc::Sender<io::Result<()>>,
}

/// What traffic says about a server, by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// It failed: the checks should look.
    Failed(u64),
    /// As many failures in a row as the operator wants to know of.
    Row(u64),
}

/// What all connections of one worker share. Nothing of it is borrowed across an await.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) number: usize,
    /// What is being read.
    pub(crate) scratch: RefCell<Box<[u8]>>,
    /// What is being written.
    pub(crate) output: RefCell<Vec<u8>>,
    /// The head that is being parsed.
    pub(crate) fields: RefCell<Fields>,
    /// Answers that are being compressed.
    pub(crate) coders: Coders,
    pub(crate) slots: Slots,
    /// Who serves its clients.
    pub(crate) carriers: Carriers,
    /// For what goes past this process.
    pub(crate) tubes: RefCell<Tubes>,
    /// For the next connections to servers.
    pub(crate) spent: RefCell<Spent>,
    /// The engine stops: no connection is kept alive.
    pub(crate) closing: Cell<bool>,
    pub(crate) hints: mpsc::Sender<Hint>,
    /// The access log, if there is one.
    pub(crate) journal: RefCell<Option<Journal>>,
    /// Times are measured: somebody wants to know them.
    pub(crate) measured: Cell<bool>,
    /// What must be added to milliseconds since boot for those since 1970 UTC.
    wall: Cell<u64>,
    population: Population,
    pub(crate) crew: Arc<Crew>,
    /// Connections that may still be handed over in this tick.
    may_hand: Cell<u32>,
    /// Whom to look at next.
    turn: Cell<usize>,
    /// Requests that got a number.
    numbers: Cell<u64>,
}

impl Worker {
    /// A number for a request that no other one of this worker has.
    pub(crate) fn number_of_request(&self) -> u64 {
        self.numbers.set(self.numbers.get().wrapping_add(1));
        self.numbers.get()
    }
}

/// What a worker is made of; the parts that are not bound to its thread.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) number: usize,
    /// Time that work of services and servers that are taken out of the configuration has to finish.
    pub(crate) drain: Duration,
    pub(crate) hints: mpsc::Sender<Hint>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) population: Population,
    pub(crate) crew: Arc<Crew>,
}

/// Runs until it is told to stop. Must be called inside the worker's runtime.
pub(crate) async fn run(parts: Parts) -> io::Result<()> {
    let Parts { number, drain, hints, mut commands, population, crew } = parts;
    let worker = Rc::new(Worker {
        number,
        scratch: RefCell::new(vec![0; SCRATCH].into()),
        output: RefCell::new(Vec::with_capacity(SCRATCH)),
        fields: RefCell::new(Fields::new()),
        coders: Coders::default(),
        slots: Slots::default(),
        carriers: Carriers::default(),
        tubes: RefCell::default(),
        spent: RefCell::default(),
        closing: Cell::new(false),
        hints,
        journal: RefCell::new(None),
        measured: Cell::new(false),
        wall: Cell::new(0),
        population,
        crew,
        may_hand: Cell::new(MOST_IN_A_TICK),
        turn: Cell::default(),
        numbers: Cell::default(),
    });
    worker.tick();
    let mut house = House::new(Rc::clone(&worker), drain);
    // Without one of these the worker would be half alive.
    let mut vital = JoinSet::new();
    let (ticking, servers) = (Rc::clone(&worker), house.servers());
    vital.spawn_local(async move {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = ticking.tick();
            for server in servers.borrow().values() {
                server.idle.borrow_mut().prune(now);
                server.links.prune(now);
            }
        }
    });
    let (until, idle) = loop {
        let command = tokio::select! {
            biased;
            command = commands.recv() => command,
            // They end when they are told to. A panic here, outside a task, is the whole worker's.
            Some(ended) = vital.join_next() => match ended {
                Ok(()) => continue,
                Err(error) => panic!("a task of worker {number} has ended: {error}"),
            },
        };
        match command {
            Some(Command::Apply(next)) => {
                // Who asked waits for a moment only.
                worker.measured.set(next.generation.measured);
                *worker.journal.borrow_mut() = next.journal;
                let _ = next.done.send(house.adopt(&next.generation, next.sockets, &mut vital));
            }
            Some(Command::Server { server, signal }) => {
                worker.slots.signal_server(server, signal);
                if let Some(server) = house.servers().borrow().get(&server) {
                    server.let_go();
                }
            }
            Some(Command::Cut(service)) => house.cut(&service),
            Some(Command::Take(visitor)) => house.take(*visitor),
            Some(Command::Copies(to)) => {
                let _ = to.send(house.copies());
            }
            Some(Command::Stop(until)) => break (until, Duration::ZERO),
            Some(Command::Leave(until)) => break (until, IDLE),
            None => break (std::time::Instant::now(), Duration::ZERO),
        }
    };
    // What the kernel has accepted for us is served, as far as there are places in time; then the listeners are gone.
    let until = Instant::from_std(until);
    let mut close_idle = Some(Instant::now() + idle);
    worker.closing.set(true);
    if idle.is_zero() {
        worker.slots.signal_all(Signal::Closing);
    }
    let _ = tokio::time::timeout_at(until, house.close()).await;
    loop {
        while let Ok(command) = commands.try_recv() {
            if let Command::Take(visitor) = command {
                house.take(*visitor);
            }
        }
        let is_done = worker.slots.len() == 0 && worker.crew.clients(number) == 0;
        if is_done || Instant::now() >= until {
            break;
        }
        // Somebody may just have sent the next request over a connection that is closed as idle. Who has another process
        // to go to is told in an answer instead, as far as it asks in time.
        if close_idle.is_some_and(|at| at <= Instant::now()) {
            close_idle = None;
            worker.slots.signal_all(Signal::Closing);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

impl Worker {
    /// Moves the coarse clock, and does what is done now and then. Milliseconds since boot.
    fn tick(&self) -> u64 {
        let now = clock::now().as_millis();
        self.slots.tick(now);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.wall.set(u64::try_from(wall).unwrap_or(u64::MAX).wrapping_sub(now));
        self.population.note(self.number, self.slots.len());
        self.may_hand.set(MOST_IN_A_TICK);
        if let Some(journal) = &mut *self.journal.borrow_mut() {
            journal.hand_over();
        }
        now
    }

    /// Milliseconds since 1970 UTC of a moment since boot.
    pub(crate) fn wall_ms(&self, at: Time) -> u64 {
        at.as_millis().wrapping_add(self.wall.get())
    }

    /// A worker that shall have the connection that was just accepted, since it has fewer clients.
    pub(crate) fn lighter(&self) -> Option<usize> {
        if self.may_hand.get() == 0 || self.closing.get() {
            return None;
        }
        let found = self.crew.lighter(self.number, &self.turn)?;
        self.may_hand.set(self.may_hand.get() - 1);
        Some(found)
    }

    /// What time it is, for answers that are kept.
    pub(crate) fn wall(&self) -> Clock {
        let now = clock::now();
        Clock { now, wall: self.wall_ms(now) / 1000 }
    }

    /// Connections of all workers; the others' share is at most a tick old.
    pub(crate) fn population(&self) -> u32 {
        self.population.all(self.number, self.slots.len())
    }

    /// Makes room for heads of this size behind what is read at a time.
    pub(crate) fn expect_heads(&self, largest: usize) {
        let mut scratch = self.scratch.borrow_mut();
        if scratch.len() < SCRATCH + largest {
            *scratch = vec![0; SCRATCH + largest].into();
        }
    }
}
