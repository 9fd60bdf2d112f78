//! A run as a picture for the terminal: a column for every 50 ms around the fault.

use std::time::Duration;

use relevo_model::Time;

use super::event::{ProbeEvent, Record};

/// One column's length.
const COLUMN: Duration = Duration::from_millis(50);
/// Columns before the fault.
const BEFORE: u32 = 6;
/// Columns in all.
const COLUMNS: u32 = 60;

/// Draws who answered, what was lost, and who held the address, 50 ms a column, from 300 ms before the fault
/// to 2.7 s after it. Lines have no colour and end in a newline.
pub fn timeline(record: &Record) -> String {
    let start = record.marks.fault - COLUMN * BEFORE;
    let mut answers = vec![0u32; COLUMNS as usize];
    let mut losses = vec![0u32; COLUMNS as usize];
    for event in &record.probes {
        match event {
            ProbeEvent::Answer { at, .. } => add(&mut answers, start, *at),
            // A loss is drawn where the connection was begun: that is when the client was turned away.
            ProbeEvent::Lost { sent, .. } => add(&mut losses, start, *sent),
            ProbeEvent::Kept { .. } | ProbeEvent::Cut { .. } => {}
        }
    }
    let usual = answers.iter().take(BEFORE as usize).copied().max().unwrap_or(1).max(1);
    let mut nodes: Vec<&str> = Vec::new();
    for holding in record.holdings.iter().filter(|holding| holding.ip == record.address) {
        if !nodes.contains(&holding.node.as_str()) {
            nodes.push(&holding.node);
        }
    }
    nodes.sort_unstable();
    let width = nodes.iter().map(|node| node.len()).max().unwrap_or(0).max("answers".len());
    let mut text = String::new();
    let mut row = |label: &str, cells: String| {
        text.push_str(format!("  {label:<width$}  {cells}").trim_end());
        text.push('\n');
    };
    row("", format!("{:>1$}", "v fault", BEFORE as usize + "v fault".len()));
    row("answers", answers.iter().map(|count| level(*count, usual)).collect());
    row("lost", losses.iter().map(|count| if *count > 0 { 'x' } else { ' ' }).collect());
    for node in nodes {
        let cells = (0..COLUMNS).map(|column| {
            let when = start + COLUMN * column + COLUMN / 2;
            if holds(record, node, when) { '=' } else { ' ' }
        });
        row(node, cells.collect());
    }
    let scale: String = (0..COLUMNS)
        .map(|column| if (column + 20 - BEFORE).is_multiple_of(20) { '|' } else { '.' })
        .collect();
    row("", scale);
    row("", format!("{:6}0 s{:17}1 s{:17}2 s    (a column is 50 ms)", "", "", ""));
    text
}

fn add(columns: &mut [u32], start: Time, at: Time) {
    if at < start {
        return;
    }
    let column = usize::try_from(at.since(start).as_nanos() / COLUMN.as_nanos()).unwrap_or(usize::MAX);
    if let Some(count) = columns.get_mut(column) {
        *count += 1;
    }
}

/// Nothing, few, about half or the usual number of answers.
const fn level(count: u32, usual: u32) -> char {
    if count == 0 {
        ' '
    } else if count * 3 < usual {
        '.'
    } else if count * 3 < usual * 2 {
        ':'
    } else {
        '#'
    }
}

fn holds(record: &Record, node: &str, when: Time) -> bool {
    record
        .holdings
        .iter()
        .filter(|h| h.node.as_str() == node && h.ip == record.address && h.at <= when)
        .max_by_key(|holding| holding.at)
        .is_some_and(|holding| holding.held)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::report::event::{Holding, LostReason, Marks};

    #[test]
    fn a_crash_is_drawn() {
        let ms = Time::from_millis;
        let ip = IpAddr::V4(std::net::Ipv4Addr::new(172, 16, 1, 254));
        let holding = |at, node: &str, held| Holding { at: ms(at), node: node.into(), ip, held };
        let answer =
            |n: u64| ProbeEvent::Answer { sent: ms(n * 10), at: ms(n * 10 + 1), status: 200, server: None };
        let mut probes: Vec<ProbeEvent> = (0..100).chain(137..500).map(answer).collect();
        probes.extend((100..137).map(|n| ProbeEvent::Lost {
            sent: ms(n * 10),
            at: ms(n * 10 + 1),
            why: LostReason::Refused,
        }));
        let record = Record {
            address: ip,
            marks: Marks { start: ms(0), fault: ms(1000), undone: None, end: ms(5000) },
            probes,
            holdings: vec![
                holding(0, "bal1", true),
                holding(1361, "bal2", true),
                holding(2700, "bal1", false),
            ],
        };
        insta::assert_snapshot!(timeline(&record), @r#"
                       v fault
        answers  ######       :##############################################
        lost           xxxxxxxx
        bal1     ========================================
        bal2                  ===============================================
                 ......|...................|...................|.............
                       0 s                 1 s                 2 s    (a column is 50 ms)
        "#);
    }
}
