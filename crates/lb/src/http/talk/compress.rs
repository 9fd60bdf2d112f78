//! The way down of an answer that is compressed.

use relevo_proto::coding::{self, Ending};

use super::{Download, End, Talk};
use crate::cache::Ticket;
use crate::http::body::Body;
use crate::http::coder::Coder;
use crate::http::connection::Connection;
use crate::http::request::{Method, Version};
use crate::local::Local;

/// Decides whether an answer is compressed, whose head stands in `output` from `start` on, as the client would get it,
/// and writes the head again if that changes it. `request`: the request's head.
pub(in crate::http) fn begin(
    local: &Local,
    request: &[u8],
    (method, version): (Method, Version),
    body: Body,
    output: &mut Vec<u8>,
    start: usize,
) -> Option<Box<Coder>> {
    let config = local.frontend.config.compression.as_ref()?;
    let head = output.get(start..).unwrap_or_default();
    if !coding::is_eligible(head, config) {
        return None;
    }
    let mut coding = coding::choose(request, &config.codings);
    let ending = match (method, version) {
        (Method::Head, _) => Ending::None,
        (_, Version::V11) => Ending::Chunks,
        (_, Version::V10) => Ending::Close,
    };
    let mut coder = None;
    if ending != Ending::None {
        coding = coding.filter(|_| !body.is_done());
        let streams = !matches!(body, Body::Length(_));
        coder = coding
            .and_then(|coding| Coder::new(&local.worker.coders, coding, ending == Ending::Chunks, streams));
        coding = coding.filter(|_| coder.is_some());
    }
    let mut rewritten = Vec::with_capacity(head.len() + 64);
    coding::rewrite(head, coding.map(|coding| (coding, ending)), &mut rewritten);
    output.truncate(start);
    output.extend_from_slice(&rewritten);
    coder.map(Box::new)
}

impl Talk {
    /// Begins to compress the answer whose head stands in `output` from `start` on, if it is to be.
    pub(super) fn begin_coder(
        &mut self,
        connection: &Connection,
        body: Body,
        output: &mut Vec<u8>,
        start: usize,
    ) {
        let asked = (self.request.method, self.request.version);
        self.coder = begin(&connection.presence.local, &connection.head, asked, body, output, start);
        if self.coder.is_some() {
            self.close |= self.request.version == Version::V10;
            self.plain = false;
        }
    }

    /// Takes bytes of a body that is compressed.
    pub(super) fn on_coded(&mut self, connection: &mut Connection, body: Body, bytes: &[u8]) -> Option<End> {
        let local = std::rc::Rc::clone(&connection.presence.local);
        let mut output = local.worker.output.borrow_mut();
        output.clear();
        let ticket = connection.ticket.as_deref_mut();
        if self.code(body, bytes, &mut output, ticket) {
            self.send(connection, &output, &[])
        } else {
            Some(End::Cut)
        }
    }

    /// The same; what comes out goes behind `output`. `false`: it cannot be gone on with.
    pub(super) fn code(
        &mut self,
        mut body: Body,
        bytes: &[u8],
        output: &mut Vec<u8>,
        mut ticket: Option<&mut Ticket>,
    ) -> bool {
        let Some(coder) = &mut self.coder else { return false };
        let mut fine = true;
        let Ok(taken) = body.take_data(bytes, |data| {
            fine &= coder.push(data, output).is_ok();
            if let Some(ticket) = &mut ticket {
                ticket.collect(data);
            }
        }) else {
            return false;
        };
        self.keep &= taken == bytes.len();
        self.down = Download::Body(body);
        if body.is_done() {
            self.down = Download::Done;
            fine &= self.coder.take().is_some_and(|coder| coder.finish(output).is_ok());
        }
        fine
    }

    /// The server pauses.
    pub(super) fn pause_coder(&mut self, connection: &mut Connection) -> Option<End> {
        let local = std::rc::Rc::clone(&connection.presence.local);
        let mut output = local.worker.output.borrow_mut();
        output.clear();
        let paused = self.coder.as_mut().map(|coder| coder.pause(&mut output));
        match paused {
            Some(Err(_)) => Some(End::Cut),
            Some(Ok(())) | None => self.send(connection, &output, &[]),
        }
    }

    /// The server has ended the body by closing.
    pub(super) fn finish_coder(&mut self, connection: &mut Connection) -> Option<End> {
        let coder = self.coder.take()?;
        let local = std::rc::Rc::clone(&connection.presence.local);
        let mut output = local.worker.output.borrow_mut();
        output.clear();
        match coder.finish(&mut output) {
            Ok(()) => self.send(connection, &output, &[]),
            Err(_) => Some(End::Cut),
        }
    }
}
