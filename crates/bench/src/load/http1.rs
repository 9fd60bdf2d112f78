//! HTTP/1.1 as a client that only counts: requests are made once, answers are framed (RFC 9112 section 6) and thrown away.
//!
//! A head is kept in a small buffer of the connection; bodies go through one large buffer of the thread.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};

use memchr::{memchr, memmem};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{Failure, Plan};

/// Largest head of an answer, bytes.
const HEAD_MAX: usize = 64 << 10;

/// The thread's buffer for bodies, bytes.
const SCRATCH: usize = 256 << 10;

/// Longest line with the size of a chunk, and longest trailer, bytes.
const LINE_MAX: usize = 4096;

thread_local! {
    static SCRATCHES: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// A whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its status.
    pub(super) status: u16,
    /// Bytes with its head.
    pub(super) received: u64,
    /// Whether the connection can be used again.
    pub(super) reusable: bool,
}

/// How the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
    UntilClose,
}

/// The request's bytes, the same each time.
pub(super) fn request(plan: &Plan) -> Vec<u8> {
    let has = |wanted: &str| plan.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let mut text = format!("{} {} HTTP/1.1\r\n", plan.method, plan.target.path);
    if !has("host") {
        text += &format!("Host: {}\r\n", plan.target.host);
    }
    for (name, value) in &plan.fields {
        text += &format!("{name}: {value}\r\n");
    }
    if plan.connection_per_request && !has("connection") {
        text += "Connection: close\r\n";
    }
    if !plan.body.is_empty() && !has("content-length") {
        text += &format!("Content-Length: {}\r\n", plan.body.len());
    }
    text += "\r\n";
    [text.as_bytes(), &plan.body].concat()
}

/// What has been read of a connection and not been used.
#[derive(Debug, Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
}

impl Reader {
    /// Sends a request and reads its answer. `head_only`: the request is HEAD, its answer has no body.
    pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        request: &[u8],
        head_only: bool,
    ) -> Result<Seen, Failure> {
        self.buffer.clear();
        stream.write_all(request).await.map_err(|_| Failure::broken(false))?;
        stream.flush().await.map_err(|_| Failure::broken(false))?;
        let mut received = 0;
        loop {
            let length = self.head(stream, received > 0).await?;
            received += length as u64;
            let head = parse(self.buffer.get(..length).unwrap_or_default()).ok_or(Failure::Garbled)?;
            self.buffer.drain(..length);
            // Interim answers (RFC 9110 section 15.2): the real one follows.
            if (100..200).contains(&head.status) && head.status != 101 {
                continue;
            }
            let none = head_only || matches!(head.status, 101 | 204 | 304);
            let body = if none { Body::Length(0) } else { head.body };
            received += self.body(stream, body).await?;
            let reusable = head.keep && body != Body::UntilClose && self.buffer.is_empty();
            return Ok(Seen { status: head.status, received, reusable });
        }
    }

    /// Reads until a whole head is there; its length.
    async fn head<S: AsyncRead + Unpin>(&mut self, stream: &mut S, begun: bool) -> Result<usize, Failure> {
        let mut looked = 0;
        loop {
            let from = looked.max(3) - 3;
            if let Some(at) = memmem::find(self.buffer.get(from..).unwrap_or_default(), b"\r\n\r\n") {
                return Ok(from + at + 4);
            }
            looked = self.buffer.len();
            if looked >= HEAD_MAX {
                return Err(Failure::Garbled);
            }
            self.more(stream, begun || looked > 0).await?;
        }
    }

    async fn more<S: AsyncRead + Unpin>(&mut self, stream: &mut S, begun: bool) -> Result<(), Failure> {
        self.buffer.reserve(4096);
        match stream.read_buf(&mut self.buffer).await {
            Ok(1..) => Ok(()),
            Ok(0) | Err(_) => Err(Failure::broken(begun)),
        }
    }

    /// Throws a body away; its length on the wire.
    async fn body<S: AsyncRead + Unpin>(&mut self, stream: &mut S, body: Body) -> Result<u64, Failure> {
        match body {
            Body::Length(length) => {
                self.skip(stream, length).await?;
                Ok(length)
            }
            Body::UntilClose => {
                let mut received = self.buffer.len() as u64;
                self.buffer.clear();
                loop {
                    match read_away(stream, u64::MAX).await {
                        Ok(0) => return Ok(received),
                        Ok(read) => received += read,
                        Err(_) => return Err(Failure::Cut),
                    }
                }
            }
            Body::Chunked => {
                let mut received = 0;
                loop {
                    let (line, size) = self.line(stream).await?;
                    received += line;
                    // RFC 9112 section 7.1: the size in hexadecimal, then extensions.
                    let size = size.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                    let size = str::from_utf8(size).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
                    let size = size.filter(|size| *size < 1 << 60).ok_or(Failure::Garbled)?;
                    if size == 0 {
                        break;
                    }
                    self.skip(stream, size + 2).await?;
                    received += size + 2;
                }
                loop {
                    let (line, text) = self.line(stream).await?;
                    received += line;
                    if text.is_empty() {
                        return Ok(received);
                    }
                }
            }
        }
    }

    /// Takes a line; its length with its end, and its text.
    async fn line<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<(u64, Vec<u8>), Failure> {
        loop {
            if let Some(end) = memchr(b'\n', &self.buffer) {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                let length = line.len() as u64;
                line.truncate(line.trim_ascii_end().len());
                return Ok((length, line));
            }
            if self.buffer.len() > LINE_MAX {
                return Err(Failure::Garbled);
            }
            self.more(stream, true).await?;
        }
    }

    /// Throws away so many bytes.
    async fn skip<S: AsyncRead + Unpin>(&mut self, stream: &mut S, bytes: u64) -> Result<(), Failure> {
        let here = bytes.min(self.buffer.len() as u64);
        self.buffer.drain(..here as usize);
        let mut left = bytes - here;
        while left > 0 {
            match read_away(stream, left).await {
                Ok(read @ 1..) => left -= read,
                Ok(0) | Err(_) => return Err(Failure::Cut),
            }
        }
        Ok(())
    }
}

