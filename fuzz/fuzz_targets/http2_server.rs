//! Any bytes as what a server says over HTTP/2: the engine gets one well-formed answer to each request, or none.
//!
//! The first byte chooses: bit 0 the bytes are all that the server says, else its SETTINGS come before them, with room for all
//! streams and WebSockets; the other bits are the size of the pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relevo_lb::shared::replay;

/// SETTINGS with SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 section 3), and the acknowledgement of ours.
const START: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x08\0\0\0\x01\0\0\0\x04\x01\0\0\0\0";

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let size = usize::from(choice >> 1) * 8 + 16;
    let start = if choice & 1 == 0 { START } else { b"" };
    let pieces: Vec<&[u8]> = std::iter::once(start).chain(rest.chunks(size)).collect();
    let replay = replay::play(&pieces);
    for answer in &replay.answers {
        assert_eq!(answer.fault, None, "{answer:?}");
        // No line that the server could have smuggled in: a name has no colon, a value no line's end.
        for line in answer.head.split(|byte| *byte == b'\n') {
            assert!(line.is_empty() || line.ends_with(b"\r"));
        }
    }
    // Nobody makes us say more than a little for each byte.
    assert!(replay.said.len() <= 8192 + 64 * bytes.len(), "{} bytes of frames", replay.said.len());
});
