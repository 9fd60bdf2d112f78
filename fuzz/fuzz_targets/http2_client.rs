//! Any bytes as an HTTP/2 connection: whatever the engine gets of it is one well-formed request on each stream.
//!
//! The first byte chooses: bit 0 the bytes are a whole connection, else they are frames behind a preface that is right;
//! the other bits are the size of the pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relevo_lb::http2::replay;

const START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let size = usize::from(choice >> 1) * 8 + 16;
    let start = if choice & 1 == 0 { START } else { b"" };
    let pieces: Vec<&[u8]> = std::iter::once(start).chain(rest.chunks(size)).collect();
    let replay = replay::play(&pieces);
    for request in &replay.requests {
        assert_eq!(request.fault, None, "{}", String::from_utf8_lossy(&request.head));
        // No line that the client could have smuggled in: a name has no colon, a value no line's end.
        for line in request.head.split(|byte| *byte == b'\n') {
            assert!(line.is_empty() || line.ends_with(b"\r"));
        }
    }
    // Nobody makes us say more than a little for each byte.
    assert!(replay.answer.len() <= 4096 + 64 * bytes.len(), "{} bytes of frames", replay.answer.len());
});
