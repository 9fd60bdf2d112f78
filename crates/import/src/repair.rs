//! The last look: what the check of the cluster file refuses is taken out again, and told.
//!
//! The readers know the words of both sides, but not every bound and every pair of words that the check knows. So that no file
//! comes out that it refuses, the lines that it names become comments, until it is content.

use relevo_model::Severity;

use crate::ledger::Ledger;

/// Rounds of checking.
const ROUNDS: usize = 60;

/// The text as the check accepts it, or what it says to the last try.
pub(crate) fn repaired(mut text: String, ledger: &mut Ledger) -> Result<String, String> {
    let mut last = String::new();
    for _ in 0..ROUNDS {
        let reading = relevo_model::read(&text);
        if reading.cluster.is_some() {
            return Ok(text);
        }
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut changed = false;
        for finding in reading.diagnostics.iter().filter(|one| one.severity == Severity::Error) {
            last.clone_from(&finding.message);
            changed |= take_out(&mut lines, finding.place.line, &finding.message, ledger);
        }
        if !changed {
            break;
        }
        text = lines.join("\n");
        text.push('\n');
    }
    let reading = relevo_model::read(&text);
    if reading.cluster.is_some() { Ok(text) } else { Err(last) }
}

/// Takes out what a line says: a key, or with a header its whole table.
fn take_out(lines: &mut [String], line: usize, why: &str, ledger: &mut Ledger) -> bool {
    let Some(index) = line.checked_sub(1).filter(|index| *index < lines.len()) else { return false };
    let text = lines[index].clone();
    if text.trim().is_empty() || text.starts_with('#') {
        return false;
    }
    let header_at = lines[..=index].iter().rposition(|line| line.starts_with('['));
    let header = header_at.map_or(String::new(), |at| lines[at].trim_matches(['[', ']']).to_owned());
    if text.starts_with('[') {
        let below = format!("{header}.");
        let is_list = text.starts_with("[[");
        let mut inside = false;
        for (at, line) in lines.iter_mut().enumerate() {
            if line.starts_with('[') {
                let own = line.trim_matches(['[', ']']);
                inside = at == index || (!is_list && (own == header || own.starts_with(&below)));
            }
            if inside && !line.is_empty() && !line.starts_with('#') {
                line.insert_str(0, "# ");
            }
        }
        lines[index].push_str(&format!("  # taken out: {}", one_line(why)));
        ledger.refuse(&format!("[{header}]"), None, why);
        return true;
    }
    let key = text.split('=').next().unwrap_or_default().trim().to_owned();
    lines[index] = format!("# {text}  # taken out: {}", one_line(why));
    ledger.refuse(&format!("[{header}]"), Some(&key), why);
    true
}

fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
