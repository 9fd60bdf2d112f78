//! Connections that are there for long: downloads and uploads that are checked to the last byte, and connections that ask
//! now and then. What is told in the end is how many of them were lost, and how long the longest of them waited.

mod connection;
mod told;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

use connection::Flow;
pub use told::{Flows, Loss, Part, Stall};

/// How many of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Downloads.
    pub downloads: u32,
    /// Uploads.
    pub uploads: u32,
    /// Connections that ask now and then.
    pub kept: u32,
    /// Time between two pieces of a download or upload, at least.
    pub pause: Duration,
    /// Each answer may come from another server, and may say that it is its connection's last one: the next is asked over
    /// another.
    pub web: bool,
}

/// What the client tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowEvent {
    /// All connections are there.
    Ready,
    /// It is over.
    End(Flows),
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Download,
    Upload,
    Kept,
}

/// Longest silence before a connection is given up: longer than a takeover and the retransmissions after it.
const PATIENCE: Duration = Duration::from_secs(15);
/// What all downloads take in a second, and all uploads give, at most: servers and clients share one machine.
const BYTES_PER_SECOND: u64 = 16 << 20;
/// The shortest time between two pieces of a connection.
const PAUSE: Duration = Duration::from_millis(20);
/// Questions of all kept connections in a second, at most.
const QUESTIONS: u64 = 600;
/// How often the client looks whether it is late itself.
const TICK: Duration = Duration::from_millis(10);
/// From one question of a kept connection to the next, at least.
const EVERY: Duration = Duration::from_millis(100);
/// So many times longer waits every fourth of the kept connections.
const SELDOM: u32 = 20;

/// What the connections share.
struct Shared {
    target: SocketAddr,
    told: RefCell<Flows>,
    begun: Cell<u32>,
    ready: Cell<bool>,
    over: Cell<bool>,
    pause: Duration,
    every: Duration,
    web: bool,
}

/// Keeps so many connections to `target` busy until `end`. Needs a tokio runtime of one thread with I/O and time.
pub async fn flows(
    target: SocketAddr,
    counts: Counts,
    mut sink: impl FnMut(&FlowEvent),
    end: impl Future<Output = ()>,
) {
    let Counts { downloads, uploads, kept, pause, web } = counts;
    let all = downloads + uploads + kept;
    let bulk = u64::from(downloads.max(uploads));
    let shared = Rc::new(Shared {
        target,
        told: RefCell::new(Flows { downloads, uploads, kept, ..Flows::default() }),
        begun: Cell::new(0),
        ready: Cell::new(false),
        over: Cell::new(false),
        web,
        pause: PAUSE
            .max(pause)
            .max(Duration::from_micros(connection::PIECE as u64 * bulk * 1_000_000 / BYTES_PER_SECOND)),
        every: EVERY.max(Duration::from_micros(u64::from(kept) * 1_000_000 / QUESTIONS)),
    });
    let tasks = LocalSet::new();
    for number in 0..all {
        let shared = Rc::clone(&shared);
        let kind = match number {
            number if number < downloads => Kind::Download,
            number if number < downloads + uploads => Kind::Upload,
            _ => Kind::Kept,
        };
        tasks.spawn_local(async move {
            // Not all at the same instant.
            sleep(Duration::from_millis(u64::from(number) * 2)).await;
            let seldom = kind == Kind::Kept && number % 4 == 0;
            let every = shared.every * if seldom { SELDOM } else { 1 };
            let mut flow = Flow::new(kind, every, &shared);
            let ended = flow.live().await;
            if ended.is_err() {
                shared.told.borrow_mut().known_at = Some(relevo_net::clock::now().as_millis());
            }
            shared.told.borrow_mut().add(&flow.fate, ended.err());
        });
    }
    let watch = Rc::clone(&shared);
    tasks.spawn_local(async move {
        while !watch.over.get() {
            let begun = Instant::now();
            sleep(TICK).await;
            let late = u64::try_from(begun.elapsed().saturating_sub(TICK).as_millis()).unwrap_or(u64::MAX);
            if watch.ready.get() {
                let mut told = watch.told.borrow_mut();
                told.late_ms = told.late_ms.max(late);
            }
        }
    });
    tasks
        .run_until(async {
            while shared.begun.get() < all && shared.told.borrow().lost == 0 {
                sleep(Duration::from_millis(10)).await;
            }
            shared.ready.set(true);
            sink(&FlowEvent::Ready);
            end.await;
            shared.over.set(true);
        })
        .await;
    let _ = timeout(PATIENCE, tasks).await;
    sink(&FlowEvent::End(shared.told.borrow().clone()));
}
