//! Stories of a group that goes on in another process.

use super::*;
use crate::vrrp::Handed;

impl Bench {
    /// The same node's next process, some time after the first one ended.
    fn next_process(&mut self, after_ms: u64) -> (Self, Vec<String>) {
        let handed = self.group.hand_over(self.now);
        let words = self.drain();
        let now = self.now + Duration::from_millis(after_ms);
        let group = Group::adopt(self.settings.clone(), now, handed);
        (Self { group, now, settings: self.settings.clone() }, words)
    }
}

#[test]
fn the_next_process_is_active_at_once_and_nobody_hears_of_it() {
    let mut bench = Bench::active(settings(2, true));
    bench.pass(1_030);
    let (mut next, words) = bench.next_process(20);
    assert_eq!(words, ["active>init"], "neither a good-bye nor a release");
    assert_eq!(bench.pass(10_000), [""; 0], "the former one is silent");
    assert_eq!(next.input(Input::Link { router: 0, up: true }), [""; 0]);
    let words = next.input(Input::Link { router: 1, up: true });
    assert_eq!(words, ["hold 1", "send 100@0", "send 100@1", "announce", "init>active"]);
    assert_eq!(next.pass(100), ["send 100@0", "send 100@1"], "in the usual rhythm");
}

#[test]
fn who_goes_on_too_late_releases_and_listens() {
    let mut bench = Bench::active(settings(1, false));
    let (mut next, _) = bench.next_process(DOWN);
    assert_eq!(next.input(Input::Link { router: 0, up: true }), ["release", "init>backup"]);
}

#[test]
fn what_cannot_be_held_is_released() {
    let mut bench = Bench::active(settings(1, false));
    let (mut next, _) = bench.next_process(1);
    assert_eq!(next.input(Input::Link { router: 0, up: false }), ["release", "init>fault"]);
    assert_eq!(next.input(Input::Link { router: 0, up: true }), ["fault>backup"]);
}

#[test]
fn a_backup_goes_on_listening() {
    let mut bench = Bench::listening(settings(1, false));
    let (mut next, words) = bench.next_process(1);
    assert_eq!(words, ["backup>init"]);
    assert_eq!(next.input(Input::Link { router: 0, up: true }), ["init>backup"]);
}

#[test]
fn who_resigns_does_not_hand_over() {
    let mut bench = Bench::active(settings(1, true));
    bench.input(Input::Resign);
    let handed = bench.group.hand_over(bench.now);
    assert_eq!(handed, Handed { active: None, claimed: false, behind: true });
    assert_eq!(bench.drain(), ["release", "active>init"]);
}

#[test]
fn a_claim_still_counts() {
    let mut bench = Bench::listening(settings(1, true));
    bench.hear(0, HIGH, 200);
    bench.pass(DOWN);
    bench.hear(0, HIGH, 200);
    bench.input(Input::Claim);
    bench.hear(0, HIGH, 0);
    assert_eq!(bench.state(), State::Active);
    let (mut next, _) = bench.next_process(1);
    next.input(Input::Link { router: 0, up: true });
    assert_eq!(next.group.status().priority, crate::vrrp::CLAIMED);
}
