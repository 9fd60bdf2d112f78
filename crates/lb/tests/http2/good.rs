//! What the engine gets of well-formed requests, and what the client gets of its answers.

use crate::frames::*;

fn head(fields: &[(&'static str, &'static str)]) -> String {
    let (replay, _) = talk(&[request(1, fields)]);
    String::from_utf8(replay.requests[0].head.clone()).unwrap()
}

#[test]
fn a_request_reaches_the_engine_as_lines() {
    assert_eq!(head(&GET), "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let with = [&GET[..], &[("cookie", "a=1"), ("x", "y"), ("te", "trailers"), ("cookie", "b=2")]].concat();
    assert_eq!(head(&with), "GET / HTTP/1.1\r\nhost: a\r\nx: y\r\ncookie: a=1; b=2\r\n\r\n");
    let connect = [(":method", "CONNECT"), (":authority", "a:443")];
    let (replay, frames) = talk(&[opening(1, &connect)]);
    assert!(replay.requests.is_empty() || replay.requests[0].head.starts_with(b"CONNECT a:443 "));
    assert!(!frames.iter().any(|frame| frame.kind == GOAWAY));
}

#[test]
fn bodies_go_up_and_come_down() {
    let sized = [opening(1, &post(&[("content-length", "5")])), frame(DATA, END_STREAM, 1, b"hello")];
    let (replay, frames) = talk(&sized);
    assert_eq!(replay.requests[0].body, b"hello");
    assert!(replay.requests[0].head.ends_with(b"content-length: 5\r\n\r\n"));
    assert_eq!(body(&frames, 1), (b"hello".to_vec(), true));
    let pieces = [
        opening(1, &post(&[])),
        frame(DATA, 0, 1, b"hel"),
        frame(DATA, PADDED, 1, b"\x02lo\0\0"),
        frame(DATA, END_STREAM, 1, b""),
    ];
    let (replay, frames) = talk(&pieces);
    assert!(replay.requests[0].head.ends_with(b"transfer-encoding: chunked\r\n\r\n"));
    assert_eq!((&replay.requests[0].body[..], replay.requests[0].ended), (&b"hello"[..], true));
    assert_eq!(body(&frames, 1), (b"hello".to_vec(), true));
    // The answer's trailers.
    assert_eq!(frames.iter().filter(|frame| frame.stream == 1 && frame.kind == HEADERS).count(), 2);
}

#[test]
fn trailers_go_up() {
    let trailer = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[("x-sum", "1")]));
    let (replay, _) = talk(&[opening(1, &post(&[])), frame(DATA, 0, 1, b"a"), trailer]);
    assert_eq!(replay.requests[0].body, b"a");
    assert!(replay.requests[0].ended);
}

#[test]
fn large_bodies_respect_the_clients_window() {
    let upload: Vec<Vec<u8>> = (0..20).map(|_| frame(DATA, 0, 1, &[b'x'; 10_000])).collect();
    let start = [opening(1, &post(&[]))];
    let end = [frame(DATA, END_STREAM, 1, b"")];
    let (replay, frames) = talk(&[&start[..], &upload, &end].concat());
    assert_eq!(replay.requests[0].body.len(), 200_000);
    // The client has never given more than the first window (RFC 9113 section 6.9.2).
    assert_eq!(body(&frames, 1), (vec![b'x'; 65_535], false));
    let more = [
        frame(WINDOW_UPDATE, 0, 0, &200_000_u32.to_be_bytes()),
        frame(WINDOW_UPDATE, 0, 1, &200_000_u32.to_be_bytes()),
    ];
    let (_, frames) = talk(&[&start[..], &upload, &end, &more].concat());
    assert_eq!(body(&frames, 1), (vec![b'x'; 200_000], true));
}

#[test]
fn a_head_that_comes_in_pieces_is_one() {
    let whole = block(&GET);
    let (first, second) = whole.split_at(20);
    let (replay, frames) =
        talk(&[frame(HEADERS, END_STREAM, 1, first), frame(CONTINUATION, END_HEADERS, 1, second)]);
    assert_eq!(replay.requests.len(), 1);
    assert!(body(&frames, 1).1);
}

#[test]
fn a_hundred_requests_at_a_time_are_answered() {
    let all: Vec<u8> = (0..100).flat_map(|number| opening(2 * number + 1, &post(&[]))).collect();
    let ends: Vec<u8> = (0..100).flat_map(|number| frame(DATA, END_STREAM, 2 * number + 1, b"x")).collect();
    let (replay, frames) = talk(&[all, ends]);
    assert_eq!(replay.requests.len(), 100);
    assert!((0..100).all(|number| body(&frames, 2 * number + 1) == (b"x".to_vec(), true)));
}

#[test]
fn a_request_that_is_cancelled_ends_in_the_engine() {
    let cancel = frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    let (replay, frames) =
        talk(&[opening(1, &post(&[])), frame(DATA, 0, 1, b"half"), cancel, request(3, &GET)]);
    assert!(body(&frames, 3).1, "the connection goes on");
    assert!(
        replay.requests.iter().all(|request| request.head.starts_with(b"GET")),
        "nobody answers what nobody wants"
    );
}
