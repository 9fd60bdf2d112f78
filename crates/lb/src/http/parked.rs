//! Connections that have said nothing for a while: until they do, their task is small.
//!
//! The task of a connection has room for everything that a request needs, some thousand bytes. A client that keeps its
//! connection open for minutes does not need that, and there may be very many of them.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use super::connection;
use crate::local::Presence;
use crate::slot::Signal;
use crate::stream::{Client, Stream};

/// Silence after which a connection is parked.
pub(super) const AFTER: Duration = Duration::from_secs(2);

/// Waits for the next request for this time at most, in a task of its own.
pub(super) fn park(presence: Presence, client: Client, peer: SocketAddr, left: Duration) {
    drop(tokio::task::spawn_local(wait(presence, client, peer, left)));
}

async fn wait(presence: Presence, mut client: Client, peer: SocketAddr, left: Duration) {
    presence.set_deadline(left);
    let spoken = poll_fn(|cx| {
        presence.slot.set_waker(cx.waker());
        match presence.slot.take_signal() {
            // Who has asked in this moment is answered.
            Signal::Closing if client.has_unread() => {}
            Signal::Timeout | Signal::Closing | Signal::Cut => return Poll::Ready(None),
            Signal::None | Signal::ServerDown => {}
        }
        let mut scratch = presence.local.worker.scratch.borrow_mut();
        match client.poll_read(cx, &mut scratch) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(None),
            Poll::Ready(Ok(count)) => Poll::Ready(scratch.get(..count).map(<[u8]>::to_vec)),
        }
    });
    match spoken.await {
        Some(bytes) => drop(tokio::task::spawn_local(connection::resume(presence, client, peer, bytes))),
        None => client.close(),
    }
}
