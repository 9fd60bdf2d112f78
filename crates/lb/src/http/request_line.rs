//! A request's first line (RFC 9112 section 3): method, target, version.

use relevo_proto::authority::Authority;

use super::fields::is_token;
use super::refusal::{Refusal, Status};

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

/// What a whole URL says besides path and query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    /// Whether its scheme is `https`.
    pub(super) secure: bool,
    /// Host and port.
    pub(super) authority: Place,
}

impl Whole {
    /// The port where none is written (RFC 9110 sections 4.2.1 and 4.2.2).
    pub(super) const fn port(self) -> u16 {
        if self.secure { 443 } else { 80 }
    }
}

/// What a request line says. Places are those in the bytes that were parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) method_end: usize,
    /// Path and query.
    pub(super) target: Place,
    /// Of a target that is a whole URL.
    pub(super) whole: Option<Whole>,
    /// Where the next line begins.
    pub(super) end: usize,
}

/// The request line (RFC 9112 section 3): exactly one space between its three parts.
pub(super) fn parse(bytes: &[u8], start: usize) -> Result<Option<Line>, Refusal> {
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
    let (whole, target) = parse_target(target, target_start, is_options(line))?;
    Ok(Some(Line {
        method,
        version,
        method_end: start + method_length,
        target,
        whole,
        end: target_start + target_length + 11,
    }))
}

pub(super) fn is_options(line: &[u8]) -> bool {
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

/// From one byte to before another.
pub(super) type Place = (usize, usize);

/// The target's forms (RFC 9112 section 3.2): `/path`, `http://host/path` or `https://host/path`, and `*` for OPTIONS.
fn parse_target(target: &[u8], start: usize, is_options: bool) -> Result<(Option<Whole>, Place), Refusal> {
    let end = start + target.len();
    match target {
        [b'/', ..] => return Ok((None, (start, end))),
        b"*" if is_options => return Ok((None, (start, end))),
        _ => {}
    }
    let begins = |scheme: &str| {
        let found = target.get(..scheme.len());
        found.is_some_and(|found| found.eq_ignore_ascii_case(scheme.as_bytes())).then_some(scheme.len())
    };
    let (secure, scheme) = match (begins("http://"), begins("https://")) {
        (Some(length), _) => (false, length),
        (None, Some(length)) => (true, length),
        (None, None) => return Err(Refusal::bad("the request's target is neither a path nor an http URL")),
    };
    let rest = target.get(scheme..).unwrap_or_default();
    let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    if length == 0 {
        return Err(Refusal::bad("the URL in the request's target names no host"));
    }
    Authority::parse(rest.get(..length).unwrap_or_default()).map_err(Refusal::bad)?;
    let path = start + scheme + length;
    Ok((Some(Whole { secure, authority: (start + scheme, path) }), (path, end)))
}
