//! Several directors drain at once.

use super::*;

/// A, B, C, and back to B while A and C drain.
#[test]
fn who_comes_back_while_two_others_drain_finds_both() {
    let mut world = World::new(3, true);
    let mut flows = vec![world.begin(0)];
    for (to, gives_first) in [(1, true), (2, false), (1, true)] {
        world.wait(Duration::from_secs(2));
        world.switch(to, gives_first);
        flows.push(world.begin(to));
    }
    for wait in [0, 10, 30] {
        world.wait(Duration::from_secs(wait));
        world.check("back");
    }
    let (to, _) = world.directors[1].mover.forwarding().unwrap();
    assert_eq!(to, [&name(2), &name(0)]);
    // The one in the middle of the line ends first.
    world.directors[2].own.clear();
    world.wait(Duration::from_secs(4));
    assert!(world.directors[2].mover.draining().is_none());
    world.check("one has ended");
    world.directors[0].own.clear();
    world.wait(Duration::from_secs(1));
    assert_eq!(*world.directors[1].mover.stage(), Stage::Open);
    assert_eq!(world.send(flows[0], 1), Fate::Reset);
}

#[test]
fn who_takes_over_from_a_dead_one_finds_those_that_drain() {
    let mut world = World::new(3, true);
    let old = world.begin(0);
    world.switch(1, true);
    let lost = world.begin(1);
    world.wait(Duration::from_secs(2));
    world.directors[1] = World::new(2, true).directors.remove(1);
    world.tell(2, Input::Took { from: None });
    world.active = 2;
    world.check("the owner has died");
    assert_eq!((world.send(lost, 2), world.directors[2].bereaved), (Fate::Dropped, 0));
    world.directors[0].own.clear();
    world.wait(Duration::from_secs(3));
    // Now their clients can be told.
    assert_eq!((world.send(old, 2), world.send(lost, 2)), (Fate::Reset, Fate::Reset));
    assert_eq!(world.directors[2].bereaved, 1);
}

#[test]
fn a_line_survives_a_resignation_that_comes_to_nothing() {
    let mut world = World::new(4, true);
    world.begin(0);
    for to in [1, 2] {
        world.wait(Duration::from_secs(1));
        world.switch(to, true);
        world.begin(to);
    }
    world.wait(Duration::from_secs(1));
    for other in [0, 1, 3] {
        world.tell(other, Input::Expect { from: name(2) });
    }
    for other in [0, 1, 3] {
        world.tell(other, Input::Calm);
    }
    world.switch(3, false);
    world.check("of four");
}

#[test]
fn without_words_who_saw_a_group_pass_knows_who_may_drain() {
    let mut world = World::new(3, false);
    world.begin(0);
    for to in [1, 2, 1, 0, 2] {
        world.wait(Duration::from_secs(2));
        world.switch(to, true);
        world.begin(to);
        world.check("moved");
    }
}
