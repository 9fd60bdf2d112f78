//! Slow starts.

use std::time::Duration;

use proptest::prelude::*;

use crate::balance::{next_step, slow_start};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_share_grows_from_a_twentieth_to_all() {
    let shares: Vec<u16> = [0, 10, 20, 30, 31].map(|up| slow_start(up * SECOND, 30 * SECOND)).into();
    assert_eq!(shares, [5, 35, 65, 100, 100]);
    assert_eq!(slow_start(Duration::ZERO, Duration::ZERO), 100);
    assert_eq!(next_step(30 * SECOND, 30 * SECOND), None);
}

proptest! {
    #[test]
    fn who_looks_at_each_step_sees_each_share_once(whole in 1_u64..u64::MAX / 1000) {
        let whole = Duration::from_nanos(whole);
        let mut shares = vec![slow_start(Duration::ZERO, whole)];
        let mut up = Duration::ZERO;
        while let Some(next) = next_step(up, whole) {
            prop_assert!(next > up && next <= whole);
            up = next;
            shares.push(slow_start(up, whole));
            prop_assert!(shares.len() <= 20);
        }
        prop_assert!(shares.is_sorted_by(|a, b| a < b) && shares.last() == Some(&100), "{:?}", shares);
    }
}
