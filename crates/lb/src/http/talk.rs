//! A request and its answer on one server connection, both ways at the same time.
//!
//! ```text
//!   client ──carry, scratch──► body.take ──► up ──► server        until the body is complete
//!   client ◄──────── out ◄──── body.take ◄─scratch── server       head, then body
//! ```
//! Buffers are bounded: nothing is read from one side while the other has not taken what came before.

use std::io;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::body::Body;
use super::connection::Connection;
use super::exchange::is_end;
use super::refusal::{Refusal, Status};
use super::request::{Method, Request, Version};
use super::response::{Manner, Response};
use crate::slot::Signal;
use crate::stream::{self, Outbox};

/// Bodies up to this size are copied behind the head, so that one plain write sends both.
const COPIED_BODY: usize = 16 * 1024;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client has the whole answer. `close`: it was told that this was the last one.
    Complete { close: bool },
    /// The server closed without a byte.
    Silent,
    /// The server went down without a byte.
    Abandoned,
    /// Nothing was sent to the client: answer this.
    Refuse(Refusal),
    /// The answer broke off.
    Cut,
    /// The client left, or does not take what it asked for.
    ClientGone,
    /// 101: both sides speak another protocol.
    Upgraded,
}

/// The state of both ways.
#[derive(Debug)]
pub(super) struct Talk {
    server: TcpStream,
    request: Request,
    up: Upload,
    up_body: Body,
    up_out: Outbox,
    down: Download,
    /// A part of the answer's head.
    carry: Vec<u8>,
    /// Whether the server has said anything.
    heard: bool,
    /// Whether the server may be asked again on this connection.
    keep: bool,
    /// Whether this is the client's last answer.
    close: bool,
    /// Whether the client gets the content of chunks only.
    plain: bool,
    /// Whether something was moved since the deadline was set; true at first.
    moved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upload {
    /// The client has more to send; if `waiting`, we could take it.
    Running {
        waiting: bool,
    },
    Done,
    /// The server does not want the rest.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Download {
    Head,
    Body(Body),
    Done,
}

impl Talk {
    pub(super) fn new(server: TcpStream, request: &Request) -> Self {
        Self {
            server,
            request: *request,
            up: if request.body.is_done() { Upload::Done } else { Upload::Running { waiting: false } },
            up_body: request.body,
            up_out: Outbox::default(),
            down: Download::Head,
            carry: Vec::new(),
            heard: false,
            keep: true,
            close: false,
            plain: false,
            moved: true,
        }
    }

    /// Sends the head, with what is there of the body in the same write.
    pub(super) fn start(&mut self, connection: &mut Connection) -> io::Result<()> {
        if self.up == Upload::Done {
            return self.up_out.send(&self.server, [&connection.head, &[]]);
        }
        // Wrong chunks are found again, and refused, by the upload.
        let mut body = self.up_body;
        let count = body.take(connection.carry.bytes()).unwrap_or(0);
        let first = connection.carry.bytes().get(..count).unwrap_or_default();
        self.up_out.send(&self.server, [&connection.head, first])?;
        if count > 0 {
            self.up_body = body;
            connection.carry.consume(count);
        }
        Ok(())
    }

    /// Whether the request was sent to its end.
    pub(super) fn is_uploaded(&self) -> bool {
        self.up == Upload::Done
    }

    /// The connection, if it can be used again.
    pub(super) fn into_kept(self) -> Option<TcpStream> {
        (self.keep && self.up == Upload::Done && self.up_out.is_empty()).then_some(self.server)
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.server
    }

    pub(super) fn stream_mut(&mut self) -> &mut TcpStream {
        &mut self.server
    }

    pub(super) fn take_outbox(&mut self) -> Outbox {
        std::mem::take(&mut self.up_out)
    }

