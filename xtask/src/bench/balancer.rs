//! The balancers under test: their files, written to mean the same, and how they start.

use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::bench::load;
use crate::bench::process::{BALANCER_CPU, Process, free_port};
use crate::bench::workload::Workload;

/// How long a balancer may take until it answers: its checks must have found the servers.
const READY: Duration = Duration::from_secs(15);

/// Whom to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Our own.
    Relevo,
    /// Debian's HAProxy as it comes.
    Haproxy,
    /// HAProxy told to splice large bodies through large pipes.
    HaproxyTuned,
}

impl Kind {
    /// Its name in the table and in the summary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Relevo => "relevo",
            Self::Haproxy => "haproxy",
            Self::HaproxyTuned => "haproxy-tuned",
        }
    }
}

/// A running balancer.
#[derive(Debug)]
pub(crate) struct Balancer {
    /// Which one.
    pub(crate) kind: Kind,
    /// Where it listens.
    pub(crate) at: SocketAddrV4,
    /// Its process.
    pub(crate) process: Process,
    log: PathBuf,
}

impl Balancer {
    /// Writes the file, starts the balancer alone on its CPU and waits until it answers.
    pub(crate) fn start(
        kind: Kind,
        workload: &Workload,
        servers: &[SocketAddrV4],
        relevo: &Path,
        folder: &Path,
    ) -> Result<Self> {
        let at = free_port()?;
        let folder = folder.join(format!("{}-{}", workload.name, kind.name()));
        fs::create_dir_all(&folder)?;
        let argv = match kind {
            Kind::Relevo => {
                let file = folder.join("cluster.toml");
                fs::write(&file, cluster_file(workload.mode, at, servers))?;
                let words = [
                    relevo.display().to_string(),
                    "node".to_owned(),
                    "run".to_owned(),
                    format!("--file={}", file.display()),
                    "--name=bench".to_owned(),
                    format!("--run-dir={}", folder.join("run").display()),
                    format!("--state-dir={}", folder.join("state").display()),
                ];
                words.to_vec()
            }
            Kind::Haproxy | Kind::HaproxyTuned => {
                let file = folder.join("haproxy.cfg");
                fs::write(&file, haproxy_file(workload.mode, at, servers, kind == Kind::HaproxyTuned))?;
                ["haproxy", "-db", "-f", &file.display().to_string()].map(str::to_owned).to_vec()
            }
        };
        let log = folder.join("log");
        let process = Process::start(kind.name(), BALANCER_CPU, &argv, &log)?;
        let mut balancer = Self { kind, at, process, log };
        balancer.wait_until_ready()?;
        Ok(balancer)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY;
        while Instant::now() < deadline {
            self.process.must_run(&self.log)?;
            if load::answers(self.at) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        bail!("{} does not answer on {} after {READY:?}; it said:\n{log}", self.kind.name(), self.at);
    }
}

/// Relevo's file: one director without virtual addresses. A node must have an address; this one is never used.
fn cluster_file(mode: &str, at: SocketAddrV4, servers: &[SocketAddrV4]) -> String {
    let servers: Vec<String> = servers.iter().map(|server| format!("\"{server}\"")).collect();
    let (forwarded_for, http_timeouts) = if mode == "http" {
        ("forwarded_for = true\n", ", request = \"10s\", keep_alive = \"10s\"")
    } else {
        ("", "")
    };
    format!(
        "name = \"bench\"\n\n[network.unused]\nsubnet = \"192.0.2.0/24\"\n\n\
         [node.bench]\nroles = [\"director\"]\naddress.unused = \"192.0.2.1\"\n\n\
         [service.web]\nlisten = \"{at}\"\nmode = \"{mode}\"\nbalance = \"roundrobin\"\n\
         check = {{ http = \"/\", interval = \"1s\", timeout = \"500ms\", rise = 2, fall = 2 }}\n\
         {forwarded_for}\
         timeout = {{ connect = \"1s\", client = \"30s\", server = \"30s\"{http_timeouts} }}\n\
         max_connections = 1000\nservers = [{}]\n",
        servers.join(", ")
    )
}

/// HAProxy's file: one thread, server connections reused as freely as it can, no logs.
fn haproxy_file(mode: &str, at: SocketAddrV4, servers: &[SocketAddrV4], tuned: bool) -> String {
    // Of larger buffers (64 to 512 KiB), splicing and both, splicing through large pipes cost least for large bodies.
    let global = if tuned { "    tune.pipesize 1048576\n" } else { "" };
    let mut defaults = if mode == "http" {
        "    option forwardfor\n    http-reuse always\n    timeout http-request 10s\n    timeout http-keep-alive 10s\n"
            .to_owned()
    } else {
        String::new()
    };
    if tuned {
        defaults += "    option splice-response\n";
    }
    let servers: Vec<String> = servers
        .iter()
        .enumerate()
        .map(|(index, at)| format!("    server serv{} {at}\n", index + 1))
        .collect();
    format!(
        "global\n    nbthread 1\n    maxconn 1000\n{global}\n\
         defaults\n    mode {mode}\n    timeout connect 1s\n    timeout client 30s\n    timeout server 30s\n\
         {defaults}\n\
         frontend web\n    bind {at}\n    default_backend farm\n\n\
         backend farm\n    balance roundrobin\n    option httpchk GET /\n    timeout check 500ms\n    \
         default-server check inter 1s rise 2 fall 2\n{}",
        servers.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: SocketAddrV4 = SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 8000);

    #[test]
    fn both_files_name_every_server_and_the_mode() {
        let servers = [8001, 8002, 8003].map(|port| SocketAddrV4::new(*AT.ip(), port));
        for mode in ["http", "tcp"] {
            for file in [cluster_file(mode, AT, &servers), haproxy_file(mode, AT, &servers, true)] {
                assert!(servers.iter().all(|server| file.contains(&server.to_string())), "{file}");
                assert!(file.contains(mode), "{file}");
                assert_eq!(file.contains("forward"), mode == "http", "{file}");
            }
        }
    }
}
