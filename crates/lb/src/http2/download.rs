//! The way down: the answer that the engine writes becomes HEADERS and DATA.
//!
//! Bodies are not copied: what the engine has sent is taken whole, and its pieces are handed on.

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::SEC_WEBSOCKET_ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::load::Load;
use super::queue::Queue;
use crate::http::body::Body;
use crate::http::fields::{Field, Fields};
use crate::http::request::Method;
use crate::http::response::Response;
use crate::http::trailers::may_trail;
use crate::stream::pipe::{End, Far};

/// An answer's head may be larger than what the server sent by what rules add.
const LARGEST_HEAD: usize = 1024 * 1024;

/// An answer.
#[derive(Debug)]
pub(super) struct Download {
    respond: SendResponse<Bytes>,
    method: Method,
    /// What a server answers that speaks WebSocket, where that is asked for.
    accept: Option<String>,
    /// Whether it has: bytes go both ways.
    open: bool,
    stage: Stage,
    /// Sent by the engine, and not understood yet.
    raw: Bytes,
    send: Option<SendStream<Bytes>>,
    /// To be sent as DATA.
    queue: Queue,
    /// Lines of trailer fields.
    trailers: Vec<u8>,
    /// Bytes of DATA so far.
    sent: u64,
    /// When it was told that the connection must be written first.
    asked: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Body(Body),
    /// All is in the queue.
    Complete,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The engine may have room, or the client, when this is polled again.
    Waiting,
    /// Something was taken from the engine: it may go on.
    Moved,
    /// All was given to the connection.
    Done,
    /// The client does not want it any more.
    Gone,
    /// The engine has not looked at the request: it may be sent again.
    Refused,
    /// It cannot be completed.
    Broken,
}

impl Download {
    pub(super) fn new(respond: SendResponse<Bytes>, method: Method, accept: Option<String>) -> Self {
        Self {
            respond,
            method,
            accept,
            open: false,
            stage: Stage::Head,
            raw: Bytes::new(),
            send: None,
            queue: Queue::default(),
            trailers: Vec::new(),
            sent: 0,
            asked: None,
        }
    }

    /// Whether bytes go both ways, as they are.
    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    /// Whether the client has reset the stream, or its connection is gone.
    pub(super) fn is_cancelled(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.send {
            Some(send) => send.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        }
        .is_ready()
    }

    /// Bytes that the client has let us send, while there are more that it does not; `None`: it owes us nothing.
    pub(super) fn owed(&self) -> Option<u64> {
        (!self.queue.is_empty()).then_some(self.sent)
    }

    /// Bytes that are held because some of them wait for the client.
    pub(super) const fn queued(&self) -> usize {
        self.queue.held()
    }

    /// Resets the stream.
    pub(super) fn reset(mut self, reason: Reason) {
        match &mut self.send {
            Some(send) => send.send_reset(reason),
            None => self.respond.send_reset(reason),
        }
    }

