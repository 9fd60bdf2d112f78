//! A request's head: HTTP/2's fields become the lines of HTTP/1.1 that the engine reads as it reads any client's.
//!
//! The `h2` crate has looked at each field by itself (names in lower case, no control characters, pseudo-header fields
//! first and once, nothing that is for one connection only). Here is what needs the whole: RFC 9113 section 8.3.1.

use http::header::{CONTENT_LENGTH, COOKIE, HOST, SEC_WEBSOCKET_KEY, TE};
use http::request::Parts;
use http::{HeaderValue, Method as Name};

use crate::http::request::Method;
use crate::shared::websocket;

/// The request is malformed (RFC 9113 section 8.1.1), and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// How the stream's DATA becomes a body, and the answer's head is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether the body goes in chunks; else it is as long as was said.
    pub chunked: bool,
    /// The method, as far as it matters for the answer.
    pub method: Method,
    /// What the server answers if it speaks WebSocket (RFC 6455), where that is asked for: then DATA is no body, but goes both
    /// ways as it is.
    pub accept: Option<String>,
}

/// Writes the head. `ended`: no DATA follows.
///
/// # Errors
/// [`Malformed`]: the stream must be reset with `PROTOCOL_ERROR`. What is only not served here is written as it is, and
/// the engine answers it.
pub fn write(parts: &Parts, ended: bool, out: &mut Vec<u8>) -> Result<Plan, Malformed> {
    let websocket = match parts.extensions.get::<h2::ext::Protocol>() {
        Some(protocol) if protocol.as_str().eq_ignore_ascii_case("websocket") => true,
        Some(_) => return Err(Malformed("only websocket is spoken by extended CONNECT")),
        None => false,
    };
    if websocket && (parts.method != Name::CONNECT || parts.headers.contains_key(CONTENT_LENGTH)) {
        // RFC 8441 section 4, RFC 9113 section 8.5.
        return Err(Malformed("extended CONNECT with another method, or with a body"));
    }
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    // RFC 8441 section 5: what is a GET in HTTP/1.1.
    let method = if websocket { &Name::GET } else { &parts.method };
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    match (method, parts.uri.path_and_query().map(|path| path.as_str().as_bytes())) {
        (&Name::CONNECT, _) => {
            out.extend_from_slice(authority.ok_or(Malformed("CONNECT without :authority"))?)
        }
        (&Name::OPTIONS, Some(b"*")) => out.push(b'*'),
        (_, Some(path @ [b'/', ..])) => out.extend_from_slice(path),
        (_, Some(_) | None) => return Err(Malformed("the :path does not begin with a slash")),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = authority {
        line(out, b"host", authority);
    }
    let mut cookies: Option<Vec<u8>> = None;
    for (name, value) in &parts.headers {
        let bytes = plain(value)?;
        if name == HOST
            && let Some(authority) = authority
        {
            // A Host that names another one, or a second one.
            if !bytes.eq_ignore_ascii_case(authority) {
                return Err(Malformed("Host differs from :authority"));
            }
        } else if name == COOKIE {
            // RFC 9113 section 8.2.3: may come in pieces.
            let cookies = cookies.get_or_insert_default();
            if !cookies.is_empty() {
                cookies.extend_from_slice(b"; ");
            }
            cookies.extend_from_slice(bytes);
        } else if name != TE && !(websocket && name == SEC_WEBSOCKET_KEY) {
            line(out, name.as_str().as_bytes(), bytes);
        }
    }
    if let Some(cookies) = cookies {
        line(out, b"cookie", &cookies);
    }
    let accept = websocket.then(|| {
        let key = websocket::key();
        out.extend_from_slice(b"connection: Upgrade\r\nupgrade: websocket\r\n");
        line(out, b"sec-websocket-key", key.as_bytes());
        websocket::accept(key.as_bytes())
    });
    let chunked = !websocket && !ended && !parts.headers.contains_key(CONTENT_LENGTH);
    if chunked {
        line(out, b"transfer-encoding", b"chunked");
    }
    out.extend_from_slice(b"\r\n");
    let method = match *method {
        Name::HEAD => Method::Head,
        Name::GET | Name::OPTIONS => Method::Safe,
        Name::PUT | Name::DELETE => Method::Idempotent,
        _ => Method::Other,
    };
    Ok(Plan { chunked, method, accept })
}

fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// RFC 9113 section 8.2.1: no white space around a value.
pub(super) fn plain(value: &HeaderValue) -> Result<&[u8], Malformed> {
    let bytes = value.as_bytes();
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if is_space(bytes.first()) || is_space(bytes.last()) {
        return Err(Malformed("a field's value begins or ends with white space"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(
        build: impl FnOnce(http::request::Builder) -> http::request::Builder,
        ended: bool,
    ) -> Result<String, Malformed> {
        let request = build(http::Request::builder()).body(()).unwrap();
        let mut out = Vec::new();
        write(&request.into_parts().0, ended, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_request_becomes_lines() {
        let get = written(
            |new| new.uri("https://a.example/x?y=1").header("te", "trailers").header("x-a", "b"),
            true,
        );
        assert_eq!(get.unwrap(), "GET /x?y=1 HTTP/1.1\r\nhost: a.example\r\nx-a: b\r\n\r\n");
        let post = written(|new| new.method("POST").uri("http://a/").header("content-length", "3"), false);
        assert_eq!(post.unwrap(), "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n");
        let stream = written(|new| new.method("PUT").uri("http://a/"), false);
        assert_eq!(stream.unwrap(), "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        let all = written(|new| new.method("OPTIONS").uri("*").header("host", "a"), true);
        assert_eq!(all.unwrap(), "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n");
    }

    #[test]
    fn a_websocket_becomes_an_upgrade() {
        let open = |method: &str, protocol, name: &str| {
            let protocol = h2::ext::Protocol::from_static(protocol);
            let (method, name) = (method.to_owned(), name.to_owned());
            written(
                move |new| {
                    let new = new.method(method.as_str()).uri("https://a/chat").extension(protocol);
                    new.header(name, "1").header("sec-websocket-version", "13")
                },
                false,
            )
        };
        let lines = open("CONNECT", "websocket", "sec-websocket-key").unwrap();
        assert!(
            lines.starts_with("GET /chat HTTP/1.1\r\nhost: a\r\nsec-websocket-version: 13\r\n"),
            "{lines}"
        );
        assert!(lines.contains("\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: "));
        assert!(!lines.contains("transfer-encoding") && !lines.contains("key: 1\r"));
        assert!(open("CONNECT", "other", "x").is_err());
        assert!(open("GET", "websocket", "x").is_err());
        assert!(open("CONNECT", "websocket", "content-length").is_err());
    }

    #[test]
    fn pieces_of_the_cookie_are_joined() {
        let joined = written(
            |new| new.uri("http://a/").header("cookie", "a=1").header("x", "y").header("cookie", "b=2"),
            true,
        );
        assert!(joined.unwrap().ends_with("x: y\r\ncookie: a=1; b=2\r\n\r\n"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_malformed() {
        let same = written(|new| new.uri("http://a/").header("host", "A"), true);
        assert_eq!(same.unwrap(), "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert!(written(|new| new.uri("http://a/").header("host", "b"), true).is_err());
        assert!(written(|new| new.uri("http://a/").header("host", "a").header("host", "b"), true).is_err());
        assert!(written(|new| new.uri("http://a/").header("x", " y"), true).is_err());
        assert!(written(|new| new.uri("http://a/").header("x", "y\t"), true).is_err());
        assert!(written(|new| new.uri("*"), true).is_err());
    }
}
