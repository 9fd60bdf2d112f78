//! A request's head: checked, understood, and written anew for the server.

use std::net::IpAddr;

use relevo_proto::authority::Authority;
use relevo_proto::rule::Changes;

use super::body::Body;
use super::fields::{Field, Fields};
use super::framing::Framing;
use super::hop::{Connection, Known, changed_fields, known, named_fields, write_kept};
use super::refusal::{Refusal, Status};
use super::request_line::{self, Place, Whole, is_options};
pub use super::request_line::{Method, Version};

/// What the engine must know of a request. Places are those in the bytes that were parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method, as far as it matters here.
    pub method: Method,
    /// The client's version.
    pub version: Version,
    /// Whether the client wants to send another request after this one.
    pub keep_alive: bool,
    /// How its body ends.
    pub body: Body,
    /// Whether it asks for a WebSocket (RFC 6455).
    pub websocket: bool,
    /// Where the head ends.
    pub length: usize,
    method_end: usize,
    target: Place,
    whole: Option<Whole>,
    host: Option<Place>,
    dropped: u128,
    /// Dropped where we add our own.
    forwarded_proto: u128,
}

/// What the balancer adds to a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Additions<'a> {
    /// Lines that end in CRLF, as in `X-Forwarded-For: 192.0.2.1`; prepared once for each connection.
    pub lines: &'a [u8],
    /// The Host for a client of HTTP/1.0 that sent none.
    pub host: &'a [u8],
    /// What rules change in the fields.
    pub changes: Option<&'a Changes>,
    /// The path that the server gets instead; the query stays.
    pub path: Option<&'a [u8]>,
}

/// What a server learns of its client, with `forwarded_for`: lines that end in CRLF.
pub fn forwarded(client: IpAddr, tls: bool) -> Vec<u8> {
    let proto = if tls { "https" } else { "http" };
    format!("X-Forwarded-For: {client}\r\nX-Forwarded-Proto: {proto}\r\n").into_bytes()
}

impl Request {
    /// Parses a head; `None`: more bytes are needed. `limit`: largest head in bytes.
    ///
    /// # Errors
    /// What could be read in two ways is refused, with the status to answer.
    pub fn parse(bytes: &[u8], limit: usize, fields: &mut Fields) -> Result<Option<Self>, Refusal> {
        let too_large =
            Refusal::new(Status::HeadTooLarge, "the request's head is larger than this service allows");
        let more = || if bytes.len() >= limit { Err(too_large) } else { Ok(None) };
        // RFC 9112 section 2.2: one empty line before the request line is ignored.
        let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
        let Some(line) = request_line::parse(bytes, start)? else { return more() };
        let Some(length) = fields.parse(bytes, line.end)? else { return more() };
        if length > limit {
            return Err(too_large);
        }
        let mut request = Self {
            method: line.method,
            version: line.version,
            keep_alive: false,
            body: Body::NONE,
            websocket: false,
            length,
            method_end: line.method_end,
            target: line.target,
            whole: line.whole,
            host: None,
            dropped: 0,
            forwarded_proto: 0,
        };
        request.read_fields(bytes, fields.list())?;
        Ok(Some(request))
    }

    /// Whether it may be sent again by itself after a connection broke before any byte of an answer
    /// (RFC 9110 section 9.2.2), there being no body that was already consumed.
    pub fn is_repeatable(&self) -> bool {
        self.body == Body::NONE
            && match self.method {
                Method::Head | Method::Safe | Method::Idempotent => true,
                Method::Other => false,
            }
    }

    /// Whether it may be sent to another server after one died with it.
    pub fn is_safe(&self) -> bool {
        self.body == Body::NONE
            && match self.method {
                Method::Head | Method::Safe => true,
                Method::Idempotent | Method::Other => false,
            }
    }

