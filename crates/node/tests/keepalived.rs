//! The director beside a real keepalived, in both roles, versions 2 and 3.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests: a failure is a panic, and figures are shown"
)]

mod world;

use std::time::Duration;

use nix::sys::signal::Signal;
use relevo_api::types::GroupState;
use relevo_net::clock;
use world::director::{Running, Settings};
use world::keepalived::{self, Keepalived, assert_content};
use world::watch::Watch;
use world::{VIP, World, wait_for};

/// See [`world::director::process`].
#[test]
fn lab_director_process() {
    world::director::process();
}

#[test]
fn lab_keepalived_version_3_with_fast_adverts() {
    story(3, 100, "0.1", None);
}

#[test]
fn lab_keepalived_version_3_with_adverts_of_a_second() {
    story(3, 1000, "1", None);
}

#[test]
fn lab_keepalived_version_2() {
    story(2, 1000, "1", None);
}

#[test]
fn lab_keepalived_version_2_with_a_password() {
    story(2, 1000, "1", Some("s3cret"));
}

/// Everything that two routers do to each other; keepalived is `a`, the director `b`.
fn story(version: u8, advert_ms: u64, advert: &'static str, password: Option<&'static str>) {
    let world = World::new();
    let watch = Watch::new(&world);
    let peer = keepalived::Settings { priority: 150, preempt: true, version, advert, password };
    let ours = Settings { version, advert_ms, password: password.map(str::to_owned), ..Settings::new("b") };
    let down = advert_ms * 4;
    let show = |what: &str, took: Duration| {
        eprintln!("measured: version {version}, adverts {advert} s: {what}: {} ms", took.as_millis());
    };

    // Keepalived is there first; the director hears it.
    let keepalived = Keepalived::start(&world, "a", &peer);
    wait_for("keepalived is active", || world.holds("a", VIP));
    let mut director = Running::start(&world, &ours);
    wait_for("the director hears keepalived", || {
        director.status().active.is_some_and(|active| active.as_str() == "a")
    });
    assert_eq!(director.status().state, GroupState::Backup);
    // Who has just started listens for a whole Active_Down interval in any case.
    std::thread::sleep(Duration::from_millis(down));

    // It says good-bye: taken over after the skew alone, sooner than by silence.
    let begin = clock::now();
    let log = keepalived.stop();
    let took = watch.wait("b", true, begin);
    show("keepalived stopped, the director took over after", took);
    assert!(u128::from(advert_ms * 2) > took.as_millis(), "priority 0 hastens the takeover: {took:?}");
    assert_content(&log);
    director.wait(GroupState::Active);

    // It returns with the higher priority and preempts.
    let begin = clock::now();
    let mut keepalived = Keepalived::start(&world, "a", &peer);
    watch.wait("b", false, begin);
    wait_for("keepalived is active", || world.holds("a", VIP));
    director.wait(GroupState::Backup);

    // It is killed and says nothing.
    let begin = clock::now();
    keepalived.process.signal(Signal::SIGKILL);
    let took = watch.wait("b", true, begin);
    show("keepalived killed, the director took over after", took);
    assert!(took.as_millis() >= u128::from(advert_ms * 2), "not before the Active_Down interval: {took:?}");
    keepalived.process.join();
    keepalived.assert_content();
    drop(keepalived);

    // It returns, sticky: it stays backup, though its priority is higher.
    world.output("a", &format!("ip address del {VIP}/32 dev public"));
    let sticky = keepalived::Settings { preempt: false, ..peer.clone() };
    let keepalived = Keepalived::start(&world, "a", &sticky);
    wait_for("keepalived listens", || keepalived.log().contains("BACKUP"));
    std::thread::sleep(Duration::from_millis(down * 2));
    assert!(!world.holds("a", VIP) && world.holds("b", VIP), "keepalived respects our adverts");
    keepalived.assert_content();

    // The director says good-bye.
    let begin = clock::now();
    director.stop();
    let took = watch.wait("a", true, begin);
    show("the director stopped, keepalived took over after", took);
    assert!(!world.holds("b", VIP));

    // The director returns with the higher priority; sticky it stays backup, preempting it takes over.
    let above = Settings { priorities: [150, 200], ..ours.clone() };
    let mut director = Running::start(&world, &above);
    director.wait(GroupState::Backup);
    std::thread::sleep(Duration::from_millis(down * 2));
    assert_eq!(director.status().state, GroupState::Backup, "preempt = false stays away");
    director.stop();
    let begin = clock::now();
    let mut director = Running::start(&world, &Settings { preempt: true, ..above });
    watch.wait("a", false, begin);
    director.wait(GroupState::Active);

    // The director is killed: its address leaves by itself, keepalived takes over.
    let begin = clock::now();
    director.process.kill();
    show("the director killed, keepalived took over after", watch.wait("a", true, begin));
    show("the director killed, its address was gone after", watch.wait("b", false, begin));
    keepalived.assert_content();
    assert_content(&keepalived.stop());
}
