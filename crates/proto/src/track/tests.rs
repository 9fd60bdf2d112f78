//! Stories and properties of trackers.

use std::time::Duration;

use proptest::prelude::*;
use relevo_model::Time;

use super::*;

fn plain() -> Settings {
    Settings {
        weight: Some(-20),
        reverse: false,
        rise: 1,
        fall: 1,
        up_delay: Duration::ZERO,
        down_delay: Duration::ZERO,
        at_start: Verdict::Unknown,
    }
}

fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

#[test]
fn what_is_not_known_changes_nothing_and_the_first_look_decides() {
    for weight in [None, Some(-20), Some(20)] {
        let mut tracker = Tracker::new(Settings { weight, rise: 5, fall: 5, ..plain() }, at(0));
        assert_eq!((tracker.verdict(), tracker.effect()), (Verdict::Unknown, Effect::None));
        tracker.handle_input(at(1), Reading::Unknown, "cannot look");
        assert_eq!((tracker.verdict(), tracker.evidence()), (Verdict::Unknown, "cannot look"));
        tracker.handle_input(at(2), Reading::Down, "gone");
        assert_eq!((tracker.verdict(), tracker.evidence(), tracker.since()), (Verdict::Down, "gone", at(2)));
        tracker.handle_input(at(3), Reading::Unknown, "cannot look");
        assert_eq!((tracker.verdict(), tracker.evidence()), (Verdict::Down, "gone"));
    }
}

#[test]
fn a_weight_is_for_one_side_and_no_weight_is_a_fault() {
    let effect = |weight, reverse, reading| {
        let mut tracker = Tracker::new(Settings { weight, reverse, ..plain() }, at(0));
        tracker.handle_input(at(1), reading, "");
        tracker.effect()
    };
    use Effect::{Fault, None as Nothing, Weight};
    for (weight, reverse, up, down) in [
        (Some(-20), false, Nothing, Weight(-20)),
        (Some(20), false, Weight(20), Nothing),
        (None, false, Nothing, Fault),
        (Some(-20), true, Weight(-20), Nothing),
        (Some(20), true, Nothing, Weight(20)),
        (None, true, Fault, Nothing),
    ] {
        assert_eq!(effect(weight, reverse, Reading::Up), up, "{weight:?} {reverse}");
        assert_eq!(effect(weight, reverse, Reading::Down), down, "{weight:?} {reverse}");
    }
    for (weight, reverse, number, want) in [
        (Some(1), false, -50, Weight(-50)),
        (Some(2), false, 50, Weight(100)),
        (Some(-1), false, 50, Weight(-50)),
        (Some(1), true, 50, Weight(-50)),
        (Some(1), false, 0, Nothing),
        (Some(1), false, -253, Weight(-253)),
        (Some(1), false, -254, Fault),
        (Some(253), false, i32::MAX, Weight(254)),
        (Some(253), false, i32::MIN, Fault),
        (None, false, 0, Nothing),
        (None, false, 7, Fault),
        (None, true, 7, Nothing),
    ] {
        assert_eq!(effect(weight, reverse, Reading::Number(number)), want, "{weight:?} {reverse} {number}");
    }
}

#[test]
fn rise_and_fall_count_looks_in_a_row() {
    let mut tracker = Tracker::new(Settings { rise: 2, fall: 3, at_start: Verdict::Down, ..plain() }, at(0));
    let mut look = |reading| {
        tracker.handle_input(at(1), reading, "");
        tracker.verdict()
    };
    use Reading::{Down as D, Unknown as X, Up as U};
    use Verdict::{Down, Up};
    let looks = [U, D, U, X, U, D, D, U, D, D, D];
    let want = [Down, Down, Down, Down, Up, Up, Up, Up, Up, Up, Down];
    assert_eq!(looks.map(&mut look), want);
}

#[test]
fn a_change_that_does_not_last_is_none() {
    let delays =
        Settings { up_delay: Duration::from_millis(1000), down_delay: Duration::from_millis(100), ..plain() };
    let mut tracker = Tracker::new(delays, at(0));
    tracker.handle_input(at(0), Reading::Up, "up");
    assert_eq!(tracker.verdict(), Verdict::Up);
    tracker.handle_input(at(10), Reading::Down, "a blink");
    assert_eq!(tracker.poll_timeout(), Some(at(110)));
    tracker.handle_input(at(90), Reading::Up, "up");
    assert_eq!((tracker.poll_timeout(), tracker.verdict()), (None, Verdict::Up));
    tracker.handle_input(at(200), Reading::Down, "gone");
    tracker.handle_timeout(at(299));
    assert_eq!(tracker.verdict(), Verdict::Up);
    tracker.handle_timeout(at(300));
    assert_eq!((tracker.verdict(), tracker.evidence()), (Verdict::Down, "gone"));
    tracker.handle_input(at(400), Reading::Up, "back");
    assert_eq!(tracker.poll_timeout(), Some(at(1400)));
    // A look may come instead of the timeout.
    tracker.handle_input(at(1500), Reading::Up, "back");
    assert_eq!((tracker.verdict(), tracker.since()), (Verdict::Up, at(1500)));
}

