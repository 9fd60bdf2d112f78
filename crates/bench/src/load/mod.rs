//! The load generator: many clients on few threads, cheap enough not to disturb what it measures.
//!
//! ```text
//! run ─► thread 0..n, one CPU each ─► connection tasks ─► http1 | http2 | tcp ─► Tally ─► Outcome
//!              pace: when the next request is due
//! ```
//! Closed loop: each connection asks again as soon as it has an answer. Open loop: requests are due at a fixed rate,
//! whatever the answers do, and each latency counts from the time at which the request was due, so that a server that
//! stops for a second is seen by all requests of that second (no coordinated omission).

mod ask;
mod clock;
mod connection;
mod failure;
mod hold;
mod http1;
mod http2;
mod pace;
mod plan;
mod raw;
mod stream;
mod tally;
mod thread;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub use ask::{Answer, ask};
pub use failure::Failure;
pub use hold::hold;
pub use plan::{End, Plan, Protocol, Target, Trust};
pub use tally::{Latency, Outcome};

pub(crate) use thread::pin;

use self::clock::{Clock, Turns};
use self::tally::Tally;

/// A browser's header fields for a page: about 800 bytes.
pub const BROWSER: &[(&str, &str)] = &[
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    ),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "es-ES,es;q=0.9,en;q=0.8"),
    ("Cache-Control", "max-age=0"),
    ("Cookie", "session=4f1c2a9be07d4c5f8a6b3d2e1f0a9b8c; theme=dark; _consent=1.1763700000.necessary"),
    ("Referer", "http://www.example.org/catalogue/2026/autumn/index.html"),
    ("Sec-Ch-Ua", "\"Chromium\";v=\"141\", \"Not?A_Brand\";v=\"8\""),
    ("Sec-Ch-Ua-Mobile", "?0"),
    ("Sec-Ch-Ua-Platform", "\"Linux\""),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-User", "?1"),
    ("Upgrade-Insecure-Requests", "1"),
];

/// Runs the load and blocks until it is over.
///
/// # Errors
///
/// A plan that makes no sense, certificates that cannot be read, a CPU that cannot be had. What goes wrong with requests
/// is no error but counted.
pub fn run(plan: &Plan) -> Result<Outcome> {
    let load = Load::new(plan)?;
    load.start(Clock::alone(Instant::now()))?.finish()
}

/// Runs loads of fixed rates at the same time, in turns of `turn` with a `gap` after each: each asks in turns of its own only, while its
/// connections stay. Times of the plans are each load's own time, so all of it takes as long as one after the other, and the gaps.
///
/// # Errors
///
/// Those of [`run`]; a closed loop or a turn of no time.
pub fn run_in_turns(plans: &[Plan], turn: Duration, gap: Duration) -> Result<Vec<Outcome>> {
    if turn.is_zero() || plans.iter().any(|plan| plan.rate.is_none()) {
        bail!("loads that take turns have a fixed rate and turns of more than no time");
    }
    let all = plans.iter().map(Load::new).collect::<Result<Vec<_>>>()?;
    let (begun, loads) = (Instant::now(), plans.len() as u32);
    let started: Vec<Running> = (0..)
        .zip(all)
        .map(|(index, load)| load.start(Clock::new(begun, Turns { loads, index, length: turn, gap })))
        .collect::<Result<_>>()?;
    started.into_iter().map(Running::finish).collect()
}

/// A load that makes sense, and all that takes time before it can begin.
struct Load {
    plan: Arc<Plan>,
    tls: stream::Tls,
}

/// A load that has begun.
struct Running {
    clock: Clock,
    warm_up: Duration,
    workers: Vec<JoinHandle<Result<Tally>>>,
}

impl Load {
    fn new(plan: &Plan) -> Result<Self> {
        plan.check()?;
        if plan.protocol == Protocol::Http2 {
            http2::request(plan).context("the request cannot be said in HTTP/2")?;
        }
        Ok(Self { plan: Arc::new(plan.clone()), tls: stream::tls(plan)? })
    }

    fn start(self, clock: Clock) -> Result<Running> {
        let workers = (0..self.plan.threads)
            .map(|index| {
                let (plan, tls) = (Arc::clone(&self.plan), self.tls.clone());
                std::thread::Builder::new()
                    .name(format!("load-{index}"))
                    .spawn(move || thread::run(&plan, index, tls, clock))
                    .context("cannot start a thread")
            })
            .collect::<Result<_>>()?;
        Ok(Running { clock, warm_up: self.plan.warm_up, workers })
    }
}

impl Running {
    fn finish(self) -> Result<Outcome> {
        let mut whole = Tally::new()?;
        for worker in self.workers {
            let Ok(part) = worker.join() else { bail!("a thread of the load generator failed") };
            whole.add(&part?)?;
        }
        Ok(whole.outcome(|last| self.clock.own(last).saturating_sub(self.warm_up)))
    }
}
