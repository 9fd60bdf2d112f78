//! One request: choose a server, send it there, and carry the answer back; if that cannot be, try the next.
//!
//! What is tried again, and when:
//! - A connection that cannot be made: the next server, until all that may were tried; then, after a rest, all of them again, as
//!   long as the pool's `retries` allow. Nothing was sent.
//! - A kept connection that the server had closed meanwhile, without one byte of an answer: once on a new connection
//!   to the same server, for GET, HEAD, OPTIONS, PUT and DELETE without a body (RFC 9110 section 9.2.2).
//! - A server that dies with the request before one byte of an answer: once on the next server, for GET, HEAD and
//!   OPTIONS without a body.
//!
//! Everything else gets 502: the balancer cannot know whether the server has done it.

use std::future::poll_fn;
use std::rc::Rc;

use relevo_model::cluster::Observe;

use super::answer::Answer;
use super::connection::Connection;
use super::refusal::{Refusal, Status};
use super::request::Request;
use super::talk::{End, Talk};
use crate::connect::{Opening, connect};
use crate::local::{LocalPool, LocalServer};
use crate::log::{Cause, Phase};
use crate::persist::Pick;
use crate::relay;
use crate::search::{NoServer, Search};
use crate::shared;
use crate::stream::{ServerStream, Stream};

/// How a request ended.
#[derive(Debug)]
pub(super) enum Finish {
    /// The next request can be read.
    KeepAlive,
    /// The answer was complete, and was the last one.
    Close,
    /// The same, but the client may still be sending.
    Linger,
    /// The answer could not be completed.
    Reset,
    /// A rule's answer. `close`: the request was not read to its end.
    Answer {
        /// What to answer.
        answer: Answer,
        /// Whether no further request can be read.
        close: bool,
    },
    /// A rule wants no answer.
    Silent,
    /// Nothing was answered: the balancer does. `close`: the request was not read to its end.
    Refuse {
        /// What to answer.
        refusal: Refusal,
        /// Whether no further request can be read.
        close: bool,
    },
}

const NOBODY: Refusal = Refusal::new(Status::Unavailable, "no server can take the request");
const GONE: Refusal = Refusal::new(Status::Unavailable, "the server of this client is gone");
const UNREACHABLE: Refusal = Refusal::new(Status::Unavailable, "no server accepts connections");
const DIED: Refusal = Refusal::new(Status::BadGateway, "the server closed the connection without an answer");

const NOT_PROCESSED: Refusal = Refusal::new(Status::BadGateway, "no server wanted to process the request");
const NO_WEBSOCKETS: Refusal = Refusal::new(Status::BadGateway, "the server takes no WebSockets over HTTP/2");
const UNSPEAKABLE: Refusal = Refusal::bad("the request cannot be said in HTTP/2");

/// Attempts at one server that says each time that it has not processed the request, or has just closed.
const TRIES: usize = 3;

const QUEUE_FULL: Refusal =
    Refusal::new(Status::Unavailable, "all servers are busy, and too many wait already");
const QUEUE_TIMEOUT: Refusal = Refusal::new(Status::Unavailable, "all servers were busy for too long");
const OVER: Refusal = Refusal::new(Status::Unavailable, "the service was taken away");

