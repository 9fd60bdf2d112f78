//! Tables of RFC 9111.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use proptest::prelude::*;
use relevo_model::Time;

use super::*;

/// Sun, 06 Nov 1994 08:49:37 GMT.
const WALL: u64 = 784_111_777;
const DAY: Duration = Duration::from_secs(86_400);

fn at(second: u64) -> Clock {
    Clock { now: Time::from_millis(second * 1000), wall: WALL + second }
}

fn kept(request: &str, status: &str, answer: &str) -> Option<Kept> {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{request}\r\n");
    let answer = format!("HTTP/1.1 {status}\r\n{answer}\r\n");
    Kept::of(request.as_bytes(), answer.as_bytes(), Time::ZERO, at(0), DAY)
}

#[test]
fn what_is_kept_sections_3_and_3_5() {
    let auth = "Authorization: Basic eDp5\r\n";
    let table = [
        ("", "200 OK", "Cache-Control: max-age=5\r\n", true),
        ("", "200 OK", "", false),
        ("", "200 OK", "ETag: \"a\"\r\n", true),
        ("", "200 OK", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n", true),
        ("", "200 OK", "Cache-Control: max-age=5, no-store\r\n", false),
        ("", "200 OK", "Cache-Control: max-age=5\r\nCache-Control: PRIVATE\r\n", false),
        ("", "200 OK", "Cache-Control: max-age=5, private=\"x\"\r\n", false),
        ("", "200 OK", "Cache-Control: max-age=5\r\nSet-Cookie: a=b\r\n", false),
        ("", "200 OK", "Cache-Control: max-age=5\r\nVary: Accept, *\r\n", false),
        ("", "200 OK", "Cache-Control: no-cache\r\n", false),
        ("", "200 OK", "Cache-Control: no-cache\r\nETag: \"a\"\r\n", true),
        ("", "404 x", "Cache-Control: s-maxage=5\r\n", true),
        ("", "404 x", "ETag: \"a\"\r\n", false),
        ("", "206 x", "Cache-Control: max-age=5\r\n", false),
        ("", "302 x", "Cache-Control: max-age=5\r\n", false),
        ("", "500 x", "Cache-Control: max-age=5\r\n", false),
        (auth, "200 OK", "Cache-Control: max-age=5\r\n", false),
        (auth, "200 OK", "Cache-Control: max-age=5, public\r\n", true),
        (auth, "200 OK", "Cache-Control: s-maxage=5\r\n", true),
        (auth, "200 OK", "Cache-Control: max-age=5, must-revalidate\r\n", true),
        (auth, "200 OK", "Cache-Control: max-age=5, proxy-revalidate\r\n", false),
    ];
    for (request, status, answer, wanted) in table {
        assert_eq!(kept(request, status, answer).is_some(), wanted, "{request} {status} {answer}");
    }
}

#[test]
fn how_long_it_is_good_section_4_2() {
    const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let table = [
        ("Cache-Control: max-age=5\r\n", 5),
        ("Cache-Control: max-age=5, s-maxage=7\r\n", 7),
        ("Cache-Control: max-age=9, max-age=5\r\n", 5),
        ("Cache-Control: max-age=\"5\"\r\n", 5),
        ("Cache-Control: max-age=5x\r\nETag: \"a\"\r\n", 0),
        ("Expires: Sun, 06 Nov 1994 08:49:47 GMT\r\n", 10),
        ("Expires: 0\r\nETag: \"a\"\r\n", 0),
        ("Expires: Sun, 06 Nov 1994 08:49:47 GMT\r\nCache-Control: max-age=3\r\n", 3),
        ("Cache-Control: max-age=10\r\nAge: 4\r\n", 6),
        ("Cache-Control: max-age=90\r\nDate: Sun, 06 Nov 1994 08:48:37 GMT\r\n", 30),
        ("Cache-Control: max-age=9, no-cache\r\nETag: \"a\"\r\n", 0),
        // Never longer than the operator wants.
        ("Cache-Control: max-age=99999999\r\n", 86_400),
    ];
    for (answer, good) in table {
        let date = if answer.contains("Date:") { "" } else { DATE };
        let kept = kept("", "200 OK", &format!("{date}{answer}")).unwrap();
        let judge = |second| kept.judge(b"GET / HTTP/1.1\r\n\r\n", at(second).now);
        assert_eq!(judge(good), Verdict::Stale, "{answer}");
        if good > 0 {
            assert!(matches!(judge(good - 1), Verdict::Fresh(_)), "{answer}");
        }
    }
}

#[test]
fn what_requests_want_section_5_2_1() {
    let look = |reuse, only| Ask::Look { store: true, reuse, only };
    let table = [
        ("GET", "", look(true, false)),
        ("HEAD", "", Ask::Look { store: false, reuse: true, only: false }),
        ("GET", "Cache-Control: no-cache\r\n", look(false, false)),
        ("GET", "Pragma: no-cache\r\n", look(false, false)),
        ("GET", "Pragma: no-cache\r\nCache-Control: max-age=1\r\n", look(true, false)),
        ("GET", "Cache-Control: only-if-cached\r\n", look(true, true)),
        ("GET", "Cache-Control: no-store\r\n", Ask::Pass),
        ("GET", "Range: bytes=0-1\r\n", Ask::Pass),
        ("GET", "If-Match: \"a\"\r\n", Ask::Pass),
        ("OPTIONS", "", Ask::Pass),
        ("POST", "", Ask::Change),
        ("DELETE", "", Ask::Change),
        ("BREW", "", Ask::Change),
    ];
    for (method, fields, wanted) in table {
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(Ask::of(head.as_bytes()), wanted, "{head}");
    }
    let kept = kept("", "200 OK", "Cache-Control: max-age=10\r\n").unwrap();
    for (control, second, fresh) in
        [("max-age=3", 3, true), ("max-age=3", 4, false), ("min-fresh=3", 6, true), ("min-fresh=3", 7, false)]
    {
        let head = format!("GET / HTTP/1.1\r\nCache-Control: {control}\r\n\r\n");
        let verdict = kept.judge(head.as_bytes(), at(second).now);
        assert_eq!(verdict == Verdict::Fresh(second), fresh, "{control} {second}");
    }
    let auth = b"GET / HTTP/1.1\r\nAuthorization: x\r\n\r\n";
    assert_eq!(kept.judge(auth, at(0).now), Verdict::No);
}

#[test]
fn vary_section_4_1() {
    let answer = b"HTTP/1.1 200 OK\r\nVary: Accept, accept-language\r\n\r\n";
    let request = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n").into_bytes();
    let chosen = selection(&request("Accept: a\r\n"), answer);
    assert!(matches(&chosen, &request("accept: a\r\nX: y\r\n")));
    assert!(!matches(&chosen, &request("Accept: b\r\n")));
    assert!(!matches(&chosen, &request("")));
    assert!(!matches(&chosen, &request("Accept: a\r\nAccept-Language:\r\n")));
    assert_ne!(key(true, &request("Host: a\r\n")), key(false, &request("Host: a\r\n")));
    assert_eq!(key(true, &request("Host: A\r\n")), b"https://a/");
}

#[test]
fn conditional_requests_section_4_3() {
    let kept = b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nX: y\r\nContent-Length: 3\r\n\r\n";
    let table = [
        ("If-None-Match: \"a\"\r\n", true),
        ("If-None-Match: \"b,\", W/\"a\"\r\n", true),
        ("If-None-Match: *\r\n", true),
        ("If-None-Match: \"b\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", false),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", true),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", false),
        ("If-Modified-Since: yesterday\r\n", false),
        ("", false),
    ];
    for (fields, wanted) in table {
        let request = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        assert_eq!(is_not_modified(request.as_bytes(), kept), wanted, "{fields}");
    }
    assert_eq!(
        validators(kept),
        b"If-None-Match: \"a\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    );
    let new =
        refreshed(kept, b"HTTP/1.1 304 x\r\nX: z\r\nCache-Control: max-age=1\r\nContent-Length: 9\r\n\r\n");
    let new = String::from_utf8(new).unwrap();
    assert!(new.contains("X: z\r\n") && !new.contains("X: y") && new.contains("Content-Length: 3\r\n"));
    assert!(new.starts_with("HTTP/1.1 200 OK\r\n") && new.ends_with("max-age=1\r\n\r\n"));
    let known = String::from_utf8(not_modified(kept)).unwrap();
    assert!(known.starts_with("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n") && !known.contains("Length"));
}

#[test]
fn dates() {
    assert_eq!(seconds(b"Sun, 06 Nov 1994 08:49:37 GMT"), Some(WALL));
    assert_eq!(seconds(b"Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
    assert_eq!(seconds(b"Tue, 29 Feb 2000 23:59:59 GMT"), Some(951_868_799));
    for none in ["", "0", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT"] {
        assert_eq!(seconds(none.as_bytes()), None, "{none}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(a in prop::collection::vec(any::<u8>(), 0..200), name in "(cache-control|expires|date|age|vary|etag|if-none-match)") {
        let head = [b"HTTP/1.1 200 OK\r\n", name.as_bytes(), b": ", &a[..], b"\r\n\r\n"].concat();
        Ask::of(&head);
        if let Some(kept) = Kept::of(&head, &head, Time::ZERO, at(5), DAY) {
            kept.judge(&head, at(9).now);
        }
        stored(&head, 3);
        refreshed(&head, &head);
        not_modified(&head);
        is_not_modified(&head, &head);
        matches(&selection(&head, &head), &head);
        seconds(&a);
    }
}