    /// Writes the head for the server: HTTP/1.1, origin form, without what is for one hop only.
    pub fn write(&self, bytes: &[u8], fields: &[Field], additions: Additions<'_>, out: &mut Vec<u8>) {
        let part = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
        let method_start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
        out.extend_from_slice(part(method_start, self.method_end));
        out.push(b' ');
        let target = part(self.target.0, self.target.1);
        match (target.first(), additions.path) {
            (_, Some(path)) => {
                out.extend_from_slice(path);
                let query = memchr::memchr(b'?', target).and_then(|mark| target.get(mark..));
                out.extend_from_slice(query.unwrap_or_default());
            }
            // RFC 9112 section 3.2.4: `OPTIONS http://host` asks about the whole server.
            (None, None) if bytes.get(method_start..).is_some_and(is_options) => out.push(b'*'),
            // `http://host` and `http://host?query`.
            (None, None) => out.push(b'/'),
            (Some(b'?'), None) => {
                out.push(b'/');
                out.extend_from_slice(target);
            }
            (Some(_), None) => out.extend_from_slice(target),
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let mut dropped = self.dropped;
        if !additions.lines.is_empty() {
            dropped |= self.forwarded_proto;
        }
        let mut has_host = self.host.is_some();
        if let Some(changes) = additions.changes {
            dropped |= changed_fields(bytes, fields, changes);
            has_host |= changes.leaves_out(b"host");
        }
        write_kept(bytes, fields, dropped, out);
        if !has_host {
            out.extend_from_slice(b"Host: ");
            out.extend_from_slice(self.authority().map_or(additions.host, |(from, to)| part(from, to)));
            out.extend_from_slice(b"\r\n");
        }
        if self.websocket {
            out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
        }
        if let Some(changes) = additions.changes {
            out.extend_from_slice(&changes.lines);
        }
        out.extend_from_slice(additions.lines);
        out.extend_from_slice(b"\r\n");
    }

    /// The method as it was written.
    pub fn method_name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
        bytes.get(start..self.method_end).unwrap_or_default()
    }

    /// The host that is asked, with its port if there is one; empty: none.
    pub fn host<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let place = self.host.or(self.authority());
        place.and_then(|(from, to)| bytes.get(from..to)).unwrap_or_default()
    }

    /// Whether its target is a whole URL of `https`.
    pub fn is_for_https(&self) -> bool {
        self.whole.is_some_and(|whole| whole.secure)
    }

    fn authority(&self) -> Option<Place> {
        self.whole.map(|whole| whole.authority)
    }

    /// Bytes of the whole target.
    pub fn target_length(&self) -> usize {
        self.target.1.saturating_sub(self.method_end + 1)
    }

    /// Path and query as they were written; of a whole URL they may be empty.
    pub fn target<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.target.0..self.target.1).unwrap_or_default()
    }

    fn read_fields(&mut self, bytes: &[u8], fields: &[Field]) -> Result<(), Refusal> {
        let mut framing = Framing::default();
        let mut connection = Connection::default();
        let mut host = None;
        let mut websocket = false;
        for (index, field) in fields.iter().enumerate() {
            let (name, value) = (field.name(bytes), field.value(bytes));
            match known(name) {
                Known::Host => {
                    // RFC 9112 section 3.2: one Host, and a valid one.
                    self.host = Some((field.value_start as usize, field.value_end as usize));
                    if host.replace(Authority::parse(value).map_err(Refusal::bad)?).is_some() {
                        return Err(Refusal::bad("more than one Host"));
                    }
                }
                Known::ContentLength => framing.content_length(value).map_err(Refusal::bad)?,
                Known::TransferEncoding => framing.transfer_encoding(value)?,
                Known::Connection => {
                    connection.read(value);
                    self.dropped |= 1 << index;
                }
                Known::Upgrade => {
                    websocket |= value.eq_ignore_ascii_case(b"websocket");
                    self.dropped |= 1 << index;
                }
                Known::Hop => self.dropped |= 1 << index,
                Known::Expect => {
                    // RFC 9110 section 10.1.1; a 1.0 client's expectation is ignored.
                    if self.version == Version::V10 {
                        self.dropped |= 1 << index;
                    } else if !value.eq_ignore_ascii_case(b"100-continue") {
                        return Err(Refusal::new(
                            Status::ExpectationFailed,
                            "only 100-continue can be expected",
                        ));
                    }
                }
                Known::ForwardedProto => self.forwarded_proto |= 1 << index,
                Known::Other => {}
            }
        }
        match (host, self.whole) {
            (None, _) if self.version == Version::V11 => return Err(Refusal::bad("there is no Host")),
            (Some(host), Some(whole)) => {
                // RFC 9112 section 3.2.2 lets the target win; refusing is safer.
                let (from, to) = whole.authority;
                let asked =
                    Authority::parse(bytes.get(from..to).unwrap_or_default()).map_err(Refusal::bad)?;
                if !host.is_same(&asked, whole.port()) {
                    return Err(Refusal::bad("the Host differs from the request's target"));
                }
            }
            (None | Some(_), None | Some(_)) => {}
        }
        self.body = framing.request_body(self.version)?;
        if connection.named {
            self.dropped |= named_fields(bytes, fields)?;
        }
        self.keep_alive = match self.version {
            Version::V11 => !connection.close,
            Version::V10 => connection.keep_alive && !connection.close,
        };
        self.websocket =
            websocket && connection.upgrade && self.version == Version::V11 && self.body == Body::NONE;
        Ok(())
    }
}
