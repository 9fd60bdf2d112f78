//! By a hash: the same everywhere, even, and steady when servers come and go.

use proptest::prelude::*;

use super::turns::MapMost;
use super::*;
use crate::balance::{hash, mix};

const KEYS: u64 = 4000;

fn owners(table: &Table) -> Vec<u16> {
    (0..KEYS).map(|key| owner(table, mix(key)).unwrap()).collect()
}

fn counts(owners: &[u16], servers: usize) -> Vec<usize> {
    (0..servers).map(|server| owners.iter().filter(|owner| usize::from(**owner) == server).count()).collect()
}

#[test]
fn hashes_are_those_of_the_specification_in_every_release() {
    // From xxHash's published test vectors.
    assert_eq!(hash(b""), 0xef46_db37_51d8_e999);
    assert_eq!(hash(b"a"), 0xd24e_c4f1_a98c_6e5b);
    assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
}

#[test]
fn a_key_has_the_same_server_in_every_release() {
    // A change here would send every client elsewhere while directors of two releases work together.
    let chosen = METHODS.map(|method| {
        let table = table(&all_up(&[1, 1, 2, 1]), &hashed(method, None));
        (0..12_u8).map(|key| owner(&table, hash(&[key])).unwrap()).collect::<Vec<_>>()
    });
    let ring = [0, 0, 2, 2, 2, 0, 0, 0, 1, 0, 2, 2];
    let maglev = [0, 1, 2, 2, 2, 1, 1, 0, 2, 2, 1, 1];
    let modulo = [3, 2, 2, 1, 3, 2, 1, 0, 2, 2, 2, 2];
    assert_eq!(chosen, [ring, maglev, modulo]);
}

#[test]
fn a_request_without_a_key_goes_in_turn() {
    let table = table(&all_up(&[1, 1]), &hashed(HashMethod::Consistent, None));
    assert_eq!(turns(&table, 4), [0, 1, 0, 1]);
}

#[test]
fn a_key_waits_for_its_server_unless_the_load_is_bounded() {
    let candidates = all_up(&[1, 1, 1]).map_most(3);
    for method in METHODS {
        let free = table(&candidates, &hashed(method, None));
        let home = owner(&free, 99).unwrap();
        let load = |server| if server == home { 3 } else { 0 };
        let ask = Ask { hash: Some(99), ..busy(0, load) };
        assert_eq!(free.choose(&ask), Choice::Full(Some(home)));
        let bounded = table(&candidates, &hashed(method, Some(150)));
        assert!(bounded.choose(&ask).server().is_some_and(|server| server != home));
        assert_eq!(bounded.choose(&Ask { hash: Some(99), ..busy(0, |_| 3) }), FULL);
    }
}

#[test]
fn shares_follow_the_weights() {
    for (method, slack) in METHODS.into_iter().zip([25, 4, 4]) {
        let weights = [1, 2, 1, 4];
        let counts = counts(&owners(&table(&all_up(&weights), &hashed(method, None))), 4);
        for (count, weight) in counts.iter().zip(weights) {
            let due = KEYS as usize * usize::from(weight) / 8;
            assert!(count.abs_diff(due) * 100 <= due * slack + 6000, "{method:?} {counts:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_order_in_the_file_does_not_matter(
        weights in prop::collection::vec(1_u16..20, 1..8),
        by in 0_usize..8,
    ) {
        let mut candidates = all_up(&weights);
        let tables = METHODS.map(|method| table(&candidates, &hashed(method, None)));
        let names: Vec<&str> = candidates.iter().map(|candidate| candidate.name).collect();
        let by = by % candidates.len();
        candidates.rotate_left(by);
        candidates[by..].reverse();
        for (method, before) in METHODS.into_iter().zip(tables) {
            let after = table(&candidates, &hashed(method, None));
            for key in (0..500).map(mix) {
                let (one, other) = (owner(&before, key).unwrap(), owner(&after, key).unwrap());
                prop_assert_eq!(names[usize::from(one)], candidates[usize::from(other)].name);
            }
        }
    }

    #[test]
    fn only_the_keys_of_who_goes_move(
        weights in prop::collection::vec(1_u16..10, 2..10),
        gone in 0_usize..10,
    ) {
        let mut candidates = all_up(&weights);
        let gone = gone % candidates.len();
        let before = [HashMethod::Consistent, HashMethod::Maglev]
            .map(|method| owners(&table(&candidates, &hashed(method, None))));
        candidates[gone].health = State::Down;
        let [ring, maglev] = [HashMethod::Consistent, HashMethod::Maglev]
            .map(|method| owners(&table(&candidates, &hashed(method, None))));
        let moved = |before: &[u16], after: &[u16]| {
            before
                .iter()
                .zip(after)
                .filter(|(before, after)| before != after && usize::from(**before) != gone)
                .count()
        };
        prop_assert_eq!(moved(&before[0], &ring), 0, "on a ring nobody else's");
        let others = moved(&before[1], &maglev);
        prop_assert!(others * 100 <= KEYS as usize * 10, "{} of {} others' keys in a Maglev table", others, KEYS);
    }

    #[test]
    fn a_smaller_share_gives_keys_away_and_takes_none(
        weights in prop::collection::vec(1_u16..10, 2..10),
        percent in 1_u16..100,
    ) {
        let mut candidates = all_up(&weights);
        let balance = hashed(HashMethod::Consistent, None);
        let before = owners(&table(&candidates, &balance));
        candidates[0].percent = percent;
        let after = owners(&table(&candidates, &balance));
        for (before, after) in before.iter().zip(after) {
            prop_assert!(*before == after || *before == 0, "{before} lost a key to {after}");
        }
    }

    #[test]
    fn nobody_gets_more_than_the_bound(
        weights in prop::collection::vec(1_u16..5, 2..9),
        bound in 100_u16..300,
        method in 0_usize..3,
        keys in 1_u64..20,
    ) {
        let table = table(&all_up(&weights), &hashed(METHODS[method], Some(bound)));
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut loads = vec![0_u32; weights.len()];
        // Few keys, which all ask again and again.
        for number in 1..=400_u64 {
            let load = |server: u16| loads[usize::from(server)];
            let ask = Ask { hash: Some(mix(number % keys)), ..busy(number, load) };
            let chosen = usize::from(table.choose(&ask).server().unwrap());
            loads[chosen] += 1;
            let most = (number * u64::from(bound) * u64::from(weights[chosen])).div_ceil(100 * total);
            prop_assert!(u64::from(loads[chosen]) <= most, "{:?} after {}", loads, number);
        }
    }

    #[test]
    fn a_second_attempt_goes_where_the_key_would_go_without_the_first(
        count in 2_usize..9,
        key in any::<u64>(),
    ) {
        let mut candidates = all_up(&vec![1; count]);
        let balance = hashed(HashMethod::Consistent, None);
        let before = table(&candidates, &balance);
        let first = owner(&before, key).unwrap();
        let ask = Ask { hash: Some(key), tried: &tried(&[first]), ..idle(0) };
        let second = before.choose(&ask).server();
        candidates[usize::from(first)].health = State::Down;
        prop_assert_eq!(second, owner(&table(&candidates, &balance), key));
    }
}
