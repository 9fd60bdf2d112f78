//! HTTP/2 with clients (RFC 9113). The `h2` crate does the framing; each stream becomes a connection in memory that the
//! HTTP/1 engine serves, so that whatever holds for HTTP/1.1 holds here: rules, limits, balancing, counters.
//!
//! ```text
//!   client ◄─► Wire ◄─► h2 ──► stream ──► head, Upload ──► Far │ Pipe ──► http::connection ──► server
//!                          ◄────────────── Download ◄───── Far │ Pipe ◄──
//! ```
//! What a client can make us hold is bounded: `limits.streams` requests at a time, heads of `limits.header` bytes, half
//! a megabyte of bodies for each connection, 64 KiB in each direction of each pipe, and little for each further answer when
//! a megabyte of them waits for the client, and another megabyte within the `h2` crate (`load`). Who cancels most of its
//! requests is sent away. Extended CONNECT (RFC 8441) is a WebSocket's handshake for the engine. There is no push.

mod download;
pub mod head;
mod load;
mod queue;
pub mod replay;
mod session;
mod stream;
mod upload;
pub(crate) mod wire;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use self::session::{Limits, Serve, Session, Waits};
use crate::http::fields::Fields;
use crate::http::{connection, linger};
use crate::local::Presence;
use crate::slot::Signal;
use crate::stream::Client;
use crate::tls;
use crate::worker::Worker;

/// What begins a connection of a client that knows that HTTP/2 is spoken here (RFC 9113 section 3.4). The rest follows.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// A request of a client, for the task that carries it.
pub(crate) type Begun = session::Begun<Engine>;

/// Longest wait for a client to notice that it shall send no more requests.
const GOODBYE: Duration = Duration::from_secs(1);

/// Serves a client until one side ends it. `early`: what was read of its connection already.
pub(crate) async fn serve(presence: Presence, client: Client, early: Vec<u8>, peer: SocketAddr) {
    let presence = Rc::new(presence);
    let limits = presence.local.frontend.config.limits;
    let patience = presence.local.frontend.config.timeouts.client;
    let limits = Limits { streams: limits.streams, header: limits.header, patience };
    let worker = Rc::clone(&presence.local.worker);
    let tls = client.session();
    let engine = Engine { presence: Rc::clone(&presence), worker, peer, tls };
    let mut session = Session::new(client, early, limits, engine);
    let mut waits = None;
    let mut said_goodbye = false;
    let in_order = poll_fn(|cx| {
        presence.slot.set_waker(cx.waker());
        let mut close = false;
        match presence.slot.take_signal() {
            Signal::Cut => return Poll::Ready(false),
            Signal::Timeout if said_goodbye || matches!(waits, Some(Waits::Room(_))) => {
                return Poll::Ready(false);
            }
            Signal::Timeout => close = waits != Some(Waits::Answers),
            Signal::Closing => session.leave(),
            Signal::None | Signal::ServerDown => {}
        }
        if close {
            session.close();
            said_goodbye = true;
        } else if presence.says_goodbye() {
            // Another process is there for what this client asks next, or nobody any more.
            session.leave();
        }
        if session.poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        let now = session.waits();
        if waits.replace(now) != Some(now) || close {
            let timeouts = &presence.local.frontend.config.timeouts;
            presence.set_deadline(match now {
                _ if said_goodbye => GOODBYE,
                Waits::First => timeouts.request,
                Waits::Next => timeouts.keep_alive,
                // Each of them has deadlines of its own.
                Waits::Answers => Duration::from_secs(3600),
                Waits::Room(_) => timeouts.client,
            });
        }
        Poll::Pending
    });
    let in_order = in_order.await;
    match session.into_client() {
        Some(client) if in_order => linger::close(&presence, client).await,
        Some(client) => client.reset(),
        None => {}
    }
}

/// The HTTP/1 engine for the streams of one client.
#[derive(Debug)]
pub(crate) struct Engine {
    presence: Rc<Presence>,
    worker: Rc<Worker>,
    peer: SocketAddr,
    tls: Option<Rc<tls::Session>>,
}

impl Serve for Engine {
    fn serve(&self, client: Client) -> impl Future<Output = ()> + 'static {
        connection::serve(self.presence.another(), client.with_session(self.tls.clone()), self.peer)
    }

    fn fields(&self) -> &RefCell<Fields> {
        &self.worker.fields
    }

    fn begin(&self, request: Begun) {
        self.worker.carriers.http2_requests.give(request, Begun::carry);
    }
}