    /// Moves what can be moved.
    pub(super) fn poll(&mut self, connection: &mut Connection, cx: &mut Context<'_>) -> Poll<End> {
        connection.presence.slot.set_waker(cx.waker());
        let signal = connection.presence.slot.take_signal();
        if let Some(end) = self.on_signal(signal, connection) {
            return Poll::Ready(end);
        }
        if (self.up != Upload::Done || !self.up_out.is_empty())
            && let Some(end) = self.upload(connection, cx)
        {
            return Poll::Ready(end);
        }
        if let Some(end) = self.download(connection, cx) {
            return Poll::Ready(end);
        }
        if std::mem::take(&mut self.moved) {
            let timeouts = &connection.presence.local.shared.config.timeouts;
            let client_owes = !connection.out.is_empty() || self.up == Upload::Running { waiting: true };
            connection.presence.set_deadline(if client_owes { timeouts.client } else { timeouts.server });
        }
        Poll::Pending
    }

    fn on_signal(&self, signal: Signal, connection: &Connection) -> Option<End> {
        let unanswered = self.down == Download::Head;
        let refuse = |status, reason| Some(End::Refuse(Refusal::new(status, reason)));
        match signal {
            Signal::None | Signal::Closing => None,
            Signal::Timeout if !connection.out.is_empty() => Some(End::ClientGone),
            Signal::Timeout | Signal::Cut if !unanswered => Some(End::Cut),
            Signal::Timeout if self.up == (Upload::Running { waiting: true }) => {
                refuse(Status::RequestTimeout, "the request's body did not arrive in time")
            }
            Signal::Timeout => refuse(Status::GatewayTimeout, "the server did not answer in time"),
            Signal::Cut => refuse(Status::Unavailable, "the server was stopped"),
            // Its answer may still come; who can be asked again is.
            Signal::ServerDown if !self.heard && self.request.is_safe() => Some(End::Abandoned),
            Signal::ServerDown => None,
        }
    }

