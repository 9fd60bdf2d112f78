//! Services and servers that the file does not want any more: what they have goes on for a while.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relevo_proto::flows::Front;

/// As long as the balancer lets the work of services and servers finish that are gone.
const WHILE: Duration = Duration::from_secs(60);

/// Who goes, and until when.
#[derive(Debug, Default)]
pub(super) struct Going {
    fronts: BTreeMap<String, (Front, Instant)>,
    servers: BTreeMap<(String, SocketAddr), Instant>,
}

impl Going {
    /// The file wants these fronts after those.
    pub(super) fn follow(&mut self, former: &[Front], next: &[Front], now: Instant) {
        let until = now + WHILE;
        let of = |name: &str| next.iter().find(|front| front.name == name);
        for front in former {
            match of(&front.name) {
                None => {
                    let front = Front { closing: true, ..front.clone() };
                    self.fronts.entry(front.name.clone()).or_insert((front, until));
                }
                Some(same) => {
                    for server in front.servers.iter().filter(|server| !same.servers.contains(server)) {
                        self.servers.entry((front.name.clone(), *server)).or_insert(until);
                    }
                }
            }
        }
        let is_taken = |front: &Front| {
            next.iter().any(|other| {
                let shares = other.servers.iter().any(|server| front.servers.contains(server));
                other.name == front.name || (other.udp == front.udp && (other.at == front.at || shares))
            })
        };
        self.fronts.retain(|_, (front, until)| *until > now && !is_taken(front));
        // What is not remembered when it comes back begins anew.
        self.servers.retain(|(name, server), until| {
            let is_wanted = |front: &Front| front.servers.iter().any(|own| own.ip() == server.ip());
            *until > now && of(name).is_some_and(|front| !is_wanted(front))
        });
    }

    /// Adds them to the fronts that are wanted.
    pub(super) fn add_to(&self, fronts: &mut Vec<Front>) {
        let taken: Vec<(bool, SocketAddr)> =
            fronts.iter().flat_map(|front| front.servers.iter().map(|server| (front.udp, *server))).collect();
        for front in fronts.iter_mut() {
            let own = self.servers.keys().filter(|(name, _)| *name == front.name);
            let free = own.map(|(_, server)| *server).filter(|server| !taken.contains(&(front.udp, *server)));
            front.servers.extend(free);
        }
        fronts.extend(self.fronts.values().map(|(front, _)| front.clone()));
    }

    /// How long until somebody is gone for good.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        let all = self.fronts.values().map(|(_, until)| until).chain(self.servers.values());
        all.min().map(|until| until.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(name: &str, servers: &[&str]) -> Front {
        Front {
            name: name.to_owned(),
            udp: false,
            at: format!("192.0.2.1:{}", 80 + name.len()).parse().unwrap(),
            pool: name.to_owned(),
            key: relevo_proto::flows::Key::Connection,
            inside: Vec::new(),
            idle: Duration::from_secs(300),
            servers: servers.iter().map(|server| server.parse().unwrap()).collect(),
            form: relevo_proto::flows::Form::Nat,
            cut: Vec::new(),
            synproxy: None,
            closing: false,
        }
    }

    fn shown(going: &Going, fronts: &[Front]) -> Vec<(String, bool, usize)> {
        let mut all = fronts.to_vec();
        going.add_to(&mut all);
        all.into_iter().map(|front| (front.name, front.closing, front.servers.len())).collect()
    }

    #[test]
    fn who_is_gone_goes_on_for_a_minute() {
        let (mut going, now) = (Going::default(), Instant::now());
        let before = [front("a", &["10.0.0.1:80", "10.0.0.2:80"]), front("bb", &["10.0.0.3:80"])];
        let after = [front("a", &["10.0.0.1:80"])];
        going.follow(&before, &after, now);
        assert_eq!(shown(&going, &after), [("a".to_owned(), false, 2), ("bb".to_owned(), true, 1)]);
        going.follow(&after, &after, now + WHILE / 2);
        assert_eq!(going.next(now + WHILE / 2), Some(WHILE / 2));
        going.follow(&after, &after, now + WHILE);
        assert_eq!(shown(&going, &after), [("a".to_owned(), false, 1)]);
    }

    #[test]
    fn who_comes_back_or_is_taken_by_another_does_not_go() {
        let (mut going, now) = (Going::default(), Instant::now());
        let (a, b) = (front("a", &["10.0.0.1:80"]), front("bb", &["10.0.0.3:80"]));
        going.follow(&[a.clone(), b.clone()], std::slice::from_ref(&a), now);
        let other = front("ccc", &["10.0.0.3:80"]);
        going.follow(std::slice::from_ref(&a), &[a.clone(), other.clone()], now);
        assert_eq!(shown(&going, &[a.clone(), other]).len(), 2);
        going.follow(&[a.clone(), b.clone()], std::slice::from_ref(&b), now);
        going.follow(std::slice::from_ref(&b), &[a.clone(), b.clone()], now);
        assert_eq!(going.next(now), None);
    }
}
