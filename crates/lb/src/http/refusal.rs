//! Answers that the balancer makes itself, and why.

/// What error pages are; in what characters, they tell themselves.
pub(super) const HTML: &str = "text/html";

/// Why a request was not forwarded, or its answer not given: a status and a sentence for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: Status,
    /// What was wrong; the rule it breaks stands beside the check in the parser.
    pub reason: &'static str,
}

impl Refusal {
    /// 400 with a reason.
    pub const fn bad(reason: &'static str) -> Self {
        Self { status: Status::BadRequest, reason }
    }

    /// Any status with a reason.
    pub const fn new(status: Status, reason: &'static str) -> Self {
        Self { status, reason }
    }
}

/// The statuses that the balancer answers with itself (RFC 9110 section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 400: what could be understood in two ways.
    BadRequest,
    /// 405: TRACE.
    MethodNotAllowed,
    /// 408: the head, or the body, came too slowly.
    RequestTimeout,
    /// 413: the body is larger than the service allows.
    ContentTooLarge,
    /// 414: the target is longer than the service allows.
    UriTooLong,
    /// 417: an expectation other than 100-continue.
    ExpectationFailed,
    /// 421: a URL of `https` over a connection without TLS.
    Misdirected,
    /// 431: the head is larger than the service allows.
    HeadTooLarge,
    /// 501: CONNECT, or a transfer coding other than chunked.
    NotImplemented,
    /// 502: the server broke the rules, or the connection to it broke.
    BadGateway,
    /// 503: no server can take the request.
    Unavailable,
    /// 504: the server did not answer in time.
    GatewayTimeout,
    /// 505: neither HTTP/1.0 nor HTTP/1.1.
    VersionNotSupported,
}

impl Status {
    /// The code alone.
    pub fn code(self) -> u16 {
        self.line().get(..3).and_then(|code| code.parse().ok()).unwrap_or(500)
    }

    /// The status line's code and phrase.
    pub const fn line(self) -> &'static str {
        match self {
            Self::BadRequest => "400 Bad Request",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::ContentTooLarge => "413 Content Too Large",
            Self::UriTooLong => "414 URI Too Long",
            Self::ExpectationFailed => "417 Expectation Failed",
            Self::Misdirected => "421 Misdirected Request",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::NotImplemented => "501 Not Implemented",
            Self::BadGateway => "502 Bad Gateway",
            Self::Unavailable => "503 Service Unavailable",
            Self::GatewayTimeout => "504 Gateway Timeout",
            Self::VersionNotSupported => "505 HTTP Version Not Supported",
        }
    }
}

/// Writes the whole answer. `page`: the operator's own body, HTML; `close`: no further request will be read;
/// `head_only`: the request was HEAD.
pub fn write_answer(out: &mut Vec<u8>, refusal: Refusal, page: Option<&[u8]>, close: bool, head_only: bool) {
    let line = refusal.status.line();
    let connection = if close { "Connection: close\r\n" } else { "" };
    let allow = if refusal.status == Status::MethodNotAllowed {
        "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS\r\n"
    } else {
        ""
    };
    // Line: "503 Service Unavailable: no server is up\n".
    let sentence = [line.as_bytes(), b": ", refusal.reason.as_bytes(), b"\n"];
    let (media, body) = match &page {
        Some(page) => (HTML, std::slice::from_ref(page)),
        None => ("text/plain; charset=utf-8", &sentence[..]),
    };
    let length: usize = body.iter().map(|part| part.len()).sum();
    let head = format!(
        "HTTP/1.1 {line}\r\nContent-Type: {media}\r\nCache-Control: no-store\r\n{allow}Content-Length: {length}\r\n{connection}\r\n"
    );
    out.extend_from_slice(head.as_bytes());
    if !head_only {
        body.iter().for_each(|part| out.extend_from_slice(part));
    }
}
