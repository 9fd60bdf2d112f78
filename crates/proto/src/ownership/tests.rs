//! Stories of two directors that talk.

use std::time::Duration;

use proptest::prelude::*;
use relevo_model::{AddressName, GroupName, NetworkName, NodeName, Time};

use super::*;

fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

fn name(text: &str) -> NodeName {
    NodeName::new(text)
}

fn net(text: &str) -> NetworkName {
    NetworkName::new(text)
}

fn machine(own: &str) -> Ownership {
    let other = if own == "a" { "b" } else { "a" };
    let ip = |last| IpAddr::from([10, 0, 0, last]);
    let settings = Settings {
        own: name(own),
        groups: vec![GroupSettings {
            name: GroupName::new("web"),
            directors: vec![(name("a"), ip(1)), (name("b"), ip(2))],
            proofs: vec![net("lan"), net("heart")],
            active_down: Duration::from_millis(360),
            addresses: vec![AddressName::new("front")],
            validity: Duration::from_millis(200),
        }],
        paths: vec![(name(other), net("lan")), (name(other), net("heart")), (name(other), net("store"))],
        period: Duration::from_millis(100),
    };
    Ownership::new(settings, 1, at(0))
}

fn own(state: State, since: u64, priority: u8, owner: Option<&str>) -> Own {
    Own {
        state,
        resigning: false,
        since: at(since),
        priority,
        owner: owner.map(name),
        heard: Vec::new(),
        hardware: vec![(net("lan"), [2, 0, 0, 0, 0, priority])],
    }
}

fn outputs(machine: &mut Ownership) -> Vec<Output> {
    std::iter::from_fn(|| machine.poll_output()).collect()
}

fn said(outputs: &[Output]) -> Vec<Vec<u8>> {
    let said = |output: &Output| match output {
        Output::Publish(bytes) => Some(bytes.clone()),
        Output::Proven { .. }
        | Output::Lost { .. }
        | Output::Yield { .. }
        | Output::Reannounce { .. }
        | Output::Event(_) => None,
    };
    outputs.iter().filter_map(said).collect()
}

/// Lets both say what they have to say until `until`; what `a` says goes to `b` over `there`, and back over `back`.
/// What came out beside, in order: of `a`, of `b`.
fn talk(
    a: &mut Ownership,
    b: &mut Ownership,
    from: u64,
    until: u64,
    there: &[&str],
    back: &[&str],
) -> (Vec<Output>, Vec<Output>) {
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for ms in from..until {
        for machine in [&mut *a, &mut *b] {
            if machine.poll_timeout() <= at(ms) {
                machine.handle_timeout(at(ms));
            }
        }
        let (from_a, from_b) = (outputs(a), outputs(b));
        for bytes in said(&from_a) {
            for network in there {
                assert!(b.handle_message(at(ms), &name("a"), &net(network), &bytes));
            }
        }
        for bytes in said(&from_b) {
            for network in back {
                assert!(a.handle_message(at(ms), &name("b"), &net(network), &bytes));
            }
        }
        of_a.extend(from_a);
        of_b.extend(from_b);
    }
    of_a.retain(|output| !matches!(output, Output::Publish(_)));
    of_b.retain(|output| !matches!(output, Output::Publish(_)));
    (of_a, of_b)
}

fn events(outputs: &[Output]) -> Vec<String> {
    let text = |output: &Output| match output {
        Output::Event(event) => Some(event.to_string()),
        Output::Publish(_)
        | Output::Proven { .. }
        | Output::Lost { .. }
        | Output::Yield { .. }
        | Output::Reannounce { .. } => None,
    };
    outputs.iter().filter_map(text).collect()
}

