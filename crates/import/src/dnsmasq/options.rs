//! `dhcp-option`: by number or by name.

use std::net::{IpAddr, Ipv4Addr};

use super::{Plan, Word, named};
use crate::draft::{Draft, list, quoted};
use crate::ledger::Ledger;

/// Takes an option for all networks with leases that it fits.
pub(super) fn option(word: &Word, plan: &mut Plan, draft: &Draft, ledger: &mut Ledger) {
    let at = &word.at;
    let mut parts = word.parts();
    let tagged = parts.iter().any(|part| part.starts_with("tag:"));
    parts.retain(|part| !part.starts_with("tag:") && *part != "encap" && !part.starts_with("vendor:"));
    let Some((which, values)) = parts.split_first() else { return };
    let code = match which.strip_prefix("option:").unwrap_or(which) {
        "router" => 3,
        "dns-server" => 6,
        "domain-name" => 15,
        "ntp-server" => 42,
        "mtu" => 26,
        "broadcast" => 28,
        "log-server" => 7,
        "domain-search" => 119,
        "tftp-server" => 66,
        "bootfile-name" => 67,
        "classless-static-route" => 121,
        number => match number.parse::<u8>() {
            Ok(number) => number,
            Err(_) => {
                ledger.dropped(at, format!("`{number}` is no option that is known: write its number"));
                return;
            }
        },
    };
    if tagged {
        ledger.dropped(at, "options are for all machines of a network: there are no tags");
        return;
    }
    let networks: Vec<String> = plan.dhcp.keys().cloned().collect();
    if networks.is_empty() {
        ledger.dropped(at, "no network has leases");
        return;
    }
    let mut done = false;
    for network in networks {
        let on = draft.networks.iter().find(|one| one.name == network);
        let is_on = |text: &str| {
            text.parse::<IpAddr>()
                .is_ok_and(|ip| on.is_some_and(|on| on.subnets.iter().any(|net| net.contains(&ip))))
        };
        let Some(table) = plan.dhcp.get_mut(&network) else { continue };
        let addresses: Vec<String> = values.iter().filter_map(|value| named(draft, value)).collect();
        match code {
            3 => {
                if let Some(value) =
                    values.first().filter(|value| is_on(value)).and_then(|value| named(draft, value))
                {
                    table.set("router", value);
                    done = true;
                }
            }
            6 if !addresses.is_empty() => {
                table.set("dns", if addresses.len() == 1 { addresses.concat() } else { list(addresses) });
                done = true;
            }
            15 => {
                table.set("domain", quoted(values.first().copied().unwrap_or_default()));
                done = true;
            }
            6 => {}
            1 | 12 | 28 | 50..=59 | 61 | 82 => {
                ledger.dropped(at, "the server says it by itself");
                return;
            }
            _ => {
                let ips: Vec<String> = values
                    .iter()
                    .filter(|value| value.parse::<Ipv4Addr>().is_ok())
                    .map(|value| quoted(value))
                    .collect();
                let value = match values {
                    [one] if one.parse::<u32>().is_ok() => (*one).to_owned(),
                    _ if ips.len() == values.len() && ips.len() == 1 => ips.concat(),
                    _ if ips.len() == values.len() && !ips.is_empty() => list(ips),
                    _ => quoted(values.join(",").trim_matches('"')),
                };
                plan.options.entry(network.clone()).or_default().push((code, value));
                done = true;
            }
        }
    }
    let word = match code {
        3 => "router".to_owned(),
        6 => "dns".to_owned(),
        15 => "domain".to_owned(),
        code => format!("options.{code}"),
    };
    match done {
        true => ledger.carried(at, format!("[dhcp] {word}")),
        false => ledger.dropped(at, "it is not an address of the network"),
    }
}
