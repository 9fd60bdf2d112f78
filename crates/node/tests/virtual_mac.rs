//! `mac = "virtual"`: clients keep the hardware address that they know, whoever is active; beside another director and beside a
//! real keepalived with `use_vmac`, read by tshark.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests: a failure is a panic"
)]

mod world;

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::signal::Signal;
use relevo_api::types::GroupState;
use world::capture::Capture;
use world::director::{FRONT, FRONT6, Running, Settings};
use world::keepalived::Keepalived;
use world::{VIP, VIP6, World, wait_for};

const MAC: &str = "00:00:5e:00:01:33";
const MAC6: &str = "00:00:5e:00:02:33";

/// See [`world::director::process`].
#[test]
fn lab_director_process() {
    world::director::process();
}

fn settings(node: &str, group: &str) -> Settings {
    Settings::of_both_families(node, group, &[FRONT, FRONT6].concat())
}

const VIRTUAL: &str = "mac = \"virtual\"";

/// c finds out where the addresses are, and hears from there that nobody listens.
fn ask(world: &World) {
    world.enter("c", || {
        for ip in [IpAddr::V4(VIP), VIP6.into()] {
            let refused = TcpStream::connect_timeout(&SocketAddr::new(ip, 9), Duration::from_secs(3));
            assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused, "{ip}");
        }
    });
}

/// What c believes of the two addresses.
fn neighbours(world: &World) -> Vec<String> {
    let known = [
        world.inside("c", "ip neighbour show 10.77.0.254 dev public"),
        world.inside("c", "ip -6 neighbour show fd77::fe dev public"),
    ];
    let mac = |text: &String| {
        let mut words = text.split_whitespace().skip_while(|word| *word != "lladdr");
        words.nth(1).unwrap_or("nothing").to_owned()
    };
    known.iter().map(mac).collect()
}

fn sysctl(world: &World, node: &str, key: &str) -> String {
    world.inside(node, &format!("cat /proc/sys/net/ipv4/conf/public/{key}")).trim().to_owned()
}

fn holds_both(world: &World, node: &str) -> bool {
    world.holds(node, VIP) && world.holds(node, VIP6)
}

fn macvlans(world: &World, node: &str) -> usize {
    world.inside(node, "ip -o link show type macvlan").lines().count()
}

#[test]
fn lab_virtual_mac_stays_the_same_over_a_crash() {
    let world = World::of_both_families();
    let capture = Capture::start(&world, "c");
    let mut first = Running::start(&world, &settings("a", VIRTUAL));
    first.wait(GroupState::Active);
    let mut second = Running::start(&world, &settings("b", VIRTUAL));
    second.wait(GroupState::Backup);
    wait_for("both addresses are on a", || holds_both(&world, "a"));
    wait_for("b knows a", || second.status().active.is_some_and(|active| active.as_str() == "a"));
    ask(&world);
    assert_eq!(neighbours(&world), [MAC, MAC6]);
    assert_eq!(sysctl(&world, "a", "arp_ignore"), "1");
    // What a says to c by itself does not tell c another hardware address for the virtual one.
    world.inside("a", "ip neighbour flush dev public");
    world.enter("a", || {
        let socket = std::net::UdpSocket::bind((VIP, 0)).unwrap();
        socket.send_to(b"hello", ("10.77.0.3", 9)).unwrap();
    });
    wait_for("a has asked for c", || world.inside("a", "ip neighbour show 10.77.0.3").contains("lladdr"));
    assert_eq!(neighbours(&world), [MAC, MAC6]);

    first.process.signal(Signal::SIGKILL);
    second.wait(GroupState::Active);
    wait_for("both addresses are on b", || holds_both(&world, "b"));
    ask(&world);
    assert_eq!(neighbours(&world), [MAC, MAC6], "c needs to learn nothing");

    // What the crash left is taken over, and the planned way back changes nothing for c either.
    wait_for("the leases on a run out", || !world.holds("a", VIP) && !world.holds("a", VIP6));
    assert_eq!(macvlans(&world, "a"), 2, "left by the crash");
    let mut first = Running::start(&world, &settings("a", VIRTUAL));
    first.wait(GroupState::Backup);
    wait_for("a hears b", || first.status().active.is_some_and(|active| active.as_str() == "b"));
    assert_eq!(macvlans(&world, "a"), 2);
    let off = world.inside("a", "ip -o link show type macvlan up");
    assert_eq!(off, "", "off while others are active");
    let answer = first.ask("switchover web a");
    assert!(answer.contains("took_ms"), "{answer}");
    wait_for("both addresses are on a", || holds_both(&world, "a") && !world.holds("b", VIP));
    ask(&world);
    assert_eq!(neighbours(&world), [MAC, MAC6]);

    // Everything is as before.
    first.stop();
    second.wait(GroupState::Active);
    second.stop();
    for node in ["a", "b"] {
        assert_eq!(macvlans(&world, node), 0, "{node}");
        assert_eq!(sysctl(&world, node, "arp_ignore"), "0", "{node}");
        assert_eq!(sysctl(&world, node, "arp_announce"), "0", "{node}");
    }
    let adverts = |filter: &str| capture.count(&format!("vrrp && {filter}"));
    assert!(adverts("ip && eth.src == 00:00:5e:00:01:33") > 10);
    assert!(adverts("ipv6 && eth.src == 00:00:5e:00:02:33") > 10);
    let others = "vrrp.prio != 254 && vrrp.prio != 0 && eth.src[0:4] != 00:00:5e:00";
    assert_eq!(adverts(others), 0, "all but claims and good-byes come from it");
    assert_eq!(
        capture.read("arp.src.proto_ipv4 == 10.77.0.254 && arp.src.hw_mac != 00:00:5e:00:01:33"),
        "",
        "nobody says another hardware address of it"
    );
    capture.assert_clean();
}

