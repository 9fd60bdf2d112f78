//! One client connection: heads in, answers out, until one side has had enough.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::origin::page::{self, Facts};
use crate::origin::request::{self, HEAD_MAX, Head, Page, Refusal};
use crate::origin::text;

/// Longest silence of a client.
const IDLE: Duration = Duration::from_secs(75);

/// Bodies are made out of pieces of this size, bytes.
const FILLER: usize = 256 * 1024;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// What all connections of an origin share.
#[derive(Debug)]
pub(super) struct Shared {
    name: String,
    body_bytes: Option<usize>,
    pages: Vec<String>,
    filler: Vec<u8>,
}

impl Shared {
    pub(super) fn new(options: &super::Options) -> Self {
        Self {
            name: options.name.clone(),
            body_bytes: options.body_bytes,
            pages: options.pages.clone(),
            filler: (0..FILLER).map(filler).collect(),
        }
    }

    /// Whether what was asked for, `METHOD PATH`, is one of the further pages.
    fn has(&self, asked: &str) -> bool {
        let path = asked.split(' ').nth(1);
        path.is_some_and(|path| self.pages.iter().any(|page| page == path))
    }
}

thread_local! {
    /// The `Date` field of this second.
    static DATE: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
}

/// Answers every request of a connection.
pub(super) async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    shared: &Shared,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let mut input = Vec::with_capacity(4096);
    let mut output = Vec::with_capacity(4096);
    loop {
        let (head, length) = match request::parse(&input) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => {
                tokio::select! {
                    biased;
                    read = tokio::time::timeout(IDLE, stream.read_buf(&mut input)) => match read {
                        Ok(Ok(1..)) => continue,
                        Ok(Ok(0)) | Err(_) => return Ok(()),
                        Ok(Err(error)) => return Err(error),
                    },
                    // Between two requests, and in an unfinished head, nothing is lost by closing.
                    _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
                }
            }
            Err(refusal) => return refuse(&mut stream, shared, refusal).await,
        };
        let Some(is_right) = take_body(&mut stream, &mut input, length, &head).await? else { return Ok(()) };
        if let Page::Slow(wait) = head.page {
            tokio::time::sleep(wait).await;
        }
        let keep_alive = head.keep_alive && !*stopped.borrow();
        output.clear();
        let rest = answer(&mut output, shared, &head, (local, peer), (keep_alive, is_right));
        stream.write_all(&output).await?;
        write_filler(&mut stream, shared, rest).await?;
        if !keep_alive {
            stream.shutdown().await?;
            return Ok(());
        }
    }
}

/// The byte of a body at this place: not the same everywhere, so that bytes that are lost or mixed up are seen.
pub(crate) fn filler(at: usize) -> u8 {
    b"abcdefghijklmnopqrstuvw"[at % FILLER % 23]
}

/// Puts an answer into `out`; returns how many bytes of filler are to follow it.
fn answer(
    out: &mut Vec<u8>,
    shared: &Shared,
    head: &Head,
    (local, peer): (SocketAddr, SocketAddr),
    (keep_alive, is_right): (bool, bool),
) -> usize {
    let now = text::now();
    let facts = Facts {
        name: &shared.name,
        local,
        peer,
        forwarded_for: head.forwarded_for.as_deref(),
        asked: &head.asked,
        now,
    };
    let filler = match head.page {
        Page::Bytes(bytes) => Some(bytes),
        Page::Who { .. } => shared.body_bytes,
        Page::Health | Page::Slow(_) | Page::Checked | Page::Unknown => None,
    };
    if let Some(bytes) = filler {
        push_head(out, shared, "200 OK", BYTES, bytes, keep_alive, now);
        let bytes = if head.head_only { 0 } else { bytes };
        let first = bytes.min(FILLER);
        out.extend_from_slice(&shared.filler[..first]);
        return bytes - first;
    }
    let (status, kind, body) = match head.page {
        Page::Who { refresh } if head.html => ("200 OK", HTML, page::html(&facts, refresh)),
        Page::Health => ("200 OK", TEXT, "ok\n".to_owned()),
        Page::Checked => ("200 OK", TEXT, if is_right { "right\n" } else { "wrong\n" }.to_owned()),
        Page::Unknown if shared.has(&head.asked) => ("200 OK", TEXT, page::words(&facts)),
        Page::Unknown => {
            let body = format!(
                "{}: no such page. There are /, /healthz, /bytes/N, /slow/MS and /checked.\n",
                head.asked
            );
            ("404 Not Found", TEXT, body)
        }
        Page::Who { .. } | Page::Slow(_) | Page::Bytes(_) => ("200 OK", TEXT, page::words(&facts)),
    };
    push_head(out, shared, status, kind, body.len(), keep_alive, now);
    if !head.head_only {
        out.extend_from_slice(body.as_bytes());
    }
    0
}

fn push_head(
    out: &mut Vec<u8>,
    shared: &Shared,
    status: &str,
    kind: &str,
    length: usize,
    keep_alive: bool,
    now: u64,
) {
    for part in ["HTTP/1.1 ", status, "\r\nDate: "] {
        out.extend_from_slice(part.as_bytes());
    }
    DATE.with_borrow_mut(|(second, date)| {
        if *second != now {
            (*second, *date) = (now, text::http(now));
        }
        out.extend_from_slice(date.as_bytes());
    });
    let length = length.to_string();
    let parts =
        ["\r\nServer-Name: ", &shared.name, "\r\nContent-Type: ", kind, "\r\nContent-Length: ", &length];
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
    let end = if keep_alive { "\r\n\r\n" } else { "\r\nConnection: close\r\n\r\n" };
    out.extend_from_slice(end.as_bytes());
}

/// Tells the client what was wrong with its head and closes.
async fn refuse(stream: &mut TcpStream, shared: &Shared, refusal: Refusal) -> io::Result<()> {
    let mut out = Vec::new();
    push_head(&mut out, shared, refusal.status(), TEXT, 0, false, text::now());
    stream.write_all(&out).await?;
    stream.shutdown().await
}

/// Takes a request's head and body out of `input`, and the rest of the body from the stream: whether that was what
/// [`filler`] says, if it matters. `None`: the client went away.
async fn take_body(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
    length: usize,
    head: &Head,
) -> io::Result<Option<bool>> {
    let here = (input.len() - length) as u64;
    let taken = here.min(head.body_bytes);
    let is_checked = head.page == Page::Checked;
    let is_filler =
        |from: u64, bytes: &[u8]| (from as usize..).zip(bytes).all(|(at, byte)| *byte == filler(at));
    let mut is_right = !is_checked || is_filler(0, &input[length..length + taken as usize]);
    input.drain(..length + taken as usize);
    let mut missing = head.body_bytes - taken;
    let mut scratch = Vec::with_capacity(if missing > 0 { HEAD_MAX } else { 0 });
    while missing > 0 {
        scratch.clear();
        let mut piece = (&mut *stream).take(missing);
        match tokio::time::timeout(IDLE, piece.read_buf(&mut scratch)).await {
            Ok(Ok(0)) | Err(_) => return Ok(None),
            Ok(read) => {
                let read = read? as u64;
                is_right &= !is_checked || is_filler(head.body_bytes - missing, &scratch);
                missing -= read;
            }
        }
    }
    Ok(Some(is_right))
}

async fn write_filler(stream: &mut TcpStream, shared: &Shared, mut bytes: usize) -> io::Result<()> {
    while bytes > 0 {
        let piece = bytes.min(FILLER);
        stream.write_all(&shared.filler[..piece]).await?;
        bytes -= piece;
    }
    Ok(())
}
