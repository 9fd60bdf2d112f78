//! Tables for the codec: bytes worked out by hand from the RFCs, and every reason to drop.

use proptest::prelude::*;

use super::*;
use VrrpVersion::{V2, V3};

const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 254));
const VIP2: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 253));

fn advert(version: VrrpVersion) -> Advert {
    let (interval, password) = match version {
        V3 => (Duration::from_millis(100), None),
        V2 => (Duration::from_secs(1), Some(password("secret"))),
    };
    Advert { version, vrid: 12, priority: 150, interval, addresses: vec![VIP], password }
}

/// A packet to the multicast group.
fn receive(expect: &Expect<'_>, source: IpAddr, ttl: u8, bytes: &[u8]) -> Result<Advert, DropReason> {
    Advert::receive(expect, Envelope { ttl, ..Envelope::multicast(source) }, bytes).map(|(advert, _)| advert)
}

fn expect(version: VrrpVersion, addresses: &[IpAddr]) -> Expect<'_> {
    let advert = advert(version);
    Expect {
        version,
        vrid: 12,
        source: OURS,
        addresses,
        interval: advert.interval,
        password: advert.password,
        unicast: None,
        signing: None,
    }
}

#[test]
fn version_3_bytes() {
    // pseudo-header: source, 224.0.0.18, protocol 112, length 12; then the message
    let bytes = advert(V3).encode(PEER);
    assert_eq!(bytes[..6], [0x31, 12, 150, 1, 0, 10]);
    assert_eq!(bytes[8..], [10, 0, 0, 254]);
    let words = [0x0a00, 0x0001, 0xe000, 0x0012, 0x0070, 0x000c, 0x310c, 0x9601, 0x000a, 0x0a00, 0x00fe_u32];
    let sum: u32 = words.iter().sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    assert_eq!(u32::from(u16::from_be_bytes([bytes[6], bytes[7]])), !folded & 0xffff);
}

#[test]
fn version_2_bytes() {
    let bytes = advert(V2).encode(PEER);
    assert_eq!(bytes[..6], [0x21, 12, 150, 1, 1, 1]);
    assert_eq!(&bytes[12..], b"secret\0\0");
    let words = [0x210c, 0x9601, 0x0101, 0x0a00, 0x00fe, 0x7365, 0x6372, 0x6574_u32];
    let sum: u32 = words.iter().sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    assert_eq!(u32::from(u16::from_be_bytes([bytes[6], bytes[7]])), !folded & 0xffff);
    assert_eq!(bytes, advert(V2).encode(OURS), "no pseudo-header in version 2");
}

/// Adverts of keepalived 2.2.7 (Debian 12), captured with tcpdump without the IP header: VRID 12, priority 150.
#[test]
fn keepalived_writes_the_same_bytes() {
    let version_3 = [0x31, 12, 150, 2, 0, 10, 0x38, 0x58, 10, 0, 0, 254, 10, 0, 0, 253];
    let version_2 = [
        [0x21, 12, 150, 2, 1, 1, 0xf5, 0xa8, 10, 0, 0, 254].as_slice(),
        &[10, 0, 0, 253, 0x73, 0x65, 0x63, 0x72, 0x65, 0x74, 0, 0],
    ]
    .concat();
    for (version, captured) in [(V3, version_3.as_slice()), (V2, version_2.as_slice())] {
        let ours = Advert { addresses: vec![VIP, VIP2], ..advert(version) };
        let received = receive(&expect(version, &[VIP2, VIP]), PEER, 255, captured);
        assert_eq!(received.as_ref(), Ok(&ours), "{version:?}");
        assert_eq!(ours.encode(PEER), captured, "{version:?}");
    }
}

#[test]
fn what_is_good_is_received() {
    for version in [V2, V3] {
        let sent = advert(version);
        assert_eq!(receive(&expect(version, &[VIP]), PEER, 255, &sent.encode(PEER)), Ok(sent));
    }
    let two = Advert { addresses: vec![VIP2, VIP], ..advert(V3) };
    let received = receive(&expect(V3, &[VIP, VIP2]), PEER, 255, &two.encode(PEER));
    assert_eq!(received, Ok(two), "the order of addresses does not matter");
    let slow = Advert { interval: Duration::from_millis(40_950), ..advert(V3) };
    let received = receive(&expect(V3, &[VIP]), PEER, 255, &slow.encode(PEER));
    assert_eq!(received, Ok(slow), "version 3 learns the interval");
}

