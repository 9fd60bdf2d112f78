//! Trackers: priorities that change while the group runs, and trouble.

use super::super::words::Peer;
use super::*;

fn with_peers(preempt: bool) -> Settings {
    let mut settings = settings(1, preempt);
    settings.routers[0].peers =
        vec![Peer { source: LOW.into(), priority: 90 }, Peer { source: HIGH.into(), priority: 150 }];
    settings
}

fn trouble(bench: &mut Bench, why: Option<&str>) -> Vec<String> {
    bench.input(Input::Trouble(why))
}

#[test]
fn an_active_tells_a_new_priority_at_once() {
    let mut bench = Bench::active(with_peers(false));
    assert_eq!(bench.input(Input::Priority(80)), ["send 80@0"]);
    assert_eq!(bench.input(Input::Priority(80)), Vec::<String>::new());
    assert_eq!(bench.input(Input::Priority(0)), ["send 1@0"], "never 0, which is a good-bye");
    assert_eq!(bench.input(Input::Priority(255)), ["send 254@0"], "never an owner's");
    assert_eq!(bench.group.status().priority, 254);
}

#[test]
fn a_resigning_active_does_not_take_it_back_by_a_priority() {
    let mut bench = Bench::active(with_peers(false));
    bench.input(Input::Resign);
    assert_eq!(bench.input(Input::Priority(80)), Vec::<String>::new());
}

#[test]
fn a_backup_waits_as_its_priority_says() {
    let mut bench = Bench::listening(with_peers(false));
    bench.hear(0, HIGH, 150);
    bench.input(Input::Priority(1));
    // 3 * 100 + (256 - 1) * 100 / 256 = 399.6 ms
    assert_eq!(bench.takes_over_in(), 399);
    let mut bench = Bench::listening(with_peers(false));
    bench.pass(300);
    bench.hear(0, HIGH, 150);
    bench.input(Input::Priority(1));
    bench.input(Input::Priority(100));
    assert_eq!(bench.takes_over_in(), DOWN - 1);
}

#[test]
fn an_active_that_is_worse_off_is_taken_over_from_without_preemption() {
    let mut bench = Bench::listening(with_peers(false));
    for _ in 0..3 {
        bench.pass(100);
        bench.hear(0, HIGH, 90);
    }
    bench.pass(DOWN);
    assert_eq!(bench.state(), State::Active, "{}", bench.group.status().reason);
    assert!(bench.group.status().reason.contains("worse off"), "{}", bench.group.status().reason);
}

#[test]
fn a_healthy_active_of_lower_priority_stays_without_preemption() {
    let mut bench = Bench::listening(with_peers(false));
    for _ in 0..20 {
        bench.pass(100);
        bench.hear(0, LOW, 90);
    }
    assert_eq!(bench.state(), State::Backup);
}

#[test]
fn who_has_lost_as_much_does_not_take_over() {
    let mut bench = Bench::listening(with_peers(false));
    // It has lost 60 of 150, we have lost 60 of 100: even when ours is still the higher one nobody gains.
    bench.input(Input::Priority(40));
    for priority in [39, 20, 1] {
        for _ in 0..20 {
            bench.pass(100);
            bench.hear(0, LOW, priority.max(30));
        }
        assert_eq!(bench.state(), State::Backup, "{priority}");
    }
}

#[test]
fn who_gave_it_away_takes_it_back_only_from_one_that_is_worse_off() {
    let mut bench = Bench::active(with_peers(true));
    bench.input(Input::Resign);
    for _ in 0..20 {
        bench.hear(0, LOW, 90);
        bench.pass(100);
    }
    assert_eq!(bench.state(), State::Backup);
    for _ in 0..8 {
        bench.hear(0, LOW, 40);
        bench.pass(100);
    }
    assert_eq!(bench.state(), State::Active);
}

