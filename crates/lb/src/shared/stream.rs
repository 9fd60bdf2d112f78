//! One request on a shared connection, as the engine sees it: a connection to a server.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::down::Down;
use super::head::{self, Asked};
use super::link::Link;
use super::up::Up;
use crate::http::body::Body;
use crate::stream::ServerStream;

/// Most bytes of a body that are kept for another attempt.
const MOST_KEPT: usize = 64 * 1024;

/// A stream, or the place of one that begins with the head.
#[derive(Debug)]
pub(crate) struct Stream<S = ServerStream> {
    link: Rc<Link<S>>,
    /// The request's body so far, as the engine wrote it; `None`: it was too large.
    body: Option<Vec<u8>>,
    both: Option<(Up, Down)>,
}

impl<S> Stream<S> {
    /// Takes a place on a connection.
    pub(super) fn new(link: Rc<Link<S>>) -> Self {
        link.enter();
        Self { link, body: Some(Vec::new()), both: None }
    }

    /// The body that was sent, if the server has said that it has not processed the request.
    pub(crate) fn take_unprocessed(&mut self) -> Option<Vec<u8>> {
        let (_, down) = self.both.as_ref()?;
        if down.is_unprocessed() { self.body.take() } else { None }
    }

    /// The server is too slow, or broke off: others shall not meet the same on this connection.
    pub(crate) fn retire(&self) {
        self.link.retire();
    }

    /// Sends the parts; the first begins with the whole head.
    pub(crate) fn send(&mut self, parts: [&[u8]; 2]) -> io::Result<()> {
        let [mut first, second] = parts;
        if self.both.is_none() {
            let Asked { request, shape, length } = head::read(first, self.link.is_secure(), self.link.at())?;
            let ended = shape.body == Body::NONE;
            let body = shape.body;
            let (answer, send) = self.link.begin(request, ended)?;
            self.both = Some((Up::new(send, body, ended), Down::new(answer, shape)));
            first = first.get(length..).unwrap_or_default();
        }
        let Some((up, down)) = &mut self.both else { return Ok(()) };
        for part in [first, second] {
            match &mut self.body {
                Some(body) if body.len() + part.len() <= MOST_KEPT && down.is_silent() => {
                    body.extend_from_slice(part);
                }
                Some(_) | None => self.body = None,
            }
            up.take(part)?;
        }
        Ok(())
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.both.as_ref().is_none_or(|(up, _)| up.is_flushed())
    }

    pub(crate) fn unsent(&self) -> usize {
        self.both.as_ref().map_or(0, |(up, _)| up.unsent())
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.both.as_mut().map_or(Poll::Ready(Ok(())), |(up, _)| up.poll_flush(cx))
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.both.as_mut().map_or(Poll::Pending, |(_, down)| down.poll_read(cx, buffer))
    }

    /// Ends this side.
    pub(crate) fn end(&mut self) {
        if let Some((up, _)) = &mut self.both {
            up.end();
        }
    }

    /// Throws away what was not sent.
    pub(crate) fn discard(&mut self) {
        if let Some((up, _)) = &mut self.both {
            up.discard();
        }
    }
}

impl<S> Drop for Stream<S> {
    fn drop(&mut self) {
        // What is not complete is reset.
        if let Some((_, down)) = self.both.take()
            && let Some(body) = down.into_unended()
        {
            self.link.linger(body);
        }
        self.link.leave();
    }
}
