//! The arithmetic of the timers: RFC 9568 section 6.1 and RFC 3768 section 6.1.

use std::time::Duration;

use relevo_model::cluster::VrrpVersion;

/// Skew_Time: lower priorities wait longer.
///
/// Version 3: `((256 - priority) * Active_Adver_Interval) / 256`. Version 2: `(256 - priority) / 256` seconds,
/// whatever the interval.
pub fn skew(version: VrrpVersion, priority: u8, interval: Duration) -> Duration {
    let base = match version {
        VrrpVersion::V3 => interval,
        VrrpVersion::V2 => Duration::from_secs(1),
    };
    base * (256 - u32::from(priority)) / 256
}

/// Active_Down_Interval (Master_Down_Interval in version 2): `missed * Active_Adver_Interval + Skew_Time`. The RFCs say 3.
pub fn active_down(version: VrrpVersion, priority: u8, interval: Duration, missed: u8) -> Duration {
    interval * u32::from(missed.max(1)) + skew(version, priority, interval)
}

/// The interval that the wire can say: hundredths of a second in 12 bits (version 3, never 0), whole seconds in
/// 8 bits (version 2, never 0); rounded down and cut to the range.
pub fn on_the_wire(version: VrrpVersion, interval: Duration) -> Duration {
    match version {
        VrrpVersion::V3 => {
            let hundredths = (interval.as_millis() / 10).clamp(1, 4095);
            Duration::from_millis(10) * u32::try_from(hundredths).unwrap_or(4095)
        }
        VrrpVersion::V2 => Duration::from_secs(interval.as_secs().clamp(1, 255)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use VrrpVersion::{V2, V3};

    #[test]
    fn skew_and_active_down_of_the_rfcs() {
        let us = Duration::from_micros;
        for (version, priority, interval, want_skew, want_down) in [
            // RFC 9568 section 6.1: skew = ((256 - priority) * interval) / 256, down = 3 * interval + skew
            (V3, 100, us(100_000), us(60_937), us(360_937)),
            (V3, 150, us(100_000), us(41_406), us(341_406)),
            (V3, 254, us(100_000), us(781), us(300_781)),
            (V3, 1, us(100_000), us(99_609), us(399_609)),
            (V3, 128, us(1_000_000), us(500_000), us(3_500_000)),
            (V3, 100, us(40_950_000), us(24_953_906), us(147_803_906)),
            (V3, 192, us(10_000), us(2_500), us(32_500)),
            // RFC 3768 section 6.1: skew = (256 - priority) / 256 seconds
            (V2, 100, us(1_000_000), us(609_375), us(3_609_375)),
            (V2, 128, us(10_000_000), us(500_000), us(30_500_000)),
            (V2, 254, us(255_000_000), us(7_812), us(765_007_812)),
        ] {
            let cut = |duration: Duration| us(u64::try_from(duration.as_micros()).unwrap());
            assert_eq!(
                cut(skew(version, priority, interval)),
                want_skew,
                "{version:?} {priority} {interval:?}"
            );
            assert_eq!(cut(active_down(version, priority, interval, 3)), want_down, "{version:?} {priority}");
        }
    }

    #[test]
    fn intervals_are_cut_to_what_the_wire_can_say() {
        let ms = Duration::from_millis;
        for (version, wish, want) in [
            (V3, ms(0), ms(10)),
            (V3, ms(105), ms(100)),
            (V3, ms(40_950), ms(40_950)),
            (V3, Duration::MAX, ms(40_950)),
            (V2, ms(100), ms(1_000)),
            (V2, ms(2_900), ms(2_000)),
            (V2, Duration::MAX, ms(255_000)),
        ] {
            assert_eq!(on_the_wire(version, wish), want, "{version:?} {wish:?}");
        }
    }
}
