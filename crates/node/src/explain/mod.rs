//! What a service would do with a request, and why: the rules one by one, the pool, the server.
//!
//! The request goes through the same parser, the same rules and the same choice as a real one. Nothing is sent, nothing is
//! counted, no password is asked for.

mod choice;
mod request;

use std::net::IpAddr;

use relevo_api::types::Status;
use relevo_lb::http::fields::Fields;
use relevo_lb::http::request::{Additions, Method, Request, forwarded};
use relevo_model::cluster::{Deny, Mode, Service};
use relevo_model::{ClusterFile, PoolName, ServerName, ServiceName};
use relevo_proto::rule::{self, BadRule, Changes, Course, Rules, Verdict};
use serde::Serialize;

use self::request::{Sent, Wanted};

/// A request to explain.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The service; `None`: the only one of the file.
    pub service: Option<&'a str>,
    /// As in `GET http://shop.example.org/cart?item=7`; without a method it is GET.
    pub request: &'a str,
    /// Header lines, as in `Cookie: a=b`.
    pub headers: &'a [String],
    /// The client's address.
    pub source: IpAddr,
    /// The client speaks TLS, whatever the URL says.
    pub tls: bool,
    /// The name asked for in TLS; `None`: the URL's host.
    pub tls_name: Option<&'a str>,
}

/// Why a request cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// There is no such service, or it must be named.
    #[error("{0}")]
    Service(String),
    /// The request is not written as one.
    #[error("{0}")]
    Request(String),
    /// A rule cannot be used.
    #[error(transparent)]
    Rule(#[from] BadRule),
}

/// A rule that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// Its line in the file.
    pub line: usize,
    /// Whether its conditions hold.
    pub matched: bool,
    /// Why, or why not.
    pub why: String,
    /// What it does besides the decision.
    pub does: Vec<String>,
}

/// A server that may get the request, or may not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Its name.
    pub name: ServerName,
    /// Whether it may.
    pub may: bool,
    /// What is known of it.
    pub why: String,
}

/// What would happen, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The service.
    pub service: ServiceName,
    /// The request in one line.
    pub request: String,
    /// The rules in the order they were tried, up to the one that decides.
    pub rules: Vec<Tried>,
    /// The line of the rule that decided; `None`: none did.
    pub decided: Option<usize>,
    /// The decision, a sentence.
    pub decision: String,
    /// The status, if the balancer answers.
    pub status: Option<u16>,
    /// The pool that answers; `None`: the balancer does, or nobody.
    pub pool: Option<PoolName>,
    /// The head that the server gets, if it is not the client's.
    pub head: Vec<String>,
    /// What is changed in the answer's head.
    pub answer: Vec<String>,
    /// The pool's servers.
    pub candidates: Vec<Candidate>,
    /// The server that gets it, if that is certain.
    pub server: Option<ServerName>,
    /// How it is chosen, a sentence.
    pub choice: String,
}

/// Explains a request. `status`: what a running node knows of the servers.
///
/// # Errors
/// See [`ExplainError`].
pub fn request(
    cluster: &ClusterFile,
    ask: &Ask<'_>,
    status: Option<&Status>,
) -> Result<Explained, ExplainError> {
    let service = find(cluster, ask.service)?;
    if service.mode == Mode::Udp {
        return Err(ExplainError::Request(format!(
            "the service {} is of mode udp: its clients send datagrams and no requests, and all of them go to the pool {}",
            service.name, service.pool
        )));
    }
    let sent = Sent::new(ask).map_err(ExplainError::Request)?;
    let rules = Rules::new(&service.rules, &cluster.users)?;
    let mut explained = Explained {
        service: service.name.clone(),
        request: sent.words(ask),
        rules: Vec::new(),
        decided: None,
        decision: String::new(),
        status: None,
        pool: None,
        head: Vec::new(),
        answer: Vec::new(),
        candidates: Vec::new(),
        server: None,
        choice: String::new(),
    };
    let head = match service.mode {
        Mode::Http => {
            let mut fields = Fields::new();
            match Request::parse(&sent.head, service.limits.header, &mut fields) {
                Ok(Some(request)) => {
                    let wanted = Wanted { bytes: &sent.head, fields: fields.list() };
                    let seen = rule::Request {
                        method: request.method_name(&sent.head),
                        host: request.host(&sent.head),
                        target: request.target(&sent.head),
                        headers: &wanted,
                        ..sent.connection(ask)
                    };
                    if let Some(path) = &service.monitor
                        && seen.target.split(|byte| *byte == b'?').next() == Some(path.as_bytes())
                        && matches!(request.method, Method::Head | Method::Safe)
                    {
                        explained.monitor(path);
                        return Ok(explained);
                    }
                    let (course, goes_on) = explained.rules(service, &rules, &seen);
                    if !goes_on {
                        return Ok(explained);
                    }
                    let mut changes = Changes::default();
                    let path = rules.change_request(&course, &seen, &mut changes);
                    let lines_of_ours =
                        if service.forwarded_for { forwarded(ask.source, seen.tls) } else { Vec::new() };
                    let additions = Additions {
                        lines: &lines_of_ours,
                        changes: Some(&changes),
                        path: path.as_deref(),
                        ..Additions::default()
                    };
                    let mut head = Vec::new();
                    request.write(&sent.head, fields.list(), additions, &mut head);
                    if course.has_changes() {
                        explained.head = lines(&head);
                    }
                    Some(head)
                }
                Ok(None) => return Err(ExplainError::Request("this is not a whole request".to_owned())),
                Err(refusal) => {
                    let line = refusal.status.line();
                    explained.status = line.get(..3).and_then(|code| code.parse().ok());
                    explained.decision =
                        format!("it is refused with {line} before any rule: {}", refusal.reason);
                    return Ok(explained);
                }
            }
        }
        Mode::Tcp | Mode::Udp => {
            let (_, goes_on) = explained.rules(service, &rules, &sent.connection(ask));
            if !goes_on {
                return Ok(explained);
            }
            None
        }
    };
    let pool = explained.pool.as_ref().and_then(|name| cluster.pools.iter().find(|pool| pool.name == *name));
    if let Some(pool) = pool {
        let known = status.and_then(|status| status.pool(&pool.name));
        choice::choose(&mut explained, pool, known, ask.source, head.as_deref());
    }
    Ok(explained)
}

