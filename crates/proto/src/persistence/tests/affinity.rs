//! The table: bounded in size and time, whatever is done to it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use proptest::prelude::*;
use relevo_model::Time;

use crate::persistence::{Affinity, Key};

const MINUTE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Time {
    Time::from_millis(seconds * 1000)
}

fn key(number: u8) -> Key {
    Key::source(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)))
}

#[test]
fn a_client_keeps_its_server_while_it_comes() {
    let mut table = Affinity::new(10, MINUTE);
    assert_eq!(table.find(&key(1), at(0)), None);
    table.bind(key(1), 7, at(0));
    assert_eq!(table.find(&key(1), at(59)), Some(7));
    assert_eq!(table.find(&key(1), at(118)), Some(7));
    assert_eq!(table.find(&key(1), at(178)), None);
    assert!(table.is_empty());
    table.bind(key(1), 8, at(200));
    table.bind(key(1), 9, at(201));
    assert_eq!((table.len(), table.find(&key(1), at(202))), (1, Some(9)));
    assert!(table.forget(&key(1)) && !table.forget(&key(1)));
}

#[test]
fn who_did_not_come_longest_makes_room() {
    let mut table = Affinity::new(3, MINUTE);
    for number in 1..=3 {
        table.bind(key(number), u64::from(number), at(0));
    }
    table.find(&key(1), at(1));
    table.bind(key(4), 4, at(2));
    let known: Vec<u64> = table.entries(at(2)).map(|entry| entry.server).collect();
    assert_eq!(known, [4, 1, 3]);
    assert_eq!(table.entries(at(60)).count(), 2, "one is too old to be shown");
    table.resize(1, MINUTE);
    assert_eq!(table.find(&key(4), at(3)), Some(4));
    assert_eq!(table.len(), 1);
    table.clear();
    assert_eq!(table.find(&key(4), at(3)), None);
    table.bind(key(5), 5, at(3));
    assert_eq!(table.len(), 1, "its size is still the same");
    let mut none = Affinity::new(0, MINUTE);
    none.bind(key(1), 1, at(0));
    assert!(none.is_empty());
}

#[test]
fn two_first_connections_of_a_client_meet_at_one_server() {
    let mut table = Affinity::new(10, MINUTE);
    assert_eq!(table.settle(key(1), 7, None, at(0)), 7);
    assert_eq!(table.settle(key(1), 8, None, at(0)), 7, "the other one was faster");
    assert_eq!(table.settle(key(1), 8, Some(7), at(1)), 8, "7 is gone");
    assert_eq!(table.settle(key(1), 9, Some(7), at(1)), 8);
    assert_eq!(table.settle(key(1), 9, Some(8), at(100)), 9, "that was long ago");
}

#[test]
fn keys_are_what_they_show() {
    let mapped = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped());
    assert_eq!(Key::source(mapped), key(1));
    assert_eq!(key(1).to_string(), "192.0.2.1");
    assert_eq!(Key::source(IpAddr::V6(Ipv6Addr::LOCALHOST)).to_string(), "::1");
    assert_eq!(Key::text(b"anna\xff").to_string(), "anna\\xff");
    let long = [b'a'; 41];
    assert_eq!(Key::text(&long[..40]).to_string(), "a".repeat(40));
    assert!(Key::text(&long).to_string().starts_with(&("a".repeat(32) + "..#")));
    let mut other = long;
    other[40] = b'b';
    assert_ne!(Key::text(&long), Key::text(&other));
    assert_ne!(Key::text(b"a"), Key::text(b"a\0"));
    let shards: Vec<usize> = (0..100).map(|number| key(number).shard(16)).collect();
    assert!((0..16).all(|shard| shards.contains(&shard)), "{shards:?}");
}

proptest! {
    #[test]
    fn it_does_what_a_plain_list_would(
        steps in prop::collection::vec((0_u8..4, 0_u8..12, 0_u64..30), 0..200),
        size in 1_u32..10,
    ) {
        let mut table = Affinity::new(size, MINUTE);
        let mut list: BTreeMap<Key, (u64, u64)> = BTreeMap::new();
        let (mut now, mut order) = (0, 0_u64);
        let mut uses: BTreeMap<Key, u64> = BTreeMap::new();
        for (what, number, passed) in steps {
            now += passed;
            order += 1;
            list.retain(|_, (_, used)| now - *used < 60);
            let key = key(number);
            match what {
                0 | 1 => {
                    let expected = list.get_mut(&key).map(|(server, used)| {
                        *used = now;
                        *server
                    });
                    prop_assert_eq!(table.find(&key, at(now)), expected);
                    if expected.is_some() {
                        uses.insert(key, order);
                    }
                }
                2 => {
                    if !list.contains_key(&key) && list.len() >= size as usize {
                        let oldest = *list.keys().min_by_key(|key| uses[*key]).unwrap();
                        list.remove(&oldest);
                    }
                    list.insert(key, (order, now));
                    uses.insert(key, order);
                    table.bind(key, order, at(now));
                }
                _ => {
                    table.find(&key, at(now));
                    prop_assert_eq!(table.forget(&key), list.remove(&key).is_some());
                }
            }
            let mut entries: Vec<_> = table.entries(at(now)).map(|entry| (entry.key, entry.server)).collect();
            entries.sort();
            let expected: Vec<_> = list.iter().filter(|(_, (_, used))| now - used < 60).map(|(key, (server, _))| (*key, *server)).collect();
            prop_assert_eq!(entries, expected);
            prop_assert!(table.len() <= size as usize);
        }
    }
}
