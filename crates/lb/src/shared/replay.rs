//! What a server says over HTTP/2, out of bytes, without sockets: for tests and the fuzzer.
//!
//! Some requests are sent to it, whatever it says; what the engine would read of its answers is read as strictly as the engine
//! does it.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::link::Link;
use super::stream::Stream;
use crate::http::body::Body;
use crate::http::fields::Fields;
use crate::http::request::Method;
use crate::http::response::Response;
use crate::stream::{Client, pipe};

/// Most of an answer that is read.
const MOST: usize = 1024 * 1024;

/// What is asked, each on a stream of its own: 1, 3, 5 and so on.
const REQUESTS: [(&[u8], &[u8], Method); 4] = [
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"", Method::Safe),
    (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", b"", Method::Head),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNKS, Method::Other),
    (b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", b"hello", Method::Idempotent),
];
const CHUNKS: &[u8] = b"5\r\nhello\r\n0\r\nx-trailer: yes\r\n\r\n";

/// Asked when the server has said that it takes WebSockets (RFC 8441).
const WEBSOCKET: (&[u8], &[u8], Method) = (
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    b"frame",
    Method::Safe,
);

/// What a server's bytes led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// What the engine gets for each request, in their order.
    pub answers: Vec<Heard>,
    /// The frames that the server gets.
    pub said: Vec<u8>,
    /// Whether the connection was ended.
    pub closed: bool,
}

/// An answer as the engine gets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Its last head, as lines; empty: none came that could be an answer's.
    pub head: Vec<u8>,
    /// The statuses of those before it.
    pub interim: Vec<u16>,
    /// Its body without framing.
    pub body: Vec<u8>,
    /// Whether its client gets all of it.
    pub whole: bool,
    /// Whether the request may be asked again elsewhere.
    pub unprocessed: bool,
    /// What is not as it must be, whatever the server says; this is what the fuzzer looks for.
    pub fault: Option<&'static str>,
}

/// A request under way.
struct Asked {
    stream: Stream<Client>,
    method: Method,
    bytes: Vec<u8>,
    /// Whether the answer has ended in order, or not.
    end: Option<bool>,
}

/// Plays a server that says these pieces, then nothing more.
pub fn play(pieces: &[&[u8]]) -> Replay {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build_local(Default::default());
    let Ok(runtime) = runtime else { return Replay::default() };
    runtime.block_on(async {
        let (near, far) = pipe::pair();
        let mut replay = Replay::default();
        let joined = Link::join(Client::Pipe(near), None, "192.0.2.1:80".to_owned(), None).await;
        let Ok((link, driving)) = joined else { return replay };
        let mut driving = pin!(driving);
        let mut asked: Vec<Asked> =
            REQUESTS.into_iter().filter_map(|request| Asked::begin(&link, request)).collect();
        let mut has_websocket = false;
        // At the end the server has gone, and those who still wait are told.
        let pieces = pieces.iter().copied().map(Some);
        for piece in [Some(&[][..])].into_iter().chain(pieces).chain([None]) {
            piece.map_or_else(|| far.end(), |piece| far.push(piece));
            for _ in 0..4 {
                if !has_websocket && link.takes_websockets() && link.is_open() {
                    has_websocket = true;
                    asked.extend(Asked::begin(&link, WEBSOCKET));
                }
                poll_fn(|cx| {
                    replay.closed = replay.closed || driving.as_mut().poll(cx).is_ready();
                    asked.iter_mut().for_each(|asked| asked.poll(cx));
                    Poll::Ready(())
                })
                .await;
                replay.said.extend_from_slice(&far.take());
                tokio::task::yield_now().await;
            }
        }
        replay.answers = asked.into_iter().map(Asked::read).collect();
        replay
    })
}

impl Asked {
    fn begin(
        link: &Rc<Link<Client>>,
        (head, body, method): (&'static [u8], &'static [u8], Method),
    ) -> Option<Self> {
        let mut stream = link.stream();
        // A connection that is not usable any more.
        stream.send([head, body]).ok()?;
        Some(Self { stream, method, bytes: Vec::new(), end: None })
    }

    /// Sends what there is room for, and reads what there is.
    fn poll(&mut self, cx: &mut Context<'_>) {
        // Whether it arrives is seen by the answer.
        let _ = self.stream.poll_flush(cx);
        let mut buffer = [0; 4096];
        while self.end.is_none() && self.bytes.len() < MOST {
            match self.stream.poll_read(cx, &mut buffer) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => self.end = Some(true),
                Poll::Ready(Ok(count)) => {
                    self.bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
                }
                Poll::Ready(Err(_)) => self.end = Some(false),
            }
        }
    }

    /// Reads the answer as the engine does.
    fn read(mut self) -> Heard {
        let mut heard = Heard { unprocessed: self.stream.take_unprocessed().is_some(), ..Heard::default() };
        if heard.unprocessed && !self.bytes.is_empty() {
            heard.fault = Some("a request that is asked again though it has an answer");
        }
        let mut rest = &self.bytes[..];
        let (length, mut body) = loop {
            match Response::parse(rest, MOST, self.method, &mut Fields::default()) {
                // The client gets 502.
                Err(_) => return heard,
                Ok(None) if rest.is_empty() || self.end != Some(true) => return heard,
                Ok(None) => return Heard { fault: Some("an answer without a whole head"), ..heard },
                Ok(Some(head)) if head.is_interim() => {
                    heard.interim.push(head.status);
                    rest = rest.get(head.length..).unwrap_or_default();
                }
                // What follows is the WebSocket's.
                Ok(Some(head)) if head.status == 101 => break (head.length, Body::UntilClose),
                Ok(Some(head)) => break (head.length, head.body),
            }
        };
        let (head, rest) = rest.split_at(length);
        heard.head = head.to_vec();
        match body.take_data(rest, |data| heard.body.extend_from_slice(data)) {
            Err(_) => heard.fault = Some("a body that is framed wrongly"),
            Ok(used) if used < rest.len() => heard.fault = Some("bytes behind an answer"),
            Ok(_) => {}
        }
        heard.whole = body.is_done() || self.end == Some(true);
        if self.end == Some(true) && !body.is_done() && body != Body::UntilClose {
            heard.fault = Some("an answer that ends in order, and too early");
        }
        heard
    }
}
