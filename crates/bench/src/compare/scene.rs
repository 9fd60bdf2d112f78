//! The cluster file that both balancers are run with: one service on loopback, before servers of our own.
//!
//! A scene is text, because that is what Relevo reads; HAProxy's file is made from what the reader says of the same text.

use std::fmt::Write as _;
use std::net::SocketAddrV4;
use std::path::PathBuf;

use relevo_model::cluster::Mode;

use super::features::Features;
use super::workload::Workload;

/// Who may see the statistics page: `staff`, with this password.
pub(super) const PASSWORD: &str = "bench";

/// `openssl passwd -6 -salt relevobench bench`.
const HASH: &str =
    "$6$relevobench$xM/5b6xFcXI0sl1nLzmgbVi6Rd0TpkdQWVzB.vE5NU4Z/7dVu37J1bPNcOA7KwttGH9XhBAhaBk3hjQbrf.5P0";

/// Where everything is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Where the service listens.
    pub(super) listen: SocketAddrV4,
    /// Its servers.
    pub(super) servers: Vec<SocketAddrV4>,
    /// The statistics page.
    pub(super) stats: SocketAddrV4,
    /// The socket for access logs.
    pub(super) log: PathBuf,
    /// Certificate and key.
    pub(super) certificate: PathBuf,
    /// Client connections that the service must bear.
    pub(super) connections: usize,
}

#[cfg(test)]
impl Place {
    /// Somewhere.
    pub(super) fn example() -> Self {
        let at = |port| SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port);
        Self {
            listen: at(8000),
            servers: vec![at(8001), at(8002), at(8003)],
            stats: at(8004),
            log: PathBuf::from("/tmp/log.sock"),
            certificate: PathBuf::from("/tmp/bench.pem"),
            connections: 1000,
        }
    }
}

/// What comes before the service: a node must have an address; this one is never used.
pub(super) fn preamble() -> &'static str {
    "name = \"bench\"\n\n[network.unused]\nsubnet = \"192.0.2.0/24\"\n\n\
     [node.bench]\nroles = [\"director\"]\naddress.unused = \"192.0.2.1\"\n"
}

/// A built-in scene.
pub(super) fn text(workload: &Workload, features: Features, place: &Place) -> String {
    let http = workload.mode == Mode::Http;
    let listen = place.listen;
    let mut out = format!("{}\n[service.web]\n", preamble());
    if workload.tls {
        let _ = writeln!(out, "listen = [{{ at = \"{listen}\", tls = true }}]");
        let _ = writeln!(
            out,
            "tls = {{ certificates = [{:?}], min_version = \"1.3\" }}",
            place.certificate.display().to_string()
        );
    } else {
        let _ = writeln!(out, "listen = \"{listen}\"");
    }
    let _ = writeln!(out, "mode = \"{}\"", if http { "http" } else { "tcp" });
    if http {
        out.push_str("forwarded_for = true\n");
    }
    let http_times = if http { ", request = \"10s\", keep_alive = \"10m\"" } else { "" };
    let _ = writeln!(out, "timeout = {{ connect = \"1s\", client = \"10m\", server = \"30s\"{http_times} }}");
    let _ = writeln!(out, "max_connections = {}", place.connections);
    if !features.log {
        out.push_str("log = \"none\"\n");
    }
    out.push_str(&pool(&place.servers));
    if features.rules {
        out.push_str(if http { HTTP_RULES } else { TCP_RULES });
        if http {
            let _ = write!(out, "\n[pool.static]\n{}", pool(&place.servers));
        }
    }
    if features.log {
        let _ = write!(out, "\n[log]\naccess = \"syslog:{}\"\n", place.log.display());
    }
    if features.stats {
        let _ = write!(
            out,
            "\n[users.staff]\nstaff = \"{HASH}\"\n\n[stats]\nlisten = \"{}\"\nusers = \"staff\"\n",
            place.stats
        );
    }
    out
}

fn pool(servers: &[SocketAddrV4]) -> String {
    let servers: Vec<String> = servers.iter().map(|server| format!("\"{server}\"")).collect();
    format!(
        "balance = \"roundrobin\"\n\
         check = {{ http = \"/healthz\", interval = \"1s\", timeout = \"500ms\", rise = 2, fall = 2 }}\nservers = [{}]\n",
        servers.join(", ")
    )
}

/// A handful of rules as people have them. A request of a workload is tried against all and gets the edits.
const HTTP_RULES: &str = r#"
[[service.web.rule]]
when = { path = "/private/*" }
unless = { source = "10.0.0.0/8" }
deny = 403

[[service.web.rule]]
when = { host = ["old.example.org", "*.old.example.org"] }
redirect = "https://www.example.org{uri}"

[[service.web.rule]]
when = { header = { User-Agent = "*BadBot*" } }
deny = 403

[[service.web.rule]]
set_header = { X-Forwarded-Proto = "http" }
set_response_header = { X-Frame-Options = "DENY" }

[[service.web.rule]]
when = { path = "/static/*", method = ["GET", "HEAD"] }
pool = "static"
"#;

/// In mode `tcp` there is only the source to look at.
const TCP_RULES: &str = r#"
[[service.web.rule]]
when = { source = ["192.0.2.0/24", "198.51.100.0/24"] }
deny = "silent"
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::WORKLOADS;
    use crate::haproxy::{self, Options, Tuning};

    #[test]
    fn both_balancers_understand_every_scene_whole() {
        let place = Place::example();
        for workload in &WORKLOADS {
            for features in [Features::ALL, Features::NONE] {
                let text = text(workload, features, &place);
                let reading = relevo_model::read(&text);
                let said: Vec<&str> = reading.diagnostics.iter().map(|one| one.message.as_str()).collect();
                let cluster =
                    reading.cluster.unwrap_or_else(|| panic!("{}: {said:?}\n{text}", workload.name));
                assert!(said.is_empty(), "{}: {said:?}", workload.name);
                let config = haproxy::config(&cluster, Options { threads: 1, tuning: Tuning::Default });
                assert_eq!(config.left_out, Vec::<String>::new(), "{}", workload.name);
                assert_eq!(
                    config.text.contains("option httplog") || config.text.contains("option tcplog"),
                    features.log
                );
                assert_eq!(config.text.contains("stats enable"), features.stats);
            }
        }
    }
}
