//! Consistent hashing: servers stand on a ring at many points each; a key belongs to who comes next.
//!
//! (Karger et al. 1997.) A server's points come from its name alone, and a smaller share is the beginning of a larger
//! one: when a server comes, goes or changes its weight, only keys move that it gains or loses.

use super::hash::mix;

/// Most points of one ring: 6 bytes each.
const MOST_POINTS: u32 = 1 << 17;
/// Most points for the smallest weight: the shares of three equal servers then differ by a few percent.
const MOST_POINTS_EACH: u32 = 1024;

/// A server that stands on the ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// The hash of its name.
    pub(super) name: u64,
    /// Its place among the table's members.
    pub(super) place: u16,
    /// Its share.
    pub(super) share: u16,
}

/// The points in order, and who stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ring {
    points: Box<[u32]>,
    places: Box<[u16]>,
}

impl Ring {
    /// The ring of these nodes, which stand in the order of their names. `all`: the whole shares of all servers, also of
    /// those who are down or not at their full weight: how many points a share gives must not depend on the day.
    pub(super) fn new(nodes: &[Node], all: impl Iterator<Item = u16> + Clone) -> Self {
        let count = points_of(all);
        // The point, and behind it the node's rank: two names at one point are in the same order everywhere.
        let mut stands = Vec::new();
        for (rank, node) in (0_u64..).zip(nodes) {
            for number in 0..count(node.share) {
                let point = mix(node.name.wrapping_add(u64::from(number))) >> 32;
                stands.push(point << 16 | rank);
            }
        }
        stands.sort_unstable();
        let place = |stand: &u64| nodes.get((stand & 0xffff) as usize).map_or(0, |node| node.place);
        Self {
            points: stands.iter().map(|stand| u32::try_from(stand >> 16).unwrap_or(u32::MAX)).collect(),
            places: stands.iter().map(place).collect(),
        }
    }

    /// The owner of a key, then those who come after it on the ring. A node comes more than once.
    pub(super) fn walk(&self, hash: u64) -> impl Iterator<Item = u16> {
        let key = u32::try_from(hash >> 32).unwrap_or(u32::MAX);
        let start = self.points.partition_point(|point| *point < key);
        let (before, from) = self.places.split_at(start);
        from.iter().chain(before).copied()
    }
}

/// How many points a share gives: a power of two for each unit of weight, so that a small change of the
/// servers leaves it as it is.
fn points_of(all: impl Iterator<Item = u16> + Clone) -> impl Fn(u16) -> u32 {
    let unit = u64::from(all.clone().fold(0, super::schedule::greatest_common_divisor).max(1));
    let units = all.map(u64::from).sum::<u64>().div_ceil(unit).max(1);
    let mut each = u64::from(MOST_POINTS_EACH);
    let mut divisor = 1;
    while units * each > u64::from(MOST_POINTS) * divisor {
        if each > 1 { each /= 2 } else { divisor *= 2 }
    }
    move |share| {
        let points = u64::from(share) * each / (unit * divisor);
        u32::try_from(points).unwrap_or(MOST_POINTS).max(1)
    }
}
