//! The way up: the request's body, as it comes from the client.

use std::borrow::Cow;
use std::task::{Context, Poll};

use super::{Download, End, Talk, Upload};
use crate::http::body::Body;
use crate::http::connection::Connection;
use crate::http::own::LARGE_BODY;
use crate::http::refusal::Refusal;
use crate::http::trailers::Trailers;
use crate::stream::Stream;

impl Talk {
    pub(super) fn upload(&mut self, connection: &mut Connection, cx: &mut Context<'_>) -> Option<End> {
        let Connection { presence, client, carry, ruled, .. } = connection;
        loop {
            if !self.server.is_flushed() {
                let before = self.server.unsent();
                match self.server.poll_flush(cx) {
                    Poll::Pending => {
                        self.moved |= self.server.unsent() < before;
                        if self.up != Upload::Done {
                            self.up = Upload::Running { waiting: false };
                        }
                        return None;
                    }
                    Poll::Ready(Ok(())) => self.moved = true,
                    Poll::Ready(Err(_)) => {
                        // It may have answered before it closed: go on reading.
                        self.up = Upload::Refused;
                        self.server.discard();
                    }
                }
            }
            if matches!(self.up, Upload::Done | Upload::Refused) {
                return None;
            }
            if self.up_body.is_done() {
                self.up = Upload::Done;
                return None;
            }
            let keep = |name: &[u8]| !ruled.as_ref().is_some_and(|ruled| ruled.request().leaves_out(name));
            let (body, room, trailers) = (&mut self.up_body, &mut self.up_room, &mut self.up_trailers);
            let sent = if carry.is_empty() {
                let mut scratch = presence.local.worker.scratch.borrow_mut();
                let read = match client.poll_read(cx, &mut scratch) {
                    Poll::Pending => {
                        self.up = Upload::Running { waiting: true };
                        return None;
                    }
                    Poll::Ready(read) => read,
                };
                let Ok(count @ 1..) = read else { return Some(End::ClientGone) };
                let bytes = scratch.get(..count).unwrap_or_default();
                let (used, part) = match take(body, room, trailers, bytes, keep) {
                    Ok(taken) => taken,
                    Err(refusal) => return Some(self.refuse_upload(refusal)),
                };
                presence.slot.count_received(used);
                carry.push(bytes.get(used..).unwrap_or_default());
                self.server.send([&part, &[]], false)
            } else {
                let (used, part) = match take(body, room, trailers, carry.bytes(), keep) {
                    Ok(taken) => taken,
                    Err(refusal) => return Some(self.refuse_upload(refusal)),
                };
                let result = self.server.send([&part, &[]], false);
                drop(part);
                carry.consume(used);
                presence.slot.count_received(used);
                result
            };
            self.moved = true;
            if sent.is_err() {
                self.up = Upload::Refused;
            }
        }
    }

    /// A refusal, if the client has got nothing of an answer yet. The server is not to blame.
    fn refuse_upload(&self, refusal: Refusal) -> End {
        if self.down == Download::Head { End::Refuse(refusal) } else { End::ClientWrong(refusal.status) }
    }
}

/// Takes what belongs to the body, as long as there is room for it; returns how many bytes do, and what the server gets.
pub(super) fn take<'a>(
    body: &mut Body,
    room: &mut u64,
    trailers: &mut Trailers,
    bytes: &'a [u8],
    keep: impl Fn(&[u8]) -> bool,
) -> Result<(usize, Cow<'a, [u8]>), Refusal> {
    let mut size: u64 = 0;
    let taken = trailers.take(body, bytes, |data| size += data.len() as u64, keep)?;
    *room = room.checked_sub(size).ok_or(LARGE_BODY)?;
    Ok(taken)
}
