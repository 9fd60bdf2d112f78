//! Answers are compressed for clients that accept it, and stay what they are for everybody else.

use std::io::{Read, Write};

use relevo_model::cluster::{Coding, Compression};

use crate::rig::{Client, Front, Origin, Pace, Rig, field, service, with_length};

fn compressing(origin: &Origin) -> Front {
    let mut front = service(&[origin.at]);
    front.compression = Some(Compression {
        codings: vec![Coding::Zstd, Coding::Br, Coding::Gzip],
        types: vec!["text/*".to_owned()],
        least: 64,
    });
    front
}

pub(crate) fn text(length: usize) -> String {
    (0..)
        .flat_map(|number: u32| format!("line {number}\n").into_bytes())
        .take(length)
        .map(char::from)
        .collect()
}

fn typed(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"a\"\r\nAccept-Ranges: bytes\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn ask(method: &str, accept: &str) -> String {
    format!("{method} / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accept}\r\n\r\n")
}

/// A head, and the bytes of the chunks behind it.
fn chunked(client: &mut Client) -> (String, Vec<u8>) {
    let (head, mut body) = (line_by_line(client), Vec::new());
    loop {
        let (line, size) = size_line(client);
        assert!(line.ends_with("\r\n"));
        let chunk = client.bytes(size + 2);
        if size == 0 {
            return (head, body);
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

fn size_line(client: &mut Client) -> (String, usize) {
    let mut line = String::new();
    while !line.ends_with("\r\n") {
        line.push(char::from(client.bytes(1)[0]));
    }
    let size = usize::from_str_radix(line.trim(), 16).unwrap();
    (line, size)
}

fn line_by_line(client: &mut Client) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(client.bytes(1)[0]));
    }
    head
}

pub(crate) fn expanded(coding: &str, bytes: &[u8]) -> String {
    let mut text = String::new();
    match coding {
        "gzip" => drop(flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap()),
        "br" => drop(brotli::Decompressor::new(bytes, 4096).read_to_string(&mut text).unwrap()),
        "zstd" => text = String::from_utf8(zstd::decode_all(bytes).unwrap()).unwrap(),
        _ => panic!("{coding}"),
    }
    text
}

#[test]
fn each_coding_gives_back_what_the_server_said() {
    // Small, larger than a read, larger than what is spliced.
    for length in [100, 40_000, 3_000_000] {
        let body = text(length);
        let answer = typed(&body);
        let origin = Origin::answering(move |_| answer.clone());
        let rig = Rig::start(compressing(&origin));
        let mut client = rig.client();
        let mut pace = Pace::start();
        for coding in ["gzip", "br", "zstd"] {
            client.send(ask("GET", coding));
            let (head, bytes) = chunked(&mut client);
            assert_eq!(field(&head, "content-encoding").as_deref(), Some(coding));
            assert_eq!(field(&head, "vary").as_deref(), Some("Accept-Encoding"));
            assert_eq!(field(&head, "etag").as_deref(), Some("W/\"a\""));
            assert_eq!(field(&head, "content-length"), None);
            assert_eq!(field(&head, "accept-ranges"), None);
            assert!(bytes.len() < length, "{} of {length}", bytes.len());
            assert!(expanded(coding, &bytes) == body, "{coding} of {length}");
            pace.step();
        }
        // On the same connection, one that wants nothing of it.
        let plain = client.get("/").unwrap();
        pace.step();
        assert_eq!(field(&plain.head, "content-encoding"), None);
        assert_eq!(field(&plain.head, "vary").as_deref(), Some("Accept-Encoding"));
        assert!(plain.body == body);
        assert!(origin.accepted() == 1 || !pace.was_quick(), "the server's connection is kept");
    }
}

#[test]
fn chunked_answers_and_those_that_end_with_the_connection() {
    let origin = Origin::with(|peer| {
        let Some(request) = peer.request() else { return };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
        let _ = if request.line().contains("/chunks") {
            let chunk = format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX: t\r\n\r\n"
            );
            peer.write(chunk.as_bytes())
        } else {
            peer.write(format!("{head}\r\nhello world").as_bytes())
        };
    });
    let rig = Rig::start(compressing(&origin));
    for path in ["/chunks", "/close"] {
        let mut client = rig.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"));
        let (_, bytes) = chunked(&mut client);
        assert_eq!(expanded("gzip", &bytes), "hello world", "{path}");
    }
}

#[test]
fn clients_of_http_1_0_get_it_up_to_the_close() {
    let origin = Origin::answering(|_| typed(&text(500)));
    let rig = Rig::start(compressing(&origin));
    let mut client = rig.client();
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\nAccept-Encoding: gzip\r\n\r\n");
    let head = line_by_line(&mut client);
    assert_eq!(field(&head, "connection").as_deref(), Some("close"));
    assert_eq!(field(&head, "transfer-encoding"), None);
    let mut bytes = Vec::new();
    client.stream().flush().unwrap();
    while let Some(byte) = client.next_byte() {
        bytes.push(byte);
    }
    assert_eq!(expanded("gzip", &bytes), text(500));
}

#[test]
fn head_says_what_get_would() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 500\r\n\r\n".to_vec()
    });
    let rig = Rig::start(compressing(&origin));
    let mut client = rig.client();
    client.send(ask("HEAD", "gzip"));
    let answer = client.answer_to("HEAD").unwrap();
    assert_eq!(field(&answer.head, "content-encoding").as_deref(), Some("gzip"));
    assert_eq!(field(&answer.head, "content-length"), None);
}

#[test]
fn what_is_not_to_be_compressed_is_not() {
    let origin = Origin::answering(|request| {
        let body = text(200);
        let with = |fields: &str| {
            format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 200\r\n\r\n{body}").into_bytes()
        };
        match request.line().split(' ').nth(1) {
            Some("/image") => with("Content-Type: image/png\r\n"),
            Some("/coded") => with("Content-Type: text/plain\r\nContent-Encoding: deflate\r\n"),
            Some("/whole") => with("Content-Type: text/plain\r\nCache-Control: no-transform\r\n"),
            Some("/small") => typed("small"),
            _ => with_length(&body),
        }
    });
    let rig = Rig::start(compressing(&origin));
    let mut client = rig.client();
    for path in ["/image", "/coded", "/whole", "/small", "/untyped"] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"));
        let answer = client.answer().unwrap();
        assert!(field(&answer.head, "content-encoding").is_none_or(|coding| coding == "deflate"), "{path}");
        assert!(field(&answer.head, "content-length").is_some(), "{path}");
    }
}

#[test]
fn what_streams_is_not_held_back() {
    let origin = Origin::with(|peer| {
        if peer.request().is_none() {
            return;
        }
        let _ = peer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n");
        // The second event comes only after the first was seen: the client asks on another connection.
        let _ = peer.read(&mut [0; 1]);
    });
    let rig = Rig::start(compressing(&origin));
    let mut client = rig.client();
    client.send(ask("GET", "gzip"));
    line_by_line(&mut client);
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    while decoder.get_ref() != b"data: one\n\n" {
        let (_, size) = size_line(&mut client);
        let chunk = client.bytes(size + 2);
        decoder.write_all(&chunk[..size]).unwrap();
        decoder.flush().unwrap();
    }
}
