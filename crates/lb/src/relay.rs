//! Bytes both ways between two connections, each way ending by itself (RFC 9293 section 3.6: half-closed).

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::local::Presence;
use crate::slot::Signal;
use crate::stream::{Client, ServerStream, Stream};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Both sides have ended theirs.
    Both,
    /// One broke, or was silent too long, or was cut.
    Broken,
}

/// Carries until both ways have ended, or both sides were silent for this time. What waits in the streams goes first.
pub(crate) async fn run(
    presence: &Presence,
    silence: Duration,
    client: &mut Client,
    server: &mut ServerStream,
) -> Ended {
    let (mut up, mut down) = (Way::Open, Way::Open);
    presence.set_deadline(silence);
    poll_fn(|cx| {
        presence.slot.set_waker(cx.waker());
        match presence.slot.take_signal() {
            Signal::Timeout | Signal::Cut => return Poll::Ready(Ended::Broken),
            Signal::None | Signal::Closing | Signal::ServerDown => {}
        }
        let mut scratch = presence.local.worker.scratch.borrow_mut();
        let mut moved = false;
        let carried = carry(&mut up, client, server, &mut scratch, cx, &mut moved)
            .and_then(|()| carry(&mut down, server, client, &mut scratch, cx, &mut moved));
        if carried.is_err() {
            return Poll::Ready(Ended::Broken);
        }
        if up == Way::Ended && down == Way::Ended {
            return Poll::Ready(Ended::Both);
        }
        if moved {
            presence.set_deadline(silence);
        }
        Poll::Pending
    })
    .await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// The source has ended; the rest must still be sent.
    Ending,
    Ended,
}

fn carry(
    way: &mut Way,
    from: &mut impl Stream,
    to: &mut impl Stream,
    scratch: &mut [u8],
    cx: &mut Context<'_>,
    moved: &mut bool,
) -> std::io::Result<()> {
    while *way != Way::Ended {
        if !to.is_flushed() {
            match to.poll_flush(cx) {
                Poll::Pending => break,
                Poll::Ready(result) => result?,
            }
            *moved = true;
        }
        if *way == Way::Ending {
            to.end();
            *way = Way::Ended;
            break;
        }
        match from.poll_read(cx, scratch) {
            Poll::Pending => break,
            Poll::Ready(read) => match read? {
                0 => *way = Way::Ending,
                count => to.send([scratch.get(..count).unwrap_or_default(), &[]], false)?,
            },
        }
        *moved = true;
    }
    Ok(())
}
