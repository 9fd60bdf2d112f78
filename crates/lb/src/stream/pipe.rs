//! Two ends joined in memory, on one thread: the engine serves one as if it were a client's connection; whoever holds
//! the other speaks for the client, as HTTP/2 does for each of its streams.
//!
//! ```text
//!   Far::push ──► up ──► Pipe::poll_read      the client's request
//!   Far::read ◄── down ◄── Pipe::send         its answer
//! ```
//! What is on the way is bounded: [`Far::push`] takes no more than there is room for; what the engine sends is taken
//! whole, but it sends no more until less than [`ROOM`] bytes wait (`Pipe::is_flushed`).

#![cfg_attr(not(test), allow(dead_code, reason = "HTTP/2 will hold the far end"))]

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Bytes that may wait in each direction before the writer must.
pub(crate) const ROOM: usize = 64 * 1024;

/// The engine's end.
#[derive(Debug)]
pub(crate) struct Pipe(Rc<RefCell<Both>>);

/// The other end: it speaks for the client.
#[derive(Debug)]
pub(crate) struct Far(Rc<RefCell<Both>>);

/// What the far end sees of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Bytes are there.
    Bytes,
    /// The engine has closed in order: all was sent and read.
    Ended,
    /// The engine gave up: what was sent is not complete.
    Reset,
}

/// How a direction was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    Reset,
}

#[derive(Debug, Default)]
struct Both {
    up: Way,
    down: Way,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    bytes: Vec<u8>,
    start: usize,
    end: Option<End>,
    /// Who waits for bytes or the end.
    reader: Option<Waker>,
    /// Who waits for room.
    writer: Option<Waker>,
}

/// A new pair.
pub(crate) fn pair() -> (Pipe, Far) {
    let both = Rc::default();
    (Pipe(Rc::clone(&both)), Far(both))
}

impl Pipe {
    /// Reads; 0: the client has ended its side.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let up = &mut self.0.borrow_mut().up;
        if up.end == Some(End::Reset) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let count = up.waiting().len().min(buffer.len());
        if count > 0 {
            buffer[..count].copy_from_slice(&up.waiting()[..count]);
            up.consume(count);
        } else if up.end.is_none() {
            note(&mut up.reader, cx);
            return Poll::Pending;
        }
        Poll::Ready(Ok(count))
    }

    /// Sends the parts; they are taken whole.
    pub(super) fn send(&mut self, parts: [&[u8]; 2]) -> io::Result<()> {
        let Both { up, down } = &mut *self.0.borrow_mut();
        if up.end == Some(End::Reset) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        for part in parts {
            down.push(part);
        }
        Ok(())
    }

    /// Whether there is room for more.
    pub(super) fn is_flushed(&self) -> bool {
        self.0.borrow().down.waiting().len() < ROOM
    }

    /// Waits for room.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Both { up, down } = &mut *self.0.borrow_mut();
        if up.end == Some(End::Reset) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if down.waiting().len() < ROOM {
            return Poll::Ready(Ok(()));
        }
        note(&mut down.writer, cx);
        Poll::Pending
    }

    /// Whether the client has sent what was not read.
    pub(super) fn has_bytes(&self) -> bool {
        !self.0.borrow().up.waiting().is_empty()
    }

    /// All was sent.
    pub(super) fn end(&mut self) {
        self.0.borrow_mut().down.end(End::Complete);
    }

    /// Gives up.
    pub(super) fn reset(self) {
        self.0.borrow_mut().down.end(End::Reset);
    }
}

impl Drop for Pipe {
    /// Without a word before, it has given up.
    fn drop(&mut self) {
        let Both { up, down } = &mut *self.0.borrow_mut();
        down.end(End::Reset);
        // Nobody will read it.
        (up.bytes, up.start) = (Vec::new(), 0);
        wake(&mut up.writer);
    }
}

impl Far {
    /// Takes as many bytes for the engine as there is room for; returns how many. After the engine's end is gone they
    /// are thrown away.
    pub(crate) fn push(&self, bytes: &[u8]) -> usize {
        let both = &mut *self.0.borrow_mut();
        if both.down.end.is_some() {
            return bytes.len();
        }
        let count = ROOM.saturating_sub(both.up.waiting().len()).min(bytes.len());
        both.up.push(&bytes[..count]);
        count
    }

    /// How many of them the engine has not read yet; wakes when it reads.
    pub(crate) fn unread(&self, cx: &mut Context<'_>) -> usize {
        let Both { up, down } = &mut *self.0.borrow_mut();
        if down.end.is_some() {
            return 0;
        }
        note(&mut up.writer, cx);
        up.waiting().len()
    }

