//! Two ends joined in memory: the engine serves one as if it were a client's connection; whoever holds the other speaks
//! for the client, as HTTP/2 does for each of its streams.
//!
//! ```text
//!   Far::push ──► up ──► Pipe::poll_read      the client's request
//!   Far::take ◄── down ◄── Pipe::send         its answer
//! ```
//! One task polls both ends in turn, so nobody is ever woken here: who moves something polls the other end again.
//! What is on the way is bounded: [`Far::room`] says how much may be pushed; what the engine sends is taken whole, but it
//! sends no more while [`ROOM`] bytes or more wait (`Pipe::is_flushed`).

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;

use crate::tls::Session;

/// Bytes that may wait in each direction before the writer must.
pub(crate) const ROOM: usize = 64 * 1024;

/// The same of an answer whose client lets too much wait on its connection already.
const LITTLE_ROOM: usize = 4096;

/// The engine's end.
#[derive(Debug)]
pub(crate) struct Pipe(Rc<RefCell<Both>>);

/// The other end: it speaks for the client.
#[derive(Debug)]
pub(crate) struct Far(Rc<RefCell<Both>>);

/// How a direction was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order: all was sent.
    Complete,
    /// What was sent is not complete.
    Reset,
}

#[derive(Debug, Default)]
struct Both {
    /// Of the connection that carries this one.
    session: Option<Rc<Session>>,
    up: Vec<u8>,
    /// How much of `up` the engine has read.
    read: usize,
    up_end: Option<End>,
    down: Vec<u8>,
    down_end: Option<End>,
    /// Whether there is little room for the answer.
    narrow: bool,
}

impl Both {
    /// How many bytes of the answer may wait.
    const fn most_down(&self) -> usize {
        if self.narrow { LITTLE_ROOM } else { ROOM }
    }
}

/// A new pair.
pub(crate) fn pair() -> (Pipe, Far) {
    let both = Rc::default();
    (Pipe(Rc::clone(&both)), Far(both))
}

impl Pipe {
    /// Notes the TLS session of the connection that carries it.
    pub(super) fn set_session(&self, session: Option<Rc<Session>>) {
        self.0.borrow_mut().session = session;
    }

    pub(super) fn session(&self) -> Option<Rc<Session>> {
        self.0.borrow().session.clone()
    }

    /// Reads; 0: the client has ended its side.
    pub(super) fn poll_read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let both = &mut *self.0.borrow_mut();
        if both.up_end == Some(End::Reset) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let waiting = both.up.get(both.read..).unwrap_or_default();
        let count = waiting.len().min(buffer.len());
        if count == 0 && both.up_end.is_none() {
            return Poll::Pending;
        }
        buffer[..count].copy_from_slice(&waiting[..count]);
        both.read += count;
        if both.read == both.up.len() {
            both.read = 0;
            both.up.clear();
        }
        Poll::Ready(Ok(count))
    }

    /// Sends the parts; they are taken whole.
    pub(super) fn send(&mut self, parts: [&[u8]; 2]) -> io::Result<()> {
        let both = &mut *self.0.borrow_mut();
        if both.up_end == Some(End::Reset) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        both.down.reserve(parts[0].len() + parts[1].len());
        for part in parts {
            both.down.extend_from_slice(part);
        }
        Ok(())
    }

    /// Whether there is room for more.
    pub(super) fn is_flushed(&self) -> bool {
        let both = self.0.borrow();
        both.down.len() < both.most_down()
    }

    /// Bytes of the answer that nobody has taken.
    pub(super) fn unsent(&self) -> usize {
        self.0.borrow().down.len()
    }

    /// How much of an answer should be sent next; at least a byte.
    pub(super) fn room_down(&self) -> usize {
        let both = self.0.borrow();
        both.most_down().saturating_sub(both.down.len()).max(1)
    }

    /// Waits for room.
    pub(super) fn poll_flush(&mut self) -> Poll<io::Result<()>> {
        if self.0.borrow().up_end == Some(End::Reset) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.is_flushed() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Whether the client has sent what was not read.
    pub(super) fn has_bytes(&self) -> bool {
        let both = self.0.borrow();
        both.read < both.up.len()
    }

    /// All was sent.
    pub(super) fn end(&mut self) {
        // The first word counts.
        self.0.borrow_mut().down_end.get_or_insert(End::Complete);
    }

    /// Gives up.
    pub(super) fn reset(self) {
        self.0.borrow_mut().down_end.get_or_insert(End::Reset);
    }
}

impl Drop for Pipe {
    /// Without a word before, it has given up.
    fn drop(&mut self) {
        let both = &mut *self.0.borrow_mut();
        both.down_end.get_or_insert(End::Reset);
        // Nobody will read it.
        (both.up, both.read) = (Vec::new(), 0);
    }
}

