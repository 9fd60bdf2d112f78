//! The hashes that choose servers. They are part of what directors agree on, and must never change.

use twox_hash::XxHash64;

/// The hash of a client's key, or of a server's name: xxHash's XXH64 with the seed 0, in every release and on every
/// machine. It does not resist those who look for keys that meet one server; no hash that all directors know does.
pub fn hash(key: &[u8]) -> u64 {
    XxHash64::oneshot(0, key)
}

/// Spreads a number over all 64 bits: a bijection (the finalizer of `SplitMix64`: Steele, Lea, Flood 2014). With a
/// counter it gives numbers that look drawn at random.
pub const fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
