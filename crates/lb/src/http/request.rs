//! A request's head: checked, understood, and written anew for the server.

use super::body::Body;
use super::chunked::Chunked;
use super::fields::{Field, Fields, elements, is_token};
use super::refusal::{Refusal, Status};

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
    target: (usize, usize),
    authority: Option<(usize, usize)>,
    fields_start: usize,
    has_host: bool,
    dropped: u128,
}

/// The versions that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    V10,
    /// HTTP/1.1.
    V11,
}

/// Methods by what may be done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// HEAD: the answer has no body.
    Head,
    /// GET and OPTIONS: safe (RFC 9110 section 9.2.1).
    Safe,
    /// PUT and DELETE: idempotent (RFC 9110 section 9.2.2).
    Idempotent,
    /// All others: never sent twice.
    Other,
}

/// What the balancer adds to a request.
#[derive(Clone, Copy, Debug)]
pub struct Additions<'a> {
    /// Lines that end in CRLF, as in `X-Forwarded-For: 192.0.2.1`; prepared once for each connection.
    pub lines: &'a [u8],
    /// The Host for a client of HTTP/1.0 that sent none.
    pub host: &'a [u8],
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
        let Some(mut request) = parse_line(bytes, start)? else { return more() };
        let Some(end) = fields.parse(bytes, request.fields_start)? else { return more() };
        if end > limit {
            return Err(too_large);
        }
        request.length = end;
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
        match target.first() {
            // RFC 9112 section 3.2.4: `OPTIONS http://host` asks about the whole server.
            None if bytes.get(method_start..).is_some_and(is_options) => out.push(b'*'),
            // `http://host` and `http://host?query`.
            None => out.push(b'/'),
            Some(b'?') => {
                out.push(b'/');
                out.extend_from_slice(target);
            }
            Some(_) => out.extend_from_slice(target),
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        write_kept(bytes, fields, self.dropped, out);
        if !self.has_host {
            out.extend_from_slice(b"Host: ");
            out.extend_from_slice(self.authority.map_or(additions.host, |(from, to)| part(from, to)));
            out.extend_from_slice(b"\r\n");
        }
        if self.websocket {
            out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
        }
        out.extend_from_slice(additions.lines);
        out.extend_from_slice(b"\r\n");
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
                    if host.replace(value).is_some() {
                        return Err(Refusal::bad("more than one Host"));
                    }
                    if !value.iter().all(|byte| is_authority(*byte)) {
                        return Err(Refusal::bad("the Host is not a name or address"));
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
                Known::Other => {}
            }
        }
        self.has_host = host.is_some();
        match (host, self.authority) {
            (None, _) if self.version == Version::V11 => return Err(Refusal::bad("there is no Host")),
            // RFC 9112 section 3.2.2 lets the target win; refusing is safer.
            (Some(host), Some((from, to)))
                if !same_authority(host, bytes.get(from..to).unwrap_or_default()) =>
            {
                return Err(Refusal::bad("the Host differs from the request's target"));
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

/// The request line (RFC 9112 section 3): exactly one space between its three parts.
fn parse_line(bytes: &[u8], start: usize) -> Result<Option<Request>, Refusal> {
    let line = bytes.get(start..).unwrap_or_default();
    let Some(method_length) = line.iter().position(|byte| !is_token(*byte)) else { return Ok(None) };
    if line.get(method_length) != Some(&b' ') || method_length == 0 {
        // A lone CR may be the first half of an empty line.
        return if line == b"\r" {
            Ok(None)
        } else {
            Err(Refusal::bad("the request does not begin with a method"))
        };
    }
    let target_start = start + method_length + 1;
    let rest = bytes.get(target_start..).unwrap_or_default();
    let Some(target_length) = rest.iter().position(|byte| !(0x21..=0x7e).contains(byte)) else {
        return Ok(None);
    };
    let target = rest.get(..target_length).unwrap_or_default();
    if rest.get(target_length) != Some(&b' ') || target.is_empty() || target.contains(&b'#') {
        return Err(Refusal::bad("the request's target has a character that is not allowed there"));
    }
    let after = rest.get(target_length + 1..).unwrap_or_default();
    let version = match after.get(..10) {
        None if is_start_of_version(after) => return Ok(None),
        Some(b"HTTP/1.1\r\n") => Version::V11,
        Some(b"HTTP/1.0\r\n") => Version::V10,
        Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9', b'\r', b'\n']) => {
            return Err(Refusal::new(Status::VersionNotSupported, "HTTP/1.0 and HTTP/1.1 are spoken here"));
        }
        None | Some(_) => return Err(Refusal::bad("the request line does not end in an HTTP version")),
    };
    let method = match line.get(..method_length).unwrap_or_default() {
        b"GET" | b"OPTIONS" => Method::Safe,
        b"HEAD" => Method::Head,
        b"PUT" | b"DELETE" => Method::Idempotent,
        b"CONNECT" => return Err(Refusal::new(Status::NotImplemented, "this is not a forward proxy")),
        b"TRACE" => {
            return Err(Refusal::new(Status::MethodNotAllowed, "TRACE would show the request's credentials"));
        }
        _ => Method::Other,
    };
    let (authority, target) = parse_target(target, target_start, is_options(line))?;
    Ok(Some(Request {
        method,
        version,
        keep_alive: false,
        body: Body::NONE,
        websocket: false,
        length: 0,
        method_end: start + method_length,
        target,
        authority,
        fields_start: target_start + target_length + 11,
        has_host: false,
        dropped: 0,
    }))
}

fn is_options(line: &[u8]) -> bool {
    line.starts_with(b"OPTIONS ")
}

/// Whether fewer than ten bytes may still become a version.
fn is_start_of_version(bytes: &[u8]) -> bool {
    let digits: [u8; 10] = *b"HTTP/d.d\r\n";
    bytes
        .iter()
        .zip(digits)
        .all(|(byte, wanted)| if wanted == b'd' { byte.is_ascii_digit() } else { *byte == wanted })
}

type Place = (usize, usize);

/// The target's forms (RFC 9112 section 3.2): `/path`, `http://host/path`, and `*` for OPTIONS.
fn parse_target(target: &[u8], start: usize, is_options: bool) -> Result<(Option<Place>, Place), Refusal> {
    let end = start + target.len();
    match target {
        [b'/', ..] => return Ok((None, (start, end))),
        b"*" if is_options => return Ok((None, (start, end))),
        _ => {}
    }
    const SCHEME: usize = b"http://".len();
    let (scheme, rest) = target.split_at(SCHEME.min(target.len()));
    if !scheme.eq_ignore_ascii_case(b"http://") {
        return Err(Refusal::bad("the request's target is neither a path nor an http URL"));
    }
    let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let authority = rest.get(..length).unwrap_or_default();
    if authority.is_empty() || !authority.iter().all(|byte| is_authority(*byte)) {
        return Err(Refusal::bad("the URL in the request's target names no host"));
    }
    let path = start + SCHEME + length;
    Ok((Some((start + SCHEME, path)), (path, end)))
}

/// Bytes of a host with an optional port (RFC 3986 section 3.2.2); no user information.
const fn is_authority(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\''
        | b'(' | b')' | b'*' | b'+' | b';' | b'=' | b':' | b'[' | b']')
}

