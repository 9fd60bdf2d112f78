//! How many came in a second: the totals are looked at once a second, while the statistics page is served.

use std::collections::BTreeMap;

use super::report::{Rate, Report};

/// What is counted, by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Sessions(String),
    Requests(String),
    Pool(String),
    Server(String, String),
}

/// Totals at the last look, and what came since the one before.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// Milliseconds since 1970 of the last look.
    at: u64,
    seen: BTreeMap<Key, Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    total: u64,
    rate: Rate,
    /// The most at a time, as far as the looks saw it.
    most: u64,
}

impl Rates {
    /// Looks at the totals.
    pub(super) fn look(&mut self, report: &Report) {
        let passed = report.now.saturating_sub(self.at);
        let is_first = std::mem::replace(&mut self.at, report.now) == 0;
        let mut next = BTreeMap::new();
        let mut note = |key: Key, total: u64, current: u64| {
            let mut seen = self.seen.remove(&key).unwrap_or(Seen { total, ..Seen::default() });
            if !is_first && passed > 0 {
                seen.rate.current = total.saturating_sub(seen.total).saturating_mul(1000) / passed;
                seen.rate.most = seen.rate.most.max(seen.rate.current);
            }
            seen.total = total;
            seen.most = seen.most.max(current);
            next.insert(key, seen);
        };
        for service in &report.services {
            note(Key::Sessions(service.name.clone()), service.figures.total, service.figures.current);
            note(Key::Requests(service.name.clone()), service.figures.requests, 0);
        }
        for pool in &report.pools {
            note(Key::Pool(pool.name.clone()), pool.figures.total, pool.figures.current);
            for server in &pool.servers {
                let key = Key::Server(pool.name.clone(), server.name.clone());
                note(key, server.figures.total, server.figures.current);
            }
        }
        self.seen = next;
    }

    /// Writes what is known into a report.
    pub(super) fn fill(&self, report: &mut Report) {
        let of = |key: Key| self.seen.get(&key).copied().unwrap_or_default();
        for service in &mut report.services {
            service.sessions = of(Key::Sessions(service.name.clone())).rate;
            service.requests = of(Key::Requests(service.name.clone())).rate;
        }
        for pool in &mut report.pools {
            let seen = of(Key::Pool(pool.name.clone()));
            pool.sessions = seen.rate;
            pool.figures.most = pool.figures.most.max(seen.most);
            for server in &mut pool.servers {
                let seen = of(Key::Server(pool.name.clone(), server.name.clone()));
                server.sessions = seen.rate;
                server.figures.most = server.figures.most.max(seen.most);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use relevo_lb::Figures;
    use relevo_model::cluster::Mode;

    use super::super::report::PoolReport;
    use super::*;

    fn report(now: u64, total: u64, current: u64) -> Report {
        let figures = Figures { total, current, ..Figures::default() };
        let pool = PoolReport {
            name: "web".to_owned(),
            since: 0,
            downs: 0,
            downtime: 0,
            mode: Mode::Http,
            balance: "roundrobin".to_owned(),
            fallback: false,
            figures,
            sessions: Rate::default(),
            servers: Vec::new(),
        };
        Report { now, pools: vec![pool], ..Report::default() }
    }

    #[test]
    fn rates_are_per_second_and_the_most_stays() {
        let mut rates = Rates::default();
        let mut at = |now, total, current| {
            let mut report = report(now, total, current);
            rates.look(&report);
            rates.fill(&mut report);
            (report.pools[0].sessions.current, report.pools[0].sessions.most, report.pools[0].figures.most)
        };
        // What came before the first look is no rate.
        assert_eq!(at(1_000_000, 500, 3), (0, 0, 3));
        assert_eq!(at(1_002_000, 700, 9), (100, 100, 9));
        assert_eq!(at(1_003_000, 710, 1), (10, 100, 9));
        // The counters began anew.
        assert_eq!(at(1_004_000, 0, 0), (0, 100, 9));
    }
}
