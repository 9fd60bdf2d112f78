//! What a table of nftables consists of, and the texts that make it, or make another one of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;

use super::listing::Names;
use super::rules::TABLE;
use super::slots::{CANDIDATES, Slots};

/// A map or a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set {
    /// `map` or `set`.
    pub(super) kind: &'static str,
    /// What is between its braces.
    pub(super) declaration: String,
    /// Keys with values; without a value in a set. `None`: they are the kernel's own, made by packets.
    pub(super) elements: Option<BTreeMap<String, String>>,
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// Where it is called from; empty: from other chains.
    pub(super) hook: String,
    pub(super) rules: Vec<String>,
}

/// The slots of a pool as three maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlotMaps {
    pub(super) v4: bool,
    pub(super) slots: Slots,
}

/// The family of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TableFamily {
    /// IPv4.
    #[default]
    Ip,
    /// IPv6.
    Ip6,
}

impl TableFamily {
    /// nft's word.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
        }
    }
}

/// A whole table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) family: TableFamily,
    pub(super) sets: BTreeMap<String, Set>,
    pub(super) chains: BTreeMap<String, Chain>,
    pub(super) counters: BTreeSet<String>,
    /// By pool.
    pub(super) slots: BTreeMap<String, SlotMaps>,
}

/// Elements in one line of a text.
const LINE: usize = 512;

impl Script {
    /// The text that makes it out of what is there. What packets have made stays.
    pub(super) fn install(&self, existing: &Names) -> String {
        let family = self.family.word();
        let mut text = String::new();
        let mut former = Self { family: self.family, ..Self::default() };
        // What is there is taken for empty: it is emptied first.
        for name in existing.sets.iter().chain(&existing.maps) {
            let own = self.sets.get(name);
            if own.is_none_or(|set| set.elements.is_some()) {
                let kind = if existing.maps.contains(name) { "map" } else { "set" };
                let _ = writeln!(text, "flush {kind} {family} {TABLE} {name}");
            }
        }
        for name in &existing.chains {
            let _ = writeln!(text, "flush chain {family} {TABLE} {name}");
        }
        let gone = |name: &&String| !self.sets.contains_key(*name) && !self.is_slot_map(name);
        for name in existing.sets.iter().filter(gone) {
            former.sets.insert(name.clone(), Set::empty("set"));
        }
        for name in existing.maps.iter().filter(gone) {
            former.sets.insert(name.clone(), Set::empty("map"));
        }
        for name in existing.chains.iter().filter(|name| !self.chains.contains_key(*name)) {
            former.chains.insert(name.clone(), Chain::default());
        }
        former.counters.extend(existing.counters.iter().cloned());
        text + &self.follow(&former)
    }

    /// Adds another one of the same family: what is in both does what both do.
    pub(super) fn merge(&mut self, other: Self) {
        for (name, set) in other.sets {
            match self.sets.get_mut(&name) {
                Some(own) => own.elements.get_or_insert_default().extend(set.elements.unwrap_or_default()),
                None => drop(self.sets.insert(name, set)),
            }
        }
        for (name, chain) in other.chains {
            match self.chains.get_mut(&name) {
                Some(own) => {
                    let new: Vec<String> =
                        chain.rules.into_iter().filter(|rule| !own.rules.contains(rule)).collect();
                    own.rules.extend(new);
                }
                None => drop(self.chains.insert(name, chain)),
            }
        }
        self.counters.extend(other.counters);
        self.slots.extend(other.slots);
    }

    /// The text that makes it out of a former one.
    pub(super) fn follow(&self, former: &Self) -> String {
        let family = self.family.word();
        let mut text = String::new();
        if former.chains.is_empty() && !self.chains.is_empty() {
            let _ = writeln!(text, "add table {family} {TABLE}");
        }
        self.declare(former, &mut text);
        for (name, chain) in &self.chains {
            if former.chains.get(name) == Some(chain) {
                continue;
            }
            if former.chains.contains_key(name) {
                let _ = writeln!(text, "flush chain {family} {TABLE} {name}");
            }
            for rule in &chain.rules {
                let _ = writeln!(text, "add rule {family} {TABLE} {name} {rule}");
            }
        }
        let gone: Vec<&String> =
            former.chains.keys().filter(|name| !self.chains.contains_key(*name)).collect();
        for name in &gone {
            let _ = writeln!(text, "flush chain {family} {TABLE} {name}");
        }
        self.move_elements(former, &mut text);
        self.move_slots(former, &mut text);
        for name in gone {
            let _ = writeln!(text, "delete chain {family} {TABLE} {name}");
        }
        for (name, set) in former.sets.iter().filter(|(name, _)| !self.sets.contains_key(*name)) {
            let _ = writeln!(text, "delete {} {family} {TABLE} {name}", set.kind);
        }
        for pool in former.slots.keys().filter(|pool| !self.slots.contains_key(*pool)) {
            for name in slot_maps(pool) {
                let _ = writeln!(text, "delete map {family} {TABLE} {name}");
            }
        }
        for name in former.counters.difference(&self.counters) {
            let _ = writeln!(text, "delete counter {family} {TABLE} {name}");
        }
        text
    }

