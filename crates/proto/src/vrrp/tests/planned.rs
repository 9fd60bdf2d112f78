//! Stories of planned moves: resign, shutdown, claim.

use super::*;

#[test]
fn resign_makes_before_it_breaks() {
    let mut bench = Bench::active(settings(2, true));
    bench.pass(1_000);
    assert_eq!(bench.input(Input::Resign), ["send 0@0", "send 0@1"]);
    assert_eq!(bench.state(), State::Active);
    assert!(bench.pass(60).iter().all(|word| !word.starts_with("send")), "holds on, in silence");
    assert_eq!(bench.hear(0, LOW, 50), ["release", "active>backup"]);
    for _ in 0..50 {
        bench.pass(100);
        bench.hear(0, LOW, 50);
        bench.hear(1, LOW, 50);
    }
    assert_eq!(bench.state(), State::Backup, "does not preempt its successor, though preempt is on");
    let mut waiting = bench;
    waiting.pass(DOWN);
    assert_eq!(waiting.state(), State::Active, "until that is gone");
    waiting.hear(0, HIGH, 120);
    waiting.hear(0, HIGH, 50);
    waiting.hear(1, HIGH, 50);
    assert!(waiting.takes_over_in() <= DOWN, "then it preempts again");
}

#[test]
fn who_resigns_in_vain_goes_on() {
    let mut bench = Bench::active(settings(1, false));
    bench.input(Input::Resign);
    let out = bench.pass(1_000);
    assert_eq!(out.iter().filter(|word| *word == "send 0@0").count(), 4, "every two intervals: {out:?}");
    assert!(out.ends_with(&["send 100@0", "active>active"].map(String::from)), "{out:?}");
    assert_eq!(bench.group.status().reason, "nobody took over");
    assert_eq!(bench.pass(100), ["send 100@0"]);
}

#[test]
fn two_that_resign_do_not_wait_for_each_other() {
    let mut bench = Bench::active(settings(1, false));
    bench.input(Input::Resign);
    assert_eq!(bench.hear(0, LOW, 0), [""; 0], "the other goes");
    assert_eq!(bench.hear(0, HIGH, 0), ["release", "active>backup"]);
}

#[test]
fn shutdown_ends_in_finished() {
    let mut bench = Bench::listening(settings(1, false));
    assert_eq!(bench.input(Input::Shutdown), ["backup>init", "finished"]);
    assert_eq!(bench.group.poll_timeout(), None);
    assert_eq!(bench.input(Input::Link { router: 0, up: true }), [""; 0]);

    let mut bench = Bench::active(settings(1, false));
    assert_eq!(bench.input(Input::Shutdown), ["send 0@0"]);
    assert_eq!(bench.hear(0, LOW, 50), ["release", "active>backup", "backup>init", "finished"]);

    let mut bench = Bench::active(settings(1, false));
    bench.input(Input::Shutdown);
    let out = bench.pass(10_000);
    assert!(out.ends_with(&["release", "active>init", "finished"].map(String::from)), "{out:?}");

    let mut bench = Bench::active(settings(1, false));
    bench.input(Input::Shutdown);
    bench.sleep(500);
    assert_eq!(
        bench.input(Input::Resign),
        ["release", "active>backup", "backup>init", "finished"],
        "stalled"
    );
}

#[test]
fn claim_waits_for_the_active_to_give_way() {
    let mut bench = Bench::listening(settings(2, false));
    for _ in 0..10 {
        bench.pass(100);
        bench.hear(0, LOW, 150);
        bench.hear(1, LOW, 150);
    }
    assert_eq!(bench.input(Input::Claim), ["send 254@0", "send 254@1"]);
    assert_eq!(bench.hear(0, LOW, 0), [""; 0]);
    let out = bench.hear(1, LOW, 0);
    assert_eq!(out, ["hold 1", "send 253@0", "send 253@1", "announce", "backup>active"]);
    assert_eq!(
        bench.hear(0, LOW, 150),
        ["send 253@0", "rival 10.0.0.1 150"],
        "keeps it against a higher priority"
    );
    assert_eq!(
        bench.hear(0, LOW, 254),
        ["release", "send 0@0", "send 0@1", "active>backup"],
        "but not against a claim"
    );
    assert_eq!(bench.group.status().priority, 100);
}

#[test]
fn claim_does_not_wait_for_ever() {
    let mut bench = Bench::listening(settings(1, false));
    for _ in 0..10 {
        bench.pass(100);
        bench.hear(0, LOW, 150);
    }
    bench.input(Input::Claim);
    assert_eq!(bench.pass(49), [""; 0]);
    assert_eq!(
        bench.pass(1),
        ["hold 1", "send 253@0", "announce", "backup>active"],
        "another implementation yields in silence"
    );
}

#[test]
fn claim_without_an_active_takes_over_at_once() {
    let mut bench = Bench::listening(settings(1, false));
    bench.pass(100);
    assert_eq!(bench.input(Input::Claim), [""; 0], "not before it has listened");
    assert_eq!(bench.pass(DOWN - 100), ["hold 1", "send 253@0", "announce", "backup>active"]);
    let mut bench = Bench::listening(settings(1, false));
    for _ in 0..10 {
        bench.pass(100);
        bench.hear(0, LOW, 150);
    }
    bench.hear(0, LOW, 0);
    let out = bench.input(Input::Claim);
    assert_eq!(
        out,
        ["send 254@0", "hold 1", "send 253@0", "announce", "backup>active"],
        "no wait for the skew"
    );
}

#[test]
fn claim_takes_back_a_resignation() {
    let mut bench = Bench::active(settings(1, false));
    bench.input(Input::Resign);
    assert_eq!(bench.input(Input::Claim), ["send 100@0"]);
    bench.pass(30);
    assert_eq!(bench.hear(0, LOW, 90), ["send 100@0", "rival 10.0.0.1 90"]);
}
