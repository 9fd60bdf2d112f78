//! Any bytes as a datagram of the channel between directors, and any change of a right one.
//!
//! The first byte says how many bytes of the rest change a right datagram: pairs of a place and a value.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relevo_model::{NetworkName, NodeName, Time};
use relevo_proto::peers::{Channel, Key, Keys};

fuzz_target!(|bytes: &[u8]| {
    let name = NodeName::new;
    let lan = NetworkName::new("lan");
    let end = |own: &str, boot| {
        Channel::new(name(own), boot, Keys::of(Key::new([7; 32])), [name("a"), name("b")])
    };
    let (mut a, mut b) = (end("a", 10), end("b", 20));
    let now = Time::from_millis(1);
    assert!(b.open(now, &lan, bytes).is_err());
    assert!(b.greet(now, bytes, &lan).is_none());
    let hello = b.seal(now, &name("a"), &lan, 0, &[]);
    assert!(a.open(now, &lan, &hello).is_err());
    let right = a.seal(now, &name("b"), &lan, 1, bytes.get(..bytes.len().min(1200)).unwrap_or_default());
    let mut changed = right.clone();
    for pair in bytes.chunks_exact(2) {
        let at = usize::from(pair[0]) % changed.len();
        changed[at] ^= pair[1];
    }
    assert_eq!(b.open(now, &lan, &changed).is_ok(), changed == right);
});
