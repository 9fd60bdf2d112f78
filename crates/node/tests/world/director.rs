//! A director in a process of its own: the test program starts itself with its settings in the environment.

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relevo_api::types::{GroupState, GroupStatus};
use relevo_model::cluster::{
    Address, Announce, ClusterFile, Group, MacSource, Multicast, Network, Node, NodeAddress, Role, Scope,
    VrrpVersion,
};
use relevo_model::{AddressName, GroupName, NetworkName, NodeName};
use relevo_node::director::Director;
use serde::{Deserialize, Serialize};

use super::{Process, SECOND_VIP, VIP, World, wait_for};

/// [`super::VIP`] and [`super::VIP6`] in a cluster file.
pub(crate) const FRONT: &str = "[address.front]\nnetwork = \"public\"\nip = \"10.77.0.254\"\n";
pub(crate) const FRONT6: &str = "[address.front6]\nnetwork = \"public\"\nip = \"fd77::fe\"\n";

/// What a test chooses. Priorities of `a` and `b`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) node: String,
    pub(crate) priorities: [u8; 2],
    pub(crate) preempt: bool,
    pub(crate) version: u8,
    pub(crate) advert_ms: u64,
    pub(crate) password: Option<String>,
    /// 1: `public`; 2: `internal` too.
    pub(crate) networks: u8,
    /// A cluster file instead of all this.
    pub(crate) file: Option<String>,
}

impl Settings {
    /// The defaults of a cluster file.
    pub(crate) fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            priorities: [150, 100],
            preempt: false,
            version: 3,
            advert_ms: 100,
            password: None,
            networks: 1,
            file: None,
        }
    }

    /// A cluster file of both families: with this in its group, and these addresses.
    pub(crate) fn of_both_families(node: &str, group: &str, addresses: &str) -> Self {
        let file = format!(
            "name = \"test\"\n[network.public]\nsubnet = [\"10.77.0.0/24\", \"fd77::/64\"]\n\
             [node.a]\nroles = [\"director\"]\naddress.public = [\"10.77.0.1\", \"fd77::1\"]\n\
             [node.b]\nroles = [\"director\"]\naddress.public = [\"10.77.0.2\", \"fd77::2\"]\n\
             [group.web]\nvrid = 51\npriority = {{ a = 150, b = 100 }}\n{group}\n{addresses}\n"
        );
        Self { file: Some(file), ..Self::new(node) }
    }

    fn cluster(&self) -> ClusterFile {
        if let Some(text) = &self.file {
            let reading = relevo_model::read(text);
            return reading.cluster.unwrap_or_else(|| panic!("{:#?}", reading.diagnostics));
        }
        // Name, third last byte of all addresses, VRID, virtual address.
        let all = [("public", 77, 51, VIP), ("internal", 78, 52, SECOND_VIP)];
        let used = &all[..usize::from(self.networks)];
        let node = |name: &str, last: u8| Node {
            name: NodeName::new(name),
            roles: vec![Role::Director],
            addresses: used
                .iter()
                .map(|(network, net, ..)| NodeAddress {
                    network: NetworkName::new(network),
                    ip: Ipv4Addr::new(10, *net, 0, last),
                    ip6: None,
                    interface: None,
                })
                .collect(),
            macs: std::collections::BTreeMap::new(),
        };
        let [a, b] = self.priorities;
        let mut priorities = vec![(NodeName::new("a"), a), (NodeName::new("b"), b)];
        priorities.sort_by_key(|(_, priority)| std::cmp::Reverse(*priority));
        ClusterFile {
            name: "test".to_owned(),
            networks: used
                .iter()
                .map(|(network, net, ..)| Network {
                    name: NetworkName::new(network),
                    subnet: format!("10.{net}.0.0/24").parse().unwrap(),
                    mtu: None,
                    subnet6: None,
                })
                .collect(),
            nodes: vec![node("a", 1), node("b", 2)],
            groups: vec![Group {
                name: GroupName::new("web"),
                vrids: used.iter().map(|(network, _, vrid, _)| (NetworkName::new(network), *vrid)).collect(),
                priorities,
                advert: Duration::from_millis(self.advert_ms),
                preempt: self.preempt,
                version: if self.version == 2 { VrrpVersion::V2 } else { VrrpVersion::V3 },
                password: self.password.clone(),
                bfd: None,
                heartbeat: Vec::new(),
                preempt_delay: Duration::ZERO,
                drain: Duration::from_secs(60),
                startup_delay: Duration::ZERO,
                boot_delay: Duration::ZERO,
                track_services: true,
                trackers: Vec::new(),
                along: relevo_model::cluster::Along::default(),
                missed: 3,
                unicast: None,
                multicast: Multicast::default(),
                hmac: None,
                mac: MacSource::Interface,
                accept: true,
                announce: Announce::default(),
            }],
            addresses: used
                .iter()
                .map(|(network, _, _, ip)| Address {
                    name: AddressName::new(&format!("{network}-front")),
                    group: GroupName::new("web"),
                    network: NetworkName::new(network),
                    ip: (*ip).into(),
                    prefix: 32,
                    interface: None,
                    label: None,
                    scope: Scope::Global,
                    watched: true,
                })
                .collect(),
            ..ClusterFile::default()
        }
    }
}

