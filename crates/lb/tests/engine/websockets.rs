//! WebSockets where HTTP/1.1 and HTTP/2 meet (RFC 8441), in all four ways.

use base64ct::{Base64, Encoding};
use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol as Extended;
use http::Request;
use relevo_model::cluster::Protocol;
use ring::digest;

use crate::http2::{connect, get, run};
use crate::http2_rig::{Http2Origin, Manner};
use crate::http2_servers::front;
use crate::rig::{Front, Origin, Rig, field, service, with_length};

/// RFC 6455 section 4.2.2.
fn proof(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    Base64::encode_string(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref())
}

/// A server of HTTP/1.1 that echoes, after a handshake that it looks at.
pub(crate) fn echo() -> Origin {
    Origin::with(|peer| {
        while let Some(head) = peer.head() {
            if field(&head, "upgrade").as_deref() != Some("websocket") {
                let _ = peer.write(&with_length("plain"));
                continue;
            }
            let key = field(&head, "sec-websocket-key").unwrap_or_default();
            let accept = if head.starts_with("GET /wrong ") { "wrong".to_owned() } else { proof(&key) };
            let answer = match head.split(' ').nth(1) {
                Some("/forbidden") => "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_owned(),
                Some("/ignores") => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_owned(),
                _ => format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
                ),
            };
            let _ = peer.write(answer.as_bytes());
            if !answer.starts_with("HTTP/1.1 101 ") {
                continue;
            }
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = peer.read(&mut buffer) {
                let _ = peer.write(&buffer[..count]);
            }
            return;
        }
    })
}

pub(crate) fn old(origin: &Origin) -> Front {
    let mut front = service(&[origin.at]);
    front.h2c = true;
    front
}

pub(crate) fn new(websockets: bool) -> Http2Origin {
    Http2Origin::start(Manner { websockets, ..Manner::default() })
}

pub(crate) fn open(path: &str) -> Request<()> {
    let request = Request::builder().method("CONNECT").uri(format!("http://test.example{path}"));
    let request = request.header("sec-websocket-version", "13").header("sec-websocket-protocol", "chat");
    request.extension(Extended::from_static("websocket")).body(()).unwrap()
}

/// A client when it knows what is offered.
async fn client(rig: &Rig) -> SendRequest<Bytes> {
    let (mut client, _) = connect(rig.at).await;
    get(&mut client, "/").await.unwrap();
    assert!(client.is_extended_connect_protocol_enabled());
    client
}

/// Speaks and hears by HTTP/2, and both end.
async fn talk(mut client: SendRequest<Bytes>) {
    let (answer, mut send) = client.send_request(open("/chat"), false).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    let mut body = answer.into_body();
    for number in 0..10 {
        let message = Bytes::from(format!("frame {number}"));
        send.send_data(message.clone(), false).unwrap();
        let data = body.data().await.unwrap().unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        assert_eq!(data, message);
    }
    send.send_data(Bytes::new(), true).unwrap();
    // The end may come with nothing in it.
    while let Some(data) = body.data().await {
        assert_eq!(data.unwrap(), "");
    }
    // Others are served meanwhile, and afterwards.
    assert_eq!(get(&mut client, "/").await.unwrap().0, 200);
}

#[test]
fn a_client_of_http2_and_a_server_of_http1() {
    let origin = echo();
    let rig = Rig::start(old(&origin));
    run(async { talk(client(&rig).await).await });
}

#[test]
fn both_of_http2() {
    let origin = new(true);
    let rig = Rig::start(front(&[&origin]));
    run(async { talk(client(&rig).await).await });
    assert!(origin.connections() <= 2);
}

#[test]
fn a_client_of_http1_and_a_server_of_http2() {
    let origin = new(true);
    let rig = Rig::start(front(&[&origin]));
    for _ in 0..3 {
        let mut client = rig.client();
        client.send(
            "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        );
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, 101);
        let accept = field(&answer.head, "sec-websocket-accept");
        assert_eq!(accept.as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        client.send("hello");
        assert_eq!(client.bytes(5), b"hello");
        client.stream().shutdown(std::net::Shutdown::Write).unwrap();
        assert!(client.is_closed());
    }
    assert!(origin.connections() <= 2, "{}", origin.connections());
}

#[test]
fn a_server_that_takes_none_is_not_asked() {
    let origin = new(false);
    let rig = Rig::start(front(&[&origin]));
    run(async {
        let mut client = client(&rig).await;
        let (answer, _send) = client.send_request(open("/chat"), false).unwrap();
        assert_eq!(answer.await.unwrap().status(), 502);
        assert_eq!(get(&mut client, "/").await.unwrap().0, 200);
    });
}

#[test]
fn what_is_no_agreement_is_no_success() {
    let origin = echo();
    let rig = Rig::start(old(&origin));
    run(async {
        let mut client = client(&rig).await;
        for (path, status) in [("/forbidden", 403), ("/ignores", 502), ("/wrong", 502)] {
            let (answer, mut send) = client.send_request(open(path), false).unwrap();
            // What a client may not send yet reaches nobody.
            let _ = send.send_data(Bytes::from_static(b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"), false);
            assert_eq!(answer.await.unwrap().status(), status, "{path}");
        }
        assert_eq!(get(&mut client, "/").await.unwrap().1, b"plain");
    });
    // The two plain ones, and the three.
    assert_eq!(rig.engine.snapshot().services[0].requests, 5);
}

#[test]
fn where_tls_lets_choose_a_websocket_finds_a_way() {
    use crate::tls_rig::{Authority, server_tls, with_tls};
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["app.internal"]);
    // A server that offers it by HTTP/2: a balancer. And one that speaks HTTP/1.1 only.
    let origin = echo();
    for offered in [vec![Protocol::H2, Protocol::Http1], vec![Protocol::Http1]] {
        let mut inner = with_tls(service(&[origin.at]), server_tls(&[&chain]));
        inner.protocols = offered;
        let server = Rig::start(inner);
        let mut outer = service(&[server.at]);
        outer.h2c = true;
        outer.pool.protocols = vec![Protocol::H2, Protocol::Http1];
        let verify = relevo_model::cluster::Verify::None;
        outer.pool.tls =
            Some(relevo_model::cluster::ClientTls { verify, ca: None, name: None, certificate: None });
        let rig = Rig::start(outer);
        run(async { talk(client(&rig).await).await });
        run(async { talk(client(&rig).await).await });
    }
}
