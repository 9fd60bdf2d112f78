//! Two directors beside each other: death, freezing, planned moves, links and addresses that come and go.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests: a failure is a panic, and figures are shown"
)]

mod world;

use std::net::Ipv4Addr;
use std::time::Duration;

use nix::sys::signal::Signal;
use relevo_api::types::GroupState;
use relevo_net::clock;
use world::director::{Running, Settings};
use world::watch::Watch;
use world::{VIP, World, wait_for};

const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// See [`world::director::process`].
#[test]
fn lab_director_process() {
    world::director::process();
}

/// `a` is active, `b` is backup and has heard it for a while.
fn pair(world: &World) -> (Running, Running) {
    let mut a = Running::start(world, &Settings::new("a"));
    a.wait(GroupState::Active);
    let mut b = Running::start(world, &Settings::new("b"));
    wait_for("b hears a", || b.status().active.is_some_and(|active| active.as_str() == "a"));
    std::thread::sleep(Duration::from_millis(400));
    (a, b)
}

#[test]
fn lab_director_killed_is_replaced_and_its_address_leaves_by_itself() {
    let world = World::new();
    let watch = Watch::new(&world);
    let mut took = Vec::new();
    let mut gone = Vec::new();
    for _ in 0..5 {
        let (mut a, b) = pair(&world);
        let begin = clock::now();
        a.process.kill();
        took.push(watch.wait("b", true, begin).as_millis());
        gone.push(watch.wait("a", false, begin).as_millis());
        b.stop();
    }
    took.sort_unstable();
    gone.sort_unstable();
    eprintln!("measured: killed, taken over after {took:?} ms, address gone after {gone:?} ms");
    assert!(gone.iter().all(|gone| *gone < 2300), "the lease ends within 2.25 s: {gone:?}");
}

#[test]
fn lab_director_frozen_and_woken_does_not_disturb() {
    let world = World::new();
    let watch = Watch::new(&world);
    let (mut a, mut b) = pair(&world);
    let begin = clock::now();
    a.process.signal(Signal::SIGSTOP);
    watch.wait("b", true, begin);
    let gone = watch.wait("a", false, begin);
    eprintln!("measured: frozen, address gone after {} ms", gone.as_millis());
    assert!(gone < Duration::from_millis(2300), "{gone:?}");

    let woken = clock::now();
    a.process.signal(Signal::SIGCONT);
    a.wait(GroupState::Backup);
    std::thread::sleep(Duration::from_secs(1));
    let disturbing: Vec<_> =
        watch.adverts(A, woken).into_iter().filter(|advert| advert.priority > 0).collect();
    assert!(disturbing.is_empty(), "{disturbing:?}");
    assert!(!world.holds("a", VIP) && world.holds("b", VIP));
    assert_eq!(watch.longest_overlap(woken), Duration::ZERO, "no second holder after waking");
    let overlap = watch.longest_overlap(begin);
    eprintln!("measured: frozen, both held it for {} ms", overlap.as_millis());
    assert!(overlap < Duration::from_secs(2), "{overlap:?}");
    assert_eq!(a.status().active.unwrap().as_str(), "b");
    assert_eq!(b.status().state, GroupState::Active);

    // Shorter than its own lease, longer than its Active_Down interval: it is the machine that gives up.
    let begin = clock::now();
    b.process.signal(Signal::SIGSTOP);
    watch.wait("a", true, begin);
    // The one that took over waits 41 ms less than b's own interval of 361 ms after the last advert.
    std::thread::sleep(Duration::from_millis(150));
    let woken = clock::now();
    b.process.signal(Signal::SIGCONT);
    watch.wait("b", false, woken);
    b.wait(GroupState::Backup);
    assert!(world.holds("a", VIP));
    let disturbing = watch.adverts(Ipv4Addr::new(10, 77, 0, 2), woken);
    assert!(disturbing.iter().all(|advert| advert.priority == 0), "{disturbing:?}");
}

