//! One connection that is there for long.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::told::Fate;
use super::{Kind, PATIENCE, Shared};
use crate::origin::filler;

/// Bytes of a download or an upload, as the built-in origin gives and checks them.
const SIZE: usize = 8 << 20;
/// So many bytes at a time.
pub(super) const PIECE: usize = 16 << 10;
/// What the client's kernel buffers, bytes: little, or a stall would not be seen while there is something in it.
const BUFFER: u32 = 32 << 10;

/// A connection, and what became of it so far.
pub(super) struct Flow<'a> {
    kind: Kind,
    every: Duration,
    shared: &'a Shared,
    pub(super) fate: Fate,
    began: Instant,
    /// The last answer was the connection's last.
    is_last: bool,
}

impl<'a> Flow<'a> {
    pub(super) fn new(kind: Kind, every: Duration, shared: &'a Shared) -> Self {
        Self { kind, every, shared, fate: Fate::default(), began: Instant::now(), is_last: false }
    }

    /// Opens it, asks who answers, and keeps it busy until all are told to end.
    pub(super) async fn live(&mut self) -> Result<(), String> {
        let mut stream = self.open().await?;
        self.question(&mut stream).await?;
        self.shared.begun.set(self.shared.begun.get() + 1);
        while !self.is_over() && !self.fate.wrong {
            if self.shared.web && std::mem::take(&mut self.is_last) {
                self.shared.told.borrow_mut().anew += 1;
                stream = self.open().await?;
            }
            match self.kind {
                Kind::Download => self.download(&mut stream).await?,
                Kind::Upload => self.upload(&mut stream).await?,
                Kind::Kept => {
                    self.wait(self.every).await;
                    self.question(&mut stream).await?;
                }
            }
        }
        Ok(())
    }

    async fn open(&mut self) -> Result<TcpStream, String> {
        let target = self.shared.target;
        let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.map_err(|error| error.to_string())?;
        if self.kind != Kind::Kept {
            let sized = socket.set_recv_buffer_size(BUFFER).and(socket.set_send_buffer_size(BUFFER));
            sized.map_err(|error| error.to_string())?;
        }
        let opened = timeout(PATIENCE, socket.connect(target)).await;
        let stream =
            opened.map_err(|_| "not connected in time".to_owned())?.map_err(|error| error.to_string())?;
        let port = stream.local_addr().map_err(|error| error.to_string())?.port();
        self.fate.flow = format!("{:?} {port}", self.kind).to_lowercase();
        Ok(stream)
    }

    async fn question(&mut self, stream: &mut TcpStream) -> Result<(), String> {
        self.send(stream, b"GET /healthz HTTP/1.1\r\nHost: relevo\r\n\r\n").await?;
        let (length, mut body) = self.head(stream).await?;
        while body.len() < length {
            let mut rest = vec![0; length - body.len()];
            let count = self.read(stream, &mut rest).await?;
            body.extend_from_slice(&rest[..count]);
        }
        self.fate.wrong |= body != b"ok\n";
        Ok(())
    }

    async fn download(&mut self, stream: &mut TcpStream) -> Result<(), String> {
        let request = format!("GET /bytes/{SIZE} HTTP/1.1\r\nHost: relevo\r\n\r\n");
        self.send(stream, request.as_bytes()).await?;
        let (length, body) = self.head(stream).await?;
        let mut at = body.len();
        self.fate.wrong |= length != SIZE || !is_filler(0, &body);
        let mut piece = vec![0; PIECE];
        while at < length && !self.fate.wrong && !self.is_over() {
            let most = (length - at).min(PIECE);
            let count = self.read(stream, &mut piece[..most]).await?;
            self.fate.wrong |= !is_filler(at, &piece[..count]);
            at += count;
            self.wait(self.shared.pause * u32::try_from(count).unwrap_or(0) / PIECE as u32).await;
        }
        Ok(())
    }

    async fn upload(&mut self, stream: &mut TcpStream) -> Result<(), String> {
        let request = format!("POST /checked HTTP/1.1\r\nHost: relevo\r\nContent-Length: {SIZE}\r\n\r\n");
        self.send(stream, request.as_bytes()).await?;
        for at in (0..SIZE).step_by(PIECE) {
            let piece: Vec<u8> = (at..at + PIECE).map(filler).collect();
            self.send(stream, &piece).await?;
            if self.is_over() {
                return Ok(());
            }
            self.wait(self.shared.pause).await;
        }
        let (_, body) = self.head(stream).await?;
        self.fate.wrong |= body != b"right\n";
        Ok(())
    }

    /// Waits, but not beyond the end by long.
    async fn wait(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.is_over() {
            sleep((until - Instant::now()).min(Duration::from_millis(200))).await;
        }
    }

    fn is_over(&self) -> bool {
        self.shared.over.get()
    }

    async fn send(&mut self, stream: &mut TcpStream, bytes: &[u8]) -> Result<(), String> {
        let begun = Instant::now();
        let sent = timeout(PATIENCE, stream.write_all(bytes)).await;
        self.waited(begun);
        sent.map_err(|_| "it took nothing for too long".to_owned())?.map_err(|error| self.broke(&error))
    }

    /// Reads an answer's head: the length of its body, and what of that came with it.
    async fn head(&mut self, stream: &mut TcpStream) -> Result<(usize, Vec<u8>), String> {
        let mut bytes = Vec::new();
        let mut piece = [0; 2048];
        loop {
            let count = self.read(stream, &mut piece).await?;
            bytes.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let field = |name: &str| {
                    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
                    fields.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
                };
                let length = field("content-length").and_then(|value| value.parse().ok());
                let length = length.ok_or("an answer without length")?;
                self.is_last = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
                if let Some(server) = field("server-name").filter(|_| !self.shared.web)
                    && self.fate.server != server
                {
                    // Another one than before: that is no answer of this connection.
                    self.fate.wrong |= !self.fate.server.is_empty();
                    self.fate.server = server.to_owned();
                }
                let start = head.len() + 4;
                return Ok((length, bytes.split_off(start)));
            }
            if bytes.len() > 16 << 10 {
                return Err("an answer without end of its head".to_owned());
            }
        }
    }

    async fn read(&mut self, stream: &mut TcpStream, bytes: &mut [u8]) -> Result<usize, String> {
        let begun = Instant::now();
        let read = timeout(PATIENCE, stream.read(bytes)).await;
        self.waited(begun);
        match read.map_err(|_| "silent for too long".to_owned())? {
            Ok(0) => Err("closed".to_owned()),
            Ok(count) => Ok(count),
            Err(error) => Err(self.broke(&error)),
        }
    }

    fn broke(&mut self, error: &std::io::Error) -> String {
        self.fate.reset |= error.kind() == std::io::ErrorKind::ConnectionReset;
        error.to_string()
    }

    fn waited(&mut self, begun: Instant) {
        let waited = millis(begun.elapsed());
        // While others are still being opened it is not the cluster that keeps one waiting.
        if self.shared.ready.get() && waited > self.fate.longest_ms {
            self.fate.longest_ms = waited;
            self.fate.at_ms = millis(begun - self.began);
        }
    }
}

fn is_filler(from: usize, bytes: &[u8]) -> bool {
    (from..).zip(bytes).all(|(at, byte)| *byte == filler(at))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
