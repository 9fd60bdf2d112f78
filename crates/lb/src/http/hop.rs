//! Which fields are for one hop only (RFC 9110 section 7.6.1), and leaving them out.

use relevo_proto::rule::Changes;

use super::fields::{Field, elements};
use super::refusal::Refusal;

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
    /// `X-Forwarded-Proto`: only we know how the client has come.
    ForwardedProto,
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
        17 if is(b"x-forwarded-proto") => Known::ForwardedProto,
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
            if [
                &b"host"[..],
                b"content-length",
                b"transfer-encoding",
                b"x-forwarded-for",
                b"x-forwarded-proto",
            ]
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

/// The fields that rules leave out.
pub(super) fn changed_fields(bytes: &[u8], fields: &[Field], changes: &Changes) -> u128 {
    let mut dropped = 0;
    for (index, field) in fields.iter().enumerate() {
        if changes.leaves_out(field.name(bytes)) {
            dropped |= 1 << index;
        }
    }
    dropped
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
