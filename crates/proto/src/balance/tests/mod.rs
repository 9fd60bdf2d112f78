//! Fair, smooth, steady, and nobody who must not get work gets any.

mod backups;
mod draws;
mod hashes;
mod loads;
mod ramps;
mod turns;

use relevo_model::cluster::{Balance, Hash, HashKey, HashMethod};

use super::{Ask, Candidate, Choice, Table, Tried};
use crate::health::State;

const NAMES: [&str; 12] =
    ["anna", "bert", "cleo", "dora", "emil", "fred", "gabi", "hans", "ines", "jack", "kora", "leon"];
const METHODS: [HashMethod; 3] = [HashMethod::Consistent, HashMethod::Maglev, HashMethod::MapBased];

/// A server that is up; its place gives its name.
fn up(place: usize, weight: u16) -> Candidate<'static> {
    Candidate { health: State::Up, ..Candidate::new(NAMES[place], weight) }
}

/// Servers that are up, with these weights.
fn all_up(weights: &[u16]) -> Vec<Candidate<'static>> {
    weights.iter().enumerate().map(|(place, weight)| up(place, *weight)).collect()
}

fn table(candidates: &[Candidate<'_>], balance: &Balance) -> Table {
    Table::new(candidates, balance, false)
}

fn in_turn(candidates: &[Candidate<'_>]) -> Table {
    table(candidates, &Balance::RoundRobin)
}

fn hashed(method: HashMethod, bound: Option<u16>) -> Balance {
    Balance::Hash(Hash { key: HashKey::Source, method, bound })
}

/// Asks for a request that nobody was tried for, all servers being idle.
fn idle(turn: u64) -> Ask<'static, impl Fn(u16) -> u32> {
    busy(turn, |_| 0)
}

/// The same with these loads.
fn busy<Load: Fn(u16) -> u32>(turn: u64, load: Load) -> Ask<'static, Load> {
    static NONE: Tried = Tried { servers: [0; Tried::MOST], count: 0 };
    Ask { turn, random: 0, hash: None, load, tried: &NONE }
}

fn turns(table: &Table, count: u64) -> Vec<u16> {
    (0..count).filter_map(|turn| table.choose(&idle(turn)).server()).collect()
}

/// The owner of a key's hash.
fn owner(table: &Table, hash: u64) -> Option<u16> {
    table.choose(&Ask { hash: Some(hash), ..idle(0) }).server()
}

fn tried(servers: &[u16]) -> Tried {
    let mut tried = Tried::new();
    for server in servers {
        tried.add(*server);
    }
    tried
}

/// What [`Choice`] says when all are full.
const FULL: Choice = Choice::Full(None);
