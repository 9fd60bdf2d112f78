//! The way down: HEADERS and DATA of an answer become the bytes that the engine reads from a server.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};

use super::head::{self, Shape};
use crate::http::body::Body;

/// An answer.
#[derive(Debug)]
pub(super) struct Down {
    stage: Stage,
    shape: Shape,
    /// To be read.
    queue: VecDeque<Bytes>,
    /// Whether the server has said that it has not processed the request.
    unprocessed: bool,
    /// Whether anything has come.
    heard: bool,
}

#[derive(Debug)]
enum Stage {
    Head(ResponseFuture),
    Data(RecvStream, Body),
    Trailers(RecvStream),
    Done,
}

impl Down {
    pub(super) fn new(answer: ResponseFuture, shape: Shape) -> Self {
        Self { stage: Stage::Head(answer), shape, queue: VecDeque::new(), unprocessed: false, heard: false }
    }

    /// Whether the request may be sent again, whatever it is.
    pub(super) fn is_unprocessed(&self) -> bool {
        self.unprocessed && !self.heard
    }

    /// Whether nothing has come yet.
    pub(super) fn is_silent(&self) -> bool {
        !self.heard
    }

    /// The stream of an answer that is complete, though its end has not come.
    pub(super) fn into_unended(self) -> Option<RecvStream> {
        match self.stage {
            Stage::Data(body, Body::Length(0)) if !body.is_end_stream() => Some(body),
            Stage::Head(_) | Stage::Data(..) | Stage::Trailers(_) | Stage::Done => None,
        }
    }

    /// Reads; 0: the answer has ended.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            if let Some(piece) = self.queue.front_mut() {
                let count = piece.len().min(rest.len());
                rest[..count].copy_from_slice(&piece[..count]);
                piece.advance(count);
                filled += count;
                if piece.is_empty() {
                    self.queue.pop_front();
                }
                continue;
            }
            match self.poll_more(cx) {
                Poll::Ready(Ok(true)) => {}
                // What is there comes first.
                Poll::Ready(Ok(false)) | Poll::Pending if filled > 0 => break,
                Poll::Ready(Err(_)) if filled > 0 => break,
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(0)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(filled))
    }

    /// Gets more into the queue; `false`: there is no more.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match &mut self.stage {
            Stage::Head(answer) => {
                let mut out = Vec::with_capacity(512);
                match answer.poll_informational(cx) {
                    Poll::Ready(Some(Ok(interim))) => {
                        self.heard = true;
                        head::write(&interim, true, &self.shape, &mut out);
                        self.queue.push_back(out.into());
                        return Poll::Ready(Ok(true));
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.note(&error))),
                    Poll::Ready(None) | Poll::Pending => {}
                }
                let (parts, body) = match Pin::new(answer).poll(cx) {
                    Poll::Ready(Ok(answer)) => answer.into_parts(),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(self.note(&error))),
                    Poll::Pending => return Poll::Pending,
                };
                self.heard = true;
                let answer = http::Response::from_parts(parts, ());
                if answer.status().is_informational() {
                    // RFC 9113 section 8.6: there is no 101.
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                let ended = body.is_end_stream();
                let left = head::write(&answer, ended, &self.shape, &mut out);
                self.queue.push_back(out.into());
                self.stage = if ended { Stage::Done } else { Stage::Data(body, left) };
                Poll::Ready(Ok(true))
            }
            Stage::Data(body, left) => match body.poll_data(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Ok(mut data))) => {
                    // The engine reads when its client has taken what came before. An error is told by the next call.
                    let _ = body.flow_control().release_capacity(data.len());
                    match left {
                        Body::Chunked(_) if data.is_empty() => {}
                        Body::Chunked(_) => {
                            self.queue.push_back(format!("{:x}\r\n", data.len()).into());
                            self.queue.push_back(data);
                            self.queue.push_back(Bytes::from_static(b"\r\n"));
                        }
                        Body::Length(length) => {
                            // What follows an answer that has no body is thrown away.
                            data.truncate(usize::try_from(*length).unwrap_or(usize::MAX));
                            *length -= data.len() as u64;
                            self.queue.push_back(data);
                        }
                        Body::UntilClose => self.queue.push_back(data),
                    }
                    self.queue.retain(|piece| !piece.is_empty());
                    Poll::Ready(Ok(true))
                }
                Poll::Ready(Some(Err(error))) => Poll::Ready(Err(self.note(&error))),
                Poll::Ready(None) => {
                    match std::mem::replace(&mut self.stage, Stage::Done) {
                        Stage::Data(body, Body::Chunked(_)) => self.stage = Stage::Trailers(body),
                        Stage::Data(..) | Stage::Head(_) | Stage::Trailers(_) | Stage::Done => {}
                    }
                    Poll::Ready(Ok(true))
                }
            },
            Stage::Trailers(body) => match body.poll_trailers(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(trailers)) => {
                    self.queue.push_back(head::last_chunk(trailers.as_ref()));
                    self.stage = Stage::Done;
                    Poll::Ready(Ok(true))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(self.note(&error))),
            },
            Stage::Done => Poll::Ready(Ok(false)),
        }
    }

    /// RFC 9113 section 8.7: what says that the request was not processed.
    fn note(&mut self, error: &h2::Error) -> io::Error {
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        // The crate tells this only of streams behind the last one that the server has processed.
        self.unprocessed = error.is_remote() && (refused || error.is_go_away());
        io::ErrorKind::ConnectionReset.into()
    }
}
