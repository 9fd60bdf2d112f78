//! The way down: the answer's head, written anew, and its body.

use std::borrow::Cow;
use std::io;
use std::task::{Context, Poll};

use super::{Download, End, Talk, Upload, agreement};
use crate::cache::Ticket;
use crate::http::body::Body;
use crate::http::connection::Connection;
use crate::http::refusal::{Refusal, Status};
use crate::http::request::{Method, Version};
use crate::http::response::{Manner, Response};
use crate::stream::Stream;

/// Bodies up to this size are copied behind the head, so that one plain write sends both.
const COPIED_BODY: usize = 16 * 1024;

impl Talk {
    pub(super) fn download(&mut self, connection: &mut Connection, cx: &mut Context<'_>) -> Option<End> {
        let local = std::rc::Rc::clone(&connection.presence.local);
        loop {
            if !connection.client.is_flushed() {
                let before = connection.client.unsent();
                match connection.client.poll_flush(cx) {
                    Poll::Pending => {
                        self.moved |= connection.client.unsent() < before;
                        return None;
                    }
                    Poll::Ready(Ok(())) => self.moved = true,
                    Poll::Ready(Err(_)) => return Some(End::ClientGone),
                }
            }
            if self.down == Download::Done {
                return Some(End::Complete { close: self.close });
            }
            if let Some(end) = self.splice(connection, cx) {
                return end;
            }
            let mut scratch = local.worker.scratch.borrow_mut();
            let kept = self.carry.len();
            // As much as there is, also with a head before a body that could be spliced: what is in a cache anyway is cheaper to
            // copy than to hand on page by page.
            let most = scratch.len().min(kept.saturating_add(connection.client.room()));
            if let Some(start) = scratch.get_mut(..kept) {
                start.copy_from_slice(&self.carry);
            }
            let read = match self.server.poll_read(cx, scratch.get_mut(kept..most).unwrap_or_default()) {
                Poll::Pending if self.coder.is_some() => {
                    drop(scratch);
                    if let Some(end) = self.pause_coder(connection) {
                        return Some(end);
                    }
                    if connection.client.is_flushed() {
                        return None;
                    }
                    continue;
                }
                Poll::Pending => return None,
                Poll::Ready(read) => read,
            };
            if is_end(&read) {
                match self.on_end(read.is_ok()).or_else(|| self.finish_coder(connection)) {
                    Some(end) => return Some(end),
                    None => continue,
                }
            }
            (self.moved, self.heard) = (true, true);
            let bytes = scratch.get(..kept + read.unwrap_or(0)).unwrap_or_default();
            if let Some(end) = self.on_bytes(connection, bytes) {
                return Some(end);
            }
        }
    }

    /// The server has closed, `cleanly` or not.
    pub(super) fn on_end(&mut self, cleanly: bool) -> Option<End> {
        match self.down {
            Download::Head if !self.heard => Some(End::Silent),
            Download::Head => {
                self.broke_off = true;
                Some(self.refuse(Refusal::new(Status::BadGateway, "the server's answer broke off")))
            }
            Download::Body(Body::UntilClose) if cleanly => {
                self.down = Download::Done;
                None
            }
            Download::Body(_) | Download::Done => Some(End::Cut),
        }
    }

    fn on_bytes(&mut self, connection: &mut Connection, bytes: &[u8]) -> Option<End> {
        let Download::Body(mut body) = self.down else { return self.on_head(connection, bytes) };
        if self.coder.is_some() {
            return self.on_coded(connection, body, bytes);
        }
        let sent = if self.plain {
            let mut output = connection.presence.local.worker.output.borrow_mut();
            output.clear();
            let taken = body.take_data(bytes, |data| {
                output.extend_from_slice(data);
                if let Some(ticket) = &mut connection.ticket {
                    ticket.collect(data);
                }
            });
            match taken {
                Ok(count) => self.keep &= count == bytes.len(),
                Err(_) => return Some(End::Cut),
            }
            if body.is_done() {
                keep_answer(connection.ticket.as_deref_mut());
            }
            connection.presence.slot.count_sent(output.len() as u64);
            connection.client.send([&output, &[]], false)
        } else {
            let Ok((count, part)) = self.take(connection, &mut body, bytes) else { return Some(End::Cut) };
            self.keep &= count == bytes.len();
            if body.is_done() {
                keep_answer(connection.ticket.as_deref_mut());
            }
            connection.presence.slot.count_sent(part.len() as u64);
            connection.client.send([&part, &[]], false)
        };
        self.down = if body.is_done() { Download::Done } else { Download::Body(body) };
        sent.is_err().then_some(End::ClientGone)
    }

