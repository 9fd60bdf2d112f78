//! Moves of every kind: what each stage does to packets, and that no order of events leaves anything behind.

use std::collections::BTreeSet;
use std::time::Duration;

use relevo_model::{NodeName, Time};

use super::*;

mod line;

const DRAIN: Duration = Duration::from_secs(60);

fn name(number: usize) -> NodeName {
    NodeName::new(&format!("d{number}"))
}

/// A director as packets see it.
struct Director {
    mover: Mover,
    noted: BTreeSet<u32>,
    /// Connections that its engine has.
    own: BTreeSet<u32>,
    bereaved: u32,
}

/// What becomes of a packet.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Served(usize),
    Reset,
    Dropped,
}

struct World {
    now: Time,
    directors: Vec<Director>,
    active: usize,
    next: u32,
    words: bool,
}

impl World {
    fn new(count: usize, words: bool) -> Self {
        let director = |number| Director {
            mover: Mover::new(DRAIN, number == 0),
            noted: BTreeSet::new(),
            own: BTreeSet::new(),
            bereaved: 0,
        };
        let directors = (0..count).map(director).collect();
        let mut directors: Vec<Director> = directors;
        directors.iter_mut().for_each(|director| director.mover.set_words(words));
        let mut world = Self { now: Time::from_millis(5), directors, active: 0, next: 0, words };
        world.settle();
        world
    }

    fn tell(&mut self, to: usize, input: Input) {
        self.directors[to].mover.handle_input(self.now, input);
        self.settle();
    }