#[test]
fn lab_virtual_mac_that_a_crash_left_goes_when_it_is_not_wanted() {
    let world = World::of_both_families();
    let mut first = Running::start(&world, &settings("a", VIRTUAL));
    first.wait(GroupState::Active);
    assert!(world.inside("a", "ip -o address show to 10.77.0.254").contains("vr4.51."));
    // Somebody removes the interface: it is made anew, with the address.
    let line = world.inside("a", "ip -o link show type macvlan");
    let name = line.split_whitespace().find(|word| word.starts_with("vr4.")).unwrap();
    let name = name.split('@').next().unwrap();
    let count = || macvlans(&world, "a");
    world.inside("a", &format!("ip link delete {name}"));
    wait_for("the address is back", || count() == 2 && world.holds("a", VIP));
    ask(&world);
    assert_eq!(neighbours(&world), [MAC, MAC6]);
    first.process.signal(Signal::SIGKILL);
    first.process.join();
    let mut plain = Running::start(&world, &settings("a", ""));
    plain.wait(GroupState::Active);
    assert_eq!(macvlans(&world, "a"), 0);
    assert_eq!(sysctl(&world, "a", "arp_ignore"), "0");
    assert!(world.inside("a", "ip -o address show to 10.77.0.254").contains("public"));
    plain.stop();
}

/// keepalived with `use_vmac` on `a` with the higher priority, the director on `b`: each takes over from the other.
fn beside_keepalived(more: &str) {
    let world = World::of_both_families();
    let instance = |name: &str, id: &str, vip: &str| {
        format!(
            "vrrp_instance {name} {{\n version 3\n state BACKUP\n interface public\n virtual_router_id 51\n priority 150\n \
             advert_int 0.1\n use_vmac {id}\n {more}\n virtual_ipaddress {{\n {vip}\n }}\n}}\n"
        )
    };
    let text = format!(
        "global_defs {{\n router_id test\n}}\n{}{}",
        instance("web", "vrrp.51", "10.77.0.254/32"),
        instance("web6", "vrrp6.51", "fd77::fe/128"),
    );
    // keepalived leaves that to the operator: without it its kernel asks for neighbours in the virtual address's name.
    world.enter("a", || std::fs::write("/proc/sys/net/ipv4/conf/public/arp_announce", "2").unwrap());
    let capture = Capture::start(&world, "c");
    let mut director = Running::start(&world, &settings("b", &format!("preempt = true\n{VIRTUAL}")));
    director.wait(GroupState::Active);
    wait_for("both addresses are on b", || holds_both(&world, "b"));
    ask(&world);
    assert_eq!(neighbours(&world), [MAC, MAC6]);

    let keepalived = Keepalived::start_with(&world, "a", &text);
    director.wait(GroupState::Backup);
    wait_for("keepalived is active", || holds_both(&world, "a") && !world.holds("b", VIP));
    wait_for("the director knows who it is", || {
        director.status().active.is_some_and(|active| active.as_str() == "a")
    });
    ask(&world);
    assert_eq!(neighbours(&world), [MAC, MAC6], "c needs to learn nothing");

    let log = keepalived.stop();
    director.wait(GroupState::Active);
    wait_for("the addresses came", || holds_both(&world, "b"));
    ask(&world);
    assert_eq!(neighbours(&world), [MAC, MAC6], "c needs to learn nothing");
    for complaint in ["checksum", "invalid", "mismatch", "expected"] {
        assert!(!log.to_lowercase().contains(complaint), "keepalived says {complaint}:\n{log}");
    }
    assert!(!director.log().contains("dropped"), "{}", director.log());
    let ours = capture.count("vrrp && ip.src == 10.77.0.2 && eth.src == 00:00:5e:00:01:33");
    assert!(ours > 5, "{ours}");
    // The last word of who gives way to a higher priority comes from the interface's own.
    let others = "vrrp && ip.src == 10.77.0.2 && vrrp.prio != 0 && eth.src != 00:00:5e:00:01:33";
    assert!(capture.count(others) <= 1, "{}", capture.read(others));
    capture.assert_clean();

    // It returns, and takes over from us; our good-bye gives it back at once.
    let keepalived = Keepalived::start_with(&world, "a", &text);
    director.wait(GroupState::Backup);
    drop(keepalived);
    director.stop();
    assert_eq!(macvlans(&world, "b"), 0);
}

#[test]
fn lab_virtual_mac_beside_keepalived() {
    beside_keepalived("");
}

#[test]
fn lab_virtual_mac_beside_keepalived_that_sends_from_the_base() {
    beside_keepalived("vmac_xmit_base");
}