    fn upload(&mut self, connection: &mut Connection, cx: &mut Context<'_>) -> Option<End> {
        let Connection { presence, client, carry, .. } = connection;
        loop {
            if !self.up_out.is_empty() {
                match self.up_out.poll_flush(&mut self.server, cx) {
                    Poll::Pending => {
                        if self.up != Upload::Done {
                            self.up = Upload::Running { waiting: false };
                        }
                        return None;
                    }
                    Poll::Ready(Ok(())) => self.moved = true,
                    Poll::Ready(Err(_)) => {
                        // It may have answered before it closed: go on reading.
                        self.up = Upload::Refused;
                        self.up_out = Outbox::default();
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
                let (body, rest) = match self.up_body.take(bytes) {
                    Ok(count) => bytes.split_at(count),
                    Err(wrong) => return Some(self.refuse(Refusal::bad(wrong.0))),
                };
                carry.push(rest);
                self.up_out.send(&self.server, [body, &[]])
            } else {
                let count = match self.up_body.take(carry.bytes()) {
                    Ok(count) => count,
                    Err(wrong) => return Some(self.refuse(Refusal::bad(wrong.0))),
                };
                let result =
                    self.up_out.send(&self.server, [carry.bytes().get(..count).unwrap_or_default(), &[]]);
                carry.consume(count);
                result
            };
            self.moved = true;
            if sent.is_err() {
                self.up = Upload::Refused;
            }
        }
    }

    fn download(&mut self, connection: &mut Connection, cx: &mut Context<'_>) -> Option<End> {
        let local = std::rc::Rc::clone(&connection.presence.local);
        loop {
            if !connection.out.is_empty() {
                match connection.out.poll_flush_late(&mut connection.client, cx) {
                    Poll::Pending => return None,
                    Poll::Ready(Ok(())) => self.moved = true,
                    Poll::Ready(Err(_)) => return Some(End::ClientGone),
                }
            }
            if self.down == Download::Done {
                return Some(End::Complete { close: self.close });
            }
            let mut scratch = local.worker.scratch.borrow_mut();
            let kept = self.carry.len();
            if let Some(start) = scratch.get_mut(..kept) {
                start.copy_from_slice(&self.carry);
            }
            let read =
                match stream::poll_read(&mut self.server, cx, scratch.get_mut(kept..).unwrap_or_default()) {
                    Poll::Pending => return None,
                    Poll::Ready(read) => read,
                };
            if is_end(&read) {
                match self.on_end(read.is_ok()) {
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
    fn on_end(&mut self, cleanly: bool) -> Option<End> {
        match self.down {
            Download::Head if !self.heard => Some(End::Silent),
            Download::Head => {
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
        let sent = if self.plain {
            let mut output = connection.presence.local.worker.output.borrow_mut();
            output.clear();
            match body.take_data(bytes, |data| output.extend_from_slice(data)) {
                Ok(count) => self.keep &= count == bytes.len(),
                Err(_) => return Some(End::Cut),
            }
            connection.out.send_late(&connection.client, [&output, &[]], false)
        } else {
            let Ok(count) = body.take(bytes) else { return Some(End::Cut) };
            self.keep &= count == bytes.len();
            connection.out.send_late(&connection.client, [bytes.get(..count).unwrap_or_default(), &[]], false)
        };
        self.down = if body.is_done() { Download::Done } else { Download::Body(body) };
        sent.is_err().then_some(End::ClientGone)
    }

    fn on_head(&mut self, connection: &mut Connection, mut bytes: &[u8]) -> Option<End> {
        let local = std::rc::Rc::clone(&connection.presence.local);
        let limit = local.shared.config.max_header;
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
                    let manner = Manner { version, close: false };
                    response.write(bytes, fields.list(), manner, &mut output);
                }
                bytes = rest;
                if bytes.is_empty() {
                    self.carry.clear();
                    return self.send(connection, &output, &[]);
                }
                continue;
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
                let manner = Manner { version, close: false };
                response.write(bytes, fields.list(), manner, &mut output);
                return self.send(connection, &output, rest).or(Some(End::Upgraded));
            }
            let mut body = response.body;
            let is_chunked = matches!(body, Body::Chunked(_));
            self.plain = is_chunked && version == Version::V10;
            self.close = !self.request.keep_alive
                || self.plain
                || body == Body::UntilClose
                || self.up != Upload::Done
                || local.worker.closing.get();
            self.carry = Vec::new();
            let manner = Manner { version, close: self.close };
            response.write(bytes, fields.list(), manner, &mut output);
            let head = output.len();
            let taken = if self.plain {
                body.take_data(rest, |data| output.extend_from_slice(data))
            } else {
                body.take(rest)
            };
            let Ok(taken) = taken else {
                return Some(
                    self.refuse(Refusal::new(Status::BadGateway, "the server's answer is framed wrongly")),
                );
            };
            // A server that wrongly sends a body to HEAD would have it taken for the next request's answer.
            self.keep = response.keep_alive && taken == rest.len() && self.request.method != Method::Head;
            self.down = if body.is_done() { Download::Done } else { Download::Body(body) };
            let mut behind = if self.plain { &[][..] } else { rest.get(..taken).unwrap_or_default() };
            if behind.len() <= COPIED_BODY && output.len() == head {
                output.extend_from_slice(behind);
                behind = &[];
            }
            return self.send(connection, &output, behind);
        }
    }

    fn send(&self, connection: &mut Connection, first: &[u8], second: &[u8]) -> Option<End> {
        if first.is_empty() && second.is_empty() {
            return None;
        }
        let last = self.close && self.down == Download::Done;
        connection
            .out
            .send_late(&connection.client, [first, second], last)
            .is_err()
            .then_some(End::ClientGone)
    }

    /// A refusal, if the client has got nothing of an answer yet.
    fn refuse(&self, refusal: Refusal) -> End {
        if self.down == Download::Head { End::Refuse(refusal) } else { End::Cut }
    }
}
