//! HTTP/2 clients: several requests at a time on each connection.

use std::rc::Rc;
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use http::{Request, Uri};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::connection::Patience;
use super::stream::connect;
use super::thread::Shared;
use super::{Failure, Plan, Protocol};

/// What a server may send on a stream before we say that we read it, bytes: more than an answer.
const WINDOW: u32 = 4 << 20;

/// Runs one connection after the other until it is enough.
pub(super) async fn run(shared: Rc<Shared>) {
    let Ok(request) = request(&shared.plan) else { return };
    loop {
        let begun = Instant::now();
        if shared.pace.deadline().is_some_and(|deadline| begun >= deadline) {
            return;
        }
        let mut patience = Patience::new(shared.plan.patience);
        match patience.within(begun, open(&shared)).await {
            Ok(sender) => {
                let mut streams = JoinSet::new();
                for _ in 0..shared.plan.streams {
                    streams.spawn_local(stream(Rc::clone(&shared), sender.clone(), request.clone()));
                }
                let mut enough = true;
                while let Some(ended) = streams.join_next().await {
                    enough &= ended.unwrap_or(true);
                }
                if enough {
                    return;
                }
            }
            Err(failure) => {
                let now = Instant::now();
                // A request that was due has failed: the number of requests ends also if nobody listens.
                if shared.pace.next(now).await.is_none() {
                    return;
                }
                shared.tally.borrow_mut().failure(now, failure);
                sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}

/// The request as it is sent each time; its body beside it. An error: it cannot be said in HTTP/2.
pub(super) fn request(plan: &Plan) -> anyhow::Result<Request<()>> {
    let scheme = if plan.target.tls { "https" } else { "http" };
    let host = plan.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let authority = host.map_or(plan.target.host.as_str(), |(_, value)| value);
    let uri: Uri = format!("{scheme}://{authority}{}", plan.target.path).parse()?;
    let mut request = Request::builder().method(plan.method.as_str()).uri(uri).version(http::Version::HTTP_2);
    // Fields of the connection are not for HTTP/2 (RFC 9113 section 8.2.2).
    let mine = |name: &str| !["host", "connection"].iter().any(|not| name.eq_ignore_ascii_case(not));
    for (name, value) in plan.fields.iter().filter(|(name, _)| mine(name)) {
        request = request.header(name.to_ascii_lowercase(), value);
    }
    request.body(()).context("not a request")
}

/// Connects and agrees on HTTP/2.
async fn open(shared: &Rc<Shared>) -> Result<SendRequest<Bytes>, Failure> {
    let socket = connect(&shared.plan.target, &shared.tls, Protocol::Http2).await?;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW).enable_push(false);
    let (sender, connection) = builder.handshake(socket).await.map_err(|_| Failure::broken(false))?;
    shared.tally.borrow_mut().connect();
    // It ends when the last sender is gone.
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    sender.ready().await.map_err(|_| Failure::broken(false))
}

/// Asks on one stream after the other. True: it is enough; false: the connection is of no more use.
async fn stream(shared: Rc<Shared>, sender: SendRequest<Bytes>, request: Request<()>) -> bool {
    let mut patience = Patience::new(shared.plan.patience);
    let body = Bytes::from(shared.plan.body.clone());
    let mut sender = Some(sender);
    let mut now = Instant::now();
    while let Some(due) = shared.pace.next(now).await {
        let begun = if shared.plan.rate.is_some() { Instant::now() } else { now };
        let ready = sender.take();
        let result = patience.within(begun, exchange(ready, &request, &body)).await;
        now = Instant::now();
        match result {
            Ok((again, status, received)) => {
                shared.answered(now, due, status, received);
                sender = Some(again);
            }
            Err(Failed::Gone) => {
                shared.pace.again();
                return false;
            }
            Err(Failed::Asked(failure)) => {
                shared.tally.borrow_mut().failure(now, failure);
                return false;
            }
        }
        if shared.plan.connection_per_request {
            return false;
        }
    }
    true
}

/// Why there was no good answer.
enum Failed {
    /// The server has said that it takes no more requests on this connection and did not look at this one: it is asked
    /// on another one (RFC 9113 section 6.8).
    Gone,
    /// It is a failure.
    Asked(Failure),
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self::Asked(failure)
    }
}

async fn exchange(
    sender: Option<SendRequest<Bytes>>,
    request: &Request<()>,
    body: &Bytes,
) -> Result<(SendRequest<Bytes>, u16, u64), Failed> {
    let failure = |begun: bool| {
        move |error: h2::Error| match error.reason() {
            Some(Reason::NO_ERROR) if error.is_go_away() && error.is_remote() && !begun => Failed::Gone,
            _ if error.is_reset() => Failure::Reset.into(),
            _ => Failure::broken(begun).into(),
        }
    };
    let sender = sender.ok_or(Failure::Unanswered)?;
    let mut sender = sender.ready().await.map_err(failure(false))?;
    let (answer, mut send) = sender.send_request(request.clone(), body.is_empty()).map_err(failure(false))?;
    if !body.is_empty() {
        send.send_data(body.clone(), true).map_err(failure(false))?;
    }
    let answer = answer.await.map_err(failure(false))?;
    let status = answer.status().as_u16();
    let mut data = answer.into_body();
    let mut received = 0;
    while let Some(piece) = data.data().await {
        let piece = piece.map_err(failure(true))?;
        received += piece.len() as u64;
        let _ = data.flow_control().release_capacity(piece.len());
    }
    Ok((sender, status, received))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use h2::server::SendResponse;
    use rustls::ServerConfig;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncRead, AsyncWrite};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::load::{self, End, Target};

    async fn answer(mut respond: SendResponse<Bytes>) {
        let head = http::Response::builder().status(200).body(()).unwrap();
        let mut body = respond.send_response(head, false).unwrap();
        body.send_data(Bytes::from(vec![b'x'; 100]), true).unwrap();
    }

    async fn serve(socket: impl AsyncRead + AsyncWrite + Unpin) {
        let mut connection = h2::server::handshake(socket).await.unwrap();
        while let Some(Ok((_, respond))) = connection.accept().await {
            answer(respond).await;
        }
    }

    /// A server of HTTP/2 on loopback, within TLS or in clear; its port.
    fn server(tls: bool) -> u16 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
        let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((socket, _)) = listener.accept().await {
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        if tls {
                            serve(acceptor.accept(socket).await.unwrap()).await;
                        } else {
                            serve(socket).await;
                        }
                    });
                }
            });
        });
        port
    }

    #[test]
    fn requests_share_connections_in_clear_and_within_tls() {
        for (tls, scheme) in [(false, "http"), (true, "https")] {
            let target = Target::parse(&format!("{scheme}://127.0.0.1:{}/a", server(tls))).unwrap();
            let mut plan = Plan::new(target);
            (plan.protocol, plan.connections, plan.streams) = (Protocol::Http2, 2, 5);
            plan.end = End { after: None, requests: Some(100) };
            let outcome = load::run(&plan).unwrap();
            assert_eq!(outcome.fault(), None, "{scheme}");
            assert_eq!((outcome.answers, outcome.connects, outcome.received), (100, 2, 10_000), "{scheme}");
        }
    }

    #[test]
    fn a_certificate_that_nobody_vouches_for_is_refused() {
        let mut plan = Plan::new(Target::parse(&format!("https://127.0.0.1:{}/", server(true))).unwrap());
        let file = std::env::temp_dir().join(format!("relevo-bench-ca-{}.pem", std::process::id()));
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&file, other.cert.pem()).unwrap();
        plan.protocol = Protocol::Http2;
        plan.trust = load::Trust::File(file.clone());
        plan.end = End { after: None, requests: Some(2) };
        let outcome = load::run(&plan).unwrap();
        std::fs::remove_file(file).unwrap();
        assert_eq!(outcome.failures, [(Failure::Tls, 2)]);
    }
}