#[test]
fn both_know_what_the_other_hears() {
    let (mut a, mut b) = (machine("a"), machine("b"));
    a.handle_own(at(0), 0, own(State::Active, 0, 150, Some("a")));
    let mut backup = own(State::Backup, 0, 100, Some("a"));
    backup.heard = vec![(net("lan"), name("a"), at(2999))];
    b.handle_own(at(0), 0, backup);
    assert!(
        a.paths(at(0)).iter().all(|path| path.hears.is_none() && path.heard.is_none()),
        "unknown at first"
    );
    let (of_a, _) = talk(&mut a, &mut b, 0, 5000, &["lan", "heart"], &["lan", "heart", "store"]);
    let paths = |machine: &Ownership| -> Vec<_> {
        machine.paths(at(5000)).iter().map(|path| (path.hears, path.heard)).collect()
    };
    let good = (Some(true), Some(true));
    assert_eq!(paths(&a), [good, good, (Some(true), Some(false))]);
    assert_eq!(paths(&b), [good, good, (Some(false), Some(true))]);
    assert_eq!(events(&of_a), ["b is heard on store, but does not hear this node there"]);
    let view = a.group(at(3000), 0);
    assert_eq!((view[0].state, view[0].owner.as_deref()), (Some(State::Backup), Some("a")));
    assert_eq!(view[0].hears_adverts, [net("lan")]);
    assert_eq!(b.hardware(0, &name("a"), &net("lan")), Some([2, 0, 0, 0, 0, 150]));
    // Then nobody says anything any more.
    assert_eq!(a.group(at(9000), 0)[0].state, None);
    assert_eq!(a.paths(at(9000))[0].heard, None);
}

#[test]
fn the_actives_word_counts_on_the_groups_networks_and_not_longer_than_it_should() {
    let (mut a, mut b) = (machine("a"), machine("b"));
    a.handle_own(at(0), 0, own(State::Active, 0, 150, Some("a")));
    b.handle_own(at(0), 0, own(State::Backup, 0, 100, Some("a")));
    let (_, of_b) = talk(&mut a, &mut b, 0, 1000, &["heart"], &[]);
    let last = of_b.iter().rfind(|output| matches!(output, Output::Proven { .. }));
    assert_eq!(last, Some(&Output::Proven { group: 0, until: at(900 + 200) }));
    assert_eq!(
        events(&of_b),
        ["no adverts of a are heard, but it says on heart that it holds web: not taking over"]
    );
    assert_eq!(b.proven_by(at(1000), 0), Some((name("a"), net("heart"))));
    let (_, of_b) = talk(&mut a, &mut b, 1000, 1300, &["store"], &[]);
    assert!(!of_b.iter().any(|output| matches!(output, Output::Proven { .. })), "not the storage network");
    // One that resigns proves nothing; one that has given up is lost.
    let mut resigning = own(State::Active, 0, 150, Some("a"));
    resigning.resigning = true;
    a.handle_own(at(1300), 0, resigning);
    let (_, of_b) = talk(&mut a, &mut b, 1300, 1500, &["heart"], &[]);
    assert!(!of_b.iter().any(|output| matches!(output, Output::Proven { .. } | Output::Lost { .. })));
    a.handle_own(at(1500), 0, own(State::Active, 0, 150, Some("a")));
    talk(&mut a, &mut b, 1500, 1700, &["heart"], &[]);
    a.handle_own(at(1700), 0, own(State::Fault, 1700, 150, None));
    let (_, of_b) = talk(&mut a, &mut b, 1700, 1720, &["heart", "store"], &[]);
    assert_eq!(of_b, [Output::Lost { group: 0, node: name("a") }], "once, and at once");
}

#[test]
fn of_two_actives_the_lower_one_yields_and_the_other_announces() {
    let (mut a, mut b) = (machine("a"), machine("b"));
    a.handle_own(at(0), 0, own(State::Active, 0, 100, Some("a")));
    b.handle_own(at(0), 0, own(State::Active, 0, 100, Some("b")));
    let (of_a, of_b) = talk(&mut a, &mut b, 2000, 4000, &["heart"], &["heart"]);
    assert_eq!(events(&of_a)[0], "web is active here and on b: b shall stay active");
    assert_eq!(events(&of_b)[0], "web is active here and on a: b shall stay active");
    assert!(of_a.contains(&Output::Yield { group: 0, to: name("b") }));
    assert!(!of_b.iter().any(|output| matches!(output, Output::Yield { .. })), "exactly one");
    a.handle_own(at(4000), 0, own(State::Backup, 4000, 100, Some("b")));
    let (of_a, of_b) = talk(&mut a, &mut b, 4000, 4200, &["heart"], &["heart"]);
    assert!(events(&of_a).contains(&"web is active on b alone again: this node has yielded".to_owned()));
    assert!(events(&of_b).contains(&"web is active here alone again: a has yielded".to_owned()));
    assert!(of_b.contains(&Output::Reannounce { group: 0 }));
}

