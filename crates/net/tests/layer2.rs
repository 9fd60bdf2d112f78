//! Bridges, tunnels and macvlans in a real kernel: made, read back, changed, and taken back.

#![allow(clippy::unwrap_used, reason = "tests: a failure is a panic")]

use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use relevo_model::ClusterFile;
use relevo_net::layer2::{Kind, Observed, PortState, apply, before, observe, plan, wanted};
use relevo_net::route::Route;

/// Does something in a thread with a network namespace of its own, which ends with it.
fn alone(work: impl FnOnce() + Send + 'static) {
    assert!(nix::unistd::geteuid().is_root(), "lab tests make network namespaces: run them as root");
    let inside = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of our own");
        work();
    };
    std::thread::spawn(inside).join().unwrap();
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split_whitespace()).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// Two cards with their cables, one of them with an address and the way out.
fn cards() {
    for number in 0..2 {
        ip(&format!("link add eth{number} type veth peer name far{number}"));
        ip(&format!("link set eth{number} up"));
        ip(&format!("link set far{number} up"));
    }
    ip("address add 172.16.1.250/24 broadcast + dev eth0");
    ip("route add default via 172.16.1.1 dev eth0");
}

fn cluster(interface: &str, more: &str) -> ClusterFile {
    let text = format!(
        r#"
name = "l2"
[network.public]
subnet = "172.16.1.0/24"
[network.internal]
subnet = "10.0.0.0/24"
[node.bal1]
roles = ["director"]
address.public = {{ ip = "172.16.1.250", interface = "{interface}" }}
address.internal = {{ ip = "10.0.0.250", interface = "br-int" }}
[node.bal2]
roles = ["director"]
address.public = "172.16.1.251"
address.internal = {{ ip = "10.0.0.251", interface = "br-int" }}
[address.front]
network = "public"
ip = "172.16.1.254"
[interface.br-int]
kind = "bridge"
ports = ["eth1", "vx100"]
stp = true
priority = 4096
cost = {{ eth1 = 10 }}
hello_time = "1s"
forward_delay = "2s"
max_age = "6s"
[interface.vx100]
kind = "vxlan"
id = 100
over = "public"
{more}"#
    );
    let reading = relevo_model::read(&text);
    reading.cluster.unwrap_or_else(|| panic!("{:#?}", reading.diagnostics))
}

/// What matters of what is: without numbers, carriers and states, which change by themselves.
fn essence(observed: &Observed) -> Observed {
    let mut all = observed.clone();
    for device in all.values_mut() {
        (device.index, device.carrier, device.state, device.root) = (0, false, None, None);
    }
    all
}

#[test]
fn lab_a_bridge_and_a_tunnel_come_and_go() {
    alone(|| {
        cards();
        let mut route = Route::open().unwrap();
        let first = observe(&mut route).unwrap();
        let file = cluster("eth0", "");
        let node = &file.nodes[0];
        let wish = wanted(&file, node, &first);
        let way = plan(&first, &wish);
        assert_eq!(way.problems, Vec::<String>::new());
        apply(&mut route, &way.steps).unwrap();

        let now = observe(&mut route).unwrap();
        assert_eq!(plan(&now, &wanted(&file, node, &now)).steps, []);
        assert_eq!(now["br-int"].addresses.iter().next().unwrap().to_string(), "10.0.0.250/24");
        assert_eq!(now["vx100"].mtu, 1450);
        let Kind::Vxlan { peers, local, over, .. } = &now["vx100"].kind else { panic!("{:?}", now["vx100"]) };
        assert_eq!(peers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["172.16.1.251"]);
        assert_eq!((local.unwrap().to_string(), over.as_deref()), ("172.16.1.250".to_owned(), Some("eth0")));
        assert_eq!((now["eth1"].cost, now["eth1"].controller.as_deref()), (Some(10), Some("br-int")));
        assert_eq!(now["br-int"].root, Some(true));
        assert!(matches!(
            now["eth1"].state,
            Some(PortState::Listening | PortState::Learning | PortState::Forwarding)
        ));

        // Another priority and another end are changes, not something new.
        let mut other = file.clone();
        for interface in &mut other.interfaces {
            if let relevo_model::cluster::InterfaceKind::Bridge(bridge) = &mut interface.kind {
                (bridge.priority, bridge.cost[0].1) = (8192, 20);
            }
        }
        let way = plan(&now, &wanted(&other, node, &now));
        assert_eq!(way.steps.len(), 2, "{:?}", way.steps);
        apply(&mut route, &way.steps).unwrap();
        let later = observe(&mut route).unwrap();
        assert_eq!(later["br-int"].index, now["br-int"].index);

        // And all back.
        let back = plan(&later, &before(&first, &wish));
        apply(&mut route, &back.steps).unwrap();
        assert_eq!(essence(&observe(&mut route).unwrap()), essence(&first));
    });
}

#[test]
fn lab_an_address_takes_its_routes_to_the_bridge_and_back() {
    alone(|| {
        cards();
        let mut route = Route::open().unwrap();
        let first = observe(&mut route).unwrap();
        let file = cluster("br0", "[interface.br0]\nkind = \"bridge\"\nports = [\"eth0\"]\n");
        let node = &file.nodes[0];
        let wish = wanted(&file, node, &first);
        apply(&mut route, &plan(&first, &wish).steps).unwrap();
        let now = observe(&mut route).unwrap();
        assert_eq!(plan(&now, &wanted(&file, node, &now)).steps, []);
        assert!(now["eth0"].addresses.is_empty());
        assert_eq!(now["br0"].routes, first["eth0"].routes);
        assert_eq!(now["br0"].routes.len(), 1);
        apply(&mut route, &plan(&now, &before(&first, &wish)).steps).unwrap();
        assert_eq!(essence(&observe(&mut route).unwrap()), essence(&first));
    });
}

#[test]
fn lab_a_macvlan_and_a_group_are_read_back() {
    alone(|| {
        cards();
        let more = "[interface.mac0]\nnodes = [\"bal1\"]\nkind = \"macvlan\"\nover = \"eth1\"\nmac = \"02:00:00:00:00:09\"\naddresses = [\"10.5.0.1/24\"]\n\
                    [interface.vx7]\nnodes = [\"bal1\"]\nkind = \"vxlan\"\nid = 7\nover = \"public\"\ngroup = \"239.1.1.1\"\nport = 8472\n";
        let file = cluster("eth0", more);
        let file = ClusterFile {
            interfaces: file
                .interfaces
                .into_iter()
                .filter(|one| ["mac0", "vx7"].contains(&&*one.name))
                .collect(),
            ..file
        };
        let node = &file.nodes[0];
        let mut route = Route::open().unwrap();
        let first = observe(&mut route).unwrap();
        apply(&mut route, &plan(&first, &wanted(&file, node, &first)).steps).unwrap();
        let now = observe(&mut route).unwrap();
        assert_eq!(plan(&now, &wanted(&file, node, &now)).steps, []);
        let Kind::Vxlan { group, port, .. } = &now["vx7"].kind else { panic!("{:?}", now["vx7"]) };
        assert_eq!((group.unwrap().to_string(), *port), ("239.1.1.1".to_owned(), 8472));
    });
}
