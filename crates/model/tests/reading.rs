//! What a right file means: defaults, names for addresses, and the lab that is made from the rest.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use relevo_model::cluster::{CheckKind, ClusterFile, Mode, Pool, Service, VrrpVersion};
use relevo_model::{diagnostic, read};

const BASE: &str = r#"
name = "shop"
[network.lan]
subnet = "10.1.0.0/24"
[network.farm]
subnet = "10.2.0.0/24"
[node.lb1]
roles = ["director"]
address = { lan = "10.1.0.11", farm = { ip = "10.2.0.11", interface = "eth1" } }
[node.lb2]
roles = ["director"]
address = { lan = "10.1.0.12", farm = "10.2.0.12" }
[node.web1]
roles = ["server"]
address.farm = "10.2.0.21"
[address.front]
network = "lan"
ip = "10.1.0.200"
"#;

fn right(more: &str) -> ClusterFile {
    let text = format!("{BASE}{more}");
    let reading = read(&text);
    assert!(reading.diagnostics.is_empty(), "{}", diagnostic::render("test", &text, &reading.diagnostics));
    reading.cluster.unwrap()
}

fn service(more: &str) -> (Service, Pool) {
    let mut cluster =
        right(&format!("[service.web]\nlisten = \"front:80\"\nservers = [\"web1:80\"]\n{more}"));
    (cluster.services.remove(0), cluster.pools.remove(0))
}

#[test]
fn a_service_has_the_documented_defaults() {
    let (tcp, pool) = service("");
    assert_eq!((tcp.mode, tcp.forwarded_for), (Mode::Tcp, false));
    assert_eq!((tcp.limits.connections, tcp.limits.header, pool.fallback), (10_000, 16_384, None));
    assert_eq!((pool.check.kind, pool.check.rise, pool.check.fall), (CheckKind::Connect, 2, 3));
    assert_eq!(
        (pool.check.interval, pool.check.timeout),
        (Duration::from_secs(1), Duration::from_millis(500))
    );
    let times = tcp.timeouts;
    assert_eq!(
        [pool.timeouts.connect, times.client, pool.timeouts.server].map(|time| time.as_secs()),
        [1, 30, 30]
    );
    assert_eq!([times.request, times.keep_alive].map(|time| time.as_secs()), [10, 10]);
    assert!(service("mode = \"http\"").0.forwarded_for);
    assert!(!service("mode = \"http\"\nforwarded_for = false").0.forwarded_for);
    assert_eq!(service("check = \"none\"").1.check.kind, CheckKind::None);
}

#[test]
fn a_check_waits_half_its_interval_and_no_longer_than_five_seconds() {
    let timeout = |interval: &str| {
        service(&format!("check = {{ connect = true, fall = 1, interval = \"{interval}\" }}")).1.check.timeout
    };
    assert_eq!(timeout("100ms"), Duration::from_millis(50));
    assert_eq!(timeout("30s"), Duration::from_secs(5));
}

#[test]
fn names_become_addresses() {
    let cluster = right(
        r#"
[service.web]
listen = ["front:80", "10.1.0.200:81", "0.0.0.0:82"]
servers = ["web1:80", "web1:81", "10.2.0.99:80"]
fallback = "web1:90"
server.big = { at = "web1:82", weight = 5 }
server."web1:80" = { weight = 3 }
"#,
    );
    let web = &cluster.services[0];
    let listens: Vec<String> = web.listen.iter().map(|listen| listen.at.to_string()).collect();
    assert_eq!(listens, ["10.1.0.200:80", "10.1.0.200:81", "0.0.0.0:82"]);
    assert_eq!(web.listen[0].address.as_deref(), Some("front"));
    assert_eq!(web.listen[1].address, None);
    let pool = cluster.pool_of(web).unwrap();
    let servers: Vec<(&str, String, u16)> = pool
        .servers
        .iter()
        .map(|server| (server.name.as_str(), server.at.to_string(), server.weight))
        .collect();
    let wanted = [
        ("web1:80", "10.2.0.21:80", 3),
        ("web1:81", "10.2.0.21:81", 1),
        ("10.2.0.99", "10.2.0.99:80", 1),
        ("big", "10.2.0.21:82", 5),
    ];
    assert_eq!(servers, wanted.map(|(name, at, weight)| (name, at.to_owned(), weight)));
    assert_eq!(pool.fallback.unwrap().to_string(), "10.2.0.21:90");
    assert_eq!(cluster.node("lb1").unwrap().address_on("farm").unwrap().interface.as_deref(), Some("eth1"));
}

