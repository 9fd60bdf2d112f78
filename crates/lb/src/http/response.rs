//! A response's head: checked as strictly as a request's, and written anew for the client.

use relevo_proto::rule::Changes;

use super::body::Body;
use super::chunked::Chunked;
use super::fields::{Field, Fields};
use super::framing::Framing;
use super::hop::{Connection, Known, changed_fields, known, named_fields, write_kept};
use super::request_line::{Method, Version};

/// What the engine must know of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Whether the server will take another request on its connection.
    pub keep_alive: bool,
    /// How its body ends.
    pub body: Body,
    /// Where the head ends.
    pub length: usize,
    version: Version,
    dropped: u128,
    coding: Option<u8>,
    fields_start: usize,
}

/// The server's answer breaks the rules; the client gets 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

/// How the answer is written for this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner<'a> {
    /// The client's version.
    pub version: Version,
    /// Whether its connection ends with this answer.
    pub close: bool,
    /// What is changed in the fields.
    pub changes: Option<&'a Changes>,
}

impl Response {
    /// Parses a head that answers a request of this method; `None`: more bytes are needed.
    ///
    /// # Errors
    /// When framing is wrong or unclear, or the head larger than `limit` bytes.
    pub fn parse(
        bytes: &[u8],
        limit: usize,
        method: Method,
        fields: &mut Fields,
    ) -> Result<Option<Self>, Broken> {
        let more = || {
            if bytes.len() >= limit {
                Err(Broken("the head of the server's answer is too large"))
            } else {
                Ok(None)
            }
        };
        let Some(mut response) = parse_line(bytes)? else { return more() };
        let end = fields.parse(bytes, response.fields_start).map_err(|refusal| Broken(refusal.reason))?;
        let Some(end) = end else { return more() };
        if end > limit {
            return Err(Broken("the head of the server's answer is too large"));
        }
        response.length = end;
        response.read_fields(bytes, fields.list(), method)?;
        Ok(Some(response))
    }

    /// Whether another response to the same request follows (RFC 9110 section 15.2).
    pub const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// The fields that are not for one hop only.
    pub(crate) fn kept<'a>(&self, fields: &'a [Field]) -> impl Iterator<Item = &'a Field> {
        let dropped = self.dropped | self.coding.map_or(0, |index| 1 << index);
        fields.iter().enumerate().filter(move |(index, _)| dropped >> index & 1 == 0).map(|(_, field)| field)
    }

    /// Writes the head for the client.
    pub fn write(&self, bytes: &[u8], fields: &[Field], manner: Manner<'_>, out: &mut Vec<u8>) {
        // From the space after the version: status, phrase, CRLF.
        out.extend_from_slice(b"HTTP/1.1");
        out.extend_from_slice(bytes.get(8..self.fields_start).unwrap_or_default());
        // RFC 9112 section 6.1: not to a client of HTTP/1.0, not even about a body that does not come.
        let to_old = manner.version == Version::V10;
        let coding = self.coding.filter(|_| to_old).map_or(0, |index| 1 << index);
        let changed = manner.changes.map_or(0, |changes| changed_fields(bytes, fields, changes));
        write_kept(bytes, fields, self.dropped | coding | changed, out);
        if let Some(changes) = manner.changes {
            out.extend_from_slice(&changes.lines);
        }
        if self.status == 101 {
            out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
        } else if manner.close && !self.is_interim() {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if to_old {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    fn read_fields(&mut self, bytes: &[u8], fields: &[Field], method: Method) -> Result<(), Broken> {
        let mut framing = Framing::default();
        let mut connection = Connection::default();
        // RFC 9110 sections 8.6 and 6.4.1: 1xx and 204 have no body and must not speak of one.
        let bodiless = self.status < 200 || self.status == 204;
        for (index, field) in fields.iter().enumerate() {
            let value = field.value(bytes);
            let framed = match known(field.name(bytes)) {
                Known::ContentLength => {
                    framing.content_length(value).map_err(Broken)?;
                    true
                }
                Known::TransferEncoding => {
                    framing.transfer_encoding(value).map_err(|refusal| Broken(refusal.reason))?;
                    self.coding = u8::try_from(index).ok();
                    true
                }
                Known::Connection => {
                    connection.read(value);
                    self.dropped |= 1 << index;
                    false
                }
                Known::Upgrade | Known::Hop => {
                    self.dropped |= 1 << index;
                    false
                }
                Known::Host | Known::Expect | Known::ForwardedProto | Known::Other => false,
            };
            if framed && bodiless {
                self.dropped |= 1 << index;
            }
        }
        if connection.named {
            self.dropped |= named_fields(bytes, fields).map_err(|refusal| Broken(refusal.reason))?;
        }
        // RFC 9112 section 6.3, in its order; both framings together are an error here.
        self.body = match (framing.chunked, framing.length) {
            (true, Some(_)) => return Err(Broken("both Transfer-Encoding and Content-Length")),
            (true, None) if self.version == Version::V10 => {
                return Err(Broken("Transfer-Encoding in HTTP/1.0"));
            }
            _ if bodiless || self.status == 304 || method == Method::Head => Body::NONE,
            (true, None) => Body::Chunked(Chunked::new()),
            (false, Some(length)) => Body::Length(length),
            (false, None) => Body::UntilClose,
        };
        self.keep_alive = match self.version {
            Version::V11 => !connection.close,
            Version::V10 => connection.keep_alive && !connection.close,
        } && self.body != Body::UntilClose;
        Ok(())
    }
}

/// The status line (RFC 9112 section 4).
fn parse_line(bytes: &[u8]) -> Result<Option<Response>, Broken> {
    const WANTED: &[u8; 8] = b"HTTP/1.d";
    let version_so_far = bytes
        .iter()
        .zip(WANTED)
        .all(|(byte, wanted)| byte == wanted || (*wanted == b'd' && matches!(byte, b'0' | b'1')));
    if !version_so_far {
        return Err(Broken("the server's answer is not HTTP/1.0 or HTTP/1.1"));
    }
    let Some(feed) = memchr::memchr(b'\n', bytes) else { return Ok(None) };
    let line = bytes
        .get(8..feed)
        .and_then(|line| line.strip_suffix(b"\r"))
        .ok_or(Broken("the server's status line is broken"))?;
    let [b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', phrase @ ..] = line else {
        return Err(Broken("the server's status line has no status"));
    };
    let fine = phrase.is_empty()
        || phrase.first() == Some(&b' ')
            && phrase.iter().all(|byte| (*byte >= 0x20 || *byte == b'\t') && *byte != 0x7f);
    if !fine {
        return Err(Broken("the server's status line is broken"));
    }
    let digit = |byte: &u8| u16::from(byte - b'0');
    Ok(Some(Response {
        status: digit(a) * 100 + digit(b) * 10 + digit(c),
        keep_alive: false,
        body: Body::NONE,
        length: 0,
        version: if bytes.get(7) == Some(&b'1') { Version::V11 } else { Version::V10 },
        dropped: 0,
        coding: None,
        fields_start: feed + 1,
    }))
}
