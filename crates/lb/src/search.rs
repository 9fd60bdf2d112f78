//! Finding a server for one request or connection: the one that [`Pick`] says, at once or when there is a place.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use relevo_proto::persistence::Came;

use crate::local::{LocalPool, LocalServer, Presence, Running};
use crate::log::{Cause, Phase};
use crate::persist::{Mark, Next, Pick};
use crate::queue::Turn;
use crate::slot::{Signal, Slot};
use crate::stream::Client;
use crate::trace::Trace;

/// The search for one request, over all its attempts.
#[derive(Debug)]
pub(crate) struct Search {
    pool: Rc<LocalPool>,
    pick: Pick,
    /// How long it rests before it asks those again who could not be reached; `None`: the last attempt reached its server.
    rest: Option<Duration>,
}

/// Longest rest before servers are asked again that could not be reached: time for one that is being started anew.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Why no server was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoServer {
    /// Nobody may get work, or all who may were tried.
    Nobody,
    /// As many as allowed wait already.
    QueueFull,
    /// It waited as long as allowed.
    QueueTimeout,
    /// The client left while it waited for a place, or for servers that cannot be reached.
    Left(Phase),
    /// The service is gone, and the time to finish is over.
    Over,
}

impl NoServer {
    /// Notes why there is no answer.
    pub(crate) fn note(self, trace: &mut Trace) {
        match self {
            // What the last attempt met.
            Self::Nobody => {}
            Self::QueueFull => trace.ends(Cause::Refused, Phase::Queue),
            Self::QueueTimeout => {
                trace.queued();
                trace.ends(Cause::ServerTimeout, Phase::Queue);
            }
            Self::Left(phase) => {
                if phase == Phase::Queue {
                    trace.queued();
                }
                trace.ends(Cause::Client, phase);
            }
            Self::Over => trace.ends(Cause::Operator, Phase::Queue),
        }
    }
}

/// A server that works on a request. Dropping it ends that: the next one who waits gets the place.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) pool: Rc<LocalPool>,
    pub(crate) server: Rc<LocalServer>,
    number: u16,
    slot: Rc<Slot>,
    /// Whether it has one of the places that the server has.
    has_place: bool,
    /// Until it is dropped.
    running: Option<Running>,
}

impl Search {
    /// A search in this pool.
    pub(crate) fn new(pool: Rc<LocalPool>, pick: Pick) -> Self {
        Self { pool, pick, rest: None }
    }

    /// Whether there is a server for this client which cannot be asked, and nobody else may be.
    pub(crate) fn is_gone(&self) -> bool {
        self.pick.is_gone()
    }

    /// The next server to try.
    pub(crate) async fn next(
        &mut self,
        presence: &mut Presence,
        client: &mut Client,
        trace: &mut Trace,
    ) -> Result<Work, NoServer> {
        loop {
            if presence.is_over() {
                return Err(NoServer::Over);
            }
            let now = presence.local.worker.slots.time();
            let (number, has_place) = match self.pick.next(&self.pool.backend, now) {
                Next::Server { number, has_place } => (number, has_place),
                Next::Nobody => match self.rest.take() {
                    Some(rest) if self.pick.begin_again() => {
                        pause(presence, client, rest).await?;
                        self.follow(presence)?;
                        continue;
                    }
                    Some(_) | None => {
                        trace.looked_in(&self.pool);
                        return Err(NoServer::Nobody);
                    }
                },
                Next::Wait(only) => match self.wait(presence, client, only, trace).await? {
                    Some(number) => {
                        let now = presence.local.worker.slots.time();
                        self.pick.given(&self.pool.backend, number, now);
                        trace.queued();
                        (number, true)
                    }
                    None => {
                        self.follow(presence)?;
                        continue;
                    }
                },
            };
            let server = self.pool.server(number).ok_or(NoServer::Nobody)?;
            trace.chosen(&self.pool, &server);
            presence.slot.set_target(Some(server.server.id));
            let running = server.begin(&self.pool);
            let (pool, slot) = (Rc::clone(&self.pool), Rc::clone(&presence.slot));
            return Ok(Work { pool, server, number, slot, has_place, running: Some(running) });
        }
    }

