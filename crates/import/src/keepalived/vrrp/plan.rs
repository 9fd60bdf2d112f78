//! Groups while the directors' files are being put together.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::draft::{Draft, Table, key, list, quoted};
use crate::ledger::{At, Ledger};

/// All groups, and what is said for all instances.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Relevo is the balancer instead of HAProxy.
    pub(super) has_balancer: bool,
    pub(super) groups: Vec<Group>,
    /// `vrrp_version` of the global part.
    pub(super) version: Option<u8>,
    /// Of all groups: `announce`, `startup_delay` and `boot_delay`.
    pub(super) announce: BTreeMap<&'static str, String>,
    pub(super) delays: BTreeMap<&'static str, f64>,
    /// `vrrp_mcast_group4`, and of IPv6 under `true`.
    pub(super) multicast: BTreeMap<bool, IpAddr>,
    /// `vrrp_down_timer_adverts`.
    pub(super) missed: Option<u8>,
}

/// What a director's instance says of who is first.
#[derive(Debug, Default)]
pub(super) struct Wish {
    pub(super) node: String,
    /// `state MASTER`: keepalived takes `nopreempt` and `preempt_delay` back then.
    pub(super) is_master: bool,
    pub(super) priority: Option<At>,
    pub(super) nopreempt: Vec<At>,
    pub(super) delay: Vec<(At, f64)>,
}

/// A group.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// What keepalived calls it.
    known_as: String,
    pub(super) name: String,
    pub(super) vrids: BTreeMap<String, u8>,
    /// By node.
    pub(super) priorities: BTreeMap<String, u8>,
    /// Seconds.
    pub(super) advert: Option<f64>,
    pub(super) version: Option<u8>,
    /// `down_timer_adverts`.
    pub(super) missed: Option<u8>,
    /// `mcast_dst_ip`.
    pub(super) multicast: BTreeMap<bool, IpAddr>,
    /// Keys of `bfd`.
    pub(super) bfd: Option<String>,
    /// `unicast_ttl`.
    pub(super) ttl: Option<u8>,
    /// The longest way that a peer's adverts may have come, as a TTL.
    pub(super) min_ttl: Option<u8>,
    pub(super) password: Option<String>,
    /// Directors in the order of their files, and how each instance wishes to be.
    pub(super) wishes: Vec<Wish>,
    /// Interfaces that are watched.
    pub(super) watched: Vec<super::track::Interface>,
    pub(super) is_unicast: bool,
    pub(super) has_virtual_mac: bool,
    pub(super) accepts_not: bool,
    /// Keys of `announce`.
    pub(super) announce: BTreeMap<&'static str, String>,
    pub(super) heartbeat: Vec<String>,
    pub(super) notify: Vec<String>,
    /// `group.NAME.track.NAME`, `[group.NAME.route]`, `[group.NAME.policy]`.
    pub(super) tables: Vec<Table>,
    /// Whose files have a tracker, by its header.
    pub(super) looked_at: BTreeMap<String, Vec<(String, At)>>,
}

impl Plan {
    /// The name of the group that keepalived calls so, made if it is not there.
    pub(super) fn group(&mut self, draft: &mut Draft, known_as: &str) -> String {
        if let Some(group) = self.groups.iter().find(|group| group.known_as == known_as) {
            return group.name.clone();
        }
        let name = draft.fresh("group", known_as);
        self.groups.push(Group { known_as: known_as.to_owned(), name: name.clone(), ..Group::default() });
        name
    }

    /// The group of this name.
    pub(super) fn find(&mut self, name: &str) -> Option<&mut Group> {
        self.groups.iter_mut().find(|group| group.name == name)
    }

    /// Puts all groups into the cluster file.
    pub(super) fn finish(self, draft: &mut Draft, ledger: &mut Ledger) {
        for mut group in self.groups {
            group.no_two_are_equal(ledger);
            group.watch_interfaces(draft, ledger);
            group.trackers_are_everybodys(ledger);
            group.missed = group.missed.or(self.missed);
            for (family, ip) in &self.multicast {
                group.multicast.entry(*family).or_insert(*ip);
            }
            let version = group.version.or(self.version);
            for (key, value) in &self.announce {
                group.announce.entry(key).or_insert_with(|| value.clone());
            }
            group.write(version, &self.delays, draft, ledger);
        }
    }
}

