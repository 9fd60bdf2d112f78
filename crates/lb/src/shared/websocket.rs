//! What WebSockets need where HTTP/1.1 and HTTP/2 meet (RFC 8441): the one has a key and its proof, the other has none.

use base64ct::{Base64, Encoding};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};

/// RFC 6455 section 1.3.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a server answers to a key (RFC 6455 section 4.2.2).
pub(crate) fn accept(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(MAGIC);
    Base64::encode_string(context.finish().as_ref())
}

/// A new key (RFC 6455 section 4.1). It is no secret: it only shows that the answer is to this request.
pub(crate) fn key() -> String {
    let mut bytes = [0; 16];
    // Without random numbers it is the same each time, which does no harm.
    let _ = SystemRandom::new().fill(&mut bytes);
    Base64::encode_string(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_the_rfc_says() {
        // RFC 6455 section 1.3.
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(key().len(), 24);
        assert_ne!(key(), key());
    }
}
