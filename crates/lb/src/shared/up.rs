//! The way up: the body that the engine writes becomes DATA and trailers.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use h2::SendStream;

use super::head;
use crate::http::body::Body;

/// What a request's body becomes.
#[derive(Debug)]
pub(super) struct Up {
    send: SendStream<Bytes>,
    body: Body,
    queue: VecDeque<Bytes>,
    /// Lines of trailer fields.
    trailers: Vec<u8>,
    /// Whether the stream's end was sent, or will not be.
    ended: bool,
}

impl Up {
    /// `ended`: the head was all.
    pub(super) fn new(send: SendStream<Bytes>, body: Body, ended: bool) -> Self {
        Self { send, body, queue: VecDeque::new(), trailers: Vec::new(), ended }
    }

    /// Takes bytes as the engine writes them, and sends what there is room for.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.ended && !bytes.is_empty() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let wrong = |_| io::Error::from(io::ErrorKind::InvalidData);
        let Self { queue, body, trailers, .. } = self;
        let mut push = |data: &[u8]| {
            if !data.is_empty() {
                queue.push_back(Bytes::copy_from_slice(data));
            }
        };
        match body {
            Body::Chunked(chunked) => {
                let fed = chunked.feed_all(bytes, push).map_err(wrong)?;
                trailers.extend_from_slice(bytes.get(fed.trailers).unwrap_or_default());
            }
            Body::Length(_) | Body::UntilClose => {
                let count = body.take(bytes).map_err(wrong)?;
                push(bytes.get(..count).unwrap_or_default());
            }
        }
        match self.poll_send(None) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }

    /// The engine has written all that it will.
    pub(super) fn end(&mut self) {
        if self.body == Body::UntilClose {
            self.body = Body::NONE;
            let _ = self.poll_send(None);
        }
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.queue.is_empty() && (self.ended || !self.body.is_done())
    }

    pub(super) fn unsent(&self) -> usize {
        self.queue.iter().map(Bytes::len).sum()
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(Some(cx))
    }

    /// Sends nothing more.
    pub(super) fn discard(&mut self) {
        self.queue.clear();
        self.ended = true;
    }

    /// Sends as far as the server lets us; ready when all is sent. Without `cx` it is not waited for.
    fn poll_send(&mut self, mut cx: Option<&mut Context<'_>>) -> Poll<io::Result<()>> {
        let broken = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        while let Some(piece) = self.queue.front_mut() {
            if self.send.capacity() == 0 {
                self.send.reserve_capacity(piece.len());
            }
            while self.send.capacity() == 0 {
                let Some(cx) = &mut cx else { return Poll::Pending };
                match self.send.poll_capacity(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(_)) | None) => {
                        return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                    }
                }
            }
            let part = piece.split_to(self.send.capacity().min(piece.len()));
            if !piece.has_remaining() {
                self.queue.pop_front();
            }
            let last = self.queue.is_empty() && self.body.is_done() && self.trailers.is_empty();
            self.send.send_data(part, last).map_err(broken)?;
            self.ended |= last;
        }
        if self.ended || !self.body.is_done() {
            return Poll::Ready(Ok(()));
        }
        self.ended = true;
        let trailers = head::trailers(&std::mem::take(&mut self.trailers)).filter(|map| !map.is_empty());
        Poll::Ready(match trailers {
            Some(trailers) => self.send.send_trailers(trailers).map_err(broken),
            None => self.send.send_data(Bytes::new(), true).map_err(broken),
        })
    }
}
