//! How the server of a flow is found that a director has not seen: it is asked for, and those that do not have it say so.

use super::rules::{Chains, Words};

/// Most resets of a service that are remembered. When there are more, resets are dropped and nothing is noted.
pub(super) const TRIED: u32 = 65_536;
/// How long a reset is remembered, seconds.
pub(super) const TRIED_FOR: u32 = 30;
/// Most packets of a service that wait for an answer, and how long, seconds.
pub(super) const ASKED: u32 = 65_536;
pub(super) const ASKED_FOR: u32 = 10;
/// Most copies of packets for a service's servers in a second. What is above that goes to one server.
const COPIES: u32 = 20_000;

impl Chains<'_> {
    /// A packet of a flow that is not known here. Whoever does not have it resets it: the packet goes to all servers of the
    /// slot at once, or where there are no copies to the first one that has not yet.
    pub(super) fn guesses(&self) -> Vec<(String, Vec<String>)> {
        let Self { front, words: Words { ip, .. }, .. } = self;
        let name = &front.name;
        let (flow, hash) = (self.flow("saddr", "sport"), self.hash("saddr", "sport"));
        let [first, second, third] =
            self.maps.each_ref().map(|map| format!("{ip} daddr set {hash} map @{map}"));
        let tried = format!("{flow} . {ip} daddr @tried_{name}");
        let copy = |server: &String| {
            self.copies.then(|| format!("{server} {flow} . {ip} daddr != @tried_{name} jump copy_{name}"))
        };
        let mut guess = vec![
            format!("counter name guesses_{name}"),
            format!("update @asked_{name} {{ {flow} . tcp ackseq timeout {ASKED_FOR}s }}"),
            format!("{first} {tried} goto guess2_{name}"),
        ];
        guess.extend([&second, &third].into_iter().filter_map(copy));
        // Where nobody gets new flows there is no first one.
        guess.extend([format!("{first} goto go_{name}"), format!("goto guess2_{name}")]);
        let mut next = vec![format!("{second} {tried} goto guess3_{name}")];
        next.extend(copy(&third));
        next.extend([format!("{second} goto go_{name}"), format!("goto guess3_{name}")]);
        let mut last = [third, second, first].map(|server| format!("{server} goto go_{name}")).to_vec();
        // Nobody may have it now. The client asks again.
        last.push(format!("counter name refused_{name} drop"));
        let mut all =
            vec![("guess".to_owned(), guess), ("guess2".to_owned(), next), ("guess3".to_owned(), last)];
        if self.copies {
            let copy = format!(
                "tcp dport set {ip} daddr map @port_{name} limit rate {COPIES}/second burst {COPIES} packets counter name copies_{name} dup to {ip} daddr"
            );
            all.push(("copy".to_owned(), vec![copy]));
        }
        all
    }

    /// A reset of a server: of the flow's owner it is true; of one that was asked it says that it is not the owner. When all
    /// that may have the flow have said so it is true as well.
    pub(super) fn resets(&self) -> Vec<(String, Vec<String>)> {
        let Self { front, words: Words { ip, none, .. }, .. } = self;
        let name = &front.name;
        let (flow, hash) = (self.flow("daddr", "dport"), self.hash("daddr", "dport"));
        let servers: Vec<String> = front.servers.iter().map(|server| server.ip().to_string()).collect();
        let goes =
            servers.iter().enumerate().map(|(place, server)| format!("{server} : goto rst{place}_{name}"));
        let goes: Vec<String> = goes.collect();
        let mut all = Vec::new();
        let lead = match goes.is_empty() {
            true => Vec::new(),
            false => vec![format!("{ip} saddr vmap {{ {} }}", goes.join(", "))],
        };
        all.push(("rst".to_owned(), lead));
        for (place, server) in servers.iter().enumerate() {
            // nft compares no two looked up values: the packet's own address holds one of them for a moment.
            let mut rules = vec![
                format!("{ip} saddr set {none}"),
                format!("{ip} saddr set {} map @begun_{name}", self.pin("daddr", "dport")),
                format!("{ip} saddr set {} map @pin_{name}", self.pin("daddr", "dport")),
                format!("{ip} saddr {server} notrack accept"),
                format!("{ip} saddr != {none} counter name stale_{name} drop"),
                format!("counter name heals_{name}"),
                format!("{ip} saddr set {server}"),
                format!("update @tried_{name} {{ {flow} . {ip} saddr timeout {TRIED_FOR}s }}"),
            ];
            let others = self.maps.iter().map(|map| {
                format!("{ip} saddr set {hash} map @{map} {flow} . {ip} saddr != @tried_{name} drop")
            });
            rules.extend(others);
            rules.push(format!("{ip} saddr set {server} notrack accept"));
            all.push((format!("rst{place}"), rules));
        }
        all
    }
}
