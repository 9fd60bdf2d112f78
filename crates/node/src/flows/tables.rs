//! The form of nftables: rules in a table of the family `ip` and one of `ip6`.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use relevo_net::nft::{Nft, NftError};
use relevo_proto::flows::{Existing, Form, Front, Rules, TABLE, portions};

use super::carrier::{Carrier, Counts, Wanted};
use super::{adopt, counts};

const FAMILIES: [&str; 2] = ["ip", "ip6"];

/// The tables, and what is known of them.
#[derive(Debug)]
pub(super) struct Tables {
    nft: Nft,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// What stands; `None`: it is not known.
    installed: Option<Rules>,
    /// Whether the kernel makes copies of packets; `None`: it has not been asked.
    copies: Option<bool>,
}

impl Tables {
    /// What stands there is not known yet.
    pub(super) fn new(nft: Nft) -> Self {
        Self { nft, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the kernel from what stands to `rules`.
    fn bring(&self, known: &mut Known, rules: Rules, is_empty: bool, new: &[&Front]) -> Result<(), NftError> {
        if let Some(former) = &known.installed {
            let mut text = rules.follow(former);
            if text.is_empty() {
                return Ok(());
            }
            text.push_str(&adopted(new));
            match run(&self.nft, &text) {
                Ok(()) => {
                    known.installed = Some(rules);
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(%error, "a change of the rules was refused; all of them are set up again")
                }
            }
            known.installed = None;
        }
        let listing = match list(&self.nft) {
            // No permission or no program: that matters only where there is something to do.
            Err(_) if is_empty => return Ok(()),
            listing => listing?,
        };
        if is_empty {
            if listing.is_some() {
                remove(&self.nft)?;
            }
            known.installed = Some(rules);
            return Ok(());
        }
        let existing = listing.as_deref().map(Existing::read).unwrap_or_default();
        let unknown: Vec<&Front> = new
            .iter()
            .copied()
            .filter(|front| !has(&existing, front, &format!("pin_{}", front.name)))
            .collect();
        let whole = rules.install(&existing) + &adopted(&unknown);
        if let Err(error) = run(&self.nft, &whole) {
            if listing.is_none() {
                return Err(error);
            }
            tracing::warn!(%error, "the rules of another version are in the way; they are removed, with what they remember");
            remove(&self.nft)?;
            run(&self.nft, &(rules.install(&Existing::default()) + &adopted(new)))?;
        }
        known.installed = Some(rules);
        Ok(())
    }
}

impl Carrier for Tables {
    fn put(&self, wanted: &Wanted<'_>) -> Result<(), String> {
        let mut known = self.known();
        let rules = match *known.copies.get_or_insert_with(|| makes_copies(&self.nft)) {
            true => Rules::new(wanted.fronts, wanted.pools),
            false => Rules::without_copies(wanted.fronts, wanted.pools),
        };
        self.bring(&mut known, rules, wanted.fronts.is_empty(), wanted.new).map_err(words)
    }

    fn look(&self, fronts: &[Front]) {
        let mut known = self.known();
        if fronts.is_empty() || known.installed.is_none() {
            return;
        }
        if is_missing(&self.nft, fronts) {
            tracing::warn!("somebody has removed the table {TABLE} of nftables; it is set up again");
            known.installed = None;
        }
    }

    fn remove(&self) -> Result<(), String> {
        match self.known().installed.take() {
            Some(_) => remove(&self.nft).map_err(words),
            None => Ok(()),
        }
    }

    fn forget(&self, fronts: &[&Front]) -> Result<(), String> {
        let text: String = fronts.iter().map(|front| forgotten(front)).collect();
        if text.is_empty() { Ok(()) } else { self.nft.run(&text).map_err(words) }
    }

    fn counts(&self, fronts: &[Front]) -> Result<Counts, String> {
        counts::of_tables(&self.nft, fronts).map_err(words)
    }
}

fn words(error: NftError) -> String {
    error.to_string()
}

/// What makes the tables forget the flows of a service.
fn forgotten(front: &Front) -> String {
    let (family, name) = (front.family(), &front.name);
    let mut text = format!("flush map {family} {TABLE} pin_{name}\n");
    if !front.udp {
        let _ = writeln!(text, "flush map {family} {TABLE} begun_{name}");
    }
    if !front.udp && front.form != Form::Direct {
        let sets: &[&str] = if front.synproxy.is_some() { &["lost"] } else { &["tried", "asked"] };
        for set in sets {
            let _ = writeln!(text, "flush set {family} {TABLE} {set}_{name}");
        }
    }
    text
}

/// Pins of the connections that these services have in the userspace engine.
fn adopted(fronts: &[&Front]) -> String {
    if fronts.iter().all(|front| front.udp) {
        return String::new();
    }
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap_or_default();
    fronts.iter().filter(|front| !front.udp).map(|front| adopt::pins(front, &table)).collect()
}

/// What they have, without elements; `None`: none of them is there.
fn list(nft: &Nft) -> Result<Option<String>, NftError> {
    let mut text = String::new();
    for family in FAMILIES {
        text.push_str(&nft.list_names(family, TABLE)?.unwrap_or_default());
    }
    Ok((!text.is_empty()).then_some(text))
}

/// Whether the kernel sends copies of packets to other servers.
fn makes_copies(nft: &Nft) -> bool {
    match nft.check(&Rules::with_copies_alone()) {
        Err(NftError::Refused(why)) => {
            tracing::warn!(
                why,
                "the kernel makes no copies of packets: flows are found one server after the other"
            );
            false
        }
        Ok(()) | Err(_) => true,
    }
}

/// Does what a text says: as one transaction, or as several where the kernel takes none that is so long.
fn run(nft: &Nft, text: &str) -> Result<(), NftError> {
    match nft.run(text) {
        Err(NftError::Refused(why)) if why.contains("Message too long") => {
            portions(text).iter().try_for_each(|text| nft.run(text))
        }
        done => done,
    }
}

/// Removes them all, in one transaction.
fn remove(nft: &Nft) -> Result<(), NftError> {
    // They are made first: what is not there cannot be deleted.
    let one = |family: &str| format!("table {family} {TABLE}\ndelete table {family} {TABLE}\n");
    nft.run(&FAMILIES.map(one).concat())
}

/// Whether one is gone that these services need.
fn is_missing(nft: &Nft, fronts: &[Front]) -> bool {
    let needed = FAMILIES.iter().filter(|family| fronts.iter().any(|front| front.family() == **family));
    needed.into_iter().any(|family| matches!(nft.list_counters(family, TABLE), Ok(None)))
}

/// Whether a map is in the table of a service.
fn has(existing: &Existing, front: &Front, map: &str) -> bool {
    existing.of(front.family()).is_some_and(|table| table.maps.contains(map))
}
