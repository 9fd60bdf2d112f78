//! HTTP/2 in clear: a client that knows that it is spoken, the engine, servers that speak HTTP/1.1.

use std::io::Write;
use std::net::SocketAddrV4;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{Request, Response};

use crate::rig::{Front, LONG, Origin, Rig, cluster, field, service, wait_until, with_length};

fn h2c(servers: &[SocketAddrV4]) -> Front {
    let mut front = service(servers);
    front.h2c = true;
    front
}

/// Runs a client.
pub(crate) fn run<T>(client: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
    runtime.unwrap().block_on(async { tokio::time::timeout(LONG, client).await.unwrap() })
}

/// One connection; the future of its end.
pub(crate) async fn connect(
    at: SocketAddrV4,
) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let stream = tokio::net::TcpStream::connect(at).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    let ended = tokio::task::spawn_local(connection);
    (send.ready().await.unwrap(), ended)
}

pub(crate) fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://test.example{path}")).body(()).unwrap()
}

async fn read(response: Response<RecvStream>) -> Result<(u16, Vec<u8>), h2::Error> {
    let status = response.status().as_u16();
    let (mut body, mut all) = (response.into_body(), Vec::new());
    while let Some(data) = body.data().await {
        let data = data?;
        all.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    Ok((status, all))
}

pub(crate) async fn get(send: &mut SendRequest<Bytes>, path: &str) -> Result<(u16, Vec<u8>), h2::Error> {
    let (response, _) = send.send_request(request("GET", path), true)?;
    read(response.await?).await
}

#[test]
fn a_client_that_knows_is_answered_and_one_that_does_not_too() {
    let origin = Origin::mirror();
    let rig = Rig::start(h2c(&[origin.at]));
    run(async {
        let (mut send, _) = connect(rig.at).await;
        for _ in 0..3 {
            let (status, body) = get(&mut send, "/x?y").await.unwrap();
            let head = String::from_utf8(body).unwrap();
            assert_eq!((status, head.lines().next()), (200, Some("GET /x?y HTTP/1.1")));
            assert_eq!(field(&head, "host").as_deref(), Some("test.example"));
            assert_eq!(field(&head, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
        }
    });
    assert_eq!(rig.get("/").status, 200);
    assert_eq!(rig.engine.snapshot().services[0].requests, 4);
    assert!(origin.accepted() <= 2, "server connections are used again");
}

#[test]
fn without_h2c_the_preface_is_no_request() {
    let origin = Origin::named("one");
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 505);
}

#[test]
fn a_preface_in_pieces_is_one() {
    let origin = Origin::named("one");
    let rig = Rig::start(h2c(&[origin.at]));
    let mut client = rig.client();
    for piece in [&b"P"[..], b"RI * HTT", b"P/2.0\r", b"\n\r\nSM\r\n\r\n", &[0; 3], &[4, 0, 0, 0, 0, 0]] {
        client.send(piece);
        client.stream().flush().unwrap();
    }
    // Our settings: a frame of kind 4.
    assert_eq!(client.bytes(4)[3], 4);
}

#[test]
fn a_hundred_requests_at_a_time_share_a_connection() {
    let servers = [Origin::named("one"), Origin::named("two")];
    let rig = Rig::start(h2c(&servers.each_ref().map(|server| server.at)));
    let bodies = run(async {
        let (send, _) = connect(rig.at).await;
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let mut send = send.clone().ready().await.unwrap();
            all.spawn_local(async move { get(&mut send, "/").await.unwrap().1 });
        }
        all.join_all().await
    });
    let of = |name: &[u8]| bodies.iter().filter(|body| &body[..] == name).count();
    assert_eq!((of(b"one"), of(b"two")), (50, 50));
    assert_eq!(rig.engine.snapshot().services[0].requests, 100);
}

#[test]
fn streams_follow_the_configuration_of_their_moment_on_one_connection() {
    let gate = std::sync::Arc::new(std::sync::Barrier::new(2));
    let waiting = std::sync::Arc::clone(&gate);
    let one = Origin::answering(move |request| {
        if request.line().contains("/wait") {
            waiting.wait();
        }
        with_length("one")
    });
    let two = Origin::named("two");
    let rig = Rig::start(h2c(&[one.at]));
    run(async {
        let (mut send, _) = connect(rig.at).await;
        assert_eq!(get(&mut send, "/").await.unwrap().1, b"one");
        let (running, _) = send.send_request(request("GET", "/wait"), true).unwrap();
        let running = tokio::task::spawn_local(async move { read(running.await?).await });
        while rig.server(1).connections == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut next = h2c(&[two.at]);
        next.pool.servers[0].name = "other".into();
        rig.engine.apply(&cluster([next])).unwrap();
        assert_eq!(get(&mut send, "/").await.unwrap().1, b"two", "a stream begun since");
        gate.wait();
        assert_eq!(running.await.unwrap().unwrap(), (200, b"one".to_vec()), "the one begun before");
        // The service is gone: this client is told to go, in order.
        let mut gone = h2c(&[two.at]);
        (gone.service.name, gone.service.pool) = ("gone".into(), "gone".into());
        gone.pool.name = "gone".into();
        rig.engine.apply(&cluster([gone])).unwrap();
        let refused = loop {
            // What is sent before it hears of that is served.
            match get(&mut send, "/").await {
                Ok((status, _)) => assert_eq!(status, 200),
                Err(refused) => break refused,
            }
        };
        assert!(refused.is_go_away() && refused.reason() == Some(Reason::NO_ERROR), "{refused}");
    });
}

#[test]
fn large_bodies_go_both_ways() {
    let origin = Origin::answering(|request| with_length(&String::from_utf8_lossy(&request.body)));
    let rig = Rig::start(h2c(&[origin.at]));
    let large = vec![b'x'; 3_000_000];
    for announced in [true, false] {
        let mut ask = request("POST", "/up");
        if announced {
            ask.headers_mut().insert("content-length", large.len().into());
        }
        let (status, body) = run(async {
            let (mut send, _) = connect(rig.at).await;
            let (response, mut up) = send.send_request(ask, false).unwrap();
            let sending = async {
                let mut rest = Bytes::from(large.clone());
                while !rest.is_empty() {
                    up.reserve_capacity(rest.len());
                    let room = std::future::poll_fn(|cx| up.poll_capacity(cx)).await.unwrap().unwrap();
                    let part = rest.split_to(room.min(rest.len()));
                    up.send_data(part, rest.is_empty()).unwrap();
                }
            };
            let (response, ()) = tokio::join!(response, sending);
            read(response.unwrap()).await.unwrap()
        });
        assert_eq!((status, body.len()), (200, large.len()), "announced: {announced}");
    }
}

#[test]
fn answers_without_bodies_end() {
    let origin = Origin::answering(|request| match request.line() {
        "GET /none HTTP/1.1" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "GET /same HTTP/1.1" => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n".to_vec(),
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec(),
    });
    let rig = Rig::start(h2c(&[origin.at]));
    run(async {
        let (mut send, _) = connect(rig.at).await;
        assert_eq!(get(&mut send, "/none").await.unwrap(), (204, Vec::new()));
        assert_eq!(get(&mut send, "/same").await.unwrap(), (304, Vec::new()));
        let (response, _) = send.send_request(request("HEAD", "/"), true).unwrap();
        assert_eq!(read(response.await.unwrap()).await.unwrap(), (200, Vec::new()));
    });
}

#[test]
fn trailers_and_interim_answers_come_down() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
          2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 5\r\nContent-Length: 7\r\n\r\n"
            .to_vec()
    });
    let rig = Rig::start(h2c(&[origin.at]));
    run(async {
        let (mut send, _) = connect(rig.at).await;
        let (response, _) = send.send_request(request("GET", "/"), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let mut all = Vec::new();
        while let Some(data) = body.data().await {
            all.extend_from_slice(&data.unwrap());
        }
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!((&all[..], &trailers["x-sum"], trailers.len()), (&b"hello"[..], &"5".parse().unwrap(), 1));
    });
}