    /// Notes that an attempt failed. `false`: there is no other one.
    pub(crate) fn failed(&mut self, work: &Work) -> bool {
        self.rest = None;
        work.server.failed();
        self.pick.failed(work.number)
    }

    /// The same of one whose server could not be reached, for this reason: when nobody else is left, it is asked again.
    pub(crate) fn not_reached(&mut self, work: &Work, cause: Cause) -> bool {
        let may_go_on = self.failed(work);
        // Who did not answer in time was waited for already.
        let rest = self.pool.backend.config.timeouts.connect.min(LONGEST_REST);
        self.rest = Some(if cause == Cause::ServerTimeout { Duration::ZERO } else { rest });
        may_go_on
    }

    /// Whether somebody else could be asked now if this server were given up.
    pub(crate) fn has_another(&self, work: &Work) -> bool {
        self.pick.has_another(&self.pool.backend, work.number)
    }

    /// What came of the pool's cookie; `None`: it has none.
    pub(crate) fn cookie_came(&self) -> Option<Came> {
        self.pick.came(&self.pool.backend)
    }

    /// How the client is told that this server is its own; `None`: it is not told.
    pub(crate) fn mark(&self, work: &Work) -> Option<Mark> {
        self.pick.mark(&work.pool, work.number)
    }

    /// Waits for a place; `None`: look again.
    async fn wait(
        &self,
        presence: &Presence,
        client: &mut Client,
        only: Option<u64>,
        trace: &mut Trace,
    ) -> Result<Option<u16>, NoServer> {
        let backend = &self.pool.backend;
        trace.looked_in(&self.pool);
        let waiting = backend.queue.enter(only, backend.config.max_queue).ok_or(NoServer::QueueFull)?;
        trace.in_line(waiting.before, only.is_some());
        backend.offer_all();
        presence.set_deadline(backend.config.timeouts.queue);
        let turn = poll_fn(|cx| {
            presence.slot.set_waker(cx.waker());
            match presence.slot.take_signal() {
                Signal::Timeout => return Poll::Ready(Err(NoServer::QueueTimeout)),
                Signal::Cut => return Poll::Ready(Err(NoServer::Over)),
                Signal::None | Signal::Closing | Signal::ServerDown => {}
            }
            match waiting.poll(cx) {
                Poll::Pending if client.poll_left(cx).is_ready() => {
                    Poll::Ready(Err(NoServer::Left(Phase::Queue)))
                }
                turn @ (Poll::Ready(_) | Poll::Pending) => turn.map(Ok),
            }
        })
        .await?;
        let given = match turn {
            Turn::Given(server) => server,
            Turn::Again => return Ok(None),
        };
        let number = backend.number(given.id);
        if number.is_none() {
            // It came with another configuration.
            backend.queue.give_back(&given);
        }
        Ok(number)
    }

    /// Goes over to the pool as it is now.
    fn follow(&mut self, presence: &mut Presence) -> Result<(), NoServer> {
        presence.refresh();
        let name = &self.pool.backend.config.name;
        let now = presence.local.pools.iter().find(|pool| pool.backend.config.name == *name);
        let pool = now.map(Rc::clone).ok_or(NoServer::Nobody)?;
        if !Rc::ptr_eq(&pool, &self.pool) {
            self.pick.moved(&self.pool.backend, &pool.backend);
            self.pool = pool;
        }
        Ok(())
    }
}

/// Lets servers that cannot be reached have some time.
async fn pause(presence: &Presence, client: &mut Client, rest: Duration) -> Result<(), NoServer> {
    if rest.is_zero() {
        return Ok(());
    }
    presence.set_deadline(rest);
    poll_fn(|cx| {
        presence.slot.set_waker(cx.waker());
        match presence.slot.take_signal() {
            Signal::Timeout => return Poll::Ready(Ok(())),
            Signal::Cut => return Poll::Ready(Err(NoServer::Over)),
            Signal::None | Signal::Closing | Signal::ServerDown => {}
        }
        client.poll_left(cx).map(|()| Err(NoServer::Left(Phase::Connect)))
    })
    .await
}

impl Drop for Work {
    fn drop(&mut self) {
        self.slot.set_target(None);
        // It ends before the next one begins.
        self.running = None;
        if self.has_place {
            self.pool.backend.queue.give_back(&self.server.server);
        }
    }
}
