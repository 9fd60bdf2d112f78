//! Maglev hashing: a table whose places the servers took in turn, each by its own order of preference.
//!
//! (Eisenbud et al. 2016, section 3.4.) Shares are exact to one place; when a server comes or goes, its keys move, and a
//! few others.

use super::hash::mix;
use super::ring::Node;

/// Places of a table, a prime: the paper's, good for some hundred servers.
const PLACES: u32 = 65_537;
const FREE: u16 = u16::MAX;

/// The table of these nodes, which stand in the order of their names and take their turns as `cycle` says (as ranks).
pub(super) fn table(nodes: &[Node], cycle: &[u16]) -> Box<[u16]> {
    let mut places = vec![FREE; PLACES as usize];
    let mut next: Vec<(u32, u32)> = nodes
        .iter()
        .map(|node| {
            let within = |number: u64, most: u32| u32::try_from(number % u64::from(most)).unwrap_or(0);
            (within(mix(node.name), PLACES), 1 + within(mix(!node.name), PLACES - 1))
        })
        .collect();
    for rank in cycle.iter().cycle().take(PLACES as usize) {
        let rank = usize::from(*rank);
        let (Some((at, skip)), Some(node)) = (next.get_mut(rank), nodes.get(rank)) else { continue };
        // There is a free one, and steps of any size lead everywhere: the number of places is a prime.
        for _ in 0..PLACES {
            let here = *at as usize;
            *at = (*at + *skip) % PLACES;
            if let Some(place) = places.get_mut(here).filter(|place| **place == FREE) {
                *place = node.place;
                break;
            }
        }
    }
    places.into()
}