impl Far {
    /// How many bytes may be pushed.
    pub(crate) fn room(&self) -> usize {
        let both = self.0.borrow();
        ROOM.saturating_sub(both.up.len() - both.read)
    }

    /// Gives bytes to the engine. After its end is gone they are thrown away.
    pub(crate) fn push(&self, bytes: &[u8]) {
        let both = &mut *self.0.borrow_mut();
        if both.down_end.is_some() {
            return;
        }
        // Who reads slowly, but reads, must not make it grow.
        if both.read >= ROOM {
            both.up.drain(..both.read);
            both.read = 0;
        }
        both.up.extend_from_slice(bytes);
    }

    /// The client has sent all that it will.
    pub(crate) fn end(&self) {
        self.0.borrow_mut().up_end.get_or_insert(End::Complete);
    }

    /// Takes what waits of the answer; empty: nothing does.
    pub(crate) fn take(&self) -> Bytes {
        std::mem::take(&mut self.0.borrow_mut().down).into()
    }

    /// Bytes of the answer that wait to be taken.
    pub(crate) fn waiting(&self) -> usize {
        self.0.borrow().down.len()
    }

    /// From now on there is little room for the answer, or as much as usual.
    pub(crate) fn set_narrow(&self, narrow: bool) {
        self.0.borrow_mut().narrow = narrow;
    }

    /// How the answer has ended; what waits is still to be taken.
    pub(crate) fn answer_end(&self) -> Option<End> {
        self.0.borrow().down_end
    }
}

impl Drop for Far {
    /// The client is gone: reading and sending fail at the engine's end, though it may have ended in order before.
    fn drop(&mut self) {
        self.0.borrow_mut().up_end = Some(End::Reset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pipe: &mut Pipe) -> Poll<usize> {
        pipe.poll_read(&mut [0; 16]).map(|read| read.unwrap())
    }

    #[test]
    fn what_one_end_sends_the_other_reads() {
        let (mut pipe, far) = pair();
        assert_eq!(read(&mut pipe), Poll::Pending);
        far.push(b"GET /");
        far.end();
        assert_eq!(read(&mut pipe), Poll::Ready(5));
        assert_eq!(read(&mut pipe), Poll::Ready(0));
        pipe.send([b"200 ", b"OK"]).unwrap();
        pipe.end();
        assert_eq!((far.take().as_ref(), far.answer_end()), (&b"200 OK"[..], Some(End::Complete)));
        assert!(far.take().is_empty());
    }

    #[test]
    fn both_directions_are_bounded() {
        let (mut pipe, far) = pair();
        far.push(&vec![0; ROOM]);
        assert_eq!(far.room(), 0);
        assert_eq!(read(&mut pipe), Poll::Ready(16));
        assert_eq!(far.room(), 16);
        pipe.send([&vec![0; 2 * ROOM], &[]]).unwrap();
        assert!(!pipe.is_flushed() && pipe.poll_flush().is_pending());
        far.take();
        assert!(pipe.is_flushed() && pipe.poll_flush().is_ready());
    }

    #[test]
    fn an_answer_may_have_little_room() {
        let (mut pipe, far) = pair();
        assert_eq!(pipe.room_down(), ROOM);
        far.set_narrow(true);
        pipe.send([&[0; 4000], &[]]).unwrap();
        assert_eq!((pipe.room_down(), pipe.is_flushed(), far.waiting()), (96, true, 4000));
        pipe.send([&[0; 96], &[]]).unwrap();
        assert!(!pipe.is_flushed() && pipe.room_down() == 1);
        far.set_narrow(false);
        assert!(pipe.is_flushed());
    }

    #[test]
    fn a_slow_reader_does_not_make_it_grow() {
        let (mut pipe, far) = pair();
        for _ in 0..100_000 {
            far.push(&vec![0; far.room()]);
            assert_eq!(read(&mut pipe), Poll::Ready(16));
        }
        assert!(pipe.0.borrow().up.capacity() <= 4 * ROOM);
    }

    #[test]
    fn who_leaves_is_noticed_at_the_other_end() {
        let (mut pipe, far) = pair();
        far.end();
        drop(far);
        assert!(matches!(pipe.poll_read(&mut [0]), Poll::Ready(Err(_))));
        assert!(pipe.send([b"a", b""]).is_err());
        let (pipe, far) = pair();
        drop(pipe);
        assert_eq!(far.answer_end(), Some(End::Reset));
        far.push(b"thrown away");
        assert_eq!(far.room(), ROOM);
    }
}
