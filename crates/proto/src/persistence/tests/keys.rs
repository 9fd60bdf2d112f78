//! What is read out of a head.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use relevo_model::cluster::{AffinityKey, HashKey};

use super::{head, request};
use crate::balance::hash;
use crate::persistence::{Key, affinity_key, cookie, field, hash_key, path};

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

#[test]
fn cookies_are_found_however_they_are_written() {
    let cases: [(&[&str], Option<&[u8]>); 14] = [
        (&["Cookie: SID=w1"], Some(b"w1")),
        (&["Cookie: a=b; SID=w1; c=d"], Some(b"w1")),
        (&["cookie:a=b;SID=w1;c=d"], Some(b"w1")),
        (&["COOKIE: \t a=b ;\t SID = w1 ; c"], Some(b"w1")),
        (&["Cookie: SID=\"w1\""], Some(b"w1")),
        (&["Cookie: SID=\""], Some(b"\"")),
        (&["Cookie: SID=a=b"], Some(b"a=b")),
        (&["Cookie: SID="], Some(b"")),
        (&["Cookie: a=b", "X: y", "Cookie: SID=w1"], Some(b"w1")),
        (&["Cookie: SID=w1; SID=w2"], Some(b"w1")),
        (&["Cookie: sid=w1; XSID=w2; SIDX=w3; a=SID=w4"], None),
        (&["Cookie: SID; ;;="], None),
        (&["X-Cookie: SID=w1", "Host: SID=w1"], None),
        (&[], None),
    ];
    for (fields, expected) in cases {
        assert_eq!(cookie(&request(fields), b"SID"), expected, "{fields:?}");
    }
}

#[test]
fn a_key_is_what_the_file_says() {
    let head = request(&["Host: a.test", "X-User:  anna ", "x-user: bert", "Cookie: u=c1", "X-None:"]);
    let of = |key: HashKey| hash_key(&key, SOURCE, Some(&head));
    assert_eq!(of(HashKey::Source), Some(hash(&[192, 0, 2, 7])));
    assert_eq!(of(HashKey::Uri { query: false }), Some(hash(b"/shop/cart")));
    assert_eq!(of(HashKey::Uri { query: true }), Some(hash(b"/shop/cart?id=7&q=a%20b&empty=")));
    assert_eq!(of(HashKey::Header("X-USER".to_owned())), Some(hash(b"anna")));
    assert_eq!(of(HashKey::UrlParam("q".to_owned())), Some(hash(b"a%20b")));
    assert_eq!(of(HashKey::Cookie("u".to_owned())), Some(hash(b"c1")));
    for none in [
        HashKey::Header("X-None".to_owned()),
        HashKey::Header("X-Missing".to_owned()),
        HashKey::UrlParam("empty".to_owned()),
        HashKey::UrlParam("d".to_owned()),
        HashKey::Cookie("U".to_owned()),
    ] {
        assert_eq!(of(none), None);
    }
    assert_eq!(hash_key(&HashKey::Uri { query: true }, SOURCE, None), None);
    let mapped = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped());
    assert_eq!(hash_key(&HashKey::Source, mapped, None), of(HashKey::Source));
    let by_header = AffinityKey::Header("X-User".to_owned());
    assert_eq!(affinity_key(&by_header, SOURCE, Some(&head)), Some(Key::text(b"anna")));
    assert_eq!(affinity_key(&by_header, SOURCE, None), None);
    assert_eq!(affinity_key(&AffinityKey::Source, SOURCE, None), Some(Key::source(SOURCE)));
}

#[test]
fn a_target_that_is_no_path_is_still_one_key() {
    assert_eq!(path(&head("OPTIONS * HTTP/1.1", &[])), b"*");
    assert_eq!(path(&head("GET /?a HTTP/1.1", &[])), b"/");
}

proptest! {
    #[test]
    fn anything_may_stand_in_a_head(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[A-Za:;= \r\n\"?&]{0,60}") {
        for head in [&bytes[..], text.as_bytes()] {
            let _ = (cookie(head, b"a"), field(head, b"a"), path(head));
            let _ = hash_key(&HashKey::UrlParam("a".to_owned()), SOURCE, Some(head));
        }
    }
}
