//! How takeovers are announced: keepalived's `garp_*` and `gna_*`, of an instance or, with `vrrp_` before them, of all.

use std::collections::BTreeMap;

use super::super::Node;
use super::plan::seconds;
use crate::draft::quoted;
use crate::ledger::Ledger;

/// Takes one of them in; `here`: where it goes to.
pub(super) fn read(child: &Node, here: &str, into: &mut BTreeMap<&'static str, String>, ledger: &mut Ledger) {
    let at = &child.at;
    let here = format!("{here} announce");
    let number = child.word(1).parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    let (key, range) = match child.name().trim_start_matches("vrrp_") {
        "garp_master_delay" => ("delay", 0.01..=60.0),
        "garp_master_refresh" => ("refresh", 0.0..=86_400.0),
        "garp_interval" | "gna_interval" => ("interval", 0.0..=1.0),
        "garp_master_repeat" => {
            match child.word(1).parse::<u8>() {
                Ok(count @ 1..=20) => {
                    into.insert("repeat", count.to_string());
                    ledger.carried(at, here);
                }
                _ => ledger.approximated(at, here, "1 to 20 can be said; the default is 5"),
            }
            return;
        }
        _ => {
            ledger.approximated(at, here, "Relevo's own rhythm, the defaults");
            return;
        }
    };
    match number.filter(|number| range.contains(number)) {
        Some(0.0) => {
            into.insert(key, quoted("0ms"));
            ledger.carried(at, here);
        }
        Some(number) => {
            into.insert(key, quoted(&seconds(number)));
            ledger.carried(at, here);
        }
        None => ledger.approximated(at, here, "out of the range of the key: the default"),
    }
}
