//! What a group can wish beyond the plain case: addresses that only forward, a late start, keys that are replaced.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests: a failure is a panic"
)]

mod world;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use relevo_api::types::GroupState;
use relevo_net::conflict::ConflictWatch;
use relevo_net::icmp::{Echo, Icmp};
use relevo_net::nft::Nft;
use relevo_net::route::Route;
use world::capture::Capture;
use world::director::{FRONT, FRONT6, Running, Settings};
use world::{VIP, World, wait_for};

/// See [`world::director::process`].
#[test]
fn lab_director_process() {
    world::director::process();
}

fn settings(node: &str, group: &str) -> Settings {
    Settings::of_both_families(node, group, &[FRONT, FRONT6].concat())
}

/// What c hears from a port where nobody listens.
fn connect(world: &World, ip: IpAddr) -> std::io::ErrorKind {
    world.enter("c", move || {
        TcpStream::connect_timeout(&SocketAddr::new(ip, 9), Duration::from_millis(700)).unwrap_err().kind()
    })
}

fn echo(world: &World, ip: Ipv4Addr) -> bool {
    world.enter("c", move || {
        let mut icmp = Icmp::open().unwrap();
        matches!(icmp.echo(ip, 56, Duration::from_millis(700)), Echo::Back(_))
    })
}

/// Which hardware addresses answer on b's link for an address.
fn answers(world: &World, ip: IpAddr) -> Vec<[u8; 6]> {
    world.enter("b", move || {
        let mut watch = ConflictWatch::open(vec![ip]).unwrap();
        let links = Route::open().unwrap().links().unwrap();
        let link = links.iter().find(|link| link.name == "public").unwrap();
        watch.probe(link, ip).unwrap();
        let deadline = Instant::now() + Duration::from_millis(500);
        let mut heard = Vec::new();
        while Instant::now() < deadline {
            heard.extend(watch.receive().map(|claim| claim.hardware));
            std::thread::sleep(Duration::from_millis(5));
        }
        heard
    })
}

#[test]
fn lab_options_an_address_that_only_forwards_is_found_and_not_answered() {
    let world = World::of_both_families();
    let vip6: IpAddr = "fd77::fe".parse().unwrap();
    let mut director = Running::start(&world, &settings("a", "accept = false"));
    director.wait(GroupState::Active);
    wait_for("the addresses are there", || world.holds("a", VIP) && world.holds("a", vip6));
    // The node that has the director loads the rules; here it is done by hand.
    let refused = std::io::ErrorKind::ConnectionRefused;
    assert_eq!((connect(&world, VIP.into()), connect(&world, vip6)), (refused, refused));
    assert!(echo(&world, VIP));
    world.enter("a", move || Nft::new().run(&relevo_net::accept::rules(&[VIP.into(), vip6])).unwrap());
    let silent = std::io::ErrorKind::TimedOut;
    world.inside("c", "ip neighbour flush dev public");
    assert_eq!((connect(&world, VIP.into()), connect(&world, vip6)), (silent, silent));
    assert!(!echo(&world, VIP));
    for command in ["ip neighbour show 10.77.0.254 dev public", "ip -6 neighbour show fd77::fe dev public"] {
        let known = world.inside("c", command);
        assert!(known.contains("lladdr"), "it is found: {known}");
    }
    // Its own address answers as before.
    assert_eq!(connect(&world, Ipv4Addr::new(10, 77, 0, 1).into()), refused);
    assert!(echo(&world, Ipv4Addr::new(10, 77, 0, 1)));
    director.stop();
}

