//! Requests in a service that keeps answers: looking for one, and giving it out.

use std::rc::Rc;
use std::sync::Arc;

use relevo_proto::cache::{self, Ask, Verdict};
use relevo_proto::head::{field, status};

use super::answer::Answer;
use super::body::Body;
use super::connection::Connection;
use super::exchange::Finish;
use super::request::{Method, Request, Version};
use super::response::{Manner, Response};
use super::talk::compress;
use crate::cache::{Object, Ticket, ask};
use crate::clock;
use crate::local::LocalPool;
use crate::log::Phase;

/// Bytes of a kept answer that are sent at a time: what the kernel does not take of them is copied.
const PIECE: usize = 64 * 1024;

impl Connection {
    /// Answers with what is kept, if it may; else notes what a server's answer is good for.
    pub(super) async fn look(&mut self, request: &Request, pool: &LocalPool) -> Option<Finish> {
        self.ticket = None;
        let kept = Arc::clone(self.presence.local.frontend.cache.as_ref()?);
        let tls = self.session.is_some();
        let (store, reuse, only) = match Ask::of(&self.head) {
            Ask::Pass => return None,
            Ask::Change => {
                self.ticket = Some(Box::new(Ticket::change(kept, cache::key(tls, &self.head))));
                return None;
            }
            Ask::Look { store, reuse, only } => (store, reuse, only),
        };
        let now = clock::now();
        let key = cache::key(tls, &self.head);
        let name = &pool.backend.config.name;
        let found = kept.find(&key, name, &self.head);
        let verdict = found.as_ref().map_or(Verdict::No, |object| object.kept.judge(&self.head, now));
        if let (Some(object), Verdict::Fresh(_), true) = (&found, verdict, reuse) {
            let head = std::mem::take(&mut self.head);
            let finish = self.give(object, &head, request).await;
            self.head = head;
            self.trace.local(finish.1);
            return Some(finish.0);
        }
        if only {
            // RFC 9111 section 5.2.1.7.
            let answer = Answer::refusal(504, "there is no kept answer");
            return Some(self.say_changed(answer, false, Phase::Request));
        }
        if store {
            let own = (name.clone(), key, self.head.clone());
            let is_conditional = [&b"if-none-match"[..], b"if-modified-since"]
                .iter()
                .any(|name| field(&self.head, name).is_some());
            let stale = found
                .filter(|object| verdict != Verdict::No && !is_conditional && ask(&mut self.head, object));
            self.ticket = Some(Box::new(Ticket::keep(kept, own, now, stale)));
        }
        None
    }

    /// The server has said that a kept answer is still good.
    pub(super) async fn give_again(&mut self, request: &Request) -> Finish {
        let Some((object, head)) = self.ticket.take().and_then(|ticket| ticket.into_confirmed()) else {
            return Finish::Reset;
        };
        let (finish, status) = self.give(&object, &head, request).await;
        self.trace.answered_here(status);
        finish
    }

    /// Sends a kept answer; returns its status too. `head`: the request's.
    async fn give(&mut self, object: &Object, head: &[u8], request: &Request) -> (Finish, u16) {
        let is_known = cache::is_not_modified(head, &object.head);
        let known = if is_known { cache::not_modified(&object.head) } else { Vec::new() };
        let kept = if is_known { &known } else { &object.head };
        let status = status(kept);
        let Request { method, version, .. } = *request;
        let local = Rc::clone(&self.presence.local);
        let mut close = !request.keep_alive || self.presence.says_goodbye();
        let mut out = Vec::with_capacity(kept.len() + 256);
        {
            let mut fields = local.worker.fields.borrow_mut();
            let Ok(Some(response)) = Response::parse(kept, usize::MAX, method, &mut fields) else {
                return (Finish::Reset, status);
            };
            let manner = Manner { version, close, changes: self.changes() };
            response.write(kept, fields.list(), manner, &mut out);
        }
        out.truncate(out.len().saturating_sub(2));
        out.extend_from_slice(format!("Age: {}\r\n\r\n", object.kept.age(clock::now())).as_bytes());
        let body = if is_known || method == Method::Head { &[][..] } else { &object.body };
        let whole = Body::Length(body.len() as u64);
        let mut coder = compress::begin(&local, head, (method, version), whole, &mut out, 0);
        close |= coder.is_some() && version == Version::V10;
        let mut left = body;
        loop {
            let piece;
            (piece, left) = left.split_at(left.len().min(PIECE).min(self.client.room()));
            let last = left.is_empty();
            let mut fine = true;
            let plain = match &mut coder {
                None => piece,
                Some(coder) => {
                    fine = coder.push(piece, &mut out).is_ok();
                    &[]
                }
            };
            if last && let Some(coder) = coder.take() {
                fine &= coder.finish(&mut out).is_ok();
            }
            if !fine || !self.deliver([&out, plain], last && close).await {
                return (Finish::Reset, status);
            }
            if last {
                return (if close { Finish::Close } else { Finish::KeepAlive }, status);
            }
            out.clear();
        }
    }
}
