//! The way out over IPv6: servers reach a client's machine through whoever is active, under the group's address or under
//! their own; routes and rules of IPv6 move along.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "tests only")]

mod support;

use std::net::Ipv6Addr;
use std::process::{Child, Stdio};
use std::sync::atomic::AtomicBool;

use relevo_api::types::GroupState;
use relevo_lab::Lab;
use relevo_lab::drill::{RunOptions, find, run};
use support::{Guard, example, need_root, program, run_in, stderr, stdout, wait_until};

/// S1 with IPv6 on both networks; `four`: the first numbers of its own IPv4 networks.
fn s1(name: &str, [outside, inside]: [&str; 2], four: u8, gateway: &str) -> String {
    let text = example("s1", name)
        .replace("10.0.10.", &format!("10.{four}.10."))
        .replace("192.168.176.", &format!("10.{four}.20."));
    let twice = |text: String, network: &str, prefix: &str| {
        text.lines()
            .map(|line| match line.split_once('"') {
                Some((key, rest)) if key.trim_start().starts_with(&format!("address.{network}")) => {
                    let ip = rest.split('"').next().unwrap();
                    let last = ip.rsplit('.').next().unwrap();
                    format!("{key}[\"{ip}\", \"{prefix}{last}\"]\n")
                }
                _ => format!("{line}\n"),
            })
            .collect::<String>()
    };
    let text = twice(twice(text, "external", outside), "internal", inside);
    let text = text
        .replace(&format!("\"10.{four}.20.0/24\""), &format!("[\"10.{four}.20.0/24\", \"{outside}/64\"]"))
        .replace(&format!("\"10.{four}.10.0/24\""), &format!("[\"10.{four}.10.0/24\", \"{inside}/64\"]"))
        .replace("listen = \"inside\"", "listen = [\"inside\", \"inside6\"]")
        .replace("[gateway]\nfrom = \"internal\"\nto = \"external\"\n", gateway);
    format!(
        "{text}\n[address.outside6]\nnetwork = \"external\"\nip = \"{outside}200\"\ngroup = \"farm\"\n\
         [address.inside6]\nnetwork = \"internal\"\nip = \"{inside}200\"\ngroup = \"farm\"\n"
    )
}

/// A web server on the client's machine, over IPv6.
struct Origin(Child, String);

impl Origin {
    fn on(lab: &Lab) -> Self {
        let ip: Ipv6Addr = lab.cluster().lab.clients[0].ip6.unwrap();
        let at = format!("[{ip}]:8099");
        let relevo = program();
        let argv = [relevo.to_str().unwrap(), "origin", "--listen", &at, "--name", "far"];
        let argv = argv.map(str::to_owned);
        let child = lab.command("client", &argv).unwrap().stdout(Stdio::null()).spawn().unwrap();
        Self(child, at)
    }

