//! A request, and an answer that is read as far as it matters.

use std::io;

use relevo_model::cluster::HttpCheck;
use relevo_proto::health::ProbeResult;
use relevo_proto::health::expect::{Expectations, MOST_BODY};

use super::{PIECE, Target, read, send};
use crate::http::body::Body;
use crate::http::fields::Fields;
use crate::http::request::Method;
use crate::http::response::Response;

/// Most bytes of an answer's head.
const MOST_HEAD: usize = 16 * 1024;

/// A check by HTTP, ready to be asked.
#[derive(Debug)]
pub(crate) struct Http {
    /// `GET /health`, for evidence.
    asked: String,
    /// The method, as answers are framed by it.
    method: Method,
    host: Option<String>,
    /// The request's lines behind `Host`, and the empty one.
    rest: String,
    expect: Expectations,
    /// Whether 404 says that it wants no new work.
    disable_on_404: bool,
}

impl Http {
    /// Makes it ready.
    ///
    /// # Errors
    /// Why an expression cannot be used, in words.
    pub(crate) fn new(check: &HttpCheck) -> Result<Self, String> {
        let HttpCheck { method, path, host, headers, expect, disable_on_404 } = check;
        let mut rest = String::new();
        let has = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
        let takes_body = matches!(method.as_str(), "POST" | "PUT" | "PATCH");
        for (name, value, wanted) in [
            ("User-Agent", "relevo-check", true),
            ("Connection", "close", true),
            ("Content-Length", "0", takes_body),
        ] {
            if wanted && !has(name) {
                rest.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        for (name, value) in headers {
            rest.push_str(&format!("{name}: {value}\r\n"));
        }
        rest.push_str("\r\n");
        Ok(Self {
            asked: format!("{method} {path}"),
            method: if method == "HEAD" { Method::Head } else { Method::Safe },
            host: host.clone(),
            rest,
            expect: Expectations::new(expect)?,
            disable_on_404: *disable_on_404,
        })
    }

    /// Asks a server.
    ///
    /// # Errors
    /// When there is no connection.
    pub(super) async fn ask(&self, target: &Target<'_>) -> io::Result<ProbeResult> {
        let mut stream = target.connect_http().await?;
        let host = self.host.clone().unwrap_or_else(|| target.asked_at().to_string());
        send(&mut stream, format!("{} HTTP/1.1\r\nHost: {host}\r\n{}", self.asked, self.rest).as_bytes())
            .await?;
        let mut piece = vec![0; PIECE];
        let mut answer = Answer::default();
        loop {
            match answer.step(self) {
                Step::Judged(result) => return Ok(result),
                Step::More => {}
            }
            let count = read(&mut stream, &mut piece).await?;
            answer.take(piece.get(..count).unwrap_or_default());
        }
    }

    fn bad(&self, end: &str) -> ProbeResult {
        ProbeResult::Bad(format!("{}{end}", self.asked))
    }

    fn judge(&self, status: u16, head: &[u8], fields: &Fields, body: &[u8]) -> ProbeResult {
        let values = |name: &str| {
            let name = name.to_owned();
            let fields = fields.list().iter();
            fields
                .filter(move |field| field.name(head).eq_ignore_ascii_case(name.as_bytes()))
                .map(|field| field.value(head))
        };
        if status == 404 && self.disable_on_404 {
            return ProbeResult::Leaving(format!("{} answered 404", self.asked));
        }
        match self.expect.judge(status, values, body) {
            Ok(()) => ProbeResult::Good(format!("{} answered {status}", self.asked)),
            Err(wrong) => self.bad(&format!(" answered {status}{wrong}")),
        }
    }
}

/// An answer as far as it came.
#[derive(Default)]
struct Answer {
    /// Its head, and what is not looked at yet of its body.
    bytes: Vec<u8>,
    fields: Fields,
    /// Status, the head's length, what is missing of the body.
    head: Option<(u16, usize, Body)>,
    body: Vec<u8>,
    ended: bool,
}

enum Step {
    More,
    Judged(ProbeResult),
}

impl Answer {
    /// Takes in what came; nothing: the end.
    fn take(&mut self, bytes: &[u8]) {
        self.ended = bytes.is_empty();
        match &mut self.head {
            None => self.bytes.extend_from_slice(bytes),
            Some((_, _, body)) => Self::feed(body, &mut self.body, bytes, &mut self.ended),
        }
    }

    /// Wrong chunks are the body's end: what came is judged.
    fn feed(body: &mut Body, content: &mut Vec<u8>, bytes: &[u8], ended: &mut bool) {
        let fed = body.take_data(bytes, |data| {
            let space = MOST_BODY.saturating_sub(content.len());
            content.extend_from_slice(data.get(..data.len().min(space)).unwrap_or_default());
        });
        *ended |= fed.is_err();
    }

    fn step(&mut self, http: &Http) -> Step {
        let Some((status, length, body)) = self.head else { return self.read_head(http) };
        let is_done = !http.expect.need_body() || body.is_done() || self.body.len() >= MOST_BODY;
        if !is_done && !self.ended {
            return Step::More;
        }
        let head = self.bytes.get(..length).unwrap_or_default();
        let judged = http.judge(status, head, &self.fields, &self.body);
        let is_broken = !is_done && body != Body::UntilClose;
        Step::Judged(match matches!(judged, ProbeResult::Bad(_)) && is_broken {
            // Nobody knows what would have followed.
            true => http.bad(&format!(" answered {status}, but its body broke off")),
            false => judged,
        })
    }

    fn read_head(&mut self, http: &Http) -> Step {
        loop {
            if (!http.expect.need_head() || http.disable_on_404 && status(&self.bytes) == Some(404))
                && let Some(status @ 200..) = status(&self.bytes)
            {
                return Step::Judged(http.judge(status, &[], &self.fields, &[]));
            }
            match Response::parse(&self.bytes, MOST_HEAD, http.method, &mut self.fields) {
                Ok(Some(response)) if response.is_interim() => {
                    self.bytes.drain(..response.length.min(self.bytes.len()));
                }
                Ok(Some(response)) => {
                    let mut body = response.body;
                    let rest = self.bytes.get(response.length..).unwrap_or_default();
                    Self::feed(&mut body, &mut self.body, rest, &mut self.ended);
                    self.head = Some((response.status, response.length, body));
                    return self.step(http);
                }
                Ok(None) if !self.ended => return Step::More,
                Ok(None) if self.bytes.is_empty() => {
                    return Step::Judged(ProbeResult::Bad("closed without an answer".to_owned()));
                }
                Ok(None) => return Step::Judged(http.bad(": the answer broke off")),
                Err(_) if !self.bytes.starts_with(b"HTTP/1.") => {
                    return Step::Judged(ProbeResult::Bad("does not speak HTTP".to_owned()));
                }
                Err(broken) => {
                    return Step::Judged(http.bad(&format!(": the answer breaks the rules, {}", broken.0)));
                }
            }
        }
    }
}

/// The status of `HTTP/1.x NNN`, when the whole line is there.
fn status(answer: &[u8]) -> Option<u16> {
    memchr::memchr(b'\n', answer)?;
    let rest = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "))?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}
