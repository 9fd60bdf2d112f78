//! How servers are checked.

use std::time::Duration;

use serde::Serialize;

/// What a health check asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "type")]
pub enum CheckKind {
    /// Not checked: servers count as up.
    None,
    /// The TCP connection is accepted.
    Connect,
    /// A request gets the expected answer.
    Http(HttpCheck),
    /// A conversation: what to send and what must come back, in turn.
    Script {
        /// The steps.
        steps: Vec<Step>,
    },
    /// A command, run with the server's address in `RELEVO_SERVER_ADDRESS`, its port in `RELEVO_SERVER_PORT` and its name in
    /// `RELEVO_SERVER_NAME`; exit code 0 is good (HAProxy's `external-check`).
    Command {
        /// The program and its arguments; no shell.
        argv: Vec<String>,
    },
    /// An ICMP echo.
    Ping,
}

/// An HTTP check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpCheck {
    /// `GET` unless written.
    pub method: String,
    /// The path, beginning with `/`.
    pub path: String,
    /// The Host header; `None`: the server's address and port.
    pub host: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// What must come back; without any, a status from 200 to 399.
    pub expect: Vec<Expect>,
    /// Whether 404, whatever else is expected, says that a server that is up wants no new work (HAProxy's `disable-on-404`).
    pub disable_on_404: bool,
}

/// What an answer must be. Several must all hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// The status is in one of these ranges, both ends included.
    Status(Vec<(u16, u16)>),
    /// The first 64 KiB of the body contain this text.
    Text(String),
    /// The first 64 KiB of the body match this regular expression (syntax of the regex crate).
    Regex(String),
    /// A header matches: name, and text that its value contains.
    Header(String, String),
}

/// A step of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Wait until what came since the last step contains these bytes.
    Expect(Vec<u8>),
    /// Wait until what came since the last step matches this regular expression.
    Regex(String),
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it asks.
    pub kind: CheckKind,
    /// Whether it speaks TLS, with the pool's `tls` or, if there is none, without verification.
    pub tls: bool,
    /// Time from one probe's start to the next's.
    pub interval: Duration,
    /// The same while the state may be changing (HAProxy's `fastinter`); at most `interval`.
    pub fast_interval: Duration,
    /// The same while the server is down (HAProxy's `downinter`).
    pub down_interval: Duration,
    /// Time for the whole probe; at most the shortest interval.
    pub timeout: Duration,
    /// Good probes in a row that bring a server up; at least 1.
    pub rise: u32,
    /// Bad probes in a row that take a server down; at least 1.
    pub fall: u32,
}

/// An agent on the servers that tells their state, in HAProxy's agent protocol: a line such as `75%`, `drain`,
/// `maint`, `ready`, `up`, `down #reason`, `maxconn:30`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// The TCP port of the agent.
    pub port: u16,
    /// Time from one question to the next.
    pub interval: Duration,
}

impl Default for Check {
    /// A connection every second; up after 2 good ones, down after 3 bad ones, as in HAProxy.
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            kind: CheckKind::Connect,
            tls: false,
            interval: second,
            fast_interval: second,
            down_interval: second,
            timeout: Duration::from_millis(500),
            rise: 2,
            fall: 3,
        }
    }
}

impl HttpCheck {
    /// `GET path`, and a status from 200 to 399 is good.
    pub fn get(path: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            path: path.to_owned(),
            host: None,
            headers: Vec::new(),
            expect: Vec::new(),
            disable_on_404: false,
        }
    }
}
