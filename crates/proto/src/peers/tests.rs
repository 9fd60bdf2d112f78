//! What is opened, and what is dropped.

use std::time::Duration;

use proptest::prelude::*;
use relevo_model::{NetworkName, NodeName, Time};

use super::*;

fn name(text: &str) -> NodeName {
    NodeName::new(text)
}

fn net(text: &str) -> NetworkName {
    NetworkName::new(text)
}

fn keys(byte: u8) -> Keys {
    Keys::of(Key::new([byte; 32]))
}

fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

fn end(own: &str, boot: u64) -> Channel {
    Channel::new(name(own), boot, keys(7), ["a", "b", "c"].map(name))
}

/// Two that have heard each other.
fn pair() -> (Channel, Channel) {
    let (mut a, mut b) = (end("a", 10), end("b", 20));
    let first = a.seal(at(0), &name("b"), &net("lan"), 1, b"x");
    assert_eq!(b.open(at(0), &net("lan"), &first), Err(DropReason::Unacquainted));
    let (to, greeting) = b.greet(at(0), &first, &net("lan")).unwrap();
    assert_eq!(to, name("a"));
    // It knows a's run already, so a believes it.
    assert_eq!(a.open(at(0), &net("lan"), &greeting).unwrap().topic, GREETING);
    (a, b)
}

#[test]
fn what_is_sealed_is_opened_once_and_there() {
    let (mut a, mut b) = pair();
    let datagram = a.seal(at(1), &name("b"), &net("lan"), 3, b"hello");
    assert!(a.open(at(1), &net("lan"), &datagram).is_err(), "not by its sender");
    assert_eq!(b.open(at(1), &net("heart"), &datagram), Err(DropReason::Signature), "not on another network");
    let opened = b.open(at(1), &net("lan"), &datagram).unwrap();
    assert_eq!((opened.from.as_str(), opened.topic, opened.bytes), ("a", 3, &b"hello"[..]));
    assert_eq!(b.open(at(1), &net("lan"), &datagram), Err(DropReason::Again));
    let mut c = end("c", 30);
    assert_eq!(c.open(at(1), &net("lan"), &datagram), Err(DropReason::Signature), "not by another receiver");
    assert!(a.seal(at(1), &name("z"), &net("lan"), 3, b"").is_empty());
}

#[test]
fn a_lost_or_late_order_is_no_harm_but_the_window_ends() {
    let (mut a, mut b) = pair();
    let all: Vec<_> = (0..200).map(|_| a.seal(at(1), &name("b"), &net("lan"), 1, b"")).collect();
    for datagram in [&all[150], &all[149], &all[60], &all[199]] {
        assert!(b.open(at(1), &net("lan"), datagram).is_ok());
    }
    assert_eq!(b.open(at(1), &net("lan"), &all[60]), Err(DropReason::Again), "too old to be known");
    assert_eq!(b.open(at(1), &net("lan"), &all[149]), Err(DropReason::Again));
    assert!(b.open(at(1), &net("lan"), &all[198]).is_ok());
}

#[test]
fn what_was_recorded_before_a_restart_is_nothing_after_it() {
    let (mut a, mut b) = pair();
    let recorded: Vec<_> = (0..3).map(|_| a.seal(at(1), &name("b"), &net("lan"), 1, b"active")).collect();
    for datagram in &recorded {
        assert!(b.open(at(1), &net("lan"), datagram).is_ok());
    }
    // The receiver starts anew and has no memory.
    let mut b = end("b", 21);
    for datagram in &recorded {
        assert_eq!(b.open(at(2), &net("lan"), datagram), Err(DropReason::Unacquainted));
    }
    // The sender starts anew: its earlier run is nothing any more.
    let mut a = end("a", 11);
    let fresh = a.seal(at(3), &name("b"), &net("lan"), 1, b"");
    assert_eq!(b.open(at(3), &net("lan"), &fresh), Err(DropReason::Unacquainted));
    assert_eq!(b.open(at(3), &net("lan"), &recorded[0]), Err(DropReason::OldRun));
    let (_, greeting) = b.greet(at(3), &fresh, &net("lan")).unwrap();
    assert!(b.greet(at(4), &fresh, &net("lan")).is_none(), "no two greetings at once");
    assert!(a.open(at(4), &net("lan"), &greeting).is_ok());
    let known = a.seal(at(4), &name("b"), &net("lan"), 1, b"");
    assert!(b.open(at(4), &net("lan"), &known).is_ok());
}