#[test]
fn who_cancels_frees_the_server() {
    let (seen, closed) = mpsc::channel();
    let seen = std::sync::Mutex::new(seen);
    let origin = Origin::with(move |peer| {
        let Some(head) = peer.head() else { return };
        if head.starts_with("GET /wait") {
            // It ends when the balancer closes.
            let _ = peer.read(&mut [0]);
            let _ = seen.lock().unwrap().send(());
        } else {
            let _ = peer.write(&with_length("fine"));
        }
    });
    let rig = Rig::start(h2c(&[origin.at]));
    run(async {
        let (mut send, _) = connect(rig.at).await;
        let (response, mut stream) = send.send_request(request("GET", "/wait"), true).unwrap();
        let waiting = async {
            while rig.server(1).connections == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await
            }
        };
        waiting.await;
        stream.send_reset(Reason::CANCEL);
        drop(response);
        assert_eq!(get(&mut send, "/other").await.unwrap().1, b"fine", "the connection goes on");
    });
    closed.recv_timeout(LONG).unwrap();
    wait_until("the server is free", || rig.server(1).connections == 0);
    wait_until("the client is gone", || rig.engine.snapshot().services[0].connections == 0);
}

#[test]
fn an_answer_that_breaks_off_resets_its_stream_alone() {
    let origin = Origin::with(|peer| {
        while let Some(request) = peer.request() {
            if request.line().contains("/broken") {
                let _ = peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
                return;
            }
            let _ = peer.write(&with_length("fine"));
        }
    });
    let rig = Rig::start(h2c(&[origin.at]));
    run(async {
        let (mut send, _) = connect(rig.at).await;
        let broken = get(&mut send, "/broken").await.unwrap_err();
        assert_eq!(broken.reason(), Some(Reason::INTERNAL_ERROR));
        assert_eq!(get(&mut send, "/fine").await.unwrap().1, b"fine");
    });
}