#[test]
fn a_claim_does_not_hide_that_it_is_worse_off() {
    let mut bench = Bench::listening(with_peers(false));
    for _ in 0..5 {
        bench.hear(0, HIGH, 150);
        bench.pass(100);
    }
    bench.input(Input::Claim);
    bench.hear(0, HIGH, 0);
    assert_eq!(bench.state(), State::Active);
    assert_eq!(bench.group.status().priority, 253);
    assert_eq!(bench.input(Input::Priority(50)), ["send 50@0"]);
    assert_eq!(bench.input(Input::Priority(100)), ["send 253@0"]);
}

#[test]
fn preemption_waits_for_its_delay_but_not_when_the_active_is_worse_off() {
    let mut settings = with_peers(true);
    settings.preempt_delay = Duration::from_secs(10);
    let hearing = |priority, seconds: u64| {
        let mut bench = Bench::listening(settings.clone());
        let begin = bench.now;
        while bench.state() == State::Backup && bench.now.since(begin) < Duration::from_secs(seconds) {
            bench.hear(0, LOW, priority);
            bench.pass(100);
        }
        bench.now.since(begin)
    };
    let taken = hearing(90, 20);
    assert!(taken >= Duration::from_secs(10) && taken < Duration::from_millis(10_600), "{taken:?}");
    let taken = hearing(50, 20);
    assert!(taken < Duration::from_millis(600), "{taken:?}");
    // One that dies is taken over from as ever.
    let mut bench = Bench::listening(settings.clone());
    bench.hear(0, LOW, 90);
    bench.pass(DOWN + 100);
    assert_eq!(bench.state(), State::Active);
}

#[test]
fn trouble_is_a_fault_and_its_end_begins_to_listen() {
    let mut bench = Bench::active(with_peers(false));
    assert_eq!(trouble(&mut bench, Some("no uplink")), ["release", "send 0@0", "active>fault"]);
    assert_eq!(bench.group.status().reason, "no uplink");
    assert_eq!(trouble(&mut bench, Some("no process")), Vec::<String>::new());
    assert_eq!(bench.group.status().reason, "no process");
    assert_eq!(bench.input(Input::Claim), Vec::<String>::new());
    assert_eq!(bench.input(Input::Link { router: 0, up: false }), Vec::<String>::new());
    assert_eq!(trouble(&mut bench, None), Vec::<String>::new(), "the link is down");
    assert_eq!(bench.input(Input::Link { router: 0, up: true }), ["fault>backup"]);
    assert_eq!(bench.takes_over_in(), DOWN - 1);
}

#[test]
fn trouble_before_the_links_are_known_is_a_fault() {
    let mut bench = Bench::new(with_peers(false));
    assert_eq!(trouble(&mut bench, Some("no server yet")), ["init>fault"]);
    assert_eq!(bench.input(Input::Link { router: 0, up: true }), Vec::<String>::new());
    assert_eq!(trouble(&mut bench, None), ["fault>backup"]);
}

#[test]
fn who_does_not_know_whether_it_can_serve_takes_from_nobody_that_lives() {
    let mut bench = Bench::listening(with_peers(true));
    bench.input(Input::Ready(false));
    for priority in [90, 1] {
        for _ in 0..20 {
            bench.pass(100);
            bench.hear(0, LOW, priority);
        }
        assert_eq!(bench.state(), State::Backup);
    }
    bench.input(Input::Ready(true));
    bench.hear(0, LOW, 90);
    assert_eq!(bench.takes_over_in(), DOWN - 1);
    let mut bench = Bench::listening(with_peers(true));
    bench.input(Input::Ready(false));
    // Better than nobody.
    assert_eq!(bench.takes_over_in(), DOWN - 1);
}

#[test]
fn who_is_known_on_one_network_is_known_on_all() {
    let mut settings = settings(2, false);
    settings.routers[0].peers = with_peers(false).routers[0].peers.clone();
    let mut bench = Bench::listening(settings);
    for _ in 0..8 {
        bench.pass(100);
        bench.hear(0, HIGH, 90);
        bench.hear(1, HIGH, 90);
    }
    assert_eq!(bench.state(), State::Active);
}