impl Group {
    /// Adds a table unless another director brought the same.
    pub(super) fn add(&mut self, table: Table) {
        if !self.tables.contains(&table) {
            self.tables.push(table);
        }
    }

    fn write(
        self,
        version: Option<u8>,
        delays: &BTreeMap<&'static str, f64>,
        draft: &mut Draft,
        ledger: &mut Ledger,
    ) {
        let (preempt, preempt_delay) = self.preemption(ledger);
        let mut table = Table::new(format!("group.{}", key(&self.name)));
        let pairs = |pairs: Vec<(String, String)>| {
            let pairs: Vec<String> =
                pairs.into_iter().map(|(name, value)| format!("{} = {value}", key(&name))).collect();
            format!("{{ {} }}", pairs.join(", "))
        };
        let vrids: Vec<_> = self.vrids.iter().map(|(net, vrid)| (net.clone(), vrid.to_string())).collect();
        table.set("vrid", pairs(vrids));
        let mut priorities: Vec<_> = self.priorities.into_iter().collect();
        priorities.sort_by_key(|(_, priority)| std::cmp::Reverse(*priority));
        let priorities = priorities.into_iter().map(|(node, priority)| (node, priority.to_string()));
        table.set("priority", pairs(priorities.collect()));
        // keepalived speaks version 2 to IPv4 unless told otherwise.
        let version = version.unwrap_or(2);
        if version == 2 {
            table.set("version", "2");
        }
        let advert = self.advert.unwrap_or(1.0);
        table.set("advert", quoted(&seconds(advert)));
        if let Some(missed) = self.missed.filter(|missed| *missed != 3) {
            table.set("missed", missed.to_string());
        }
        if preempt {
            table.set("preempt", "true");
        }
        if let Some(delay) = preempt_delay {
            table.set("preempt_delay", quoted(&seconds(delay)));
        }
        if let Some(password) = self.password.filter(|_| version == 2) {
            table.set("password", quoted(&password));
        }
        if self.is_unicast {
            // keepalived sends to single peers with a TTL of 255 and takes any; Relevo takes what has passed no router.
            let pairs: Vec<String> = [("ttl", self.ttl.filter(|ttl| *ttl != 255)), ("min_ttl", self.min_ttl)]
                .iter()
                .filter_map(|(key, value)| Some(format!("{key} = {}", (*value)?)))
                .collect();
            let text =
                if pairs.is_empty() { "true".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) };
            table.set("unicast", text);
        } else {
            let usual = relevo_model::cluster::Multicast::default();
            let groups: Vec<String> = self
                .multicast
                .values()
                .filter(|ip| ![IpAddr::V4(usual.v4), IpAddr::V6(usual.v6)].contains(ip))
                .map(|ip| quoted(&ip.to_string()))
                .collect();
            match groups.as_slice() {
                [] => {}
                [one] => table.set("multicast", one),
                _ => table.set("multicast", list(groups)),
            }
        }
        if let Some(bfd) = self.bfd {
            table.set("bfd", bfd);
        }
        for (is, key, value) in
            [(self.has_virtual_mac, "mac", "\"virtual\""), (self.accepts_not, "accept", "false")]
        {
            if is {
                table.set(key, value);
            }
        }
        for (key, delay) in delays {
            table.set(key, quoted(&seconds(*delay)));
        }
        if !self.announce.is_empty() {
            let pairs: Vec<String> =
                self.announce.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            table.set("announce", format!("{{ {} }}", pairs.join(", ")));
        }
        if !self.heartbeat.is_empty() {
            table.set("heartbeat", list(self.heartbeat.iter().map(|network| quoted(network))));
        }
        if !self.notify.is_empty() {
            table.set("notify", list(self.notify));
        }
        draft.groups.push(table);
        draft.groups.extend(self.tables);
    }
}

/// Seconds as the cluster file has them.
pub(super) fn seconds(value: f64) -> String {
    let millis = (value * 1000.0).round().clamp(1.0, 1e12);
    if millis % 1000.0 == 0.0 { format!("{}s", millis / 1000.0) } else { format!("{millis}ms") }
}
