//! The tables of the kernel's path: one of the family `ip` and one of `ip6`.

use relevo_net::nft::{Nft, NftError};
use relevo_proto::flows::{Existing, Front, Rules, TABLE, portions};

const FAMILIES: [&str; 2] = ["ip", "ip6"];

/// What they have, without elements; `None`: none of them is there.
pub(super) fn list(nft: &Nft) -> Result<Option<String>, NftError> {
    let mut text = String::new();
    for family in FAMILIES {
        text.push_str(&nft.list_names(family, TABLE)?.unwrap_or_default());
    }
    Ok((!text.is_empty()).then_some(text))
}

/// Whether the kernel sends copies of packets to other servers.
pub(super) fn makes_copies(nft: &Nft) -> bool {
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
pub(super) fn run(nft: &Nft, text: &str) -> Result<(), NftError> {
    match nft.run(text) {
        Err(NftError::Refused(why)) if why.contains("Message too long") => {
            portions(text).iter().try_for_each(|text| nft.run(text))
        }
        done => done,
    }
}

/// Removes them all, in one transaction.
pub(super) fn remove(nft: &Nft) -> Result<(), NftError> {
    // They are made first: what is not there cannot be deleted.
    let one = |family: &str| format!("table {family} {TABLE}\ndelete table {family} {TABLE}\n");
    nft.run(&FAMILIES.map(one).concat())
}

/// Whether one is gone that these services need.
pub(super) fn is_missing(nft: &Nft, fronts: &[Front]) -> bool {
    let needed = FAMILIES.iter().filter(|family| fronts.iter().any(|front| front.family() == **family));
    needed.into_iter().any(|family| matches!(nft.list_counters(family, TABLE), Ok(None)))
}

/// Whether a map is in the table of a service.
pub(super) fn has(existing: &Existing, front: &Front, map: &str) -> bool {
    existing.of(front.family()).is_some_and(|table| table.maps.contains(map))
}
