//! Heads that are taken and heads that are refused, each with its section of RFC 9112.

use proptest::prelude::*;

use super::body::Body;
use super::chunked::Chunked;
use super::fields::Fields;
use super::refusal::{Refusal, Status, write_answer};
use super::request::{Additions, Method, Request, Version};
use super::response::{Manner, Response};

const LIMIT: usize = 16 * 1024;
const ADDITIONS: Additions<'_> =
    Additions { lines: b"X-Forwarded-For: 192.0.2.1\r\n", host: b"default", changes: None, path: None };

fn parse(head: &str) -> Result<Option<Request>, Refusal> {
    Request::parse(head.as_bytes(), LIMIT, &mut Fields::new())
}

fn rewrite(head: &str) -> String {
    let mut fields = Fields::new();
    let request = Request::parse(head.as_bytes(), LIMIT, &mut fields).unwrap().unwrap();
    let mut out = Vec::new();
    request.write(head.as_bytes(), fields.list(), ADDITIONS, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn targets_are_written_in_origin_form() {
    let cases = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n"),
        ("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n"),
        ("GET http://a?q HTTP/1.1\r\nHost: A:80\r\n\r\n", "GET /?q HTTP/1.1\r\nHost: A:80\r\n"),
        ("GET HTTP://a/b?c HTTP/1.0\r\n\r\n", "GET /b?c HTTP/1.1\r\nHost: a\r\n"),
        ("GET /b HTTP/1.0\r\n\r\n", "GET /b HTTP/1.1\r\nHost: default\r\n"),
        ("GET https://a/b HTTP/1.1\r\nHost: a:443\r\n\r\n", "GET /b HTTP/1.1\r\nHost: a:443\r\n"),
        ("GET https://A.:443?q HTTP/1.0\r\n\r\n", "GET /?q HTTP/1.1\r\nHost: A.:443\r\n"),
        ("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n"),
        ("OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS / HTTP/1.1\r\nHost: a\r\n"),
        ("OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost:\r\n"),
        ("\r\nPURGE /x HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", "PURGE /x HTTP/1.1\r\nHost: [::1]:8000\r\n"),
    ];
    for (head, expected) in cases {
        assert_eq!(rewrite(head), format!("{expected}X-Forwarded-For: 192.0.2.1\r\n\r\n"), "{head:?}");
    }
}

#[test]
fn keep_alive_follows_version_and_connection() {
    let cases = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", true),
    ];
    for (head, expected) in cases {
        assert_eq!(parse(head).unwrap().unwrap().keep_alive, expected, "{head:?}");
    }
}

#[test]
fn an_incomplete_head_is_not_refused() {
    let head = "\r\nGET http://h/x HTTP/1.1\r\nHost: h\r\nA: b\r\nContent-Length: 12\r\n\r\n";
    for end in 0..head.len() {
        assert_eq!(parse(&head[..end]), Ok(None), "{:?}", &head[..end]);
    }
    let request = parse(head).unwrap().unwrap();
    assert_eq!((request.length, request.body, request.method), (head.len(), Body::Length(12), Method::Safe));
}

