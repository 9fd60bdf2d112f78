//! WebSockets that are refused with 502: the log says why, and nobody is blamed for what a client may ask anywhere.

use relevo_model::cluster::{LogFormat, Observe, Protocol};

use crate::http2::{connect, get, run};
use crate::log::Logged;
use crate::websockets::{echo, new, old, open};

/// Why a request of this path ended, by its line: status, words, letters.
fn ended(lines: &[String], path: &str) -> (String, String, String) {
    let line = lines.iter().find(|line| line.contains(&format!(r#""uri":"{path}""#)));
    let line = line.unwrap_or_else(|| panic!("no line of {path}: {lines:?}"));
    let of = |name: &str| {
        let (_, rest) = line.split_once(&format!(r#""{name}":"#)).unwrap_or_else(|| panic!("{line}"));
        rest.split(',').next().unwrap().trim_matches('"').to_owned()
    };
    (of("status"), of("ended"), of("code"))
}

fn is(found: (String, String, String), status: &str, words: &str, code: &str) {
    assert_eq!(found, (status.to_owned(), words.to_owned(), code.to_owned()));
}

#[test]
fn by_a_server_of_http1_in_an_answer() {
    let origin = echo();
    let mut front = old(&origin);
    front.pool.observe = Some(Observe::Layer7);
    front.pool.error_limit = 2;
    let log = Logged::start("refused-1", front, LogFormat::Json);
    run(async {
        let (mut client, _) = connect(log.at).await;
        get(&mut client, "/").await.unwrap();
        for (path, status) in [("/forbidden", 403), ("/ignores", 502), ("/wrong", 502), ("/ignores", 502)] {
            let (answer, _send) = client.send_request(open(path), false).unwrap();
            assert_eq!(answer.await.unwrap().status(), status, "{path}");
        }
    });
    let lines = log.lines(5);
    is(ended(&lines, "/forbidden"), "403", "done", "----");
    is(ended(&lines, "/ignores"), "502", "server takes no WebSocket", "PH--");
    is(ended(&lines, "/wrong"), "502", "server's answer is not valid", "PH--");
    let server = &log.engine.snapshot().pools[0].servers[0];
    assert_eq!((server.failures, server.figures.response_errors), (0, 3));
}

#[test]
fn by_a_server_of_http2_that_offers_none() {
    let origin = new(false);
    let mut front = crate::http2_servers::front(&[&origin]);
    front.pool.protocols = vec![Protocol::H2];
    let log = Logged::start("refused-2", front, LogFormat::Json);
    run(async {
        let (mut client, _) = connect(log.at).await;
        get(&mut client, "/").await.unwrap();
        let (answer, _send) = client.send_request(open("/new"), false).unwrap();
        assert_eq!(answer.await.unwrap().status(), 502);
    });
    let mut client = log.client();
    client.send(
        "GET /old HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    assert_eq!(client.answer().unwrap().status, 502);
    let lines = log.lines(3);
    is(ended(&lines, "/new"), "502", "server takes no WebSocket", "PH--");
    is(ended(&lines, "/old"), "502", "server takes no WebSocket", "PH--");
    assert_eq!(log.engine.snapshot().pools[0].servers[0].failures, 0);
}
