//! Answers of others, as long as they may be remembered.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use relevo_model::Time;

/// Most answers that are remembered.
const MOST: usize = 10_000;
/// Largest answer that is remembered, records.
const MOST_RECORDS: usize = 64;
/// The longest that any is remembered.
const LONGEST: u32 = 86_400;
/// The longest that a `no` is remembered.
const LONGEST_NO: u32 = 300;

/// Name in lower case, type, and whether signatures were wanted.
pub(super) type Key = (String, RecordType, bool);

#[derive(Debug, Default)]
pub(super) struct Cache {
    answers: BTreeMap<Key, (Time, u32, Message)>,
    /// In the order of coming; one that came again is there twice.
    order: VecDeque<(Key, Time)>,
}

impl Cache {
    /// An answer with what is left of its time.
    pub(super) fn get(&mut self, now: Time, key: &Key) -> Option<Message> {
        let (since, ttl, message) = self.answers.get(key)?;
        let age = u32::try_from(now.since(*since).as_secs()).unwrap_or(u32::MAX);
        if now.since(*since) >= Duration::from_secs(u64::from(*ttl)) {
            self.answers.remove(key);
            return None;
        }
        let mut message = message.clone();
        for record in sections(&mut message) {
            record.ttl = record.ttl.min(LONGEST).saturating_sub(age);
        }
        Some(message)
    }

    pub(super) fn put(&mut self, now: Time, key: Key, message: &Message) {
        let Some(ttl) = ttl(message) else { return };
        while self.answers.len() >= MOST || self.order.len() >= 2 * MOST {
            let Some((old, since)) = self.order.pop_front() else { break };
            if self.answers.get(&old).is_some_and(|(at, ..)| *at == since) {
                self.answers.remove(&old);
            }
        }
        self.order.push_back((key.clone(), now));
        self.answers.insert(key, (now, ttl, message.clone()));
    }

    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }
}

fn sections(message: &mut Message) -> impl Iterator<Item = &mut Record> {
    message.answers.iter_mut().chain(&mut message.authorities).chain(&mut message.additionals)
}

/// How long an answer may be remembered, seconds (RFC 2181 section 8, RFC 2308 section 5); `None`: not at all.
fn ttl(message: &Message) -> Option<u32> {
    let records = message.answers.len() + message.authorities.len() + message.additionals.len();
    if message.metadata.truncation || records > MOST_RECORDS {
        return None;
    }
    let least = message.answers.iter().map(|record| record.ttl).min();
    let ttl = match (message.metadata.response_code, least) {
        (ResponseCode::NoError, Some(ttl)) => ttl.min(LONGEST),
        (ResponseCode::NoError | ResponseCode::NXDomain, _) => {
            let minimum = message.authorities.iter().find_map(|record| {
                let RData::SOA(soa) = &record.data else { return None };
                Some(record.ttl.min(soa.minimum))
            });
            minimum?.min(LONGEST_NO).min(least.unwrap_or(u32::MAX))
        }
        _ => return None,
    };
    (ttl > 0).then_some(ttl)
}
