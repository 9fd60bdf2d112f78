//! What the access log says of a connection that ended before there was a request: its TLS handshake failed, or its PROXY header
//! was missing. Not here: requests that were not understood, which are a [`super::Record`].

use std::net::SocketAddr;

use super::{Cause, Phase, Termination};

/// A connection that never came to a request, though its client has said something.
#[derive(Clone, Copy, Debug)]
pub struct Stranger<'a> {
    /// The client.
    pub client: SocketAddr,
    /// When its connection was accepted, to a tenth of a second; milliseconds since 1970 UTC.
    pub accepted: u64,
    /// The service.
    pub service: &'a str,
    /// Which entry of its `listen`, from 1.
    pub listen: usize,
    /// Why.
    pub failure: Failure,
    /// The same more exactly; empty: there is no more to say.
    pub reason: &'a str,
}

/// Why a connection never came to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The handshake failed: nothing in common, no certificate, no TLS at all.
    Handshake,
    /// The client left in the handshake.
    HandshakeLeft,
    /// The handshake was not done in time.
    HandshakeSlow,
    /// The connection did not begin with a PROXY header.
    NoHeader,
    /// The PROXY header is not valid.
    WrongHeader,
    /// The client left in the PROXY header.
    HeaderLeft,
    /// The PROXY header was not there in time.
    HeaderSlow,
}

impl Failure {
    /// HAProxy's words.
    pub const fn haproxy(self) -> &'static str {
        match self {
            Self::Handshake => "SSL handshake failure",
            Self::HandshakeLeft => "Connection closed during SSL handshake",
            Self::HandshakeSlow => "Timeout during SSL handshake",
            Self::NoHeader => "Received something which does not look like a PROXY protocol header",
            Self::WrongHeader => "Received an invalid PROXY protocol header",
            Self::HeaderLeft => "Truncated PROXY protocol header received",
            Self::HeaderSlow => "Timeout while waiting for PROXY protocol header",
        }
    }

    /// Words for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Handshake => "TLS handshake failed",
            Self::HandshakeLeft => "client left in the TLS handshake",
            Self::HandshakeSlow => "TLS handshake was not done in time",
            Self::NoHeader => "no PROXY header",
            Self::WrongHeader => "PROXY header is not valid",
            Self::HeaderLeft => "client left in the PROXY header",
            Self::HeaderSlow => "PROXY header did not arrive in time",
        }
    }

    /// The same as of a request.
    pub const fn termination(self) -> Termination {
        let cause = match self {
            Self::Handshake | Self::NoHeader | Self::WrongHeader => Cause::Refused,
            Self::HandshakeLeft | Self::HeaderLeft => Cause::Client,
            Self::HandshakeSlow | Self::HeaderSlow => Cause::ClientTimeout,
        };
        Termination::new(cause, Phase::Request)
    }
}
