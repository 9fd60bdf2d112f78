//! What nft prints about the table: what is there, and what was counted.

use std::collections::{BTreeMap, BTreeSet};

/// What is in the tables, from `nft -t list table`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Existing {
    /// By family.
    tables: BTreeMap<String, Names>,
}

/// Names of what is in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Sets.
    pub sets: BTreeSet<String>,
    /// Maps.
    pub maps: BTreeSet<String>,
    /// Chains.
    pub chains: BTreeSet<String>,
    /// Counters.
    pub counters: BTreeSet<String>,
}

impl Existing {
    /// Reads a listing, or several after each other.
    pub fn read(text: &str) -> Self {
        let mut all = Self::default();
        let mut here = "";
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match *words {
                ["table", family, _, "{"] => here = family,
                [kind, name, "{"] => {
                    let names = all.tables.entry(here.to_owned()).or_default();
                    let names = match kind {
                        "set" => &mut names.sets,
                        "map" => &mut names.maps,
                        "chain" => &mut names.chains,
                        "counter" => &mut names.counters,
                        _ => continue,
                    };
                    names.insert(name.to_owned());
                }
                _ => {}
            }
        }
        all
    }

    /// What is in the table of a family; `None`: there is none, or nothing in it.
    pub fn of(&self, family: &str) -> Option<&Names> {
        self.tables.get(family)
    }
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What a listing says of elements and counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Elements with counters: their keys as nft writes them.
    pub elements: BTreeMap<String, Counted>,
    /// Counters by name.
    pub counters: BTreeMap<String, Counted>,
    /// How many elements there are.
    pub count: u64,
    /// Of them, by value.
    pub values: BTreeMap<String, u64>,
}

impl Listing {
    /// Reads what nft prints for `list map` or `list counters`.
    pub fn read(text: &str) -> Self {
        let mut listing = Self::default();
        let mut name = None;
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["counter", counter, "{"] => name = Some((*counter).to_owned()),
                ["packets", packets, "bytes", bytes] => {
                    if let (Some(name), Some(counted)) = (name.take(), Counted::read(packets, bytes)) {
                        listing.counters.insert(name, counted);
                    }
                }
                _ => listing.read_elements(line),
            }
        }
        listing
    }

    fn read_elements(&mut self, line: &str) {
        let text = line.trim();
        let text = text.strip_prefix("elements = {").unwrap_or(text);
        // An element of a map always has a colon and a space; of what is declared only `typeof` has, in a line by itself.
        for element in text.trim_end_matches('}').split(", ").map(str::trim) {
            let Some((left, value)) = element.split_once(" : ") else { continue };
            if left.starts_with("type") {
                continue;
            }
            self.count += 1;
            *self.values.entry(value.trim_end_matches(['}', ',']).trim().to_owned()).or_default() += 1;
            let words: Vec<&str> = left.split_whitespace().collect();
            if let [key @ .., "counter", "packets", packets, "bytes", bytes] = words.as_slice()
                && let Some(counted) = Counted::read(packets, bytes)
            {
                self.elements.insert(key.join(" "), counted);
            }
        }
    }
}

impl Counted {
    fn read(packets: &str, bytes: &str) -> Option<Self> {
        Some(Self { packets: packets.parse().ok()?, bytes: bytes.parse().ok()? })
    }
}
