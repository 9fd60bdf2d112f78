//! The way up: DATA and trailers of a stream become the body that the engine reads.

use std::future::poll_fn;
use std::io::Write;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use h2::RecvStream;
use http::HeaderMap;

use super::head;
use crate::stream::pipe::Far;

/// What a chunk's size line and its end may take.
const CHUNK_EXTRA: usize = 24;

/// Most bytes that are read after the answer.
const LINGER_BYTES: usize = 1024 * 1024;

/// A request's body.
#[derive(Debug)]
pub(super) struct Upload {
    body: RecvStream,
    chunked: bool,
    /// Read, and not given to the engine yet.
    rest: Bytes,
    stage: Stage,
    /// Whether nothing is given to the engine yet: what follows a handshake that may be refused is no request.
    held: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Data,
    Trailers,
    Done,
}

/// The client has reset the stream, or its connection broke, or what it sent is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

impl Upload {
    pub(super) fn new(body: RecvStream, chunked: bool, held: bool, far: &Far) -> Self {
        let stage = if body.is_end_stream() {
            far.end();
            Stage::Done
        } else {
            Stage::Data
        };
        Self { body, chunked, rest: Bytes::new(), stage, held }
    }

    /// Gives the engine what it has room for; whether something was moved.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, far: &Far) -> Result<bool, Gone> {
        let mut moved = false;
        if self.held {
            return Ok(moved);
        }
        loop {
            if !self.rest.is_empty() {
                let count = far.room().saturating_sub(CHUNK_EXTRA).min(self.rest.len());
                if count == 0 {
                    return Ok(moved);
                }
                self.give(count, far);
                moved = true;
                continue;
            }
            match self.stage {
                Stage::Data => match self.body.poll_data(cx) {
                    Poll::Pending => return Ok(moved),
                    Poll::Ready(Some(Ok(data))) => self.rest = data,
                    Poll::Ready(Some(Err(_))) => return Err(Gone),
                    Poll::Ready(None) => self.stage = Stage::Trailers,
                },
                Stage::Trailers => {
                    let trailers = match self.body.poll_trailers(cx) {
                        Poll::Pending => return Ok(moved),
                        Poll::Ready(Ok(trailers)) => trailers,
                        Poll::Ready(Err(_)) => return Err(Gone),
                    };
                    if self.chunked {
                        far.push(&last_chunk(trailers.as_ref())?);
                    }
                    far.end();
                    self.stage = Stage::Done;
                    moved = true;
                }
                Stage::Done => return Ok(moved),
            }
        }
    }

    /// From now on the engine gets what comes; whether that is new.
    pub(super) fn release(&mut self) -> bool {
        std::mem::replace(&mut self.held, false)
    }

    /// Reads what the client still sends though its answer is complete, and throws it away: a stream that is reset at once
    /// (RFC 9113 section 8.1) makes some clients lose the answer. Ends with the body, or after [`LINGER_BYTES`].
    pub(super) async fn drain(&mut self) {
        let mut left = LINGER_BYTES;
        while self.stage == Stage::Data {
            match poll_fn(|cx| self.body.poll_data(cx)).await {
                Some(Ok(data)) if data.len() < left => {
                    left -= data.len();
                    let _ = self.body.flow_control().release_capacity(data.len());
                }
                Some(Ok(_) | Err(_)) | None => return,
            }
        }
    }

    fn give(&mut self, count: usize, far: &Far) {
        let data = self.rest.get(..count).unwrap_or_default();
        if self.chunked {
            let mut size = [0; CHUNK_EXTRA];
            let mut line = &mut size[..];
            // 16 digits and a line's end have room.
            let _ = write!(line, "{count:x}\r\n");
            let left = line.len();
            far.push(&size[..CHUNK_EXTRA - left]);
            far.push(data);
            far.push(b"\r\n");
        } else {
            far.push(data);
        }
        self.rest.advance(count);
        // The client may send as much again. An error means that its stream is gone, which the next call tells.
        let _ = self.body.flow_control().release_capacity(count);
    }
}

/// The last chunk with its trailer section (RFC 9112 section 7.1.2).
fn last_chunk(trailers: Option<&HeaderMap>) -> Result<Vec<u8>, Gone> {
    let mut out = b"0\r\n".to_vec();
    for (name, value) in trailers.into_iter().flatten() {
        let value = head::plain(value).map_err(|_| Gone)?;
        for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(out)
}
