//! By what servers have to do.

use relevo_model::cluster::Balance;

use super::turns::MapMost;
use super::*;

fn ask<const N: usize>(table: &Table, turn: u64, loads: [u32; N]) -> Choice {
    table.choose(&busy(turn, |server| loads[usize::from(server)]))
}

#[test]
fn least_connections_counts_by_weight() {
    let table = table(&all_up(&[1, 2]), &Balance::LeastConn);
    assert_eq!(ask(&table, 0, [3, 5]), Choice::Server(1));
    assert_eq!(ask(&table, 0, [1, 5]), Choice::Server(0));
    // Both idle: the stronger one, whoever's turn it is.
    assert_eq!(ask(&table, 0, [0, 0]), Choice::Server(1));
    assert_eq!(ask(&table, 1, [0, 0]), Choice::Server(1));
}

#[test]
fn least_connections_lets_equal_ones_take_turns() {
    let table = table(&all_up(&[1, 1, 1]), &Balance::LeastConn);
    let asked: Vec<_> = (0..4).map(|turn| ask(&table, turn, [2, 2, 2]).server()).collect();
    assert_eq!(asked, [Some(0), Some(1), Some(2), Some(0)]);
}

#[test]
fn least_connections_spares_a_server_that_has_just_come_up() {
    let table = table(&[up(0, 1), Candidate { percent: 10, ..up(1, 1) }], &Balance::LeastConn);
    assert_eq!(ask(&table, 0, [5, 0]), Choice::Server(0));
    assert_eq!(ask(&table, 0, [16, 0]), Choice::Server(1));
}

#[test]
fn least_connections_looks_past_who_is_full() {
    let mut candidates = all_up(&[1, 1]).map_most(10);
    candidates[0].most = Some(2);
    let table = table(&candidates, &Balance::LeastConn);
    assert_eq!(ask(&table, 0, [2, 9]), Choice::Server(1));
    assert_eq!(ask(&table, 0, [2, 10]), FULL);
}

#[test]
fn the_first_gets_all_until_it_is_full() {
    let candidates = all_up(&[1, 200, 1]).map_most(2);
    let table = table(&candidates, &Balance::First);
    assert_eq!(ask(&table, 7, [1, 0, 0]), Choice::Server(0));
    assert_eq!(ask(&table, 7, [2, 1, 0]), Choice::Server(1));
    assert_eq!(ask(&table, 7, [2, 2, 0]), Choice::Server(2));
    assert_eq!(ask(&table, 7, [2, 2, 2]), FULL);
    assert_eq!(table.choose(&Ask { tried: &tried(&[0]), ..idle(0) }), Choice::Server(1));
}