#[test]
fn lab_options_both_families_say_who_has_an_address() {
    let world = World::of_both_families();
    let vip6: IpAddr = "fd77::fe".parse().unwrap();
    for (group, wanted) in
        [("", None), ("mac = \"virtual\"", Some([[0, 0, 0x5e, 0, 1, 51], [0, 0, 0x5e, 0, 2, 51]]))]
    {
        let mut director = Running::start(&world, &settings("a", group));
        director.wait(GroupState::Active);
        wait_for("the addresses are there", || world.holds("a", VIP) && world.holds("a", vip6));
        let own = world.enter("a", || {
            let links = Route::open().unwrap().links().unwrap();
            links.iter().find(|link| link.name == "public").unwrap().hardware.clone()
        });
        for (number, ip) in [VIP.into(), vip6].into_iter().enumerate() {
            let heard = answers(&world, ip);
            let right = wanted.map_or_else(|| own.clone(), |macs| macs[number].to_vec());
            assert!(!heard.is_empty(), "{ip} is not answered");
            assert!(heard.iter().all(|hardware| *hardware == right[..]), "{ip}: {heard:?}, not {right:?}");
        }
        director.stop();
    }
}

#[test]
fn lab_options_a_director_waits_before_it_takes_part() {
    let world = World::of_both_families();
    let begin = Instant::now();
    let mut first = Running::start(&world, &settings("a", "startup_delay = \"3s\""));
    let status = first.status();
    assert_eq!(status.state, GroupState::Init);
    assert!(status.reason.contains("startup_delay"), "{}", status.reason);
    // The other one is quicker, and stays.
    let mut second = Running::start(&world, &settings("b", ""));
    second.wait(GroupState::Active);
    assert!(begin.elapsed() < Duration::from_secs(3), "the machine is too slow for this test");
    assert_eq!(first.status().state, GroupState::Init);
    first.wait(GroupState::Backup);
    assert!(begin.elapsed() >= Duration::from_secs(3));
    second.stop();
    first.wait(GroupState::Active);
    first.stop();
    // This machine has run for longer than that.
    let mut third = Running::start(&world, &settings("a", "boot_delay = \"1s\""));
    third.wait(GroupState::Active);
    third.stop();
}

#[test]
fn lab_options_keys_are_replaced_without_a_lost_advert() {
    let world = World::of_both_families();
    let folder = std::env::temp_dir().join(world.netns("keys"));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |node: &str| folder.join(format!("{node}.key"));
    let write = |node: &str, text: &str| {
        // Whole, as an operator's tool should: never half a file.
        let next = folder.join("next");
        std::fs::write(&next, text).unwrap();
        std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(&next, file(node)).unwrap();
    };
    let hmac = |path: &Path| format!("hmac = \"{}\"", path.display());
    let (old, new) = (format!("1 {}\n", "11".repeat(32)), format!("2 {}\n", "22".repeat(32)));
    let capture = Capture::start(&world, "c");
    write("a", &old);
    write("b", &old);
    let mut first = Running::start(&world, &settings("a", &hmac(&file("a"))));
    first.wait(GroupState::Active);
    let mut second = Running::start(&world, &settings("b", &hmac(&file("b"))));
    second.wait(GroupState::Backup);
    wait_for("b hears a", || second.status().active.is_some_and(|active| active.as_str() == "a"));
    // The new key below, then on top, then alone: one director after the other.
    for text in [format!("{old}{new}"), format!("{new}{old}"), new.clone()] {
        for (node, director) in [("a", &mut first), ("b", &mut second)] {
            write(node, &text);
            assert_eq!(director.ask("keys"), "Ok(())");
            std::thread::sleep(Duration::from_millis(400));
        }
    }
    // A file that cannot be used changes nothing.
    write("a", "nonsense\n");
    let told = first.ask("keys");
    assert!(told.contains("line 1") || told.contains("a.key"), "{told}");
    std::thread::sleep(Duration::from_millis(400));
    for (director, state) in [(&mut first, GroupState::Active), (&mut second, GroupState::Backup)] {
        let status = director.status();
        assert_eq!((status.state, status.dropped), (state, 0), "{}", status.reason);
        assert!(!director.log().contains("dropped"), "{}", director.log());
    }
    // Those with the new key come without a gap behind those with the old one: byte 1 of the trailer is the key's number.
    let times = capture.read("vrrp && ip.src == 10.77.0.1");
    assert!(times.lines().count() > 20, "{times}");
    first.tell("stop");
    second.wait(GroupState::Active);
    second.stop();
    let _ = std::fs::remove_dir_all(&folder);
}
