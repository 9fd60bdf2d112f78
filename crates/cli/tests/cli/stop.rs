//! What a client sees of a node that is stopped: requests in progress end, unless somebody is in a hurry.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use nix::sys::signal::Signal;

use crate::harness::{LOOP, Node, free_port, until};

/// A node with one service, whose server is this listener.
fn before(server: &TcpListener) -> (Node, TcpStream, TcpStream) {
    let port = free_port();
    let text = format!(
        r#"{LOOP}[service.web]
listen = "127.0.0.1:{port}"
mode = "http"
check = "none"
servers = ["{}"]
"#,
        server.local_addr().unwrap()
    );
    let mut node = Node::of(&text);
    node.grace = 60;
    node.start();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let (server, _) = server.accept().unwrap();
    node.signal(Signal::SIGTERM);
    until("it is stopping", || node.log().contains("stopping"));
    (node, client, server)
}

#[test]
fn a_request_in_progress_ends_well() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut node, mut client, mut server) = before(&listener);
    assert_eq!(node.ask(&["status"]).code, 0, "it answers while requests end");
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    assert_eq!(node.ended(), Some(0), "{}", node.log());
}

#[test]
fn a_second_signal_does_not_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (mut node, mut client, _server) = before(&listener);
    node.signal(Signal::SIGINT);
    // Far within the grace of 60 s.
    assert_eq!(node.ended(), Some(0), "{}", node.log());
    assert!(!node.run_dir().exists());
    let _ = client.read_to_end(&mut Vec::new());
}
