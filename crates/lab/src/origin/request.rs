//! Reads the head of a request. Strict where framing is concerned; everything else is let be.

use std::time::Duration;

use crate::origin::{BODY_MAX, SLOW_MAX};

/// Largest request head, bytes.
pub(super) const HEAD_MAX: usize = 16 * 1024;

/// Most header fields in a request.
const FIELDS_MAX: usize = 64;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// Who answered, when, who asked; `refresh`: and again every second.
    Who { refresh: bool },
    /// Still alive.
    Health,
    /// This many bytes.
    Bytes(usize),
    /// An answer that takes this long.
    Slow(Duration),
    /// Whether the request's body is what the origin's own bodies are.
    Checked,
    /// Nothing of ours.
    Unknown,
}

/// A request's head, as far as the origin looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// What is asked for.
    pub(super) page: Page,
    /// The method and the path as they came.
    pub(super) asked: String,
    /// `HEAD`: the answer has no body.
    pub(super) head_only: bool,
    /// Whether the connection stays open after the answer.
    pub(super) keep_alive: bool,
    /// The client would rather have HTML.
    pub(super) html: bool,
    /// `X-Forwarded-For`, as it came.
    pub(super) forwarded_for: Option<String>,
    /// Bytes of body; looked at for [`Page::Checked`], thrown away else.
    pub(super) body_bytes: u64,
}

/// Why a head is not served. The connection is closed after each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not HTTP/1.
    Malformed,
    /// Beyond [`HEAD_MAX`] or [`FIELDS_MAX`].
    TooLarge,
    /// A chunked body.
    LengthRequired,
}

impl Refusal {
    /// Status code and words.
    pub(super) fn status(self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::TooLarge => "431 Request Header Fields Too Large",
            Self::LengthRequired => "411 Length Required",
        }
    }
}

/// Reads a head; `None`: more bytes are needed. With it comes its length in bytes.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() >= HEAD_MAX => return Err(Refusal::TooLarge),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
        Err(_) => return Err(Refusal::Malformed),
    };
    let (method, path) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let mut head = Head {
        page: page(path),
        asked: format!("{method} {path}"),
        head_only: method == "HEAD",
        keep_alive: request.version == Some(1),
        html: false,
        forwarded_for: None,
        body_bytes: 0,
    };
    for field in request.headers.iter() {
        let value = String::from_utf8_lossy(field.value);
        if field.name.eq_ignore_ascii_case("connection") {
            for option in value.split(',').map(str::trim) {
                if option.eq_ignore_ascii_case("close") {
                    head.keep_alive = false;
                } else if option.eq_ignore_ascii_case("keep-alive") {
                    head.keep_alive = true;
                }
            }
        } else if field.name.eq_ignore_ascii_case("content-length") {
            head.body_bytes = value.trim().parse().map_err(|_| Refusal::Malformed)?;
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Refusal::LengthRequired);
        } else if field.name.eq_ignore_ascii_case("accept") {
            head.html = value.contains("text/html");
        } else if field.name.eq_ignore_ascii_case("x-forwarded-for") {
            // Several fields are one list (RFC 9110 section 5.3).
            head.forwarded_for = Some(match head.forwarded_for.take() {
                Some(before) => format!("{before}, {value}"),
                None => value.into_owned(),
            });
        }
    }
    Ok(Some((head, length)))
}

/// What a path stands for.
fn page(path: &str) -> Page {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path == "/" {
        return Page::Who { refresh: query == "refresh" };
    }
    if path == "/healthz" {
        return Page::Health;
    }
    if path == "/checked" {
        return Page::Checked;
    }
    let number = |text: &str| text.parse::<u64>().ok();
    if let Some(bytes) = path.strip_prefix("/bytes/").and_then(number) {
        return usize::try_from(bytes)
            .ok()
            .filter(|bytes| *bytes <= BODY_MAX)
            .map_or(Page::Unknown, Page::Bytes);
    }
    if let Some(ms) = path.strip_prefix("/slow/").and_then(number) {
        let wait = Duration::from_millis(ms);
        return if wait <= SLOW_MAX { Page::Slow(wait) } else { Page::Unknown };
    }
    Page::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        parse(text.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn a_path_is_a_page_or_unknown() {
        let table = [
            ("/", Page::Who { refresh: false }),
            ("/?refresh", Page::Who { refresh: true }),
            ("/healthz", Page::Health),
            ("/bytes/200", Page::Bytes(200)),
            ("/bytes/16777216", Page::Bytes(BODY_MAX)),
            ("/bytes/16777217", Page::Unknown),
            ("/bytes/-1", Page::Unknown),
            ("/slow/250", Page::Slow(Duration::from_millis(250))),
            ("/slow/60001", Page::Unknown),
            ("/checked", Page::Checked),
            ("/index.html", Page::Unknown),
        ];
        for (path, expected) in table {
            assert_eq!(page(path), expected, "{path}");
        }
    }

    #[test]
    fn the_connection_stays_open_as_rfc_9112_says() {
        assert!(head("GET / HTTP/1.1\r\n\r\n").keep_alive);
        assert!(!head("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").keep_alive);
        assert!(!head("GET / HTTP/1.0\r\n\r\n").keep_alive);
        assert!(head("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
    }

    #[test]
    fn a_head_in_pieces_waits_and_an_endless_one_is_refused() {
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost:"), Ok(None));
        let mut endless = b"GET / HTTP/1.1\r\nA: ".to_vec();
        endless.resize(HEAD_MAX, b'a');
        assert_eq!(parse(&endless), Err(Refusal::TooLarge));
    }

    #[test]
    fn what_cannot_be_framed_is_refused() {
        assert_eq!(parse(b"\x16\x03\x01\x02\x00\x01"), Err(Refusal::Malformed));
        assert_eq!(parse(b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n"), Err(Refusal::Malformed));
        assert_eq!(
            parse(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Err(Refusal::LengthRequired)
        );
    }

    #[test]
    fn forwarding_proxies_are_kept_in_order() {
        let head = head("GET / HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n\r\n");
        assert_eq!(head.forwarded_for.as_deref(), Some("1.2.3.4, 5.6.7.8"));
    }
}
