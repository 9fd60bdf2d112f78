//! Who leads the requests to the servers.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::super::Bench;
use super::super::balancer::{read, relevo};
use super::super::process::{Process, find};
use super::super::workload::Workload;
use super::field::{Field, Place};
use crate::haproxy::{self, Options, Tuning};
use crate::load::ask;

/// How long a contestant may take until it leads requests to all servers.
const READY: Duration = Duration::from_secs(20);

/// Asked before anything is measured.
const TRIAL_REQUESTS: usize = 30;

/// A way from clients to servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The client asks a server itself; the director's kernel forwards and does nothing else. This is the limit.
    Route,
    /// Relevo, `path = "kernel"`.
    Kernel,
    /// Relevo, `path = "userspace"`, one worker.
    Userspace,
    /// HAProxy, mode `tcp`, one thread.
    Haproxy,
}

impl Kind {
    /// All, in the order of the table.
    pub(super) const ALL: [Self; 4] = [Self::Route, Self::Kernel, Self::Userspace, Self::Haproxy];

    /// Its name in the table and in the summary.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Kernel => "relevo-kernel",
            Self::Userspace => "relevo-userspace",
            Self::Haproxy => "haproxy-tcp",
        }
    }

    /// Whether packets go through no program.
    pub(super) const fn is_kernel(self) -> bool {
        match self {
            Self::Route | Self::Kernel => true,
            Self::Userspace | Self::Haproxy => false,
        }
    }
}

/// One that is ready.
#[derive(Debug)]
pub(super) struct Contestant {
    pub(super) kind: Kind,
    place: Place,
    /// The program, if there is one.
    pub(super) process: Option<Process>,
    log: PathBuf,
}

impl Contestant {
    /// Starts it on its director; it may not lead anybody yet.
    pub(super) fn start(bench: &Bench<'_>, field: &Field, kind: Kind, number: u8) -> Result<Self> {
        let place = Place(number);
        let folder = bench.folder.join(format!("kernel-{}", kind.name()));
        fs::create_dir_all(&folder)?;
        let text = scene(kind, place);
        let file = folder.join("cluster.toml");
        fs::write(&file, &text)?;
        let argv = match kind {
            Kind::Route => None,
            Kind::Kernel | Kind::Userspace => Some(relevo(bench, &file, &folder)),
            Kind::Haproxy => {
                let options = Options { threads: 1, tuning: Tuning::Default };
                let config = folder.join("haproxy.cfg");
                fs::write(&config, haproxy::config(&read(&text)?, options).text)?;
                let program = find("haproxy").context("haproxy is gone")?.display().to_string();
                Some(vec![program, "-db".to_owned(), "-f".to_owned(), config.display().to_string()])
            }
        };
        let director = field.directors.get(usize::from(number)).context("no director")?;
        let log = folder.join("log");
        // Not from a thread inside: what it started would be killed with it.
        let within = ["nsenter".to_owned(), format!("--net={}", director.path())];
        let start = |argv: Vec<String>| {
            let argv: Vec<String> = within.iter().cloned().chain(argv).collect();
            Process::start(kind.name(), bench.options.cpus[0], &argv, &log)
        };
        let process = argv.map(start).transpose()?;
        Ok(Self { kind, place, process, log })
    }

    /// Whom clients ask.
    pub(super) fn at(&self) -> std::net::SocketAddrV4 {
        match self.kind {
            // Any of the servers: they are one program.
            Kind::Route => self.place.servers()[0],
            Kind::Kernel | Kind::Userspace | Kind::Haproxy => self.place.front(),
        }
    }

    /// Waits until every answer is right and all servers take part.
    pub(super) fn wait_until_ready(&mut self, field: &Field, workload: &Workload) -> Result<()> {
        let deadline = Instant::now() + READY;
        loop {
            if let Some(process) = &mut self.process {
                process.must_run(&self.log)?;
            }
            match self.trial(field, workload) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(error.context(format!("{} after {READY:?}", self.kind.name())));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn trial(&self, field: &Field, workload: &Workload) -> Result<()> {
        let mut plan = workload.look(self.at(), &format!("/bytes/{}", workload.body_bytes))?;
        plan.patience = Duration::from_secs(1);
        let mut by_server: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..TRIAL_REQUESTS {
            let answer = field.client.enter(|| ask(&plan))?;
            if !answer.head.starts_with("HTTP/1.1 200 ") || answer.body.len() != workload.body_bytes {
                bail!(
                    "expected 200 with {} bytes, got {:?}",
                    workload.body_bytes,
                    answer.head.lines().next()
                );
            }
            *by_server.entry(answer.field("server-name").unwrap_or("nobody").to_owned()).or_default() += 1;
        }
        let wanted = if self.kind == Kind::Route { 1 } else { self.place.servers().len() };
        if by_server.len() != wanted {
            bail!("{} of {wanted} servers took part: {by_server:?}", by_server.len());
        }
        Ok(())
    }
}

/// The cluster file of a contestant.
fn scene(kind: Kind, place: Place) -> String {
    let path = match kind {
        Kind::Kernel => "path = \"kernel\"\n",
        Kind::Userspace => "path = \"userspace\"\n",
        Kind::Route | Kind::Haproxy => "",
    };
    let servers: Vec<String> = place.servers().iter().map(|server| format!("\"{server}\"")).collect();
    let (number, outer, inner, front) = (place.0, place.outer(), place.inner(), place.front());
    format!(
        "name = \"bench\"\n\n\
         [network.outer]\nsubnet = \"10.41.{number}.0/24\"\n\n[network.inner]\nsubnet = \"10.42.{number}.0/24\"\n\n\
         [node.bench]\nroles = [\"director\"]\naddress.outer = \"{outer}\"\naddress.inner = \"{inner}\"\n\n\
         [group.bench]\nvrid = 51\npriority = {{ bench = 100 }}\n\n\
         [address.front]\nnetwork = \"outer\"\nip = \"{}\"\ngroup = \"bench\"\n\n\
         [service.web]\nlisten = \"{front}\"\nmode = \"tcp\"\n{path}\
         timeout = {{ connect = \"1s\", client = \"10m\", server = \"10m\" }}\nlog = \"none\"\n\
         balance = \"roundrobin\"\ncheck = {{ http = \"/healthz\", interval = \"1s\", timeout = \"500ms\" }}\n\
         servers = [{}]\n",
        front.ip(),
        servers.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scene_is_understood_and_takes_its_path() {
        for kind in Kind::ALL {
            let cluster = read(&scene(kind, Place(3))).unwrap();
            let path = cluster.kernel_paths().remove(0);
            assert_eq!(path.is_ok(), kind == Kind::Kernel, "{kind:?}: {path:?}");
            let config = haproxy::config(&cluster, Options { threads: 1, tuning: Tuning::Default });
            assert!(config.text.contains("10.41.3.254:80"), "{}", config.text);
        }
    }
}