/// Reads at most so many bytes and forgets them; how many.
pub(super) async fn read_away<S: AsyncRead + Unpin>(stream: &mut S, most: u64) -> std::io::Result<u64> {
    poll_fn(|cx| {
        SCRATCHES.with_borrow_mut(|scratch| {
            let most = usize::try_from(most).unwrap_or(usize::MAX).min(scratch.len());
            let mut buffer = ReadBuf::new(scratch.get_mut(..most).unwrap_or_default());
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
            Poll::Ready(Ok(buffer.filled().len() as u64))
        })
    })
    .await
}

struct Head {
    status: u16,
    keep: bool,
    body: Body,
}

/// Reads a head with its empty line. `None`: this is not HTTP/1.
fn parse(head: &[u8]) -> Option<Head> {
    let minor = match head.get(..9)? {
        b"HTTP/1.1 " => 1,
        b"HTTP/1.0 " => 0,
        _ => return None,
    };
    let status = str::from_utf8(head.get(9..12)?).ok()?.parse().ok().filter(|status| *status >= 100)?;
    let (mut keep, mut length, mut chunked) = (minor == 1, None, false);
    let mut rest = head.get(memchr(b'\n', head)? + 1..)?;
    while let Some(end) = memchr(b'\n', rest) {
        let line = rest.get(..end)?;
        rest = rest.get(end + 1..)?;
        // Only three fields matter, and their names begin with these letters.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            continue;
        }
        let colon = memchr(b':', line)?;
        let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?.trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = Some(str::from_utf8(value).ok()?.parse().ok()?);
        } else if name.eq_ignore_ascii_case(b"connection") {
            keep = if value.eq_ignore_ascii_case(b"close") {
                false
            } else {
                keep || value.eq_ignore_ascii_case(b"keep-alive")
            };
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            chunked = value.len() >= 7 && value[value.len() - 7..].eq_ignore_ascii_case(b"chunked");
        }
    }
    let body = match (chunked, length) {
        (true, _) => Body::Chunked,
        (false, Some(length)) => Body::Length(length),
        (false, None) => Body::UntilClose,
    };
    Some(Head { status, keep, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Target;

    /// What is seen of an answer that comes in pieces of `piece` bytes; at the end the connection is closed.
    fn seen(answer: &str, piece: usize) -> Result<Seen, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut ours, mut theirs) = tokio::io::duplex(1 << 16);
            let answer = answer.as_bytes().to_vec();
            let server = tokio::spawn(async move {
                for piece in answer.chunks(piece) {
                    theirs.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            });
            let seen = Reader::default().exchange(&mut ours, b"", false).await;
            server.await.unwrap();
            seen
        })
    }

    #[test]
    fn answers_are_framed_however_they_come() {
        type Expected = Result<(u16, bool), Failure>;
        let cases: &[(&str, Expected)] = &[
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Ok((200, true))),
            ("HTTP/1.1 404 Not Found\r\ncontent-length:0\r\nConnection: close\r\n\r\n", Ok((404, false))),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n",
                Ok((200, true)),
            ),
            ("HTTP/1.0 200 OK\r\n\r\nuntil the end", Ok((200, false))),
            ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", Ok((200, true))),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Ok((204, true))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", Err(Failure::Cut)),
            ("HTTP/1.1 200 OK\r\nContent-Le", Err(Failure::Cut)),
            ("", Err(Failure::Unanswered)),
            ("SSH-2.0-OpenSSH\r\n\r\n", Err(Failure::Garbled)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", Err(Failure::Garbled)),
        ];
        for (answer, expected) in cases {
            for piece in [1, 7, 1000] {
                let seen = seen(answer, piece);
                assert_eq!(seen.map(|seen| (seen.status, seen.reusable)), *expected, "{answer:?} by {piece}");
                if let Ok(seen) = seen {
                    assert_eq!(seen.received, answer.len() as u64, "{answer:?} by {piece}");
                }
            }
        }
    }

    #[test]
    fn a_request_says_what_it_must() {
        let mut plan = Plan::new(Target::parse("http://127.0.0.1:8000/a?b").unwrap());
        assert_eq!(request(&plan), b"GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n");
        plan.connection_per_request = true;
        plan.body = b"xy".to_vec();
        plan.method = "POST".to_owned();
        plan.fields = vec![("host".to_owned(), "example.org".to_owned())];
        assert_eq!(
            request(&plan),
            b"POST /a?b HTTP/1.1\r\nhost: example.org\r\nConnection: close\r\nContent-Length: 2\r\n\r\nxy"
        );
    }
}
