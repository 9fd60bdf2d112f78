//! From what was seen to figures: the arithmetic of a run.
//!
//! The definitions, in the words of `docs/concepts/drills.md`:
//! - **gap**: the longest time without a good answer. Every 10 ms the client opens a new connection and asks for
//!   a page. Good answers are put in the order in which they were complete; the gap is the longest distance
//!   between two neighbours. It also counts from the last good answer to the end of the observation, so that an
//!   outage that never ends is not called short. With everything well it is about the probe's interval.
//! - **lost**: new connections without a good answer: refused, reset, unanswered within the deadline, unreachable,
//!   or answered with a status of 500 or more.
//! - **cut**: kept connections that broke. One connection can break more than once in a run: it is opened again.
//! - **takeover**: from the fault until the address was on another director, as that one's kernel told.
//! - **two holders**: the longest time that two nodes had one address at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use relevo_model::{NodeName, Time};
use serde::Serialize;

use super::event::{Holding, LostReason, Marks, ProbeEvent, Record};
use crate::probe::Flows;

/// Fault and repair marked closer together than this are one and the same deed.
const REPAIR_IS_FAULT: Duration = Duration::from_millis(10);

/// The figures of one run. Times are whole milliseconds, rounded to the nearest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Longest time without a good answer.
    pub gap_ms: u64,
    /// New connections without a good answer.
    pub lost: u64,
    /// Kept connections that broke.
    pub cut: u64,
    /// From the fault until the address was on another director; `None`: it did not move.
    pub takeover_ms: Option<u64>,
    /// Longest time that two nodes had one address at once.
    pub two_holders_ms: u64,
    /// Longest time without a good answer after the fault was undone; `None`: not undone while observing.
    pub undo_gap_ms: Option<u64>,
    /// How often the address came onto a node after the fault was undone.
    pub undo_moves: u64,
    /// From the undoing of the fault to the first good answer begun after it; `None`: not undone, or no answer.
    pub back_ms: Option<u64>,
    /// Lost because of an answer with a status of 500 or more; counted in `lost` too.
    pub errors: u64,
    /// Begun between the fault and its repair, and lost because nothing came within the deadline; counted in `lost` too.
    pub hung: u64,
    /// Slowest good answer.
    pub slowest_ms: u64,
    /// Good answers.
    pub answers: u64,
    /// Good answers by the server that gave them.
    pub servers: BTreeMap<String, u64>,
    /// Who held the address at the fault; `None`: nobody, or more than one.
    pub from: Option<NodeName>,
    /// Who took it after the fault; `None`: it did not move.
    pub to: Option<NodeName>,
    /// What the drill saw besides: which ports a spanning tree blocks, which servers are reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How connections fared that were there for long; `None`: there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flows: Option<Flows>,
    /// Why the run could not be finished as planned; such a run never passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Computes the figures of one run. Events outside the observation do not count.
pub fn measure(record: &Record) -> Run {
    let marks = record.marks;
    let mut run = Run::default();
    let mut good = Vec::new();
    let observed = |event: &&ProbeEvent| event.when() >= marks.start && event.when() <= marks.end;
    for event in record.probes.iter().filter(observed) {
        match event {
            ProbeEvent::Answer { sent, at, server, .. } => {
                run.answers += 1;
                run.slowest_ms = run.slowest_ms.max(millis(at.since(*sent)));
                if let Some(server) = server {
                    *run.servers.entry(server.clone()).or_default() += 1;
                }
                good.push((*sent, *at));
            }
            ProbeEvent::Lost { sent, why, .. } => {
                run.lost += 1;
                run.errors += u64::from(matches!(why, LostReason::Status(_)));
                run.hung += u64::from(*why == LostReason::Timeout && during_fault(marks, *sent));
            }
            ProbeEvent::Kept { .. } => {}
            ProbeEvent::Cut { .. } => run.cut += 1,
        }
    }
    good.sort_by_key(|(_, at)| *at);
    let done: Vec<Time> = good.iter().map(|(_, at)| *at).collect();
    run.gap_ms = longest_gap(&done, marks.start, marks.end);
    run.two_holders_ms = two_holders(&record.holdings, marks.end);
    let before = holders_at(&record.holdings, record.address, marks.fault);
    if before.len() == 1 {
        run.from = before.first().cloned();
    }
    if let Some(taken) = taken_over(record, &before) {
        run.takeover_ms = Some(millis(taken.at.since(marks.fault)));
        run.to = Some(taken.node.clone());
    }
    if let Some(undone) = marks.undone {
        let after: Vec<Time> = done.iter().copied().filter(|at| *at >= undone).collect();
        run.undo_gap_ms = Some(longest_gap(&after, undone, marks.end));
        run.undo_moves = count(moves(record).filter(|holding| holding.at >= undone));
        run.back_ms = good.iter().find(|(sent, _)| *sent >= undone).map(|(_, at)| millis(at.since(undone)));
    }
    run
}

