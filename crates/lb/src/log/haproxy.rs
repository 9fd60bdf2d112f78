//! HAProxy's `httplog` and `tcplog`, field by field, so that what reads its logs reads these.

use std::net::SocketAddr;

use super::date::Dates;
use super::record::{Answerer, HttpPart, Record};
use super::stranger::Stranger;
use super::text::{push_escaped, push_known, push_number};

/// Longest request line that is logged, bytes (HAProxy's `REQURI_LEN`).
const LONGEST_LINE: usize = 1024;

/// Writes one line, its end included.
pub(super) fn push(out: &mut Vec<u8>, dates: &mut Dates, record: &Record<'_>) {
    push_client(out, record.client);
    out.extend_from_slice(b" [");
    dates.push_common(out, record.accepted);
    out.extend_from_slice(b"] ");
    out.extend_from_slice(record.service.as_bytes());
    if record.tls {
        out.push(b'~');
    }
    out.push(b' ');
    out.extend_from_slice(record.pool.as_bytes());
    out.push(b'/');
    out.extend_from_slice(answerer(record.answerer));
    out.push(b' ');
    push_timers(out, record);
    out.push(b' ');
    if let Some(http) = &record.http {
        push_known(out, http.status.map(u32::from));
        out.push(b' ');
    }
    push_number(out, record.sent);
    // Cookies are not captured: CC and CS.
    out.extend_from_slice(if record.http.is_some() { b" - - " } else { b" " });
    out.extend_from_slice(&record.termination.letters());
    if record.http.is_some() {
        out.extend_from_slice(&[record.persistence.came, record.persistence.done]);
    }
    out.push(b' ');
    push_load(out, record);
    if let Some(http) = record.http {
        push_request(out, http);
    }
    out.push(b'\n');
}

/// Writes one line, its end included, as HAProxy does; in brackets why, as its newer versions do.
pub(super) fn push_stranger(out: &mut Vec<u8>, dates: &mut Dates, stranger: &Stranger<'_>) {
    push_client(out, stranger.client);
    out.extend_from_slice(b" [");
    dates.push_common(out, stranger.accepted);
    out.extend_from_slice(b"] ");
    out.extend_from_slice(stranger.service.as_bytes());
    out.push(b'/');
    push_number(out, stranger.listen as u64);
    out.extend_from_slice(b": ");
    out.extend_from_slice(stranger.failure.haproxy().as_bytes());
    if !stranger.reason.is_empty() {
        let reason = stranger.reason.as_bytes();
        out.extend_from_slice(b" (");
        push_escaped(out, reason.get(..LONGEST_LINE).unwrap_or(reason), b"\"#");
        out.push(b')');
    }
    out.push(b'\n');
}

/// Who answered, as the field says it.
pub(super) fn answerer(who: Answerer<'_>) -> &[u8] {
    match who {
        Answerer::Nobody => b"<NOSRV>",
        Answerer::Balancer => b"<BALANCER>",
        Answerer::Fallback => b"<FALLBACK>",
        Answerer::Server(name) => name.as_bytes(),
    }
}

fn push_client(out: &mut Vec<u8>, client: SocketAddr) {
    match client {
        SocketAddr::V4(client) => {
            for (index, part) in client.ip().octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                push_number(out, u64::from(part));
            }
        }
        // Writing into a `Vec` cannot fail.
        SocketAddr::V6(client) => drop(std::io::Write::write_fmt(out, format_args!("{}", client.ip()))),
    }
    out.push(b':');
    push_number(out, u64::from(client.port()));
}

/// `TR/Tw/Tc/Tr/Ta`, or `Tw/Tc/Tt`.
fn push_timers(out: &mut Vec<u8>, record: &Record<'_>) {
    let timers = record.timers;
    if record.http.is_some() {
        push_known(out, timers.request);
        out.push(b'/');
    }
    push_known(out, timers.queue);
    out.push(b'/');
    push_known(out, timers.connect);
    out.push(b'/');
    if record.http.is_some() {
        push_known(out, timers.response);
        out.push(b'/');
    }
    push_number(out, u64::from(timers.total));
}

/// `actconn/feconn/beconn/srv_conn/retries srv_queue/backend_queue`.
fn push_load(out: &mut Vec<u8>, record: &Record<'_>) {
    let load = record.load;
    for count in [load.process, load.frontend, load.backend, load.server] {
        push_number(out, u64::from(count));
        out.push(b'/');
    }
    if record.redispatched {
        out.push(b'+');
    }
    push_number(out, u64::from(record.retries));
    out.push(b' ');
    push_number(out, u64::from(load.server_queue));
    out.push(b'/');
    push_number(out, u64::from(load.backend_queue));
}

/// ` {captured|captured} "GET / HTTP/1.1"`.
fn push_request(out: &mut Vec<u8>, http: HttpPart<'_>) {
    if !http.names.is_empty() {
        out.extend_from_slice(b" {");
        let mut values = http.captured;
        for index in 0..http.names.len() {
            if index > 0 {
                out.push(b'|');
            }
            push_escaped(out, values.next().unwrap_or_default(), b"\"#{|}");
        }
        out.push(b'}');
    }
    out.extend_from_slice(b" \"");
    match http.line {
        b"" => out.extend_from_slice(b"<BADREQ>"),
        line => push_escaped(out, line.get(..LONGEST_LINE).unwrap_or(line), b"\"#"),
    }
    out.push(b'"');
}