/// A running director.
pub(crate) struct Running {
    pub(crate) process: Process,
    answers: Receiver<String>,
    log: Arc<Mutex<String>>,
}

impl Running {
    /// Starts one in the namespace of its node.
    pub(crate) fn start(world: &World, settings: &Settings) -> Self {
        Self::start_with(world, settings, &[])
    }

    /// Starts one behind other words, as in `setpriv ...`.
    pub(crate) fn start_with(world: &World, settings: &Settings, before: &[&str]) -> Self {
        let own = std::env::current_exe().unwrap();
        let mut words = before.to_vec();
        words.extend([own.to_str().unwrap(), "--exact", "lab_director_process", "--nocapture"]);
        let mut child = world
            .command(&settings.node, &words)
            .env(VARIABLE, serde_json::to_string(settings).unwrap())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, answers) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                // The rest is the test harness's talk.
                if let Some(answer) = line.strip_prefix(ANSWER) {
                    let _ = sender.send(answer.to_owned());
                }
            }
        });
        let log = Arc::new(Mutex::new(String::new()));
        let err = BufReader::new(child.stderr.take().unwrap());
        let (node, kept) = (settings.node.clone(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in err.lines().map_while(Result::ok) {
                eprintln!("director {node}: {line}");
                *kept.lock().unwrap() += &(line + "\n");
            }
        });
        Self { process: Process { child }, answers, log }
    }

    /// Gives a command and waits for the answer.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.answers.recv_timeout(Duration::from_secs(30)).expect("the director answers")
    }

    /// Gives a command.
    pub(crate) fn tell(&mut self, command: &str) {
        let stdin = self.process.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{command}").expect("the director runs");
    }

    /// The status of its group.
    pub(crate) fn status(&mut self) -> GroupStatus {
        let groups: Vec<GroupStatus> = serde_json::from_str(&self.ask("status")).unwrap();
        groups.into_iter().next().unwrap()
    }

    /// Waits for a state.
    pub(crate) fn wait(&mut self, state: GroupState) {
        wait_for(&format!("the director is {state:?}"), || self.status().state == state);
    }

    /// What it wrote on standard error.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Gives everything away and waits for the end.
    pub(crate) fn stop(mut self) {
        self.tell("stop");
        self.process.join();
    }
}

/// Is the director when the environment says so; otherwise a test that has nothing to do.
pub(crate) fn process() {
    let Ok(settings) = std::env::var(VARIABLE) else { return };
    let settings: Settings = serde_json::from_str(&settings).unwrap();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false).init();
    let director = match Director::start(&settings.cluster(), &NodeName::new(&settings.node)) {
        Ok(director) => director,
        Err(error) => {
            eprintln!(
                "refused: {error}: {}",
                std::error::Error::source(&error).map_or(String::new(), |it| it.to_string())
            );
            std::process::exit(2);
        }
    };
    // The first byte ends the harness's "test lab_director_process ... ", which has no end of line.
    println!();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words.as_slice() {
            ["status"] => serde_json::to_string(&director.status()).unwrap(),
            ["switchover", group, rest @ ..] => {
                let to = rest.first().map(|name| NodeName::new(name));
                let answer = director.switchover(group, to.as_ref()).map_err(|error| error.to_string());
                serde_json::to_string(&answer).unwrap()
            }
            ["keys"] => format!("{:?}", director.read_keys_again().map_err(|error| error.to_string())),
            ["stop-at-once"] => {
                let brake = director.brake();
                std::thread::spawn(move || director.shutdown());
                std::thread::sleep(Duration::from_millis(100));
                brake.pull();
                std::process::exit(0);
            }
            ["stop"] => {
                director.shutdown();
                std::process::exit(0);
            }
            _ => panic!("not a command: {line}"),
        };
        println!("{ANSWER}{answer}");
    }
    std::process::exit(0);
}

const VARIABLE: &str = "RELEVO_TEST_DIRECTOR";
const ANSWER: &str = "answer: ";
