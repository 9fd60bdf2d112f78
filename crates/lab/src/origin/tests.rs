//! The origin over real sockets on loopback.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::*;

/// An origin on a port that the kernel chose; stops when dropped.
struct Running {
    at: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(body_bytes: Option<usize>) -> Self {
        let options = Options {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            name: "serv1".to_owned(),
            body_bytes,
            pages: vec!["/status.php?full=1".to_owned()],
        };
        let origin = Origin::bind(&options).unwrap();
        let at = origin.addresses().unwrap()[0];
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(origin.serve(async move { drop(stopped.await) })).unwrap();
        });
        Self { at, stop: Some(stop), thread: Some(thread) }
    }

    /// Sends bytes and reads until the origin closes.
    fn exchange(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.at).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn it_says_who_answered_and_who_asked() {
    let origin = Running::start(None);
    let answer =
        origin.exchange("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\nServer-Name: serv1\r\n"), "{answer}");
    assert!(answer.contains(&format!("serv1 at {}", origin.at)), "{answer}");
    assert!(answer.contains("forwarded for  9.9.9.9\n"), "{answer}");
}

#[test]
fn a_browser_is_shown_a_page() {
    let origin = Running::start(None);
    let answer = origin.exchange("GET / HTTP/1.1\r\nAccept: text/html,*/*\r\n\r\n");
    assert!(answer.contains("<h1>serv1</h1>"), "{answer}");
}

#[test]
fn several_requests_share_a_connection() {
    let origin = Running::start(None);
    let answer = origin.exchange(
        "GET /healthz HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbodyGET /nowhere HTTP/1.1\r\n\r\n",
    );
    let statuses: Vec<&str> = answer.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect();
    assert_eq!(statuses, ["HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found"]);
}

#[test]
fn a_head_has_the_length_and_no_body() {
    let origin = Running::start(Some(200));
    let answer = origin.exchange("HEAD / HTTP/1.1\r\n\r\n");
    assert!(answer.contains("\r\nContent-Length: 200\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn bodies_have_the_size_that_was_asked_for() {
    let origin = Running::start(Some(200));
    for (path, bytes) in
        [("/", 200), ("/bytes/0", 0), ("/bytes/204800", 204_800), ("/bytes/1000000", 1_000_000)]
    {
        let answer = origin.exchange(&format!("GET {path} HTTP/1.1\r\n\r\n"));
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.len(), bytes, "{path}");
    }
}

#[test]
fn nonsense_is_refused_and_the_connection_closed() {
    let origin = Running::start(None);
    let answer = origin.exchange("nonsense\r\n\r\nGET / HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[test]
fn a_request_in_progress_is_finished_when_it_stops() {
    let mut origin = Running::start(None);
    let mut busy = TcpStream::connect(origin.at).unwrap();
    let mut idle = TcpStream::connect(origin.at).unwrap();
    // The first answer shows that the origin reads this connection; the second is still to come when it is told to stop.
    busy.write_all(b"GET /healthz HTTP/1.1\r\n\r\nGET /slow/300 HTTP/1.1\r\n\r\n").unwrap();
    let mut first = [0; 16];
    busy.read_exact(&mut first).unwrap();
    origin.stop();
    let mut rest = String::new();
    busy.read_to_string(&mut rest).unwrap();
    assert!(
        rest.contains("Connection: close\r\n") && rest.contains("request        GET /slow/300"),
        "{rest}"
    );
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0, "an idle connection is closed");
}

#[test]
fn a_port_in_use_is_named() {
    let origin = Running::start(None);
    let options = Options {
        listen: vec![origin.at],
        name: "serv2".to_owned(),
        body_bytes: None,
        pages: vec!["/status.php?full=1".to_owned()],
    };
    let message = format!("{:#}", Origin::bind(&options).unwrap_err());
    assert!(message.contains(&format!("port {}", origin.at.port())), "{message}");
    assert!(message.contains("taken by another process"), "{message}");
}

#[test]
fn an_address_of_another_machine_is_named() {
    let options = Options {
        listen: vec!["192.0.2.1:0".parse().unwrap()],
        name: "serv1".to_owned(),
        body_bytes: None,
        pages: vec!["/status.php?full=1".to_owned()],
    };
    let message = format!("{:#}", Origin::bind(&options).unwrap_err());
    assert!(message.contains("no interface with the address 192.0.2.1"), "{message}");
}

#[test]
fn a_name_that_breaks_the_header_is_refused() {
    for name in ["", "two words", "a\r\nb", "ñ"] {
        let options = Options {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            name: name.to_owned(),
            body_bytes: None,
            pages: vec!["/status.php?full=1".to_owned()],
        };
        assert!(Origin::bind(&options).is_err(), "{name:?}");
    }
}

#[test]
fn what_checks_ask_for_is_there() {
    let origin = Running::start(None);
    let answer = origin.exchange("GET /status.php?full=1 HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let answer = origin.exchange("GET /status.php HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}
