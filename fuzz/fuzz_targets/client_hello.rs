//! Any bytes as the first ones of a connection: a name, not TLS, or more are needed; and more bytes never change what
//! was said.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relevo_proto::hello::{Hello, LONGEST, read};

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes);
    if let Hello::Name(name) = &whole {
        assert!(name.len() <= 253 && !name.bytes().any(|byte| byte.is_ascii_uppercase() || byte <= b' ' || byte >= 0x7f));
    }
    assert!(whole != Hello::More || bytes.len() < LONGEST);
    for end in [bytes.len() / 2, bytes.len().saturating_sub(1)] {
        let part = read(&bytes[..end]);
        assert!(part == Hello::More || part == whole, "{part:?} {whole:?}");
    }
});
