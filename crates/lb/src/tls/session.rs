//! What is known of a connection over TLS once its handshake is done.

use rustls::{CommonState, HandshakeKind, ProtocolVersion};

/// A client's TLS session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Session {
    /// The name that the client asked for (SNI, RFC 6066 section 3), in small letters.
    pub(crate) name: Option<Box<str>>,
    /// `TLSv1.3` or `TLSv1.2`.
    pub(crate) version: &'static str,
    /// The cipher suite, as in `TLS13_AES_128_GCM_SHA256`.
    pub(crate) suite: &'static str,
    /// Whether HTTP/2 was agreed on (ALPN).
    pub(crate) h2: bool,
    /// Whether it is a question of ACME, which the handshake has answered (tls-alpn-01).
    pub(crate) proof: bool,
    /// Whether an earlier session was gone on with.
    pub(crate) resumed: bool,
    /// Whether the client has shown a certificate, which was then good.
    pub(crate) verified: bool,
}

impl Session {
    /// The name that the client asked for, as bytes; empty: none.
    pub(crate) fn name_bytes(&self) -> &[u8] {
        self.name.as_deref().unwrap_or_default().as_bytes()
    }

    /// The same with all that was agreed on.
    pub(crate) fn agreed(self, common: &CommonState) -> Self {
        Self {
            name: self.name,
            version: match common.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "unknown",
            },
            suite: common
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or("unknown"),
            proof: common.alpn_protocol() == Some(super::desk::ALPN),
            h2: common.alpn_protocol() == Some(b"h2"),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            verified: common.peer_certificates().is_some(),
        }
    }
}
