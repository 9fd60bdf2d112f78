//! One client: connects, asks, is answered, asks again, until it is enough.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep, sleep_until};

use super::http1::{self, Reader, Seen};
use super::stream::{Stream, connect};
use super::thread::Shared;
use super::{Failure, Protocol, raw};

/// Pause after a connection that could not be made.
const PAUSE: Duration = Duration::from_millis(10);

/// Runs one client of HTTP/1.1 or TCP.
pub(super) async fn run(shared: Rc<Shared>) {
    let plan = &shared.plan;
    let request = if plan.protocol == Protocol::Tcp { plan.body.clone() } else { http1::request(plan) };
    let head_only = plan.method == "HEAD";
    let mut patience = Patience::new(plan.patience);
    let mut reader = Reader::default();
    let mut kept: Option<Stream> = None;
    let mut now = Instant::now();
    while let Some(due) = shared.pace.next(now).await {
        let begun = if plan.rate.is_some() { Instant::now() } else { now };
        let work = async {
            let mut stream = match kept.take() {
                Some(stream) => stream,
                None => {
                    let stream = connect(&plan.target, &shared.tls, plan.protocol).await?;
                    shared.tally.borrow_mut().connect();
                    stream
                }
            };
            let seen = match plan.protocol {
                Protocol::Tcp => raw::exchange(&mut stream, &request, plan.receive).await?,
                Protocol::Http1 | Protocol::Http2 => {
                    reader.exchange(&mut stream, &request, head_only).await?
                }
            };
            if seen.reusable && !plan.connection_per_request {
                kept = Some(stream);
            }
            Ok::<Seen, Failure>(seen)
        };
        let result = patience.within(begun, work).await;
        now = Instant::now();
        match result {
            Ok(seen) => shared.answered(now, due, seen.status, seen.received),
            Err(failure) => {
                kept = None;
                shared.tally.borrow_mut().failure(now, failure);
                if failure.is_before_request() {
                    sleep(PAUSE).await;
                    now = Instant::now();
                }
            }
        }
    }
}

/// The longest time for an answer, with one timer for the whole life of a connection instead of one for each request.
#[derive(Debug)]
pub(super) struct Patience {
    most: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Patience {
    pub(super) fn new(most: Duration) -> Self {
        Self { most, timer: Box::pin(sleep(most)) }
    }

    /// Does the work that began at `begun`, or says that it took too long.
    pub(super) async fn within<T, E: From<Failure>>(
        &mut self,
        begun: Instant,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut work = pin!(work);
        let end = begun + self.most;
        poll_fn(|cx| {
            if let Poll::Ready(result) = work.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            // It may have been set for an earlier request: then it is set again, for this one.
            while self.timer.as_mut().poll(cx).is_ready() {
                if Instant::now() >= end {
                    return Poll::Ready(Err(Failure::Late.into()));
                }
                self.timer.as_mut().reset(end.into());
            }
            Poll::Pending
        })
        .await
    }
}

/// Waits until everybody must have ended: the deadline and the patience for the last answer.
pub(super) async fn last_call(shared: &Shared) {
    match shared.pace.deadline() {
        Some(deadline) => sleep_until((deadline + shared.plan.patience + PAUSE).into()).await,
        None => std::future::pending().await,
    }
}
