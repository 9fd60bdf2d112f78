//! Words of a group that a real keepalived has as well: another multicast group (`vrrp_mcast_group4` and `6`), and how many
//! adverts must be missing (`down_timer_adverts`).

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests: a failure is a panic"
)]

mod world;

use std::time::Duration;

use nix::sys::signal::Signal;
use relevo_api::types::GroupState;
use relevo_net::clock;
use world::capture::Capture;
use world::director::{FRONT, FRONT6, Running, Settings};
use world::keepalived::Keepalived;
use world::watch::Watch;
use world::{VIP, VIP6, World, wait_for};

/// See [`world::director::process`].
#[test]
fn lab_director_process() {
    world::director::process();
}

/// A keepalived for both families; `global` and `more` are words of its global part and of its instances.
fn keepalived(priority: u8, global: &str, more: &str) -> String {
    let instance = |family: &str, vip: String| {
        format!(
            "vrrp_instance web{family} {{\n version 3\n state BACKUP\n interface public\n virtual_router_id 51\n \
             priority {priority}\n advert_int 0.1\n nopreempt\n {more}\n virtual_ipaddress {{\n {vip}\n }}\n}}\n"
        )
    };
    format!(
        "global_defs {{\n router_id test\n {global}\n}}\nvrrp_sync_group all {{\n group {{\n web4\n web6\n }}\n}}\n{}{}",
        instance("4", format!("{VIP}/32")),
        instance("6", format!("{VIP6}/128"))
    )
}

const GROUPS: &str = "vrrp_mcast_group4 224.0.0.118\n vrrp_mcast_group6 ff02::118";

fn director(words: &str) -> Settings {
    Settings::of_both_families("b", words, &[FRONT, FRONT6].concat())
}

#[test]
fn lab_keepalived_words_another_multicast_group() {
    let world = World::of_both_families();
    let capture = Capture::start(&world, "c");
    let mut peer = Keepalived::start_with(&world, "a", &keepalived(150, GROUPS, ""));
    wait_for("keepalived is active", || world.holds("a", VIP) && world.holds("a", VIP6));
    let mut director = Running::start(&world, &director("multicast = [\"224.0.0.118\", \"ff02::118\"]"));
    director.wait(GroupState::Backup);
    wait_for("the director hears it", || {
        director.status().active.is_some_and(|active| active.as_str() == "a")
    });
    // A router of another cluster with the same number, where everybody is.
    let stranger = Keepalived::start_with(&world, "c", &keepalived(200, "", ""));
    wait_for("the stranger is active", || world.holds("c", VIP));
    peer.process.signal(Signal::SIGKILL);
    peer.process.join();
    drop(peer);
    director.wait(GroupState::Active);
    assert_eq!(director.status().dropped, 0);
    // Back, and sticky: it hears the director's adverts.
    for ip in [format!("{VIP}/32"), format!("{VIP6}/128")] {
        world.output("a", &format!("ip address del {ip} dev public"));
    }
    let peer = Keepalived::start_with(&world, "a", &keepalived(150, GROUPS, ""));
    wait_for("keepalived listens", || peer.log().contains("BACKUP STATE"));
    std::thread::sleep(Duration::from_millis(800));
    assert!(!world.holds("a", VIP) && world.holds("b", VIP), "keepalived respects our adverts");
    peer.assert_content();
    assert_eq!((director.status().state, director.status().dropped), (GroupState::Active, 0));
    stranger.stop();
    director.stop();
    peer.stop();
    let ours =
        capture.read("vrrp && (ip.src == 10.77.0.2 && ip.dst == 224.0.0.118 || ipv6.dst == ff02::118)");
    assert!(ours.lines().count() > 10, "{ours}");
    let usual = capture.read("vrrp && ip.src == 10.77.0.2 && ip.dst == 224.0.0.18");
    assert_eq!(usual, "", "nothing of ours goes to the usual group");
}

#[test]
fn lab_keepalived_words_more_adverts_must_be_missing() {
    let world = World::of_both_families();
    let watch = Watch::new(&world);
    let mut peer = Keepalived::start_with(&world, "a", &keepalived(150, "", "down_timer_adverts 8"));
    wait_for("keepalived is active", || world.holds("a", VIP));
    let mut running = Running::start(&world, &director("missed = 8"));
    running.wait(GroupState::Backup);
    wait_for("the director hears it", || running.status().active.is_some_and(|it| it.as_str() == "a"));
    // The last advert is up to one interval ago: seven more must be missing, and the skew of priority 100.
    let least = Duration::from_millis(700 + 60);
    let begin = clock::now();
    peer.process.signal(Signal::SIGKILL);
    let took = watch.wait("b", true, begin);
    eprintln!("measured: missed = 8, adverts 100 ms: the director took over after {} ms", took.as_millis());
    assert!(took >= least, "{took:?}");
    peer.process.join();
    drop(peer);
    for ip in [format!("{VIP}/32"), format!("{VIP6}/128")] {
        world.output("a", &format!("ip address del {ip} dev public"));
    }
    let peer = Keepalived::start_with(&world, "a", &keepalived(150, "", "down_timer_adverts 8"));
    wait_for("keepalived listens", || peer.log().contains("BACKUP STATE"));
    std::thread::sleep(Duration::from_millis(1200));
    assert!(!world.holds("a", VIP), "it waits as long");
    let begin = clock::now();
    running.process.kill();
    let took = watch.wait("a", true, begin);
    eprintln!("measured: down_timer_adverts 8: keepalived took over after {} ms", took.as_millis());
    assert!(took >= Duration::from_millis(700), "{took:?}");
    peer.assert_content();
}