fn during_fault(marks: Marks, when: Time) -> bool {
    when >= marks.fault && marks.undone.is_none_or(|undone| when < undone)
}

/// The longest distance between neighbours, the ends of the observation included. `done` is in order.
fn longest_gap(done: &[Time], start: Time, end: Time) -> u64 {
    let mut last = start;
    let mut longest = Duration::ZERO;
    for at in done.iter().copied().chain([end]) {
        longest = longest.max(at.since(last));
        last = at;
    }
    millis(longest)
}

/// The asked address's first arrival on another node after the fault. Several nodes may fail at once, so whoever
/// held it at the fault does not count as having taken it. Where the fault is itself the repair (a director returns),
/// the whole rest of the observation counts.
fn taken_over<'a>(record: &'a Record, before: &BTreeSet<NodeName>) -> Option<&'a Holding> {
    let after_fault = |undone: &Time| undone.since(record.marks.fault) > REPAIR_IS_FAULT;
    let until = record.marks.undone.filter(after_fault).unwrap_or(record.marks.end);
    moves(record).find(|holding| {
        holding.at >= record.marks.fault && holding.at <= until && !before.contains(&holding.node)
    })
}

/// Arrivals of the asked address, in order of time.
fn moves(record: &Record) -> impl Iterator<Item = &Holding> {
    let mut arrivals: Vec<&Holding> =
        record.holdings.iter().filter(|holding| holding.held && holding.ip == record.address).collect();
    arrivals.sort_by_key(|holding| holding.at);
    arrivals.into_iter()
}

fn holders_at(holdings: &[Holding], ip: IpAddr, when: Time) -> BTreeSet<NodeName> {
    let mut ordered: Vec<&Holding> = holdings.iter().filter(|h| h.ip == ip && h.at <= when).collect();
    ordered.sort_by_key(|holding| holding.at);
    let mut holders = BTreeSet::new();
    for holding in ordered {
        if holding.held {
            holders.insert(holding.node.clone());
        } else {
            holders.remove(&holding.node);
        }
    }
    holders
}