fn same_authority(a: &[u8], b: &[u8]) -> bool {
    let plain = |authority: &[u8]| authority.len() - if authority.ends_with(b":80") { 3 } else { 0 };
    a.get(..plain(a)).unwrap_or_default().eq_ignore_ascii_case(b.get(..plain(b)).unwrap_or_default())
}

/// Fields that mean something to one hop, or to framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Upgrade,
    /// For one hop only (RFC 9110 section 7.6.1).
    Hop,
    Expect,
    Other,
}

/// Finds a name by its length first: most fields are none of these.
pub(super) fn known(name: &[u8]) -> Known {
    let is = |text: &[u8]| name.eq_ignore_ascii_case(text);
    match name.len() {
        2 if is(b"te") => Known::Hop,
        4 if is(b"host") => Known::Host,
        6 if is(b"expect") => Known::Expect,
        7 if is(b"upgrade") => Known::Upgrade,
        10 if is(b"connection") => Known::Connection,
        10 if is(b"keep-alive") => Known::Hop,
        14 if is(b"content-length") => Known::ContentLength,
        14 if is(b"http2-settings") => Known::Hop,
        16 if is(b"proxy-connection") => Known::Hop,
        17 if is(b"transfer-encoding") => Known::TransferEncoding,
        _ => Known::Other,
    }
}

