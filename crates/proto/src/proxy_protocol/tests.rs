//! Headers as other programs write them, headers that nobody may write, and any bytes.

use std::net::SocketAddr;

use proptest::prelude::*;
use relevo_model::cluster::ProxyVersion;

use super::{Ends, Header, LARGEST, NotProxy, write};

const START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn ends(source: &str, destination: &str) -> Option<Ends> {
    Some(Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
}

fn v2(fixed: [u8; 2], rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [START, &fixed, &length, rest].concat()
}

const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 7, 0xc7, 0x38, 1, 0xbb];

/// Reads what must be whole.
fn read(bytes: &[u8]) -> Option<Ends> {
    let header = Header::parse(&[bytes, b"GET /"].concat()).unwrap().unwrap();
    assert_eq!(header.length, bytes.len());
    header.ends
}

#[test]
fn lines_of_version_1_are_read() {
    let cases: [(&str, Option<Ends>); 8] = [
        ("PROXY TCP4 192.0.2.1 198.51.100.7 51000 443\r\n", ends("192.0.2.1:51000", "198.51.100.7:443")),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            ends("255.255.255.255:65535", "255.255.255.255:65535"),
        ),
        ("PROXY TCP4 10.0.0.1 10.0.0.2 0 0\r\n", ends("10.0.0.1:0", "10.0.0.2:0")),
        ("PROXY TCP6 2001:db8::1 ::1 51000 443\r\n", ends("[2001:db8::1]:51000", "[::1]:443")),
        ("PROXY TCP6 2001:DB8::1 ::1 51000 443\r\n", ends("[2001:db8::1]:51000", "[::1]:443")),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.7 1 2\r\n", ends("192.0.2.1:1", "198.51.100.7:2")),
        ("PROXY UNKNOWN\r\n", None),
        (
            "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            None,
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(read(line.as_bytes()), expected, "{line}");
    }
}

#[test]
fn lines_that_may_not_be_are_refused() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(93));
    let cases = [
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 +2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
        long.as_str(),
    ];
    for line in cases {
        assert!(Header::parse(line.as_bytes()).is_err(), "{line}");
    }
}

#[test]
fn headers_of_version_2_are_read() {
    let v6 = [[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], [0; 16]].concat();
    let v6 = [v6.as_slice(), &[0, 80, 1, 0xbb]].concat();
    let unix = [0; 216];
    let authority = [&V4[..], &[2, 0, 3], b"a.b", &[4, 0, 0]].concat();
    let client = ends("192.0.2.1:51000", "198.51.100.7:443");
    let cases: [(&str, Vec<u8>, Option<Ends>); 9] = [
        ("TCP4", v2([0x21, 0x11], &V4), client),
        ("TCP6", v2([0x21, 0x21], &v6), ends("[2001:db8::1]:80", "[::]:443")),
        ("fields", v2([0x21, 0x11], &authority), client),
        ("LOCAL", v2([0x20, 0x00], &[]), None),
        ("LOCAL with addresses", v2([0x20, 0x11], &V4), None),
        ("LOCAL without its addresses", v2([0x20, 0x11], &[]), None),
        ("UNSPEC", v2([0x21, 0x00], &[]), None),
        ("UDP4", v2([0x21, 0x12], &V4), None),
        ("UNIX", v2([0x21, 0x31], &unix), None),
    ];
    for (what, bytes, expected) in cases {
        assert_eq!(read(&bytes), expected, "{what}");
    }
}

#[test]
fn headers_that_may_not_be_are_refused() {
    let cases: [(&str, Vec<u8>); 9] = [
        ("another version", v2([0x31, 0x11], &V4)),
        ("another command", v2([0x22, 0x11], &V4)),
        ("another family", v2([0x21, 0x41], &V4)),
        ("another transport", v2([0x21, 0x13], &V4)),
        ("addresses cut short", v2([0x21, 0x11], &V4[..11])),
        ("IPv6 in the space of IPv4", v2([0x21, 0x21], &V4)),
        ("half a field", v2([0x21, 0x11], &[&V4[..], &[2, 0]].concat())),
        ("a field beyond the end", v2([0x21, 0x11], &[&V4[..], &[2, 0, 4, 1, 2, 3]].concat())),
        ("too large", [START, &[0x21, 0x11, 0xff, 0xff]].concat()),
    ];
    for (what, bytes) in cases {
        assert!(Header::parse(&bytes).is_err(), "{what}");
    }
    assert!(Header::parse(b"\r\n\r\nQ").is_err());
}

#[test]
fn a_checksum_must_be_right() {
    // "123456789" gives 0xe3069283; of a header it is easier to try: exactly one value may pass.
    assert_eq!(super::binary::crc32c_of(b"123456789"), 0xe306_9283);
    let with = |sum: u32| v2([0x21, 0x11], &[&V4[..], &[3, 0, 4], &sum.to_be_bytes()].concat());
    let right = super::binary::crc32c_of(&with(0));
    assert!(read(&with(right)).is_some());
    assert_eq!(Header::parse(&with(right ^ 1)), Err(NotProxy("the PROXY header's checksum is wrong")));
    assert!(Header::parse(&v2([0x21, 0x11], &[&V4[..], &[3, 0, 3, 0, 0, 0]].concat())).is_err());
}

#[test]
fn what_is_written_is_what_others_read() {
    let of = |version, ends| {
        let mut out = Vec::new();
        write(version, ends, &mut out);
        out
    };
    let client = ends("192.0.2.1:51000", "198.51.100.7:443");
    assert_eq!(of(ProxyVersion::V1, client), b"PROXY TCP4 192.0.2.1 198.51.100.7 51000 443\r\n");
    assert_eq!(of(ProxyVersion::V1, None), b"PROXY UNKNOWN\r\n");
    assert_eq!(
        of(ProxyVersion::V1, ends("[2001:db8::1]:1", "198.51.100.7:443")),
        b"PROXY TCP6 2001:db8::1 ::ffff:198.51.100.7 1 443\r\n"
    );
    assert_eq!(of(ProxyVersion::V2, client), v2([0x21, 0x11], &V4));
    assert_eq!(of(ProxyVersion::V2, None), v2([0x20, 0], &[]));
}

proptest! {
    #[test]
    fn any_ends_come_back(source: SocketAddr, destination: SocketAddr, second: bool, rest: Vec<u8>) {
        let version = if second { ProxyVersion::V2 } else { ProxyVersion::V1 };
        let mut bytes = Vec::new();
        write(version, Some(Ends { source, destination }), &mut bytes);
        let length = bytes.len();
        // Not whole: neither taken nor refused.
        for end in 0..length {
            prop_assert_eq!(Header::parse(&bytes[..end]), Ok(None));
        }
        bytes.extend_from_slice(&rest);
        let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        let ends = Some(Ends { source: plain(source), destination: plain(destination) });
        prop_assert_eq!(Header::parse(&bytes), Ok(Some(Header { ends, length })));
    }

    #[test]
    fn any_bytes_are_read_alike_in_pieces(kind in 0..4, mut bytes: Vec<u8>) {
        let start: &[u8] = match kind {
            0 => b"",
            1 => b"PROXY ",
            2 => START,
            _ => b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00",
        };
        bytes.splice(0..0, start.iter().copied());
        let whole = Header::parse(&bytes);
        if let Ok(Some(header)) = whole {
            prop_assert!(header.length <= bytes.len() && header.length <= LARGEST);
        }
        let first = (0..=bytes.len()).map(|end| Header::parse(&bytes[..end])).find(|read| *read != Ok(None));
        prop_assert_eq!(first.unwrap_or(Ok(None)), whole);
    }
}
