//! The PROXY protocol, versions 1 and 2: who the client is, told by the proxy in front of us, or by us to a server
//! (HAProxy's `proxy-protocol.txt`, 2020/03/05).
//!
//! ```text
//!   v1   PROXY TCP4 192.0.2.1 198.51.100.7 51000 443 CRLF          text, at most 107 bytes
//!   v2   signature (12) | version, command | family | length (2) | addresses | TLVs
//! ```
//! Strict, because it decides whom the rules believe: what the document does not allow is refused, never guessed at.
//! Pure: it does not know whether a peer may be believed, nor how long to wait for it.

mod binary;
#[cfg(test)]
mod tests;
mod text;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use relevo_model::cluster::ProxyVersion;

/// Largest header that is taken, bytes. Version 2 could be 65,551; TLVs that fill so much are nobody's address.
pub const LARGEST: usize = 16 * 1024;

/// A connection's two ends as the client's side sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// Where it connected to.
    pub destination: SocketAddr,
}

/// A header that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whom the connection is made for; `None`: it speaks for itself (`LOCAL`, `UNKNOWN`, or ends that are not TCP over
    /// IP), and the real ends count.
    pub ends: Option<Ends>,
    /// Where the header ends and the client's own bytes begin.
    pub length: usize,
}

/// The bytes are not a PROXY header, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotProxy(pub &'static str);

impl NotProxy {
    /// There is none at all.
    pub const NONE: Self = Self("the connection does not begin with a PROXY header");
}

impl Header {
    /// Reads a header at the beginning of a connection; `None`: more bytes are needed. A header of [`LARGEST`] bytes or
    /// less is understood when it is whole, whatever the pieces it came in.
    ///
    /// # Errors
    /// [`NotProxy`] as soon as it cannot become a header any more.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, NotProxy> {
        match bytes.first() {
            None => Ok(None),
            Some(b'P') => text::parse(bytes),
            Some(b'\r') => binary::parse(bytes),
            Some(_) => Err(NotProxy::NONE),
        }
    }
}

/// Writes the header that begins a connection to a server. `None`: the connection is our own, as a check's.
///
/// Ends of two families become IPv6 both (RFC 4291 section 2.5.5.2), as HAProxy does it.
pub fn write(version: ProxyVersion, ends: Option<Ends>, out: &mut Vec<u8>) {
    match version {
        ProxyVersion::V1 => text::write(ends, out),
        ProxyVersion::V2 => binary::write(ends, out),
    }
}

/// Ends as a rule's network or a log would name them: an IPv4 address that was written as IPv6 is IPv4.
fn canonical(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Ends {
    let end = |(ip, port): (IpAddr, u16)| SocketAddr::new(ip.to_canonical(), port);
    Ends { source: end(source), destination: end(destination) }
}

/// Both as IPv6.
fn as_v6(ends: Ends) -> [Ipv6Addr; 2] {
    [ends.source, ends.destination].map(|end| match end.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    })
}
