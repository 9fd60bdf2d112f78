//! TCP mode: one server for each connection.
//!
//! Rules may choose the pool by the client's address, and by the name in its first TLS message, which is read for that and
//! passed on unchanged.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;

use relevo_model::Time;
use relevo_model::cluster::Observe;
use relevo_proto::hello::{self, Hello};
use relevo_proto::rule::{Allowed, Course, NoHeaders, Request, Step, Verdict};

use crate::connect::{Opening, connect};
use crate::http::exchange::not_connected;
use crate::local::{LocalPool, Presence};
use crate::log::{Cause, Phase};
use crate::persist::Pick;
use crate::relay;
use crate::rules::RuleSet;
use crate::search::{NoServer, Search};
use crate::slot::Signal;
use crate::stream::{Client, Stream};
use crate::trace::Trace;

/// Serves a client: finds a server that accepts, then carries bytes. If none does, the client sees a reset.
pub(crate) async fn serve(mut presence: Presence, client: Client, peer: SocketAddr) {
    let mut trace = Trace::default();
    trace.begin(&presence, peer, false);
    carry(&mut presence, client, peer, &mut trace).await;
    trace.finish();
}

async fn carry(presence: &mut Presence, mut client: Client, peer: SocketAddr, trace: &mut Trace) {
    let local = Rc::clone(&presence.local);
    let mut first = Vec::new();
    let pool = match &local.frontend.rules {
        None => Rc::clone(&local.pool),
        Some(rules) => match decide(presence, rules, &mut client, peer.ip(), &mut first, trace).await {
            Some(pool) => pool,
            None => {
                local.counters().requests.add();
                trace.denied(Phase::Request);
                return client.reset();
            }
        },
    };
    local.counters().requests.add();
    if first.is_empty() {
        // Most clients speak first, and have done so by now.
        client.read_early(&mut local.worker.scratch.borrow_mut(), &mut first);
    }
    presence.slot.count_received(first.len());
    let pick = Pick::new(&pool.backend, peer.ip(), None, local.worker.slots.time());
    let mut search = Search::new(pool, pick);
    trace.ends(Cause::Server, Phase::Connect);
    loop {
        let work = match search.next(presence, &mut client, trace).await {
            Ok(work) => work,
            Err(none) => {
                none.note(trace);
                if matches!(none, NoServer::Left(_)) {
                    return client.reset();
                }
                break;
            }
        };
        let opening = if first.is_empty() { Opening::Silent } else { Opening::Bytes(&first) };
        match connect(presence, work.server.server.at, &work.pool.backend, opening).await {
            Ok(mut stream) => {
                trace.connected(false);
                work.server.observe(&work.pool.backend, Observe::Layer4, true);
                let silence = local.tunnel(&work.pool);
                let ended = relay::run(presence, silence, &mut client, &mut stream).await;
                if let relay::Ended::Broken(cause) = ended {
                    stream.reset();
                    trace.ends(cause, Phase::Data);
                    return client.reset();
                }
                trace.mended();
                client.close();
                if let Some(socket) = stream.into_spent() {
                    local.worker.spent.borrow_mut().put(work.server.server.at, socket);
                }
                return;
            }
            Err(error) => {
                let cause = not_connected(&error);
                trace.ends(cause, Phase::Connect);
                work.server.observe_unconnected(&work.pool.backend, cause);
                work.server.counters().connect_errors.add();
                if !search.not_reached(&work, cause) {
                    break;
                }
            }
        }
    }
    local.counters().errors.add();
    client.reset();
}

/// What the rules say; `None`: the client is refused. `first` gets what was read from it for that.
async fn decide(
    presence: &Presence,
    rules: &RuleSet,
    client: &mut Client,
    source: IpAddr,
    first: &mut Vec<u8>,
    trace: &mut Trace,
) -> Option<Rc<LocalPool>> {
    let local = &presence.local;
    let mut tls_name = client.session().map(|session| session.name_bytes().to_vec());
    if tls_name.is_none() && rules.compiled.looks_at_tls() {
        tls_name = read_hello(presence, client, first).await?;
    }
    let worker = &local.worker;
    let request = Request {
        method: b"",
        host: b"",
        target: b"",
        headers: &NoHeaders,
        source,
        tls: tls_name.is_some(),
        tls_name: tls_name.as_deref().unwrap_or_default(),
        id: rules.id(worker.number, worker.number_of_request()),
    };
    let mut course = Course::default();
    loop {
        let step = rules.compiled.step(&mut course, &request);
        trace.ruled(course.line());
        match step {
            Step::Rate { limit, key } => {
                let now = Time::from_millis(worker.slots.now());
                if rules.ask(limit, &key, now) != Allowed::Yes {
                    return None;
                }
            }
            Step::Done(Verdict::Default) => return Some(Rc::clone(&local.pool)),
            Step::Done(Verdict::Pool(number)) => return local.chosen(number),
            // The reader of cluster files allows no others in this mode.
            Step::Auth { .. }
            | Step::Done(
                Verdict::Deny(_) | Verdict::Redirect { .. } | Verdict::Return(_) | Verdict::Doubtful(_),
            ) => {
                return None;
            }
        }
    }
}

/// Reads a client's first message. The name that it asks for, `Some(None)` if it does not begin with TLS or is silent for too
/// long; `None`: it is gone.
async fn read_hello(
    presence: &Presence,
    client: &mut Client,
    first: &mut Vec<u8>,
) -> Option<Option<Vec<u8>>> {
    presence.set_deadline(presence.local.frontend.config.timeouts.request);
    poll_fn(|cx| {
        presence.slot.set_waker(cx.waker());
        match presence.slot.take_signal() {
            Signal::Timeout => return Poll::Ready(Some(None)),
            Signal::Cut => return Poll::Ready(None),
            Signal::None | Signal::Closing | Signal::ServerDown => {}
        }
        let mut scratch = presence.local.worker.scratch.borrow_mut();
        loop {
            match client.poll_read(cx, &mut scratch) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(None),
                Poll::Ready(Ok(count)) => first.extend_from_slice(scratch.get(..count).unwrap_or_default()),
            }
            match hello::read(first) {
                Hello::More => {}
                Hello::Name(name) => return Poll::Ready(Some(Some(name.into_bytes()))),
                Hello::Other => return Poll::Ready(Some(None)),
            }
        }
    })
    .await
}