    /// Sends what there is and what the client has room for.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, far: &Far, load: &Load, fields: &mut Fields) -> Step {
        let mut moved = false;
        loop {
            match self.poll_send(cx, load) {
                Poll::Pending => return if moved { Step::Moved } else { Step::Waiting },
                Poll::Ready(Err(step)) => return step,
                Poll::Ready(Ok(())) => {}
            }
            if self.stage == Stage::Complete {
                return Step::Done;
            }
            let taken = far.take();
            if taken.is_empty() {
                return match (far.answer_end(), self.stage) {
                    // The body ends with the connection.
                    (Some(End::Complete), Stage::Body(Body::UntilClose)) => {
                        self.stage = Stage::Complete;
                        continue;
                    }
                    (Some(End::Complete), Stage::Head) if self.raw.is_empty() => Step::Refused,
                    (Some(_), _) => Step::Broken,
                    (None, _) if moved => Step::Moved,
                    (None, _) => Step::Waiting,
                };
            }
            moved = true;
            self.raw = if self.raw.is_empty() {
                taken
            } else {
                let mut both = BytesMut::from(std::mem::take(&mut self.raw));
                both.extend_from_slice(&taken);
                both.freeze()
            };
            if let Err(step) = self.understand(fields) {
                return step;
            }
        }
    }

    /// Turns the engine's bytes into frames and pieces of the body.
    fn understand(&mut self, fields: &mut Fields) -> Result<(), Step> {
        while self.stage == Stage::Head {
            let response = Response::parse(&self.raw, LARGEST_HEAD, self.method, fields);
            let Some(response) = response.map_err(|_| Step::Broken)? else { return Ok(()) };
            let head = self.raw.split_to(response.length);
            let status = StatusCode::from_u16(response.status).map_err(|_| Step::Broken)?;
            let mut message = http::Response::new(());
            *message.status_mut() = status;
            *message.headers_mut() = map(&head, response.kept(fields.list()))?;
            if response.is_interim() {
                self.respond.send_informational(message).map_err(|_| Step::Gone)?;
                continue;
            }
            if let Some(accept) = &self.accept {
                self.open = response.status == 101 && proves(&head, fields, accept);
                if self.open {
                    // RFC 8441 section 5: instead of a 101, and without its proof.
                    *message.status_mut() = StatusCode::OK;
                    message.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
                    self.stage = Stage::Body(Body::UntilClose);
                    self.send = Some(self.respond.send_response(message, false).map_err(|_| Step::Gone)?);
                    break;
                }
                if response.status == 101 || status.is_success() {
                    // A client would take a 2xx for the beginning of its WebSocket.
                    let mut message = http::Response::new(());
                    *message.status_mut() = StatusCode::BAD_GATEWAY;
                    self.respond.send_response(message, true).map_err(|_| Step::Gone)?;
                    (self.stage, self.raw) = (Stage::Complete, Bytes::new());
                    return Ok(());
                }
            }
            let ended = response.body.is_done();
            let send = self.respond.send_response(message, ended).map_err(|_| Step::Gone)?;
            if ended {
                self.stage = Stage::Complete;
            } else {
                self.stage = Stage::Body(response.body);
                self.send = Some(send);
            }
        }
        let Stage::Body(mut body) = self.stage else { return Ok(()) };
        let raw = std::mem::take(&mut self.raw);
        match &mut body {
            Body::Chunked(chunked) => {
                let fed = self.queue.push_chunks(&raw, chunked);
                let lines = fed.map_err(|_| Step::Broken)?.trailers;
                self.trailers.extend_from_slice(raw.get(lines).unwrap_or_default());
            }
            Body::Length(_) | Body::UntilClose => {
                let count = body.take(&raw).map_err(|_| Step::Broken)?;
                self.queue.push(&raw, count);
            }
        }
        self.stage = if body.is_done() { Stage::Complete } else { Stage::Body(body) };
        Ok(())
    }

    /// Sends the queue as far as the client lets us; ready when it is empty, and ended if that was all.
    fn poll_send(&mut self, cx: &mut Context<'_>, load: &Load) -> Poll<Result<(), Step>> {
        let Some(send) = &mut self.send else { return Poll::Ready(Ok(())) };
        let complete = self.stage == Stage::Complete;
        let gone = |_| Step::Gone;
        while let Some(length) = self.queue.next_length() {
            if !load.may_give(cx, &mut self.asked) {
                return Poll::Pending;
            }
            send.reserve_capacity(length);
            while send.capacity() == 0 {
                match send.poll_capacity(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(Step::Gone)),
                }
            }
            let (part, let_go) = self.queue.take(send.capacity());
            self.sent += part.len() as u64;
            load.give(part.len().max(let_go));
            let last = complete && self.queue.is_empty() && self.trailers.is_empty();
            if let Err(step) = send.send_data(part, last).map_err(gone) {
                return Poll::Ready(Err(step));
            }
            if last {
                self.send = None;
                return Poll::Ready(Ok(()));
            }
        }
        if !complete {
            return Poll::Ready(Ok(()));
        }
        let ended = if self.trailers.is_empty() {
            send.send_data(Bytes::new(), true).map_err(gone)
        } else {
            let mut trailers = std::mem::take(&mut self.trailers);
            trailers.extend_from_slice(b"\r\n");
            let trailers = Bytes::from(trailers);
            let mut fields = Fields::default();
            let kept = |field: &&Field| may_trail(field.name(&trailers));
            match fields.parse(&trailers, 0).map(|_| map(&trailers, fields.list().iter().filter(kept))) {
                Ok(Ok(map)) => send.send_trailers(map).map_err(gone),
                Ok(Err(_)) | Err(_) => Err(Step::Broken),
            }
        };
        self.send = None;
        Poll::Ready(ended)
    }
}

/// Whether the head of a 101 shows that the server speaks WebSocket, and not something else (RFC 6455 section 4.1).
fn proves(head: &[u8], fields: &Fields, accept: &str) -> bool {
    let mut proofs =
        fields.list().iter().filter(|field| field.name(head).eq_ignore_ascii_case(b"sec-websocket-accept"));
    proofs.next().is_some_and(|field| field.value(head) == accept.as_bytes()) && proofs.next().is_none()
}

/// The fields as HTTP/2 has them; their values stay where they are.
fn map<'a>(bytes: &Bytes, fields: impl Iterator<Item = &'a Field>) -> Result<HeaderMap, Step> {
    let mut map = HeaderMap::with_capacity(fields.size_hint().1.unwrap_or(0));
    for field in fields {
        let name = HeaderName::from_bytes(field.name(bytes)).map_err(|_| Step::Broken)?;
        let value = bytes.slice_ref(field.value(bytes));
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| Step::Broken)?;
        map.try_append(name, value).map_err(|_| Step::Broken)?;
    }
    Ok(map)
}
