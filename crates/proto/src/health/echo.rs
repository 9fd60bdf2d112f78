//! ICMP echo messages (RFC 792, for IPv6 RFC 4443): written, and known again.

/// Bytes of a message of ours.
pub const LENGTH: usize = 24;

const REQUEST: u8 = 8;
const REPLY: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// A request. `token` makes it ours: the reply brings it back.
pub fn request(identifier: u16, sequence: u16, token: [u8; 16]) -> [u8; LENGTH] {
    let mut message = [0; LENGTH];
    message[0] = REQUEST;
    message[4..6].copy_from_slice(&identifier.to_be_bytes());
    message[6..8].copy_from_slice(&sequence.to_be_bytes());
    message[8..].copy_from_slice(&token);
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// A request over IPv6, without a checksum: it is over addresses that only the kernel knows, which puts it in (RFC 3542
/// section 3.1).
pub fn request_v6(identifier: u16, sequence: u16, token: [u8; 16]) -> [u8; LENGTH] {
    let mut message = request(identifier, sequence, token);
    message[0] = REQUEST_V6;
    message[2..4].fill(0);
    message
}

/// Whether a message answers the request over IPv6 with this token. Its sockets give no header.
pub fn is_reply_v6(message: &[u8], token: [u8; 16]) -> bool {
    message.first() == Some(&REPLY_V6) && message.get(1) == Some(&0) && message.get(8..) == Some(&token[..])
}

/// Whether a message, with or without the IPv4 header that raw sockets give, answers the request with this token.
pub fn is_reply(message: &[u8], token: [u8; 16]) -> bool {
    let icmp = match message.first() {
        // Version 4, then the header's length in words of four bytes; an echo reply begins with 0.
        Some(first) if first >> 4 == 4 => message.get(usize::from(first & 15) * 4..),
        Some(_) | None => Some(message),
    };
    let Some(icmp) = icmp else { return false };
    icmp.first() == Some(&REPLY) && icmp.get(1) == Some(&0) && icmp.get(8..) == Some(&token[..])
}

/// The checksum of RFC 1071 over a whole number of words.
fn checksum(bytes: &[u8; LENGTH]) -> u16 {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_reply_is_known_with_and_without_its_ip_header(token: [u8; 16], other: [u8; 16], id: u16, number: u16) {
            let request = request(id, number, token);
            let words = request.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
            prop_assert_eq!(words.sum::<u32>() % 0xffff, 0, "the checksum makes the sum zero");
            prop_assert!(!is_reply(&request, token), "our own request is no reply");
            let mut reply = request.to_vec();
            reply[0] = REPLY;
            prop_assert!(is_reply(&reply, token));
            prop_assert_eq!(is_reply(&reply, other), token == other);
            let mut raw = vec![0x45];
            raw.extend_from_slice(&[0; 19]);
            raw.extend_from_slice(&reply);
            prop_assert!(is_reply(&raw, token));
            let mut reply = request_v6(id, number, token).to_vec();
            prop_assert!(!is_reply_v6(&reply, token));
            reply[0] = REPLY_V6;
            prop_assert_eq!(is_reply_v6(&reply, other), token == other);
        }

        #[test]
        fn any_bytes_are_looked_at_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = is_reply(&bytes, [0; 16]);
            let _ = is_reply_v6(&bytes, [0; 16]);
        }
    }
}
