//! The beginning of a connection over TLS: the client's greeting, and the handshake that follows.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::task::{Context, Poll};

use relevo_model::cluster::Mode;

use crate::http::linger;
use crate::http::refusal::{Refusal, write_answer};
use crate::local::Presence;
use crate::slot::Signal;
use crate::strangers::{self, Arrival};
use crate::stream::{Client, Greeting, Late, Stream};
use crate::trace::Trace;

const NOT_TLS: Refusal = Refusal::bad("this port speaks HTTPS, and the request came without TLS");

/// Agrees with a client that was just accepted, within the time for a request; `None`: it is gone, or was sent away.
pub(crate) async fn run(presence: &Presence, stream: TcpStream, arrival: Arrival) -> Option<Client> {
    let local = Rc::clone(&presence.local);
    // An address of the file has TLS only where the service has.
    let terminator = local.frontend.tls.terminator.as_ref()?;
    presence.set_deadline(local.frontend.config.timeouts.request);
    let mut socket = Late::Early(stream);
    let first = wait(presence, false, |cx| first_bytes(presence, &mut socket, cx)).await.ok()?;
    if first.first().is_some_and(u8::is_ascii_uppercase) {
        refuse_http(presence, socket, &first, arrival.peer).await;
        return None;
    }
    let mut greeting = Greeting::new(socket, terminator).ok()?;
    let mut result = greeting.feed(&first);
    drop(first);
    if result.is_ok() {
        result = wait(presence, true, |cx| greeting.poll(cx)).await;
    }
    match result {
        Ok(()) => {
            let client = greeting.into_client();
            if client.session().is_some_and(|session| session.proof) {
                client.close();
                return None;
            }
            Some(client)
        }
        Err(error) => {
            local.counters().handshakes_failed.add();
            strangers::handshake_ended(presence, arrival, &error);
            tracing::debug!(service = %local.frontend.config.name, %error, "a client's TLS handshake failed");
            // The alert that says why must arrive.
            if error.kind() == io::ErrorKind::InvalidData {
                linger::close(presence, Client::of(greeting.into_socket())).await;
            }
            None
        }
    }
}

/// Whatever the client has sent so far; at least a byte.
fn first_bytes(presence: &Presence, socket: &mut Late, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
    let mut scratch = presence.local.worker.scratch.borrow_mut();
    socket.poll_read(cx, &mut scratch).map(|read| match read? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => Ok(scratch.get(..count).unwrap_or_default().to_vec()),
    })
}

/// A browser that was given `http://` and this port shows this to its user.
async fn refuse_http(presence: &Presence, socket: Late, first: &[u8], peer: SocketAddr) {
    let mut client = Client::of(socket);
    let mut answer = Vec::new();
    let page = presence.local.frontend.pages.find(NOT_TLS.status.code());
    write_answer(&mut answer, NOT_TLS, page, true, false);
    note_refused(presence, first, peer, answer.len());
    if client.send([&answer, &[]], true).is_ok() {
        linger::close(presence, client).await;
    }
}

/// Counts what was refused, and writes its line.
fn note_refused(presence: &Presence, first: &[u8], peer: SocketAddr, sent: usize) {
    let (counters, is_http) = (presence.local.counters(), presence.local.frontend.config.mode == Mode::Http);
    counters.errors.add();
    counters.requests.add();
    let mut trace = Trace::default();
    trace.begin(presence, peer, is_http);
    trace.in_clear();
    presence.slot.count_received(first.len());
    presence.slot.count_sent(sent as u64);
    if is_http {
        trace.head(first, &[], true);
        trace.answered_here(NOT_TLS.status.code());
    }
    trace.refused(NOT_TLS.status);
    trace.finish();
}

/// Waits for something as long as the client has time. When the service ends, who `has_begun` goes on and is served, and who
/// has said nothing is let go.
async fn wait<T>(
    presence: &Presence,
    has_begun: bool,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
) -> io::Result<T> {
    poll_fn(|cx| {
        presence.slot.set_waker(cx.waker());
        match presence.slot.take_signal() {
            Signal::Timeout => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Signal::Cut => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Signal::Closing if presence.is_closing() && !has_begun => match poll(cx) {
                Poll::Pending => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
                // It has begun in this moment.
                ready @ Poll::Ready(_) => ready,
            },
            Signal::None | Signal::Closing | Signal::ServerDown => poll(cx),
        }
    })
    .await
}