    fn settle(&mut self) {
        let mut words = Vec::new();
        for (number, director) in self.directors.iter_mut().enumerate() {
            while let Some(output) = director.mover.poll_output() {
                match output {
                    Output::Stage { know, forget, .. } => {
                        if forget {
                            director.noted.clear();
                        }
                        if know {
                            director.noted.extend(&director.own);
                        }
                    }
                    Output::Cut => director.own.clear(),
                    Output::Tell(word) => words.push((number, word)),
                    Output::Bereaved => director.bereaved += 1,
                    Output::Shed(_) | Output::Keep(_) => {}
                }
            }
        }
        let words = if self.words { words } else { Vec::new() };
        for (from, word) in words {
            for to in (0..self.directors.len()).filter(|to| *to != from) {
                self.directors[to].mover.handle_input(self.now, Input::Said { from: name(from), word });
            }
            self.settle();
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.directors.iter().filter_map(|one| one.mover.poll_timeout()).min() {
            if due > end {
                break;
            }
            self.now = self.now.max(due);
            for director in &mut self.directors {
                let left = director.own.len();
                if director.mover.draining().is_some() {
                    director.mover.handle_input(self.now, Input::Left(left));
                }
                director.mover.handle_timeout(self.now);
            }
            self.settle();
        }
        self.now = end;
    }

    fn begin(&mut self, at: usize) -> u32 {
        self.next += 1;
        let director = &mut self.directors[at];
        if *director.mover.stage() != Stage::Open {
            director.noted.insert(self.next);
        }
        director.own.insert(self.next);
        self.next
    }

    fn send(&self, flow: u32, mut at: usize) -> Fate {
        for _ in 0..8 {
            let director = &self.directors[at];
            let is_own = director.own.contains(&flow);
            let local = if is_own { Fate::Served(at) } else { Fate::Reset };
            match director.mover.stage() {
                Stage::Open | Stage::Record => return local,
                _ if director.noted.contains(&flow) => return local,
                Stage::Guard => return Fate::Dropped,
                Stage::Forward(to) => {
                    at = (0..self.directors.len()).find(|number| name(*number) == *to).unwrap();
                }
            }
        }
        Fate::Dropped
    }

    /// The operator moves the group; who gives it and who takes it hear of it in either order.
    fn switch(&mut self, to: usize, gives_first: bool) {
        let from = self.active;
        self.check_early(to);
        self.tell(to, Input::Expect { from: name(from) });
        self.check_early(to);
        let gave = Input::Gave { to: Some(name(to)) };
        let took = Input::Took { from: Some(name(from)) };
        if gives_first {
            self.tell(from, gave);
            self.tell(to, took);
        } else {
            self.tell(to, took);
            self.tell(from, gave);
        }
        for third in (0..self.directors.len()).filter(|third| ![from, to].contains(third)) {
            self.tell(third, Input::Passed { from: name(from), to: name(to) });
        }
        self.active = to;
    }

    /// Packets may come to who takes the addresses before its rules are those of an owner: then none is reset.
    fn check_early(&self, to: usize) {
        for flow in self.directors.iter().flat_map(|director| &director.own) {
            assert_ne!(self.send(*flow, to), Fate::Reset, "flow {flow} at {}", name(to));
        }
    }

    fn check(&self, context: &str) {
        for (owner, director) in self.directors.iter().enumerate() {
            for flow in &director.own {
                let fate = self.send(*flow, self.active);
                assert_eq!(fate, Fate::Served(owner), "{context}: flow {flow} of {}", name(owner));
            }
        }
    }
}

#[test]
fn old_connections_stay_and_new_ones_are_the_new_owners() {
    let mut world = World::new(2, false);
    let old = world.begin(0);
    world.switch(1, false);
    let new = world.begin(1);
    // The neighbour has not heard of the move yet.
    let stray = world.begin(0);
    world.check("moved");
    assert_eq!(world.send(stray, 1), Fate::Served(0));
    world.directors[0].own.clear();
    world.wait(Duration::from_secs(5));
    assert!(world.directors[0].mover.draining().is_none());
    // Without a word it forwards to the end of the time, then a reset is the truth.
    assert_eq!(world.send(old, 1), Fate::Dropped);
    world.wait(DRAIN);
    assert_eq!((world.send(old, 1), world.send(new, 1)), (Fate::Reset, Fate::Served(1)));
    assert_eq!(world.directors[1].bereaved, 0);
}

#[test]
fn with_words_forwarding_ends_with_the_last_connection() {
    let mut world = World::new(2, true);
    let old = world.begin(0);
    world.switch(1, true);
    world.wait(Duration::from_secs(20));
    world.check("20 s later");
    world.directors[0].own.clear();
    world.wait(Duration::from_secs(1));
    assert_eq!(*world.directors[1].mover.stage(), Stage::Open);
    assert_eq!(world.send(old, 1), Fate::Reset);
}

#[test]
fn a_crash_resets_at_once() {
    let mut world = World::new(2, true);
    let old = world.begin(0);
    world.directors[0].own.clear();
    assert_eq!(world.send(old, 1), Fate::Dropped, "the address may be about to move");
    world.tell(1, Input::Took { from: None });
    assert_eq!((world.send(old, 1), world.directors[1].bereaved), (Fate::Reset, 1));
}

#[test]
fn who_dies_while_it_drains_is_not_forwarded_to_for_long() {
    let mut world = World::new(2, true);
    let old = world.begin(0);
    world.switch(1, false);
    world.directors[0].mover = Mover::new(Duration::ZERO, false);
    world.directors[0].own.clear();
    world.wait(SILENT + Duration::from_millis(1));
    assert_eq!((world.send(old, 1), world.directors[1].bereaved), (Fate::Reset, 1));
}

#[test]
fn what_is_left_at_the_end_is_cut() {
    let mut world = World::new(2, true);
    let old = world.begin(0);
    world.switch(1, false);
    world.wait(DRAIN - Duration::from_secs(1));
    world.check("before the end");
    world.wait(Duration::from_secs(1));
    assert!(world.directors[0].own.is_empty());
    assert_eq!(world.send(old, 1), Fate::Reset);
}

#[test]
fn a_resignation_that_comes_to_nothing_changes_nothing() {
    let mut world = World::new(2, true);
    world.begin(0);
    world.tell(1, Input::Expect { from: name(0) });
    assert_eq!(*world.directors[1].mover.stage(), Stage::Forward(name(0)));
    world.tell(1, Input::Calm);
    assert_eq!(*world.directors[1].mover.stage(), Stage::Guard);
    world.check("calm");
}

#[test]
fn without_a_drain_all_is_reset() {
    let mut world = World::new(2, true);
    for director in &mut world.directors {
        director.mover.set_drain(Duration::ZERO);
    }
    let old = world.begin(0);
    world.switch(1, false);
    assert_eq!(world.send(old, 1), Fate::Reset);
    assert!(world.directors[0].mover.draining().is_none());
}

#[test]
fn who_drains_may_get_the_addresses_back_before_it_hears_of_it() {
    let mut world = World::new(2, true);
    let old = world.begin(0);
    world.switch(1, true);
    let new = world.begin(1);
    assert_eq!(world.send(new, 0), Fate::Dropped, "sent again, and forwarded then");
    assert_eq!(world.send(old, 0), Fate::Served(0));
    // Its last connection goes, and in the same moment the addresses come.
    world.directors[0].own.clear();
    world.wait(Duration::from_secs(4));
    assert_eq!(world.send(new, 0), Fate::Dropped);
}

#[test]
fn who_cannot_list_its_connections_goes_on_with_them() {
    let mut world = World::new(2, true);
    let old = world.begin(0);
    world.tell(1, Input::Expect { from: name(0) });
    world.directors[0].mover.handle_input(world.now, Input::Gave { to: Some(name(1)) });
    world.directors[0].mover.handle_input(world.now, Input::Blind);
    world.settle();
    world.tell(1, Input::Took { from: Some(name(0)) });
    world.active = 1;
    world.directors[0].noted.clear();
    assert_eq!(*world.directors[0].mover.stage(), Stage::Record);
    assert_eq!(world.send(old, 1), Fate::Served(0));
    // Back here: the other one's are lost.
    let new = world.begin(1);
    world.tell(0, Input::Expect { from: name(1) });
    world.tell(0, Input::Blind);
    world.tell(0, Input::Took { from: Some(name(1)) });
    world.tell(0, Input::Blind);
    assert_eq!((world.send(old, 0), world.send(new, 0)), (Fate::Served(0), Fate::Reset));
}

#[test]
fn any_order_of_moves_loses_no_connection() {
    for seed in 0..2000u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let count = 2 + (seed / 3 % 3) as usize;
        let mut world = World::new(count, seed % 3 != 0);
        // All within one drain, so that nothing may be lost.
        for step in 0..12 {
            let before = world.active;
            match draw(4) {
                0 | 1 => {
                    world.begin(world.active);
                }
                2 => world.wait(Duration::from_millis(draw(3000))),
                _ => {
                    let to = (world.active + 1 + draw(count as u64 - 1) as usize) % count;
                    // Takeovers take some milliseconds.
                    world.wait(Duration::from_millis(5));
                    world.switch(to, draw(2) == 0);
                    world.begin(world.active);
                    // One that was on its way, and one whose owner ends it.
                    let stray = world.begin(before);
                    assert_eq!(world.send(stray, before), Fate::Served(before));
                }
            }
            world.check(&format!("seed {seed}, step {step}"));
            if draw(3) == 0 {
                let owner = draw(count as u64) as usize;
                let flow = world.directors[owner].own.pop_first();
                // Nobody but its owner says that it is gone.
                if let Some(flow) = flow {
                    let fate = world.send(flow, world.active);
                    assert!(fate != Fate::Served(owner), "{fate:?}");
                }
            }
        }
    }
}

