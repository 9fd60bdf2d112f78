//! Where messages begin and end: what a client sends, what it is answered, and what the server gets, each with its
//! section of RFC 9112, or of another RFC.
//!
//! Heads that could be read in two ways are refused, and nothing of them reaches a server.

use std::io::Write;
use std::net::Shutdown;
use std::sync::{Arc, Mutex};

use crate::rig::{Client, Origin, Rig, service, with_length};

/// What becomes of a refused request: the client gets one answer with this status, which says that it is the last, and
/// the connection ends. What the server has got of it, if anything, it must not take for a whole request.
struct Refused(&'static str, u16, &'static str);

const REFUSED: &[Refused] = &[
    // 2.2 Message parsing.
    Refused("2.2", 400, "GET / HTTP/1.1\nHost: a\n\n"),
    Refused("2.2", 400, "GET / HTTP/1.1\r\nHost: a\n\r\n"),
    Refused("2.2", 400, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
    Refused("2.2", 400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
    Refused("2.2", 400, "GET / HTTP/1.1\r\nHost: a\r\n\rX: a\r\n\r\n"),
    Refused("2.2", 400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    Refused("2.2", 400, "\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("2.2", 400, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    // 2.3 Version.
    Refused("2.3", 400, "GET / http/1.1\r\nHost: a\r\n\r\n"),
    Refused("2.3", 400, "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    Refused("2.3", 400, "GET / HTTP/11\r\nHost: a\r\n\r\n"),
    Refused("2.3, RFC 9110 15.6.6", 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    Refused("2.3, RFC 9110 15.6.6", 505, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    Refused("RFC 9113 3.4", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    // 3 Request line.
    Refused("3", 400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3", 400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    Refused("3", 400, "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3", 400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3", 400, "GET /\r\n\r\n"),
    Refused("3.1", 400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3.2", 400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3.2", 400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3.2", 400, "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3.2.1", 400, "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3.2.2, RFC 9110 4.2.1", 400, "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3.2.2, RFC 9110 4.2.2", 400, "GET https://?x HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3.2.2, RFC 9110 4.2.4", 400, "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3.2.2", 400, "GET http://a:80:80/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3.2.2", 400, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3.2.2", 400, "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3.2.2", 400, "GET https://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n"),
    Refused("3.2.2", 400, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3.2.3, RFC 9110 9.3.6", 501, "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("3.2.4", 400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    Refused("RFC 9110 9.3.8", 405, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
    // 3.2 Host, with the grammar of RFC 3986 section 3.2.2, and stricter.
    Refused("3.2", 400, "GET / HTTP/1.1\r\n\r\n"),
    Refused("3.2", 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    Refused("3.2", 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    Refused("3.2", 400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    Refused("3.2", 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    Refused("3.2", 400, "GET / HTTP/1.1\r\nHost: a..b\r\n\r\n"),
    Refused("3.2", 400, "GET / HTTP/1.1\r\nHost: .a\r\n\r\n"),
    Refused("3.2", 400, "GET / HTTP/1.1\r\nHost: %61\r\n\r\n"),
    Refused("3.2", 400, "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n"),
    Refused("3.2", 400, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    Refused("3.2", 400, "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
    Refused("3.2", 400, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
    Refused("3.2", 400, "GET / HTTP/1.1\r\nHost: [a]\r\n\r\n"),
    Refused("3.2", 400, "GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n"),
    Refused("3.2", 400, "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n"),
    Refused("RFC 9110 4.2.4", 400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    // 5 Field syntax.
    Refused("5", 400, "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n"),
    Refused("5.1", 400, "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n"),
    Refused("5.1", 400, "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
    Refused("5.1", 400, "GET / HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n"),
    Refused("5.1", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    Refused("5.2 obs-fold", 400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"),
    Refused(
        "5.2 obs-fold",
        400,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n",
    ),
    Refused("5, RFC 9110 5.5", 400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
    Refused("5, RFC 9110 5.5", 400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\x0bb\r\n\r\n"),
    Refused("5, RFC 9110 5.5", 400, "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n"),
    // 6.1 Transfer-Encoding.
    Refused(
        "6.1",
        400,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Refused(
        "6.1",
        400,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
    ),
    Refused(
        "6.1",
        400,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Refused("6.1", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    Refused("6.1", 400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    Refused("6.1", 501, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    // 6.3 Message body length.
    Refused("6.3 (4)", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"),
    Refused("6.3 (4)", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    Refused(
        "6.3 (4)",
        400,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    ),
    Refused("6.3 (4)", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    Refused("6.3 (4)", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;x=y\r\n\r\n0\r\n\r\n"),
    Refused("6.3 (4)", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n"),
    Refused(
        "6.3 (5)",
        400,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    ),
    Refused("6.3 (5)", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 4\r\n\r\nabcd"),
    // Equal ones may be taken for one; a server behind us may differ.
    Refused(
        "6.3 (5)",
        400,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    ),
    Refused("6.3 (5)", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc"),
    Refused("6.3 (5), RFC 9110 8.6", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"),
    Refused("6.3 (5), RFC 9110 8.6", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
    Refused("6.3 (5), RFC 9110 8.6", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc"),
    Refused("6.3 (5), RFC 9110 8.6", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\nabc"),
    Refused("6.3 (5), RFC 9110 8.6", 400, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"),
    Refused(
        "6.3 (5), RFC 9110 8.6",
        400,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ),
    // 7.1 Chunks.
    Refused("7.1", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
    Refused("7.1", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"),
    Refused("7.1", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n"),
    Refused("7.1", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n"),
    Refused("7.1", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n"),
    Refused("7.1", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nA\n0\n\n"),
    Refused("7.1", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nABC\r\n"),
    Refused(
        "7.1",
        400,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
    ),
    Refused(
        "7.1",
        400,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000001\r\n",
    ),
    Refused("7.1.1", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\nA\r\n"),
    Refused("7.1.1", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a\0\r\nA\r\n"),
    Refused(
        "7.1.2",
        400,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nbad name: 1\r\n\r\n",
    ),
    Refused("7.1.2", 400, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: 1\n\r\n"),
    Refused(
        "7.1.2",
        400,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n X: 1\r\n\r\n",
    ),
    // Hop by hop, and expectations.
    Refused("RFC 9110 7.6.1", 400, "GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n"),
    Refused(
        "RFC 9110 7.6.1",
        400,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: content-length\r\n\r\nx",
    ),
    Refused("RFC 9110 10.1.1", 417, "GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n"),
];

/// What is served: what is sent, the statuses of the answers in their order, and what the server gets, each request as
/// its line, its content, and its trailers.
struct Served(&'static str, &'static str, &'static [u16], &'static [&'static str]);

const SERVED: &[Served] = &[
    // 2.2: one empty line before a request is ignored; so behind a body, too.
    Served("2.2", "\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", &[200], &["GET /a||"]),
    Served(
        "2.2",
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200, 200],
        &["POST /a|x|", "GET /b||"],
    ),
    Served("2.3", "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &[200], &["GET /a||"]),
    Served("3.2.1", "GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n", &[200], &["GET /a?b=c||"]),
    Served("3.2.2", "GET http://A/a HTTP/1.1\r\nHost: a:80\r\n\r\n", &[200], &["GET /a||"]),
    Served("3.2.2", "GET http://[0::1]?b HTTP/1.1\r\nHost: [::1]\r\n\r\n", &[200], &["GET /?b||"]),
    // The URL is one of https, and the connection has no TLS: not for here, and no mistake of framing.
    Served(
        "3.2.2, 3.3, RFC 9110 7.4",
        "GET https://a/a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        &[421, 200],
        &["GET /b||"],
    ),
    Served("3.2.4", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &[200], &["OPTIONS *||"]),
    Served("3.2", "GET /a HTTP/1.1\r\nHost:\r\n\r\n", &[200], &["GET /a||"]),
    Served("3.2", "GET /a HTTP/1.1\r\nHost: a_b.Example.:8080\r\n\r\n", &[200], &["GET /a||"]),
    Served("5.1", "GET /a HTTP/1.1\r\nHost:a\r\nX:\t y \t\r\n\r\n", &[200], &["GET /a||"]),
    Served("6.2", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 003\r\n\r\nabc", &[200], &["POST /a|abc|"]),
    Served("6.3 (7)", "POST /a HTTP/1.1\r\nHost: a\r\n\r\n", &[200], &["POST /a||"]),
    Served("6.3 (5)", "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", &[200], &["GET /a|abc|"]),
    Served(
        "7.1",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n0003\r\nabc\r\nA\r\n0123456789\r\n00\r\n\r\n",
        &[200],
        &["POST /a|abc0123456789|"],
    ),
    Served(
        "7.1.1",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a;b=\"c d\"\r\nabc\r\n0;e\r\n\r\n",
        &[200],
        &["POST /a|abc|"],
    ),
    Served(
        "7.1.2, RFC 9110 6.5.1",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nHost: b\r\nX-Sum: 1\r\n\
         X-Forwarded-For: 192.0.2.9\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nAuthorization: x\r\n\
         Cookie: x\r\nSet-Cookie: x\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200, 200],
        &["POST /a|x|X-Sum: 1\r\n", "GET /b||"],
    ),
    // 9.3.2 Pipelining: answers in order, whatever stands between.
    Served(
        "9.3.2",
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\nPOST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         1\r\nx\r\n0\r\n\r\nHEAD /c HTTP/1.1\r\nHost: a\r\n\r\nGET /d HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200, 200, 200, 200],
        &["GET /a||", "POST /b|x|", "HEAD /c||", "GET /d||"],
    ),
    // A refusal is in its place too, and the last: what stands behind it is not read.
    Served(
        "9.3.2",
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200, 400],
        &["GET /a||"],
    ),
    // 9.6: nothing is read behind what the client has called its last request.
    Served(
        "9.6",
        "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
        &[200],
        &["GET /a||"],
    ),
    Served("9.3", "GET /a HTTP/1.0\r\n\r\nGET /b HTTP/1.0\r\n\r\n", &[200], &["GET /a||"]),
];

/// A server that notes what it gets.
fn noting() -> (Origin, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seeing = Arc::clone(&seen);
    let origin = Origin::with(move |peer| {
        while let Some(request) = peer.request() {
            let line = request.line().trim_end_matches(" HTTP/1.1").to_owned();
            let body = String::from_utf8_lossy(&request.body).into_owned();
            seeing.lock().unwrap().push(format!("{line}|{body}|{}", request.trailers));
            let answer = if line.starts_with("HEAD") {
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec()
            } else {
                with_length("ok")
            };
            if peer.write(&answer).is_err() {
                break;
            }
        }
    });
    (origin, seen)
}

#[test]
fn what_could_be_smuggled_is_refused() {
    let (origin, seen) = noting();
    let rig = Rig::start(service(&[origin.at]));
    for Refused(rule, status, request) in REFUSED {
        let mut client = rig.client();
        client.send(request);
        let answer = client.answer().unwrap_or_else(|error| panic!("{rule}: {request:?}: {error}"));
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
    for Refused(rule, status, request) in REFUSED.iter().step_by(7) {
        let mut client = rig.client();
        for byte in request.as_bytes() {
            // It may have been refused before its end.
            if client.stream().write_all(&[*byte]).is_err() {
                break;
            }
        }
        assert_eq!(client.answer().unwrap().status, *status, "{rule}: {request:?}");
    }
}

/// The statuses of all answers up to the end, the client having ended its side.
fn statuses(client: &mut Client, methods: &[&str]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while let Ok(answer) = client.answer_to(methods.get(statuses.len()).unwrap_or(&"GET")) {
        statuses.push(answer.status);
    }
    statuses
}

#[test]
fn what_is_good_is_served_whole_in_one_piece_and_in_single_bytes() {
    let (origin, seen) = noting();
    let rig = Rig::start(service(&[origin.at]));
    for Served(rule, bytes, wanted, requests) in SERVED {
        let methods: Vec<&str> =
            requests.iter().map(|request| request.split(' ').next().unwrap_or_default()).collect();
        for size in [bytes.len(), 1] {
            seen.lock().unwrap().clear();
            let mut client = rig.client();
            for piece in bytes.as_bytes().chunks(size) {
                if client.stream().write_all(piece).is_err() {
                    break;
                }
            }
            // Section 9.6: who has ended its own side still gets what it has asked for.
            let _ = client.stream().shutdown(Shutdown::Write);
            assert_eq!(statuses(&mut client, &methods), *wanted, "{rule}: {bytes:?}");
            assert_eq!(*seen.lock().unwrap(), *requests, "{rule}: {bytes:?} in pieces of {size}");
        }
    }
}

/// Section 2.2, RFC 6585 section 5: heads, extensions and trailers have bounds, and the answer says which.
#[test]
fn what_is_too_large_is_refused_in_words() {
    let (origin, seen) = noting();
    let mut front = service(&[origin.at]);
    front.limits.header = 4096;
    let rig = Rig::start(front);
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cases = [
        (
            "2.2",
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(5000)),
            "larger than this service",
        ),
        (
            "2.2",
            format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x:\r\n".repeat(128)),
            "more than 128 header fields",
        ),
        ("7.1.1", format!("{chunked}1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(9000)), "larger than 8 KiB"),
        ("7.1.2", format!("{chunked}0\r\nX: {}\r\n\r\n", "x".repeat(9000)), "larger than 8 KiB"),
        ("7.1.2", format!("{chunked}0\r\n{}\r\n", "x:\r\n".repeat(129)), "more than 128 trailer fields"),
    ];
    for (rule, bytes, reason) in cases {
        let mut client = rig.client();
        client.send(&bytes);
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, 431, "{rule}: {answer:?}");
        assert!(answer.body.contains(reason), "{rule}: {answer:?}");
        assert!(client.is_closed(), "{rule}");
    }
    assert!(seen.lock().unwrap().is_empty(), "no server takes it for a request: {seen:?}");
}

/// Section 7.1.2, RFC 9110 section 6.5.1: of an answer's trailers too, and those that rules decide about.
#[test]
fn trailers_of_answers_are_filtered() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\
          Content-Length: 9\r\nSet-Cookie: a=b\r\nTransfer-Encoding: chunked\r\nLocation: /x\r\nConnection: close\r\n\r\n"
            .to_vec()
    });
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    for _ in 0..2 {
        let answer = client.get("/").unwrap();
        assert_eq!((answer.body.as_str(), answer.trailers.as_str()), ("ok", "X-Sum: 1\r\n"));
    }
    assert_eq!(origin.accepted(), 1, "the server's connection is kept");
}

/// Section 7.5 of RFC 9110: a server may answer before it has the whole request; the client gets it, and its connection,
/// whose next bytes are a body that nobody wants, ends (section 9.6).
#[test]
fn early_answers_arrive() {
    for (head, body) in [
        ("Content-Length: 10000000", "x".repeat(100_000)),
        ("Transfer-Encoding: chunked", format!("ffffff\r\n{}", "x".repeat(100_000))),
    ] {
        let origin = Origin::with(|peer| {
            if peer.head().is_some() {
                let _ = peer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge");
                peer.drain();
            }
        });
        let rig = Rig::start(service(&[origin.at]));
        let mut client = rig.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n{body}"));
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (413, "large"), "{head}");
        assert!(answer.head.contains("Connection: close"), "{answer:?}");
        assert!(client.is_closed());
    }
}

/// Sections 8 and 9.6: who ends its side in the middle of a request gets no answer, and no server takes the part for the
/// whole.
#[test]
fn a_request_that_breaks_off_is_none() {
    let (origin, seen) = noting();
    let rig = Rig::start(service(&[origin.at]));
    for part in [
        "GET / HT",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX: y\r\n",
    ] {
        let mut client = rig.client();
        client.send(part);
        client.stream().shutdown(Shutdown::Write).unwrap();
        assert!(client.is_closed(), "{part:?}");
    }
    assert!(seen.lock().unwrap().is_empty(), "{seen:?}");
}

/// What a server sends, and why the client gets 502 for it.
const BROKEN: &[(&str, &str, &str)] = &[
    ("6.3 (5)", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "two lengths"),
    (
        "6.1",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "both framings",
    ),
    ("6.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", "unknown coding"),
    ("6.1", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "chunks in 1.0"),
    ("2.2", "HTTP/1.1 200 OK\nContent-Length: 1\n\nx", "bare LF"),
    ("5.1", "HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 1\r\n\r\nx", "space before the colon"),
    ("5.2", "HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 1\r\n\r\nx", "folded line"),
    ("4", "HTTP/1.1 20 OK\r\nContent-Length: 1\r\n\r\nx", "two digits"),
    ("2.3", "HTTP/2 200\r\n\r\n", "another version"),
    ("2.3", "SSH-2.0-OpenSSH\r\n", "another protocol"),
    ("7.1", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "wrong chunk"),
    ("RFC 9110 15.2.2", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "switching unasked"),
    ("8", "HTTP/1.1 200 OK\r\nContent-Le", "cut in the head"),
];

#[test]
fn a_servers_broken_answer_is_502() {
    for (rule, answer, what) in BROKEN {
        let origin = Origin::with(|peer| {
            if peer.request().is_some() {
                let _ = peer.write(answer.as_bytes());
            }
        });
        let rig = Rig::start(service(&[origin.at]));
        let mut client = rig.client();
        let answer = client.get("/").unwrap();
        assert_eq!(answer.status, 502, "{rule}, {what}: {answer:?}");
        assert_eq!(client.get("/").unwrap().status, 502, "{rule}, {what}: the client's connection goes on");
    }
}
