//! Bytes from one socket to another without passing through this process: splice(2) by way of a pipe.
//!
//! For large bodies between plain TCP connections. Pipes are kept by each worker: a connection has one only while
//! something large is on its way.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes that a pipe may hold; what an unprivileged process may ask for (pipe(7), `/proc/sys/fs/pipe-max-size`).
const ROOM: usize = 1024 * 1024;
/// Bytes after which the worker's other connections have their turn.
const TURN: u64 = 4 * 1024 * 1024;
/// Idle pipes that a worker keeps.
const MOST_IDLE: usize = 32;

/// A pipe, both of its ends.
#[derive(Debug)]
pub(crate) struct Tube {
    read: OwnedFd,
    write: OwnedFd,
    /// Bytes in it.
    held: usize,
}

/// A worker's pipes.
#[derive(Debug, Default)]
pub(crate) struct Tubes {
    idle: Vec<Tube>,
}

/// What became of bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    /// So many have left, and none is here: the source has no more now.
    Dry,
    /// The source has ended; nothing is left here.
    Ended,
    /// All that was asked for has left.
    All,
    /// The other side does not take what is here, or others have their turn first.
    Full,
}

/// Which side broke.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The source.
    From(io::Error),
    /// The other one.
    To(io::Error),
}

impl Tubes {
    /// A pipe; `None`: there are no descriptors left, copy instead.
    pub(crate) fn take(&mut self) -> Option<Tube> {
        self.idle.pop().or_else(|| {
            let (read, write) = nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).ok()?;
            // A smaller one does as well: 64 KiB are there in any case.
            let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(i32::try_from(ROOM).unwrap_or(i32::MAX)));
            Some(Tube { read, write, held: 0 })
        })
    }

    /// Gives one back. One that is not empty is closed: its bytes are nobody's.
    pub(crate) fn put(&mut self, tube: Tube) {
        if tube.held == 0 && self.idle.len() < MOST_IDLE {
            self.idle.push(tube);
        }
    }
}

impl Tube {
    /// Carries up to `left` bytes as far as both sides let it; `left` goes down by what has come out of the source,
    /// `sent` up by what the other side took. Unless it says `All` or `Ended`, the task is woken when there is more to do.
    pub(crate) fn poll_carry(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        to: &TcpStream,
        left: &mut u64,
        sent: &mut u64,
    ) -> Result<Carried, Broken> {
        let mut turn = 0;
        loop {
            if turn >= TURN {
                cx.waker().wake_by_ref();
                return Ok(Carried::Full);
            }
            if self.held > 0 {
                let wanted = self.held;
                let Poll::Ready(count) =
                    poll_io(cx, to, Interest::WRITABLE, || nudge(&self.read, to, wanted))
                        .map_err(Broken::To)?
                else {
                    return Ok(Carried::Full);
                };
                self.held = self.held.saturating_sub(count);
                *sent += count as u64;
                turn += count as u64;
                continue;
            }
            let most = usize::try_from(*left).unwrap_or(usize::MAX).min(ROOM);
            if most == 0 {
                return Ok(Carried::All);
            }
            let taken = poll_io(cx, from, Interest::READABLE, || nudge(from, &self.write, most));
            match taken.map_err(Broken::From)? {
                Poll::Pending => return Ok(Carried::Dry),
                Poll::Ready(0) => return Ok(Carried::Ended),
                Poll::Ready(count) => {
                    self.held += count;
                    *left = left.saturating_sub(count as u64);
                }
            }
        }
    }
}

fn nudge(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    Ok(splice(from, None, to, None, most, flags)?)
}

/// Tries until it is done or the event loop must be waited for.
fn poll_io(
    cx: &mut Context<'_>,
    stream: &TcpStream,
    interest: Interest,
    mut call: impl FnMut() -> io::Result<usize>,
) -> io::Result<Poll<usize>> {
    loop {
        let is_ready =
            if interest.is_readable() { stream.poll_read_ready(cx) } else { stream.poll_write_ready(cx) };
        let Poll::Ready(is_ready) = is_ready else { return Ok(Poll::Pending) };
        is_ready?;
        match stream.try_io(interest, &mut call) {
            Ok(count) => return Ok(Poll::Ready(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
