//! A balanced service: where clients come in and how they are treated, `[service.NAME]`. Who answers is its pool.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Action, Forward, Path, Rule, ServerTls};
use crate::name::{AddressName, PoolName, ServiceName};

/// How a service looks at the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Bytes, one server for each connection.
    Tcp,
    /// HTTP requests, one server for each request.
    Http,
    /// Datagrams, one server for each flow (client address and port).
    Udp,
}

/// What a client and the balancer speak within TLS, or, for HTTP/2, in clear as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP/2 (RFC 9113); in ALPN `h2`.
    #[serde(rename = "h2")]
    H2,
    /// HTTP/1.1 and HTTP/1.0 (RFC 9112); in ALPN `http/1.1`.
    #[serde(rename = "http/1.1")]
    Http1,
}

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listen {
    /// The virtual address's name, if it was given by name.
    pub address: Option<AddressName>,
    /// The address and port, resolved.
    pub at: SocketAddr,
    /// Whether clients speak TLS here, with the service's `tls`.
    pub tls: bool,
    /// Whether each connection begins with a PROXY protocol header, version 1 or 2 (HAProxy's `accept-proxy`).
    pub proxy_protocol: bool,
    /// Whether connections are taken only with their clients' first bytes (HAProxy's `defer-accept`); `None`: where clients are
    /// known to speak first, see `ClusterFile::defers_accept`.
    pub defer_accept: Option<bool>,
}

/// Limits in time on a service's clients. None is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    /// Longest silence of a client while it is sending or owes us reading. Mode `udp`: life of a silent flow.
    pub client: Duration,
    /// For a whole request head to arrive (HAProxy's `http-request`); also for a TLS handshake and a PROXY header.
    pub request: Duration,
    /// Longest wait for the next request on an idle client connection (HAProxy's `http-keep-alive`).
    pub keep_alive: Duration,
    /// Longest silence of both sides of an upgraded or mode `tcp` connection (HAProxy's `tunnel`); `None`: the longer
    /// of `client` and the pool's `server`.
    pub tunnel: Option<Duration>,
}

/// Bounds on what clients may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Client connections at a time, over all workers; the next ones wait in the kernel's queue. (`max_connections`)
    pub connections: usize,
    /// Connections at a time from one source address; more are closed at once. `None`: no limit.
    pub connections_per_source: Option<u32>,
    /// Largest request or response head, bytes. (`max_header`)
    pub header: usize,
    /// Largest request target, bytes; longer: 414. At most the head's size.
    pub uri: usize,
    /// Largest request body, bytes; larger: 413. `None`: no limit.
    pub body: Option<u64>,
    /// HTTP/2 requests at a time on one connection, 1 to 1000.
    pub streams: u32,
}

/// An answer's coding (RFC 9110 section 8.4.1), in the order that is preferred here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Br,
    /// RFC 1952.
    Gzip,
}

/// Compresses answers for clients that accept it, `compress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compression {
    /// Codings in order of preference.
    pub codings: Vec<Coding>,
    /// Media types without parameters, as `text/html`; `text/*` stands for all of a kind.
    pub types: Vec<String>,
    /// Smallest body in bytes that is worth it, if the length is known.
    pub least: u64,
}

/// Keeps answers in memory as far as RFC 9111 lets a shared cache, `cache`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cache {
    /// Most memory for all answers of the service, bytes.
    pub size: u64,
    /// Largest answer that is kept, bytes.
    pub object: u64,
    /// Longest time that one is used without asking the server again, whatever the server allows.
    pub age: Duration,
}

/// What is answered instead of a short sentence, for one status of the balancer's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorPage {
    /// The status.
    pub status: u16,
    /// The file with the body (HTML), read when the configuration is loaded; at most 64 KiB.
    pub file: PathBuf,
}

/// What a service's access log says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServiceLog {
    /// Which requests are logged.
    pub what: LogChoice,
    /// Request headers whose values are logged, in the order given.
    pub capture: Vec<String>,
}

/// Which requests or connections of a service are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogChoice {
    /// None.
    None,
    /// Those that failed: the balancer's own errors, answers of 500 and more, cut connections.
    Errors,
    /// All.
    #[default]
    All,
}

