//! The rules of nftables that keep strangers away from the cluster's own ports. Pure: words become a text for
//! [`crate::nft::Nft::run`].
//!
//! Every rule names a protocol or port of ours and drops only that: ssh, services and whatever else a machine has are never
//! looked at, so that nobody is locked out. What other tables drop stays dropped.

use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::gateway::quoted;

/// The table, of the family `inet`.
pub const TABLE: &str = "relevo-firewall";

/// UDP port of single-hop BFD (RFC 5881 section 4).
const BFD: u16 = 3784;

/// What is only for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doors {
    /// The directors' own addresses.
    pub directors: Vec<IpAddr>,
    /// UDP port of the channel between them.
    pub peers: Option<u16>,
    /// Whether they speak BFD.
    pub bfd: bool,
    /// Interfaces on whose network this node answers DHCP; `None`: it does nowhere, and nothing is kept away.
    pub dhcp: Option<Vec<String>>,
    /// Addresses at which this node answers DNS.
    pub dns: Vec<IpAddr>,
    /// Who may ask there.
    pub dns_for: Vec<IpNet>,
}

/// A transaction that replaces the table, or removes it. `None`: the name of an interface cannot be written in rules.
pub fn rules(doors: Option<&Doors>) -> Option<String> {
    let mut text = format!("table inet {TABLE}\ndelete table inet {TABLE}\n");
    let Some(doors) = doors else { return Some(text) };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "table inet {TABLE} {{\n\tchain input {{\n\t\ttype filter hook input priority filter - 5; policy accept;\n\t\tiifname \"lo\" accept"
    );
    let (v4, v6): (Vec<&IpAddr>, Vec<&IpAddr>) = doors.directors.iter().partition(|ip| ip.is_ipv4());
    // VRRP over IPv6 comes from link-local addresses (RFC 9568 section 5.1.2.1), which no file knows.
    let others = |more: &str| {
        [("ip", list(&v4, "")), ("ip6", list(&v6, more))].map(|(family, list)| match list {
            Some(list) => (family, format!(" {family} saddr != {list}")),
            None => (family, String::new()),
        })
    };
    for (family, who) in others("fe80::/10") {
        let nf = if family == "ip" { "ipv4" } else { "ipv6" };
        let _ = writeln!(text, "\t\tmeta nfproto {nf} meta l4proto 112{who} counter drop");
    }
    for port in doors.peers.into_iter().chain(doors.bfd.then_some(BFD)) {
        for (family, who) in others("fe80::/10") {
            let nf = if family == "ip" { "ipv4" } else { "ipv6" };
            let _ = writeln!(text, "\t\tmeta nfproto {nf} udp dport {port}{who} counter drop");
        }
    }
    if let Some(interfaces) = &doors.dhcp {
        let names: Option<Vec<String>> = interfaces.iter().map(|name| quoted(name)).collect();
        let names = names?.join(", ");
        let besides = if names.is_empty() { String::new() } else { format!("iifname != {{ {names} }} ") };
        let _ = writeln!(text, "\t\t{besides}udp dport 67 counter drop");
    }
    for ip in &doors.dns {
        let family = if ip.is_ipv4() { "ip" } else { "ip6" };
        let allowed: Vec<String> = doors
            .dns_for
            .iter()
            .filter(|net| net.addr().is_ipv4() == ip.is_ipv4())
            .map(IpNet::to_string)
            .collect();
        let besides = if allowed.is_empty() {
            String::new()
        } else {
            format!(" {family} saddr != {{ {} }}", allowed.join(", "))
        };
        let _ = writeln!(
            text,
            "\t\t{family} daddr {ip} meta l4proto {{ tcp, udp }} th dport 53{besides} counter drop"
        );
    }
    text.push_str("\t}\n}\n");
    Some(text)
}

/// `{ 10.0.0.1, 10.0.0.2 }`; `None`: there is nobody.
fn list(ips: &[&IpAddr], more: &str) -> Option<String> {
    let mut words: Vec<String> = ips.iter().map(ToString::to_string).collect();
    words.extend((!more.is_empty()).then(|| more.to_owned()));
    (!words.is_empty()).then(|| format!("{{ {} }}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors() -> Doors {
        Doors {
            directors: vec!["192.168.1.135".parse().unwrap(), "10.0.10.1".parse().unwrap()],
            peers: Some(7402),
            bfd: true,
            dhcp: Some(vec!["internal".to_owned()]),
            dns: vec!["10.0.10.200".parse().unwrap()],
            dns_for: vec!["10.0.10.0/24".parse().unwrap()],
        }
    }

    #[test]
    fn only_ports_of_ours_are_named() {
        let text = rules(Some(&doors())).unwrap();
        insta::assert_snapshot!(text);
        for line in text.lines().filter(|line| line.contains("drop")) {
            let ours = ["l4proto 112", "dport 7402", "dport 3784", "dport 67", "dport 53"];
            assert!(ours.iter().any(|own| line.contains(own)), "{line}");
        }
    }

    #[test]
    fn without_doors_there_is_no_table() {
        assert_eq!(rules(None).unwrap(), "table inet relevo-firewall\ndelete table inet relevo-firewall\n");
        let bare = Doors { directors: doors().directors, ..Doors::default() };
        let text = rules(Some(&bare)).unwrap();
        assert_eq!(text.matches("drop").count(), 2, "{text}");
    }
}
