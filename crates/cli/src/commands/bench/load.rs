//! What can be said of a load on the command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use relevo_bench::load::{BROWSER, Plan, Protocol, Target, Trust};

/// Where Debian keeps the authorities that it trusts.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How to ask; the same for one run and for many.
#[derive(Debug, clap::Args)]
pub(super) struct How {
    /// Whom to ask: http://, https:// or tcp://HOST:PORT.
    #[arg(value_name = "URL")]
    url: String,
    /// Speak HTTP/2; with http:// in clear, by prior knowledge.
    #[arg(long)]
    http2: bool,
    /// HTTP/2: requests at a time on each connection.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "http2", value_parser = count(1000))]
    streams: u32,
    /// A new connection for each request.
    #[arg(long)]
    close: bool,
    /// Open loop: this many requests a second, each latency counted from when it was due.
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Threads of the load generator.
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = count(1024))]
    threads: u32,
    /// The CPUs of the threads, as in 2,3; one thread each.
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "threads")]
    cpus: Vec<usize>,
    /// The method.
    #[arg(long, short = 'X', value_name = "METHOD", default_value = "GET")]
    method: String,
    /// A header field, as in 'Accept: text/html'; may be given several times.
    #[arg(long, short = 'H', value_name = "FIELD")]
    header: Vec<String>,
    /// Send the header fields of a browser, about 800 bytes.
    #[arg(long)]
    browser_headers: bool,
    /// The body of each request.
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// tcp://: what to send; \r, \n and \\ as they are in shells.
    #[arg(long, value_name = "TEXT")]
    send: Option<String>,
    /// tcp://: how many bytes must come back.
    #[arg(long, value_name = "BYTES", default_value_t = 1)]
    receive: u64,
    /// Longest time for an answer, connecting included.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    timeout: Duration,
    /// Trust any certificate.
    #[arg(long)]
    insecure: bool,
    /// Trust these authorities (PEM) instead of the system's.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
}

/// A whole number from 1 to `most`.
pub(super) fn count(most: i64) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=most)
}

/// A time such as `10s` or `500ms`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    match relevo_model::quantity::parse_duration(text) {
        Ok(time) if time > Duration::ZERO => Ok(time),
        Ok(_) => Err("give more than nothing".to_owned()),
        Err(error) => Err(error),
    }
}

impl How {
    /// The plan, with `connections` at a time; when it ends is not said yet.
    pub(super) fn plan(&self, connections: u32) -> anyhow::Result<Plan> {
        let mut plan = Plan::new(Target::parse(&self.url)?);
        plan.connections = connections as usize;
        if plan.target.tcp
            && (self.http2 || self.body.is_some() || self.browser_headers || !self.header.is_empty())
        {
            bail!("tcp:// knows no HTTP: use --send and --receive");
        }
        if !plan.target.tcp && self.send.is_some() {
            bail!("--send is for tcp://; use --body");
        }
        if self.http2 {
            plan.protocol = Protocol::Http2;
        }
        plan.trust = match (&self.ca, self.insecure) {
            (Some(file), _) => Trust::File(file.clone()),
            (None, true) => Trust::Anybody,
            (None, false) => Trust::File(SYSTEM_CA.into()),
        };
        plan.streams = self.streams as usize;
        plan.connection_per_request = self.close;
        plan.rate = self.rate;
        // No more threads than connections: the others would have nothing to do.
        plan.threads =
            if self.cpus.is_empty() { self.threads as usize } else { self.cpus.len() }.min(plan.connections);
        plan.cpus.clone_from(&self.cpus);
        plan.method.clone_from(&self.method);
        plan.patience = self.timeout;
        plan.receive = self.receive;
        if self.browser_headers {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            plan.fields.extend(BROWSER.iter().map(owned));
        }
        for field in &self.header {
            let (name, value) =
                field.split_once(':').with_context(|| format!("{field:?}: give 'Name: value'"))?;
            plan.fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        if let Some(text) = &self.send {
            plan.body = text.replace("\\r", "\r").replace("\\n", "\n").replace("\\\\", "\\").into_bytes();
        } else if let Some(text) = &self.body {
            plan.body = text.clone().into_bytes();
        }
        Ok(plan)
    }

    /// Whom, and how, in words.
    pub(super) fn words(&self, plan: &Plan) -> String {
        format!("{} ({})", self.url, self.manner(plan))
    }

    /// Whom, and how, as data.
    pub(super) fn json(&self, plan: &Plan) -> serde_json::Value {
        serde_json::json!({ "url": self.url, "how": self.manner(plan) })
    }

    fn manner(&self, plan: &Plan) -> String {
        let spoken = match (plan.protocol, plan.connection_per_request) {
            (Protocol::Http1, false) => "HTTP/1.1, connections kept",
            (Protocol::Http1, true) => "HTTP/1.1, a connection for each request",
            (Protocol::Http2, _) => "HTTP/2",
            (Protocol::Tcp, _) => "TCP, a connection each time",
        };
        let rate = plan.rate.map_or("closed loop".to_owned(), |rate| format!("open loop, {rate} requests/s"));
        format!("{spoken}; {rate}")
    }
}
