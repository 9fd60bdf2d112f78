//! Frames that nobody may send, with the section of RFC 9113 that says so, and what the client gets for them.
//!
//! Where the RFC names a code of its own (`FRAME_SIZE_ERROR`, `COMPRESSION_ERROR`, `STREAM_CLOSED`), the `h2` crate mostly says
//! `PROTOCOL_ERROR`. What counts is kept: the request does not reach the engine, and the connection ends.

use crate::frames::*;

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gets {
    /// The stream is reset with this code; the connection goes on.
    Reset(u32),
    /// The connection ends with this code.
    Goodbye(u32),
    /// An answer, with the request refused by the engine or served.
    Answer,
    /// It does not matter to anybody.
    Nothing,
}
use Gets::{Answer, Goodbye, Nothing, Reset};

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const FRAME_SIZE: u32 = 6;
const REFUSED: u32 = 7;
const CALM: u32 = 11;

type Fields = [(&'static str, &'static str)];

fn gets(pieces: &[Vec<u8>]) -> Gets {
    let (_, frames) = talk(pieces);
    let code = |at: usize, frame: &Frame| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
    let goodbye = frames
        .iter()
        .filter(|frame| frame.kind == GOAWAY)
        .map(|frame| code(4, frame))
        .find(|code| *code != 0);
    if let Some(code) = goodbye {
        return Goodbye(code);
    }
    if let Some(frame) = frames.iter().find(|frame| frame.kind == RST_STREAM && code(0, frame) != 0) {
        return Reset(code(0, frame));
    }
    if frames.iter().any(|frame| frame.kind == HEADERS) { Answer } else { Nothing }
}