#[test]
fn what_was_kept_back_is_dropped_and_a_slow_drift_is_not() {
    let (mut a, mut b) = pair();
    let kept = a.seal(at(10), &name("b"), &net("lan"), 1, b"");
    let quick = a.seal(at(20), &name("b"), &net("heart"), 1, b"");
    assert!(b.open(at(5020), &net("heart"), &quick).is_ok(), "clocks are not compared, only what they say");
    assert_eq!(b.open(at(7020), &net("lan"), &kept), Err(DropReason::Late));
    for hour in 1..48_u64 {
        let sent = hour * 3_600_000;
        let drifted = sent + 5020 + hour * 400;
        let datagram = a.seal(at(sent), &name("b"), &net("lan"), 1, b"");
        assert!(b.open(at(drifted), &net("lan"), &datagram).is_ok(), "hour {hour}");
    }
}

#[test]
fn keys_change_without_a_gap() {
    let (old, new) = (Key::new([7; 32]), Key::new([8; 32]));
    let file = format!("# now\n{}\n\n# before\n{}\n", new.to_hex(), old.to_hex());
    let (mut a, mut b) = pair();
    b.set_keys(Keys::parse(&file).unwrap());
    let datagram = a.seal(at(1), &name("b"), &net("lan"), 1, b"");
    assert!(b.open(at(1), &net("lan"), &datagram).is_ok());
    let datagram = b.seal(at(1), &name("a"), &net("lan"), 1, b"");
    assert_eq!(a.open(at(1), &net("lan"), &datagram), Err(DropReason::Key));
    assert_eq!(Keys::parse("# none\n"), Err(KeyError::Empty));
    assert_eq!(Keys::parse("\nsecret\n"), Err(KeyError::Line(2)));
    assert_eq!(Keys::parse(&format!("{}\n", old.to_hex()).repeat(9)), Err(KeyError::TooMany));
    assert_eq!(format!("{old:?}"), "Key(..)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
        let (_, mut b) = pair();
        prop_assert!(b.open(at(1), &net("lan"), &bytes).is_err());
        prop_assert!(b.greet(at(1), &bytes, &net("lan")).is_none());
    }

    #[test]
    fn any_changed_bit_is_a_drop(bit in 0_usize..800, length in 0_usize..20) {
        let (mut a, mut b) = pair();
        let mut datagram = a.seal(at(1), &name("b"), &net("lan"), 1, &vec![5; length]);
        let bit = bit % (datagram.len() * 8);
        datagram[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(b.open(at(1), &net("lan"), &datagram).is_err());
    }

    #[test]
    fn a_number_is_taken_once(numbers in proptest::collection::vec(1_u64..400, 1..300)) {
        let (mut a, mut b) = pair();
        let all: Vec<_> = (0..400).map(|_| a.seal(at(1), &name("b"), &net("lan"), 1, b"")).collect();
        let mut taken = std::collections::BTreeSet::new();
        for number in numbers {
            if b.open(at(1), &net("lan"), &all[usize::try_from(number).unwrap()]).is_ok() {
                prop_assert!(taken.insert(number));
            }
        }
    }
}

#[test]
fn greetings_are_rare() {
    let (mut a, mut b) = (end("a", 10), end("b", 20));
    let mut answers = 0;
    for ms in 0..1000 {
        let hello = a.seal(at(ms), &name("b"), &net("lan"), 1, b"");
        assert_eq!(b.open(at(ms), &net("lan"), &hello), Err(DropReason::Unacquainted));
        answers += u32::from(b.greet(at(ms), &hello, &net("lan")).is_some());
    }
    assert_eq!(answers, 1000 / u32::try_from(GREETING_SPACING.as_millis()).unwrap());
    assert!(LATE > Duration::from_secs(1));
}
