//! A socket with TLS around it (RFC 8446, RFC 5246), for both sides of the balancer.
//!
//! rustls is used in its unbuffered form: what the kernel has goes by one system call into a buffer that all connections
//! of a thread share, and from there, decrypted, to the caller; what is sent is encrypted into another one and written
//! by one system call. A connection owns memory only for a record that has come in part.
//!
//! An end of the socket without the word that TLS has for it (close_notify) is an error: somebody may have cut off the
//! rest (RFC 8446 section 6.1).

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::task::{Context, Poll, ready};

use rustls::CommonState;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    AppDataRecord, ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus, WriteTraffic,
};

use super::outbox::Outbox;
use super::socket::{self, Socket};

/// Bytes that are read at a time.
const READ: usize = 128 * 1024;
/// The largest record, with its overhead (RFC 5246 section 6.2.3).
const RECORD: usize = 5 + 16 * 1024 + 2048;
/// Most bytes of messages that did not come to their end: rustls allows 64 KiB for a handshake message, in records of
/// at most 16 KiB with their overhead.
const MOST_REST: usize = 96 * 1024;
/// Bytes that are kept for the next record without asking for memory again.
const KEEP: usize = 4096;

thread_local! {
    /// What was read, still encrypted.
    static INCOMING: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ + MOST_REST].into());
    /// What will be sent, encrypted.
    static OUTGOING: RefCell<Outgoing> = RefCell::new(Outgoing { bytes: vec![0; READ], used: 0 });
}

/// One side of TLS.
pub(super) trait Side {
    /// What rustls keeps for it.
    type Data;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn common(&self) -> &CommonState;
}

/// TLS over a socket.
pub(super) struct Secure<E, S> {
    engine: E,
    socket: S,
    /// Encrypted bytes that the kernel has not taken yet.
    out: Outbox,
    /// Encrypted bytes of a message that has not come to its end.
    rest: Vec<u8>,
    /// What was decrypted before anybody asked for it.
    early: Vec<u8>,
    /// Encrypted bytes that can wait for the next ones: session tickets.
    held: Vec<u8>,
    /// The peer has said that it will send no more.
    peer_ended: bool,
    /// We have.
    ended: bool,
    /// Nothing can be read or sent any more.
    broken: bool,
}

impl<E: Side, S: Socket> Secure<E, S> {
    pub(super) fn new(engine: E, socket: S) -> Self {
        Self {
            engine,
            socket,
            out: Outbox::default(),
            rest: Vec::new(),
            early: Vec::new(),
            held: Vec::new(),
            peer_ended: false,
            ended: false,
            broken: false,
        }
    }

    /// What was agreed on.
    pub(super) fn common(&self) -> &CommonState {
        self.engine.common()
    }

    pub(super) fn socket(&self) -> &S {
        &self.socket
    }

    pub(super) fn into_socket(self) -> S {
        self.socket
    }

