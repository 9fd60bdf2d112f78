//! What the engine gets of what servers say, right and wrong. Asked are `GET`, `HEAD`, `POST` in chunks and `PUT` of 5 bytes, on
//! the streams 1, 3, 5 and 7, and a WebSocket on 9 where the server takes them.

use std::fs;

use relevo_lb::shared::replay::{Heard, Replay, play};

use crate::frames::*;

/// A server that says SETTINGS, and these, one after the other.
fn hear(pieces: &[Vec<u8>]) -> Replay {
    let start = frame(SETTINGS, 0, 0, &[0, 8, 0, 0, 0, 1]);
    let all: Vec<&[u8]> = std::iter::once(&start[..]).chain(pieces.iter().map(Vec::as_slice)).collect();
    let replay = play(&all);
    for answer in &replay.answers {
        assert_eq!(answer.fault, None, "{answer:?}");
    }
    replay
}

/// The answer to the GET alone.
fn first(pieces: &[Vec<u8>]) -> Heard {
    hear(pieces).answers.swap_remove(0)
}

fn head(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &block(fields))
}

type Fields = [(&'static str, &'static str)];

const OK: [(&str, &str); 1] = [(":status", "200")];

#[test]
fn answers_reach_the_engine_as_lines() {
    let replay = hear(&[
        head(1, 0, &[OK[0], ("x-a", "b")]),
        frame(DATA, 0, 1, b"hel"),
        frame(DATA, PADDED | END_STREAM, 1, b"\x02lo\0\0"),
        head(3, END_STREAM, &[OK[0], ("content-length", "7")]),
        head(5, 0, &[(":status", "103"), ("link", "</a>")]),
        head(5, 0, &[OK[0]]),
        frame(DATA, 0, 5, b"five"),
        head(5, END_STREAM, &[("grpc-status", "0")]),
        head(7, END_STREAM, &[(":status", "404")]),
        head(9, 0, &OK),
        frame(DATA, 0, 9, b"frame"),
    ]);
    let [get, head, post, put, socket] = &replay.answers[..] else { panic!("{replay:?}") };
    assert_eq!(get.head, b"HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_eq!((&get.body[..], get.whole), (&b"hello"[..], true));
    assert_eq!(head.head, b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
    assert!(head.body.is_empty() && head.whole);
    assert_eq!((&post.body[..], post.whole, &post.interim[..]), (&b"five"[..], true, &[103][..]));
    assert_eq!(put.head, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    assert!(socket.head.starts_with(b"HTTP/1.1 101 ") && socket.body == b"frame");
    // What was asked: HEADERS on each stream, DATA and trailers where there are some.
    let said = read(replay.said.strip_prefix(PREFACE).unwrap());
    let of = |kind, stream| said.iter().filter(|frame| frame.kind == kind && frame.stream == stream).count();
    assert_eq!([1, 3, 5, 7, 9].map(|stream| of(HEADERS, stream)), [1, 1, 2, 1, 1]);
    assert_eq!([5, 7].map(|stream| body(&said, stream)), [(); 2].map(|()| (b"hello".to_vec(), true)));
}

/// RFC 9110 sections 6.4.1, 9.3.2: these have none, whatever their servers say.
#[test]
fn what_follows_an_answer_without_a_body_is_nobodys() {
    for (status, more) in [("204", None), ("304", Some(("content-length", "4")))] {
        let fields: Vec<_> = [Some((":status", status)), more].into_iter().flatten().collect();
        let evil = frame(DATA, END_STREAM, 1, b"HTTP/1.1 200 OK\r\n\r\nevil");
        let got = first(&[head(1, 0, &fields), evil]);
        assert!(
            got.body.is_empty() && got.head.starts_with(format!("HTTP/1.1 {status}").as_bytes()),
            "{got:?}"
        );
    }
}

/// RFC 9113 section 8.1.1, RFC 9110 section 8.6: the client must see that it is not all, or get an error.
#[test]
fn lengths_that_are_not_true_make_no_whole_answer() {
    let cases: [(&Fields, &[u8]); 5] = [
        (&[OK[0], ("content-length", "5")], b"four"),
        (&[OK[0], ("content-length", "5")], b"longer"),
        (&[OK[0], ("content-length", "5"), ("content-length", "7")], b"hello"),
        (&[OK[0], ("content-length", "x")], b"hello"),
        (&[OK[0], ("content-length", "-5")], b"hello"),
    ];
    for (fields, data) in cases {
        let got = first(&[head(1, 0, fields), frame(DATA, END_STREAM, 1, data)]);
        assert!(!got.whole, "{fields:?}: {got:?}");
    }
}

/// RFC 9113 section 8.7: who says so gets the request again elsewhere; who does not, may have processed it.
#[test]
fn only_what_was_not_processed_is_asked_again() {
    let unprocessed =
        |pieces: &[Vec<u8>]| hear(pieces).answers.iter().map(|one| one.unprocessed).collect::<Vec<_>>();
    let reset = |stream, reason: u32| frame(RST_STREAM, 0, stream, &reason.to_be_bytes());
    let goaway =
        |last: u32, reason: u32| frame(GOAWAY, 0, 0, &[last.to_be_bytes(), reason.to_be_bytes()].concat());
    // REFUSED_STREAM, CANCEL.
    assert_eq!(unprocessed(&[reset(1, 7), reset(3, 8)]), [true, false, false, false, false]);
    // An answer had begun.
    assert!(!unprocessed(&[head(1, 0, &OK), reset(1, 7)])[0]);
    assert_eq!(unprocessed(&[goaway(3, 0)]), [false, false, true, true, true]);
    // The connection just ends.
    assert_eq!(unprocessed(&[]), [false; 5]);
}

#[test]
fn a_window_of_one_byte_sends_one_byte_at_a_time() {
    let one = |stream| frame(WINDOW_UPDATE, 0, stream, &1_u32.to_be_bytes());
    // SETTINGS_INITIAL_WINDOW_SIZE of 0 comes before the bodies.
    let none = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let sent = |pieces: &[Vec<u8>]| {
        let all: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let replay = play(&all);
        body(&read(replay.said.strip_prefix(PREFACE).unwrap()), 9).0
    };
    // Only the WebSocket begins after these SETTINGS were read.
    let sockets = frame(SETTINGS, 0, 0, &[0, 8, 0, 0, 0, 1]);
    let start = [[none, sockets].concat(), head(9, 0, &OK)];
    assert_eq!(sent(&start), b"");
    let more: Vec<_> = start.iter().cloned().chain((0..3).map(|_| one(9))).collect();
    assert_eq!(sent(&more), b"fra");
}

/// The seeds and finds of the fuzzer, by the promises that it looks at.
#[test]
fn the_fuzz_corpora_are_survived() {
    let folder = |name: &str| format!("{}/../../fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    let each = |name: &str, start: &[u8], look: &dyn Fn(&[&[u8]])| {
        let mut seen = 0;
        for entry in fs::read_dir(folder(name)).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            let Some((choice, rest)) = bytes.split_first() else { continue };
            let start = if choice & 1 == 0 { start } else { b"" };
            look(
                &std::iter::once(start)
                    .chain(rest.chunks(usize::from(choice >> 1) * 8 + 16))
                    .collect::<Vec<_>>(),
            );
            seen += 1;
        }
        assert!(seen > 5, "{name}");
    };
    let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x08\0\0\0\x01\0\0\0\x04\x01\0\0\0\0";
    each("http2_server", settings, &|pieces| {
        for answer in play(pieces).answers {
            assert_eq!(answer.fault, None, "{answer:?}");
        }
    });
    let preface = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    each("http2_client", &preface, &|pieces| {
        for request in relevo_lb::http2::replay::play(pieces).requests {
            assert_eq!(request.fault, None, "{request:?}");
        }
    });
}
