//! Fair, smooth, and nobody who must not get work gets any.

use proptest::prelude::*;

use super::{Admin, Candidate, Table, Tried, schedule};
use crate::health::State;

fn up(weight: u16) -> Candidate {
    Candidate { weight, admin: Admin::Ready, health: State::Up }
}

fn turns(table: &Table, count: u64) -> Vec<u16> {
    (0..count).filter_map(|turn| table.in_turn(turn, &Tried::new())).collect()
}

#[test]
fn equal_weights_go_in_the_files_order() {
    assert_eq!(turns(&Table::new(&[up(1), up(1), up(1)]), 7), [0, 1, 2, 0, 1, 2, 0]);
    assert_eq!(turns(&Table::new(&[up(7), up(7)]), 4), [0, 1, 0, 1]);
}

#[test]
fn a_heavy_server_is_not_asked_many_times_in_a_row() {
    assert_eq!(schedule(&[3, 1]), [0, 0, 0, 1]);
    assert_eq!(schedule(&[5, 1, 1]), [0, 0, 0, 1, 0, 0, 2]);
    assert_eq!(schedule(&[0, 0]), []);
}

#[test]
fn only_ready_servers_with_weight_that_are_up_get_work() {
    let ready = |health| Candidate { weight: 1, admin: Admin::Ready, health };
    let cases: [(&[Candidate], &[u16]); 6] = [
        (&[ready(State::Down), up(1), ready(State::Unknown)], &[1]),
        (&[ready(State::Down), ready(State::Unknown)], &[1]),
        (&[ready(State::Down), ready(State::Down)], &[]),
        (&[up(0), up(1)], &[1]),
        (&[Candidate { admin: Admin::Drain, ..up(1) }, up(1)], &[1]),
        (&[Candidate { admin: Admin::Stop, ..up(1) }, ready(State::Unknown)], &[1]),
    ];
    for (candidates, expected) in cases {
        let table = Table::new(candidates);
        let eligible: Vec<u16> = (0..9).filter(|server| table.contains(*server)).collect();
        assert_eq!(eligible, expected, "{candidates:?}");
        assert_eq!(table.len(), expected.len());
        assert_eq!(table.in_turn(0, &Tried::new()).is_none(), expected.is_empty());
    }
}

#[test]
fn another_attempt_goes_to_another_server() {
    let table = Table::new(&[up(1), up(1), up(1)]);
    let mut tried = Tried::new();
    let mut asked = Vec::new();
    while let Some(server) = table.in_turn(1, &tried) {
        asked.push(server);
        tried.add(server);
    }
    assert_eq!(asked, [1, 2, 0]);
    assert_eq!(table.least(0, |_| 0, &tried), None);
}

#[test]
fn attempts_have_a_limit() {
    let mut tried = Tried::new();
    let added = (0..100).take_while(|server| tried.add(*server)).count();
    assert_eq!(added, Tried::MOST - 1);
}

#[test]
fn least_connections_counts_by_weight() {
    let table = Table::new(&[up(1), up(2)]);
    let none = Tried::new();
    assert_eq!(table.least(0, |server| [3, 5][usize::from(server)], &none), Some(1));
    assert_eq!(table.least(0, |server| [1, 5][usize::from(server)], &none), Some(0));
    // Both idle: the stronger one, whoever's turn it is.
    assert_eq!(table.least(0, |_| 0, &none), Some(1));
    assert_eq!(table.least(1, |_| 0, &none), Some(1));
}

#[test]
fn least_connections_lets_equal_ones_take_turns() {
    let table = Table::new(&[up(1), up(1), up(1)]);
    let asked: Vec<_> = (0..4).map(|turn| table.least(turn, |_| 2, &Tried::new())).collect();
    assert_eq!(asked, [Some(0), Some(1), Some(2), Some(0)]);
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
        let mut candidates = vec![up(1); count];
        let before = turns(&Table::new(&candidates), count as u64);
        candidates[gone].health = State::Down;
        let after = turns(&Table::new(&candidates), count as u64 - 1);
        let rest: Vec<u16> = before.into_iter().filter(|server| usize::from(*server) != gone).collect();
        prop_assert_eq!(after, rest);
    }

    #[test]
    fn nobody_is_asked_who_may_not_be(
        candidates in prop::collection::vec((0_u16..4, 0_usize..3, 0_usize..3), 0..8),
        turn in any::<u64>(),
        skip in prop::collection::vec(0_u16..8, 0..4),
    ) {
        let candidates: Vec<Candidate> = candidates.into_iter().map(|(weight, admin, health)| Candidate {
            weight,
            admin: [Admin::Ready, Admin::Drain, Admin::Stop][admin],
            health: [State::Up, State::Down, State::Unknown][health],
        }).collect();
        let table = Table::new(&candidates);
        let mut tried = Tried::new();
        for server in skip {
            tried.add(server);
        }
        for chosen in [table.in_turn(turn, &tried), table.least(turn, u32::from, &tried)].into_iter().flatten() {
            let candidate = candidates[usize::from(chosen)];
            prop_assert!(!tried.contains(chosen) && candidate.weight > 0);
            prop_assert!(candidate.admin == Admin::Ready && candidate.health != State::Down);
        }
    }
}