#[test]
fn a_dead_one_is_no_rival() {
    let (mut a, mut b) = (machine("a"), machine("b"));
    a.handle_own(at(0), 0, own(State::Active, 0, 150, Some("a")));
    b.handle_own(at(0), 0, own(State::Backup, 0, 100, Some("a")));
    talk(&mut a, &mut b, 0, 3000, &["lan"], &["lan"]);
    b.handle_own(at(3300), 0, own(State::Active, 3300, 100, Some("b")));
    let (_, of_b) = talk(&mut a, &mut b, 3300, 8000, &[], &[]);
    assert!(!events(&of_b).iter().any(|text| text.contains("active here and on")), "{of_b:?}");
}

#[test]
fn a_planned_move_is_not_two_actives() {
    let (mut a, mut b) = (machine("a"), machine("b"));
    a.handle_own(at(0), 0, own(State::Active, 0, 150, Some("a")));
    b.handle_own(at(5000), 0, own(State::Active, 5000, 100, Some("b")));
    let (of_a, of_b) = talk(&mut a, &mut b, 5000, 5050, &["lan"], &["lan"]);
    a.handle_own(at(5050), 0, own(State::Backup, 5050, 150, Some("b")));
    let (more_a, more_b) = talk(&mut a, &mut b, 5050, 5500, &["lan"], &["lan"]);
    for outputs in [of_a, of_b, more_a, more_b] {
        assert!(!events(&outputs).iter().any(|text| text.contains("active here and on")), "{outputs:?}");
    }
}

#[test]
fn a_wrong_answer_makes_the_owner_announce_again() {
    let (mut a, mut b) = (machine("a"), machine("b"));
    a.handle_own(at(0), 0, own(State::Active, 0, 150, Some("a")));
    b.handle_own(at(0), 0, own(State::Backup, 0, 100, Some("a")));
    b.handle_verdict(&AddressName::new("front"), Verdict::Other([2, 0, 0, 0, 0, 9]));
    let (of_a, _) = talk(&mut a, &mut b, 0, 2500, &["lan"], &["lan"]);
    let count = of_a.iter().filter(|output| matches!(output, Output::Reannounce { .. })).count();
    assert_eq!(count, 3, "at most once a second");
    b.handle_verdict(&AddressName::new("front"), Verdict::Right);
    let (of_a, _) = talk(&mut a, &mut b, 2500, 5000, &["lan"], &["lan"]);
    assert!(!of_a.iter().any(|output| matches!(output, Output::Reannounce { .. })), "{of_a:?}");
    assert_eq!(a.group(at(5000), 0)[0].verdicts, [(AddressName::new("front"), Verdict::Right)]);
}

#[test]
fn what_is_old_or_of_another_version_is_passed_over() {
    let (mut a, mut b) = (machine("a"), machine("b"));
    a.handle_own(at(0), 0, own(State::Active, 0, 150, Some("a")));
    a.handle_timeout(at(0));
    let first = said(&outputs(&mut a)).remove(0);
    a.handle_own(at(50), 0, own(State::Backup, 50, 150, None));
    a.handle_timeout(at(50));
    let second = said(&outputs(&mut a)).remove(0);
    b.handle_own(at(50), 0, own(State::Backup, 0, 100, None));
    assert!(b.handle_message(at(60), &name("a"), &net("lan"), &second));
    assert!(b.handle_message(at(61), &name("a"), &net("heart"), &first));
    assert_eq!(b.group(at(61), 0)[0].state, Some(State::Backup), "the order is the sender's");
    let mut newer = second.clone();
    newer[0] = 2;
    assert!(!b.handle_message(at(62), &name("a"), &net("lan"), &newer));
    let mut more = second;
    more.extend([99, 1, 2, 3]);
    assert!(decode(&more).is_some(), "records that are not known end it");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut b = machine("b");
        b.handle_own(at(0), 0, own(State::Backup, 0, 100, None));
        let mut told = vec![1];
        told.extend([0; 8]);
        told.extend(&bytes);
        b.handle_message(at(1), &name("a"), &net("lan"), &bytes);
        b.handle_message(at(1), &name("a"), &net("lan"), &told);
        b.handle_message(at(1), &name("z"), &net("nowhere"), &told);
        outputs(&mut b);
    }
}