    /// Takes bytes that were read before there was TLS.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(bytes);
        self.process(&mut rest, &mut []).map(drop)
    }

    /// Goes on with the handshake, which [`Secure::feed`] has begun.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(cx))?;
            if !self.common().is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_receive(cx, READ, &mut []))?;
        }
    }

    /// Reads what was decrypted; 0: the peer has ended its side.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if !self.early.is_empty() {
                let count = self.early.len().min(buffer.len());
                buffer[..count].copy_from_slice(&self.early[..count]);
                self.early.drain(..count);
                if self.early.is_empty() {
                    self.early = Vec::new();
                }
                return Poll::Ready(Ok(count));
            }
            if self.peer_ended {
                return Poll::Ready(Ok(0));
            }
            let count = ready!(self.poll_receive(cx, READ, buffer))?;
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
        }
    }

    /// Ready when the peer has ended its side, and nothing that it sent waits before that. What it sends meanwhile is kept, a
    /// record of it at most: whoever waits for more is not looked at again.
    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.early.is_empty() {
            if self.peer_ended || ready!(self.poll_receive(cx, RECORD, &mut [])).is_err() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Encrypts and sends; keeps what the kernel does not take. `last`: says that it was all.
    pub(super) fn send(&mut self, parts: [&[u8]; 2], last: bool) -> io::Result<()> {
        self.ensure_whole()?;
        OUTGOING.with_borrow_mut(|outgoing| {
            outgoing.begin(&mut self.held);
            for part in parts.into_iter().filter(|part| !part.is_empty()) {
                self.encrypt(outgoing, |traffic, space| traffic.encrypt(part, space))?;
            }
            if last && !self.ended {
                self.ended = true;
                self.encrypt(outgoing, |traffic, space| traffic.queue_close_notify(space))?;
            }
            self.out.send(self.socket.fd()?, [outgoing.filled(), &[]], last)
        })
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }

    pub(super) fn unsent(&self) -> usize {
        self.out.len()
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.out.poll_flush(self.socket.ready()?, cx)
    }

    /// Throws away what was not sent; nothing can be sent any more.
    pub(super) fn discard(&mut self) {
        self.out = Outbox::default();
        self.ended = true;
    }

    /// Says that nothing more will be sent, as far as the kernel takes it at once.
    pub(super) fn say_end(&mut self) {
        if !self.ended && !self.common().is_handshaking() {
            // Who is gone needs no word.
            let _ = self.send([&[], &[]], true);
        }
    }

    /// Whether there are bytes to read just now. Takes one of them, so that nothing can be read any more.
    pub(super) fn has_bytes(&mut self) -> bool {
        if !self.early.is_empty() || !self.rest.is_empty() {
            return true;
        }
        matches!(self.socket.fd().and_then(|fd| socket::read_now(&fd, &mut [0])), Ok(Some(1..)))
    }

    /// The same; takes nothing.
    pub(super) fn has_unread(&self) -> bool {
        !self.early.is_empty()
            || !self.rest.is_empty()
            || matches!(self.socket.fd().and_then(|fd| socket::peek_now(&fd)), Ok(Some(1..)))
    }

    /// Whether an idle connection can still be used. `read` gets what the kernel has, `None`: nothing.
    pub(super) fn is_fresh(
        &mut self,
        read: impl FnOnce(&mut S, &mut [u8]) -> io::Result<Option<usize>>,
    ) -> bool {
        if self.broken || self.peer_ended || !self.early.is_empty() {
            return false;
        }
        let got = INCOMING.with_borrow_mut(|incoming| {
            let kept = self.take_rest(incoming);
            let space = incoming.get_mut(kept..).unwrap_or_default();
            match read(&mut self.socket, space) {
                Ok(Some(count @ 1..)) => {
                    self.process(incoming.get_mut(..kept + count).unwrap_or_default(), &mut [])
                }
                Ok(None) => {
                    self.keep_rest(incoming.get(..kept).unwrap_or_default());
                    Ok(0)
                }
                Ok(Some(_)) => Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) => Err(error),
            }
        });
        // Session tickets and new keys are fine; data is not.
        got.is_ok() && !self.peer_ended && self.early.is_empty()
    }

    /// Receives once, `most` encrypted bytes; returns how many bytes for the caller there are in `buffer`. What does not fit
    /// goes to `early`.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.ensure_whole()?;
        INCOMING.with_borrow_mut(|incoming| {
            let kept = self.rest.len();
            let end = incoming.len().min(kept.saturating_add(most));
            let read = self.socket.poll_read(cx, incoming.get_mut(kept..end).unwrap_or_default());
            let count = match ready!(read) {
                Ok(count @ 1..) => count,
                Ok(0) => return Poll::Ready(Err(self.fail(io::ErrorKind::UnexpectedEof.into()))),
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            };
            self.take_rest(incoming);
            Poll::Ready(self.process(incoming.get_mut(..kept + count).unwrap_or_default(), buffer))
        })
    }

    /// Processes encrypted bytes; what cannot be used yet is kept.
    fn process(&mut self, incoming: &mut [u8], buffer: &mut [u8]) -> io::Result<usize> {
        let (mut from, mut filled) = (0, 0);
        let result = OUTGOING.with_borrow_mut(|outgoing| {
            outgoing.begin(&mut self.held);
            let mut result = Ok(());
            loop {
                let UnbufferedStatus { mut discard, state } =
                    self.engine.process(incoming.get_mut(from..).unwrap_or_default());
                let goes_on = match state {
                    Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                        while let Some(record) = traffic.next_record() {
                            let AppDataRecord { discard: more, payload } = record.map_err(refused)?;
                            discard += more;
                            let space = buffer.get_mut(filled..).unwrap_or_default();
                            let fits = if self.early.is_empty() { payload.len().min(space.len()) } else { 0 };
                            let (now, later) = payload.split_at(fits);
                            space[..fits].copy_from_slice(now);
                            filled += fits;
                            self.early.extend_from_slice(later);
                        }
                        true
                    }
                    Ok(ConnectionState::EncodeTlsData(message)) => {
                        outgoing.encode(message)?;
                        result.is_ok() || self.common().wants_write()
                    }
                    Ok(ConnectionState::TransmitTlsData(message)) => {
                        message.done();
                        true
                    }
                    Ok(ConnectionState::PeerClosed) => {
                        self.peer_ended = true;
                        true
                    }
                    Ok(ConnectionState::Closed) => {
                        self.peer_ended = true;
                        false
                    }
                    Ok(ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake) => false,
                    Err(error) => {
                        result = Err(refused(error));
                        // The alert is told, and nothing is looked at once more: it would only lead to the same.
                        self.common().wants_write()
                    }
                    // Data before the handshake's end: nobody was told that we take it.
                    Ok(_) => {
                        result = Err(io::ErrorKind::InvalidData.into());
                        false
                    }
                };
                from += discard;
                if !goes_on {
                    break;
                }
            }
            if filled > 0 && result.is_ok() {
                // An answer will follow soon, and takes it along.
                self.held.extend_from_slice(outgoing.filled());
            } else if !outgoing.filled().is_empty() {
                self.out.send(self.socket.fd()?, [outgoing.filled(), &[]], false)?;
            }
            result.map(|()| filled)
        });
        self.keep_rest(incoming.get(from..).unwrap_or_default());
        self.broken |= result.is_err() || self.rest.len() > MOST_REST;
        if result.is_ok() {
            self.ensure_whole()?;
        }
        result
    }

    /// Encrypts something behind what is there.
    fn encrypt(
        &mut self,
        outgoing: &mut Outgoing,
        mut encrypt: impl FnMut(&mut WriteTraffic<'_, E::Data>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        // A message that has come in part stands in the rest, and is looked at again.
        let mut rest = std::mem::take(&mut self.rest);
        let mut from = 0;
        let result = loop {
            let UnbufferedStatus { discard, state } =
                self.engine.process(rest.get_mut(from..).unwrap_or_default());
            from += discard;
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    break outgoing.write(|space| match encrypt(&mut traffic, space) {
                        Ok(count) => Ok(count),
                        Err(EncryptError::InsufficientSize(size)) => Err(Some(size)),
                        Err(EncryptError::EncryptExhausted) => Err(None),
                    });
                }
                Ok(ConnectionState::EncodeTlsData(message)) => {
                    let written = outgoing.encode(message);
                    if written.is_err() {
                        break written;
                    }
                }
                Ok(ConnectionState::TransmitTlsData(message)) => message.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_ended = true,
                Ok(_) => break Err(io::ErrorKind::NotConnected.into()),
                Err(error) => break Err(refused(error)),
            }
        };
        rest.drain(..from.min(rest.len()));
        self.rest = rest;
        self.broken |= result.is_err();
        result
    }

    /// Notes that this is the end of all.
    fn fail(&mut self, error: io::Error) -> io::Error {
        self.broken = true;
        error
    }

    fn ensure_whole(&self) -> io::Result<()> {
        if self.broken { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    /// Puts the rest before what will be read; returns its length.
    fn take_rest(&mut self, incoming: &mut [u8]) -> usize {
        let kept = self.rest.len();
        if let Some(start) = incoming.get_mut(..kept) {
            start.copy_from_slice(&self.rest);
        }
        self.rest.clear();
        kept
    }

    fn keep_rest(&mut self, rest: &[u8]) {
        self.rest.clear();
        if rest.is_empty() && self.rest.capacity() > KEEP {
            self.rest = Vec::new();
        }
        self.rest.extend_from_slice(rest);
    }
}

impl<E, S: fmt::Debug> fmt::Debug for Secure<E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure").field("socket", &self.socket).field("out", &self.out).finish_non_exhaustive()
    }
}

