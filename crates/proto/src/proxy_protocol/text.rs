//! Version 1: one line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{Ends, Header, NotProxy, as_v6, canonical};

/// The longest line, its end included (section 2.1).
const LONGEST: usize = 107;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, NotProxy> {
    const START: &[u8] = b"PROXY ";
    let known = START.len().min(bytes.len());
    if bytes.get(..known) != START.get(..known) {
        return Err(NotProxy::NONE);
    }
    let within = bytes.get(..LONGEST.min(bytes.len())).unwrap_or_default();
    let Some(feed) = within.iter().position(|byte| *byte == b'\n') else {
        return if within.len() == LONGEST { Err(NotProxy("the PROXY line is too long")) } else { Ok(None) };
    };
    let line = within.get(START.len()..feed).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.ok_or(NotProxy("the PROXY line does not end in CRLF"))?;
    let line = std::str::from_utf8(line).map_err(|_| NotProxy("the PROXY line is not text"))?;
    let ends = match line.split_once(' ').unwrap_or((line, "")) {
        // What follows must be ignored (section 2.1).
        ("UNKNOWN", _) => None,
        ("TCP4", rest) => Some(ends::<Ipv4Addr>(rest)?),
        ("TCP6", rest) => Some(ends::<Ipv6Addr>(rest)?),
        _ => return Err(NotProxy("the PROXY line's protocol is not TCP4, TCP6 or UNKNOWN")),
    };
    Ok(Some(Header { ends, length: feed + 1 }))
}

/// `source destination port port`, one space between them.
fn ends<A: FromStr + Into<IpAddr>>(text: &str) -> Result<Ends, NotProxy> {
    let mut parts = text.split(' ');
    let mut part = || parts.next().unwrap_or("");
    let (source, destination, from, to) = (part(), part(), part(), part());
    if parts.next().is_some() {
        return Err(NotProxy("the PROXY line has more than two addresses and two ports"));
    }
    let ip =
        |text: &str| text.parse::<A>().map(Into::into).map_err(|_| NotProxy("the PROXY line has no address"));
    Ok(canonical((ip(source)?, port(from)?), (ip(destination)?, port(to)?)))
}

/// Digits alone, no zero before them (section 2.1).
fn port(text: &str) -> Result<u16, NotProxy> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(NotProxy("the PROXY line has no port"))
}

pub(super) fn write(ends: Option<Ends>, out: &mut Vec<u8>) {
    let line = match ends {
        None => "PROXY UNKNOWN\r\n".to_owned(),
        Some(ends) => {
            let (from, to) = (ends.source.port(), ends.destination.port());
            match (ends.source.ip(), ends.destination.ip()) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    format!("PROXY TCP4 {source} {destination} {from} {to}\r\n")
                }
                (IpAddr::V4(_) | IpAddr::V6(_), IpAddr::V4(_) | IpAddr::V6(_)) => {
                    let [source, destination] = as_v6(ends);
                    format!("PROXY TCP6 {source} {destination} {from} {to}\r\n")
                }
            }
        }
    };
    out.extend_from_slice(line.as_bytes());
}
