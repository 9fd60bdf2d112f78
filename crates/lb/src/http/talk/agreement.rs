//! Whether a server agrees to a WebSocket that a client has asked for over HTTP/2 (RFC 8441).
//!
//! Such a client sees no proof (RFC 6455 section 4.2.2), and takes any 2xx for the beginning. A client of HTTP/1.1 looks for
//! itself.

use relevo_proto::head::field;

use crate::http::refusal::{Refusal, Status};
use crate::log::Phase;
use crate::shared::websocket;

const NO_WEBSOCKET: Refusal = Refusal::new(Status::BadGateway, "the server takes no WebSocket there");
const NO_PROOF: Refusal =
    Refusal::new(Status::BadGateway, "the server does not prove that it speaks WebSocket");

/// What the client gets instead of an answer that is no agreement, and where it ended; `None`: the answer goes its way.
/// `asked`: the head of the request.
pub(super) fn refusal(asked: &[u8], status: u16, answer: &[u8]) -> Option<(Refusal, Phase)> {
    match status {
        101 => {
            let key = field(asked, b"sec-websocket-key").unwrap_or_default();
            let proof = field(answer, b"sec-websocket-accept");
            (proof != Some(websocket::accept(key).as_bytes())).then_some((NO_PROOF, Phase::Head))
        }
        200..=299 => Some((NO_WEBSOCKET, Phase::Upgrade)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    fn of(answer: &str) -> Option<Phase> {
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        refusal(ASKED, status, format!("{answer}\r\n\r\n").as_bytes()).map(|(_, phase)| phase)
    }

    #[test]
    fn only_a_proof_is_an_agreement() {
        let switches = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: ";
        assert_eq!(of(&format!("{switches}s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")), None);
        assert_eq!(of(&format!("{switches}wrong")), Some(Phase::Head));
        assert_eq!(of("HTTP/1.1 101 Switching Protocols"), Some(Phase::Head));
        assert_eq!(of("HTTP/1.1 204 No Content"), Some(Phase::Upgrade));
        assert_eq!(of("HTTP/1.1 403 Forbidden"), None);
    }
}
