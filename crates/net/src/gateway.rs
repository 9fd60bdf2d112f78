//! The rules of nftables for a director that is the way from one network to another. Pure: words become a text for
//! [`crate::nft::Nft::run`].
//!
//! The same rules stand on every director, active or not, and nobody takes them away when the address goes: who is the way
//! is decided by who holds the addresses. A director without them that still got packets would let them out under the
//! machines' own addresses.
//!
//! - Packets leave under the virtual address, by `snat`: `masquerade` would take the director's own address, which the next
//!   active director does not have. The kernel keeps a connection's port where it can, so that the next one, which
//!   has never seen the connection, finds the same translation for it when the machine inside sends its next packet.
//! - Until then the other side's packets reach a director that knows nothing of them. Its kernel would answer with a reset
//!   and end the connection, and remember a connection of its own in its place: they are dropped, and sent again.
//! - Connections from outside to the machines inside are not forwarded, unless nothing is translated and that is wished.
//!   What the next director has never seen counts as such until a machine inside sends something. Connections that rules of
//!   nftables open to servers of services themselves (`synproxy`) are let through to these, which come later, and what they leave is dropped
//!   after them.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The table, of the family `inet`.
pub const TABLE: &str = "relevo-gateway";

/// A way from one network to another, in the address family of its subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// What the operator calls it.
    pub name: String,
    /// The director's interface on the network whose machines use it.
    pub from: String,
    /// Where else packets come in from there: interfaces with virtual hardware addresses.
    pub from_also: Vec<String>,
    /// That network.
    pub subnet: IpNet,
    /// The director's interface on the network that they get to.
    pub to: String,
    /// Where else packets come in from there.
    pub to_also: Vec<String>,
    /// The virtual address that packets leave under; `None`: their own.
    pub source: Option<IpAddr>,
    /// Without `source`: whether connections may be opened from the other side.
    pub inbound: bool,
    /// TCP ports from 1024 on at which this director itself serves on `source`.
    pub served: Vec<u16>,
    /// Machines inside whose connections other rules open; the way's family.
    pub proxied: Vec<SocketAddr>,
}

/// A transaction that replaces the table by one for these ways, or removes it when there is none. `None`: the name of an
/// interface cannot be written in rules.
///
/// `claimed`: the last priority of the hook `forward`, from `filter` on, at which other rules take connections for [`Way::proxied`].
pub fn rules(ways: &[Way], claimed: i32) -> Option<String> {
    let mut text = format!("table inet {TABLE}\ndelete table inet {TABLE}\n");
    if ways.is_empty() {
        return Some(text);
    }
    let (mut forward, mut unclaimed) = (String::new(), String::new());
    let (mut postrouting, mut input) = (String::new(), String::new());
    for way in ways {
        let (from, to, subnet) = (quoted(&way.from)?, quoted(&way.to)?, way.subnet);
        let (in_from, in_to) = (any(&way.from, &way.from_also)?, any(&way.to, &way.to_also)?);
        // Writing to a String cannot fail.
        let _ = writeln!(forward, "\t\t# {}: {subnet} to {}", plain(&way.name), plain(&way.to));
        let ip = if subnet.addr().is_ipv4() { "ip" } else { "ip6" };
        let strangers = format!(
            "iifname {in_to} oifname {from} {ip} daddr {subnet} ct state {{ invalid, new }} counter drop"
        );
        if !way.proxied.is_empty() && !way.inbound {
            let places = way.proxied.iter().map(|at| format!("{} . {}", at.ip(), at.port()));
            let _ = writeln!(
                forward,
                "\t\tiifname {in_to} oifname {from} {ip} daddr . tcp dport {{ {} }} ct state {{ invalid, new }} accept",
                places.collect::<Vec<_>>().join(", ")
            );
            let _ = writeln!(unclaimed, "\t\t{strangers}");
        }
        let Some(source) = way.source else {
            if !way.inbound {
                let _ = writeln!(forward, "\t\t{strangers}");
            }
            let _ =
                writeln!(forward, "\t\tiifname {in_from} oifname {to} {ip} saddr {subnet} counter accept");
            continue;
        };
        let _ = writeln!(
            forward,
            "\t\tiifname {in_from} oifname {to} {ip} saddr {subnet} ct state invalid counter drop\n\
             \t\t{strangers}\n\
             \t\tiifname {in_from} oifname {to} {ip} saddr {subnet} tcp flags syn tcp option maxseg size set rt mtu\n\
             \t\tiifname {in_to} oifname {from} {ip} daddr {subnet} tcp flags syn tcp option maxseg size set rt mtu"
        );
        let _ = writeln!(
            postrouting,
            "\t\t{ip} saddr {subnet} {ip} daddr != {subnet} oifname {to} counter snat {ip} to {source}"
        );
        let served: Vec<String> = way.served.iter().map(u16::to_string).collect();
        let besides = if served.is_empty() {
            String::new()
        } else {
            format!(" tcp dport != {{ {} }}", served.join(", "))
        };
        // Before the kernel confirms what it has begun to track: that is the last thing it does on this hook.
        let _ = writeln!(
            input,
            "\t\t{ip} daddr {source} tcp dport 1024-65535{besides} ct state {{ invalid, new }} tcp flags & (syn | ack) != syn counter drop"
        );
    }
    let _ = writeln!(text, "table inet {TABLE} {{");
    let _ = writeln!(
        text,
        "\tchain forward {{\n\t\ttype filter hook forward priority filter - 5; policy accept;\n{forward}\t}}"
    );
    if !unclaimed.is_empty() {
        let _ = writeln!(
            text,
            "\tchain unclaimed {{\n\t\ttype filter hook forward priority filter + {}; policy accept;\n{unclaimed}\t}}",
            claimed + 1
        );
    }
    if !postrouting.is_empty() {
        // Before other people's rules of source translation: the first one that fits is taken.
        let _ = writeln!(
            text,
            "\tchain postrouting {{\n\t\ttype nat hook postrouting priority srcnat - 5; policy accept;\n{postrouting}\t}}"
        );
        let _ = writeln!(
            text,
            "\tchain input {{\n\t\ttype filter hook input priority filter - 5; policy accept;\n{input}\t}}"
        );
    }
    text.push_str("}\n");
    Some(text)
}

