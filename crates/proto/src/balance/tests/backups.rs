//! Servers that work only while no other can.

use super::*;

fn backup(place: usize) -> Candidate<'static> {
    Candidate { backup: true, ..up(place, 1) }
}

fn down(place: usize) -> Candidate<'static> {
    Candidate { health: State::Down, ..up(place, 1) }
}

#[test]
fn backups_rest_while_another_can() {
    assert_eq!(turns(&in_turn(&[backup(0), up(1, 1), backup(2)]), 3), [1, 1, 1]);
    let unknown = Candidate { health: State::Unknown, ..up(1, 1) };
    assert_eq!(turns(&in_turn(&[backup(0), unknown]), 2), [1, 1], "before the first checks");
}

#[test]
fn the_first_backup_takes_over_or_all_do() {
    let candidates = [down(0), backup(1), backup(2)];
    assert_eq!(turns(&in_turn(&candidates), 3), [1, 1, 1]);
    let all = Table::new(&candidates, &Balance::RoundRobin, true);
    assert_eq!(turns(&all, 3), [1, 2, 1]);
    assert_eq!(
        turns(&in_turn(&[down(0), Candidate { health: State::Down, ..backup(1) }, backup(2)]), 2),
        [2, 2]
    );
}

#[test]
fn a_request_that_all_others_failed_goes_to_a_backup() {
    for balance in [Balance::RoundRobin, Balance::LeastConn, hashed(HashMethod::Maglev, None)] {
        let table = table(&[up(0, 1), up(1, 1), backup(2), backup(3)], &balance);
        let next = |servers: &[u16]| table.choose(&Ask { hash: Some(7), tried: &tried(servers), ..idle(0) });
        assert!(matches!(next(&[0]), Choice::Server(1)));
        assert_eq!(next(&[0, 1]), Choice::Server(2));
        assert_eq!(next(&[0, 1, 2]), Choice::Server(3));
        assert_eq!(next(&[0, 1, 2, 3]), Choice::Nobody);
        assert!(!table.contains(2));
    }
}
