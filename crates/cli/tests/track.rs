//! Trackers in a lab: what a director watches moves its address, and the client hardly notices.
//!
//! Needs root, and curl.

#[path = "../../lab/tests/support/caretaker.rs"]
mod caretaker;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use caretaker::Caretaker;
use serde_json::Value;

const VIP: &str = "192.168.186.200";

/// Two directors with a second network to their servers, which the group has no address on.
const CLUSTER: &str = r#"name = "rt-track"
[network.lan]
subnet = ["192.168.186.0/24", "fd00:186::/64"]
[network.back]
subnet = "10.186.0.0/24"
[node.lb1]
roles = ["director"]
address.lan = ["192.168.186.11", "fd00:186::11"]
address.back = "10.186.0.11"
[node.lb2]
roles = ["director"]
address.lan = ["192.168.186.12", "fd00:186::12"]
address.back = "10.186.0.12"
[node.web1]
roles = ["server"]
address.back = "10.186.0.21"
[node.web2]
roles = ["server"]
address.back = "10.186.0.22"
[address.front]
network = "lan"
ip = "192.168.186.200"
[service.web]
listen = "front:80"
mode = "http"
servers = ["web1:80", "web2:80"]
check = { http = "/", interval = "500ms", timeout = "400ms" }
[group.main]
priority = { lb1 = 150, lb2 = 100 }
"#;

/// A lab; it is taken down when this value is dropped.
struct Lab {
    folder: PathBuf,
    _caretaker: Caretaker,
}