/// The options of Connection (RFC 9110 section 7.6.1).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Connection {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    /// It names other fields, which are then for this hop only.
    pub(super) named: bool,
}

impl Connection {
    pub(super) fn read(&mut self, value: &[u8]) {
        for option in elements(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.named = true;
            }
        }
    }
}

/// Most names in the Connection fields of one head. Each is looked for among all fields; a head of 16 KiB has room
/// for 8,000, which would cost a thousand times what the request is worth.
const MOST_NAMED: usize = 32;

/// The fields that some Connection names.
pub(super) fn named_fields(bytes: &[u8], fields: &[Field]) -> Result<u128, Refusal> {
    let mut dropped = 0;
    let mut left = MOST_NAMED;
    for connection in fields.iter().filter(|field| known(field.name(bytes)) == Known::Connection) {
        for option in elements(connection.value(bytes)) {
            left = left.checked_sub(1).ok_or(Refusal::bad("Connection names more than 32 fields"))?;
            // These are for everyone who handles the message: who wants them gone wants to confuse the next.
            if [&b"host"[..], b"content-length", b"transfer-encoding", b"x-forwarded-for"]
                .iter()
                .any(|name| option.eq_ignore_ascii_case(name))
            {
                return Err(Refusal::bad("Connection names a field that is not for one hop"));
            }
            for (index, field) in fields.iter().enumerate() {
                if field.name(bytes).eq_ignore_ascii_case(option) {
                    dropped |= 1 << index;
                }
            }
        }
    }
    Ok(dropped)
}

/// What the framing fields say together (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Framing {
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
}

impl Framing {
    /// Only digits, and only once: even equal repetitions are refused, though RFC 9110 section 8.6 lets them pass.
    pub(super) fn content_length(&mut self, value: &[u8]) -> Result<(), &'static str> {
        let mut length: u64 = 0;
        for byte in value {
            length = match byte {
                b'0'..=b'9' => length
                    .checked_mul(10)
                    .and_then(|length| length.checked_add(u64::from(byte - b'0')))
                    .ok_or("the Content-Length is too large")?,
                _ => return Err("the Content-Length is not a number"),
            };
        }
        if value.is_empty() || self.length.replace(length).is_some() {
            return Err("there is not exactly one Content-Length");
        }
        Ok(())
    }

    /// RFC 9112 section 6.1: chunked once, as the last; other codings are not implemented.
    pub(super) fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.chunked, true) {
            return Err(Refusal::bad("more than one Transfer-Encoding"));
        }
        if value.eq_ignore_ascii_case(b"chunked") {
            return Ok(());
        }
        let is_chunked = |element: &&[u8]| element.eq_ignore_ascii_case(b"chunked");
        let last = elements(value).last().is_some_and(|element| is_chunked(&element));
        if last && elements(value).count() > 1 && elements(value).filter(is_chunked).count() == 1 {
            return Err(Refusal::new(
                Status::NotImplemented,
                "chunked is the only transfer coding spoken here",
            ));
        }
        Err(Refusal::bad("the Transfer-Encoding is not chunked"))
    }

    fn request_body(self, version: Version) -> Result<Body, Refusal> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Refusal::bad("both Transfer-Encoding and Content-Length")),
            (true, None) if version == Version::V10 => Err(Refusal::bad("HTTP/1.0 has no Transfer-Encoding")),
            (true, None) => Ok(Body::Chunked(Chunked::new())),
            (false, length) => Ok(Body::Length(length.unwrap_or(0))),
        }
    }
}

/// Copies the field lines that stay, neighbours in one piece.
pub(super) fn write_kept(bytes: &[u8], fields: &[Field], dropped: u128, out: &mut Vec<u8>) {
    let (Some(first), Some(last)) = (fields.first(), fields.last()) else { return };
    let mut from = first.start as usize;
    let mut copy = |from: usize, to: usize| out.extend_from_slice(bytes.get(from..to).unwrap_or_default());
    let mut left = dropped;
    while left != 0 {
        let index = left.trailing_zeros() as usize;
        left &= left - 1;
        let Some(field) = fields.get(index) else { break };
        copy(from, field.start as usize);
        from = field.end as usize;
    }
    copy(from, last.end as usize);
}
