//! The server and the client over a real socket: what is asked is what is answered.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use relevo_api::client::{Client, ClientError};
use relevo_api::server::{Control, Refusal, Server};
use relevo_api::socket::ControlSocket;
use relevo_api::types::{
    AdminState, Changed, FlowStatus, Reloaded, SetServer, Status, Switched, Switchover, Upgraded,
};
use relevo_model::{GroupName, NodeName, PoolName, ServerName};

struct Fake {
    /// A switch-over of `slow` waits for this.
    gate: Mutex<Receiver<()>>,
}

impl Control for Fake {
    fn status(&self) -> Status {
        Status { version: "0".to_owned(), ..Status::new("test", NodeName::new("bal1")) }
    }

    fn flows(&self) -> Result<FlowStatus, Refusal> {
        Ok(FlowStatus::default())
    }

    fn switchover(&self, group: &str, wish: Switchover) -> Result<Switched, Refusal> {
        match group {
            "slow" => {
                let _ = self.gate.lock().unwrap().recv();
                Err(Refusal::Failed("too late".to_owned()))
            }
            "web" => Ok(Switched {
                from: Some(NodeName::new("bal1")),
                to: wish.to.unwrap_or(NodeName::new("bal2")),
                took_ms: 3,
            }),
            "held" => Err(Refusal::Conflict("bal2 holds it".to_owned())),
            "odd name/é" => Err(Refusal::Wrong("but it came through".to_owned())),
            other => Err(Refusal::Unknown(format!("there is no group {other:?}"))),
        }
    }

    fn set_server(&self, server: &str, wish: SetServer) -> Result<Changed, Refusal> {
        if wish == SetServer::default() {
            return Err(Refusal::Wrong("nothing is asked".to_owned()));
        }
        assert_eq!(wish.admin, Some(AdminState::Drain));
        Ok(Changed { servers: vec![(wish.pool.unwrap_or(PoolName::new("web")), ServerName::new(server))] })
    }

    fn reload(&self) -> Result<Reloaded, Refusal> {
        Err(Refusal::Mistakes { error: "/f.toml: 1 error".to_owned(), details: "error: x\n".to_owned() })
    }

    fn upgrade(&self) -> Result<Upgraded, Refusal> {
        Err(Refusal::Failed("it ended".to_owned()))
    }
}

struct Running {
    folder: PathBuf,
    gate: Sender<()>,
    server: Option<Server>,
}

impl Running {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("relevo-exchange-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (gate, waiting) = channel();
        let socket = ControlSocket::bind(&relevo_api::socket_path(&folder)).unwrap();
        let server = Server::start(socket, Arc::new(Fake { gate: Mutex::new(waiting) })).unwrap();
        Self { folder, gate, server: Some(server) }
    }

    fn client(&self) -> Client {
        Client::of(&self.folder)
    }

    fn raw(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(relevo_api::socket_path(&self.folder)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.server.take());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn wishes_and_answers_arrive_whole() {
    let node = Running::new("whole");
    assert_eq!(node.client().status().unwrap().cluster, "test");
    let switched = node.client().switchover("web", &Switchover { to: Some(NodeName::new("bal3")) }).unwrap();
    assert_eq!(switched.to, NodeName::new("bal3"));
    let wish = SetServer { admin: Some(AdminState::Drain), ..SetServer::default() };
    assert_eq!(
        node.client().set_server("serv1", &wish).unwrap().servers,
        [(PoolName::new("web"), ServerName::new("serv1"))]
    );
    assert_eq!(GroupName::new("web").as_str(), "web");
}

#[test]
fn refusals_keep_their_words_and_their_kind() {
    let node = Running::new("refusals");
    for (group, expected, words) in [
        ("nowhere", 404, "no group \"nowhere\""),
        ("held", 409, "bal2 holds it"),
        ("odd name/é", 400, "came through"),
    ] {
        let refused = node.client().switchover(group, &Switchover::default()).unwrap_err();
        let ClientError::Refused { status, error, .. } = refused else { panic!("{refused}") };
        assert_eq!(status, expected);
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn strange_requests_get_a_problem_in_json() {
    let node = Running::new("strange");
    let close = "Host: x\r\nConnection: close\r\n";
    let cases = [
        (format!("GET /v2/status HTTP/1.1\r\n{close}\r\n"), "404", "the routes are"),
        (format!("DELETE /v1/status HTTP/1.1\r\n{close}\r\n"), "405", "does not take DELETE"),
        (
            format!("POST /v1/servers/a HTTP/1.1\r\n{close}Content-Length: 2\r\n\r\n{{}}"),
            "400",
            "nothing is asked",
        ),
        (
            format!("POST /v1/servers/a HTTP/1.1\r\n{close}Content-Length: 4\r\n\r\n\u{fffd}x"),
            "400",
            "not what is expected",
        ),
        (
            format!(
                "POST /v1/servers/a HTTP/1.1\r\n{close}Content-Length: 70000\r\n\r\n{}",
                " ".repeat(70_000)
            ),
            "413",
            "at most 65536 bytes",
        ),
        (
            format!(
                "POST /v1/servers/a HTTP/1.1\r\n{close}Content-Length: 34\r\n\r\n{}",
                r#"{"admin":"maint","servcie":"shop"}"#
            ),
            "400",
            "unknown field `servcie`",
        ),
        (
            format!(
                "POST /v1/servers/%ff HTTP/1.1\r\n{close}Content-Length: 17\r\n\r\n{}",
                r#"{"admin":"drain"}"#
            ),
            "400",
            "UTF-8",
        ),
    ];
    for (request, status, words) in cases {
        let answer = node.raw(&request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("{\"error\":") && answer.contains(words), "{answer}");
    }
}

#[test]
fn an_empty_body_of_a_switch_over_means_whoever_is_next() {
    let node = Running::new("empty");
    let answer = node.raw("POST /v1/groups/web/switchover HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.contains("\"to\":\"bal2\""), "{answer}");
}

#[test]
fn one_that_takes_long_does_not_stop_the_others() {
    let node = Running::new("slow");
    let client = node.client();
    let slow = std::thread::spawn(move || client.switchover("slow", &Switchover::default()));
    for _ in 0..20 {
        node.client().status().unwrap();
    }
    node.gate.send(()).unwrap();
    assert!(matches!(slow.join().unwrap(), Err(ClientError::Refused { status: 500, .. })));
}

#[test]
fn a_client_gives_up_at_its_deadline() {
    let node = Running::new("deadline");
    let client = node.client().with_deadline(Duration::from_millis(50));
    assert!(matches!(client.switchover("slow", &Switchover::default()), Err(ClientError::TimedOut(..))));
    node.gate.send(()).unwrap();
}

#[test]
fn nobody_there_says_what_to_do() {
    let error = Client::of(Path::new("/nonexistent/relevo")).status().unwrap_err().to_string();
    assert!(
        error.contains("no relevo node answers at /nonexistent/relevo/control.sock: is it running?"),
        "{error}"
    );
}

#[test]
fn a_stopped_server_leaves_no_socket() {
    let mut node = Running::new("stopped");
    node.server.take().unwrap().stop();
    assert_eq!(std::fs::read_dir(&node.folder).unwrap().count(), 0);
    assert!(matches!(node.client().status(), Err(ClientError::NotRunning(_))));
}