#[test]
fn what_is_wrong_is_dropped_with_its_reason() {
    let good3 = advert(V3).encode(PEER);
    let good2 = advert(V2).encode(PEER);
    let change = |advert: Advert| advert.encode(PEER);
    let poke = |bytes: &[u8], at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    let fixed = |version: VrrpVersion, mut bytes: Vec<u8>| {
        bytes[6..8].fill(0);
        let sum = checksum((version == V3).then_some((PEER, IpAddr::V4(GROUP))), &bytes);
        bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        bytes
    };
    let long = [&good3[..], &[0]].concat();
    for (version, source, ttl, bytes, want) in [
        (V3, PEER, 254, good3.clone(), DropReason::Ttl { got: 254, least: 255 }),
        (V3, OURS, 255, advert(V3).encode(OURS), DropReason::OwnSource),
        (V3, PEER, 255, vec![], DropReason::TooShort(0)),
        (V3, PEER, 255, good3[..7].to_vec(), DropReason::TooShort(7)),
        (V3, PEER, 255, good2.clone(), DropReason::Version(2)),
        (V2, PEER, 255, good3.clone(), DropReason::Version(3)),
        (V3, PEER, 255, poke(&good3, 0, 0x32), DropReason::Type(2)),
        (V3, PEER, 255, poke(&good3, 3, 0), DropReason::NoAddresses),
        (V3, PEER, 255, poke(&good3, 3, 2), DropReason::Length { want: 16, got: 12 }),
        (V3, PEER, 255, long, DropReason::Length { want: 12, got: 13 }),
        (V2, PEER, 255, good2[..12].to_vec(), DropReason::Length { want: 20, got: 12 }),
        (V3, PEER, 255, poke(&good3, 2, 151), DropReason::Checksum),
        (V3, IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 255, good3.clone(), DropReason::Checksum),
        (V2, PEER, 255, poke(&good2, 19, 1), DropReason::Checksum),
        (V3, PEER, 255, change(Advert { vrid: 13, ..advert(V3) }), DropReason::Vrid(13)),
        (V3, PEER, 255, fixed(V3, poke(&good3, 5, 0)), DropReason::Interval(0)),
        (V2, PEER, 255, fixed(V2, poke(&good2, 5, 0)), DropReason::Interval(0)),
        (
            V2,
            PEER,
            255,
            change(Advert { interval: Duration::from_secs(2), ..advert(V2) }),
            DropReason::Interval(2000),
        ),
        (V3, PEER, 255, change(Advert { addresses: vec![VIP2], ..advert(V3) }), DropReason::Addresses),
        (V3, PEER, 255, change(Advert { addresses: vec![VIP, VIP], ..advert(V3) }), DropReason::Addresses),
        (V2, PEER, 255, change(Advert { password: None, ..advert(V2) }), DropReason::AuthType(0)),
        (V2, PEER, 255, fixed(V2, poke(&good2, 4, 2)), DropReason::AuthType(2)),
        (
            V2,
            PEER,
            255,
            change(Advert { password: Some(password("other")), ..advert(V2) }),
            DropReason::Password,
        ),
    ] {
        assert_eq!(receive(&expect(version, &[VIP]), source, ttl, &bytes), Err(want), "{bytes:02x?}");
        assert!(!want.to_string().is_empty());
    }
    let plain = Expect { password: None, ..expect(V2, &[VIP]) };
    assert_eq!(receive(&plain, PEER, 255, &good2), Err(DropReason::AuthType(1)));
}

#[test]
fn reserved_bits_of_version_3_are_ignored() {
    let mut bytes = advert(V3).encode(PEER);
    bytes[4] |= 0xf0;
    bytes[6..8].fill(0);
    let sum = checksum(Some((PEER, IpAddr::V4(GROUP))), &bytes);
    bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(Advert::decode(V3, PEER, &bytes), Ok(advert(V3)));
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        v3: bool, vrid: u8, priority: u8, cs in 1_u32..=4095, secs in 1_u64..=255,
        addresses in prop::collection::vec(any::<u32>(), 1..=255), text: Option<[u8; 8]>, source: u32,
    ) {
        let (version, interval, password) = if v3 {
            (V3, Duration::from_millis(10) * cs, None)
        } else {
            (V2, Duration::from_secs(secs), text)
        };
        let addresses = addresses.into_iter().map(|ip| IpAddr::V4(ip.into())).collect();
        let advert = Advert { version, vrid, priority, interval, addresses, password };
        let source = Ipv4Addr::from(source);
        prop_assert_eq!(Advert::decode(version, source, &advert.encode(source)), Ok(advert));
    }

    #[test]
    fn any_bytes_are_read_or_dropped(bytes in prop::collection::vec(any::<u8>(), 0..64), v3: bool) {
        let version = if v3 { V3 } else { V2 };
        if let Ok(advert) = Advert::decode(version, PEER, &bytes) {
            prop_assert_eq!(Advert::decode(version, PEER, &advert.encode(PEER)), Ok(advert));
        }
    }
}
