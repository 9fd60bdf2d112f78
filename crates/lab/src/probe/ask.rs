//! One HTTP/1.1 connection of the probe: asks, and reads the whole answer without keeping it.

use std::io::ErrorKind;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest head of an answer, bytes.
const HEAD_MAX: usize = 16 * 1024;
/// Most headers in an answer.
const HEADERS_MAX: usize = 64;
/// How a chunked body ends, when nobody sends trailers.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// A connection to the service.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    target: SocketAddr,
}

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// Who answered: the header `Server-Name`.
    pub(super) server: Option<String>,
    /// The cookies that it sets, `NAME=VALUE` each.
    pub(super) cookies: Vec<String>,
    /// Whether the connection ends with it, as announced by `Connection: close`.
    pub(super) last: bool,
}

/// Why there is no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AskError {
    /// Nobody listens.
    Refused,
    /// No way there.
    Unreachable,
    /// The kernel gave the connection up.
    TimedOut,
    /// Reset by the other side.
    Reset,
    /// Closed before the answer was whole.
    Closed,
    /// What came was not HTTP.
    NotHttp,
}

/// How the length of a body is known (RFC 9112 section 6.3).
#[derive(Clone, Copy)]
enum Length {
    Bytes(u64),
    Chunked,
    UntilClose,
}

impl Connection {
    /// Connects.
    pub(super) async fn open(target: SocketAddr) -> Result<Self, AskError> {
        let stream = TcpStream::connect(target).await.map_err(|error| classify(&error))?;
        let _ = stream.set_nodelay(true);
        Ok(Self { stream, target })
    }

    /// Asks for `path` and reads the whole answer. Without `keep` it tells the server that this is the last question.
    pub(super) async fn ask(&mut self, path: &str, keep: bool) -> Result<Answer, AskError> {
        self.ask_with(path, keep, "").await
    }

    /// The same, with more header lines, each with its end.
    pub(super) async fn ask_with(
        &mut self,
        path: &str,
        keep: bool,
        headers: &str,
    ) -> Result<Answer, AskError> {
        let connection = if keep { "keep-alive" } else { "close" };
        let question = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: relevo-drill\r\nConnection: {connection}\r\n{headers}\r\n",
            self.target
        );
        self.stream.write_all(question.as_bytes()).await.map_err(|error| classify(&error))?;
        let mut buffer = vec![0; HEAD_MAX];
        let mut filled = 0;
        let (answer, length, body) = loop {
            let room = buffer.get_mut(filled..).filter(|room| !room.is_empty()).ok_or(AskError::NotHttp)?;
            let count = self.stream.read(room).await.map_err(|error| classify(&error))?;
            if count == 0 {
                return Err(AskError::Closed);
            }
            filled += count;
            let seen = buffer.get(..filled).unwrap_or_default();
            if let Some((answer, length, head)) = parse(seen)? {
                break (answer, length, seen.get(head..).unwrap_or_default().to_vec());
            }
        };
        self.skip(length, body, &mut buffer).await?;
        Ok(answer)
    }

    /// Reads the rest of a body of which `body` is there.
    async fn skip(&mut self, length: Length, body: Vec<u8>, buffer: &mut [u8]) -> Result<(), AskError> {
        let mut seen = body.len() as u64;
        // The body's last bytes, with a line end before them so that an empty chunked body ends like any other.
        let mut tail = [b"\r\n", body.as_slice()].concat();
        loop {
            match length {
                Length::Bytes(bytes) if seen >= bytes => return Ok(()),
                Length::Chunked if tail.ends_with(LAST_CHUNK) => return Ok(()),
                Length::Bytes(_) | Length::Chunked | Length::UntilClose => {}
            }
            let count = self.stream.read(buffer).await.map_err(|error| classify(&error))?;
            if count == 0 {
                return if matches!(length, Length::UntilClose) { Ok(()) } else { Err(AskError::Closed) };
            }
            seen += count as u64;
            tail.extend_from_slice(buffer.get(..count).unwrap_or_default());
            tail.drain(..tail.len().saturating_sub(LAST_CHUNK.len()));
        }
    }
}

/// The head of an answer, how long its body is, and where the body begins; `None`: not all there yet.
fn parse(bytes: &[u8]) -> Result<Option<(Answer, Length, usize)>, AskError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(AskError::NotHttp),
    };
    let mut length = Length::UntilClose;
    let mut answer = Answer {
        status: response.code.unwrap_or_default(),
        server: None,
        cookies: Vec::new(),
        last: response.version == Some(0),
    };
    for header in response.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        let value = value.trim();
        if header.name.eq_ignore_ascii_case("content-length") && !matches!(length, Length::Chunked) {
            length = Length::Bytes(value.parse().map_err(|_| AskError::NotHttp)?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            length = Length::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            answer.last |= value.eq_ignore_ascii_case("close");
        } else if header.name.eq_ignore_ascii_case("server-name") {
            answer.server = Some(value.to_owned());
        } else if header.name.eq_ignore_ascii_case("set-cookie") {
            answer.cookies.push(value.split(';').next().unwrap_or_default().trim().to_owned());
        }
    }
    answer.last |= matches!(length, Length::UntilClose);
    Ok(Some((answer, length, head)))
}

fn classify(error: &std::io::Error) -> AskError {
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "ErrorKind is open-ended: the rest is a reset to the client"
    )]
    match error.kind() {
        ErrorKind::ConnectionRefused => AskError::Refused,
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => AskError::Unreachable,
        ErrorKind::TimedOut => AskError::TimedOut,
        _ => AskError::Reset,
    }
}