#[test]
fn refusals_are_answers() {
    let origin = Origin::named("dead");
    let at = origin.at;
    origin.kill();
    let rig = Rig::start(h2c(&[at]));
    run(async {
        let (mut send, _) = connect(rig.at).await;
        let (status, body) = get(&mut send, "/").await.unwrap();
        assert_eq!(
            (status, &body[..]),
            (503, &b"503 Service Unavailable: no server accepts connections\n"[..])
        );
    });
}

#[test]
fn a_head_larger_than_allowed_is_431() {
    let origin = Origin::named("one");
    let mut front = h2c(&[origin.at]);
    front.limits.header = 4000;
    let rig = Rig::start(front);
    run(async {
        let (mut send, _) = connect(rig.at).await;
        for (size, expected) in [(3000, 200), (5000, 431)] {
            let mut large = request("GET", "/");
            large.headers_mut().insert("x", "y".repeat(size).parse().unwrap());
            let (response, _) = send.send_request(large, true).unwrap();
            assert_eq!(response.await.unwrap().status(), expected, "{size} bytes");
        }
        assert_eq!(get(&mut send, "/").await.unwrap().1, b"one");
        // Far beyond: not even read.
        let mut large = request("GET", "/");
        large.headers_mut().insert("x", "y".repeat(60_000).parse().unwrap());
        let (response, _) = send.send_request(large, true).unwrap();
        assert_eq!(response.await.unwrap_err().reason(), Some(Reason::ENHANCE_YOUR_CALM));
    });
}