/// What the director's kernel says when it answers a SYN in the name of servers, `synproxy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Synproxy {
    /// Largest segment, bytes.
    pub mss: u16,
    /// Window scale (RFC 7323), 0 to 14.
    pub wscale: u8,
}

/// A balanced service, `[service.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Where it listens; at least one.
    pub listen: Vec<Listen>,
    /// How it looks at the traffic.
    pub mode: Mode,
    /// Who answers unless a rule chooses another pool.
    pub pool: PoolName,
    /// What is decided about each request, first to last (mode `http`; in mode `tcp` only by source and TLS name).
    pub rules: Vec<Rule>,
    /// How TLS is spoken where `listen` says so.
    pub tls: Option<ServerTls>,
    /// What is spoken in TLS (offered by ALPN in this order) and in clear. `H2` among them: clients that begin with
    /// HTTP/2's preface in clear are served as well only if `h2c`.
    pub protocols: Vec<Protocol>,
    /// Whether HTTP/2 is spoken in clear with clients that begin so (prior knowledge, RFC 9113 section 3.3).
    pub h2c: bool,
    /// Whether requests get `X-Forwarded-For` with the client's address (mode `http` only).
    pub forwarded_for: bool,
    /// `Strict-Transport-Security: max-age=` for answers over TLS (RFC 6797); `None`: not sent.
    pub hsts: Option<Duration>,
    /// Limits in time.
    pub timeouts: Timeouts,
    /// Other bounds.
    pub limits: Limits,
    /// Whether answers are compressed.
    pub compression: Option<Compression>,
    /// Whether answers are kept.
    pub cache: Option<Cache>,
    /// Bodies of the balancer's own errors.
    pub error_pages: Vec<ErrorPage>,
    /// A path that the balancer answers itself with 200, or 503 when no server can work (HAProxy's `monitor-uri`).
    pub monitor: Option<String>,
    /// What is logged.
    pub log: ServiceLog,
    /// Which way its packets take (modes `tcp` and `udp`).
    pub path: Path,
    /// How the kernel's way leads to servers.
    pub forward: Forward,
    /// The virtual address that servers of the kernel's way see instead of the client's.
    pub source: Option<AddressName>,
    /// Whether the director's kernel answers SYNs itself, on the kernel's way.
    pub synproxy: Option<Synproxy>,
}

impl Service {
    /// A service with every default of the cluster file. It listens nowhere yet.
    pub fn new(name: ServiceName, mode: Mode, pool: PoolName) -> Self {
        Self {
            name,
            listen: Vec::new(),
            mode,
            pool,
            rules: Vec::new(),
            tls: None,
            protocols: vec![Protocol::H2, Protocol::Http1],
            h2c: false,
            forwarded_for: mode == Mode::Http,
            hsts: None,
            timeouts: Timeouts {
                client: Duration::from_secs(30),
                request: Duration::from_secs(10),
                keep_alive: Duration::from_secs(10),
                tunnel: None,
            },
            limits: Limits {
                connections: 10_000,
                connections_per_source: None,
                header: 16 << 10,
                uri: 8 << 10,
                body: None,
                streams: 100,
            },
            compression: None,
            cache: None,
            error_pages: Vec::new(),
            monitor: None,
            log: ServiceLog::default(),
            path: Path::Auto,
            forward: Forward::Nat,
            source: None,
            synproxy: None,
        }
    }
}

impl Service {
    /// The pools that may answer, each once: its own, then those that its rules choose, in their order.
    pub fn pools(&self) -> Vec<&PoolName> {
        let mut pools = vec![&self.pool];
        for action in self.rules.iter().flat_map(|rule| &rule.actions) {
            if let Action::Pool(pool) = action
                && !pools.contains(&pool)
            {
                pools.push(pool);
            }
        }
        pools
    }
}

impl Listen {
    /// Plain clients at an address and port.
    pub const fn plain(at: SocketAddr) -> Self {
        Self { address: None, at, tls: false, proxy_protocol: false, defer_accept: None }
    }
}
