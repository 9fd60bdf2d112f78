//! In turn.

use proptest::prelude::*;
use relevo_model::cluster::Balance;

use super::*;
use crate::balance::{Admin, schedule};

#[test]
fn equal_weights_go_in_the_files_order() {
    assert_eq!(turns(&in_turn(&all_up(&[1, 1, 1])), 7), [0, 1, 2, 0, 1, 2, 0]);
    assert_eq!(turns(&in_turn(&all_up(&[7, 7])), 4), [0, 1, 0, 1]);
}

#[test]
fn a_heavy_server_is_not_asked_many_times_in_a_row() {
    assert_eq!(schedule(&[3, 1]), [0, 0, 0, 1]);
    assert_eq!(schedule(&[5, 1, 1]), [0, 0, 0, 1, 0, 0, 2]);
    assert_eq!(schedule(&[0, 0]), []);
}

#[test]
fn odd_weights_of_many_servers_do_not_make_an_endless_cycle() {
    let weights: Vec<u16> = (0..2000).map(|place| 4096 - place % 3).collect();
    let order = schedule(&weights);
    assert!(order.len() <= 1 << 17, "{}", order.len());
    let last = order.iter().filter(|server| **server == 1999).count();
    assert_eq!(last, order.len() / 2000, "its share is the same");
}

