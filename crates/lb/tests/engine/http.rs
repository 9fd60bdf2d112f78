//! Requests and answers of every kind pass unharmed.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::rig::{Origin, Received, Rig, field, service, wait_until, with_length};

/// Shows what the server got.
fn mirror() -> Origin {
    Origin::answering(|request: &Received| with_length(&format!("{}{}", request.head, request.body.len())))
}

#[test]
fn x_forwarded_for_is_added_after_what_the_client_said() {
    let origin = mirror();
    let mut service = service(&[origin.at]);
    let rig = Rig::start(service.clone());
    let body = rig.get("/").body;
    assert_eq!(field(&body, "x-forwarded-for").as_deref(), Some("127.0.0.1"), "{body}");
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\nX: y\r\n\r\n");
    let body = client.answer().unwrap().body;
    let lines: Vec<&str> = body.lines().filter(|line| line.starts_with("X-Forwarded-For")).collect();
    assert_eq!(lines, ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 127.0.0.1"]);
    service.forwarded_for = false;
    let rig = Rig::start(service);
    assert_eq!(field(&rig.get("/").body, "x-forwarded-for"), None);
}

#[test]
fn what_is_for_one_hop_does_not_go_further() {
    let origin = mirror();
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    client.send(
        "GET http://A:80/x?y HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: 5\r\n\
         Proxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nAccept:  */* \r\n\r\n",
    );
    let body = client.answer().unwrap().body;
    let lines: Vec<&str> = body.lines().collect();
    assert_eq!(
        lines,
        [
            "GET /x?y HTTP/1.1",
            "Host: a",
            "Accept:  */* ",
            "X-Forwarded-For: 127.0.0.1",
            "X-Forwarded-Proto: http",
            "",
            "0"
        ]
    );
}

#[test]
fn a_servers_hop_by_hop_fields_stay_behind() {
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 200 Fine Thanks\r\nConnection: Keep-Alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX: y\r\n\
          Content-Length: 2\r\n\r\nok"
            .to_vec()
    });
    let rig = Rig::start(service(&[origin.at]));
    let answer = rig.get("/");
    assert_eq!(answer.head, "HTTP/1.1 200 Fine Thanks\r\nX: y\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(answer.body, "ok");
}

#[test]
fn bodies_pass_with_a_length_and_in_chunks_both_ways() {
    let origin = Origin::answering(|request| {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for part in request.body.chunks(70_000) {
            answer.extend(format!("{:x};note=1\r\n", part.len()).into_bytes());
            answer.extend(part);
            answer.extend(b"\r\n");
        }
        answer.extend(b"0\r\n\r\n");
        answer
    });
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    for size in [1, 1000, 100_000, 1_000_000] {
        let body: String = (0..size).map(|index| char::from(b'a' + (index % 23) as u8)).collect();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n{body}"));
        assert!(client.answer().unwrap().body == body, "with a length of {size}");
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n");
        for part in body.as_bytes().chunks(33_333) {
            client.send(format!("{:X}\r\n", part.len()));
            client.send(part);
            client.send("\r\n");
        }
        client.send("0\r\n\r\n");
        assert!(client.answer().unwrap().body == body, "in chunks, {size}");
    }
    assert_eq!(origin.accepted(), 1, "one server connection was enough");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::answering(|request| with_length(request.line()));
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    let mut all = String::new();
    for number in 0..50 {
        all += &format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /");
    }
    client.send(all);
    for number in 0..50 {
        assert_eq!(client.answer().unwrap().body, format!("POST /{number} HTTP/1.1"));
    }
}

#[test]
fn continue_is_passed_on_and_a_final_answer_instead_ends_the_connection() {
    let origin = Origin::with(|peer| {
        while let Some(head) = peer.head() {
            if head.starts_with("POST /no") {
                let _ = peer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
                return;
            }
            let _ = peer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
            let mut body = [0; 4];
            let mut got = 0;
            while got < 4 {
                got += peer.read(&mut body[got..]).unwrap();
            }
            let _ = peer.write(&with_length(&String::from_utf8_lossy(&body)));
        }
    });
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 100);
    assert_eq!(client.answer().unwrap().status, 103);
    client.send("body");
    assert_eq!(client.answer().unwrap().body, "body");
    client.send("POST /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 413);
    assert!(answer.head.contains("Connection: close"), "{}", answer.head);
    assert!(client.is_closed());
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let origin = Origin::with(|peer| {
        peer.head();
        let _ = peer.write(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    });
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    client.send(vec![b'x'; 1000]);
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (403, "no"));
}

