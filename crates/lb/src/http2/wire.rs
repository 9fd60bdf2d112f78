//! The connection as the `h2` crate sees it: bytes that were read ahead come first, and writes are collected.
//!
//! The crate flushes after each large frame; many frames then cost as many system calls. Here a flush does nothing:
//! the session writes once when the crate has nothing more to say, or when [`MOST`] bytes have come together.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::Stream;

/// Bytes that are collected before they are written in any case.
const MOST: usize = 64 * 1024;
/// What an idle connection may keep.
const KEEP: usize = 4096;

thread_local! {
    /// Where this worker reads. The crate's own space would have to be filled with zeros before each read.
    static SPACE: RefCell<Box<[u8]>> = RefCell::new(vec![0; 16 * 1024].into());
}

/// The connection, shared by the crate and the session.
#[derive(Debug)]
pub(crate) struct Wire<S>(Rc<RefCell<Ends<S>>>);

impl<S> Clone for Wire<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Ends<S> {
    stream: Option<S>,
    /// Whether anything was read.
    has_read: bool,
    /// What was read before, and how much of it is used.
    early: (Vec<u8>, usize),
    out: Vec<u8>,
    /// Whether a write of the crate was refused since somebody asked: it holds more.
    is_refused: bool,
    /// How often the kernel has taken something of what waited for it.
    taken: u64,
}

impl<S: Stream> Wire<S> {
    pub(crate) fn new(stream: S, early: Vec<u8>) -> Self {
        Self(Rc::new(RefCell::new(Ends {
            stream: Some(stream),
            has_read: false,
            early: (early, 0),
            out: Vec::new(),
            is_refused: false,
            taken: 0,
        })))
    }

    /// Writes what was collected; ready when the kernel has all of it.
    pub(crate) fn poll_write_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().write_out(cx)
    }

    /// Whether nothing waits for the other side to take it.
    pub(crate) fn is_flushed(&self) -> bool {
        self.0.borrow().stream.as_ref().is_none_or(S::is_flushed)
    }

    /// Whether the crate, since this was last asked, wanted to write and could not.
    pub(crate) fn was_refused(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().is_refused)
    }

    /// How often the other side has taken something of what waited for it.
    pub(crate) fn taken(&self) -> u64 {
        self.0.borrow().taken
    }

    /// The connection, to be closed. Reading and writing fail from now on.
    pub(crate) fn into_stream(self) -> Option<S> {
        self.0.borrow_mut().stream.take()
    }

    /// Whether anything was read.
    pub(crate) fn has_read(&self) -> bool {
        self.0.borrow().has_read
    }

    /// Looks at the connection; `true` where it is gone.
    pub(crate) fn with_stream(&self, look: impl FnOnce(&mut S) -> bool) -> bool {
        self.0.borrow_mut().stream.as_mut().is_none_or(look)
    }
}

impl<S: Stream> Ends<S> {
    fn stream(&mut self) -> io::Result<&mut S> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let out = std::mem::take(&mut self.out);
        let stream = self.stream()?;
        if !out.is_empty() {
            // What the kernel does not take waits within the connection.
            stream.send([&out, &[]], false)?;
        }
        let flushed = self.flush(cx);
        if out.capacity() <= KEEP {
            self.out = out;
            self.out.clear();
        }
        flushed
    }

    /// Goes on with what the kernel has not taken.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.stream()?;
        let before = stream.unsent();
        if stream.is_flushed() {
            return Poll::Ready(Ok(()));
        }
        let flushed = stream.poll_flush(cx);
        let is_less = stream.unsent() < before;
        self.taken += u64::from(is_less);
        flushed
    }

    /// Waits until more may be collected: who takes nothing shall not make it grow.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let room = if self.out.len() >= MOST { self.write_out(cx) } else { self.flush(cx) };
        self.is_refused |= room.is_pending();
        room
    }
}

impl<S: Stream> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ends = &mut *self.0.borrow_mut();
        let (early, used) = &mut ends.early;
        let rest = early.get(*used..).unwrap_or_default();
        if !rest.is_empty() {
            let count = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..count]);
            *used += count;
            if *used == early.len() {
                ends.early = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        let stream = ends.stream()?;
        let read = SPACE.with_borrow_mut(|space| {
            let most = space.len().min(buffer.remaining());
            let count = ready!(stream.poll_read(cx, space.get_mut(..most).unwrap_or_default()))?;
            buffer.put_slice(space.get(..count).unwrap_or_default());
            Poll::Ready(io::Result::Ok(()))
        });
        ready!(read)?;
        ends.has_read = true;
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let ends = &mut *self.0.borrow_mut();
        ready!(ends.poll_room(cx))?;
        ends.out.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let ends = &mut *self.0.borrow_mut();
        ready!(ends.poll_room(cx))?;
        for part in parts {
            ends.out.extend_from_slice(part);
        }
        Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Too early: see above.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The session closes.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