/// Carries one request, whose head stands in `connection.head`, to a server of the pool.
pub(super) async fn run(connection: &mut Connection, request: &Request, pool: Rc<LocalPool>) -> Finish {
    let close = !request.body.is_done();
    connection.trace.ends(Cause::Server, Phase::Connect);
    let now = connection.presence.local.worker.slots.time();
    let pick = Pick::new(&pool.backend, connection.peer.ip(), Some(&mut connection.head), now);
    let mut search = Search::new(pool, pick);
    let mut refusal = if search.is_gone() { GONE } else { NOBODY };
    let mut may_repeat = request.is_safe();
    loop {
        let found =
            search.next(&mut connection.presence, &mut connection.client, &mut connection.trace).await;
        connection.trace.cookie_came(search.cookie_came());
        let work = match found {
            Ok(work) => work,
            Err(none) => {
                none.note(&mut connection.trace);
                let refusal = match none {
                    NoServer::Nobody => refusal,
                    NoServer::QueueFull => QUEUE_FULL,
                    NoServer::QueueTimeout => QUEUE_TIMEOUT,
                    NoServer::Over => OVER,
                    NoServer::Left(_) => return Finish::Reset,
                };
                return Finish::Refuse { refusal, close };
            }
        };
        connection.mark = search.mark(&work);
        let elsewhere = || may_repeat && search.has_another(&work);
        match attempt(connection, request, &work.pool, &work.server, &elsewhere).await {
            Attempt::Finished(finish) => return finish,
            Attempt::NotConnected(cause) => {
                work.server.counters().connect_errors.add();
                refusal = UNREACHABLE;
                match search.not_reached(&work, cause) {
                    true => continue,
                    false => return Finish::Refuse { refusal, close },
                }
            }
            Attempt::NotProcessed => refusal = NOT_PROCESSED,
            attempt @ (Attempt::Died | Attempt::Silent) => {
                if matches!(attempt, Attempt::Silent) {
                    work.server.observe(&work.pool.backend, Observe::Layer4, false);
                }
                refusal = DIED;
                if !std::mem::replace(&mut may_repeat, false) {
                    return Finish::Refuse { refusal, close };
                }
            }
        }
        if !search.failed(&work) {
            return Finish::Refuse { refusal, close };
        }
    }
}

/// Whose fault it is that a connection to a server could not be made.
pub(crate) fn not_connected(error: &std::io::Error) -> Cause {
    use nix::errno::Errno;
    let ours = [Errno::EMFILE, Errno::ENFILE, Errno::EADDRNOTAVAIL, Errno::ENOBUFS, Errno::ENOMEM];
    let kind = error.kind();
    if error.raw_os_error().is_some_and(|code| ours.contains(&Errno::from_raw(code))) {
        Cause::Resources
    } else if kind == std::io::ErrorKind::TimedOut {
        Cause::ServerTimeout
    } else if kind == std::io::ErrorKind::ConnectionAborted {
        Cause::ServerDown
    } else {
        Cause::Server
    }
}

enum Attempt {
    Finished(Finish),
    /// There was no connection that took the request's first byte, for this reason.
    NotConnected(Cause),
    /// The connection ended before the answer's first byte.
    Silent,
    /// The server went down before the answer's first byte.
    Died,
    /// The server has said that it has not processed the request, which stands in the connection as before.
    NotProcessed,
}

/// `elsewhere`: whether somebody else could be asked now if this server went down.
async fn attempt(
    connection: &mut Connection,
    request: &Request,
    pool: &LocalPool,
    server: &LocalServer,
    elsewhere: &dyn Fn() -> bool,
) -> Attempt {
    if pool.speaks_http2(server) {
        return Box::pin(attempt_shared(connection, request, pool, server, elsewhere)).await;
    }
    let kept = server.take_idle(&pool.backend);
    if let Some(mut stream) = kept
        && (request.is_repeatable() || stream.is_alive())
    {
        connection.trace.connected(true);
        match talk(connection, request, stream, (pool, server), elsewhere).await {
            // It had been closed just now. What was never taken may be sent again, whatever it is.
            Attempt::NotConnected(_) => {}
            Attempt::Silent if request.is_repeatable() => {}
            ended @ (Attempt::Finished(_) | Attempt::Silent | Attempt::Died | Attempt::NotProcessed) => {
                return ended;
            }
        }
    }
    match connect(&connection.presence, server.server.at, &pool.backend, Opening::Follows).await {
        Ok(stream) => {
            connection.trace.connected(false);
            talk(connection, request, stream, (pool, server), elsewhere).await
        }
        Err(error) => {
            let cause = not_connected(&error);
            connection.trace.ends(cause, Phase::Connect);
            server.observe_unconnected(&pool.backend, cause);
            Attempt::NotConnected(cause)
        }
    }
}

