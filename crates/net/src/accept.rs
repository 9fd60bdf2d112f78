//! The rules of nftables for virtual addresses that only forward, `accept = false` (RFC 9568 section 6.1, Accept_Mode). Pure: words
//! become a text for [`crate::nft::Nft::run`].
//!
//! They stand on every director, active or not. ARP is not looked at, and neighbour discovery passes, so that the addresses can be
//! found; all else that is for them is dropped, also what this machine itself sends there. What is translated to another
//! destination before (a gateway's answers) is not for them any more.

use std::fmt::Write as _;
use std::net::IpAddr;

/// The table, of the family `inet`.
pub const TABLE: &str = "relevo-accept";

/// A transaction that replaces the table by one for these addresses, or removes it when there is none.
pub fn rules(addresses: &[IpAddr]) -> String {
    let mut text = format!("table inet {TABLE}\ndelete table inet {TABLE}\n");
    if addresses.is_empty() {
        return text;
    }
    let list = |v4: bool| -> Vec<String> {
        addresses.iter().filter(|ip| ip.is_ipv4() == v4).map(IpAddr::to_string).collect()
    };
    let (v4, v6) = (list(true), list(false));
    // Writing to a String cannot fail.
    let _ = writeln!(text, "table inet {TABLE} {{\n\tchain input {{");
    let _ = writeln!(text, "\t\ttype filter hook input priority filter - 5; policy accept;");
    if !v4.is_empty() {
        let _ = writeln!(text, "\t\tip daddr {{ {} }} counter drop", v4.join(", "));
    }
    if !v6.is_empty() {
        let set = v6.join(", ");
        let _ = writeln!(
            text,
            "\t\tip6 daddr {{ {set} }} icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept\n\
             \t\tip6 daddr {{ {set} }} counter drop"
        );
    }
    text.push_str("\t}\n}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_found_and_not_answered() {
        let text =
            rules(&[IpAddr::from([10, 0, 0, 9]), "fd00::9".parse().unwrap(), IpAddr::from([10, 0, 0, 8])]);
        assert_eq!(
            text,
            "table inet relevo-accept\ndelete table inet relevo-accept\ntable inet relevo-accept {\n\tchain input {\n\
             \t\ttype filter hook input priority filter - 5; policy accept;\n\
             \t\tip daddr { 10.0.0.9, 10.0.0.8 } counter drop\n\
             \t\tip6 daddr { fd00::9 } icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n\
             \t\tip6 daddr { fd00::9 } counter drop\n\t}\n}\n"
        );
        assert_eq!(rules(&[]), "table inet relevo-accept\ndelete table inet relevo-accept\n");
    }
}
