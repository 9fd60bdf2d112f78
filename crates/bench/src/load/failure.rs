//! What can go wrong with a request, in the words of somebody who waits for the answer.

use std::io::{Error, ErrorKind};

use serde::Serialize;

/// Why there was no good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Nobody listens there.
    Refused,
    /// The connection could not be made for another reason.
    Unreachable,
    /// This machine has no more ports or open files for us.
    Exhausted,
    /// The TLS handshake failed, or the other side does not speak what was agreed.
    Tls,
    /// The connection ended before the first byte of the answer.
    Unanswered,
    /// The connection ended within the answer.
    Cut,
    /// The answer took longer than allowed, connecting included.
    Late,
    /// What came was not an answer.
    Garbled,
    /// HTTP/2: the server refused or reset the request.
    Reset,
}

impl Failure {
    /// All of them, as they are listed.
    pub const ALL: [Self; 9] = [
        Self::Refused,
        Self::Unreachable,
        Self::Exhausted,
        Self::Tls,
        Self::Unanswered,
        Self::Cut,
        Self::Late,
        Self::Garbled,
        Self::Reset,
    ];

    /// For the table of failures.
    pub fn words(self) -> &'static str {
        match self {
            Self::Refused => "connection refused",
            Self::Unreachable => "connection could not be made",
            Self::Exhausted => "no more ports or open files here",
            Self::Tls => "TLS handshake failed",
            Self::Unanswered => "closed before the answer",
            Self::Cut => "closed within the answer",
            Self::Late => "no answer in time",
            Self::Garbled => "not an answer",
            Self::Reset => "request refused (HTTP/2)",
        }
    }

    /// Whether it happened before the request could be sent: asking again at once would only burn CPU time.
    pub(super) fn is_before_request(self) -> bool {
        match self {
            Self::Refused | Self::Unreachable | Self::Exhausted | Self::Tls => true,
            Self::Unanswered | Self::Cut | Self::Late | Self::Garbled | Self::Reset => false,
        }
    }

    /// Of a connection that could not be made.
    pub(super) fn connecting(error: &Error) -> Self {
        let code = error.raw_os_error().map(nix::errno::Errno::from_raw);
        match (error.kind(), code) {
            (ErrorKind::ConnectionRefused, _) => Self::Refused,
            (ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse, _)
            | (_, Some(nix::errno::Errno::EMFILE | nix::errno::Errno::ENFILE)) => Self::Exhausted,
            _ => Self::Unreachable,
        }
    }

    /// Of a connection that broke; `begun`: bytes of the answer had come.
    pub(super) fn broken(begun: bool) -> Self {
        if begun { Self::Cut } else { Self::Unanswered }
    }
}
