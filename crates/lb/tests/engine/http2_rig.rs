//! A server that speaks HTTP/2 in clear, written with the `h2` crate.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};

use crate::rig::{own_ip, v4};

/// How it behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Its SETTINGS_MAX_CONCURRENT_STREAMS.
    pub(crate) streams: u32,
    /// Requests on a connection until it says GOAWAY.
    pub(crate) goaway_after: usize,
    /// Whether it takes WebSockets (RFC 8441).
    pub(crate) websockets: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self { streams: 100, goaway_after: usize::MAX, websockets: false }
    }
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: AtomicUsize,
    pub(crate) requests: AtomicUsize,
    /// Most streams at a time on one connection.
    pub(crate) most: AtomicUsize,
    /// Those that were refused.
    pub(crate) refused: AtomicUsize,
    /// Those that the client has reset.
    pub(crate) resets: AtomicUsize,
}

/// The server. What it answers: `/echo` the body and its trailers, `/large` 8 MiB, `/slow` after 50 ms, `/refuse` is refused
/// the first time, `/never` never, everything else the request's head.
pub(crate) struct Http2Origin {
    pub(crate) at: SocketAddrV4,
    pub(crate) seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Http2Origin {
    pub(crate) fn start(manner: Manner) -> Self {
        Self::start_at(SocketAddrV4::new(own_ip(), 0), manner)
    }

    /// The same on a port that is known.
    pub(crate) fn start_at(at: SocketAddrV4, manner: Manner) -> Self {
        let listener = std::net::TcpListener::bind(at).unwrap();
        listener.set_nonblocking(true).unwrap();
        let at = v4(listener.local_addr().unwrap());
        let (seen, stop) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let (see, ended) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
            runtime.unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while !ended.load(Ordering::SeqCst) {
                    let accepted = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await;
                    if let Ok(Ok((stream, _))) = accepted {
                        see.connections.fetch_add(1, Ordering::SeqCst);
                        tokio::task::spawn_local(connection(stream, manner, Arc::clone(&see)));
                    }
                }
            });
        });
        Self { at, seen, stop, thread: Some(thread) }
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Http2Origin {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

async fn connection(stream: tokio::net::TcpStream, manner: Manner, seen: Arc<Seen>) {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(manner.streams);
    if manner.websockets {
        builder.enable_connect_protocol();
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let running = Arc::new(AtomicUsize::new(0));
    let mut count = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        count += 1;
        if count == manner.goaway_after {
            connection.graceful_shutdown();
        }
        seen.requests.fetch_add(1, Ordering::SeqCst);
        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most.fetch_max(now, Ordering::SeqCst);
        let (running, seen) = (Arc::clone(&running), Arc::clone(&seen));
        tokio::task::spawn_local(async move {
            if answer(request, respond, &seen).await.is_err() {
                seen.resets.fetch_add(1, Ordering::SeqCst);
            }
            running.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    seen: &Seen,
) -> Result<(), h2::Error> {
    let (parts, mut body) = request.into_parts();
    let ok = || Response::builder();
    if parts.extensions.get::<h2::ext::Protocol>().is_some() {
        let mut send = respond.send_response(ok().body(()).unwrap(), false)?;
        return echo(&mut body, &mut send).await.and_then(|_| send.send_data(Bytes::new(), true));
    }
    match parts.uri.path() {
        "/echo" => {
            let mut send = respond.send_response(ok().header("x-seen", "yes").body(()).unwrap(), false)?;
            let trailers = echo(&mut body, &mut send).await?;
            let mut back = HeaderMap::new();
            back.insert("grpc-status", "0".parse().unwrap());
            if let Some(up) = trailers.and_then(|map| map.get("x-up").cloned()) {
                back.insert("x-up", up);
            }
            send.send_trailers(back)
        }
        "/large" => {
            let mut send = respond.send_response(ok().body(()).unwrap(), false)?;
            for _ in 0..512 {
                send_all(&mut send, Bytes::from(vec![b'x'; 16 * 1024])).await?;
            }
            send.send_data(Bytes::new(), true)
        }
        "/refuse" if seen.refused.fetch_add(1, Ordering::SeqCst) == 0 => {
            respond.send_reset(Reason::REFUSED_STREAM);
            Ok(())
        }
        "/never" => {
            std::future::poll_fn(|cx| respond.poll_reset(cx)).await?;
            Err(Reason::CANCEL.into())
        }
        path => {
            if path == "/slow" {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            while let Some(data) = body.data().await {
                body.flow_control().release_capacity(data?.len())?;
            }
            let mut text = format!("{} {}\n", parts.method, parts.uri);
            for (name, value) in &parts.headers {
                text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
            }
            let answer = ok().header("content-length", text.len()).body(()).unwrap();
            if parts.method == "HEAD" {
                return respond.send_response(answer, true).map(drop);
            }
            respond.send_response(answer, false)?.send_data(text.into(), true)
        }
    }
}

/// Sends back what comes, as it comes; the trailers.
async fn echo(body: &mut RecvStream, send: &mut SendStream<Bytes>) -> Result<Option<HeaderMap>, h2::Error> {
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        send_all(send, data).await?;
    }
    body.trailers().await
}

/// Sends as the other side lets it.
pub(crate) async fn send_all(send: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), h2::Error> {
    while !data.is_empty() {
        send.reserve_capacity(data.len());
        match std::future::poll_fn(|cx| send.poll_capacity(cx)).await {
            Some(Ok(room)) => send.send_data(data.split_to(room.min(data.len())), false)?,
            Some(Err(error)) => return Err(error),
            None => return Err(Reason::CANCEL.into()),
        }
    }
    Ok(())
}
