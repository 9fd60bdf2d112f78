//! A whole connection out of bytes, without sockets: for tests and the fuzzer.
//!
//! The requests go to a stand-in for the engine that reads them as strictly as the engine does. It tells what it got,
//! and answers each with its own body.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::session::{Begun, Limits, Serve, Session};
use crate::carriers::Kind;
use crate::http::body::Body;
use crate::http::fields::Fields;
use crate::http::request::{Method, Request};
use crate::stream::{Client, Stream, pipe};

/// Most of a request that the stand-in reads.
const MOST: usize = 1024 * 1024;

/// What a client's bytes led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Every request that reached the engine.
    pub requests: Vec<Received>,
    /// The frames that the client gets.
    pub answer: Vec<u8>,
    /// Whether the connection was closed by us.
    pub closed: bool,
}

/// A request as the engine got it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Its head, as lines.
    pub head: Vec<u8>,
    /// Its body without framing.
    pub body: Vec<u8>,
    /// Whether the client has ended it; else it was reset.
    pub ended: bool,
    /// What is not as it must be, whatever the client sends; this is what the fuzzer looks for.
    pub fault: Option<&'static str>,
}

/// Plays a client that sends these pieces, then nothing more.
pub fn play(pieces: &[&[u8]]) -> Replay {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build_local(Default::default());
    let Ok(runtime) = runtime else { return Replay::default() };
    runtime.block_on(async {
        let engine = Echo::default();
        let requests = Rc::clone(&engine.requests);
        let (near, far) = pipe::pair();
        let limits = Limits { streams: 100, header: 16 * 1024, patience: Duration::from_secs(30) };
        let mut session = Session::new(Client::Pipe(near), Vec::new(), limits, engine);
        let (mut answer, mut closed) = (Vec::new(), false);
        for piece in pieces {
            far.push(piece);
            // Tasks of streams run in between; nothing here waits for time.
            for _ in 0..10 {
                closed = closed || poll_fn(|cx| Poll::Ready(session.poll(cx).is_ready())).await;
                answer.extend_from_slice(&far.take());
                tokio::task::yield_now().await;
            }
        }
        Replay { requests: requests.take(), answer, closed }
    })
}

/// The stand-in.
#[derive(Debug)]
struct Echo {
    requests: Rc<RefCell<Vec<Received>>>,
    fields: RefCell<Fields>,
    carriers: Kind<Begun<Self>>,
}

impl Default for Echo {
    fn default() -> Self {
        // Few, so that there are always some that are new and some that have carried others.
        Self { requests: Rc::default(), fields: RefCell::default(), carriers: Kind::new(2) }
    }
}

impl Serve for Echo {
    fn serve(&self, mut client: Client) -> impl Future<Output = ()> + 'static {
        let requests = Rc::clone(&self.requests);
        async move {
            let (mut bytes, mut buffer) = (Vec::new(), vec![0; 4096]);
            let ended = loop {
                match poll_fn(|cx| client.poll_read(cx, &mut buffer)).await {
                    Ok(0) => break true,
                    Ok(count) if bytes.len() < MOST => {
                        bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    }
                    Ok(_) | Err(_) => break false,
                }
            };
            let (received, answer) = read(bytes, ended);
            requests.borrow_mut().push(received);
            // A client that is gone gets nothing.
            let _ = client.send([&answer, &[]], true);
            client.close();
        }
    }

    fn fields(&self) -> &RefCell<Fields> {
        &self.fields
    }

    fn begin(&self, request: Begun<Self>) {
        self.carriers.give(request, Begun::carry);
    }
}

/// Reads what came on a stream; the answer.
fn read(bytes: Vec<u8>, ended: bool) -> (Received, Vec<u8>) {
    let mut received = Received { ended, ..Received::default() };
    let request = match Request::parse(&bytes, MOST, &mut Fields::default()) {
        Ok(Some(request)) => request,
        Ok(None) => {
            received.fault = Some("a stream without a whole head");
            return (Received { head: bytes, ..received }, Vec::new());
        }
        Err(refusal) => {
            let answer = format!("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n{}", refusal.reason);
            // Its body may have come as well.
            let end = memchr::memmem::find(&bytes, b"\r\n\r\n").map_or(bytes.len(), |end| end + 4);
            let head = bytes.get(..end).unwrap_or_default().to_vec();
            return (Received { head, ..received }, answer.into_bytes());
        }
    };
    let (head, rest) = bytes.split_at(request.length);
    received.head = head.to_vec();
    let mut left = request.body;
    match left.take_data(rest, |data| received.body.extend_from_slice(data)) {
        Err(_) => received.fault = Some("a body that is framed wrongly"),
        Ok(used) if used < rest.len() => received.fault = Some("more than one request on a stream"),
        Ok(_) if ended && !left.is_done() => received.fault = Some("a body that ends too early"),
        Ok(_) => {}
    }
    let body = &received.body;
    let answer = match (left, request.method) {
        (Body::Chunked(_), method) => {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            let size = format!("{:x}\r\n", body.len()).into_bytes();
            let last = &b"0\r\nx-trailer: yes\r\n\r\n"[..];
            match (method, body.is_empty()) {
                (Method::Head, _) => head,
                (_, true) => [&head, last].concat(),
                (_, false) => [&head[..], &size, body, b"\r\n", last].concat(),
            }
        }
        (Body::Length(_) | Body::UntilClose, method) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let body = if method == Method::Head { &[][..] } else { body };
            [head.as_bytes(), body].concat()
        }
    };
    (received, answer)
}