#[test]
fn lab_director_planned_moves() {
    let world = World::new();
    let watch = Watch::new(&world);
    let (mut a, mut b) = pair(&world);

    assert!(b.ask("switchover web").contains("group web is not active here but on a"));
    assert!(b.ask("switchover web a").contains("group web is not active here but on a"));
    assert!(b.ask("switchover web c").contains("c is not a director of group web"));
    assert!(b.ask("switchover www").contains("node b has no group www; it has: web"));

    for round in 0..3 {
        let begin = clock::now();
        let answer = b.ask("switchover web b");
        let took = watch.wait("b", true, begin);
        eprintln!("measured: claim {round}: {} ms; {answer}", took.as_millis());
        assert!(answer.contains(r#""from":"a","to":"b""#), "{answer}");
        a.wait(GroupState::Backup);
        assert!(!world.holds("a", VIP) && world.holds("b", VIP));

        let begin = clock::now();
        let answer = b.ask("switchover web");
        let took = watch.wait("a", true, begin);
        eprintln!("measured: resign {round}: {} ms; {answer}", took.as_millis());
        assert!(answer.contains(r#""from":"b","to":"a""#), "{answer}");
        assert!(world.holds("a", VIP) && !world.holds("b", VIP));
    }

    let begin = clock::now();
    a.stop();
    eprintln!("measured: stopped, taken over after {} ms", watch.wait("b", true, begin).as_millis());
    b.wait(GroupState::Active);
    assert!(!world.holds("a", VIP));
    for _ in 0..2 {
        let answer = b.ask("switchover web a");
        assert!(answer.contains("nobody took over group web: it stays active on b"), "{answer}");
    }
    assert!(world.holds("b", VIP));
}

#[test]
fn lab_director_follows_its_link_and_its_address() {
    let world = World::new();
    let (mut a, mut b) = pair(&world);

    // Somebody removes the address: it is put on again.
    world.inside("a", &format!("ip address del {VIP}/32 dev public"));
    wait_for("a puts the address on again", || world.holds("a", VIP));
    wait_for("it says so", || a.log().contains("somebody removed 10.77.0.254"));
    assert_eq!(a.status().state, GroupState::Active);

    // The link goes down: the other takes over, and the address is off here.
    world.inside("switch", "ip link set port-a down");
    a.wait(GroupState::Fault);
    assert_eq!(a.status().reason, "the link of public is down");
    b.wait(GroupState::Active);
    assert!(!world.holds("a", VIP));
    assert!(b.ask("switchover web").contains("nobody took over group web"));
    assert!(a.ask("switchover web a").contains("cannot move here: the link of public is down"));
    world.inside("switch", "ip link set port-a up");
    a.wait(GroupState::Backup);

    // Its own address is removed: it gives up at once, and does not wait for the lease to end.
    wait_for("a hears b again", || a.status().active.is_some_and(|active| active.as_str() == "b"));
    assert!(a.ask("switchover web a").contains(r#""from":"b","to":"a""#));
    let watch = Watch::new(&world);
    let begin = clock::now();
    world.inside("a", "ip address del 10.77.0.1/24 dev public");
    a.wait(GroupState::Fault);
    watch.wait("b", true, begin);
    assert!(!world.holds("a", VIP));
    assert_eq!(watch.longest_overlap(begin), Duration::ZERO);
    world.inside("a", "ip address add 10.77.0.1/24 dev public");
    a.wait(GroupState::Backup);

    // The interface goes away altogether and comes back as another one.
    let old = a.status().addresses[0].interface.clone();
    assert_eq!(old.as_deref(), Some("public"));
    world.inside("a", "ip link del public");
    a.wait(GroupState::Fault);
    let reason = a.status().reason;
    assert!(reason.contains("no interface has the address 10.77.0.1; there is: lo"), "{reason}");
    world.plug("a");
    a.wait(GroupState::Backup);
    wait_for("a hears b through the new interface", || {
        a.status().active.is_some_and(|active| active.as_str() == "b")
    });
    assert!(a.ask("switchover web a").contains(r#""from":"b","to":"a""#));
    assert!(world.holds("a", VIP) && !world.holds("b", VIP));
}

#[test]
fn lab_director_is_not_held_up_by_others_addresses() {
    let world = World::new();
    let (mut a, mut b) = pair(&world);
    let transitions = [a.status().transitions, b.status().transitions];

    let lines = |verb: &str| -> String {
        let ips = (0..3000).map(|n| Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 99, 0, 1)) + n));
        ips.map(|ip| format!("address {verb} {ip}/32 dev lo\n")).collect()
    };
    let file = std::env::temp_dir().join(world.netns("batch"));
    std::fs::write(&file, (lines("add") + &lines("del")).repeat(3)).unwrap();
    world.inside("a", &format!("ip -batch {}", file.display()));
    let _ = std::fs::remove_file(&file);

    // Also among so much it notices what concerns it.
    world.inside("a", &format!("ip address del {VIP}/32 dev public"));
    wait_for("a puts the address on again", || world.holds("a", VIP));
    assert_eq!([a.status().transitions, b.status().transitions], transitions, "{}", a.log());
}

#[test]
fn lab_director_moves_the_addresses_of_all_networks_together() {
    let world = World::new();
    world.plug_second();
    let second = world::SECOND_VIP;
    let settings = |node| Settings { networks: 2, ..Settings::new(node) };
    let mut a = Running::start(&world, &settings("a"));
    a.wait(GroupState::Active);
    let mut b = Running::start(&world, &settings("b"));
    wait_for("b hears a", || b.status().active.is_some_and(|active| active.as_str() == "a"));
    assert!(world.holds("a", VIP) && world.holds("a", second));
    assert_eq!(a.status().addresses.len(), 2);

    world.inside("a", "ip link set internal down");
    b.wait(GroupState::Active);
    a.wait(GroupState::Fault);
    assert!(!world.holds("a", VIP) && !world.holds("a", second));
    assert!(world.holds("b", VIP) && world.holds("b", second));

    world.inside("a", "ip link set internal up");
    a.wait(GroupState::Backup);
    b.stop();
    a.wait(GroupState::Active);
    assert!(world.holds("a", VIP) && world.holds("a", second));
    assert!(!world.holds("b", VIP) && !world.holds("b", second));
}

#[test]
fn lab_director_removes_only_its_own_leftovers() {
    let world = World::new();
    world.inside("a", "ip address add 10.77.0.99/32 dev public");
    world.inside("b", &format!("ip address add {VIP}/24 dev public"));
    let mut a = Running::start(&world, &Settings::new("a"));
    a.wait(GroupState::Active);
    let mut b = Running::start(&world, &Settings::new("b"));
    wait_for("b is backup", || b.status().state == GroupState::Backup);
    assert!(!world.holds("b", VIP), "left by an earlier process");
    a.stop();
    b.wait(GroupState::Active);
    assert!(world.holds("a", Ipv4Addr::new(10, 77, 0, 99)), "not ours: untouched");
    assert!(!world.holds("a", VIP));
    b.stop();
    assert!(!world.holds("b", VIP));
}

#[test]
fn lab_director_tells_of_another_machine_with_its_address() {
    let world = World::new();
    let (a, mut b) = pair(&world);
    // Its predecessor's address is no conflict: that goes away with its lease.
    let said =
        |running: &Running| running.log().contains("10.77.0.254 is held here, and also by the machine");
    a.process.signal(Signal::SIGKILL);
    b.wait(GroupState::Active);
    wait_for("a's lease ends", || !world.holds("a", VIP));
    assert!(!said(&b), "{}", b.log());

    world.inside("c", &format!("ip address add {VIP}/32 dev public"));
    let link = world.inside("c", "ip -o link show public");
    let hardware =
        link.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).unwrap().to_owned();
    wait_for("b tells", || said(&b));
    assert!(b.log().contains(&hardware), "{hardware}: {}", b.log());
    assert_eq!(b.status().state, GroupState::Active);
    b.stop();
}

#[test]
fn lab_director_that_is_stopped_at_once_leaves_no_address() {
    let world = World::new();
    let mut a = Running::start(&world, &Settings { advert_ms: 3000, ..Settings::new("a") });
    a.wait(GroupState::Active);
    assert!(world.holds("a", VIP));
    // Nobody takes over, so that the shutdown waits; the lease is one of 11 s.
    a.tell("stop-at-once");
    a.process.join();
    assert!(!world.holds("a", VIP));
}

#[test]
fn lab_director_says_what_is_missing() {
    let world = World::new();
    let refused = |mut running: Running| {
        running.process.join();
        assert_eq!(running.process.child.wait().unwrap().code(), Some(2));
        wait_for("the reason is written", || running.log().contains("refused: "));
        running.log()
    };
    let drop = ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"];
    let log = refused(Running::start_with(&world, &Settings::new("a"), &drop));
    assert!(log.contains("run as root or with CAP_NET_RAW and CAP_NET_ADMIN"), "{log}");

    world.inside("a", "ip address del 10.77.0.1/24 dev public");
    let log = refused(Running::start(&world, &Settings::new("a")));
    assert!(log.contains("cannot use node a's interface on network public"), "{log}");
    assert!(
        log.contains("no interface has the address 10.77.0.1; there is: lo (127.0.0.1), public"),
        "{log}"
    );
}

#[test]
fn lab_director_adverts_and_arp_are_what_tcpdump_expects() {
    for version in [2, 3] {
        let world = World::new();
        let file = std::env::temp_dir().join(world.netns("capture"));
        let words = ["tcpdump", "-i", "public", "-U", "-w", file.to_str().unwrap(), "proto 112 or arp"];
        let mut capture = world.command("c", &words);
        use std::os::unix::process::CommandExt;
        let child = capture.process_group(0).stderr(std::process::Stdio::null()).spawn().unwrap();
        let capture = world::Process { child };
        wait_for("tcpdump captures", || std::fs::metadata(&file).is_ok_and(|file| file.len() > 0));
        let advert_ms = if version == 2 { 1000 } else { 100 };
        let password = (version == 2).then(|| "s3cret".to_owned());
        let mut a = Running::start(&world, &Settings { version, advert_ms, password, ..Settings::new("a") });
        a.wait(GroupState::Active);
        std::thread::sleep(Duration::from_millis(advert_ms * 3));
        a.stop();
        drop(capture);
        let text = world.inside("c", &format!("tcpdump -n -vv -e -r {}", file.to_str().unwrap()));
        let _ = std::fs::remove_file(&file);
        assert!(text.contains(&format!("VRRPv{version}, Advertisement, vrid 51, prio 150")), "{text}");
        assert!(text.contains("prio 0"), "{text}");
        assert!(text.contains("ttl 255") && text.contains("tos 0xc0"), "{text}");
        assert!(text.contains("Request who-has 10.77.0.254 tell 10.77.0.254"), "{text}");
        assert!(text.contains("Reply 10.77.0.254 is-at"), "{text}");
        let complaints = ["bad ", "cksum incorrect", "truncated", "[|", "wrong"];
        assert!(!complaints.iter().any(|word| text.to_lowercase().contains(word)), "{text}");
    }
}