#[test]
fn a_group_counts_its_router_ids_up() {
    let inside = "[address.gate]\nnetwork = \"farm\"\nip = \"10.2.0.200/24\"\n[service.web]\nlisten = \"front:80\"\nservers = [\"web1:80\"]\n";
    let vrids = |cluster: &ClusterFile| -> Vec<(String, u8)> {
        cluster.groups[0].vrids.iter().map(|(network, vrid)| (network.to_string(), *vrid)).collect()
    };
    let named = |pairs: [(&str, u8); 2]| pairs.map(|(network, vrid)| (network.to_owned(), vrid)).to_vec();
    let implied = right(inside);
    assert_eq!(implied.groups[0].name.as_str(), "main");
    assert_eq!(vrids(&implied), named([("farm", 52), ("lan", 51)]));
    assert_eq!((implied.addresses[0].prefix, implied.addresses[1].prefix), (32, 24));
    assert_eq!(vrids(&right(&format!("{inside}[group.web]\nvrid = 7\n"))), named([("farm", 7), ("lan", 7)]));
    let old = right(&format!("{inside}[group.web]\nversion = 2\npassword = \"secret\"\n"));
    assert_eq!((old.groups[0].version, old.groups[0].advert), (VrrpVersion::V2, Duration::from_secs(1)));
}

#[test]
fn the_default_lab_gives_nobody_a_taken_name_or_address() {
    let cluster = right(
        r#"
[node.lan]
roles = ["server"]
address.lan = "10.1.0.254"
[node.client]
roles = ["server"]
address.lan = "10.1.0.253"
[lab.host]
network = "lan"
ip = "10.1.0.252"
"#,
    );
    let lab = &cluster.lab;
    let switches: Vec<&str> = lab.switches.iter().map(|switch| switch.name.as_str()).collect();
    assert_eq!(switches, ["lan-switch", "farm"]);
    assert_eq!(
        (lab.clients[0].name.as_str(), lab.clients[0].ip.to_string()),
        ("client2", "10.1.0.251".to_owned())
    );
    assert_eq!(lab.host.as_ref().unwrap().ip.to_string(), "10.1.0.252");
    assert_eq!(right("[lab]\nhost = false\n").lab.host, None);
}

#[test]
fn a_group_says_what_it_watches_and_what_moves_along() {
    use relevo_model::cluster::{AtStart, LAST, MAIN_TABLE, RouteInterface, Watched};
    let text = r#"name = "shop"
network.lan.subnet = "10.1.0.0/24"
node.lb1 = { roles = ["director"], address.lan = "10.1.0.11" }
node.lb2 = { roles = ["director"], address.lan = "10.1.0.12" }
node.web1 = { roles = ["server"], address.lan = "10.1.0.21" }
address.front = { network = "lan", ip = "10.1.0.200" }
service.web = { listen = "front:80", mode = "http", servers = ["web1:80"] }
service.mail = { listen = "front:25", servers = ["web1:25"] }
service.other = { listen = "10.1.0.11:26", servers = ["web1:26"] }
[group.main]
preempt = true
preempt_delay = "10s"
notify = ["/bin/one", ["/bin/two", "argument"]]
[group.main.track]
uplink = { interface = "eth1", weight = -20, delay = "2s" }
gateway = { ping = "10.1.0.1", timeout = "500ms", reverse = true }
mail = { pool = "mail", delay = { down = "5s" } }
[[group.main.route]]
to = "default"
via = "10.1.0.1"
network = "lan"
source = "front"
[[group.main.policy]]
from = "10.9.0.0/16"
table = 100
"#;
    let reading = read(text);
    assert!(reading.diagnostics.is_empty(), "{}", diagnostic::render("test", text, &reading.diagnostics));
    let cluster = reading.cluster.unwrap();
    let group = cluster.group("main").unwrap();
    assert_eq!(group.preempt_delay, Duration::from_secs(10));
    assert_eq!(group.along.notify, [vec!["/bin/one"], vec!["/bin/two", "argument"]]);
    let trackers = cluster.trackers_of(group);
    let [uplink, gateway, mail, web] = trackers.as_slice() else { panic!("{trackers:#?}") };
    assert_eq!((&uplink.what, uplink.weight), (&Watched::Interface("eth1".to_owned()), Some(-20)));
    assert_eq!((uplink.up_delay, uplink.down_delay), (Duration::from_secs(2), Duration::from_secs(2)));
    assert_eq!((gateway.weight, gateway.rise, gateway.fall, gateway.reverse), (None, 2, 3, true));
    assert_eq!((gateway.interval, gateway.timeout), (Duration::from_secs(1), Duration::from_millis(500)));
    assert_eq!((mail.weight, mail.at_start), (Some(LAST), AtStart::Unknown));
    assert_eq!((mail.up_delay, mail.down_delay), (Duration::ZERO, Duration::from_secs(5)));
    assert_eq!((web.name.as_str(), &web.what), ("web", &Watched::Service("web".into())));
    let route = &group.along.routes[0];
    assert_eq!((route.to.to_string().as_str(), route.table), ("0.0.0.0/0", MAIN_TABLE));
    assert_eq!(route.interface, Some(RouteInterface::Network("lan".into())));
    assert_eq!(route.source, Some("10.1.0.200".parse().unwrap()));
    assert_eq!((group.along.policies[0].table, group.along.policies[0].priority), (100, 1000));
    let without = read(&text.replace("preempt_delay", "track_services = false\npreempt_delay"));
    let cluster = without.cluster.unwrap();
    assert_eq!(cluster.trackers_of(cluster.group("main").unwrap()).len(), 3);
}
