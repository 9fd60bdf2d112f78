//! What is known beside adverts.

use super::super::Told;
use super::*;

impl Bench {
    fn proven(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        assert_eq!(self.input(Input::Told(Told::Proven { until })), [""; 0]);
    }

    fn lost(&mut self, wait: u64) {
        let wait = Duration::from_millis(wait);
        assert_eq!(self.input(Input::Told(Told::Lost { router: 0, source: HIGH.into(), wait })), [""; 0]);
    }
}

#[test]
fn a_proof_holds_a_backup_back_as_long_as_it_is_renewed() {
    let mut bench = Bench::listening(settings(1, false));
    bench.hear(0, HIGH, 150);
    for _ in 0..100 {
        bench.pass(100);
        bench.proven(200);
    }
    assert_eq!(bench.state(), State::Backup, "for 10 s without an advert");
    assert_eq!(bench.pass(199), [""; 0]);
    bench.pass(1);
    assert_eq!(bench.state(), State::Active);
    // Nobody can hold it back for longer than its own Active_Down interval.
    let mut bench = Bench::listening(settings(1, false));
    bench.hear(0, HIGH, 150);
    bench.proven(3_600_000);
    assert!(bench.takes_over_in() <= DOWN);
}

#[test]
fn a_proof_does_not_keep_a_better_one_from_preempting() {
    let mut bench = Bench::listening(settings(1, true));
    for _ in 0..10 {
        bench.hear(0, LOW, 50);
        bench.proven(200);
        bench.pass(50);
    }
    assert_eq!(bench.state(), State::Active);
}

#[test]
fn a_proof_is_not_believed_after_a_good_bye() {
    let mut bench = Bench::listening(settings(1, false));
    bench.pass(200);
    bench.hear(0, HIGH, 150);
    bench.pass(200);
    bench.proven(200);
    bench.hear(0, HIGH, 0);
    bench.proven(200);
    bench.pass(61);
    assert_eq!(bench.state(), State::Active);
}

#[test]
fn who_is_lost_is_not_waited_for() {
    let mut bench = Bench::listening(settings(2, false));
    bench.pass(DOWN - 1);
    bench.hear(0, HIGH, 150);
    bench.hear(1, HIGH, 150);
    bench.lost(20);
    bench.pass(20);
    assert_eq!(bench.state(), State::Backup, "it is active on the other network");
    let other = Told::Lost { router: 1, source: on(HIGH, 1).into(), wait: Duration::ZERO };
    bench.input(Input::Told(other));
    bench.pass(1);
    assert_eq!(bench.state(), State::Active);

    let mut bench = Bench::listening(settings(1, false));
    bench.pass(DOWN - 1);
    bench.hear(0, LOW, 150);
    bench.lost(0);
    assert_eq!(bench.pass(300), [""; 0], "another one is active");
    bench.hear(0, HIGH, 150);
    bench.lost(20);
    bench.hear(0, HIGH, 150);
    assert_eq!(bench.pass(300), [""; 0], "an advert says more");
    // Who has just begun to listen listens on.
    let mut bench = Bench::listening(settings(1, false));
    bench.hear(0, HIGH, 150);
    bench.lost(0);
    assert_eq!(bench.pass(DOWN - 1), [""; 0]);
}

#[test]
fn a_proof_counts_though_a_detector_has_lost_it() {
    let mut bench = Bench::listening(settings(1, false));
    bench.pass(DOWN - 1);
    bench.hear(0, HIGH, 150);
    bench.pass(10);
    bench.proven(100);
    bench.lost(0);
    bench.pass(99);
    assert_eq!(bench.state(), State::Backup);
    bench.pass(2);
    assert_eq!(bench.state(), State::Active);
}

#[test]
fn who_is_told_to_yields_and_listens() {
    let mut bench = Bench::active(settings(1, false));
    assert_eq!(bench.input(Input::Told(Told::Yield { to: HIGH.into() })), ["release", "active>backup"]);
    assert_eq!(bench.pass(DOWN - 1), [""; 0]);
    bench.proven(100);
    assert_eq!(bench.pass(50), [""; 0]);
    let mut backup = Bench::listening(settings(1, false));
    assert_eq!(backup.input(Input::Told(Told::Yield { to: HIGH.into() })), [""; 0]);
}

#[test]
fn who_is_told_to_announces_again() {
    let mut bench = Bench::active(settings(1, false));
    bench.pass(5_000);
    bench.input(Input::Told(Told::Reannounce));
    assert!(bench.pass(250).contains(&String::from("announce")));
}
