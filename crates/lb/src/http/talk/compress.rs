//! The way down of an answer that is compressed.

use relevo_proto::coding::{self, Ending};

use super::{Download, End, Talk};
use crate::http::body::Body;
use crate::http::coder::Coder;
use crate::http::connection::Connection;
use crate::http::request::{Method, Version};

impl Talk {
    /// Decides whether the answer is compressed, whose head stands in `output` from `start` on, as the client would get
    /// it, and writes the head again if that changes it.
    pub(super) fn begin_coder(
        &mut self,
        connection: &Connection,
        body: Body,
        output: &mut Vec<u8>,
        start: usize,
    ) {
        let local = &connection.presence.local;
        let Some(config) = &local.frontend.config.compression else { return };
        let head = output.get(start..).unwrap_or_default();
        if !coding::is_eligible(head, config) {
            return;
        }
        let coding = coding::choose(&connection.head, &config.codings);
        let ending = match (self.request.method, self.request.version) {
            (Method::Head, _) => Ending::None,
            (_, Version::V11) => Ending::Chunks,
            (_, Version::V10) => Ending::Close,
        };
        let is_empty = body.is_done() && ending != Ending::None;
        let mut coding = coding.filter(|_| !is_empty);
        if let Some(wanted) = coding.filter(|_| ending != Ending::None) {
            let streams = !matches!(body, Body::Length(_));
            let coder = Coder::new(&local.worker.coders, wanted, ending == Ending::Chunks, streams);
            self.coder = coder.map(Box::new);
            if self.coder.is_none() {
                coding = None;
            }
        }
        if self.coder.is_some() {
            self.close |= ending == Ending::Close;
            self.plain = false;
        }
        let mut rewritten = Vec::with_capacity(head.len() + 64);
        coding::rewrite(head, coding.map(|coding| (coding, ending)), &mut rewritten);
        output.truncate(start);
        output.extend_from_slice(&rewritten);
    }

    /// Takes bytes of a body that is compressed.
    pub(super) fn on_coded(&mut self, connection: &mut Connection, body: Body, bytes: &[u8]) -> Option<End> {
        let local = std::rc::Rc::clone(&connection.presence.local);
        let mut output = local.worker.output.borrow_mut();
        output.clear();
        if self.code(body, bytes, &mut output) { self.send(connection, &output, &[]) } else { Some(End::Cut) }
    }

    /// The same; what comes out goes behind `output`. `false`: it cannot be gone on with.
    pub(super) fn code(&mut self, mut body: Body, bytes: &[u8], output: &mut Vec<u8>) -> bool {
        let Some(coder) = &mut self.coder else { return false };
        let mut fine = true;
        let Ok(taken) = body.take_data(bytes, |data| fine &= coder.push(data, output).is_ok()) else {
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
