//! keepalived's test vectors, and what a thief can try.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::vrrp::packet::{Advert, Envelope, Expect};

const CENTURY: Duration = Duration::from_secs(1_700_000_000);

fn key() -> Key {
    Key { id: 1, secret: (0..32).collect() }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn advert(addresses: Vec<IpAddr>) -> Advert {
    let interval = Duration::from_secs(1);
    Advert { version: VrrpVersion::V3, vrid: 51, priority: 200, interval, addresses, password: None }
}

/// Facts of keepalived's `auth_hmac` test: key 00..1f, VRID 51, priority 200, time 0x6800000080000000.
#[test]
fn the_form_is_keepalived_s() {
    let v4 = bytes("3133c80100644402c0000264010100006800000080000000")
        .into_iter()
        .chain(bytes("1b84bc4e8e43892dc6d98448f8ee2265"))
        .collect::<Vec<_>>();
    let v6 = bytes("3133c8010064a2e9fe800000000000000000000000000100010100006800000080000000")
        .into_iter()
        .chain(bytes("c8c56146ebfd66ee10ec4d8186461b78"))
        .collect::<Vec<_>>();
    let v4_ends: [IpAddr; 3] = ["198.51.100.10", "224.0.0.18", "192.0.2.100"].map(|ip| ip.parse().unwrap());
    let v6_ends: [IpAddr; 3] = ["fe80::10", "fe80::20", "fe80::100"].map(|ip| ip.parse().unwrap());
    for (captured, [source, destination, address]) in [(v4, v4_ends), (v6, v6_ends)] {
        let ours =
            advert(vec![address]).encode_to(source, destination, Some((&key(), 0x6800_0000_8000_0000)));
        assert_eq!(ours, captured, "{source}");
        let (read, trailer) = Advert::decode_from(VrrpVersion::V3, source, destination, &captured).unwrap();
        assert_eq!(read, advert(vec![address]));
        let message = &captured[..captured.len() - TRAILER];
        let time = verify(&[key()], VrrpVersion::V3, source, message, &trailer.unwrap());
        assert_eq!(time, Ok(0x6800_0000_8000_0000));
    }
}

#[test]
fn a_key_file_has_numbers_and_secrets() {
    let hex = "00".repeat(32);
    let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let read = keys(&format!("# ours\n2 {hex}\n\n1 {base64} # the old one\n")).unwrap();
    assert_eq!(read, [Key { id: 2, secret: vec![0; 32] }, key()]);
    assert_eq!(format!("{read:?}"), "[key 2, key 1]");
    let wrong = |text: &str| keys(text).unwrap_err().to_string();
    assert_eq!(wrong(&format!("0 {hex}")), "line 1: the number of a key is 1 to 255");
    assert_eq!(wrong(&format!("256 {hex}")), "line 1: the number of a key is 1 to 255");
    assert_eq!(wrong("\n1"), "line 2: a line is `ID KEY`");
    assert_eq!(wrong(&format!("1 {hex} x")), "line 1: a line is `ID KEY`");
    assert_eq!(wrong("1 ?"), "line 1: a key is hexadecimal digits or base64");
    assert_eq!(wrong(&format!("1 {}", "00".repeat(65))), "line 1: a key has 32 to 64 bytes");
    assert_eq!(wrong(&format!("1 {hex}\n1 {hex}")), "line 2: this number is there twice");
    assert!(wrong("# nothing").starts_with("there is no key in it"));
}

#[test]
fn what_was_signed_is_taken_once_and_in_time() {
    let (one, other) = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V6(Ipv6Addr::LOCALHOST));
    let mut heard = Heard::default();
    let at = sequence(CENTURY);
    assert_eq!(heard.take(one, at, CENTURY), Ok(()));
    assert_eq!(heard.take(one, at, CENTURY), Err(DropReason::Replay));
    assert_eq!(heard.take(one, at - 1, CENTURY), Err(DropReason::Replay));
    assert_eq!(heard.take(one, at + 1, CENTURY), Ok(()));
    assert_eq!(heard.take(other, at, CENTURY), Ok(()), "each source has its own");
    let seconds = Duration::from_secs;
    assert_eq!(heard.take(one, sequence(CENTURY + seconds(70)), CENTURY), Err(DropReason::Clock(70)));
    assert_eq!(heard.take(one, at, CENTURY + seconds(3600)), Err(DropReason::Clock(-3600)));
    // Both clocks are set back an hour.
    let back = CENTURY - seconds(3600);
    assert_eq!(heard.take(one, sequence(back), back), Ok(()), "what they said before is forgotten");
    for number in 0..1000_u32 {
        let source = IpAddr::from(number.to_be_bytes());
        assert_eq!(heard.take(source, at, CENTURY), Ok(()));
    }
    assert!(heard.marks.len() <= MOST_SOURCES, "a thousand sources");
}

#[test]
fn times_to_sign_with_grow_also_when_the_clock_stands_still() {
    let mut last = 0;
    for millis in [0, 0, 0, 10, 5, 20] {
        let time = next(last, CENTURY + Duration::from_millis(millis));
        assert!(time > last);
        last = time;
    }
    let back = CENTURY - Duration::from_secs(3600);
    assert_eq!(next(last, back), sequence(back), "after an hour back it begins anew");
}

proptest! {
    /// Nobody without the key changes anything but the checksum.
    #[test]
    fn a_changed_byte_is_noticed(at in 0_usize..40, flip in 1_u8.., v2: bool) {
        let version = if v2 { VrrpVersion::V2 } else { VrrpVersion::V3 };
        let (source, vip) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 254]));
        let sent = Advert { version, ..advert(vec![vip]) };
        let envelope = Envelope::multicast(source);
        let mut bytes = sent.encode_to(source, envelope.destination, Some((&key(), sequence(CENTURY))));
        let signing = Signing { keys: vec![key()], mode: HmacMode::Enforce, wall: CENTURY };
        let expect = Expect {
            version, vrid: 51, source: IpAddr::from([10, 0, 0, 2]), addresses: &[vip],
            interval: Duration::from_secs(1), password: None, unicast: None, signing: Some(&signing),
        };
        prop_assert!(Advert::receive(&expect, envelope, &bytes).is_ok());
        bytes[at] ^= flip;
        prop_assert!(Advert::receive(&expect, envelope, &bytes).is_err());
    }
}