    /// The client has sent all that it will.
    pub(crate) fn end(&self) {
        self.0.borrow_mut().up.end(End::Complete);
    }

    /// The client is gone: reading and sending fail at the engine's end.
    pub(crate) fn reset(&self) {
        let Both { up, down } = &mut *self.0.borrow_mut();
        // Though it may have ended in order before.
        up.end = Some(End::Reset);
        wake(&mut up.reader);
        wake(&mut down.writer);
    }

    /// Waits for something of the answer.
    pub(crate) fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Answer> {
        let down = &mut self.0.borrow_mut().down;
        match down.end {
            Some(End::Reset) => Poll::Ready(Answer::Reset),
            Some(End::Complete) | None if !down.waiting().is_empty() => Poll::Ready(Answer::Bytes),
            Some(End::Complete) => Poll::Ready(Answer::Ended),
            None => {
                note(&mut down.reader, cx);
                Poll::Pending
            }
        }
    }

    /// Shows the waiting bytes of the answer to `take`, which returns how many of them it has used.
    pub(crate) fn read<R>(&self, take: impl FnOnce(&[u8]) -> (usize, R)) -> R {
        let down = &mut self.0.borrow_mut().down;
        let (count, result) = take(down.waiting());
        down.consume(count);
        result
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.reset();
    }
}

impl Way {
    fn waiting(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.start >= ROOM {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
        wake(&mut self.reader);
    }

    fn consume(&mut self, count: usize) {
        const KEEP: usize = 4096;
        self.start = (self.start + count).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.start = 0;
            self.bytes.clear();
            if self.bytes.capacity() > KEEP {
                self.bytes = Vec::new();
            }
        }
        wake(&mut self.writer);
    }

    /// The first word counts.
    fn end(&mut self, end: End) {
        if self.end.is_none() {
            self.end = Some(end);
            wake(&mut self.reader);
        }
    }
}

fn note(place: &mut Option<Waker>, cx: &Context<'_>) {
    if !place.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
        *place = Some(cx.waker().clone());
    }
}

fn wake(place: &mut Option<Waker>) {
    if let Some(waker) = place.take() {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn what_one_end_sends_the_other_reads() {
        let (mut pipe, far) = pair();
        assert_eq!(far.push(b"GET /"), 5);
        assert_eq!(poll_fn(|cx| Poll::Ready(far.unread(cx))).await, 5);
        let mut buffer = [0; 16];
        let count = poll_fn(|cx| pipe.poll_read(cx, &mut buffer)).await.unwrap();
        assert_eq!(&buffer[..count], b"GET /");
        far.end();
        assert_eq!(poll_fn(|cx| pipe.poll_read(cx, &mut buffer)).await.unwrap(), 0);
        pipe.send([b"200 ", b"OK"]).unwrap();
        pipe.end();
        assert_eq!(poll_fn(|cx| far.poll_answer(cx)).await, Answer::Bytes);
        assert_eq!(far.read(|bytes| (4, bytes.to_vec())), b"200 OK");
        assert_eq!(far.read(|bytes| (bytes.len(), bytes.to_vec())), b"OK");
        assert_eq!(poll_fn(|cx| far.poll_answer(cx)).await, Answer::Ended);
    }

    #[tokio::test]
    async fn both_directions_are_bounded() {
        let (mut pipe, far) = pair();
        let much = vec![0; 2 * ROOM];
        assert_eq!(far.push(&much), ROOM);
        assert_eq!(far.push(&much), 0);
        pipe.send([&much, &[]]).unwrap();
        assert!(!pipe.is_flushed());
        let waits = poll_fn(|cx| Poll::Ready(pipe.poll_flush(cx).is_pending())).await;
        assert!(waits, "there is no room");
        far.read(|bytes| (bytes.len(), ()));
        assert!(pipe.is_flushed());
    }

    #[tokio::test]
    async fn who_leaves_is_noticed_at_the_other_end() {
        let (mut pipe, far) = pair();
        far.end();
        far.reset();
        assert!(poll_fn(|cx| pipe.poll_read(cx, &mut [0])).await.is_err());
        assert!(pipe.send([b"a", b""]).is_err());
        let (pipe, far) = pair();
        drop(pipe);
        assert_eq!(poll_fn(|cx| far.poll_answer(cx)).await, Answer::Reset);
        assert_eq!(far.push(b"thrown away"), 11);
    }
}
