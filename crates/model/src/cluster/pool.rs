//! Servers that can answer alike: `[pool.NAME]`, or a service's own. Who of them answers is decided here; who may ask
//! is the service's.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Affinity, Agent, Check, ClientTls, Cookie, Family, Protocol};
use crate::name::{NodeName, PoolName, ServerName};

/// How the next server is chosen. HAProxy's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// In turn, by weight, smooth; weights may change at run time.
    #[default]
    RoundRobin,
    /// The same; weights of the file only: slow start and agents do not change it.
    StaticRr,
    /// The one with the fewest connections for its weight.
    LeastConn,
    /// The first in the file's order that has not reached its `max_connections`.
    First,
    /// Two at random by weight, and of them the one with fewer connections for its weight.
    Random,
    /// By a hash of something in the request or connection.
    Hash(Hash),
}

/// Balancing by a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hash {
    /// What is hashed.
    pub key: HashKey,
    /// How a hash becomes a server.
    pub method: HashMethod,
    /// Bounded load: nobody gets more than this many percent of the average load, over 100; `None`: no bound
    /// (HAProxy's `hash-balance-factor`).
    pub bound: Option<u16>,
}

/// What is hashed. A request that has no such thing goes in turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HashKey {
    /// The client's address.
    Source,
    /// The request's path without its query; `true`: with it.
    Uri {
        /// Whether the query counts too (HAProxy's `whole`).
        query: bool,
    },
    /// A header's value.
    Header(String),
    /// A query parameter's value.
    UrlParam(String),
    /// A cookie's value.
    Cookie(String),
}

/// How a hash becomes a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HashMethod {
    /// A ring: few keys move when a server comes or goes.
    #[default]
    Consistent,
    /// A Maglev table: evener, and nearly as few keys move.
    Maglev,
    /// Modulo the weight of all: even, and all keys move (HAProxy's `map-based`).
    MapBased,
}

/// What counts as a failure seen in traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observe {
    /// Connections that cannot be made or break before an answer (HAProxy's `layer4`).
    Layer4,
    /// The same, answers that break the rules, and those with status 100 to 199 unasked, 500 and above but 501 and 505
    /// (HAProxy's `layer7`).
    Layer7,
}

/// What happens when `error_limit` failures in a row were seen in traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// Checks go on at `fast_interval`.
    Fastinter,
    /// Counts as one failed check.
    #[default]
    FailCheck,
    /// Counts as all but one of `fall` failed checks.
    SuddenDeath,
    /// The server is down at once.
    MarkDown,
}

/// What happens to the connections of a server that goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnMarkedDown {
    /// Requests that got no byte of an answer are asked elsewhere when that is safe; what is under way goes on.
    #[default]
    Retry,
    /// They are cut.
    ShutdownSessions,
}

/// The PROXY protocol's version that servers get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// Limits in time towards servers. None is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PoolTimeouts {
    /// For a connection to a server to be made.
    pub connect: Duration,
    /// Longest silence of a server that owes an answer.
    pub server: Duration,
    /// Longest wait for a free server when all have reached `max_connections`; then 503.
    pub queue: Duration,
}

/// A pool of servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// Its name; the service's if it was written there.
    pub name: PoolName,
    /// How the next server is chosen.
    pub balance: Balance,
    /// How servers are checked.
    pub check: Check,
    /// An agent that servers are asked about themselves.
    pub agent: Option<Agent>,
    /// Limits in time.
    pub timeouts: PoolTimeouts,
    /// Persistence by a cookie (mode `http`).
    pub cookie: Option<Cookie>,
    /// Persistence by a table.
    pub affinity: Option<Affinity>,
    /// Whether a client whose server is gone gets another one; `false`: 503 (HAProxy's `option redispatch`).
    pub redispatch: bool,
    /// Attempts after the first one for one request or connection, 0 to 15.
    pub retries: u8,
    /// Most requests that wait for a server of this pool; more: 503 at once. `None`: as many as clients may connect.
    pub max_queue: Option<u32>,
    /// Whether all backup servers share the work, instead of the first that is up.
    pub all_backups: bool,
    /// What counts as a failure in traffic; `None`: only connections that fail make the checks look at once.
    pub observe: Option<Observe>,
    /// Failures in a row that count, 1 to 1000.
    pub error_limit: u32,
    /// What they lead to.
    pub on_error: OnError,
    /// What happens to the connections of a server that goes down.
    pub on_marked_down: OnMarkedDown,
    /// Time in which the share of a server that has come up grows to its whole.
    pub slow_start: Option<Duration>,
    /// TLS towards servers.
    pub tls: Option<ClientTls>,
    /// What is spoken with servers (mode `http`); with both, TLS and the server decide (ALPN).
    pub protocols: Vec<Protocol>,
    /// The header that begins each connection to a server.
    pub proxy_protocol: Option<ProxyVersion>,
    /// Which of a node's addresses its servers have.
    pub family: Family,
    /// Who answers when no server can; `None`: 503 in mode `http`, a closed connection in mode `tcp`.
    pub fallback: Option<SocketAddr>,
    /// The servers, in the file's order; none only where a service's rules answer everything.
    pub servers: Vec<Server>,
}

/// A server of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Server {
    /// Its name; the node's, unless the pool has several on one node.
    pub name: ServerName,
    /// The node it runs on, if it was given by a node's name.
    pub node: Option<NodeName>,
    /// Where it listens.
    pub at: SocketAddr,
    /// Its share, 0 to 256; 0: no new work, but what is bound to it by persistence.
    pub weight: u16,
    /// Most requests (mode `http`) or connections at a time, over all workers of a director; more wait. `None`: no limit.
    pub max_connections: Option<u32>,
    /// Whether it works only while no other server can.
    pub backup: bool,
    /// Its value in the persistence cookie; its name unless written.
    pub cookie: String,
    /// The port that checks ask; its own unless written.
    pub check_port: u16,
}

impl Pool {
    /// A pool with every default of the cluster file. It has no servers yet.
    pub fn new(name: PoolName) -> Self {
        Self {
            name,
            balance: Balance::RoundRobin,
            check: Check::default(),
            agent: None,
            timeouts: PoolTimeouts {
                connect: Duration::from_secs(1),
                server: Duration::from_secs(30),
                queue: Duration::from_secs(10),
            },
            cookie: None,
            affinity: None,
            redispatch: true,
            retries: 3,
            max_queue: None,
            all_backups: false,
            observe: None,
            error_limit: 10,
            on_error: OnError::FailCheck,
            on_marked_down: OnMarkedDown::Retry,
            slow_start: None,
            tls: None,
            protocols: vec![Protocol::Http1],
            proxy_protocol: None,
            family: Family::V4,
            fallback: None,
            servers: Vec::new(),
        }
    }
}

impl Server {
    /// A server with every default of the cluster file.
    pub fn new(name: ServerName, at: SocketAddr) -> Self {
        Self {
            node: None,
            at,
            weight: 1,
            max_connections: None,
            backup: false,
            cookie: name.to_string(),
            check_port: at.port(),
            name,
        }
    }
}