    /// Makes what was not there.
    fn declare(&self, former: &Self, text: &mut String) {
        let family = self.family.word();
        for (name, set) in self.sets.iter().filter(|(name, _)| !former.sets.contains_key(*name)) {
            let _ = writeln!(text, "add {} {family} {TABLE} {name} {{ {} }}", set.kind, set.declaration);
        }
        for (pool, maps) in self.slots.iter().filter(|(pool, _)| !former.slots.contains_key(*pool)) {
            let address = if maps.v4 { "ip daddr" } else { "ip6 daddr" };
            for name in slot_maps(pool) {
                // A key of type `jhash` makes nft 1.0.6 crash when it lists the map; a number is a number.
                let declaration = format!("typeof numgen inc mod 65536 : {address}; size 65536;");
                let _ = writeln!(text, "add map {family} {TABLE} {name} {{ {declaration} }}");
            }
        }
        for name in self.counters.difference(&former.counters) {
            let _ = writeln!(text, "add counter {family} {TABLE} {name}");
        }
        for (name, chain) in self.chains.iter().filter(|(name, _)| !former.chains.contains_key(*name)) {
            if chain.hook.is_empty() {
                let _ = writeln!(text, "add chain {family} {TABLE} {name}");
            } else {
                let _ = writeln!(text, "add chain {family} {TABLE} {name} {{ {} }}", chain.hook);
            }
        }
    }

    fn move_elements(&self, former: &Self, text: &mut String) {
        let family = self.family.word();
        let none = BTreeMap::new();
        let of = |script: &Self, name: &str| {
            script.sets.get(name).and_then(|set| set.elements.clone()).unwrap_or_default()
        };
        for (name, set) in &former.sets {
            let next = self.sets.get(name).and_then(|set| set.elements.as_ref()).unwrap_or(&none);
            let Some(before) = &set.elements else { continue };
            let gone = before.iter().filter(|(key, value)| next.get(*key) != Some(value));
            write_elements("delete", family, name, gone.map(|(key, _)| key.clone()), text);
        }
        for (name, set) in &self.sets {
            let Some(elements) = &set.elements else { continue };
            let before = of(former, name);
            let new = elements.iter().filter(|(key, value)| before.get(*key) != Some(value));
            let words = new.map(|(key, value)| match value.is_empty() {
                true => key.clone(),
                false => format!("{key} : {value}"),
            });
            write_elements("add", family, name, words, text);
        }
    }

    fn move_slots(&self, former: &Self, text: &mut String) {
        let family = self.family.word();
        let empty = Slots::default();
        for (pool, maps) in &self.slots {
            let before = former.slots.get(pool).map_or(&empty, |maps| &maps.slots);
            for (column, name) in slot_maps(pool).into_iter().enumerate() {
                let old: Vec<Option<SocketAddr>> = before.column(column).collect();
                let new: Vec<Option<SocketAddr>> = maps.slots.column(column).collect();
                let count = old.len().max(new.len());
                let at = |list: &[Option<SocketAddr>], slot: usize| list.get(slot).copied().flatten();
                let changed = || (0..count).filter(|slot| at(&old, *slot) != at(&new, *slot));
                let gone = changed().filter(|slot| at(&old, *slot).is_some());
                write_elements("delete", family, &name, gone.map(|slot| slot.to_string()), text);
                let made = changed().filter_map(|slot| Some(format!("{slot} : {}", at(&new, slot)?.ip())));
                write_elements("add", family, &name, made, text);
            }
        }
    }

    fn is_slot_map(&self, name: &str) -> bool {
        self.slots.keys().any(|pool| slot_maps(pool).iter().any(|own| own == name))
    }
}

impl Set {
    fn empty(kind: &'static str) -> Self {
        Self { kind, declaration: String::new(), elements: Some(BTreeMap::new()) }
    }
}

/// The maps of a pool's slots, by rank.
pub(super) fn slot_maps(pool: &str) -> [String; CANDIDATES] {
    [1, 2, 3].map(|rank| format!("c{rank}_{pool}"))
}

fn write_elements(
    what: &str,
    family: &str,
    name: &str,
    elements: impl Iterator<Item = String>,
    text: &mut String,
) {
    let elements: Vec<String> = elements.collect();
    for line in elements.chunks(LINE) {
        let _ = writeln!(text, "{what} element {family} {TABLE} {name} {{ {} }}", line.join(", "));
    }
}