#[test]
fn only_ready_servers_with_weight_that_are_up_get_work() {
    let server = |place, health| Candidate { health, ..up(place, 1) };
    let (down, unknown) = (State::Down, State::Unknown);
    let cases: [(&[Candidate<'_>], &[u16]); 7] = [
        (&[server(0, down), up(1, 1), server(2, unknown)], &[1]),
        (&[server(0, down), server(1, unknown)], &[1]),
        (&[server(0, down), server(1, down)], &[]),
        (&[up(0, 0), up(1, 1)], &[1]),
        (&[Candidate { percent: 0, ..up(0, 1) }, up(1, 1)], &[1]),
        (&[Candidate { admin: Admin::Drain, ..up(0, 1) }, up(1, 1)], &[1]),
        (&[Candidate { admin: Admin::Maint, ..up(0, 1) }, server(1, unknown)], &[1]),
    ];
    for (candidates, expected) in cases {
        let table = in_turn(candidates);
        let eligible: Vec<u16> = (0..9).filter(|server| table.contains(*server)).collect();
        assert_eq!(eligible, expected, "{candidates:?}");
        assert_eq!(table.len(), expected.len());
        assert_eq!(table.choose(&idle(0)) == Choice::Nobody, expected.is_empty());
    }
}

#[test]
fn clients_are_kept_by_who_gets_no_new_ones_but_not_by_who_is_gone() {
    let table = in_turn(&[
        up(0, 1),
        up(1, 0),
        Candidate { admin: Admin::Drain, ..up(2, 1) },
        Candidate { admin: Admin::Maint, ..up(3, 1) },
        Candidate { health: State::Down, ..up(4, 1) },
    ]);
    assert_eq!([0, 1, 2, 3, 4, 5].map(|server| table.keeps(server)), [true, true, true, false, false, false]);
}

#[test]
fn another_attempt_goes_to_another_server() {
    let table = in_turn(&all_up(&[1, 1, 1]));
    let mut asked = Vec::new();
    while let Some(server) = table.choose(&Ask { tried: &tried(&asked), ..idle(1) }).server() {
        asked.push(server);
    }
    assert_eq!(asked, [1, 2, 0]);
}

#[test]
fn attempts_have_a_limit() {
    let mut tried = Tried::new();
    let added = (0..100).take_while(|server| tried.add(*server)).count();
    assert_eq!(added, Tried::MOST - 1);
}

#[test]
fn who_is_full_loses_his_turn_and_when_all_are_it_is_said() {
    let candidates = all_up(&[1, 1, 1]).map_most(2);
    let table = in_turn(&candidates);
    let ask = |loads: [u32; 3]| table.choose(&busy(0, |server| loads[usize::from(server)]));
    assert_eq!(ask([1, 0, 0]), Choice::Server(0));
    assert_eq!(ask([2, 2, 1]), Choice::Server(2));
    assert_eq!(ask([2, 3, 2]), FULL);
}

/// Sets a limit of connections.
pub(super) trait MapMost {
    fn map_most(self, most: u32) -> Self;
}

impl MapMost for Vec<Candidate<'_>> {
    fn map_most(mut self, most: u32) -> Self {
        for candidate in &mut self {
            candidate.most = Some(most);
        }
        self
    }
}

#[test]
fn weights_of_the_moment_do_not_change_static_round_robin() {
    let half = [up(0, 1), Candidate { percent: 50, ..up(1, 1) }];
    assert_eq!(turns(&in_turn(&half), 6), [0, 0, 1, 0, 0, 1]);
    assert_eq!(turns(&table(&half, &Balance::StaticRr), 6), [0, 1, 0, 1, 0, 1]);
}

proptest! {
    #[test]
    fn each_prefix_of_a_cycle_is_fair(weights in prop::collection::vec(0_u16..=32, 1..8)) {
        let order = schedule(&weights);
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut counts = vec![0_u64; weights.len()];
        for (step, server) in (1_u64..).zip(&order) {
            counts[usize::from(*server)] += 1;
            for (count, weight) in counts.iter().zip(&weights) {
                let due = step * u64::from(*weight);
                prop_assert!(*count >= due / total && *count <= due.div_ceil(total), "{order:?} at {step}");
            }
        }
        // A full cycle gives everyone the exact share.
        for (count, weight) in counts.iter().zip(&weights) {
            prop_assert_eq!(count * total, u64::from(*weight) * order.len() as u64);
        }
    }

    #[test]
    fn the_others_keep_their_order_when_an_equal_one_leaves(count in 2_usize..9, gone in 0_usize..9) {
        let gone = gone % count;
        let mut candidates = all_up(&vec![1; count]);
        let before = turns(&in_turn(&candidates), count as u64);
        candidates[gone].health = State::Down;
        let after = turns(&in_turn(&candidates), count as u64 - 1);
        let rest: Vec<u16> = before.into_iter().filter(|server| usize::from(*server) != gone).collect();
        prop_assert_eq!(after, rest);
    }

    #[test]
    fn nobody_is_asked_who_may_not_be(
        candidates in prop::collection::vec((0_u16..4, 0_usize..3, 0_usize..3, any::<bool>(), 0_u16..2), 0..8),
        numbers in any::<(u64, u64, u64)>(),
        skip in prop::collection::vec(0_u16..8, 0..4),
        all_backups in any::<bool>(),
        bound in prop::option::of(100_u16..200),
        full in 0_u16..8,
    ) {
        let candidates: Vec<Candidate<'_>> = candidates.into_iter().enumerate().map(
            |(place, (weight, admin, health, backup, percent))| Candidate {
                admin: [Admin::Ready, Admin::Drain, Admin::Maint][admin],
                health: [State::Up, State::Down, State::Unknown][health],
                backup,
                percent: percent * 100,
                most: Some(5),
                ..Candidate::new(NAMES[place], weight)
            }
        ).collect();
        let tried = tried(&skip);
        let hashes = METHODS.map(|method| hashed(method, bound));
        let others = [Balance::RoundRobin, Balance::StaticRr, Balance::LeastConn, Balance::First, Balance::Random];
        for balance in hashes.iter().chain(&others) {
            let table = Table::new(&candidates, balance, all_backups);
            let (turn, random, hash) = numbers;
            let load = |server| if server == full { 5 } else { u32::from(server) % 5 };
            let choice = table.choose(&Ask { turn, random, hash: Some(hash), load, tried: &tried });
            let Some(chosen) = choice.server() else {
                // Nobody was left out who could have taken it.
                let forgotten = (0..8).find(|server| {
                    table.contains(*server) && !tried.contains(*server) && load(*server) < 5
                });
                let is_waiting = matches!(choice, Choice::Full(Some(_)));
                prop_assert!(forgotten.is_none() || is_waiting, "{:?} {:?}", balance, forgotten);
                continue;
            };
            let candidate = candidates[usize::from(chosen)];
            prop_assert!(!tried.contains(chosen) && candidate.weight > 0 && candidate.percent > 0);
            prop_assert!(candidate.admin == Admin::Ready && candidate.health != State::Down);
            prop_assert!(load(chosen) < 5);
        }
    }
}
