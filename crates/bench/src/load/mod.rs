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
use std::time::Instant;

use anyhow::{Context, Result, bail};

pub use ask::{Answer, ask};
pub use failure::Failure;
pub use hold::hold;
pub use plan::{End, Plan, Protocol, Target, Trust};
pub use tally::{Latency, Outcome};

pub(crate) use thread::pin;

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
    plan.check()?;
    if plan.protocol == Protocol::Http2 {
        http2::request(plan).context("the request cannot be said in HTTP/2")?;
    }
    let tls = stream::tls(plan)?;
    let plan = Arc::new(plan.clone());
    let begun = Instant::now();
    let workers: Vec<_> = (0..plan.threads)
        .map(|index| {
            let (plan, tls) = (Arc::clone(&plan), tls.clone());
            std::thread::Builder::new()
                .name(format!("load-{index}"))
                .spawn(move || thread::run(&plan, index, tls, begun))
                .context("cannot start a thread")
        })
        .collect::<Result<_>>()?;
    let mut whole = Tally::new()?;
    for worker in workers {
        let Ok(part) = worker.join() else { bail!("a thread of the load generator failed") };
        whole.add(&part?)?;
    }
    Ok(whole.outcome(begun + plan.warm_up))
}
