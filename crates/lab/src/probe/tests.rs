//! The probe against small servers on the loopback.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::{Options, run};
use crate::report::{CutReason, LostReason, ProbeEvent};

/// How the server treats a connection.
#[derive(Clone, Copy)]
enum Manner {
    /// Answers every question with these bytes.
    Answer(&'static str),
    /// Answers the first so many questions, then closes without a word.
    CloseAfter(u32),
    /// Reads and never answers.
    Silent,
    /// Sends half an answer and closes.
    Half,
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nServer-Name: serv1\r\nContent-Length: 3\r\n\r\nhey";
const LAST: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nhey";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhey\r\n0\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

async fn serve(manner: Manner) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, manner));
        }
    });
    at
}

async fn converse(mut stream: TcpStream, manner: Manner) {
    let mut buffer = [0; 4096];
    let mut asked = 0;
    while matches!(stream.read(&mut buffer).await, Ok(count) if count > 0) {
        asked += 1;
        match manner {
            Manner::Answer(bytes) => {
                if stream.write_all(bytes.as_bytes()).await.is_err() {
                    return;
                }
            }
            Manner::CloseAfter(count) if asked > count => return,
            Manner::CloseAfter(_) => stream.write_all(GOOD.as_bytes()).await.unwrap(),
            Manner::Silent => {}
            Manner::Half => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal").await.unwrap();
                return;
            }
        }
        if matches!(manner, Manner::Answer(LAST)) {
            return;
        }
    }
}

/// Probes until `enough` says so of the events so far, at most 20 s.
async fn probe(options: Options, enough: impl Fn(&[ProbeEvent]) -> bool) -> Vec<ProbeEvent> {
    let mut events = Vec::new();
    let (stop, stopped) = oneshot::channel::<()>();
    let mut stop = Some(stop);
    let sink = |event: &ProbeEvent| {
        events.push(event.clone());
        if enough(&events) {
            stop.take();
        }
    };
    let stopped = async {
        let _ = tokio::time::timeout(Duration::from_secs(20), stopped).await;
    };
    run(options, sink, stopped).await;
    events
}

fn quick(target: SocketAddr) -> Options {
    Options { keep_alive: 0, ..Options::new(target) }
}

fn losses(events: &[ProbeEvent]) -> Vec<LostReason> {
    events
        .iter()
        .filter_map(|event| if let ProbeEvent::Lost { why, .. } = event { Some(*why) } else { None })
        .collect()
}

#[tokio::test]
async fn good_answers_name_their_server_and_are_not_lost() {
    let events = probe(quick(serve(Manner::Answer(GOOD)).await), |events| events.len() >= 5).await;
    for event in &events {
        let ProbeEvent::Answer { sent, at, status: 200, server: Some(server) } = event else {
            panic!("{event:?}");
        };
        assert_eq!(server, "serv1");
        assert!(at >= sent);
    }
}

#[tokio::test]
async fn a_chunked_answer_is_whole() {
    let events = probe(quick(serve(Manner::Answer(CHUNKED)).await), |events| events.len() >= 2).await;
    assert_eq!(losses(&events), []);
}

#[tokio::test]
async fn nobody_listening_is_refused() {
    // On an address that no other process of these tests uses: none of them takes the port.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let own = std::net::Ipv4Addr::new(127, 64 | high & 63, middle, low);
    let listener = TcpListener::bind((own, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let events = probe(quick(at), |events| events.len() >= 3).await;
    assert!(losses(&events).len() >= 3);
    assert!(losses(&events).iter().all(|why| *why == LostReason::Refused));
}

#[tokio::test]
async fn silence_is_lost_at_the_deadline_and_does_not_hold_up_the_schedule() {
    let options = Options { deadline: Duration::from_millis(200), ..quick(serve(Manner::Silent).await) };
    let events = probe(options, |events| events.len() >= 3).await;
    assert!(losses(&events).iter().all(|why| *why == LostReason::Timeout));
    // The questions that followed the first one were begun before it was given up.
    let [ProbeEvent::Lost { at: first, .. }, ProbeEvent::Lost { sent: second, .. }, ..] = events.as_slice()
    else {
        panic!("{events:?}");
    };
    assert!(second < first);
}

#[tokio::test]
async fn half_an_answer_and_a_server_error_are_lost() {
    let events = probe(quick(serve(Manner::Half).await), |events| !events.is_empty()).await;
    assert_eq!(losses(&events)[0], LostReason::Reset);
    let events = probe(quick(serve(Manner::Answer(BUSY)).await), |events| !events.is_empty()).await;
    assert_eq!(losses(&events)[0], LostReason::Status(503));
}

fn kept_only(target: SocketAddr) -> Options {
    Options {
        interval: Duration::from_secs(60),
        keep_alive: 1,
        keep_interval: Duration::from_millis(5),
        ..Options::new(target)
    }
}

#[tokio::test]
async fn a_kept_connection_that_breaks_is_cut_and_opened_again() {
    let cuts =
        |events: &[ProbeEvent]| events.iter().filter(|event| matches!(event, ProbeEvent::Cut { .. })).count();
    let options = kept_only(serve(Manner::CloseAfter(3)).await);
    let events = probe(options, |events| cuts(events) >= 2).await;
    let kept = events.iter().filter(|event| matches!(event, ProbeEvent::Kept { .. })).count();
    assert!(kept >= 2, "{events:?}");
    assert!(events.iter().any(|event| matches!(event, ProbeEvent::Cut { why: CutReason::Closed, .. })));
}

#[tokio::test]
async fn an_announced_end_is_not_a_cut() {
    let options = kept_only(serve(Manner::Answer(LAST)).await);
    let kept = |events: &[ProbeEvent]| {
        events.iter().filter(|event| matches!(event, ProbeEvent::Kept { .. })).count()
    };
    let events = probe(options, |events| kept(events) >= 3).await;
    assert!(!events.iter().any(|event| matches!(event, ProbeEvent::Cut { .. })), "{events:?}");
}