    /// Who the client's machine says asks, from `node`; empty: nobody gets there.
    fn asked_from(&self, lab: &Lab, node: &str) -> String {
        let url = format!("http://{}/", self.1);
        stdout(&run_in(lab, node, &["curl", "-6", "--silent", "--max-time", "1", &url]))
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pings(lab: &Lab, node: &str) -> bool {
    let ip = lab.cluster().lab.clients[0].ip6.unwrap().to_string();
    run_in(lab, node, &["busybox", "ping6", "-c", "1", "-W", "1", &ip]).status.success()
}

/// The active director, and the other one.
fn roles(lab: &Lab) -> Option<[&'static str; 2]> {
    let is_active = |node: &str| {
        lab.node_status(node)
            .is_ok_and(|status| status.groups.iter().any(|it| it.state == GroupState::Active))
    };
    match (is_active("master"), is_active("standby")) {
        (true, false) => Some(["master", "standby"]),
        (false, true) => Some(["standby", "master"]),
        _ => None,
    }
}

fn switch_over(lab: &Lab) -> [&'static str; 2] {
    wait_until("one director is active", || roles(lab).is_some());
    let [before, next] = roles(lab).unwrap();
    let moved = run_in(lab, before, &[program().to_str().unwrap(), "switchover", "farm"]);
    assert!(moved.status.success(), "{}", stderr(&moved));
    wait_until("the other one is active", || roles(lab) == Some([next, before]));
    [next, before]
}

#[test]
fn lab_servers_with_local_addresses_leave_under_the_groups_whoever_is_active() {
    need_root();
    let gateway = "[gateway.six]\nfrom = \"internal\"\nto = \"external\"\nfamily = \"ipv6\"\n\
                   [gateway.four]\nfrom = \"internal\"\nto = \"external\"\nfamily = \"ipv4\"\n";
    let lab = Guard::up(&s1("test-six", ["fd66:1::", "fd66:10::"], 91, gateway));
    let origin = Origin::on(&lab);
    let reaches = || {
        wait_until("server1 asks as the group's address", || {
            origin.asked_from(&lab, "server1").contains("fd66:1::200")
        });
        wait_until("server1 pings", || pings(&lab, "server1"));
    };
    reaches();
    let [now, _] = switch_over(&lab);
    reaches();
    let status = lab.node_status(now).unwrap();
    let way = status.gateways.iter().find(|way| way.name.as_str() == "six").unwrap();
    assert_eq!((way.source, way.here), (Some("fd66:1::200".parse().unwrap()), true), "{way:?}");
    // The name server of the farm is asked over IPv6.
    let asked = run_in(&lab, "server1", &["busybox", "nslookup", "master.s1.internal", "fd66:10::200"]);
    assert!(stdout(&asked).contains("fd66:10::1"), "{}{}", stdout(&asked), stderr(&asked));
    // What they keep open lives through a loss of power.
    let options = RunOptions::new(program());
    let played = run(&lab, find("gateway-moves").unwrap(), &options, &AtomicBool::new(false), |_, run| {
        println!("{run:?}");
    });
    assert_eq!(lab.cluster().gateways[0].name.as_str(), "six", "the drill takes the first one");
    let report = played.unwrap().report;
    let run = report.runs.first().unwrap();
    // Times are the drill's, which is for a quiet machine.
    assert!(run.takeover_ms.is_some() && run.problem.is_none() && run.cut == 0, "{run:?}");
    reaches();
    lab.down();
}

#[test]
fn lab_servers_with_global_addresses_keep_them_and_strangers_stay_out() {
    need_root();
    let gateway = "[gateway]\nfrom = \"internal\"\nto = \"external\"\n\
                   [[group.farm.policy]]\ninterface = \"internal\"\ntable = 77\npriority = 701\n\
                   [[group.farm.policy]]\nfrom = \"2001:db8:10::/64\"\ntable = 77\npriority = 702\n\
                   [[group.farm.route]]\nto = \"2001:db8:77::/48\"\nvia = \"2001:db8:1::77\"\ntable = 77\n\
                   network = \"external\"\n";
    // Nobody has the next router: a route to it can be put on all the same.
    let text = s1("test-six-plain", ["2001:db8:1::", "2001:db8:10::"], 92, gateway);
    let text = text.replace("[group.farm]\n", "[group.farm]\nmac = \"virtual\"\n");
    let lab = Guard::up(&text);
    let origin = Origin::on(&lab);
    let own = "2001:db8:10::110";
    let check = |[active, other]: [&str; 2]| {
        wait_until("server1 asks as itself", || origin.asked_from(&lab, "server1").contains(own));
        wait_until("server1 pings", || pings(&lab, "server1"));
        let url = format!("http://[{own}]:80/");
        let asked = run_in(&lab, "client", &["curl", "-6", "--silent", "--max-time", "2", &url]);
        assert!(!asked.status.success(), "the client came in: {}", stdout(&asked));
        let rules = |node: &str| stdout(&run_in(&lab, node, &["ip", "-6", "rule"]));
        wait_until("the rules have moved", || {
            let (here, there) = (rules(active), rules(other));
            here.contains("701:")
                && here.contains("702:")
                && !there.contains("701:")
                && !there.contains("702:")
        });
        let routes = |node: &str| stdout(&run_in(&lab, node, &["ip", "-6", "route", "show", "table", "77"]));
        wait_until("the route has moved", || {
            routes(active).contains("2001:db8:77::/48") && !routes(other).contains("2001:db8:77::/48")
        });
    };
    wait_until("one director is active", || roles(&lab).is_some());
    check(roles(&lab).unwrap());
    check(switch_over(&lab));
    lab.down();
}
