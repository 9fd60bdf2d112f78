//! What a fixed lease says, and why directives have no counterpart.

use std::net::Ipv4Addr;

use super::Word;

/// `dhcp-host`.
#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) mac: Option<String>,
    pub(super) ip: Option<Ipv4Addr>,
    pub(super) name: Option<String>,
    pub(super) extra: Vec<String>,
}

impl Host {
    pub(super) fn of(word: &Word) -> Self {
        let mut host = Self::default();
        for part in word.parts() {
            if is_mac(part) {
                match host.mac {
                    None => host.mac = Some(part.to_ascii_lowercase()),
                    Some(_) => host.extra.push(format!("its second hardware address {part}")),
                }
            } else if let Ok(ip) = part.parse() {
                host.ip = Some(ip);
            } else if part.contains(':') || part.starts_with('[') || part == "ignore" {
                host.extra.push(format!("`{part}`"));
            } else if part.ends_with(['h', 'm', 's', 'd']) && part[..part.len() - 1].parse::<u32>().is_ok()
                || part == "infinite"
                || part.parse::<u32>().is_ok()
            {
                host.extra.push(format!("its own lease time {part}"));
            } else if !part.is_empty() {
                host.name = Some(part.to_owned());
            }
        }
        host
    }
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() == 6
        && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Why a directive is not carried over.
pub(super) fn reason(name: &str) -> &'static str {
    match name {
        "expand-hosts" => "names of nodes, services and leases are all below the domain anyway",
        "domain-needed"
        | "bogus-priv"
        | "local-ttl"
        | "filterwin2k"
        | "stop-dns-rebind"
        | "rebind-localhost-ok" => "the cluster's names and addresses are never asked elsewhere",
        "no-resolv" | "no-poll" | "strict-order" | "all-servers" => "only what `forward` names is asked",
        "resolv-file" => "name servers stand in the cluster file: [dns] forward",
        "no-hosts" | "addn-hosts" | "hostsdir" => {
            "no hosts file is read: names stand in the cluster file, [dns] records"
        }
        "cache-size" | "neg-ttl" | "max-cache-ttl" | "max-ttl" => "the cache has its own bounds",
        "dhcp-leasefile" | "leasefile-ro" | "dhcp-script" | "dhcp-lease-max" => {
            "leases are kept, bounded, and shared by the directors"
        }
        "dhcp-authoritative" => "the active director is the only server of its network",
        "bind-interfaces" | "bind-dynamic" | "except-interface" | "no-dhcp-interface" | "port" => {
            "only the virtual addresses that are named answer"
        }
        "user" | "group" | "pid-file" | "log-facility" | "log-queries" | "log-dhcp" | "log-async"
        | "keep-in-foreground" => "systemd says who the process is and where its log goes",
        "conf-file" | "conf-dir" => "give the files that it means to the importer as well",
        "enable-tftp" | "tftp-root" | "dhcp-boot" | "pxe-service" | "pxe-prompt" => {
            "booting from the network is not offered"
        }
        "enable-ra" | "ra-param" | "dhcp-range6" => "IPv6 addresses are not leased",
        "dnssec" | "trust-anchor" | "conntrack" => "the name servers that are asked look after that",
        "mx-host" | "mx-target" | "srv-host" | "txt-record" | "ptr-record" | "naptr-record" => {
            "records are addresses and names; SRV is made for services"
        }
        _ => "there is no word for it",
    }
}
