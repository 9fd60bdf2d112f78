//! The order of one cycle of weighted round robin.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Longest cycle, unless there are more servers: 256 KiB.
const LONGEST: u64 = 1 << 17;

/// One full cycle: index `i` stands in it `weights[i] / g` times, `g` being the greatest common divisor.
///
/// The cycle is smooth: after any number `n` of its steps, a server with the share `s` of all weight was
/// chosen `n * s` times, rounded down or up. This is the earliest-deadline schedule of a proportionate-fair
/// system (Baruah, Cohen, Plaxton, Varvel 1996): the `k`-th turn of a server lies in the window from
/// `floor(k / s)` to `ceil((k + 1) / s)`. Equal weights give the plain order 0, 1, 2.
///
/// Weights whose cycle would be longer than 131,072 steps are rounded so that it is not.
pub fn schedule(weights: &[u16]) -> Vec<u16> {
    let divisor = weights.iter().fold(0, |divisor, weight| greatest_common_divisor(divisor, *weight));
    if divisor == 0 {
        return Vec::new();
    }
    let exact: u64 = weights.iter().map(|weight| u64::from(weight / divisor)).sum();
    let shares: Vec<u64> = weights
        .iter()
        .map(|weight| match u64::from(weight / divisor) {
            share if share == 0 || exact <= LONGEST => share,
            share => (share * LONGEST / exact).max(1),
        })
        .collect();
    let total: u64 = shares.iter().sum();
    // Turns that may be taken, by deadline and then by index; turns that may not yet, by the step they may.
    let mut ready = BinaryHeap::new();
    let mut later: BTreeMap<u64, Vec<(u64, u16, u64)>> = BTreeMap::new();
    for (index, share) in shares.iter().copied().enumerate() {
        if share > 0
            && let Ok(index) = u16::try_from(index)
        {
            ready.push(Reverse((total.div_ceil(share), index, 0)));
        }
    }
    let mut order = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
    for step in 0..total {
        for turn in later.remove(&step).unwrap_or_default() {
            ready.push(Reverse(turn));
        }
        let Some(Reverse((_, index, taken))) = ready.pop() else { continue };
        order.push(index);
        let share = shares[usize::from(index)];
        let next = taken + 1;
        if next < share {
            let turn = (((next + 1) * total).div_ceil(share), index, next);
            let from = next * total / share;
            if from <= step + 1 {
                ready.push(Reverse(turn));
            } else {
                later.entry(from).or_default().push(turn);
            }
        }
    }
    order
}

/// The greatest number that divides both.
pub(super) const fn greatest_common_divisor(mut a: u16, mut b: u16) -> u16 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
