//! Answers that rules give, as bytes.

use std::time::Duration;

use relevo_model::cluster::Return;
use relevo_proto::rule::Changes;

use super::refusal::HTML;

/// An answer of the balancer's own that is not about a mistake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Header lines that end in CRLF.
    pub(super) lines: Vec<u8>,
    pub(super) body: Vec<u8>,
    /// Whether the request is refused.
    pub(super) denied: bool,
}

impl Answer {
    /// The client is sent elsewhere.
    pub(super) fn redirect(status: u16, to: &[u8]) -> Self {
        Self { status, lines: [b"Location: ", to, b"\r\n"].concat(), body: Vec::new(), denied: false }
    }

    /// What the operator has written.
    pub(super) fn of(answer: &Return) -> Self {
        let lines = if answer.body.is_empty() {
            Vec::new()
        } else {
            format!("Content-Type: {}\r\n", answer.content_type).into_bytes()
        };
        Self { status: answer.status, lines, body: answer.body.clone().into_bytes(), denied: false }
    }

    /// What an authority asks for, to see that a name is ours (ACME, http-01).
    pub(super) fn proof(text: String) -> Self {
        let lines = b"Content-Type: application/octet-stream\r\n".to_vec();
        Self { status: 200, lines, body: text.into_bytes(), denied: false }
    }

    /// A sentence for the user.
    pub(super) fn refusal(status: u16, reason: &str) -> Self {
        Self {
            status,
            lines: b"Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n".to_vec(),
            body: format!("{status} {}: {reason}\n", phrase(status)).into_bytes(),
            denied: true,
        }
    }

    /// Not before this time has passed (RFC 6585 section 4).
    pub(super) fn too_many(status: u16, wait: Duration) -> Self {
        let mut answer = Self::refusal(status, "too many requests");
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        answer.lines.extend_from_slice(format!("Retry-After: {}\r\n", seconds.max(1)).as_bytes());
        answer
    }

    /// A name and password are wanted (RFC 7617 section 2).
    pub(super) fn unauthorized(realm: &str) -> Self {
        let mut answer = Self::refusal(401, "a name and a password are needed");
        let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
        let line = format!("WWW-Authenticate: Basic realm=\"{realm}\", charset=\"UTF-8\"\r\n");
        answer.lines.extend_from_slice(line.as_bytes());
        answer
    }

    /// Says what the operator has written instead of a sentence.
    pub(super) fn show(&mut self, page: &[u8]) {
        let media = Changes {
            left_out: vec!["Content-Type".to_owned()],
            lines: format!("Content-Type: {HTML}\r\n").into_bytes(),
        };
        self.change(&media);
        self.body = page.to_vec();
    }

    /// The service itself is asked how it is (`monitor`).
    pub(super) fn alive(can_work: bool) -> Self {
        let (status, body) = if can_work { (200, "OK\n") } else { (503, "no server can work\n") };
        let lines = b"Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n".to_vec();
        Self { status, lines, body: body.as_bytes().to_vec(), denied: false }
    }

    /// Does what rules change in answers.
    pub(super) fn change(&mut self, changes: &Changes) {
        let stays = |line: &&[u8]| {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            !changes.leaves_out(name)
        };
        let lines = self.lines.split_inclusive(|byte| *byte == b'\n');
        let mut lines = lines.filter(stays).collect::<Vec<_>>().concat();
        lines.extend_from_slice(&changes.lines);
        self.lines = lines;
    }

    /// Writes all of it. `close`: no further request will be read; `head_only`: the request was HEAD.
    pub(super) fn write(&self, out: &mut Vec<u8>, close: bool, head_only: bool) {
        out.extend_from_slice(format!("HTTP/1.1 {} {}\r\n", self.status, phrase(self.status)).as_bytes());
        out.extend_from_slice(&self.lines);
        // RFC 9110 sections 15.3.5 and 15.4.5: these end with their head.
        let bodiless = matches!(self.status, 204 | 304);
        if !bodiless {
            out.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        if close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if !bodiless && !head_only {
            out.extend_from_slice(&self.body);
        }
    }
}

/// The phrase of a status (RFC 9110 section 15), or of its class.
pub(super) const fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => match status / 100 {
            2 => "Success",
            3 => "Redirection",
            4 => "Client Error",
            _ => "Server Error",
        },
    }
}
