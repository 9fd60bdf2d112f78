//! `global`, `userlist`, and sections that have no counterpart; lines that are neither for the front nor for the back.

use super::parse::{Line, Section};
use crate::balancer::NOBODY;
use crate::draft::{Draft, Table, key, quoted};
use crate::ledger::Ledger;

/// `global`.
pub(super) fn global(section: &Section, draft: &mut Draft, ledger: &mut Ledger) {
    ledger.dropped(&section.at, "one process uses all CPUs and needs no tuning before it is fast");
    for line in &section.lines {
        let at = &line.at;
        match line.word(0) {
            "log" => log(line, draft, ledger),
            "maxconn" => ledger.dropped(at, "each service has its own max_connections, 10000 unless said"),
            "ssl-default-bind-options" => {
                ledger.approximated(at, "every service: tls", "TLS 1.2 and 1.3, whatever else it says");
            }
            "ssl-default-server-options" => {
                ledger.approximated(at, "every pool: server_tls", "TLS 1.2 and 1.3")
            }
            word if word.starts_with("ssl-default") || word.starts_with("tune.ssl") => {
                ledger.dropped(at, "there are no old ciphers to switch off");
            }
            "ca-base" | "crt-base" => ledger.dropped(at, "write paths whole, beginning with /"),
            "stats" => {
                ledger.dropped(at, "`relevo status` and `relevo server` speak over a socket of their own")
            }
            "user" | "group" | "chroot" | "daemon" | "pidfile" | "master-worker" | "uid" | "gid"
            | "setcap" => {
                ledger.dropped(at, "systemd says who the process is and what it may");
            }
            "nbproc" | "nbthread" | "cpu-map" | "thread-groups" => {
                ledger.dropped(at, "`relevo node run --workers`")
            }
            "node" | "description" => ledger.dropped(at, "the node's name says who it is"),
            word if word.starts_with("tune.") => ledger.dropped(at, "there is nothing to tune"),
            _ => ledger.dropped(at, "there is no word for it"),
        }
    }
}

/// Where the access log goes.
pub(super) fn log(line: &Line, draft: &mut Draft, ledger: &mut Ledger) {
    let at = &line.at;
    let target = line.word(1);
    let place = if target == "global" {
        ledger.carried(at, "[log]");
        return;
    } else if target.starts_with('/') {
        format!("syslog:{target}")
    } else if target == "stdout" || target.starts_with("fd@1") {
        "stdout".to_owned()
    } else {
        let known = crate::balancer::endpoint(target).filter(|(ip, _)| !ip.is_unspecified());
        match known {
            Some((ip, port)) => {
                let port = port.and_then(|port| port.parse::<u16>().ok()).unwrap_or(514);
                format!("udp:{ip}:{port}")
            }
            None => {
                ledger.dropped(at, "logs go to a socket, a file, standard output or an IP address");
                return;
            }
        }
    };
    if draft.tables.iter().any(|table| table.header == "log") {
        ledger.dropped(at, "the access log goes to one place, the first that was named");
        return;
    }
    let mut table = Table::new("log");
    table.set("access", quoted(&place));
    draft.tables.push(table);
    ledger.approximated(
        at,
        "[log] access",
        "one access log for all services, with its own facility and level",
    );
}

/// `userlist`.
pub(super) fn users(
    section: &Section,
    names: &mut std::collections::BTreeMap<String, String>,
    draft: &mut Draft,
    ledger: &mut Ledger,
) {
    let name = draft.fresh("users", &section.name);
    names.insert(section.name.clone(), name.clone());
    let to = format!("[users.{name}]");
    let mut table = Table::new(format!("users.{}", key(&name)));
    for line in &section.lines {
        if line.word(0) != "user" {
            ledger.dropped(&line.at, "lists have no groups: make a list for each");
            continue;
        }
        let hash = line.after("password").filter(|hash| hash.starts_with("$5$") || hash.starts_with("$6$"));
        match hash {
            Some(hash) => {
                table.set(&key(line.word(1)), quoted(hash));
                ledger.carried(&line.at, &to);
            }
            None => {
                table.set(&key(line.word(1)), quoted(NOBODY));
                let how = "only $5$ and $6$ hashes are used: nobody gets in before you put what `openssl passwd -6` prints";
                ledger.approximated(&line.at, &to, how);
            }
        }
    }
    if table.keys.is_empty() {
        ledger.dropped(&section.at, "nobody is in it");
        return;
    }
    ledger.carried(&section.at, &to);
    draft.tables.push(table);
}