#[test]
fn malformed_requests_are_reset() {
    let cases: [(&str, &Fields, Gets); 24] = [
        ("8.2.1 a name in upper case", &[("X-A", "b")], Goodbye(PROTOCOL)),
        ("8.2.1 an empty name", &[("", "b")], Goodbye(PROTOCOL)),
        ("8.2.1 a space in a name", &[("x a", "b")], Goodbye(PROTOCOL)),
        ("8.2.1 a colon in a name", &[("x:a", "b")], Goodbye(PROTOCOL)),
        ("8.2.1 CR in a value", &[("x", "a\rb")], Goodbye(PROTOCOL)),
        ("8.2.1 LF in a value", &[("x", "a\nb: c")], Goodbye(PROTOCOL)),
        ("8.2.1 NUL in a value", &[("x", "a\0b")], Goodbye(PROTOCOL)),
        ("8.2.1 white space before a value", &[("x", " a")], Reset(PROTOCOL)),
        ("8.2.1 white space after a value", &[("x", "a\t")], Reset(PROTOCOL)),
        ("8.2.2 connection", &[("connection", "close")], Reset(PROTOCOL)),
        ("8.2.2 keep-alive", &[("keep-alive", "1")], Reset(PROTOCOL)),
        ("8.2.2 proxy-connection", &[("proxy-connection", "close")], Reset(PROTOCOL)),
        ("8.2.2 transfer-encoding", &[("transfer-encoding", "chunked")], Reset(PROTOCOL)),
        ("8.2.2 upgrade", &[("upgrade", "websocket")], Reset(PROTOCOL)),
        ("8.2.2 te other than trailers", &[("te", "gzip")], Reset(PROTOCOL)),
        ("8.3 a pseudo-header field after others", &[("x", "y"), (":method", "GET")], Reset(PROTOCOL)),
        ("8.3 an unknown pseudo-header field", &[(":more", "y")], Goodbye(PROTOCOL)),
        ("8.3 one of an answer", &[(":status", "200")], Reset(PROTOCOL)),
        ("8.3.1 a second method", &[(":method", "GET")], Reset(PROTOCOL)),
        ("8.3.1 a second path", &[(":path", "/")], Reset(PROTOCOL)),
        ("8.3.1 another host", &[("host", "b")], Reset(PROTOCOL)),
        ("8.1.1 more content than there is", &[("content-length", "1")], Reset(PROTOCOL)),
        ("8.1.1 a length that is no number", &[("content-length", "x")], Reset(PROTOCOL)),
        ("8.1.1 two lengths", &[("content-length", "0"), ("content-length", "1")], Reset(PROTOCOL)),
    ];
    let mut wrong = Vec::new();
    for (what, fields, expected) in cases {
        let (replay, _) = talk(&[get_with(fields)]);
        assert!(replay.requests.is_empty(), "{what}: {:?}", replay.requests);
        let got = gets(&[get_with(fields)]);
        if got != expected {
            wrong.push(format!("{what}: {got:?} instead of {expected:?}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn requests_that_lack_something_are_reset() {
    for missing in &GET[..3] {
        let fields: Vec<_> = GET.iter().filter(|field| *field != missing).copied().collect();
        assert_eq!(gets(&[request(1, &fields)]), Reset(PROTOCOL), "8.3.1 without {missing:?}");
    }
    let path = |path| request(1, &[GET[0], GET[1], (":path", path), GET[3]]);
    for wrong in ["", "*", "x", "http://b/"] {
        assert_eq!(gets(&[path(wrong)]), Reset(PROTOCOL), "8.3.1 path {wrong:?}");
    }
    // The engine refuses these, in words.
    let (replay, frames) = talk(&[request(1, &GET[..3])]);
    assert_eq!((replay.requests.len(), frames.iter().any(|frame| frame.kind == HEADERS)), (1, true));
    assert_eq!(gets(&[request(1, &[(":method", "CONNECT")])]), Reset(PROTOCOL), "8.5 without an authority");
    let connect = |protocol, more| {
        opening(1, &[(":method", "CONNECT"), (":protocol", protocol), GET[1], GET[2], GET[3], more])
    };
    assert_eq!(gets(&[connect("other", ("x", "y"))]), Reset(PROTOCOL), "RFC 8441 4 another protocol");
    assert_eq!(
        gets(&[connect("websocket", ("content-length", "3"))]),
        Reset(PROTOCOL),
        "9113 8.5 with a body"
    );
    // What follows is for nobody before the server has agreed.
    let early = frame(DATA, 0, 1, b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n");
    let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    let (replay, _) = talk(&[connect("websocket", ("x", "y")), early, reset]);
    assert!(
        replay
            .requests
            .iter()
            .all(|one| one.body.is_empty() && !one.head.windows(5).any(|part| part == b"/evil"))
    );
}

/// What the crates below settle before the engine can look: it does no harm, because the engine, its rules and the server
/// all see the same, without it.
#[test]
fn what_must_not_be_sent_and_is_left_out() {
    // 8.3.1, RFC 3986 3.5: the `http` crate cuts a fragment off.
    let (replay, _) = talk(&[request(1, &[GET[0], GET[1], (":path", "/a?b#/c"), GET[3]])]);
    assert_eq!(replay.requests[0].head, b"GET /a?b HTTP/1.1\r\nhost: a\r\n\r\n");
    // 8.1: the `h2` crate forgets pseudo-header fields of trailers.
    let trailers = block(&[(":path", "/evil"), (":authority", "evil"), ("x-sum", "1")]);
    let pieces = [
        opening(1, &post(&[])),
        frame(DATA, 0, 1, b"a"),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers),
    ];
    let (replay, _) = talk(&pieces);
    assert!(replay.requests[0].head.starts_with(b"POST /up HTTP/1.1\r\nhost: a\r\n"));
    assert_eq!((&replay.requests[0].body[..], replay.requests[0].ended), (&b"a"[..], true));
}

#[test]
fn bodies_that_are_not_as_long_as_they_said_are_reset() {
    let five = opening(1, &post(&[("content-length", "5")]));
    for (what, data) in [("shorter", &b"hell"[..]), ("longer", b"hello!")] {
        let (replay, _) = talk(&[five.clone(), frame(DATA, END_STREAM, 1, data)]);
        assert!(replay.requests.iter().all(|request| !request.ended), "{what}");
        assert_eq!(gets(&[five.clone(), frame(DATA, END_STREAM, 1, data)]), Reset(PROTOCOL), "8.1.1 {what}");
    }
}

#[test]
fn frames_that_may_not_be_end_the_connection() {
    let window = |stream, by: u32| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    let cases: [(&str, Vec<Vec<u8>>, Gets); 22] = [
        ("4.2 a frame that is too large", vec![frame(DATA, 0, 1, &[0; 16_385])], Goodbye(FRAME_SIZE)),
        (
            "4.3 a header block that is none",
            vec![frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 9])],
            Goodbye(PROTOCOL),
        ),
        ("5.1 DATA on a stream that is not open", vec![frame(DATA, 0, 1, b"x")], Goodbye(PROTOCOL)),
        ("5.1 WINDOW_UPDATE on a stream that is not open", vec![window(1, 1)], Goodbye(PROTOCOL)),
        (
            "5.1 RST_STREAM on a stream that is not open",
            vec![frame(RST_STREAM, 0, 1, &[0; 4])],
            Goodbye(PROTOCOL),
        ),
        (
            "5.1 DATA after the end",
            vec![[get_with(&[]), frame(DATA, 0, 1, b"x")].concat()],
            Goodbye(PROTOCOL),
        ),
        ("5.1.1 a stream of ours", vec![request(2, &GET)], Goodbye(PROTOCOL)),
        ("5.1.1 a number that goes back", vec![request(5, &GET), request(3, &GET)], Goodbye(PROTOCOL)),
        ("6.1 DATA on the connection", vec![frame(DATA, 0, 0, b"x")], Goodbye(PROTOCOL)),
        (
            "6.1 more padding than payload",
            vec![opening(1, &post(&[])), frame(DATA, PADDED, 1, b"\x05xx")],
            Goodbye(PROTOCOL),
        ),
        ("6.2 HEADERS on the connection", vec![request(0, &GET)], Goodbye(PROTOCOL)),
        ("6.3 PRIORITY of a wrong size", vec![frame(PRIORITY, 0, 1, &[0; 4])], Goodbye(PROTOCOL)),
        (
            "6.4 RST_STREAM of a wrong size",
            vec![opening(1, &post(&[])), frame(RST_STREAM, 0, 1, &[0; 3])],
            Goodbye(PROTOCOL),
        ),
        ("6.5 SETTINGS of a wrong size", vec![frame(SETTINGS, 0, 0, &[0; 5])], Goodbye(PROTOCOL)),
        ("6.5 SETTINGS on a stream", vec![frame(SETTINGS, 0, 1, &[])], Goodbye(PROTOCOL)),
        (
            "6.5.2 a window that cannot be",
            vec![frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0])],
            Goodbye(PROTOCOL),
        ),
        (
            "6.6 PUSH_PROMISE by a client",
            vec![opening(1, &post(&[])), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])],
            Goodbye(PROTOCOL),
        ),
        ("6.7 PING of a wrong size", vec![frame(PING, 0, 0, &[0; 7])], Goodbye(PROTOCOL)),
        ("6.9 WINDOW_UPDATE by nothing", vec![window(0, 0)], Goodbye(PROTOCOL)),
        ("6.9.1 a window beyond all", vec![window(0, 0x7fff_ffff)], Goodbye(FLOW_CONTROL)),
        ("6.10 CONTINUATION of nothing", vec![frame(CONTINUATION, END_HEADERS, 1, &[])], Goodbye(PROTOCOL)),
        (
            "6.2 something between HEADERS and CONTINUATION",
            vec![frame(HEADERS, 0, 1, &[]), frame(PING, 0, 0, &[0; 8])],
            Goodbye(PROTOCOL),
        ),
    ];
    let mut wrong = Vec::new();
    for (what, pieces, expected) in cases {
        let got = gets(&pieces);
        if got != expected {
            wrong.push(format!("{what}: {got:?} instead of {expected:?}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert_eq!(
        gets(&[frame(99, 0, 0, b"later"), request(1, &GET)]),
        Answer,
        "5.5 an unknown frame is ignored"
    );
    assert_eq!(gets(&[frame(PING, 1, 0, &[0; 8])]), Nothing, "6.7 an answer to no PING");
}

#[test]
fn floods_end_the_connection() {
    let cancel =
        |stream| [request(stream, &GET), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat();
    // CVE-2023-44487: all at once, and one after the other so that each of them is begun.
    let at_once: Vec<u8> = (0..1000).flat_map(|number| cancel(2 * number + 1)).collect();
    assert_eq!(gets(&[at_once]), Goodbye(CALM), "rapid reset");
    let begun: Vec<Vec<u8>> = (0..200)
        .flat_map(|number| {
            let stream = 2 * number + 1;
            [opening(stream, &post(&[])), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())]
        })
        .collect();
    let (replay, _) = talk(&begun);
    assert!(replay.requests.len() <= 200);
    assert_eq!(gets(&begun), Goodbye(CALM), "reset in a while");
    // CVE-2024-27316.
    let mut endless = vec![frame(HEADERS, 0, 1, &block(&GET))];
    endless.extend(
        (0..1000).map(|_| frame(CONTINUATION, 0, 1, &block(&[("x", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy")]))),
    );
    assert_eq!(gets(&endless), Goodbye(CALM), "CONTINUATION without end");
    let many: Vec<u8> = (0..101).flat_map(|number| opening(2 * number + 1, &post(&[]))).collect();
    assert_eq!(gets(&[many]), Reset(REFUSED), "5.1.2 more streams than were allowed");
    let empty: Vec<Vec<u8>> = std::iter::once(opening(1, &post(&[])))
        .chain((0..20).map(|_| frame(DATA, 0, 1, b"").repeat(1000)))
        .collect();
    assert_eq!(gets(&empty), Goodbye(CALM), "DATA without content");
    // These are answered, one by one; what waits to be sent is bounded.
    for flood in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])] {
        let (replay, _) = talk(&[flood.repeat(10_000)]);
        assert!(replay.answer.len() <= 10_000 * 17 + 100);
    }
}

proptest::proptest! {
    #[test]
    fn whatever_the_frames_are_the_engine_gets_whole_requests(
        frames in proptest::collection::vec((0_u8..10, 0_u8..16, 0_u32..8, 0_usize..4, proptest::collection::vec(0_u8..255, 0..24)), 0..24),
    ) {
        let pieces: Vec<Vec<u8>> = frames
            .iter()
            .map(|(kind, flags, stream, what, bytes)| match what {
                0 => opening(*stream, &post(&[])),
                1 => request(*stream, &GET),
                2 => frame(DATA, flags & END_STREAM, *stream, bytes),
                _ => frame(*kind, *flags, *stream, bytes),
            })
            .collect();
        // It looks for faults itself.
        talk(&pieces);
    }
}
