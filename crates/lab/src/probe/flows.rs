//! Connections that are there for long: downloads that are checked to the last byte, and connections that ask now and
//! then. What is told in the end is how many of them were lost, and how long the longest of them waited.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::origin::filler;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

/// Longest silence before a connection is given up: longer than a takeover and the retransmissions after it.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes of a download, as the built-in origin gives them.
const SIZE: usize = 8 << 20;
/// A download takes so many bytes at a time ...
const PIECE: usize = 16 << 10;
/// ... and then waits: it shall last.
const PAUSE: Duration = Duration::from_millis(20);
/// From one question of a kept connection to the next.
const EVERY: Duration = Duration::from_millis(100);

/// How they fared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flows {
    /// Downloads.
    pub downloads: u32,
    /// Connections that asked now and then.
    pub kept: u32,
    /// Of both, those that broke or were silent for 15 s.
    pub lost: u32,
    /// Downloads whose content was not right.
    pub wrong: u32,
    /// The longest that one of them waited for the next bytes, milliseconds.
    pub longest_ms: u64,
    /// Why the first ones were lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
}

/// What the client tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowEvent {
    /// All connections are there.
    Ready,
    /// It is over.
    End(Flows),
}

/// Reasons that are kept.
const MOST_REASONS: usize = 5;

/// Keeps so many connections to `target` busy until `end`. Needs a tokio runtime of one thread with I/O and time.
pub async fn flows(
    target: SocketAddr,
    downloads: u32,
    kept: u32,
    mut sink: impl FnMut(&FlowEvent),
    end: impl Future<Output = ()>,
) {
    let told = Rc::new(RefCell::new(Flows { downloads, kept, ..Flows::default() }));
    let (begun, over) = (Rc::new(Cell::new(0_u32)), Rc::new(Cell::new(false)));
    let tasks = LocalSet::new();
    for number in 0..downloads + kept {
        let (told, begun, over) = (Rc::clone(&told), Rc::clone(&begun), Rc::clone(&over));
        tasks.spawn_local(async move {
            let one = One { told: &told, begun: &begun, over: &over };
            let ended = if number < downloads { one.download(target).await } else { one.ask(target).await };
            if let Err(why) = ended {
                let mut told = told.borrow_mut();
                told.lost += 1;
                if told.why.len() < MOST_REASONS {
                    told.why.push(why);
                }
            }
        });
    }
    tasks
        .run_until(async {
            while begun.get() < downloads + kept && told.borrow().lost == 0 {
                sleep(Duration::from_millis(10)).await;
            }
            sink(&FlowEvent::Ready);
            end.await;
            over.set(true);
        })
        .await;
    let _ = timeout(PATIENCE, tasks).await;
    sink(&FlowEvent::End(told.borrow().clone()));
}

/// What one connection knows of the others.
struct One<'a> {
    told: &'a RefCell<Flows>,
    begun: &'a Cell<u32>,
    over: &'a Cell<bool>,
}

impl One<'_> {
    async fn download(&self, target: SocketAddr) -> Result<(), String> {
        let mut stream = self.open(target).await?;
        let mut piece = vec![0; PIECE];
        let mut first = true;
        while !self.over.get() {
            self.send(&mut stream, &format!("/bytes/{SIZE}")).await?;
            let (length, mut at) = self.head(&mut stream).await?;
            if std::mem::take(&mut first) {
                self.begun.set(self.begun.get() + 1);
            }
            while at < length {
                let most = (length - at).min(PIECE);
                let count = self.read(&mut stream, &mut piece[..most]).await?;
                if (at..).zip(&piece[..count]).any(|(at, byte)| *byte != filler(at)) {
                    self.told.borrow_mut().wrong += 1;
                    return Ok(());
                }
                at += count;
                if self.over.get() {
                    return Ok(());
                }
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    async fn ask(&self, target: SocketAddr) -> Result<(), String> {
        let mut stream = self.open(target).await?;
        let mut first = true;
        while !self.over.get() {
            self.send(&mut stream, "/healthz").await?;
            let (length, mut body) = self.head(&mut stream).await?;
            let mut rest = [0; 1024];
            while body < length {
                body += self.read(&mut stream, &mut rest).await?;
            }
            if std::mem::take(&mut first) {
                self.begun.set(self.begun.get() + 1);
            }
            sleep(EVERY).await;
        }
        Ok(())
    }

    async fn open(&self, target: SocketAddr) -> Result<TcpStream, String> {
        let opened = timeout(PATIENCE, TcpStream::connect(target)).await;
        opened.map_err(|_| "not connected in time".to_owned())?.map_err(|error| error.to_string())
    }

    async fn send(&self, stream: &mut TcpStream, path: &str) -> Result<(), String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: relevo\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())
    }

    /// Reads an answer's head: the length of its body, and how much of that came with it.
    async fn head(&self, stream: &mut TcpStream) -> Result<(usize, usize), String> {
        let mut bytes = Vec::new();
        let mut piece = [0; 2048];
        loop {
            let count = self.read(stream, &mut piece).await?;
            bytes.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let mut lines = head.lines().filter_map(|line| line.split_once(": "));
                let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
                let length =
                    length.and_then(|(_, value)| value.parse().ok()).ok_or("an answer without length")?;
                return Ok((length, bytes.len() - head.len() - 4));
            }
            if bytes.len() > 16 << 10 {
                return Err("an answer without end of its head".to_owned());
            }
        }
    }

    async fn read(&self, stream: &mut TcpStream, bytes: &mut [u8]) -> Result<usize, String> {
        let begun = Instant::now();
        let read =
            timeout(PATIENCE, stream.read(bytes)).await.map_err(|_| "silent for too long".to_owned())?;
        let waited = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut told = self.told.borrow_mut();
        told.longest_ms = told.longest_ms.max(waited);
        match read {
            Ok(0) => Err("closed".to_owned()),
            Ok(count) => Ok(count),
            Err(error) => Err(error.to_string()),
        }
    }
}
