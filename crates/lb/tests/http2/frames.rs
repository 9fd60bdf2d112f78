//! Frames written and read by hand (RFC 9113 section 4.1), header blocks without compression (RFC 7541 section 6.2.2).

use relevo_lb::http2::replay::{Replay, play};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block: each field literal, never indexed, not Huffman-coded.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            integer(text.len(), &mut out);
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// With a prefix of 7 bits (RFC 7541 section 5.1).
fn integer(value: usize, out: &mut Vec<u8>) {
    if value < 127 {
        return out.push(u8::try_from(value).unwrap());
    }
    out.push(127);
    let mut rest = value - 127;
    while rest >= 128 {
        out.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap());
}

pub(crate) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

/// HEADERS of a request without DATA.
pub(crate) fn request(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields))
}

/// HEADERS of a request with DATA.
pub(crate) fn opening(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(fields))
}

/// GET with further fields.
pub(crate) fn get_with(fields: &[(&'static str, &'static str)]) -> Vec<u8> {
    request(1, &[&GET[..], fields].concat())
}

pub(crate) fn post(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&[(":method", "POST"), (":scheme", "http"), (":path", "/up"), (":authority", "a")], more].concat()
}

/// A frame that came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn read(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
        let stream = u32::from_be_bytes(bytes[5..9].try_into().unwrap());
        let payload = bytes[9..9 + length].to_vec();
        frames.push(Frame { kind: bytes[3], flags: bytes[4], stream, payload });
        bytes = &bytes[9 + length..];
    }
    frames
}

/// A client that sends the preface, empty settings, and these.
pub(crate) fn talk(pieces: &[Vec<u8>]) -> (Replay, Vec<Frame>) {
    let start = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    let all: Vec<&[u8]> = std::iter::once(&start[..]).chain(pieces.iter().map(Vec::as_slice)).collect();
    let replay = play(&all);
    for request in &replay.requests {
        assert_eq!(request.fault, None, "{}", String::from_utf8_lossy(&request.head));
    }
    let frames = read(&replay.answer);
    (replay, frames)
}

/// The DATA of a stream, together; whether it was ended.
pub(crate) fn body(frames: &[Frame], stream: u32) -> (Vec<u8>, bool) {
    let of = |frame: &&Frame| frame.stream == stream;
    let data =
        frames.iter().filter(of).filter(|frame| frame.kind == DATA).flat_map(|frame| frame.payload.clone());
    let ended = frames.iter().filter(of).any(|frame| frame.kind <= HEADERS && frame.flags & END_STREAM != 0);
    (data.collect(), ended)
}
