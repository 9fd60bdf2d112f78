//! A client that asks without pause and writes down what happened to each question.
//!
//! It runs inside a client's network namespace as `relevo drill probe` and prints one [`ProbeEvent`] a line, at
//! once, so that nothing is lost if it is killed. Two kinds of questions:
//! - every interval (10 ms) a **new connection** asks for one page. The schedule is open: it does not wait for
//!   earlier answers, so an outage is seen at its full length however many questions hang. Each question has a
//!   deadline (2 s), which also bounds how many are open at once.
//! - some **kept connections** ask again and again (every 50 ms) and report when they break. A broken one is
//!   opened again.
//!
//! Not a load generator: about 200 small requests a second, a few percent of one CPU.

mod ask;
mod flows;
#[cfg(test)]
mod tests;
mod visit;

use std::net::SocketAddr;
use std::time::Duration;

use relevo_net::clock;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::report::{CutReason, LostReason, ProbeEvent};
use ask::{AskError, Connection};
pub use flows::{Counts, FlowEvent, Flows, Loss, Part, Stall, flows};
pub use visit::{Visit, visit};

/// What is asked, and how often.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where.
    pub target: SocketAddr,
    /// Time from one new connection to the next.
    pub interval: Duration,
    /// How many new connections come at once each time.
    pub at_once: u32,
    /// Longest wait for a whole answer, connecting included.
    pub deadline: Duration,
    /// How many kept connections.
    pub keep_alive: u32,
    /// Time from one question on a kept connection to the next.
    pub keep_interval: Duration,
    /// The path asked for, beginning with `/`.
    pub path: String,
}

impl Options {
    /// The usual: a new connection every 10 ms with a deadline of 2 s, four kept ones that ask every 50 ms.
    pub fn new(target: SocketAddr) -> Self {
        Self {
            target,
            interval: Duration::from_millis(10),
            at_once: 1,
            deadline: Duration::from_secs(2),
            keep_alive: 4,
            keep_interval: Duration::from_millis(50),
            path: "/".to_owned(),
        }
    }
}

/// Asks until `stop` is done; then waits for the answers that are still due (at most the deadline).
///
/// Every event is given to `sink` as soon as it happened. Needs a tokio runtime with I/O and time.
pub async fn run(options: Options, mut sink: impl FnMut(&ProbeEvent), stop: impl Future<Output = ()>) {
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let kept: Vec<_> = (0..options.keep_alive)
        .map(|number| tokio::spawn(keep_asking(options.clone(), number, sender.clone())))
        .collect();
    tokio::pin!(stop);
    let mut next = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = sleep_until(next) => {
                // A late wake-up is caught up with, so that the number of questions a second holds.
                next += options.interval;
                for _ in 0..options.at_once {
                    tokio::spawn(ask_once(options.clone(), sender.clone()));
                }
            }
            Some(event) = events.recv() => sink(&event),
        }
    }
    for task in kept {
        task.abort();
    }
    drop(sender);
    while let Some(event) = events.recv().await {
        sink(&event);
    }
}

/// Asks once, on a connection of its own: the status, and who answered as the header `Server-Name` says.
///
/// # Errors
/// Why there is no whole answer within `deadline`.
pub fn fetch(
    target: SocketAddr,
    path: &str,
    deadline: Duration,
) -> Result<(u16, Option<String>), LostReason> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|_| LostReason::Unreachable)?;
    let answer = async {
        let mut connection = Connection::open(target).await?;
        connection.ask(path, false).await
    };
    match runtime.block_on(async { timeout(deadline, answer).await }) {
        Ok(Ok(answer)) => Ok((answer.status, answer.server)),
        Ok(Err(error)) => Err(lost(error)),
        Err(_elapsed) => Err(LostReason::Timeout),
    }
}

/// One new connection, one question.
async fn ask_once(options: Options, events: UnboundedSender<ProbeEvent>) {
    let sent = clock::now();
    let answer = async {
        let mut connection = Connection::open(options.target).await?;
        connection.ask(&options.path, false).await
    };
    let result = timeout(options.deadline, answer).await;
    let at = clock::now();
    let event = match result {
        Ok(Ok(answer)) if answer.status >= 500 => {
            ProbeEvent::Lost { sent, at, why: LostReason::Status(answer.status) }
        }
        Ok(Ok(answer)) => ProbeEvent::Answer { sent, at, status: answer.status, server: answer.server },
        Ok(Err(error)) => ProbeEvent::Lost { sent, at, why: lost(error) },
        Err(_elapsed) => ProbeEvent::Lost { sent, at, why: LostReason::Timeout },
    };
    // The receiver is gone only when the whole probe ends.
    let _ = events.send(event);
}

/// One kept connection: opened, asked again and again, opened again when it breaks.
async fn keep_asking(options: Options, number: u32, events: UnboundedSender<ProbeEvent>) {
    // Kept connections do not all ask in the same instant.
    sleep(options.keep_interval * number / options.keep_alive.max(1)).await;
    loop {
        if let Ok(Ok(mut connection)) = timeout(options.deadline, Connection::open(options.target)).await {
            keep_one(&options, number, &mut connection, &events).await;
        }
        sleep(options.keep_interval).await;
    }
}

/// Asks on one connection until it ends. It counts as kept from its first answer on; before that, nothing was cut.
async fn keep_one(
    options: &Options,
    connection_number: u32,
    connection: &mut Connection,
    events: &UnboundedSender<ProbeEvent>,
) {
    let mut counts = false;
    loop {
        let result = timeout(options.deadline, connection.ask(&options.path, true)).await;
        let at = clock::now();
        let why = match result {
            Ok(Ok(answer)) => {
                if !counts {
                    counts = true;
                    let _ = events.send(ProbeEvent::Kept { connection: connection_number, at });
                }
                if answer.last {
                    // Announced with `Connection: close`: an orderly end.
                    return;
                }
                sleep(options.keep_interval).await;
                continue;
            }
            Ok(Err(AskError::Closed)) => CutReason::Closed,
            Ok(Err(
                AskError::Reset
                | AskError::Refused
                | AskError::Unreachable
                | AskError::TimedOut
                | AskError::NotHttp,
            )) => CutReason::Reset,
            Err(_elapsed) => CutReason::Timeout,
        };
        if counts {
            let _ = events.send(ProbeEvent::Cut { connection: connection_number, at, why });
        }
        return;
    }
}

const fn lost(error: AskError) -> LostReason {
    match error {
        AskError::Refused => LostReason::Refused,
        AskError::Unreachable => LostReason::Unreachable,
        AskError::TimedOut => LostReason::Timeout,
        AskError::Reset | AskError::Closed | AskError::NotHttp => LostReason::Reset,
    }
}