#[test]
fn what_to_take_for_granted_is_said_after_reversing() {
    for reverse in [false, true] {
        for at_start in [Verdict::Unknown, Verdict::Up, Verdict::Down] {
            let tracker = Tracker::new(Settings { reverse, at_start, ..plain() }, at(0));
            assert_eq!(tracker.verdict(), at_start);
        }
    }
}

#[test]
fn the_sum_is_cut_and_the_first_fault_is_told() {
    use Effect::{Fault, None as Nothing, Weight};
    for (effects, priority, fault) in [
        (vec![], 100, None),
        (vec![Weight(-20), Nothing, Weight(5)], 85, None),
        (vec![Weight(-253), Weight(-253)], 1, None),
        (vec![Weight(253)], 254, None),
        (vec![Weight(-253), Weight(253)], 100, None),
        (vec![Nothing, Fault, Fault, Weight(-1)], 99, Some(1)),
    ] {
        assert_eq!(Standing::of(100, effects.clone()), Standing { priority, fault }, "{effects:?}");
    }
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        1 => Just(Reading::Unknown),
        4 => Just(Reading::Up),
        4 => Just(Reading::Down),
        1 => any::<i32>().prop_map(Reading::Number),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let verdict = prop_oneof![Just(Verdict::Unknown), Just(Verdict::Up), Just(Verdict::Down)];
    let times = (0_u64..500, 0_u64..500);
    (prop::option::of(-253_i16..=253), any::<bool>(), 0_u32..4, 0_u32..4, times, verdict).prop_map(
        |(weight, reverse, rise, fall, (up, down), at_start)| Settings {
            weight,
            reverse,
            rise,
            fall,
            up_delay: Duration::from_millis(up),
            down_delay: Duration::from_millis(down),
            at_start,
        },
    )
}

proptest! {
    #[test]
    fn any_story_is_survived_and_every_change_is_told(
        settings in settings(),
        looks in prop::collection::vec((0_u64..300, reading()), 0..200),
    ) {
        let mut tracker = Tracker::new(settings, at(0));
        let mut now = at(0);
        for (later, reading) in looks {
            let until = now + Duration::from_millis(later);
            while let Some(due) = tracker.poll_timeout().filter(|due| *due <= until) {
                prop_assert!(due >= now, "asks for the past");
                now = due;
                let before = (tracker.verdict(), tracker.effect());
                tracker.handle_timeout(now);
                let told = std::iter::from_fn(|| tracker.poll_output()).last();
                prop_assert_eq!(told.is_some(), before != (tracker.verdict(), tracker.effect()));
            }
            now = until;
            let before = (tracker.verdict(), tracker.effect());
            tracker.handle_input(now, reading, "look");
            let told = std::iter::from_fn(|| tracker.poll_output()).last();
            prop_assert_eq!(told.is_some(), before != (tracker.verdict(), tracker.effect()));
            prop_assert!(tracker.poll_timeout().is_none_or(|due| due > now), "what is due is done");
        }
    }

    #[test]
    fn what_lasts_counts_in_the_end(settings in settings(), first in reading(), up: bool) {
        let mut tracker = Tracker::new(settings, at(0));
        tracker.handle_input(at(0), first, "first");
        let lasting = if up { Reading::Up } else { Reading::Down };
        for turn in 1..20 {
            tracker.handle_input(at(turn * 200), lasting, "lasting");
        }
        let want = if up == settings.reverse { Verdict::Down } else { Verdict::Up };
        prop_assert_eq!(tracker.verdict(), want);
    }

    #[test]
    fn a_sum_is_a_priority(priority in 1_u8..=254, weights in prop::collection::vec(-253_i16..=254, 0..64)) {
        let standing = Standing::of(priority, weights.iter().map(|weight| Effect::Weight(*weight)));
        prop_assert!((1..=254).contains(&standing.priority));
        // More that is wrong is never better.
        let worse = weights.iter().map(|weight| Effect::Weight(*weight)).chain([Effect::Weight(-1)]);
        prop_assert!(Standing::of(priority, worse).priority <= standing.priority);
    }
}
