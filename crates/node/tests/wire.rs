//! The wire beyond the plain case: IPv6, unicast, signed adverts, addresses that only move along; beside another director, beside
//! a real keepalived, and read by tshark.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests: a failure is a panic, and figures are shown"
)]

mod world;

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use relevo_api::types::GroupState;
use relevo_net::clock;
use world::capture::Capture;
use world::director::{FRONT, FRONT6, Running, Settings};
use world::keepalived::Keepalived;
use world::{VIP, VIP6, World, wait_for};

/// See [`world::director::process`].
#[test]
fn lab_director_process() {
    world::director::process();
}

/// c finds out where the address is, and hears from there that nobody listens.
fn ask(world: &World) {
    let refused = world.enter("c", || {
        let at = std::net::SocketAddr::from((VIP6, 9));
        std::net::TcpStream::connect_timeout(&at, Duration::from_secs(3)).unwrap_err().kind()
    });
    assert_eq!(refused, std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn lab_wire_both_families_move_together() {
    let world = World::of_both_families();
    let capture = Capture::start(&world, "c");
    let addresses = format!("{FRONT}{FRONT6}");
    let mut first = Running::start(&world, &Settings::of_both_families("a", "", &addresses));
    first.wait(GroupState::Active);
    let mut second = Running::start(&world, &Settings::of_both_families("b", "", &addresses));
    second.wait(GroupState::Backup);
    wait_for("both addresses are on a", || world.holds("a", VIP) && world.holds("a", VIP6));
    wait_for("b knows a", || second.status().active.is_some_and(|active| active.as_str() == "a"));
    ask(&world);
    let neighbour = |world: &World| world.inside("c", "ip -6 neighbour show fd77::fe dev public");
    let before = neighbour(&world);

    let begin = clock::now();
    first.process.signal(Signal::SIGKILL);
    wait_for("both addresses are on b", || world.holds("b", VIP) && world.holds("b", VIP6));
    eprintln!("measured: killed, both families elsewhere after {} ms", clock::now().since(begin).as_millis());
    wait_for("c has learned the new owner without asking", || neighbour(&world) != before);
    wait_for("the leases on a run out", || !world.holds("a", VIP) && !world.holds("a", VIP6));
    eprintln!("measured: killed, the leases ended after {} ms", clock::now().since(begin).as_millis());
    ask(&world);

    let shown = world.inside("b", "ip -6 address show dev public");
    assert!(shown.contains("fd77::fe/128"), "{shown}");
    let adverts = "vrrp && ipv6.dst == ff02::12 && ipv6.hlim == 255 && ipv6.src == fe80::/10";
    wait_for("the capture has adverts of IPv6", || capture.count(adverts) > 5);
    assert!(capture.count("vrrp && ip.dst == 224.0.0.18") > 5);
    assert!(capture.count("icmpv6.type == 136 && ipv6.dst == ff02::1 && icmpv6.nd.na.flag.o == 1") > 1);
    capture.assert_clean();
    second.stop();
    assert!(!world.holds("b", VIP) && !world.holds("b", VIP6));
}

fn keepalived(instances: &[String]) -> String {
    format!("global_defs {{\n router_id test\n}}\n{}", instances.join("\n"))
}

fn instance(name: &str, version: u8, priority: u8, advert: &str, vip: IpAddr, more: &str) -> String {
    let length = if vip.is_ipv4() { 32 } else { 128 };
    format!(
        "vrrp_instance {name} {{\n version {version}\n state BACKUP\n interface public\n virtual_router_id 51\n \
         priority {priority}\n advert_int {advert}\n {more}\n virtual_ipaddress {{\n {vip}/{length}\n }}\n}}\n"
    )
}

/// keepalived on `a` with the higher priority, the director on `b`: each takes over from the other.
fn story(group: &str, address: &str, vip: IpAddr, text: &str) {
    let world = World::of_both_families();
    let capture = Capture::start(&world, "c");
    let mut director = Running::start(
        &world,
        &Settings::of_both_families("b", &format!("preempt = true\n{group}"), address),
    );
    director.wait(GroupState::Active);
    let keepalived = Keepalived::start_with(&world, "a", text);
    director.wait(GroupState::Backup);
    wait_for("keepalived is active", || world.holds("a", vip) && !world.holds("b", vip));
    wait_for("the director knows who it is", || {
        director.status().active.is_some_and(|active| active.as_str() == "a")
    });
    let log = keepalived.stop();
    director.wait(GroupState::Active);
    wait_for("the address came", || world.holds("b", vip));
    for complaint in ["checksum", "invalid", "mismatch", "expected"] {
        assert!(!log.to_lowercase().contains(complaint), "keepalived says {complaint}:\n{log}");
    }
    assert!(!director.log().contains("dropped"), "{}", director.log());
    capture.assert_clean();

    // It returns, and takes over from us; our good-bye gives it back at once.
    let keepalived = Keepalived::start_with(&world, "a", text);
    director.wait(GroupState::Backup);
    drop(keepalived);
    director.stop();
}

#[test]
fn lab_wire_keepalived_ipv6() {
    story("", FRONT6, VIP6.into(), &keepalived(&[instance("web", 3, 150, "0.1", VIP6.into(), "")]));
}

#[test]
fn lab_wire_keepalived_unicast_version_3() {
    let more = "unicast_src_ip 10.77.0.1\n unicast_peer {\n 10.77.0.2\n }";
    story(
        "unicast = true",
        FRONT,
        VIP.into(),
        &keepalived(&[instance("web", 3, 150, "0.1", VIP.into(), more)]),
    );
}

#[test]
fn lab_wire_keepalived_unicast_version_2() {
    let more = "unicast_src_ip 10.77.0.1\n unicast_peer {\n 10.77.0.2\n }";
    let text = keepalived(&[instance("web", 2, 150, "1", VIP.into(), more)]);
    story("unicast = true\nversion = 2", FRONT, VIP.into(), &text);
}

#[test]
fn lab_wire_keepalived_unicast_ipv6() {
    let more = "unicast_src_ip fd77::1\n unicast_peer {\n fd77::2\n }";
    story(
        // keepalived 2.2 sends them with a hop limit of 64.
        "unicast = { min_ttl = 64 }",
        FRONT6,
        VIP6.into(),
        &keepalived(&[instance("web", 3, 150, "0.1", VIP6.into(), more)]),
    );
}

/// A key file in a folder of its own.
fn key_file(world: &World, name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("{}.key", world.netns(name)));
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn lab_wire_signed_adverts_keep_strangers_out() {
    let world = World::of_both_families();
    let (one, two) = ("11".repeat(32), "22".repeat(32));
    let right = key_file(&world, "right", &format!("1 {one}\n"));
    let rotated = key_file(&world, "rotated", &format!("2 {two}\n1 {one}\n"));
    let wrong = key_file(&world, "wrong", &format!("1 {two}\n"));
    let hmac = |path: &PathBuf| format!("hmac = \"{}\"", path.display());
    let addresses = format!("{FRONT}{FRONT6}");

    // A keepalived 2.2 cannot sign: it is not believed, and the log says why.
    let mut first = Running::start(&world, &Settings::of_both_families("a", &hmac(&right), &addresses));
    first.wait(GroupState::Active);
    let stranger =
        Keepalived::start_with(&world, "c", &keepalived(&[instance("web", 3, 200, "0.1", VIP.into(), "")]));
    wait_for("the reason is told", || first.log().contains("is not signed, and this group has `hmac`"));
    assert_eq!(first.status().state, GroupState::Active, "a stranger takes nothing");
    stranger.stop();

    // A director with another key neither.
    let thief = Running::start(&world, &Settings::of_both_families("b", &hmac(&wrong), &addresses));
    wait_for("the reason is told", || thief.log().contains("wrong signature"));
    thief.stop();

    // While a key is being replaced, both are understood.
    let mut second = Running::start(&world, &Settings::of_both_families("b", &hmac(&rotated), &addresses));
    wait_for("it hears a", || second.status().active.is_some_and(|active| active.as_str() == "a"));
    assert_eq!(second.status().state, GroupState::Backup);
    first.tell("stop");
    second.wait(GroupState::Active);
    let mut first = Running::start(&world, &Settings::of_both_families("a", &hmac(&rotated), &addresses));
    first.wait(GroupState::Backup);
    wait_for("it hears b", || first.status().active.is_some_and(|active| active.as_str() == "b"));

    // A key file that others can read is refused, with the remedy.
    std::fs::set_permissions(&right, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut open = Running::start(&world, &Settings::of_both_families("c", &hmac(&right), &addresses));
    open.process.join();
    for path in [right, rotated, wrong] {
        let _ = std::fs::remove_file(path);
    }
    first.stop();
    second.stop();
}

#[test]
fn lab_wire_addresses_that_only_move_along() {
    let world = World::of_both_families();
    world.inside("a", "ip link add spare type veth peer name spare0");
    world.inside("a", "ip link set spare up");
    let along = "[address.along]\nnetwork = \"public\"\nip = \"10.77.0.253\"\nwatched = false\nlabel = \"public:along\"\nscope = \"link\"\n\
                 [address.aside]\nnetwork = \"public\"\nip = \"10.77.0.252\"\nwatched = false\ninterface = \"spare\"\n\
                 [address.six]\nnetwork = \"public\"\nip = \"fd77::fd\"\nwatched = false\n";
    let capture = Capture::start(&world, "c");
    let mut director =
        Running::start(&world, &Settings::of_both_families("a", "", &format!("{FRONT}{along}")));
    director.wait(GroupState::Active);
    let shown = world.inside("a", "ip address show");
    assert!(shown.contains("inet 10.77.0.253/32 scope link dynamic public:along"), "{shown}");
    assert!(shown.contains("inet6 fd77::fd/128"), "{shown}");
    assert!(world.inside("a", "ip address show dev spare").contains("10.77.0.252/32"), "{shown}");
    assert_eq!(
        capture.count("vrrp && (vrrp.addr_count != 1 || ipv6)"),
        0,
        "only the watched one is in adverts"
    );
    capture.assert_clean();
    director.stop();
    let shown = world.inside("a", "ip address show");
    for gone in ["10.77.0.254", "10.77.0.253", "10.77.0.252", "fd77::fd"] {
        assert!(!shown.contains(gone), "{gone} stays\n{shown}");
    }
}
