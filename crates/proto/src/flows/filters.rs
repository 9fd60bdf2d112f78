//! Other people's filters, as `nft list ruleset` shows them: those that would drop untracked packets that are forwarded.

/// Chains at the hook `forward` that drop packets, in tables that do not mention untracked ones; tables of these names are not
/// looked at. A chain that lets everything pass is none of them.
pub fn strict_filters(ruleset: &str, but: &[&str]) -> Vec<String> {
    let mut strict = Vec::new();
    let (mut table, mut knows, mut found) = (String::new(), false, Vec::new());
    let (mut chain, mut forwards, mut drops) = (String::new(), false, false);
    for line in ruleset.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["table", family, name, "{"] => {
                table = format!("{family} {name}");
                // Packets are untracked here as well where they are bridged: that is another family.
                knows = but.contains(name) || !matches!(*family, "ip" | "ip6" | "inet");
                found.clear();
            }
            ["chain", name, "{"] => {
                (*name).clone_into(&mut chain);
                (forwards, drops) = (false, false);
            }
            _ if line.starts_with('}') => {
                if !knows {
                    strict.append(&mut found);
                }
            }
            _ if line.starts_with("\t}") => {
                if forwards && drops {
                    found.push(format!("chain {chain} of table {table}"));
                }
                (forwards, drops) = (false, false);
            }
            words => {
                forwards |= words.windows(2).any(|pair| pair == ["hook", "forward"]);
                drops |= words.windows(2).any(|pair| pair == ["policy", "drop;"])
                    || matches!(words.last(), Some(&("drop" | "reject")));
                knows |= words.iter().any(|word| word.split(',').any(|one| one == "untracked"));
            }
        }
    }
    strict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_drops_and_does_not_know_untracked_packets_is_told() {
        let text = |rules: &str| {
            format!(
                "table inet user {{\n\tset x {{\n\t\ttype ipv4_addr\n\t}}\n\n\tchain fw {{\n\t\ttype filter hook forward priority filter; policy accept;\n\t\t{rules}\n\t}}\n}}\n"
            )
        };
        let strict = |rules: &str| strict_filters(&text(rules), &["relevo_flows"]);
        assert_eq!(strict("ct state established,related accept\n\t\tdrop"), ["chain fw of table inet user"]);
        assert_eq!(
            strict("ct state established,related accept\n\t\tcounter packets 0 bytes 0 drop").len(),
            1
        );
        assert_eq!(strict("ct state established,related,untracked accept\n\t\tdrop"), [""; 0]);
        assert_eq!(strict("ct state established accept\n\t\tct state untracked accept\n\t\tdrop"), [""; 0]);
        assert_eq!(strict("accept"), [""; 0]);
        let input = "table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy drop;\n\t}\n\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n";
        assert_eq!(strict_filters(input, &[]), ["chain FORWARD of table ip filter"]);
        assert_eq!(strict_filters(&text("drop").replace("user", "relevo_flows"), &["relevo_flows"]), [""; 0]);
    }
}
