//! The same file of several directors: the first counts, the others' lines are told by it.

use std::collections::BTreeMap;

use crate::Input;
use crate::ledger::{At, Ledger};

/// Accounts for a further file of a kind: lines that the first one has too became the same.
pub(crate) fn account(first: &Input, other: &Input, ledger: &mut Ledger) {
    let one = ledger.open_file(&first.path);
    let file = ledger.open_file(&other.path);
    let mut known: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (line, section, text) in lines(&first.text) {
        known.entry((section, text)).or_default().push(line);
    }
    for places in known.values_mut() {
        places.reverse();
    }
    for (line, section, text) in lines(&other.text) {
        let at = At { file: file.clone(), line };
        ledger.open(&at, &text);
        let place = known
            .get_mut(&(section, text))
            .and_then(|places| if places.len() > 1 { places.pop() } else { places.last().copied() });
        match place {
            Some(line) => ledger.same_as(&at, &At { file: one.clone(), line }),
            None => {
                let why =
                    format!("all directors run one file, and {} does not say it: it counts", first.path);
                ledger.dropped(&at, why);
            }
        }
    }
}

/// Lines that say something: number, the line above that is not indented, text with single spaces.
fn lines(text: &str) -> Vec<(usize, String, String)> {
    let mut section = String::new();
    let mut out = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let plain = raw.split_whitespace().collect::<Vec<_>>().join(" ");
        if plain.is_empty() || plain.starts_with('#') {
            continue;
        }
        if !raw.starts_with(char::is_whitespace) {
            section.clone_from(&plain);
        }
        out.push((index + 1, section.clone(), plain));
    }
    out
}
