//! The other directors that go on with connections of a group, as far as this one knows: from having taken the group over from
//! them, from their own words, or from having seen them give it away.

use std::collections::BTreeMap;
use std::time::Duration;

use relevo_model::{NodeName, Time};

use super::{LATE, SILENT};

/// How it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// It is about to give the group away.
    Offer,
    /// It gave it to a third one.
    Perhaps,
    /// It gave the group to this director, or says so.
    Sure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Other {
    /// When it began to drain.
    since: Time,
    until: Time,
    /// When it said last that it drains; `None`: it has not, and perhaps cannot.
    heard: Option<Time>,
    source: Source,
}

impl Other {
    /// When it counts as lost if it says nothing until then.
    fn silent_at(&self, words: bool) -> Option<Time> {
        self.heard.or(words.then_some(self.since)).map(|at| at + SILENT)
    }
}

/// Those that drain, by name. There are no more than the cluster has directors.
#[derive(Clone, Debug, Default)]
pub(super) struct Others(BTreeMap<NodeName, Other>);

impl Others {
    /// It is about to give the group away.
    pub(super) fn offers(&mut self, now: Time, from: NodeName, drain: Duration) {
        self.put(now, from, drain, Source::Offer);
    }

    /// It gave the group to this director.
    pub(super) fn gave(&mut self, now: Time, from: NodeName, drain: Duration) {
        self.put(now, from, drain, Source::Sure);
    }

    fn put(&mut self, now: Time, from: NodeName, drain: Duration, source: Source) {
        let other = Other { since: now, until: now + drain + LATE, heard: None, source };
        self.0.insert(from, other);
    }

    /// It says that it has drained for so long.
    pub(super) fn drains(&mut self, now: Time, from: NodeName, age: Duration, drain: Duration) {
        let since = now - age;
        let known = self.0.get(&from).map(|other| other.source);
        let source = if known == Some(Source::Offer) { Source::Offer } else { Source::Sure };
        self.0.insert(from, Other { since, until: since + drain + LATE, heard: Some(now), source });
    }

    /// It gave the group to a third one.
    pub(super) fn perhaps(&mut self, now: Time, from: NodeName, drain: Duration) {
        self.put(now, from, drain, Source::Perhaps);
    }

    /// Nobody offers any more.
    pub(super) fn decided(&mut self) {
        self.0.retain(|_, other| other.source != Source::Offer || other.heard.is_some());
        for other in self.0.values_mut().filter(|other| other.source == Source::Offer) {
            other.source = Source::Sure;
        }
    }

    /// Only those that drain for sure are left.
    pub(super) fn only_sure(&mut self) {
        self.0.retain(|_, other| other.source == Source::Sure);
    }

    pub(super) fn remove(&mut self, node: &NodeName) {
        self.0.remove(node);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Forgets those whose time is over; whether one of them is silent, and has died.
    pub(super) fn expire(&mut self, now: Time, words: bool) -> bool {
        let mut died = false;
        self.0.retain(|_, other| {
            if other.source == Source::Offer {
                return true;
            }
            let silent = other.silent_at(words).is_some_and(|at| at <= now);
            died |= silent;
            !silent && other.until > now
        });
        died
    }

    /// When [`Others::expire`] has something to do.
    pub(super) fn due(&self, words: bool) -> Option<Time> {
        let settled = self.0.values().filter(|other| other.source != Source::Offer);
        settled.flat_map(|other| [Some(other.until), other.silent_at(words)]).flatten().min()
    }

    /// Who is about to give the group away.
    pub(super) fn offering(&self) -> Option<&NodeName> {
        self.0.iter().find(|(_, other)| other.source == Source::Offer).map(|(name, _)| name)
    }

    /// Who began to drain last; `before`: of those that began before that time.
    pub(super) fn newest(&self, before: Option<Time>) -> Option<&NodeName> {
        let fits = |other: &Other| before.is_none_or(|before| other.since < before);
        self.0
            .iter()
            .filter(|(_, other)| fits(other))
            .max_by_key(|(_, other)| other.since)
            .map(|(name, _)| name)
    }

    /// All, the one that began last first, and the time at which the last one has ended.
    pub(super) fn all(&self) -> Option<(Vec<&NodeName>, Time)> {
        let until = self.0.values().map(|other| other.until).max()?;
        let mut all: Vec<(&NodeName, &Other)> = self.0.iter().collect();
        all.sort_by_key(|(_, other)| std::cmp::Reverse(other.since));
        Some((all.into_iter().map(|(name, _)| name).collect(), until))
    }
}