/// The same where HTTP/2 may be spoken.
async fn attempt_shared(
    connection: &mut Connection,
    request: &Request,
    pool: &LocalPool,
    server: &LocalServer,
    elsewhere: &dyn Fn() -> bool,
) -> Attempt {
    let mut last = Attempt::NotConnected(Cause::Server);
    for _ in 0..TRIES {
        let (stream, kept) = match shared::find(&connection.presence, pool, server, request).await {
            Ok(found) => found,
            Err(error) if error.kind() == shared::NO_WEBSOCKETS => {
                connection.trace.ends(Cause::Refused, Phase::Upgrade);
                return Attempt::Finished(Finish::Refuse { refusal: NO_WEBSOCKETS, close: true });
            }
            Err(error) => {
                let cause = not_connected(&error);
                connection.trace.ends(cause, Phase::Connect);
                server.observe_unconnected(&pool.backend, cause);
                return Attempt::NotConnected(cause);
            }
        };
        connection.trace.connected(kept);
        last = match talk(connection, request, stream, (pool, server), elsewhere).await {
            again @ (Attempt::NotConnected(_) | Attempt::NotProcessed) => again,
            Attempt::Silent if kept && request.is_repeatable() => Attempt::Silent,
            ended @ (Attempt::Finished(_) | Attempt::Silent | Attempt::Died) => return ended,
        };
    }
    last
}

async fn talk(
    connection: &mut Connection,
    request: &Request,
    stream: ServerStream,
    (pool, server): (&LocalPool, &LocalServer),
    elsewhere: &dyn Fn() -> bool,
) -> Attempt {
    let most = connection.presence.local.frontend.config.limits.body;
    let mut talk = Talk::new(stream, request, pool.backend.config.timeouts.server, most);
    if let Err(error) = talk.start(connection) {
        if error.kind() == shared::UNSPEAKABLE {
            connection.trace.refused(UNSPEAKABLE.status);
            let close = !talk.is_uploaded();
            return Attempt::Finished(Finish::Refuse { refusal: UNSPEAKABLE, close });
        }
        return Attempt::NotConnected(Cause::Server);
    }
    let end = poll_fn(|cx| talk.poll(connection, cx, elsewhere)).await;
    if pool.backend.config.observe.is_some() {
        if talk.has_answered() {
            server.observe(&pool.backend, Observe::Layer4, true);
        }
        if let Some(went_well) = talk.went_well(&end) {
            server.observe(&pool.backend, Observe::Layer7, went_well);
        }
    }
    Attempt::Finished(match end {
        End::Complete { close } => {
            let uploaded = talk.is_uploaded();
            if let Some(stream) = talk.into_kept() {
                server.keep(stream);
            }
            match (uploaded, close) {
                (false, _) => Finish::Linger,
                (true, true) => Finish::Close,
                (true, false) => Finish::KeepAlive,
            }
        }
        End::Silent => {
            return match talk.stream_mut().take_unprocessed() {
                Some(body) => {
                    connection.carry.put_back(&body);
                    connection.presence.slot.uncount_received(body.len());
                    Attempt::NotProcessed
                }
                None => Attempt::Silent,
            };
        }
        End::Abandoned => return Attempt::Died,
        End::Refuse(refusal) => {
            let is_fault = matches!(refusal.status, Status::BadGateway | Status::GatewayTimeout);
            if is_fault && !talk.has_disagreed() {
                talk.stream_mut().retire();
                server.failed();
            }
            Finish::Refuse { refusal, close: !talk.is_uploaded() }
        }
        End::Cut => {
            talk.stream_mut().retire();
            server.failed();
            Finish::Reset
        }
        End::ClientGone | End::ClientWrong(_) => Finish::Reset,
        End::Confirmed => {
            if let Some(stream) = talk.into_kept() {
                server.keep(stream);
            }
            connection.give_again(request).await
        }
        End::Upgraded => {
            let Connection { presence, client, carry, trace, .. } = connection;
            presence.slot.count_received(carry.bytes().len());
            if talk.stream_mut().send([carry.bytes(), &[]], false).is_err() {
                return Attempt::Finished(Finish::Reset);
            }
            carry.consume(carry.bytes().len());
            match relay::run(presence, presence.local.tunnel(pool), client, talk.stream_mut()).await {
                relay::Ended::Both => Finish::Close,
                relay::Ended::Broken(cause) => {
                    trace.ends(cause, Phase::Data);
                    Finish::Reset
                }
            }
        }
    })
}