impl Explained {
    /// It asks how the service is.
    fn monitor(&mut self, path: &str) {
        self.decision = format!(
            "{path} asks how the service is (monitor): the balancer answers before any rule, with 200, or 503 while no \
             server can work"
        );
    }

    /// Tries the rules; whether a server answers.
    fn rules(&mut self, service: &Service, rules: &Rules, request: &rule::Request<'_>) -> (Course, bool) {
        let mut course = Course::default();
        let outcome = rule::trace(rules, request, &mut course);
        self.rules = outcome
            .tried
            .into_iter()
            .map(|tried| Tried { line: tried.line, matched: tried.matched, why: tried.why, does: tried.does })
            .collect();
        self.decided = outcome.decided;
        let mut changes = Changes::default();
        rules.change_response(&course, request, &mut changes);
        self.answer =
            changes.left_out.iter().map(|name| format!("the server's {name} is left out")).collect();
        self.answer.extend(lines(&changes.lines));
        let by = outcome.decided.map_or_else(String::new, |line| format!("the rule in line {line}: "));
        let closes = service.mode != Mode::Http;
        self.decision = match outcome.verdict {
            Verdict::Default => {
                self.pool = Some(service.pool.clone());
                let all = if service.rules.is_empty() { "there are no rules" } else { "no rule decides" };
                format!("{all}: the service's pool {} answers", service.pool)
            }
            Verdict::Pool(number) => {
                self.pool = rules.pools().get(number).cloned();
                format!("{by}the pool {} answers", self.pool.as_deref().unwrap_or_default())
            }
            Verdict::Redirect { to, status } => {
                self.status = Some(status);
                format!("{by}the client is sent to {} with {status}", to.escape_ascii())
            }
            Verdict::Return(answer) => {
                self.status = Some(answer.status);
                format!("{by}the balancer answers with {} and {} bytes", answer.status, answer.body.len())
            }
            Verdict::Deny(Deny { status, after }) => {
                let late = if after.is_zero() { String::new() } else { format!(" after {after:?}") };
                if status == 0 || closes {
                    format!("{by}the connection is closed without an answer{late}")
                } else {
                    self.status = Some(status);
                    format!("{by}it is refused with {status}{late}")
                }
            }
            Verdict::Doubtful(reason) => {
                self.status = Some(400);
                format!("it is refused with 400 before any rule: {reason}")
            }
        };
        (course, self.pool.is_some())
    }
}

fn find<'a>(cluster: &'a ClusterFile, name: Option<&str>) -> Result<&'a Service, ExplainError> {
    let names: Vec<&str> = cluster.services.iter().map(|service| &*service.name).collect();
    let there_are = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    match (name, cluster.services.as_slice()) {
        (Some(name), services) => services.iter().find(|service| *service.name == *name).ok_or_else(|| {
            ExplainError::Service(format!("there is no service {name}; there are: {there_are}"))
        }),
        (None, [only]) => Ok(only),
        (None, _) => {
            Err(ExplainError::Service(format!("say which service, with --service; there are: {there_are}")))
        }
    }
}

/// The lines of a head, as text.
fn lines(head: &[u8]) -> Vec<String> {
    let lines = head.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end());
    lines.filter(|line| !line.is_empty()).map(|line| line.escape_ascii().to_string()).collect()
}