#[test]
fn a_client_that_reads_nothing_is_cut() {
    let origin = Origin::answering(|_| with_length(&"x".repeat(3_000_000)));
    let mut front = h2c(&[origin.at]);
    front.timeouts.client = Duration::from_millis(300);
    let rig = Rig::start(front);
    // It gives us all the room that there is in HTTP/2, and none in TCP.
    let mut client = rig.client();
    let window =
        |stream: u8| [&[0, 0, 4, 8, 0, 0, 0, 0, stream][..], &0x7fff_0000_u32.to_be_bytes()].concat();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send(b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff");
    client.send(window(0));
    for stream in [1, 3, 5, 7] {
        // :method GET, :scheme http, :path /, :authority a.
        client.send([0, 0, 6, 1, 5, 0, 0, 0, stream, 0x82, 0x86, 0x84, 0x41, 1, b'a']);
    }
    wait_until("it began", || rig.engine.snapshot().services[0].requests == 4);
    wait_until("it was cut", || rig.engine.snapshot().services[0].connections == 0);
    wait_until("the server is free", || rig.server(1).connections == 0);
}

#[test]
fn an_idle_client_is_told_to_go() {
    let origin = Origin::named("one");
    let mut front = h2c(&[origin.at]);
    front.timeouts.keep_alive = Duration::from_millis(200);
    let rig = Rig::start(front);
    run(async {
        let (mut send, ended) = connect(rig.at).await;
        get(&mut send, "/").await.unwrap();
        // Without an error: GOAWAY with NO_ERROR, then the end.
        ended.await.unwrap().unwrap();
    });
    wait_until("it is gone", || rig.engine.snapshot().services[0].connections == 0);
}

#[test]
fn stopping_lets_requests_finish() {
    let origin = Origin::with(|peer| {
        while let Some(request) = peer.request() {
            if request.line().contains("/slow") {
                let _ = peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsl");
                std::thread::sleep(Duration::from_millis(300));
                let _ = peer.write(b"ow");
            } else {
                let _ = peer.write(&with_length("fine"));
            }
        }
    });
    let rig = Rig::start(h2c(&[origin.at]));
    run(async {
        let (mut send, ended) = connect(rig.at).await;
        let (response, _) = send.send_request(request("GET", "/slow"), true).unwrap();
        let response = response.await.unwrap();
        let stopping = std::thread::spawn(move || rig.engine.shutdown(LONG));
        assert_eq!(read(response).await.unwrap(), (200, b"slow".to_vec()));
        ended.await.unwrap().unwrap();
        stopping.join().unwrap();
    });
}

/// Real clients; a test of `main.rs`.
pub(crate) fn curl_and_h2load_are_served() {
    let origin = Origin::answering(|request| with_length(&"x".repeat(request.body.len().max(10))));
    let rig = Rig::start(h2c(&[origin.at]));
    let url = format!("http://{}/", rig.at);
    let curl = Command::new("curl")
        .args([
            "-sS",
            "--http2-prior-knowledge",
            "-w",
            " %{http_version}",
            "--data-binary",
            &"y".repeat(30),
            &url,
        ])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&curl.stdout), format!("{} 2", "x".repeat(30)));
    let load = Command::new("h2load").args(["-n", "2000", "-c", "4", "-m", "25", &url]).output().unwrap();
    let report = String::from_utf8_lossy(&load.stdout).into_owned();
    assert!(report.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{report}");
}

#[test]
fn a_client_that_opens_no_window_has_its_streams_reset() {
    // A small answer, of which all was said, and one without an end.
    let origin = Origin::with(|peer| {
        while let Some(request) = peer.request() {
            if !request.line().starts_with("GET /endless") {
                let _ = peer.write(&with_length("a small answer"));
                continue;
            }
            let _ = peer.write(b"HTTP/1.1 200 OK\r\n\r\n");
            while peer.write(&[b'x'; 65536]).is_ok() {}
        }
    });
    let mut front = service(&[origin.at]);
    front.h2c = true;
    front.timeouts.client = std::time::Duration::from_millis(400);
    let rig = Rig::start(front);
    let mut stream = std::net::TcpStream::connect(rig.at).unwrap();
    stream.set_read_timeout(Some(crate::rig::LONG)).unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE 0 (RFC 9113 section 6.5.2).
    bytes.extend_from_slice(b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0");
    // GET http a, for / and for /endless (RFC 7541: static names, plain values).
    bytes.extend_from_slice(b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a");
    bytes.extend_from_slice(b"\0\0\x0f\x01\x05\0\0\0\x03\x82\x86\x04\x08/endless\x41\x01a");
    std::io::Write::write_all(&mut stream, &bytes).unwrap();
    let mut reset = std::collections::BTreeSet::new();
    while reset.len() < 2 {
        let mut head = [0; 9];
        std::io::Read::read_exact(&mut stream, &mut head).unwrap();
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        std::io::Read::read_exact(&mut stream, &mut vec![0; length]).unwrap();
        // RST_STREAM.
        if head[3] == 3 {
            reset.insert(head[8]);
        }
    }
    assert_eq!(reset.into_iter().collect::<Vec<_>>(), [1, 3]);
}
