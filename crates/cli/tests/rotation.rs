//! Keys are replaced while the cluster serves: the adverts' keys and those of the channel between directors, in the three steps
//! of `docs/guide/keys.md`, by key files and `relevo reload` on running nodes.
//!
//! Needs root.

#[path = "support/apache_lab.rs"]
#[allow(dead_code, reason = "this test asks nobody with curl")]
mod apache_lab;
#[path = "../../lab/tests/support/caretaker.rs"]
mod caretaker;
#[path = "support/wait.rs"]
mod wait;

use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use apache_lab::Lab;
use serde_json::Value;
use wait::wait_until;

const NODES: [&str; 2] = ["lb1", "lb2"];
const PEERS_KEY: &str = "/run/relevo/peers.key";

/// Two directors; what each finds in `keys` is its own, as on two machines.
struct Pair {
    lab: Lab,
    folder: PathBuf,
}

impl Pair {
    fn up(name: &str, first: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("relevo-rotation-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("keys")).expect("a folder");
        write(&folder.join("keys/vrrp.key"), first);
        let text = format!(
            "name = \"rotation\"\n[network.lan]\nsubnet = [\"10.174.1.0/24\", \"fd74:1::/64\"]\n[network.heart]\nsubnet = \"10.174.2.0/24\"\n\
             [node.lb1]\nroles = [\"director\"]\naddress.lan = [\"10.174.1.1\", \"fd74:1::1\"]\naddress.heart = \"10.174.2.1\"\n\
             [node.lb2]\nroles = [\"director\"]\naddress.lan = [\"10.174.1.2\", \"fd74:1::2\"]\naddress.heart = \"10.174.2.2\"\n\
             [group.web]\nvrid = 51\nheartbeat = \"heart\"\nhmac = \"{}\"\n\
             [address.front]\nnetwork = \"lan\"\nip = \"10.174.1.200\"\n[address.front6]\nnetwork = \"lan\"\nip = \"fd74:1::200\"\n\
             [peers]\nkey = \"{PEERS_KEY}\"\n",
            folder.join("keys/vrrp.key").display()
        );
        let file = folder.join("cluster.toml");
        fs::write(&file, text).expect("the file");
        let pair = Self { lab: Lab::up(file.to_str().expect("a path")), folder };
        for node in NODES {
            let own = pair.folder.join(node);
            fs::create_dir_all(&own).expect("a folder");
            write(&own.join("vrrp.key"), first);
            let keys = pair.folder.join("keys");
            pair.on(node, &["mount", "--bind", &own.to_string_lossy(), &keys.to_string_lossy()]);
        }
        pair
    }

    fn on(&self, node: &str, command: &[&str]) -> String {
        let mut arguments = vec!["lab", "exec", node, "--"];
        arguments.extend(command);
        self.lab.relevo(&arguments)
    }

    /// Gives a director its keys, for adverts and for the channel, and has it read them.
    fn give(&self, node: &str, adverts: &str, channel: &str) {
        write(&self.folder.join(node).join("vrrp.key"), adverts);
        let next = self.folder.join(node).join("peers.key");
        write(&next, channel);
        self.on(node, &["cp", &self.folder.join("keys/peers.key").to_string_lossy(), PEERS_KEY]);
        self.on(node, &["relevo", "reload"]);
    }

    fn status(&self, node: &str) -> Value {
        serde_json::from_str(&self.on(node, &["relevo", "status", "--json"])).expect("a status")
    }

    /// What is the matter, if anything is: state, adverts that were dropped, ways of the channel, what the other one says.
    fn trouble(&self, node: &str) -> Option<String> {
        let status = self.status(node);
        let group = &status["groups"][0];
        let ways = status["paths"].as_array().expect("paths");
        let opinions = group["opinions"].as_array().expect("opinions");
        let fine = group["active"] == "lb1"
            && group["state"] == if node == "lb1" { "active" } else { "backup" }
            && group["dropped"] == 0
            && group["held_back"].is_null()
            && ways.len() == 2
            && ways.iter().all(|way| way["hears"] == true && way["heard"] == true)
            && opinions.len() == 1
            && opinions.iter().all(|one| one["agrees"] == true);
        (!fine).then(|| format!("{node}: {group:#}\n{:#}", status["paths"]))
    }

    /// Neither director sees anything wrong, for as long as ten adverts and several words of the channel take.
    fn stays_well(&self, when: &str) {
        let end = Instant::now() + Duration::from_millis(1200);
        while Instant::now() < end {
            for node in NODES {
                assert_eq!(self.trouble(node), None, "{when}");
            }
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What `ip monitor` tells of a node's addresses.
struct Watch(Child);

impl Watch {
    fn new(pair: &Pair, node: &str) -> Self {
        let mut command = pair.lab.command(&["lab", "exec", node, "--", "ip", "-o", "monitor", "address"]);
        Self(command.stdout(Stdio::piped()).process_group(0).spawn().expect("ip starts"))
    }

    fn told(mut self) -> String {
        let mut told = String::new();
        self.end();
        let mut out = self.0.stdout.take().expect("its output");
        out.read_to_string(&mut told).expect("its words");
        told
    }

    fn end(&mut self) {
        let group = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).expect("a process id"));
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whole, and for its owner alone.
fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let next = path.with_extension("next");
    fs::write(&next, text).expect("a file");
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).expect("its mode");
    fs::rename(&next, path).expect("a file");
}

/// Keys as `relevo key` prints them: for adverts with a number, for the channel without.
fn keys(pair_of: &Lab, number: u8) -> (String, String) {
    let id = number.to_string();
    (pair_of.relevo(&["key", "--id", &id]), pair_of.relevo(&["key"]))
}

#[test]
fn lab_rotation_of_all_keys_moves_nothing() {
    let first = format!("1 {}\n", "5a".repeat(32));
    let pair = Pair::up("all", &first);
    let ((new, new_channel), (third, third_channel)) = (keys(&pair.lab, 2), keys(&pair.lab, 3));
    let first_channel = pair.on("lb1", &["cat", PEERS_KEY]);
    wait_until("all is well", || NODES.iter().all(|node| pair.trouble(node).is_none()));
    let since = |node: &str| {
        let group = pair.status(node)["groups"][0].clone();
        (group["since"].clone(), group["transitions"].clone())
    };
    let before = NODES.map(since);
    // What happens to the addresses all the while.
    let watches = NODES.map(|node| Watch::new(&pair, node));
    let steps = |old: &(String, String), new: &(String, String)| {
        [
            (format!("{}{}", old.0, new.0), format!("{}{}", old.1, new.1)),
            (format!("{}{}", new.0, old.0), format!("{}{}", new.1, old.1)),
            new.clone(),
        ]
    };
    let (first, new, third) = ((first, first_channel), (new, new_channel), (third, third_channel));
    // The active director first, then the other one first.
    for (order, steps) in [(["lb1", "lb2"], steps(&first, &new)), (["lb2", "lb1"], steps(&new, &third))] {
        for (step, (adverts, channel)) in steps.iter().enumerate() {
            for node in order {
                pair.give(node, adverts, channel);
                pair.stays_well(&format!("{order:?}, step {} on {node}", step + 1));
            }
        }
    }
    // Keys in another order on each, as when a step was made on one director alone.
    pair.give("lb1", &format!("{}{}", third.0, new.0), &format!("{}{}", third.1, new.1));
    pair.give("lb2", &format!("{}{}", new.0, third.0), &format!("{}{}", new.1, third.1));
    pair.stays_well("each signs with another key");
    assert_eq!(NODES.map(since), before, "nobody changed his state");
    let [first, second] = watches.map(Watch::told);
    assert!(
        first.contains("10.174.1.200") && first.contains("fd74:1::200"),
        "its leases are refreshed: {first}"
    );
    assert!(!first.contains("Deleted"), "lb1 has the addresses all the while: {first}");
    assert!(!second.contains(".200") && !second.contains("::200"), "lb2 never has: {second}");
    // They do look at signatures: a director whose keys are others hears nobody, and says why.
    let (strange, strange_channel) = keys(&pair.lab, 9);
    pair.give("lb2", &strange, &strange_channel);
    wait_until("lb2 drops what lb1 says", || {
        let status = pair.status("lb2");
        status["groups"][0]["dropped"] != 0
            && status["paths"].as_array().expect("paths").iter().all(|way| way["hears"] != true)
    });
    pair.give("lb2", &third.0, &third.1);
    wait_until("one of them yields", || {
        NODES.iter().filter(|node| pair.status(node)["groups"][0]["state"] == "active").count() == 1
    });
}
