//! What to ask for, how, how often.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Most connections at a time of one run.
const CONNECTIONS_MAX: usize = 60_000;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; in clear with prior knowledge.
    Http2,
    /// Bytes: connect, send, receive, close.
    Tcp,
}

/// Whom TLS trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Anybody.
    Anybody,
    /// The authorities in this PEM file.
    File(PathBuf),
}

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its address; a name's first one.
    pub at: SocketAddr,
    /// The Host field.
    pub host: String,
    /// The path with its query.
    pub path: String,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Whether the URL was one of `tcp://`.
    pub tcp: bool,
}

/// When it is enough, whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// After so long.
    pub after: Option<Duration>,
    /// After so many requests.
    pub requests: Option<u64>,
}

/// A load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to ask.
    pub target: Target,
    /// What is spoken.
    pub protocol: Protocol,
    /// Whom TLS trusts.
    pub trust: Trust,
    /// Connections at a time, over all threads.
    pub connections: usize,
    /// HTTP/2: requests at a time on each connection.
    pub streams: usize,
    /// A new connection for each request.
    pub connection_per_request: bool,
    /// Open loop: requests in a second over all threads. `None`: closed loop.
    pub rate: Option<f64>,
    /// When it is enough.
    pub end: End,
    /// Answers to requests that are due before are not counted, so that connections are there when counting begins. Failures are.
    /// A part of the time in `end`.
    pub warm_up: Duration,
    /// Threads.
    pub threads: usize,
    /// The CPU of each thread; empty: wherever the kernel wants.
    pub cpus: Vec<usize>,
    /// The method.
    pub method: String,
    /// Further header fields.
    pub fields: Vec<(String, String)>,
    /// The request's body; with [`Protocol::Tcp`], what is sent.
    pub body: Vec<u8>,
    /// [`Protocol::Tcp`]: bytes that make an answer.
    pub receive: u64,
    /// Longest time for an answer, connecting included.
    pub patience: Duration,
}

impl Target {
    /// Reads `http://HOST[:PORT][/PATH]`, `https://...` or `tcp://HOST:PORT`; HTTP unless it says.
    ///
    /// # Errors
    ///
    /// Another kind of URL, or a name without an address.
    pub fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (tls, tcp, port) = match scheme {
            "http" => (false, false, Some(80)),
            "https" => (true, false, Some(443)),
            "tcp" => (false, true, None),
            _ => bail!("{url}: not a URL that begins with http://, https:// or tcp://"),
        };
        let cut = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(cut);
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if host.is_empty() || host.contains('@') {
            bail!("{url}: expected HOST or HOST:PORT after ://");
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!("{url:?}: a URL has no spaces or other special characters; write them as %20 and the like");
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let full = match port {
            _ if has_port => host.to_owned(),
            Some(port) => format!("{host}:{port}"),
            None => bail!("{url}: tcp:// needs a port, as in tcp://127.0.0.1:90"),
        };
        let at = full.to_socket_addrs().with_context(|| format!("{url}: cannot find {full}"))?.next();
        let at = at.with_context(|| format!("{url}: {full} has no address"))?;
        Ok(Self { at, host: host.to_owned(), path, tls, tcp })
    }

    /// The host without its port, for TLS.
    pub(super) fn name(&self) -> &str {
        let name = match self.host.rsplit_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok() => name,
            _ => &self.host,
        };
        name.trim_start_matches('[').trim_end_matches(']')
    }
}