/// A section without a counterpart.
pub(super) fn other(section: &Section, ledger: &mut Ledger) {
    let why = match section.kind.as_str() {
        "peers" => {
            "directors need not tell each other about clients: hashes and cookies mean the same on all"
        }
        "resolvers" => "servers are nodes of the file, or addresses",
        "cache" => "`cache` of a service has the bounds",
        "mailers" => "Relevo sends no mail",
        "acme" => "[acme.NAME] has other words: see the guide on TLS",
        _ => "there is no counterpart",
    };
    ledger.dropped(&section.at, why);
    for line in &section.lines {
        ledger.dropped(&line.at, why);
    }
}

/// Lines of a proxy that neither half took.
pub(super) fn leftover(line: &Line, draft: &mut Draft, ledger: &mut Ledger) {
    let at = &line.at;
    if ledger.is_settled(at) {
        return;
    }
    match (line.word(0), line.word(1)) {
        ("log", _) => log(line, draft, ledger),
        ("log-format", _) => ledger.dropped(at, "the log has HAProxy's own format, or is JSON"),
        ("option", "httplog" | "tcplog") => ledger.carried(at, "[log]: the default format"),
        ("option", "dontlognull") => ledger.carried(at, "connections without a request are not logged"),
        ("option", "http-server-close" | "http-keep-alive" | "httpclose" | "http-tunnel" | "forceclose") => {
            ledger.dropped(at, "connections are kept and shared where that is safe");
        }
        ("option", "forwardfor") => ledger.carried(at, "forwarded_for of the services that use it"),
        ("option", "tcpka" | "clitcpka" | "srvtcpka") => {
            ledger.dropped(at, "connections that say nothing end by `timeout.client` and `timeout.server`");
        }
        ("option", _) => ledger.dropped(at, "there is nothing like it here"),
        ("http-reuse" | "retry-on", _) => ledger.dropped(at, "built in, where it is safe"),
        ("mode", _) => ledger.carried(at, "mode of services"),
        ("timeout", "tarpit") => ledger.dropped(at, "each tarpit has its own `after`"),
        ("timeout", "http-request" | "http-keep-alive") => {
            ledger.dropped(at, "only services of mode `http` have it, and no such one is here");
        }
        ("timeout", _) => ledger.dropped(at, "there is nothing like it here"),
        ("stats", _) => ledger.dropped(at, "the statistics page needs a listener of its own: [stats] listen"),
        ("http-request" | "http-response" | "redirect" | "acl", _) => {
            ledger.dropped(at, "rules are of services: put it into those that use this pool");
        }
        ("compression", _) => {
            ledger.dropped(at, "it is of services: put `compress` into those that use this pool")
        }
        ("stick-table", _) => {
            ledger.dropped(at, "counting and refusing is one line of a rule: `rate_limit`; connections: `limit.connections_per_source`");
        }
        ("monitor", "fail") => {
            ledger.carried(at, "`monitor` answers 503 when no server of the service's own pool can work")
        }
        ("errorfile", _) => ledger.dropped(at, "error pages are of services: put it there"),
        ("disabled", _) => ledger.dropped(at, "a service that is in the file runs"),
        ("server-template", _) => ledger.dropped(at, "servers are named one by one"),
        ("bind" | "server", _) => ledger.dropped(at, "it is not for this kind of section"),
        _ => ledger.dropped(at, "there is no word for it"),
    }
}
