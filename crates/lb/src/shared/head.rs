//! Heads: the lines that the engine writes become a request of HTTP/2, and an answer's fields become lines.

use std::io;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

use super::UNSPEAKABLE;
use super::websocket;
use crate::http::body::Body;
use crate::http::chunked::Chunked;
use crate::http::fields::Fields;

/// A request as HTTP/2 has it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request<()>,
    pub(super) shape: Shape,
    /// How many bytes the head has.
    pub(super) length: usize,
}

/// What the answer is written by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// The request's body, as the engine writes it.
    pub(super) body: Body,
    /// Whether only a head is asked for.
    pub(super) head_only: bool,
    /// What proves that the server speaks WebSocket, if that is asked for.
    pub(super) accept: Option<String>,
}

/// Reads a whole head. `at` is asked for where there is no other name.
///
/// # Errors
/// [`UNSPEAKABLE`]: HTTP/2 has no such request.
pub(super) fn read(bytes: &[u8], secure: bool, at: &str) -> io::Result<Asked> {
    let wrong = |what: &'static str| io::Error::new(UNSPEAKABLE, what);
    let line = memchr::memchr(b'\n', bytes).ok_or(wrong("a head without an end"))?;
    let mut words = bytes.get(..line).unwrap_or_default().split(|byte| *byte == b' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(wrong("a request line without a target"));
    };
    let method = Method::from_bytes(method).map_err(|_| wrong("its method"))?;
    if method == Method::CONNECT {
        return Err(wrong("CONNECT"));
    }
    let target = PathAndQuery::try_from(target).map_err(|_| wrong("its target"))?;
    let mut fields = Fields::default();
    let end = fields.parse(bytes, line + 1).map_err(|refusal| wrong(refusal.reason))?;
    let length = end.ok_or(wrong("a head without an end"))?;
    let mut headers = HeaderMap::with_capacity(fields.list().len() + 1);
    let (mut authority, mut key, mut body) = (None, None, Body::NONE);
    let mut upgrade = false;
    for field in fields.list() {
        let (name, value) = (field.name(bytes), field.value(bytes));
        let name = HeaderName::from_bytes(name).map_err(|_| wrong("a field's name"))?;
        match name.as_str() {
            "host" => authority = Some(value),
            "connection" | "keep-alive" | "proxy-connection" | "te" | "http2-settings" => continue,
            "transfer-encoding" => body = Body::Chunked(Chunked::new()),
            "upgrade" => upgrade = value.eq_ignore_ascii_case(b"websocket"),
            "sec-websocket-key" => key = Some(value),
            _ => {
                if name == CONTENT_LENGTH {
                    let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                    body = Body::Length(length.ok_or(wrong("its Content-Length"))?);
                }
                let value = HeaderValue::from_bytes(value).map_err(|_| wrong("a field's value"))?;
                headers.append(name, value);
            }
        }
    }
    // Trailers are passed on, whoever has asked (RFC 9110 section 10.1.4); gRPC wants to read that.
    headers.insert(TE, HeaderValue::from_static("trailers"));
    let head_only = method == Method::HEAD;
    let authority = match authority {
        Some(authority @ [_, ..]) => Authority::try_from(authority),
        Some([]) | None => Authority::try_from(at),
    };
    let authority = authority.map_err(|_| wrong("its Host"))?;
    let uri = Uri::builder()
        .scheme(if secure { Scheme::HTTPS } else { Scheme::HTTP })
        .authority(authority)
        .path_and_query(target);
    let mut request = Request::new(());
    *request.uri_mut() = uri.build().map_err(|_| wrong("its target"))?;
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    let accept = key.filter(|_| upgrade).map(websocket::accept);
    if accept.is_some() {
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        body = Body::UntilClose;
    }
    Ok(Asked { request, shape: Shape { body, head_only, accept }, length })
}

/// Writes an answer's head as lines, and says how its body goes on. `ended`: nothing follows.
pub(super) fn write(answer: &Response<()>, ended: bool, shape: &Shape, out: &mut Vec<u8>) -> Body {
    let status = answer.status();
    let fields = answer.headers();
    if let (Some(accept), StatusCode::OK) = (&shape.accept, status) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        );
        line(out, b"Sec-WebSocket-Accept", accept.as_bytes());
        lines(fields, out);
        out.extend_from_slice(b"\r\n");
        return Body::UntilClose;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    lines(fields, out);
    let bodiless = shape.head_only || status.is_informational() || matches!(status.as_u16(), 204 | 304);
    let length = fields.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = match length {
        _ if bodiless => Body::NONE,
        Some(length) => Body::Length(length),
        None if ended => {
            out.extend_from_slice(b"content-length: 0\r\n");
            Body::NONE
        }
        None => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Body::Chunked(Chunked::new())
        }
    };
    out.extend_from_slice(b"\r\n");
    body
}

