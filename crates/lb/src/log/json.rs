//! A line as a JSON object (RFC 8259). Names stay; new ones may come.

use std::io::Write;

use super::date::push_utc;
use super::record::{Answerer, HttpPart, Record};
use super::stranger::Stranger;
use super::text::{push_json, push_number};

/// Longest reason that is logged, bytes.
const LONGEST_REASON: usize = 1024;

/// Writes one line, its end included.
pub(super) fn push(out: &mut Vec<u8>, record: &Record<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    push_utc(out, record.accepted);
    // Writing into a `Vec` cannot fail.
    let _ = write!(out, "\",\"client\":\"{}\"", record.client);
    string(out, "service", record.service.as_bytes());
    flag(out, "tls", record.tls);
    string(out, "pool", record.pool.as_bytes());
    match record.answerer {
        Answerer::Nobody => {}
        Answerer::Balancer => string(out, "by", b"balancer"),
        Answerer::Fallback => string(out, "by", b"fallback"),
        Answerer::Server(name) => string(out, "server", name.as_bytes()),
    }
    if let Some(line) = record.rule {
        number(out, "rule", line as u64);
    }
    if let Some(http) = record.http {
        push_request(out, http);
    }
    number(out, "bytes_in", record.received);
    number(out, "bytes_out", record.sent);
    push_timers(out, record);
    string(out, "ended", record.termination.words().as_bytes());
    let [who, when] = record.termination.letters();
    let letters = [who, when, record.persistence.came, record.persistence.done];
    string(out, "code", if record.http.is_some() { &letters } else { &letters[..2] });
    number(out, "retries", u64::from(record.retries));
    flag(out, "redispatched", record.redispatched);
    let load = record.load;
    out.extend_from_slice(b",\"connections\":{");
    let counts = [
        ("process", load.process),
        ("service", load.frontend),
        ("pool", load.backend),
        ("server", load.server),
        ("server_queue", load.server_queue),
        ("pool_queue", load.backend_queue),
    ];
    for (name, count) in counts {
        number(out, name, u64::from(count));
    }
    out.extend_from_slice(b"}}\n");
}

/// The same of a client that never came to a request.
pub(super) fn push_stranger(out: &mut Vec<u8>, stranger: &Stranger<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    push_utc(out, stranger.accepted);
    // Writing into a `Vec` cannot fail.
    let _ = write!(out, "\",\"client\":\"{}\"", stranger.client);
    string(out, "service", stranger.service.as_bytes());
    number(out, "listen", stranger.listen as u64);
    string(out, "ended", stranger.failure.words().as_bytes());
    string(out, "code", &stranger.failure.termination().letters());
    if !stranger.reason.is_empty() {
        let reason = stranger.reason.as_bytes();
        string(out, "reason", reason.get(..LONGEST_REASON).unwrap_or(reason));
    }
    out.extend_from_slice(b"}\n");
}

fn push_request(out: &mut Vec<u8>, http: HttpPart<'_>) {
    if !http.line.is_empty() {
        let mut parts = http.line.splitn(2, |byte| *byte == b' ');
        let method = parts.next().unwrap_or_default();
        let rest = parts.next().unwrap_or_default();
        let end = rest.iter().rposition(|byte| *byte == b' ').unwrap_or(rest.len());
        string(out, "method", method);
        string(out, "uri", rest.get(..end).unwrap_or_default());
        string(out, "protocol", rest.get(end + 1..).unwrap_or_default());
    }
    if let Some(status) = http.status {
        number(out, "status", u64::from(status));
    }
    if !http.names.is_empty() {
        out.extend_from_slice(b",\"headers\":{");
        for (name, value) in http.names.iter().zip(http.captured) {
            string(out, name, value);
        }
        out.push(b'}');
    }
}

fn push_timers(out: &mut Vec<u8>, record: &Record<'_>) {
    let timers = record.timers;
    out.extend_from_slice(b",\"ms\":{");
    let known = [
        ("request", timers.request.filter(|_| record.http.is_some())),
        ("queue", timers.queue),
        ("connect", timers.connect),
        ("response", timers.response.filter(|_| record.http.is_some())),
        ("total", Some(timers.total)),
    ];
    for (name, value) in known {
        if let Some(value) = value {
            number(out, name, u64::from(value));
        }
    }
    out.push(b'}');
}

/// Begins a member: a comma unless it is an object's first one.
fn name(out: &mut Vec<u8>, name: &str) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    push_json(out, name.as_bytes());
    out.push(b':');
}

fn string(out: &mut Vec<u8>, member: &str, value: &[u8]) {
    name(out, member);
    push_json(out, value);
}

fn number(out: &mut Vec<u8>, member: &str, value: u64) {
    name(out, member);
    push_number(out, value);
}

fn flag(out: &mut Vec<u8>, member: &str, value: bool) {
    name(out, member);
    out.extend_from_slice(if value { b"true" } else { b"false" });
}