    fn on_head(&mut self, connection: &mut Connection, mut bytes: &[u8]) -> Option<End> {
        let local = std::rc::Rc::clone(&connection.presence.local);
        let limit = local.frontend.config.limits.header;
        let mut fields = local.worker.fields.borrow_mut();
        let mut output = local.worker.output.borrow_mut();
        output.clear();
        let version = self.request.version;
        loop {
            let response = match Response::parse(bytes, limit, self.request.method, &mut fields) {
                Err(broken) => return Some(self.refuse(Refusal::new(Status::BadGateway, broken.0))),
                Ok(None) => {
                    self.carry.clear();
                    self.carry.extend_from_slice(bytes);
                    // Interim answers that stood before it.
                    return self.send(connection, &output, &[]);
                }
                Ok(Some(response)) => response,
            };
            let rest = bytes.get(response.length..).unwrap_or_default();
            if response.is_interim() {
                // A client of HTTP/1.0 does not know them (RFC 9110 section 15.2).
                if version == Version::V11 {
                    let manner = Manner { version, close: false, changes: None };
                    response.write(bytes, fields.list(), manner, &mut output);
                }
                bytes = rest;
                if bytes.is_empty() {
                    self.carry.clear();
                    return self.send(connection, &output, &[]);
                }
                continue;
            }
            self.status = response.status;
            if self.request.websocket
                && connection.client.is_pipe()
                && let Some((refusal, phase)) = agreement::refusal(&connection.head, response.status, bytes)
            {
                self.disagreed = Some(phase);
                return Some(self.refuse(refusal));
            }
            if response.status == 101 {
                if !self.request.websocket {
                    return Some(
                        self.refuse(Refusal::new(
                            Status::BadGateway,
                            "the server switches protocols unasked",
                        )),
                    );
                }
                let manner = Manner { version, close: false, changes: None };
                connection.trace.answered(response.status);
                let start = output.len();
                response.write(bytes, fields.list(), manner, &mut output);
                connection.write_mark(&mut output, start);
                return self.send(connection, &output, rest).or(Some(End::Upgraded));
            }
            connection.trace.answered(response.status);
            if let Some(ticket) = &mut connection.ticket
                && ticket.on_answer(&response, bytes, fields.list(), local.worker.wall())
            {
                self.keep = response.keep_alive && rest.is_empty();
                return Some(End::Confirmed);
            }
            let mut body = response.body;
            let is_chunked = matches!(body, Body::Chunked(_));
            self.plain = is_chunked && version == Version::V10;
            self.close = !self.request.keep_alive
                || self.plain
                || body == Body::UntilClose
                || self.up != Upload::Done
                || connection.presence.says_goodbye();
            self.carry = Vec::new();
            let manner = Manner { version, close: self.close, changes: connection.changes() };
            let start = output.len();
            response.write(bytes, fields.list(), manner, &mut output);
            connection.write_mark(&mut output, start);
            self.begin_coder(connection, body, &mut output, start);
            if self.coder.is_some() {
                self.keep = response.keep_alive;
                return match self.code(body, rest, &mut output, connection.ticket.as_deref_mut()) {
                    true => self.send(connection, &output, &[]),
                    false => Some(End::Cut),
                };
            }
            let head = output.len();
            let taken = if self.plain {
                let taken = body.take_data(rest, |data| {
                    output.extend_from_slice(data);
                    if let Some(ticket) = &mut connection.ticket {
                        ticket.collect(data);
                    }
                });
                taken.map(|taken| (taken, Cow::Borrowed(&[][..]))).map_err(|wrong| wrong.0)
            } else {
                self.take(connection, &mut body, rest)
            };
            let Ok((taken, behind)) = taken else {
                return Some(
                    self.refuse(Refusal::new(Status::BadGateway, "the server's answer is framed wrongly")),
                );
            };
            // A server that wrongly sends a body to HEAD would have it taken for the next request's answer.
            self.keep = response.keep_alive && taken == rest.len() && self.request.method != Method::Head;
            self.down = if body.is_done() { Download::Done } else { Download::Body(body) };
            let mut behind = &*behind;
            if behind.len() <= COPIED_BODY && output.len() == head {
                output.extend_from_slice(behind);
                behind = &[];
            }
            return self.send(connection, &output, behind);
        }
    }

    /// Takes bytes of a body that goes on as it is, but for trailers that must not be there, and notes its content if it is
    /// to be kept. How many bytes belong to it, and what the client gets of them.
    fn take<'a>(
        &mut self,
        connection: &mut Connection,
        body: &mut Body,
        bytes: &'a [u8],
    ) -> Result<(usize, Cow<'a, [u8]>), Refusal> {
        let Connection { ticket, ruled, .. } = connection;
        let mut collecting = ticket.as_mut().filter(|ticket| ticket.is_collecting());
        let data = |data: &[u8]| {
            if let Some(ticket) = &mut collecting {
                ticket.collect(data);
            }
        };
        let keep = |name: &[u8]| !ruled.as_ref().is_some_and(|ruled| ruled.response.leaves_out(name));
        self.down_trailers.take(body, bytes, data, keep)
    }

    pub(super) fn send(&self, connection: &mut Connection, first: &[u8], second: &[u8]) -> Option<End> {
        if first.is_empty() && second.is_empty() {
            return None;
        }
        if self.down == Download::Done {
            keep_answer(connection.ticket.as_deref_mut());
        }
        let last = self.close && self.down == Download::Done;
        connection.presence.slot.count_sent((first.len() + second.len()) as u64);
        connection.client.send([first, second], last).is_err().then_some(End::ClientGone)
    }
}

/// Keeps the answer before its last bytes go out: who has them may ask again at once.
fn keep_answer(ticket: Option<&mut Ticket>) {
    if let Some(ticket) = ticket {
        ticket.complete();
    }
}

/// What a read from a server gave, without the difference between its two ways to end.
fn is_end(read: &io::Result<usize>) -> bool {
    !matches!(read, Ok(count) if *count > 0)
}