impl Lab {
    fn up(name: &str, more: impl FnOnce(&str) -> String) -> Self {
        let folder = std::env::temp_dir().join(format!("relevo-track-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        let path = folder.to_str().expect("a path in UTF-8").to_owned();
        let cleanup = "RELEVO_LAB_DIR=$2 \"$1\" lab down; rm -r -- \"$2\"";
        let caretaker = Caretaker::new(cleanup, &[env!("CARGO_BIN_EXE_relevo"), &path]);
        let lab = Self { folder, _caretaker: caretaker };
        let file = lab.folder.join("cluster.toml");
        std::fs::write(&file, format!("{CLUSTER}{}", more(&path))).expect("the cluster file");
        lab.relevo(&["lab", "up", file.to_str().expect("a path in UTF-8")]);
        lab
    }

    fn relevo(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relevo"));
        let output = command.env("RELEVO_LAB_DIR", &self.folder).args(arguments).output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} ended with {}\n{text}\n{error}", output.status);
        text
    }

    fn on(&self, node: &str, command: &[&str]) -> String {
        self.relevo(&[&["lab", "exec", node, "--"], command].concat())
    }

    fn group(&self, node: &str) -> Value {
        let status = self.on(node, &[env!("CARGO_BIN_EXE_relevo"), "--json", "status"]);
        let status: Value = serde_json::from_str(&status).expect("JSON");
        status["groups"][0].clone()
    }

    fn wait_for(&self, node: &str, what: &str, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let group = self.group(node);
            if is_it(&group) {
                return group;
            }
            assert!(Instant::now() < deadline, "not within 20 s on {node}: {what}\n{group:#}");
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn wait_active(&self, node: &str) -> Value {
        self.wait_for(node, "it is active", |group| group["state"] == "active")
    }

    /// Waits until all servers are found; then lb1 has the address.
    fn begin(&self) {
        for node in ["lb1", "lb2"] {
            self.wait_for(node, "its servers are found", |group| {
                let is_up = |tracker: &Value| tracker["name"] != "web" || tracker["verdict"] == "up";
                group["trackers"].as_array().is_some_and(|all| all.iter().all(is_up))
            });
            let is_well = |group: &Value| group["state"] == "active" || group["state"] == "backup";
            self.wait_for(node, "nothing is wrong with it", is_well);
        }
        if self.group("lb1")["state"] != "active" {
            self.on("lb1", &[env!("CARGO_BIN_EXE_relevo"), "switchover", "main", "--to", "lb1"]);
        }
        self.wait_active("lb1");
    }

    /// Makes a file that a tracker or a script looks at.
    fn touch(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).expect("a file");
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder.join(name)).expect("a file");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relevo"));
        let _ = command.env("RELEVO_LAB_DIR", &self.folder).args(["lab", "down"]).output();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Asks without pause, each time over a new connection, while something happens: how long nobody answered well.
fn longest_gap(happens: impl FnOnce()) -> Duration {
    meanwhile(happens).0
}

/// The same, with the statuses that were errors.
fn meanwhile(happens: impl FnOnce()) -> (Duration, Vec<String>) {
    let script = format!(
        "while :; do curl -s -o /dev/null -m 0.3 -w '%{{http_code}} ' http://{VIP}/; date +%s%N; sleep 0.01; done"
    );
    let mut client =
        Command::new("/bin/sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().expect("a shell");
    happens();
    client.kill().expect("it runs until it is killed");
    let output = client.wait_with_output().expect("what it said");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let good = text.lines().filter_map(|line| line.strip_prefix("200 ")?.parse::<u64>().ok());
    let good: Vec<u64> = good.collect();
    assert!(good.len() > 8, "{text}");
    let gaps = good.windows(2).map(|pair| pair[1] - pair[0]);
    let errors = text.lines().filter(|line| line.starts_with(['4', '5'])).map(str::to_owned);
    (Duration::from_nanos(gaps.max().unwrap_or_default()), errors.collect())
}

/// A tracker that only lb1 has trouble with.
fn script(path: &str, name: &str) -> String {
    format!(
        "script = [\"/bin/sh\", \"-c\", \"test $RELEVO_NODE = lb2 || ! test -e {path}/{name}\"]\ninterval = \"100ms\"\n"
    )
}

fn tracker<'a>(group: &'a Value, name: &str) -> &'a Value {
    let all = group["trackers"].as_array().expect("trackers");
    all.iter().find(|tracker| tracker["name"] == name).unwrap_or_else(|| panic!("no {name} in {group:#}"))
}

#[test]
fn lab_track_a_script_with_a_weight_moves_the_address_without_preemption() {
    let lab =
        Lab::up("script", |path| format!("[group.main.track.load]\nweight = -60\n{}", script(path, "ill")));
    lab.wait_active("lb1");
    let gap = longest_gap(|| {
        thread::sleep(Duration::from_millis(500));
        lab.touch("ill", "");
        lab.wait_active("lb2");
        thread::sleep(Duration::from_millis(500));
    });
    println!("longest gap {gap:?}");
    assert!(gap < Duration::from_millis(900), "{gap:?}: it is made before it is broken");
    let group = lab.wait_for("lb1", "its priority is lower", |group| group["effective_priority"] == 90);
    let load = tracker(&group, "load");
    assert_eq!((&load["verdict"], &load["weight"]), (&Value::from("down"), &Value::from(-60)));
    assert!(load["evidence"].as_str().is_some_and(|words| words.contains("failed with code 1")), "{load}");
    let winner = lab.group("lb2");
    assert!(winner["reason"].as_str().is_some_and(|why| why.contains("worse off")), "{winner:#}");
    println!("{}", lab.on("lb1", &[env!("CARGO_BIN_EXE_relevo"), "status"]));
    // It gets well, and the address stays where it is.
    lab.remove("ill");
    lab.wait_for("lb1", "it is well again", |group| group["effective_priority"] == 150);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(lab.group("lb2")["state"], "active");
}

#[test]
fn lab_track_a_director_that_reaches_no_server_gives_way() {
    let lab = Lab::up("service", |_| String::new());
    lab.begin();
    let gap = longest_gap(|| {
        thread::sleep(Duration::from_millis(500));
        lab.relevo(&["lab", "fault", "unplug", "lb1", "back"]);
        lab.wait_active("lb2");
        thread::sleep(Duration::from_secs(1));
    });
    println!("longest gap {gap:?}");
    assert!(gap < Duration::from_secs(5), "{gap:?}: three checks, and a takeover");
    let group = lab.wait_for("lb1", "it knows why", |group| tracker(group, "web")["verdict"] == "down");
    assert_eq!((&group["state"], &group["effective_priority"]), (&Value::from("backup"), &Value::from(1)));
    // Nobody reaches one: who has the address keeps it, and answers 503.
    lab.relevo(&["lab", "fault", "unplug", "lb2", "back"]);
    lab.wait_for("lb2", "it reaches none either", |group| group["effective_priority"] == 1);
    thread::sleep(Duration::from_secs(1));
    assert_eq!(lab.group("lb2")["state"], "active");
    // The first that reaches one again takes the address, though nobody preempts.
    lab.relevo(&["lab", "fault", "plug", "lb1", "back"]);
    lab.wait_active("lb1");
}

#[test]
fn lab_track_an_interface_is_a_fault_and_comes_back_after_a_delay() {
    let lab = Lab::up("interface", |_| {
        "preempt = true\npreempt_delay = \"3s\"\n[group.main.track.inside]\ninterface = \"back\"\n".to_owned()
    });
    lab.begin();
    let gap = longest_gap(|| {
        thread::sleep(Duration::from_millis(500));
        lab.relevo(&["lab", "fault", "unplug", "lb1", "back"]);
        lab.wait_active("lb2");
        thread::sleep(Duration::from_millis(500));
    });
    println!("longest gap {gap:?}");
    assert!(gap < Duration::from_secs(2), "{gap:?}: the kernel tells at once");
    let group = lab.group("lb1");
    assert_eq!(group["state"], "fault");
    assert!(group["reason"].as_str().is_some_and(|why| why.contains("tracker inside")), "{group:#}");
    let gap = longest_gap(|| {
        lab.relevo(&["lab", "fault", "plug", "lb1", "back"]);
        lab.wait_for("lb1", "it is well", |group| group["state"] == "backup");
        let back = Instant::now();
        lab.wait_active("lb1");
        let took = back.elapsed();
        assert!(took > Duration::from_secs(2), "it waited before it took the address back: {took:?}");
        thread::sleep(Duration::from_secs(1));
    });
    println!("longest gap {gap:?}");
    assert!(gap < Duration::from_millis(900), "{gap:?}: it had found its servers before");
}

#[test]
fn lab_track_routes_and_policies_move_and_commands_are_told() {
    let lab = Lab::up("along", |path| {
        format!(
            "notify = [[\"/bin/sh\", \"-c\", \"echo $RELEVO_NODE $@ >> {path}/told\", \"notify\"]]\n\
             [group.main.track.weight]\nfile = \"{path}/weight\"\nweight = 1\ninterval = \"100ms\"\n\
             [[group.main.route]]\nto = \"10.99.0.0/16\"\nvia = \"10.186.0.21\"\nnetwork = \"back\"\nmetric = 7\n\
             [[group.main.route]]\nto = \"default\"\nvia = \"192.168.186.253\"\ntable = 1000\n\
             [[group.main.policy]]\nfrom = \"10.186.0.0/24\"\ntable = 1000\npriority = 500\n"
        )
    });
    lab.begin();
    std::fs::write(lab.folder.join("told"), "").expect("nothing is told yet");
    let routes = |node: &str| lab.on(node, &["ip", "route", "show", "table", "all", "proto", "112"]);
    let rules = |node: &str| lab.on(node, &["ip", "rule", "show"]);
    let has_all = |node: &str| {
        let (routes, rules) = (routes(node), rules(node));
        routes.contains("10.99.0.0/16 via 10.186.0.21 dev back")
            && routes.contains("metric 7")
            && routes.contains("default via 192.168.186.253")
            && rules.contains("500:\tfrom 10.186.0.0/24 lookup 1000")
    };
    let has_none = |node: &str| routes(node).trim().is_empty() && !rules(node).contains("lookup 1000");
    assert!(has_all("lb1"), "{}\n{}", routes("lb1"), rules("lb1"));
    assert!(has_none("lb2"), "{}\n{}", routes("lb2"), rules("lb2"));
    // Somebody removes one: it comes back.
    lab.on("lb1", &["ip", "route", "del", "10.99.0.0/16"]);
    lab.wait_for("lb1", "the route is back", |_| has_all("lb1"));
    lab.on("lb2", &[env!("CARGO_BIN_EXE_relevo"), "switchover", "main", "--to", "lb2"]);
    lab.wait_active("lb2");
    assert!(has_all("lb2") && has_none("lb1"), "{}\n{}", routes("lb1"), rules("lb1"));
    // A killed one leaves them behind, and removes them when it is started again.
    lab.relevo(&["lab", "fault", "kill", "lb2"]);
    lab.wait_active("lb1");
    assert!(has_all("lb1") && has_all("lb2"));
    lab.relevo(&["lab", "fault", "start", "lb2"]);
    lab.wait_for("lb2", "it listens", |group| group["state"] == "backup");
    assert!(has_none("lb2"), "{}\n{}", routes("lb2"), rules("lb2"));
    let told = std::fs::read_to_string(lab.folder.join("told")).expect("what was told");
    println!("{told}");
    let of = |node: &str| -> Vec<String> {
        told.lines().filter_map(|line| line.strip_prefix(node)).map(str::to_owned).collect()
    };
    assert_eq!(of("lb1 "), ["main backup 150", "main active 150"]);
    assert_eq!(of("lb2 "), ["main active 253", "main backup 100"]);
    // The number in a file is added to the priority of both.
    lab.touch("weight", "-30\n");
    lab.wait_for("lb1", "it counts", |group| group["effective_priority"] == 120);
    lab.touch("weight", "-254\n");
    lab.wait_for("lb1", "so little is a fault", |group| group["state"] == "fault");
    lab.touch("weight", "0\n");
    lab.wait_for("lb1", "it is well", |group| group["state"] != "fault");
}

#[test]
fn lab_track_a_director_that_returns_finds_its_servers_before_it_preempts() {
    let lab = Lab::up("return", |_| "preempt = true\n".to_owned());
    lab.begin();
    for network in ["lan", "back"] {
        lab.relevo(&["lab", "fault", "unplug", "lb1", network]);
    }
    lab.wait_active("lb2");
    lab.wait_for("lb1", "it reaches no server", |group| tracker(group, "web")["verdict"] == "down");
    let (gap, errors) = meanwhile(|| {
        for network in ["lan", "back"] {
            lab.relevo(&["lab", "fault", "plug", "lb1", network]);
        }
        lab.wait_active("lb1");
        thread::sleep(Duration::from_secs(1));
    });
    println!("longest gap {gap:?}");
    assert!(errors.is_empty(), "{errors:?}");
    assert!(gap < Duration::from_millis(900), "{gap:?}");
}

#[test]
fn lab_track_an_upgrade_keeps_what_the_trackers_say_and_moves_nothing() {
    let lab = Lab::up("upgrade", |path| {
        format!(
            "notify = [[\"/bin/sh\", \"-c\", \"echo $RELEVO_NODE $@ >> {path}/told\", \"notify\"]]\n\
             [group.main.track.load]\nweight = -20\n{}\
             [[group.main.route]]\nto = \"10.99.0.0/16\"\nvia = \"10.186.0.21\"\nnetwork = \"back\"\n",
            script(path, "ill")
        )
    });
    lab.touch("ill", "");
    lab.begin();
    lab.wait_for("lb1", "it is ill", |group| tracker(group, "load")["verdict"] == "down");
    std::fs::write(lab.folder.join("told"), "").expect("nothing is told yet");
    let before = lab.group("lb2")["transitions"].clone();
    let gap = longest_gap(|| {
        lab.on("lb1", &[env!("CARGO_BIN_EXE_relevo"), "upgrade"]);
        thread::sleep(Duration::from_secs(2));
    });
    println!("longest gap {gap:?}");
    let group = lab.wait_for("lb1", "it is ill", |group| tracker(group, "load")["verdict"] == "down");
    assert_eq!(group["state"], "active");
    assert_eq!(lab.group("lb2")["transitions"], before, "the other one saw nothing");
    let routes = lab.on("lb1", &["ip", "route", "show", "proto", "112"]);
    assert!(routes.contains("10.99.0.0/16 via 10.186.0.21 dev back"), "{routes}");
    assert_eq!(std::fs::read_to_string(lab.folder.join("told")).expect("a file"), "", "nothing has changed");
    // The next process takes the routes off as its own.
    lab.on("lb2", &[env!("CARGO_BIN_EXE_relevo"), "switchover", "main", "--to", "lb2"]);
    lab.wait_active("lb2");
    let routes = lab.on("lb1", &["ip", "route", "show", "proto", "112"]);
    assert!(routes.trim().is_empty(), "{routes}");
}

#[test]
fn lab_track_ipv6_gateways_routes_and_bfd() {
    let lab = Lab::up("six", |_| {
        let more = r#"bfd = true
[address.six]
network = "lan"
ip = "fd00:186::200"
[group.main.track.way]
ping = "fd00:186::77"
interval = "200ms"
weight = -60
[group.main.track.local]
ping = "fe80::77%lan"
interval = "200ms"
weight = -60
[group.main.track.detour]
route = "fd00:99::/48"
reverse = true
weight = -60
"#;
        more.to_owned()
    });
    // The router of the network.
    for ip in ["fd00:186::77/64", "fe80::77/64"] {
        lab.on("client", &["ip", "-6", "address", "add", ip, "dev", "lan", "nodad"]);
    }
    lab.begin();
    let up = |name: &'static str| move |group: &Value| tracker(group, name)["verdict"] == "up";
    for node in ["lb1", "lb2"] {
        for name in ["way", "local", "detour"] {
            lab.wait_for(node, "nothing is wrong over IPv6", up(name));
        }
    }
    assert_eq!(lab.group("lb1")["active"], "lb1", "by its name, not by its link-local address");
    let back = |name: &'static str| {
        lab.wait_for("lb1", "it is well again", up(name));
        lab.on("lb1", &[env!("CARGO_BIN_EXE_relevo"), "switchover", "main", "--to", "lb1"]);
        lab.wait_active("lb1");
    };
    lab.on(
        "lb1",
        &["nft", "add table inet deaf; add chain inet deaf in { type filter hook input priority 0; }"],
    );
    for (name, ip) in [("way", "fd00:186::77"), ("local", "fe80::77")] {
        let rule = format!("add rule inet deaf in ip6 saddr {ip} icmpv6 type echo-reply drop");
        lab.on("lb1", &["nft", &rule]);
        lab.wait_active("lb2");
        assert_eq!(tracker(&lab.group("lb1"), name)["verdict"], "down");
        lab.on("lb1", &["nft", "flush chain inet deaf in"]);
        back(name);
    }
    let detour = ["ip", "-6", "route", "add", "fd00:99::/48", "via", "fd00:186::77"];
    lab.on("lb1", &detour);
    lab.wait_active("lb2");
    lab.on("lb1", &detour.map(|word| if word == "add" { "del" } else { word }));
    back("detour");
    // Each family has a session of its own.
    let status = lab.on("lb2", &[env!("CARGO_BIN_EXE_relevo"), "--json", "status"]);
    let status: Value = serde_json::from_str(&status).expect("JSON");
    let sessions = status["bfd"].as_array().expect("sessions");
    let six = sessions.iter().find(|one| one["at"] == "fd00:186::11").expect("a session over IPv6");
    assert_eq!(six["state"], "up", "{sessions:?}");
    lab.relevo(&["lab", "fault", "kill", "lb1"]);
    lab.wait_active("lb2");
}
