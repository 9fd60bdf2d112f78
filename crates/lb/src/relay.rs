//! Bytes both ways between two connections, each way ending by itself (RFC 9293 section 3.6: half-closed).

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::local::Presence;
use crate::log::Cause;
use crate::slot::Signal;
use crate::stream::{Broken, Carried, Client, ServerStream, Stream, Tube};
use crate::worker::Worker;

/// From so many bytes in one read on, the rest goes through a pipe: below, two more system calls cost more than a copy.
pub(crate) const LARGE: usize = 32 * 1024;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Both sides have ended theirs.
    Both,
    /// One broke, or was silent too long, or was cut: whose doing it was.
    Broken(Cause),
}

/// Carries until both ways have ended, or both sides were silent for this time. What waits in the streams goes first. The
/// caller closes both connections afterwards.
pub(crate) async fn run(
    presence: &Presence,
    silence: Duration,
    client: &mut Client,
    server: &mut ServerStream,
) -> Ended {
    let (mut up, mut down) = (Way::default(), Way::default());
    // While the client owes reading.
    let mut queued = None;
    presence.set_deadline(silence);
    poll_fn(|cx| {
        presence.slot.set_waker(cx.waker());
        match presence.slot.take_signal() {
            // Who takes slowly, but takes, has as much time again.
            Signal::Timeout if down.waits(client) && client.has_taken(&mut queued) => {
                presence.set_deadline(silence)
            }
            Signal::Timeout if up.state == State::Open => {
                return Poll::Ready(Ended::Broken(Cause::ClientTimeout));
            }
            Signal::Timeout => return Poll::Ready(Ended::Broken(Cause::ServerTimeout)),
            Signal::Cut => return Poll::Ready(Ended::Broken(Cause::Operator)),
            Signal::None | Signal::Closing | Signal::ServerDown => {}
        }
        let worker = &presence.local.worker;
        let mut moved = false;
        let carried = up
            .carry(client, server, worker, cx, down.state, &mut moved)
            .and_then(|()| down.carry(server, client, worker, cx, up.state, &mut moved));
        presence.slot.count_received(std::mem::take(&mut up.carried));
        presence.slot.count_sent(std::mem::take(&mut down.carried) as u64);
        if carried.is_err() {
            // Who cannot be read from, or written to.
            let client = up.source_broke || (!down.source_broke && !up.target_broke);
            return Poll::Ready(Ended::Broken(if client { Cause::Client } else { Cause::Server }));
        }
        if up.state == State::Ended && down.state == State::Ended {
            return Poll::Ready(Ended::Both);
        }
        if moved {
            if down.waits(client) {
                queued = client.queued();
            }
            presence.set_deadline(silence);
        }
        Poll::Pending
    })
    .await
}

/// One way.
#[derive(Debug, Default)]
struct Way {
    state: State,
    /// Reading failed.
    source_broke: bool,
    /// Sending failed.
    target_broke: bool,
    /// Bytes since somebody asked.
    carried: usize,
    /// The last that came was large.
    large: bool,
    /// While something large is on its way.
    tube: Option<Tube>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The source has ended; the rest must still be sent.
    Ending,
    Ended,
}

impl Way {
    /// Whether it is its target that must take something first.
    fn waits(&self, to: &impl Stream) -> bool {
        !to.is_flushed() || self.tube.is_some()
    }

    fn carry(
        &mut self,
        from: &mut impl Stream,
        to: &mut impl Stream,
        worker: &Worker,
        cx: &mut Context<'_>,
        back: State,
        moved: &mut bool,
    ) -> io::Result<()> {
        while self.state != State::Ended {
            if !to.is_flushed() {
                let before = to.unsent();
                match to.poll_flush(cx) {
                    Poll::Pending => {
                        *moved |= to.unsent() < before;
                        break;
                    }
                    Poll::Ready(result) => result.inspect_err(|_| self.target_broke = true)?,
                }
                *moved = true;
            }
            if self.state == State::Ending {
                // With the other way over as well, closing the connection comes next and says the same.
                if back != State::Ended || !to.is_plain() {
                    to.end();
                }
                self.state = State::Ended;
                break;
            }
            if self.large {
                match self.splice(from, to, worker, cx, moved)? {
                    Poll::Ready(()) => continue,
                    Poll::Pending => break,
                }
            }
            let mut scratch = worker.scratch.borrow_mut();
            match from.poll_read(cx, &mut scratch) {
                Poll::Pending => break,
                Poll::Ready(read) => match read.inspect_err(|_| self.source_broke = true)? {
                    0 => self.state = State::Ending,
                    count => {
                        self.large = count >= LARGE;
                        self.carried += count;
                        let (bytes, rest) = scratch.split_at_mut(count);
                        // If the source is known to have ended, the end travels with its last bytes. Asking costs no
                        // system call while the event loop has not seen that.
                        let more = match rest.is_empty() {
                            true => Poll::Pending,
                            false => from.poll_read(cx, rest),
                        };
                        match more {
                            Poll::Pending => {
                                to.send([bytes, &[]], false).inspect_err(|_| self.target_broke = true)?;
                            }
                            Poll::Ready(more) => {
                                let more = more.inspect_err(|_| self.source_broke = true)?;
                                self.carried += more;
                                to.send([bytes, rest.get(..more).unwrap_or_default()], more == 0)
                                    .inspect_err(|_| self.target_broke = true)?;
                                if more == 0 {
                                    self.state = State::Ending;
                                }
                            }
                        }
                    }
                },
            }
            *moved = true;
        }
        Ok(())
    }

    /// Carries past this process while it is worth it. Ready: go on by reading.
    fn splice(
        &mut self,
        from: &mut impl Stream,
        to: &mut impl Stream,
        worker: &Worker,
        cx: &mut Context<'_>,
        moved: &mut bool,
    ) -> io::Result<Poll<()>> {
        let tube =
            |from| self.tube.take().or_else(|| worker.tubes.borrow_mut().take()).map(|tube| (tube, from));
        let (Some((mut tube, from)), Some(to)) = (from.tcp().and_then(tube), to.tcp()) else {
            self.large = false;
            return Ok(Poll::Ready(()));
        };
        let (mut left, mut sent) = (u64::MAX, 0);
        let carried = tube.poll_carry(cx, from, to, &mut left, &mut sent);
        let carried = carried.map_err(|broken| match broken {
            Broken::From(error) => {
                self.source_broke = true;
                error
            }
            Broken::To(error) => {
                self.target_broke = true;
                error
            }
        })?;
        *moved |= sent > 0;
        self.carried += usize::try_from(sent).unwrap_or(usize::MAX);
        match carried {
            Carried::Full => self.tube = Some(tube),
            Carried::Dry | Carried::All | Carried::Ended => {
                // Small things that follow are read again.
                self.large = sent >= LARGE as u64;
                worker.tubes.borrow_mut().put(tube);
            }
        }
        if carried == Carried::Ended {
            self.state = State::Ending;
            return Ok(Poll::Ready(()));
        }
        Ok(Poll::Pending)
    }
}
