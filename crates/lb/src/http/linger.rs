//! Closing without destroying the last answer.
//!
//! A socket that is closed while the client is still sending makes the kernel send a reset, and the client may
//! then never see the answer (RFC 9112 section 9.6). So: end our side, read what comes for a moment, then close.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::local::Presence;
use crate::slot::Signal;
use crate::stream::{Client, Stream};

/// Longest time that is spent on it.
const TIME: Duration = Duration::from_secs(1);
/// Most bytes that are read and thrown away.
const BYTES: usize = 1024 * 1024;

/// Ends our side and waits for the client to end its own.
pub(crate) async fn close(presence: &Presence, mut client: Client) {
    client.end();
    presence.set_deadline(TIME);
    let mut left = BYTES;
    poll_fn(|cx| {
        presence.slot.set_waker(cx.waker());
        match presence.slot.take_signal() {
            Signal::Timeout | Signal::Closing | Signal::Cut => return Poll::Ready(()),
            Signal::None | Signal::ServerDown => {}
        }
        let mut scratch = presence.local.worker.scratch.borrow_mut();
        loop {
            match client.poll_read(cx, &mut scratch) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(count)) if count > 0 && count < left => left -= count,
                Poll::Ready(Ok(_) | Err(_)) => return Poll::Ready(()),
            }
        }
    })
    .await;
}
