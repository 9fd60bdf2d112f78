//! Heads that could be read in two ways are refused, and nothing of them reaches a server.

use std::sync::{Arc, Mutex};

use crate::rig::{Origin, Rig, service, with_length};

/// What is sent, the status, and the rule.
const REFUSED: &[(&str, u16, &str)] = &[
    // Message framing.
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        400,
        "RFC 9112 6.3 (5)",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        400,
        "RFC 9112 6.3 (5)",
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", 400, "RFC 9110 8.6"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400, "RFC 9110 8.6"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, "RFC 9110 8.6"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", 400, "RFC 9110 8.6"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400, "RFC 9110 8.6"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400, "RFC 9110 8.6"),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "RFC 9112 6.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "RFC 9112 6.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        400,
        "RFC 9112 6.1",
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400, "RFC 9112 6.3 (4)"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "RFC 9112 6.3 (4)"),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        400,
        "RFC 9112 6.3 (4)",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        400,
        "RFC 9112 6.3 (4)",
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "RFC 9112 6.1"),
    ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "RFC 9112 6.1"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400, "RFC 9112 5.1"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400, "RFC 9112 7.1"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400, "RFC 9112 7.1"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n", 400, "RFC 9112 7.1"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nA\n0\n\n", 400, "RFC 9112 7.1"),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\nA\r\n",
        400,
        "RFC 9112 7.1.1",
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nABC\r\n", 400, "RFC 9112 7.1"),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
        400,
        "RFC 9112 7.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nbad name: 1\r\n\r\n",
        400,
        "RFC 9112 7.1.2",
    ),
    // Lines.
    ("GET / HTTP/1.1\nHost: a\n\n", 400, "RFC 9112 2.2"),
    ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "RFC 9112 2.2"),
    ("GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "RFC 9112 2.2"),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400, "RFC 9112 2.2"),
    ("GET / HTTP/1.1\r\nHost: a\r\n\rX: a\r\n\r\n", 400, "RFC 9112 2.2"),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400, "RFC 9112 5.2"),
    ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "RFC 9112 2.2"),
    ("GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400, "RFC 9112 5.1"),
    ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400, "RFC 9110 5.1"),
    ("GET / HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n", 400, "RFC 9110 5.1"),
    ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400, "RFC 9112 5"),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400, "RFC 9110 5.5"),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x0bb\r\n\r\n", 400, "RFC 9110 5.5"),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", 400, "RFC 9110 5.5"),
    // Request lines.
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3"),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "RFC 9112 3"),
    ("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3"),
    (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3"),
    ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2"),
    ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2"),
    ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2"),
    ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2"),
    ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2.4"),
    ("GET /\r\n\r\n", 400, "RFC 9112 3"),
    ("GET / http/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 2.3"),
    ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400, "RFC 9112 2.3"),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "RFC 9110 15.6.6"),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "RFC 9113 3.4"),
    ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501, "RFC 9110 9.3.6"),
    ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "RFC 9110 9.3.8"),
    // Host.
    ("GET / HTTP/1.1\r\n\r\n", 400, "RFC 9112 3.2"),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2"),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "RFC 9112 3.2"),
    ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "RFC 9112 3.2"),
    ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, "RFC 9110 4.2.4"),
    ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9112 3.2.2"),
    ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9110 4.2.1"),
    ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "RFC 9110 4.2.4"),
    // Hop by hop.
    ("GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n", 400, "RFC 9110 7.6.1"),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: content-length\r\n\r\nx",
        400,
        "RFC 9110 7.6.1",
    ),
    ("GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", 417, "RFC 9110 10.1.1"),
];

#[test]
fn what_could_be_smuggled_is_refused() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seeing = Arc::clone(&seen);
    let origin = Origin::with(move |peer| {
        while let Some(request) = peer.request() {
            seeing.lock().unwrap().push(request.head);
            if peer.write(&with_length("ok")).is_err() {
                break;
            }
        }
    });
    let rig = Rig::start(service(&[origin.at]));
    for (request, status, rule) in REFUSED {
        let mut client = rig.client();
        client.send(request);
        let answer = client.answer().unwrap_or_else(|error| panic!("{request:?}: {error}"));
        assert_eq!(answer.status, *status, "{rule}: {request:?} got {answer:?}");
        assert!(answer.head.contains("Connection: close"), "{request:?}");
        assert!(client.is_closed(), "{request:?}: what follows must not be read as a request");
    }
    assert!(seen.lock().unwrap().is_empty(), "{:?}", seen.lock().unwrap());
    assert_eq!(rig.engine.snapshot().services[0].errors, REFUSED.len() as u64);
}

/// The same in single bytes: the decision must not depend on how the network cuts.
#[test]
fn refusals_do_not_depend_on_packets() {
    let origin = Origin::named("one");
    let rig = Rig::start(service(&[origin.at]));
    for (request, status, rule) in REFUSED.iter().step_by(7) {
        let mut client = rig.client();
        for byte in request.as_bytes() {
            use std::io::Write;
            // It may have been refused before its end.
            if client.stream().write_all(&[*byte]).is_err() {
                break;
            }
        }
        assert_eq!(client.answer().unwrap().status, *status, "{rule}: {request:?}");
    }
}

/// What a server sends, and whether the client may see a status of 502 or a cut.
const BROKEN: &[(&str, &str)] = &[
    ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "two lengths"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "both framings"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", "unknown coding"),
    ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "chunks in 1.0"),
    ("HTTP/1.1 200 OK\nContent-Length: 1\n\nx", "bare LF"),
    ("HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 1\r\n\r\nx", "space before the colon"),
    ("HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 1\r\n\r\nx", "folded line"),
    ("HTTP/1.1 20 OK\r\nContent-Length: 1\r\n\r\nx", "two digits"),
    ("HTTP/2 200\r\n\r\n", "another version"),
    ("SSH-2.0-OpenSSH\r\n", "another protocol"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "wrong chunk"),
    ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "switching unasked"),
    ("HTTP/1.1 200 OK\r\nContent-Le", "cut in the head"),
];

#[test]
fn a_servers_broken_answer_is_502() {
    for (answer, what) in BROKEN {
        let origin = Origin::with(|peer| {
            if peer.request().is_some() {
                let _ = peer.write(answer.as_bytes());
            }
        });
        let rig = Rig::start(service(&[origin.at]));
        let mut client = rig.client();
        let answer = client.get("/").unwrap();
        assert_eq!(answer.status, 502, "{what}: {answer:?}");
        assert_eq!(client.get("/").unwrap().status, 502, "{what}: the client's connection goes on");
    }
}