/// Encrypted bytes on their way. The space behind them keeps what it had: nothing is cleared for each use.
struct Outgoing {
    bytes: Vec<u8>,
    used: usize,
}

impl Outgoing {
    /// Begins with these.
    fn begin(&mut self, held: &mut Vec<u8>) {
        self.used = 0;
        if !held.is_empty() {
            let held = std::mem::take(held);
            self.grow(held.len());
            self.bytes[..held.len()].copy_from_slice(&held);
            self.used = held.len();
        }
    }

    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }

    fn grow(&mut self, needed: usize) {
        if self.bytes.len() < self.used + needed {
            self.bytes.resize(self.used + needed, 0);
        }
    }

    /// Writes a message of the handshake, or an alert.
    fn encode<D>(&mut self, mut message: EncodeTlsData<'_, D>) -> io::Result<()> {
        self.write(|space| match message.encode(space) {
            Ok(count) => Ok(count),
            Err(EncodeError::InsufficientSize(size)) => Err(Some(size)),
            Err(EncodeError::AlreadyEncoded) => Err(None),
        })
    }

    /// Lets `write` write; if it says how much space it needs, once more with that.
    fn write(
        &mut self,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
    ) -> io::Result<()> {
        loop {
            match write(self.bytes.get_mut(self.used..).unwrap_or_default()) {
                Ok(count) => {
                    self.used += count;
                    return Ok(());
                }
                Err(Some(InsufficientSizeError { required_size }))
                    if required_size > self.bytes.len() - self.used =>
                {
                    self.grow(required_size);
                }
                Err(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }
}

/// What rustls does not like, as an error of input.
fn refused(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }
}
