//! A request as rules see it: borrowed bytes, cut into the parts that conditions speak of.

use std::borrow::Cow;
use std::net::IpAddr;

use super::path::Readings;
use crate::authority;

/// The header fields of a request, wherever they stand.
pub trait Headers {
    /// Whether one of the values of the fields of this name passes the test. Names are compared in any case; the value
    /// of each field line is one value, without white space around it.
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// No header fields: what rules of mode `tcp` see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn any(&self, _name: &str, _test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

/// Fields as pairs of name and value.
impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for [(N, V)] {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.iter().any(|(other, value)| other.as_ref().eq_ignore_ascii_case(name) && test(value.as_ref()))
    }
}

/// A request, as it was sent.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The host that was asked, with its port if the client wrote one; empty: none.
    pub host: &'a [u8],
    /// Path and query.
    pub target: &'a [u8],
    /// The header fields.
    pub headers: &'a dyn Headers,
    /// The client's address.
    pub source: IpAddr,
    /// Whether the client speaks TLS.
    pub tls: bool,
    /// The name that the client asked for in TLS; empty: none.
    pub tls_name: &'a [u8],
    /// What the request is called in logs.
    pub id: u128,
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the header fields: there are passwords among them.
        f.debug_struct("Request")
            .field("source", &self.source)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// The same, cut into parts.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) request: Request<'a>,
    /// In its normal form, without port; letters as they were sent.
    pub(super) host: Cow<'a, [u8]>,
    /// As sent; `/` if the client wrote none.
    pub(super) path: &'a [u8],
    /// Without its question mark.
    pub(super) query: Option<&'a [u8]>,
    /// The path as conditions compare it.
    pub(super) readings: Readings<'a>,
}

impl<'a> Facts<'a> {
    pub(super) fn new(request: &Request<'a>) -> Self {
        let (path, query) = split(request.target);
        Self {
            request: *request,
            host: authority::normal(request.host),
            path,
            query,
            readings: Readings::of(path),
        }
    }

    /// The address to compare with networks; `None`: it is not IPv4.
    pub(super) fn source(&self) -> IpAddr {
        self.request.source.to_canonical()
    }

    /// The values of a query parameter, decoded.
    pub(super) fn parameters(&self, name: &str) -> impl Iterator<Item = Cow<'a, [u8]>> {
        let parts = self.query.unwrap_or_default().split(|byte| *byte == b'&');
        parts.filter(|part| !part.is_empty()).filter_map(move |part| {
            let (key, value) = cut(part, b'=');
            (*decode(key) == *name.as_bytes()).then(|| decode(value))
        })
    }

    /// Whether a cookie of this name has a value that passes.
    pub(super) fn any_cookie(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.request.headers.any("cookie", &mut |line| {
            line.split(|byte| *byte == b';').any(|pair| {
                let (key, value) = cut(pair.trim_ascii(), b'=');
                key.trim_ascii() == name.as_bytes() && test(value.trim_ascii())
            })
        })
    }
}

/// Path and query of a target. Of a whole URL only its path and query are asked for here, and the path may be missing.
fn split(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (path, query) = match target.iter().position(|byte| *byte == b'?') {
        Some(mark) => (target.get(..mark), target.get(mark + 1..)),
        None => (Some(target), None),
    };
    (path.filter(|path| !path.is_empty()).unwrap_or(b"/"), query)
}

/// What stands before and after the first such byte.
fn cut(bytes: &[u8], at: u8) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == at) {
        Some(place) => (bytes.get(..place).unwrap_or_default(), bytes.get(place + 1..).unwrap_or_default()),
        None => (bytes, &[]),
    }
}

/// Decodes a part of a query as forms write it: `%41` is a byte, `+` a space. A `%` without two digits stays.
pub(super) fn decode(part: &[u8]) -> Cow<'_, [u8]> {
    if !part.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(part);
    }
    let mut out = Vec::with_capacity(part.len());
    let mut rest = part;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, escaped(tail)) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            (b'+', _) => out.push(b' '),
            (other, _) => out.push(*other),
        }
    }
    Cow::Owned(out)
}

/// The byte that two hexadecimal digits are.
pub(super) fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match digits {
        [high, low, ..] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}