/// A trailer section behind the last chunk.
pub(super) fn last_chunk(trailers: Option<&HeaderMap>) -> Bytes {
    let Some(trailers) = trailers else { return Bytes::from_static(b"0\r\n\r\n") };
    let mut out = b"0\r\n".to_vec();
    lines(trailers, &mut out);
    out.extend_from_slice(b"\r\n");
    out.into()
}

/// The lines of a trailer section as fields; `None`: they are none.
pub(super) fn trailers(lines: &[u8]) -> Option<HeaderMap> {
    let bytes = [lines, b"\r\n"].concat();
    let mut fields = Fields::default();
    fields.parse(&bytes, 0).ok()??;
    let mut map = HeaderMap::with_capacity(fields.list().len());
    for field in fields.list() {
        let name = HeaderName::from_bytes(field.name(&bytes)).ok()?;
        map.append(name, HeaderValue::from_bytes(field.value(&bytes)).ok()?);
    }
    Some(map)
}

fn lines(fields: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in fields {
        line(out, name.as_str().as_bytes(), value.as_bytes());
    }
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_a_request() {
        let asked = read(
            b"POST /a?b=1 HTTP/1.1\r\nHost: x.example\r\nX-A: 1\r\nConnection: close\r\ntransfer-encoding: chunked\r\n\r\nrest",
            false,
            "10.0.0.1:80",
        )
        .unwrap();
        assert_eq!(asked.request.uri(), "http://x.example/a?b=1");
        assert_eq!(asked.request.method(), Method::POST);
        let names: Vec<_> = asked.request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-a", "te"]);
        assert!(matches!(asked.shape.body, Body::Chunked(_)) && !asked.shape.head_only);
        let all =
            read(b"OPTIONS * HTTP/1.1\r\nhost:\r\ncontent-length: 3\r\n\r\n", true, "10.0.0.1:80").unwrap();
        assert_eq!(all.request.uri().authority().unwrap(), "10.0.0.1:80");
        assert_eq!(all.request.uri().path(), "*");
        assert_eq!(all.shape.body, Body::Length(3));
    }

    #[test]
    fn what_cannot_be_said_is_an_error_of_its_own() {
        for head in [
            &b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n",
            b"",
        ] {
            assert_eq!(read(head, false, "10.0.0.1:80").unwrap_err().kind(), UNSPEAKABLE);
        }
    }

    #[test]
    fn an_answer_becomes_lines() {
        let shape = Shape { body: Body::NONE, head_only: false, accept: None };
        let written = |answer: http::response::Builder, ended, shape: &Shape| {
            let mut out = Vec::new();
            let body = write(&answer.body(()).unwrap(), ended, shape, &mut out);
            (String::from_utf8(out).unwrap(), body)
        };
        let (lines, body) = written(Response::builder().header("x-a", "b"), false, &shape);
        assert_eq!(lines, "HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n");
        assert!(matches!(body, Body::Chunked(_)));
        let (lines, body) = written(Response::builder().status(599), true, &shape);
        assert_eq!((lines.as_str(), body), ("HTTP/1.1 599 \r\ncontent-length: 0\r\n\r\n", Body::NONE));
        let (lines, body) = written(Response::builder().header("content-length", "7"), false, &shape);
        assert_eq!((lines.as_str(), body), ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", Body::Length(7)));
        let head = Shape { head_only: true, ..shape.clone() };
        let (lines, body) = written(Response::builder().header("content-length", "7"), true, &head);
        assert_eq!((lines.as_str(), body), ("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", Body::NONE));
        let socket = Shape { accept: Some("proof".into()), ..shape };
        let (lines, body) = written(Response::builder(), false, &socket);
        assert!(
            lines.starts_with("HTTP/1.1 101 ") && lines.contains("Sec-WebSocket-Accept: proof\r\n"),
            "{lines}"
        );
        assert_eq!(body, Body::UntilClose);
        assert!(written(Response::builder().status(403), true, &socket).0.starts_with("HTTP/1.1 403 "));
    }

    #[test]
    fn trailers_go_both_ways() {
        let map = trailers(b"grpc-status: 0\r\nx-b: 1\r\n").unwrap();
        assert_eq!(last_chunk(Some(&map)), "0\r\ngrpc-status: 0\r\nx-b: 1\r\n\r\n");
        assert_eq!(last_chunk(None), "0\r\n\r\n");
        assert!(trailers(b"no colon\r\n").is_none());
    }
}
