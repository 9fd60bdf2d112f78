//! What one request has to do with the cache, while a server answers it.

use std::sync::Arc;

use relevo_model::{PoolName, Time};
use relevo_proto::cache::{self, Clock, Kept, refreshed, selection, stored};

use super::{Cache, Object};
use crate::http::body::Body;
use crate::http::fields::Field;
use crate::http::request::Version;
use crate::http::response::{Manner, Response};

/// A request that a server answers, in a service with a cache.
#[derive(Debug)]
pub(crate) struct Ticket {
    cache: Arc<Cache>,
    pool: PoolName,
    key: Vec<u8>,
    /// Its head.
    request: Vec<u8>,
    asked: Time,
    purpose: Purpose,
}

#[derive(Debug)]
enum Purpose {
    /// The answer may be kept. If there is a kept one, the server was asked whether it is still good.
    Keep(Option<Arc<Object>>),
    /// The answer is being collected.
    Collect { kept: Kept, head: Vec<u8>, body: Vec<u8> },
    /// If it succeeds, what is kept is not good any more.
    Change,
    /// The kept answer is still good.
    Confirmed(Arc<Object>),
    /// Nothing more.
    Done,
}

impl Ticket {
    /// A request whose answer may be kept, or that asks whether `stale` is still good.
    pub(crate) fn keep(
        cache: Arc<Cache>,
        (pool, key, request): (PoolName, Vec<u8>, Vec<u8>),
        asked: Time,
        stale: Option<Arc<Object>>,
    ) -> Self {
        Self { cache, pool, key, request, asked, purpose: Purpose::Keep(stale) }
    }

    /// A request that changes something.
    pub(crate) fn change(cache: Arc<Cache>, key: Vec<u8>) -> Self {
        let (pool, request, asked) = (PoolName::from(""), Vec::new(), Time::ZERO);
        Self { cache, pool, key, request, asked, purpose: Purpose::Change }
    }

    /// Whether the answer's bytes are wanted.
    pub(crate) fn is_collecting(&self) -> bool {
        matches!(self.purpose, Purpose::Collect { .. })
    }

    /// The answer's head is there. `true`: the kept answer is still good, and what the client gets.
    pub(crate) fn on_answer(
        &mut self,
        response: &Response,
        bytes: &[u8],
        fields: &[Field],
        clock: Clock,
    ) -> bool {
        let status = response.status;
        let mut head = Vec::new();
        let manner = Manner { version: Version::V11, close: false, changes: None };
        response.write(bytes, fields, manner, &mut head);
        // What ends with the connection may have been cut.
        let fits = match response.body {
            Body::Length(length) => length <= self.cache.config.object,
            Body::Chunked(_) => true,
            Body::UntilClose => false,
        };
        let most = self.cache.config;
        match std::mem::replace(&mut self.purpose, Purpose::Done) {
            Purpose::Keep(Some(old)) if status == 304 => {
                let head = refreshed(&old.head, &head);
                // With the old selection: it is the same answer.
                let kept = Kept::of(&self.request, &head, self.asked, clock, most.age);
                let object = Object {
                    pool: old.pool.clone(),
                    selection: old.selection.clone(),
                    kept: kept.unwrap_or(old.kept),
                    head,
                    body: Arc::clone(&old.body),
                };
                let object = Arc::new(object);
                match kept {
                    Some(_) => self.cache.put(&self.key, Arc::clone(&object)),
                    None => self.cache.forget(&self.key),
                }
                self.purpose = Purpose::Confirmed(object);
                return true;
            }
            Purpose::Keep(_) if fits => {
                if let Some(kept) = Kept::of(&self.request, &head, self.asked, clock, most.age) {
                    self.purpose = Purpose::Collect { kept, head, body: Vec::new() };
                }
            }
            Purpose::Change if (200..400).contains(&status) => {
                // RFC 9111 section 4.4, for both schemes: they are one site.
                let rest = self.key.splitn(2, |byte| *byte == b':').nth(1).unwrap_or_default();
                self.cache.forget(&[b"http:", rest].concat());
                self.cache.forget(&[b"https:", rest].concat());
            }
            Purpose::Keep(_)
            | Purpose::Change
            | Purpose::Collect { .. }
            | Purpose::Confirmed(_)
            | Purpose::Done => {}
        }
        false
    }

    /// The kept answer that is still good, and the head of the request.
    pub(crate) fn into_confirmed(self) -> Option<(Arc<Object>, Vec<u8>)> {
        match self.purpose {
            Purpose::Confirmed(object) => Some((object, self.request)),
            Purpose::Keep(_) | Purpose::Collect { .. } | Purpose::Change | Purpose::Done => None,
        }
    }

    /// A piece of the answer's body.
    pub(crate) fn collect(&mut self, data: &[u8]) {
        let Purpose::Collect { body, .. } = &mut self.purpose else { return };
        if body.len() as u64 + data.len() as u64 > self.cache.config.object {
            self.purpose = Purpose::Done;
        } else {
            body.extend_from_slice(data);
        }
    }

    /// The answer was complete.
    pub(crate) fn complete(&mut self) {
        let Purpose::Collect { kept, head, body } = std::mem::replace(&mut self.purpose, Purpose::Done)
        else {
            return;
        };
        let object = Object {
            pool: self.pool.clone(),
            selection: selection(&self.request, &head),
            kept,
            head: stored(&head, body.len()),
            body: body.into(),
        };
        self.cache.put(&self.key, Arc::new(object));
    }
}

/// What asks the server whether an answer is still good, put into a request's head. `false`: it has nothing to ask with.
pub(crate) fn ask(head: &mut Vec<u8>, object: &Object) -> bool {
    let lines = cache::validators(&object.head);
    if lines.is_empty() || !head.ends_with(b"\r\n\r\n") {
        return false;
    }
    let end = head.len() - 2;
    head.truncate(end);
    head.extend_from_slice(&lines);
    head.extend_from_slice(b"\r\n");
    true
}
