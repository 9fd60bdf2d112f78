//! Tables of RFC 9110.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use proptest::prelude::*;
use relevo_model::cluster::{Coding, Compression};

use super::{Ending, choose, is_eligible, rewrite};

const ALL: [Coding; 3] = [Coding::Zstd, Coding::Br, Coding::Gzip];

fn config() -> Compression {
    Compression {
        codings: ALL.to_vec(),
        types: vec!["text/*".to_owned(), "application/json".to_owned()],
        least: 100,
    }
}

fn chosen(accept: &str) -> Option<Coding> {
    choose(format!("GET / HTTP/1.1\r\nHost: a\r\n{accept}\r\n").as_bytes(), &ALL)
}

#[test]
fn accept_encoding_rfc_9110_section_12_5_3() {
    let table = [
        ("", None),
        ("Accept-Encoding:\r\n", None),
        ("Accept-Encoding: gzip\r\n", Some(Coding::Gzip)),
        ("Accept-Encoding: x-gzip\r\n", Some(Coding::Gzip)),
        ("accept-encoding: GZIP, Br\r\n", Some(Coding::Br)),
        ("Accept-Encoding: gzip, deflate, br, zstd\r\n", Some(Coding::Zstd)),
        ("Accept-Encoding: gzip\r\nAccept-Encoding: br\r\n", Some(Coding::Br)),
        ("Accept-Encoding: gzip;q=1.0, br;q=0.5\r\n", Some(Coding::Gzip)),
        ("Accept-Encoding: gzip ; q=0.001 , br;Q=0\r\n", Some(Coding::Gzip)),
        ("Accept-Encoding: gzip;q=0\r\n", None),
        ("Accept-Encoding: *\r\n", Some(Coding::Zstd)),
        ("Accept-Encoding: zstd;q=0, *;q=0.3\r\n", Some(Coding::Br)),
        ("Accept-Encoding: *;q=0\r\n", None),
        ("Accept-Encoding: identity, gzip;q=0.5\r\n", None),
        ("Accept-Encoding: identity;q=0.5, gzip;q=0.5\r\n", Some(Coding::Gzip)),
        ("Accept-Encoding: identity;q=0\r\n", None),
        ("Accept-Encoding: gzip;q=2\r\n", None),
        ("Accept-Encoding: gzip;q=0.1234\r\n", None),
        ("Accept-Encoding: gzipped\r\n", None),
        // RFC 9111 section 5.2.1.6.
        ("Accept-Encoding: gzip\r\nCache-Control: no-transform\r\n", None),
    ];
    for (accept, wanted) in table {
        assert_eq!(chosen(accept), wanted, "{accept:?}");
    }
    assert_eq!(choose(b"GET / HTTP/1.1\r\nAccept-Encoding: br\r\n\r\n", &[Coding::Gzip]), None);
}

#[test]
fn what_is_compressed() {
    let table = [
        ("200 OK", "Content-Type: text/html; charset=utf-8\r\n", true),
        ("203 x", "Content-Type: TEXT/plain\r\nContent-Length: 100\r\n", true),
        ("200 OK", "Content-Type: application/json\r\n", true),
        ("200 OK", "Content-Type: application/json2\r\n", false),
        ("200 OK", "Content-Type: textual/html\r\n", false),
        ("200 OK", "", false),
        ("200 OK", "Content-Type: text/html\r\nContent-Length: 99\r\n", false),
        ("206 x", "Content-Type: text/html\r\n", false),
        ("404 x", "Content-Type: text/html\r\n", false),
        ("200 OK", "Content-Type: text/html\r\nContent-Range: bytes 0-1/2\r\n", false),
        ("200 OK", "Content-Type: text/html\r\nContent-Encoding: br\r\n", false),
        ("200 OK", "Content-Type: text/html\r\nContent-Digest: sha-256=:x:\r\n", false),
        ("200 OK", "Content-Type: text/html\r\nCache-Control: public, No-Transform\r\n", false),
        // Which of them is meant, nobody knows (RFC 9110 section 8.3).
        ("200 OK", "Content-Type: text/plain\r\nContent-Type: text/plain\r\n", false),
        ("200 OK", "Content-Type: text/plain\r\nContent-Length: 500\r\ncontent-type: image/png\r\n", false),
    ];
    for (status, fields, wanted) in table {
        let head = format!("HTTP/1.1 {status}\r\n{fields}\r\n");
        assert_eq!(is_eligible(head.as_bytes(), &config()), wanted, "{head}");
    }
}

#[test]
fn a_head_is_written_again() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\nVary: Cookie\r\nAccept-Ranges: bytes\r\nTrailer: X-Sum\r\nX: y\r\nConnection: keep-alive\r\n\r\n";
    let rewritten = |coding| {
        let mut out = Vec::new();
        rewrite(head, coding, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        rewritten(Some((Coding::Br, Ending::Chunks))),
        "HTTP/1.1 200 OK\r\nETag: W/\"a\"\r\nVary: Cookie, Accept-Encoding\r\nX: y\r\nConnection: keep-alive\r\n\
         Content-Encoding: br\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    assert_eq!(
        rewritten(Some((Coding::Gzip, Ending::Close))),
        "HTTP/1.1 200 OK\r\nETag: W/\"a\"\r\nVary: Cookie, Accept-Encoding\r\nX: y\r\nContent-Encoding: gzip\r\n\
         Connection: close\r\n\r\n"
    );
    let plain = rewritten(None);
    assert!(plain.contains("Vary: Cookie, Accept-Encoding\r\n") && plain.contains("Content-Length: 5\r\n"));
    assert!(plain.contains("Trailer: X-Sum\r\n"));
    let mut out = Vec::new();
    rewrite(b"HTTP/1.1 200 OK\r\nVary: accept-encoding\r\nETag: W/\"a\"\r\n\r\n", None, &mut out);
    assert_eq!(out, b"HTTP/1.1 200 OK\r\nVary: accept-encoding\r\nETag: W/\"a\"\r\n\r\n");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let head = [b"HTTP/1.1 200 OK\r\nAccept-Encoding: ", &bytes[..], b"\r\n\r\n"].concat();
        choose(&head, &ALL);
        is_eligible(&head, &config());
        rewrite(&head, Some((Coding::Gzip, Ending::Chunks)), &mut Vec::new());
    }
}