#[test]
fn the_rules_are_these() {
    let place = |at: &str, way| Place {
        interface: "eth0".to_owned(),
        out: "eth0".to_owned(),
        way,
        at: at.parse().unwrap(),
    };
    let places = [
        place("10.0.0.9:80", Way::Forward("10.0.0.1".parse().unwrap())),
        place("10.0.0.9:443", Way::Forward("10.0.0.1".parse().unwrap())),
        place("10.0.0.10:80", Way::Guard),
        place("10.0.0.11:80", Way::Open),
        place("[fd00::9]:80", Way::Record),
    ];
    let text = rules(&places)
        + &admit(&[("10.0.0.2:4000".parse().unwrap(), "10.0.0.9:80".parse().unwrap())])
        + &silence(&[
            Silent { ip: "10.0.0.12".parse().unwrap(), own: "10.0.0.1".parse().unwrap() },
            Silent { ip: "fd00::12".parse().unwrap(), own: "fd00::1".parse().unwrap() },
        ]);
    let golden = include_str!("golden.nft");
    if text != golden && std::env::var_os("UPDATE_GOLDEN").is_some() {
        return write_golden(&text);
    }
    assert_eq!(text, golden, "UPDATE_GOLDEN=1 accepts");
}

#[allow(clippy::disallowed_methods, reason = "a test writes its own expectation when it is asked to")]
fn write_golden(text: &str) {
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/moves/golden.nft"), text).unwrap();
}

#[test]
fn words_come_as_they_went() {
    let draining = Word::Draining { age: Duration::from_millis(70_001) };
    for word in [draining, Word::Drained, Word::Took] {
        assert_eq!(decode(&encode(7, word)), Some(Said::Group(7, word)));
    }
    for (at, client) in [("10.0.0.9:80", "10.0.0.2"), ("[fd00::9]:80", "[fd00::2]")] {
        let at = at.parse().unwrap();
        let clients: Vec<std::net::SocketAddr> =
            (0..1000).map(|port| format!("{client}:{}", 2000 + port).parse().unwrap()).collect();
        let datagrams = encode_clients(at, &clients);
        assert!(datagrams.iter().all(|datagram| datagram.len() <= crate::peers::MOST_BYTES));
        let said: Vec<_> = datagrams.iter().map(|datagram| decode(datagram).unwrap()).collect();
        let back: Vec<_> = said
            .into_iter()
            .flat_map(|said| {
                let Said::Clients { at: place, clients } = said else { panic!("{said:?}") };
                assert_eq!(place, at);
                clients
            })
            .collect();
        assert_eq!(back, clients);
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(0u8.., 0..100)) {
        let _ = decode(&bytes);
    }
}

#[test]
fn who_does_not_say_that_it_drains_does_not() {
    let mut world = World::new(2, true);
    let old = world.begin(0);
    world.tell(1, Input::Took { from: Some(name(0)) });
    world.directors[0].own.clear();
    assert_eq!(world.send(old, 1), Fate::Reset, "the former owner answers");
    world.wait(SILENT);
    assert_eq!(*world.directors[1].mover.stage(), Stage::Open);
}

#[test]
fn interfaces_with_names_alike_have_chains_of_their_own() {
    let place = |name: &str| Place {
        interface: name.to_owned(),
        out: name.to_owned(),
        way: Way::Guard,
        at: "10.0.0.9:80".parse().unwrap(),
    };
    let text = rules(&["lan.10", "lan_10", "lan-10", "lan@10"].map(place));
    let chains: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("flush chain netdev relevo_moves ")).collect();
    assert_eq!(chains, ["in_lan-10", "in_lan.10", "in_lan/4010", "in_lan_10"].into());
}