#[test]
fn answers_without_a_body_do_not_take_the_next_one() {
    let origin = Origin::answering(|request| {
        match request.line().split(' ').nth(1) {
            Some("/204") => "HTTP/1.1 204 No Content\r\n\r\n",
            Some("/304") => "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            Some("/head") => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        }
        .into()
    });
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    for _ in 0..3 {
        assert_eq!(client.get("/204").unwrap().status, 204);
        assert_eq!(client.get("/304").unwrap().status, 304);
        client.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer_to("HEAD").unwrap().status, 200);
        assert_eq!(client.get("/").unwrap().body, "body");
    }
    // A connection is not used again after HEAD: a server that wrongly sends a body to it would answer the next with that.
    assert_eq!(origin.accepted(), 4);
}

#[test]
fn the_last_answer_arrives_though_the_client_sent_more() {
    let (asked, go) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (was_asked, may_go) = (Arc::clone(&asked), Arc::clone(&go));
    let origin = Origin::with(move |peer| {
        while let Some(request) = peer.request() {
            was_asked.store(true, Ordering::SeqCst);
            wait_until("the client has sent more", || may_go.load(Ordering::SeqCst));
            if request.line().contains("/until-close") {
                let _ = peer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it");
                return;
            }
            let _ = peer.write(&with_length("all of it"));
        }
    });
    let rig = Rig::start(service(&[origin.at]));
    for head in [
        "POST /length HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
        "GET /length HTTP/1.0\r\n\r\n",
        "GET /until-close HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        asked.store(false, Ordering::SeqCst);
        go.store(false, Ordering::SeqCst);
        let mut client = rig.client();
        client.send(head);
        wait_until("the request is under way", || asked.load(Ordering::SeqCst));
        // As some clients do after a body.
        client.send("\r\n");
        go.store(true, Ordering::SeqCst);
        assert_eq!(client.answer().unwrap().body, "all of it", "{head:?}");
        let mut rest = Vec::new();
        assert_eq!(client.stream().read_to_end(&mut rest).unwrap(), 0, "it ends in order");
    }
}

#[test]
fn http_1_0_clients_are_served_as_they_expect() {
    let origin = Origin::answering(|request| match request.line() {
        "GET /chunks HTTP/1.1" => {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n"
                .to_vec()
        }
        _ => with_length(&format!("host {}", field(&request.head, "host").unwrap_or_default())),
    });
    let rig = Rig::start(service(&[origin.at]));
    // As `ab` asks: the connection ends.
    let mut client = rig.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!(answer.body, format!("host {}", rig.at));
    assert!(client.is_closed());
    // As `ab -k` asks: it goes on.
    let mut client = rig.client();
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nHost: a\r\n\r\n");
        let answer = client.answer().unwrap();
        assert_eq!(field(&answer.head, "connection").as_deref(), Some("keep-alive"));
        assert_eq!(answer.body, "host a");
    }
    // Chunks are unknown to it: it gets their content, until the connection ends.
    client.send("GET /chunks HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!((answer.body.as_str(), field(&answer.head, "transfer-encoding")), ("abcde", None));
}

#[test]
fn an_answer_until_close_is_passed_and_a_cut_one_is_seen_as_cut() {
    let origin = Origin::with(|peer| {
        let Some(request) = peer.request() else { return };
        let answer: &[u8] = match request.line().split(' ').nth(1) {
            Some("/close") => b"HTTP/1.1 200 OK\r\n\r\nall of it",
            Some("/chunks") => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            Some("/reset") => b"HTTP/1.1 200 OK\r\n\r\npart",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        };
        let _ = peer.write(answer);
        if request.line().contains("/reset") {
            let _ = socket2::SockRef::from(peer.stream()).set_linger(Some(std::time::Duration::ZERO));
        }
    });
    let rig = Rig::start(service(&[origin.at]));
    let answer = rig.get("/close");
    assert_eq!(answer.body, "all of it");
    assert!(answer.head.contains("Connection: close"));
    for path in ["/length", "/chunks"] {
        rig.client().get(path).expect_err("cut");
    }
    wait_until("failures are counted", || rig.server(1).failures == 2);
}

#[test]
fn a_websocket_is_carried_after_the_switch() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let origin = Origin::with(move |peer| {
        let Some(head) = peer.head() else { return };
        seen.lock().unwrap().push(head);
        let _ = peer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: x\r\n\r\nhello ",
        );
        let mut buffer = [0; 100];
        while let Ok(count @ 1..) = peer.read(&mut buffer) {
            let _ = peer.write(&buffer[..count]);
        }
    });
    let rig = Rig::start(service(&[origin.at]));
    let mut client = rig.client();
    client.send(
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n",
    );
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 101);
    assert_eq!(field(&answer.head, "upgrade").as_deref(), Some("websocket"));
    client.send("world");
    assert_eq!(client.bytes(11), b"hello world");
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    assert!(client.is_closed());
    assert_eq!(field(&heads.lock().unwrap()[0], "sec-websocket-key").as_deref(), Some("k"));
}
