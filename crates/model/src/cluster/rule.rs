//! Rules: what is decided about a request before a server is chosen.
//!
//! Rules are tried in order. One whose conditions hold does what it says; if that is an answer (redirect, return, deny,
//! tarpit) or a choice of pool, no later rule is tried; edits of headers and paths, rate limits and passwords let go on.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::name::{PoolName, UsersName};

/// The placeholders of texts, as in `{host}`: the host as it was asked for, the path, the query, path and query, the method, the
/// client's address, the name asked for in TLS, the request's number.
pub const PLACEHOLDERS: [&str; 8] =
    ["host", "path", "query", "uri", "method", "source", "tls_name", "request_id"];

/// What a text must be. In the file: `"text"` exactly, `"text*"` and the like with `*` for any characters,
/// `"~expression"` a regular expression (unanchored, syntax of the regex crate).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    /// Exactly this.
    Exact(String),
    /// With `*` for any characters, none included.
    Glob(String),
    /// A regular expression.
    Regex(String),
}

/// A named thing of the request: a header, a query parameter, a cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NameTest {
    /// Its name; of a header, in any case.
    pub name: String,
    /// `None`: it must not be there. Empty: it must be there. Else one of its values must match one of these.
    pub patterns: Option<Vec<Pattern>>,
}

/// A source network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SourceNet {
    /// Its first address.
    pub first: IpAddr,
    /// Its prefix length, 0 to 32; IPv6: 0 to 128.
    pub prefix: u8,
}

impl SourceNet {
    /// Whether an address is in it. Those of the other family are not.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let cut = |bits: u128, width: u32| {
            bits.checked_shr(width.saturating_sub(u32::from(self.prefix))).unwrap_or(0)
        };
        match (self.first, ip) {
            (IpAddr::V4(first), IpAddr::V4(ip)) => {
                cut(first.to_bits().into(), 32) == cut(ip.to_bits().into(), 32)
            }
            (IpAddr::V6(first), IpAddr::V6(ip)) => cut(first.to_bits(), 128) == cut(ip.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Conditions that must all hold; of the list of one, any. Empty: always holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Host without its port, in lower case.
    pub host: Vec<Pattern>,
    /// Path without the query. Percent-encoding that changes nothing (`%41` for `A`) is looked through; where servers differ in
    /// how they read a path, the doubt goes against the request: see the balancer's `rule` machine.
    pub path: Vec<Pattern>,
    /// Methods.
    pub method: Vec<String>,
    /// Headers; all must hold.
    pub header: Vec<NameTest>,
    /// Query parameters, percent-decoded; all must hold.
    pub query: Vec<NameTest>,
    /// Cookies; all must hold.
    pub cookie: Vec<NameTest>,
    /// The client's address is in one of these.
    pub source: Vec<SourceNet>,
    /// Whether the client speaks TLS.
    pub tls: Option<bool>,
    /// The name that the client asked for in TLS (SNI), in lower case.
    pub tls_name: Vec<Pattern>,
}

impl Condition {
    /// Whether it looks at TLS or at the name asked for in it.
    pub fn looks_at_tls(&self) -> bool {
        self.tls.is_some() || !self.tls_name.is_empty()
    }
}

/// A change of a header. Texts may have placeholders: `{host}`, `{path}`, `{query}`, `{uri}` (path and query), `{method}`,
/// `{source}`, `{tls_name}`, `{request_id}`; `{{` is a brace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HeaderEdit {
    /// Remove all of this name, then add one.
    Set(String, String),
    /// Add one.
    Add(String, String),
    /// Remove all of this name.
    Delete(String),
}

/// A redirect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redirect {
    /// Where to, with placeholders as in [`HeaderEdit`].
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// An answer of the balancer's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Return {
    /// The status, 200 to 599.
    pub status: u16,
    /// The body's media type.
    pub content_type: String,
    /// The body.
    pub body: String,
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Deny {
    /// The status, 400 to 599; 0: the connection is closed without an answer.
    pub status: u16,
    /// Wait so long before it (HAProxy's `tarpit`); the place of the connection is held meanwhile.
    pub after: Duration,
}

/// What a rate is counted by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RateKey {
    /// The client's address.
    Source,
    /// A header's value; requests without it are not counted.
    Header(String),
    /// All requests that the rule sees together.
    All,
}

/// At most so many requests in a sliding time; more are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RateLimit {
    /// Requests, at least 1.
    pub requests: u32,
    /// In this time.
    pub period: Duration,
    /// What is counted.
    pub by: RateKey,
    /// The status of the refusal; 429 unless written.
    pub status: u16,
    /// Most keys that are remembered; the one that was not seen longest makes room.
    pub size: u32,
}

/// Passwords (RFC 7617).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BasicAuth {
    /// Who may.
    pub users: UsersName,
    /// What the browser shows.
    pub realm: String,
}

/// Another path for the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rewrite {
    /// The whole path, with placeholders.
    Path(String),
    /// `(from, to)`: a path that begins with the first begins with the second instead. A first without `/` at its end is
    /// found in whole segments only (`/old` in `/old` and `/old/a`, not in `/older`). An empty result becomes `/`.
    Prefix(String, String),
    /// `(expression, replacement)`: the first match is replaced; `$1` is a group.
    Regex(String, String),
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// This pool answers. Last.
    Pool(PoolName),
    /// The client is sent elsewhere. Last.
    Redirect(Redirect),
    /// The balancer answers. Last.
    Return(Return),
    /// The request is refused. Last.
    Deny(Deny),
    /// The request's headers are changed.
    Request(Vec<HeaderEdit>),
    /// The answer's headers are changed.
    Response(Vec<HeaderEdit>),
    /// The server gets another path.
    Rewrite(Rewrite),
    /// Refused beyond a rate.
    Rate(RateLimit),
    /// Refused without a password.
    Auth(BasicAuth),
}

/// A rule, `[[service.NAME.rule]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its line in the file: how logs and `explain` call it.
    pub line: usize,
    /// All must hold.
    pub when: Condition,
    /// Unless all these hold; `None`: no exception.
    pub unless: Option<Condition>,
    /// What it does, in this order; a last one only at the end.
    pub actions: Vec<Action>,
}
