//! Stories of who gave a group to whom, and whether on purpose.

use std::net::IpAddr;

use super::super::Parting;
use super::*;

fn ip(host: Ipv4Addr) -> IpAddr {
    on(host, 0).into()
}

#[test]
fn who_resigns_knows_its_successor() {
    let mut bench = Bench::active(settings(2, false));
    assert_eq!(
        (bench.group.parting(), bench.group.predecessor()),
        (Parting::Sudden, None),
        "nobody was there"
    );
    bench.input(Input::Resign);
    bench.hear(0, LOW, 50);
    assert_eq!(bench.group.parting(), Parting::Planned { to: Some(ip(LOW)) });
    bench.pass(DOWN);
    assert_eq!(bench.group.predecessor(), None, "the successor died");
}

#[test]
fn who_is_offered_the_group_knows_by_whom() {
    let mut bench = Bench::listening(settings(2, false));
    for router in [0, 1] {
        bench.hear(router, HIGH, 150);
    }
    bench.hear(0, HIGH, 0);
    assert_eq!(bench.group.is_offered_by(), None, "a fault on one network says it on the others too");
    bench.hear(1, HIGH, 0);
    assert_eq!(bench.group.is_offered_by(), Some(ip(HIGH)));
    bench.pass(DOWN);
    assert_eq!((bench.state(), bench.group.predecessor()), (State::Active, Some(ip(HIGH))));
    assert_eq!(bench.group.is_offered_by(), None);
}

#[test]
fn an_offer_can_be_taken_back() {
    let mut bench = Bench::listening(settings(1, false));
    bench.hear(0, HIGH, 150);
    bench.hear(0, HIGH, 0);
    bench.hear(0, HIGH, 150);
    assert_eq!(bench.group.is_offered_by(), None);
}

#[test]
fn a_crash_is_no_gift() {
    let mut bench = Bench::listening(settings(1, false));
    bench.pass(DOWN - 10);
    bench.hear(0, LOW, 50);
    bench.hear(0, HIGH, 150);
    bench.pass(DOWN);
    assert_eq!((bench.state(), bench.group.predecessor()), (State::Active, None));
}

#[test]
fn a_preempted_one_lives() {
    let mut bench = Bench::listening(settings(1, true));
    for _ in 0..10 {
        bench.hear(0, LOW, 50);
        bench.pass(100);
    }
    assert_eq!((bench.state(), bench.group.predecessor()), (State::Active, Some(ip(LOW))));
    bench.hear(0, HIGH, 150);
    assert_eq!(bench.group.parting(), Parting::Planned { to: Some(ip(HIGH)) });
}

#[test]
fn a_claim_is_planned() {
    let mut bench = Bench::listening(settings(1, false));
    for _ in 0..10 {
        bench.hear(0, HIGH, 150);
        bench.pass(100);
    }
    bench.input(Input::Claim);
    bench.hear(0, HIGH, 0);
    assert_eq!((bench.state(), bench.group.predecessor()), (State::Active, Some(ip(HIGH))));
}

#[test]
fn a_fault_is_planned_while_the_links_are_well() {
    let mut bench = Bench::active(settings(2, false));
    bench.input(Input::Trouble(Some("no gateway")));
    assert_eq!(bench.group.parting(), Parting::Planned { to: None });
    let mut bench = Bench::active(settings(2, false));
    bench.input(Input::Link { router: 1, up: false });
    assert_eq!(bench.group.parting(), Parting::Sudden);
    let mut bench = Bench::active(settings(2, false));
    bench.sleep(DOWN + 1);
    bench.input(Input::Resign);
    assert_eq!(bench.group.parting(), Parting::Sudden, "stalled");
}