/// An interface's name in rules. There are no escapes between nft's quotes, and a star at the end stands for anything.
pub(crate) fn quoted(name: &str) -> Option<String> {
    let fits = !name.is_empty() && !name.contains(['"', '*', '\\']) && !name.chars().any(char::is_control);
    fits.then(|| format!("\"{name}\""))
}

/// An interface or one of some more in rules.
fn any(name: &str, also: &[String]) -> Option<String> {
    if also.is_empty() {
        return quoted(name);
    }
    let names: Option<Vec<String>> =
        std::iter::once(name).chain(also.iter().map(String::as_str)).map(quoted).collect();
    Some(format!("{{ {} }}", names?.join(", ")))
}

/// A name in a comment.
pub(crate) fn plain(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way() -> Way {
        Way {
            name: "main".to_owned(),
            from: "internal".to_owned(),
            subnet: "10.0.10.0/24".parse().unwrap(),
            from_also: Vec::new(),
            to: "external".to_owned(),
            to_also: Vec::new(),
            source: Some([192, 168, 1, 200].into()),
            inbound: false,
            served: Vec::new(),
            proxied: Vec::new(),
        }
    }

    #[test]
    fn a_way_is_a_table_of_its_own() {
        insta::assert_snapshot!(rules(&[way()], 6).unwrap());
    }

    #[test]
    fn a_way_without_translation_and_one_beside_a_service() {
        let routed =
            Way { name: "lab".to_owned(), to: "lab".to_owned(), source: None, inbound: true, ..way() };
        let served = Way { served: vec![8000, 9000], ..way() };
        insta::assert_snapshot!(rules(&[routed, served], 6).unwrap());
    }

    #[test]
    fn connections_that_later_rules_open_get_to_them_and_no_further() {
        let proxied = vec!["10.0.10.1:80".parse().unwrap(), "10.0.10.2:80".parse().unwrap()];
        insta::assert_snapshot!(rules(&[Way { proxied, ..way() }], 6).unwrap());
    }

    #[test]
    fn ipv6_leaves_under_another_address_or_under_its_own() {
        let six = |source: Option<&str>| Way {
            subnet: "fd00:10::/64".parse().unwrap(),
            source: source.map(|ip| ip.parse().unwrap()),
            ..way()
        };
        insta::assert_snapshot!(rules(&[six(Some("2001:db8::200")), six(None)], 6).unwrap());
    }

    #[test]
    fn packets_for_a_virtual_hardware_address_come_in_by_an_interface_of_their_own() {
        let also = Way { from_also: vec!["vr4.51.00ff".to_owned()], ..way() };
        let text = rules(&[also], 6).unwrap();
        assert!(text.contains("iifname { \"internal\", \"vr4.51.00ff\" } oifname \"external\""), "{text}");
        assert!(text.contains("iifname \"external\" oifname \"internal\" ip daddr"), "{text}");
    }

    #[test]
    fn no_way_is_no_table() {
        assert_eq!(rules(&[], 6).unwrap(), "table inet relevo-gateway\ndelete table inet relevo-gateway\n");
    }

    #[test]
    fn an_interface_cannot_become_another_rule() {
        for name in ["eth*", "a\"b", "", "a\nb", "a\\"] {
            assert_eq!(rules(&[Way { from: name.to_owned(), ..way() }], 6), None, "{name:?}");
        }
    }
}