#[test]
fn a_refusal_is_a_complete_answer() {
    let mut out = Vec::new();
    write_answer(&mut out, Refusal::new(Status::Unavailable, "no server"), None, true, false);
    insta::assert_snapshot!(String::from_utf8(out).unwrap().replace('\r', ""), @r"
    HTTP/1.1 503 Service Unavailable
    Content-Type: text/plain; charset=utf-8
    Cache-Control: no-store
    Content-Length: 35
    Connection: close

    503 Service Unavailable: no server
    ");
}

#[test]
fn bodies_of_answers_end_as_rfc_9112_section_6_3_says() {
    let chunks = Body::Chunked(Chunked::new());
    let cases = [
        ("200 OK\r\nContent-Length: 5\r\n", Method::Safe, Body::Length(5), true),
        ("200 OK\r\nContent-Length: 5\r\n", Method::Head, Body::NONE, true),
        ("200 OK\r\nTransfer-Encoding: chunked\r\n", Method::Safe, chunks, true),
        ("200 OK\r\nTransfer-Encoding: chunked\r\n", Method::Head, Body::NONE, true),
        ("204 No Content\r\nContent-Length: 5\r\n", Method::Safe, Body::NONE, true),
        ("304 Not Modified\r\nContent-Length: 5\r\n", Method::Safe, Body::NONE, true),
        ("200 OK\r\n", Method::Safe, Body::UntilClose, false),
        ("200 OK\r\nContent-Length: 5\r\nConnection: close\r\n", Method::Other, Body::Length(5), false),
        ("200\r\nContent-Length: 0\r\n", Method::Other, Body::NONE, true),
    ];
    for (head, method, body, keep_alive) in cases {
        let bytes = format!("HTTP/1.1 {head}\r\n");
        let response = Response::parse(bytes.as_bytes(), LIMIT, method, &mut Fields::new()).unwrap().unwrap();
        assert_eq!((response.body, response.keep_alive), (body, keep_alive), "{head:?} to {method:?}");
    }
}

#[test]
fn an_answer_without_a_body_does_not_speak_of_one() {
    let bytes = b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nX: y\r\n\r\n";
    let mut fields = Fields::new();
    let response = Response::parse(bytes, LIMIT, Method::Safe, &mut fields).unwrap().unwrap();
    let mut out = Vec::new();
    response.write(
        bytes,
        fields.list(),
        Manner { version: Version::V11, close: true, changes: None },
        &mut out,
    );
    assert_eq!(out, b"HTTP/1.1 204 No Content\r\nX: y\r\nConnection: close\r\n\r\n");
}

#[test]
fn a_client_of_http_1_0_does_not_hear_of_transfer_codings() {
    let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n";
    for method in [Method::Safe, Method::Head] {
        let mut fields = Fields::new();
        let response = Response::parse(bytes, LIMIT, method, &mut fields).unwrap().unwrap();
        let mut out = Vec::new();
        response.write(
            bytes,
            fields.list(),
            Manner { version: Version::V10, close: true, changes: None },
            &mut out,
        );
        assert_eq!(out, b"HTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\n\r\n");
    }
}

#[test]
fn connection_names_a_few_fields_not_thousands() {
    let head = |names: usize| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close{}\r\n\r\n", ", x".repeat(names))
    };
    assert!(parse(&head(30)).is_ok());
    assert_eq!(parse(&head(40)).unwrap_err().status, Status::BadRequest);
}

fn decode(chunked: &mut Chunked, input: &[u8]) -> Result<(usize, Vec<u8>), &'static str> {
    let mut data = Vec::new();
    let used = chunked.feed(input, |part| data.extend_from_slice(part)).map_err(|wrong| wrong.0.reason)?;
    Ok((used, data))
}

#[test]
fn chunks_with_extensions_and_trailers_end_where_they_end() {
    let input = b"3;a=\"b c\"\r\nabc\r\n00A\r\n0123456789\r\n000\r\nX-Sum: 1\r\nY:\r\n\r\nGET /next";
    let mut chunked = Chunked::new();
    assert_eq!(decode(&mut chunked, input), Ok((input.len() - 9, b"abc0123456789".to_vec())));
    assert!(chunked.is_done());
}

#[test]
fn endless_extensions_and_trailers_are_refused() {
    for start in ["1;", "0\r\nX: "] {
        let input = format!("{start}{}", "x".repeat(9000));
        assert_eq!(
            decode(&mut Chunked::new(), input.as_bytes()),
            Err("the chunk extensions or trailers are larger than 8 KiB"),
            "{start}"
        );
    }
}