/// The longest time that two or more nodes had one address at once, over all addresses.
fn two_holders(holdings: &[Holding], end: Time) -> u64 {
    let mut ordered: Vec<&Holding> = holdings.iter().collect();
    // An address that leaves and one that comes at the same instant were never there together.
    ordered.sort_by_key(|holding| (holding.at, holding.held));
    let mut holders: BTreeMap<IpAddr, (BTreeSet<&NodeName>, Option<Time>)> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for holding in ordered {
        let (nodes, doubled) = holders.entry(holding.ip).or_default();
        if holding.held {
            nodes.insert(&holding.node);
        } else {
            nodes.remove(&holding.node);
        }
        match (nodes.len() > 1, *doubled) {
            (true, None) => *doubled = Some(holding.at),
            (false, Some(since)) => {
                longest = longest.max(holding.at.since(since));
                *doubled = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    for (_, doubled) in holders.values() {
        if let Some(since) = doubled {
            longest = longest.max(end.since(*since));
        }
    }
    millis(longest)
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from((duration + Duration::from_micros(500)).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::event::CutReason;

    const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 16, 1, 254));
    const INSIDE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 254));

    fn ms(value: u64) -> Time {
        Time::from_millis(value)
    }

    fn answer(sent: u64, at: u64) -> ProbeEvent {
        ProbeEvent::Answer { sent: ms(sent), at: ms(at), status: 200, server: Some("serv1".into()) }
    }

    fn lost(sent: u64, at: u64, why: LostReason) -> ProbeEvent {
        ProbeEvent::Lost { sent: ms(sent), at: ms(at), why }
    }

    fn holding(at: u64, node: &str, ip: IpAddr, held: bool) -> Holding {
        Holding { at: ms(at), node: NodeName::new(node), ip, held }
    }

    fn record(fault: u64, undone: Option<u64>, end: u64) -> Record {
        Record {
            address: VIP,
            marks: Marks { start: ms(0), fault: ms(fault), undone: undone.map(ms), end: ms(end) },
            probes: Vec::new(),
            holdings: Vec::new(),
        }
    }

    #[test]
    fn gap_is_between_completed_answers_even_if_they_were_begun_earlier() {
        let mut record = record(100, None, 1000);
        record.probes = (0..=10).map(|n| answer(n * 10, n * 10 + 1)).collect();
        // Begun at 110 and 120, their SYN was sent again after a second; newer ones were answered before them.
        record.probes.extend([answer(500, 501), answer(510, 511)]);
        record.probes.extend((52..=99).map(|n| answer(n * 10, n * 10 + 1)));
        let run = measure(&record);
        assert_eq!(run.gap_ms, 400);
        assert_eq!(run.lost, 0);
        assert_eq!(run.servers["serv1"], run.answers);
    }

    #[test]
    fn an_outage_that_never_ends_counts_to_the_end() {
        let mut record = record(100, None, 3000);
        record.probes = vec![answer(90, 100), lost(110, 2110, LostReason::Timeout)];
        let run = measure(&record);
        assert_eq!((run.gap_ms, run.lost, run.hung, run.errors), (2900, 1, 1, 0));
    }

    #[test]
    fn no_answer_at_all_is_a_gap_of_the_whole_observation() {
        assert_eq!(measure(&record(100, None, 3000)).gap_ms, 3000);
    }

    #[test]
    fn events_outside_the_observation_do_not_count() {
        let mut record = record(100, None, 200);
        record.marks.start = ms(50);
        record.probes = vec![
            lost(10, 20, LostReason::Refused),
            answer(50, 60),
            answer(190, 199),
            ProbeEvent::Cut { connection: 0, at: ms(300), why: CutReason::Reset },
        ];
        let run = measure(&record);
        assert_eq!((run.lost, run.cut, run.answers, run.gap_ms), (0, 0, 2, 139));
    }

    #[test]
    fn a_server_error_is_lost_but_not_hung() {
        let mut record = record(100, None, 200);
        record.probes = vec![lost(110, 112, LostReason::Status(503)), lost(120, 121, LostReason::Refused)];
        let run = measure(&record);
        assert_eq!((run.lost, run.errors, run.hung), (2, 1, 0));
    }

    #[test]
    fn silence_after_the_repair_is_lost_but_not_hung() {
        let mut record = record(100, Some(500), 3000);
        record.probes = vec![
            lost(50, 2050, LostReason::Timeout),
            lost(110, 2110, LostReason::Timeout),
            lost(510, 2510, LostReason::Timeout),
        ];
        let run = measure(&record);
        assert_eq!((run.lost, run.hung), (3, 1));
    }

    #[test]
    fn takeover_is_the_arrival_on_another_node_and_refreshes_do_not_count() {
        let mut record = record(1000, None, 5000);
        record.holdings = vec![
            holding(0, "bal1", VIP, true),
            holding(1100, "bal1", VIP, true),
            holding(1250, "bal2", INSIDE, true),
            holding(1361, "bal2", VIP, true),
            holding(2400, "bal1", VIP, false),
        ];
        let run = measure(&record);
        assert_eq!(run.takeover_ms, Some(361));
        assert_eq!(run.from.as_deref(), Some("bal1"));
        assert_eq!(run.to.as_deref(), Some("bal2"));
        assert_eq!(run.two_holders_ms, 1039);
    }

    #[test]
    fn an_address_that_stays_was_not_taken_over() {
        let mut record = record(1000, None, 5000);
        record.holdings = vec![holding(0, "bal1", VIP, true)];
        let run = measure(&record);
        assert_eq!((run.takeover_ms, run.two_holders_ms, run.to), (None, 0, None));
    }

    #[test]
    fn two_holders_is_over_all_addresses_and_open_ended() {
        let mut record = record(1000, None, 5000);
        record.holdings = vec![
            holding(0, "bal1", INSIDE, true),
            holding(2000, "bal2", INSIDE, true),
            holding(0, "bal1", VIP, true),
            holding(1500, "bal1", VIP, false),
            holding(1500, "bal2", VIP, true),
        ];
        assert_eq!(measure(&record).two_holders_ms, 3000);
    }

    #[test]
    fn what_happens_after_the_undoing_is_told_apart() {
        let mut record = record(1000, Some(2000), 3000);
        record.probes = (0..100).chain(150..200).map(|n| answer(n * 10, n * 10 + 1)).collect();
        record.probes.extend((203..300).map(|n| answer(n * 10, n * 10 + 1)));
        record.holdings = vec![holding(0, "bal1", VIP, true), holding(2100, "bal1", VIP, true)];
        let run = measure(&record);
        assert_eq!(run.gap_ms, 510);
        assert_eq!(run.undo_gap_ms, Some(31));
        assert_eq!(run.back_ms, Some(31));
        assert_eq!(run.undo_moves, 1);
    }
}