impl Plan {
    /// One connection on one thread for ten seconds.
    pub fn new(target: Target) -> Self {
        Self {
            protocol: if target.tcp { Protocol::Tcp } else { Protocol::Http1 },
            target,
            trust: Trust::Anybody,
            connections: 1,
            streams: 1,
            connection_per_request: false,
            rate: None,
            end: End { after: Some(Duration::from_secs(10)), requests: None },
            warm_up: Duration::ZERO,
            threads: 1,
            cpus: Vec::new(),
            method: "GET".to_owned(),
            fields: Vec::new(),
            body: Vec::new(),
            receive: 1,
            patience: Duration::from_secs(10),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.connections == 0 || self.connections > CONNECTIONS_MAX {
            bail!("{} connections: give 1 to {CONNECTIONS_MAX}", self.connections);
        }
        if self.threads == 0 || self.threads > self.connections {
            bail!("{} threads for {} connections: give 1 up to that many", self.threads, self.connections);
        }
        if self.streams == 0 {
            bail!("0 streams: give at least 1");
        }
        if self.end == (End { after: None, requests: None }) {
            bail!("say when it is enough: after a time, or after a number of requests");
        }
        if self.end.after.is_some_and(|after| self.warm_up >= after) {
            bail!(
                "{:?} to warm up: nothing is left of {:?}",
                self.warm_up,
                self.end.after.unwrap_or_default()
            );
        }
        if let Some(rate) = self.rate.filter(|rate| !(*rate >= 0.01 && *rate <= 1e7)) {
            bail!("a rate of {rate}: give 0.01 to 10000000 requests in a second");
        }
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain(&self.method) {
            bail!("{:?} is not a method", self.method);
        }
        for (name, value) in &self.fields {
            if !plain(name) || name.contains(':') || value.contains(['\r', '\n', '\0']) {
                bail!("{name:?}: {value:?} is not a header field: give \"Name: value\"");
            }
        }
        Ok(())
    }

    /// This thread's part of something that is shared by all.
    pub(super) fn share(&self, whole: u64, index: usize) -> u64 {
        let (threads, index) = (self.threads as u64, index as u64);
        whole / threads + u64::from(index < whole % threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let target = Target::parse("http://127.0.0.1:8000/a?b=1#c").unwrap();
        assert_eq!((target.at.to_string().as_str(), target.path.as_str()), ("127.0.0.1:8000", "/a?b=1"));
        assert_eq!((target.host.as_str(), target.name(), target.tls), ("127.0.0.1:8000", "127.0.0.1", false));
        let target = Target::parse("https://127.0.0.1").unwrap();
        assert_eq!((target.at.port(), target.path.as_str(), target.tls), (443, "/", true));
        assert!(Target::parse("tcp://127.0.0.1:90").unwrap().tcp);
        assert_eq!(Target::parse("127.0.0.1:81").unwrap().at.port(), 81);
        assert_eq!(Target::parse("http://[::1]:8080/").unwrap().name(), "::1");
        for wrong in
            ["ftp://127.0.0.1", "http://", "tcp://127.0.0.1", "http://127.0.0.1/a b", "http://u@127.0.0.1/"]
        {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_shared_is_shared_whole() {
        let mut plan = Plan::new(Target::parse("127.0.0.1:1").unwrap());
        plan.threads = 3;
        let parts: Vec<u64> = (0..3).map(|index| plan.share(20, index)).collect();
        assert_eq!(parts, [7, 7, 6]);
    }

    #[test]
    fn a_plan_that_makes_no_sense_is_refused() {
        let plan = Plan::new(Target::parse("127.0.0.1:1").unwrap());
        plan.check().unwrap();
        let wrong: [fn(&mut Plan); 7] = [
            |plan| plan.warm_up = Duration::from_secs(10),
            |plan| plan.connections = 0,
            |plan| plan.threads = 2,
            |plan| plan.rate = Some(f64::NAN),
            |plan| plan.end = End { after: None, requests: None },
            |plan| plan.fields.push(("A".to_owned(), "b\r\nC: d".to_owned())),
            |plan| plan.method = "GET /".to_owned(),
        ];
        for (index, change) in wrong.into_iter().enumerate() {
            let mut plan = plan.clone();
            change(&mut plan);
            assert!(plan.check().is_err(), "case {index}");
        }
    }
}