/// Heads that are near to right ones.
fn head() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("Host: a".to_owned()),
        Just("Host: b".to_owned()),
        Just("Content-Length: 5".to_owned()),
        Just("Transfer-Encoding: chunked".to_owned()),
        Just("Connection: close, x-a".to_owned()),
        Just("Connection: keep-alive".to_owned()),
        Just("X-A: 1".to_owned()),
        Just("Upgrade: websocket".to_owned()),
        "[ -~\\t]{0,20}",
        "[A-Za-z-]{1,10}: ?[ -~]{0,20}",
    ];
    let start = prop_oneof![
        Just("GET / HTTP/1.1".to_owned()),
        Just("POST /x HTTP/1.0".to_owned()),
        Just("GET http://a/ HTTP/1.1".to_owned()),
        "[A-Z]{1,5} [!-~]{1,20} HTTP/1\\.[01]",
    ];
    let end = prop_oneof![8 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r")];
    (start, prop::collection::vec((line, end), 0..8)).prop_map(|(start, lines)| {
        let lines: String = lines.into_iter().map(|(line, end)| line + end).collect();
        format!("{start}\r\n{lines}\r\n")
    })
}

proptest! {
    /// The server must understand what we write exactly as we understood what we read.
    #[test]
    fn what_is_written_is_understood_the_same(head in head()) {
        let mut fields = Fields::new();
        let Ok(Some(request)) = Request::parse(head.as_bytes(), LIMIT, &mut fields) else { return Ok(()) };
        let mut out = Vec::new();
        request.write(head.as_bytes(), fields.list(), ADDITIONS, &mut out);
        let again = Request::parse(&out, LIMIT, &mut fields).expect("a good head").expect("a whole head");
        prop_assert_eq!(again.length, out.len());
        prop_assert_eq!((again.body, again.method, again.websocket), (request.body, request.method, request.websocket));
        prop_assert!(again.keep_alive && again.version == Version::V11);
    }

    /// A decision never depends on how the bytes were cut, and is never taken back.
    #[test]
    fn a_decision_does_not_depend_on_packets(head in head(), rest in "[ -~]{0,9}") {
        let whole = format!("{head}{rest}");
        let decision = parse(&whole);
        let first = (0..=whole.len()).map(|end| parse(&whole[..end])).find(|result| *result != Ok(None));
        match (decision, first.unwrap_or(Ok(None))) {
            (Err(a), Err(b)) => prop_assert_eq!(a.status, b.status),
            (a, b) => prop_assert_eq!(a, b),
        }
    }

    #[test]
    fn any_bytes_are_taken_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut fields = Fields::new();
        let _ = Request::parse(&bytes, 100, &mut fields);
        let _ = Response::parse(&bytes, 100, Method::Safe, &mut fields);
        let mut answer = b"HTTP/1.1 200 ".to_vec();
        answer.extend(&bytes);
        let _ = Response::parse(&answer, 100, Method::Safe, &mut fields);
        let _ = decode(&mut Chunked::new(), &bytes);
    }

    #[test]
    fn chunks_do_not_depend_on_packets(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..5),
        cuts in prop::collection::vec(1_usize..30, 1..20),
    ) {
        let mut input = Vec::new();
        for part in &parts {
            input.extend(format!("{:x};x\r\n", part.len()).into_bytes());
            input.extend(part);
            input.extend(b"\r\n");
        }
        input.extend(b"0\r\nT: v\r\n\r\n");
        let (mut chunked, mut at, mut data) = (Chunked::new(), 0, Vec::new());
        for cut in cuts.iter().cycle() {
            let end = (at + cut).min(input.len());
            let (used, part) = decode(&mut chunked, &input[at..end]).expect("good chunks");
            prop_assert_eq!(used, end - at);
            data.extend(part);
            at = end;
            if at == input.len() {
                break;
            }
        }
        prop_assert!(chunked.is_done());
        prop_assert_eq!(data, parts.concat());
    }
}
