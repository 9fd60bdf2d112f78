//! Who is first, and who takes back: what each director's file says of it becomes what the group has.

use std::cmp::Reverse;

use super::plan::{Group, Wish};
use crate::ledger::Ledger;

/// keepalived's own, where none is told.
const USUAL: u8 = 100;

impl Group {
    /// What the file of a director says; made if it is not there.
    pub(super) fn wish(&mut self, node: &str) -> &mut Wish {
        let at = self.wishes.iter().position(|wish| wish.node == node).unwrap_or_else(|| {
            self.wishes.push(Wish { node: node.to_owned(), ..Wish::default() });
            self.wishes.len() - 1
        });
        &mut self.wishes[at]
    }

    /// The directors, first who is first: by priority, then who begins as master, then as the files stand.
    fn order(&self) -> Vec<(&Wish, u8)> {
        let mut order: Vec<(&Wish, u8)> = self
            .wishes
            .iter()
            .map(|wish| (wish, self.priorities.get(&wish.node).copied().unwrap_or(USUAL)))
            .collect();
        order.sort_by_key(|(wish, priority)| (Reverse(*priority), !wish.is_master));
        order
    }

    /// Gives each director a priority of its own, as near to what its file says as can be.
    pub(super) fn no_two_are_equal(&mut self, ledger: &mut Ledger) {
        let order: Vec<(String, u8)> =
            self.order().into_iter().map(|(wish, priority)| (wish.node.clone(), priority)).collect();
        let mut own: Vec<u8> = Vec::new();
        for (_, wanted) in &order {
            let below = own.last().map_or(254, |last| last.saturating_sub(1));
            own.push((*wanted).min(below));
        }
        let mut above = 1;
        for priority in own.iter_mut().rev() {
            *priority = (*priority).max(above);
            above = priority.saturating_add(1);
        }
        for ((node, wanted), priority) in order.into_iter().zip(own) {
            let told =
                self.wishes.iter().find(|wish| wish.node == node).and_then(|wish| wish.priority.clone());
            if let Some(at) = told.filter(|_| priority != wanted) {
                let to = format!("[group.{}] priority", self.name);
                ledger.approximated(&at, to, format!("{priority}: no two directors have the same"));
            }
            self.priorities.insert(node, priority);
        }
    }

    /// Whether a director that returns takes the addresses back, and after how many seconds.
    pub(super) fn preemption(&self, ledger: &mut Ledger) -> (bool, Option<f64>) {
        let order = self.order();
        let to = format!("[group.{}]", self.name);
        // Who is last takes nothing from anybody.
        let takers = order.get(..order.len().saturating_sub(1).max(1)).unwrap_or_default();
        let stays = |wish: &Wish| !wish.nopreempt.is_empty() && !wish.is_master;
        let preempt = !takers.first().is_some_and(|(first, _)| stays(first));
        let delay =
            takers.first().and_then(|(first, _)| Some(first.delay.first()?.1).filter(|_| !first.is_master));
        for (index, (wish, _)) in order.iter().enumerate() {
            let takes = index < takers.len();
            for at in &wish.nopreempt {
                match (wish.is_master, takes, preempt) {
                    (true, true, _) => ledger.approximated(
                        at,
                        format!("{to} preempt = {preempt}"),
                        "keepalived takes it back beside `state MASTER`: take `preempt` out if it was meant",
                    ),
                    (false, true, true) => ledger.approximated(
                        at,
                        format!("{to} preempt = true"),
                        "all directors are alike: as the first one",
                    ),
                    (_, false, true) => {
                        ledger.dropped(at, "who has the lowest priority takes nothing back anyway")
                    }
                    (_, _, false) => ledger.carried(at, format!("{to} preempt = false, the default")),
                }
            }
            for (at, own) in &wish.delay {
                let to = format!("{to} preempt_delay");
                if wish.is_master {
                    ledger.dropped(at, "keepalived takes it back beside `state MASTER`");
                } else if !takes || !preempt {
                    ledger.dropped(at, "who takes nothing back has nothing to wait for");
                } else if delay.is_some_and(|delay| delay.to_bits() == own.to_bits()) {
                    ledger.carried(at, to);
                } else {
                    ledger.approximated(at, to, "all directors are alike: as the first one");
                }
            }
        }
        (preempt, delay.filter(|_| preempt))
    }
}
