//! `backend`, and the back half of `listen`: a pool.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::parse::{Line, Section, millis};
use super::rules::time;
use super::{Names, check, choose, here};
use crate::balancer::{duration, endpoint};
use crate::draft::{Draft, Table, key, list, quoted};
use crate::ledger::Ledger;

/// A pool's words.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) keys: BTreeMap<&'static str, String>,
    pub(super) timeouts: BTreeMap<&'static str, String>,
    pub(super) check: check::Check,
    tls: BTreeMap<&'static str, String>,
    /// Some server has `ssl`: without it `verify` and its like are about checks alone.
    speaks_tls: bool,
    /// Some line makes clients stay by their address: a table alone does not.
    sticks: bool,
    /// What is offered by ALPN.
    alpn: Option<String>,
    agent: BTreeMap<&'static str, String>,
    servers: Vec<Table>,
    pub(super) hash: (Option<String>, Option<String>, Option<String>),
    names: Vec<String>,
    /// Servers are not told alike what a pool tells for all.
    differs: bool,
}

/// Words of servers that the cluster file has for the whole pool.
const WHOLE: [&str; 22] = [
    "alpn",
    "proto",
    "check",
    "inter",
    "fastinter",
    "downinter",
    "rise",
    "fall",
    "check-ssl",
    "ssl",
    "verify",
    "ca-file",
    "sni",
    "crt",
    "send-proxy",
    "send-proxy-v2",
    "slowstart",
    "observe",
    "error-limit",
    "on-error",
    "on-marked-down",
    "agent-check",
];

/// What a server's line says that the cluster file says for the whole pool.
fn of_the_pool(line: &Line) -> Vec<&str> {
    let mut said = Vec::new();
    let mut words = line.words.iter().skip(3).map(String::as_str).peekable();
    while let Some(word) = words.next() {
        if WHOLE.contains(&word) {
            said.push(word);
            let alone =
                ["check", "check-ssl", "ssl", "send-proxy", "send-proxy-v2", "agent-check"].contains(&word);
            said.extend(words.next_if(|_| !alone));
        }
    }
    said
}

/// Takes a pool. `lines`: with those of its defaults.
pub(super) fn map(
    section: &Section,
    lines: &[Line],
    names: &Names,
    mode: &str,
    draft: &mut Draft,
    ledger: &mut Ledger,
) {
    let Some(name) = names.pool(&section.name) else { return };
    let header = format!("pool.{}", key(&name));
    let to = format!("[{header}]");
    ledger.carried(&section.at, &to);
    let is_http = mode == "http";
    let sticks = |line: &Line| {
        line.word(0) == "stick"
            && matches!(line.word(1), "on" | "match" | "store-request")
            && line.word(2) == "src"
    };
    let mut pool = Pool { sticks: lines.iter().any(sticks), ..Pool::default() };
    let defaults: Vec<&Line> = lines.iter().filter(|line| line.word(0) == "default-server").collect();
    for line in &defaults {
        let how = server_options(&line.words[1..], &mut Table::default(), &mut pool, is_http);
        settle(line, &here(line, &to, "every pool"), how, ledger);
    }
    let sayings: Vec<Vec<&str>> =
        lines.iter().filter(|line| line.word(0) == "server").map(of_the_pool).collect();
    pool.differs = sayings.windows(2).any(|pair| pair[0] != pair[1]);
    for line in lines {
        match line.word(0) {
            "server" => {
                let mut table = Table::new(format!("{header}.server"));
                for line in &defaults {
                    let _ = server_options(&line.words[1..], &mut table, &mut Pool::default(), is_http);
                }
                server(line, &to, table, &mut pool, names, is_http, draft, ledger);
            }
            "default-server" => {}
            _ => statement(line, &to, is_http, &mut pool, ledger),
        }
    }
    if !pool.speaks_tls {
        pool.tls.clear();
    }
    let unchecked = !pool.check.wanted;
    if !unchecked {
        pool.check.tell_shortened(ledger);
    }
    let mut table = Table::new(&header);
    if let Some(hash) = &pool.hash.0 {
        let more = [("method", &pool.hash.1), ("bound", &pool.hash.2)];
        let more: String = more
            .iter()
            .filter_map(|(key, value)| value.as_ref().map(|value| format!(", {key} = {value}")))
            .collect();
        table.set("balance", format!("{{ hash = {hash}{more} }}"));
    }
    if pool.servers.iter().all(|server| server.keys.iter().all(|(key, _)| key != "max_connections")) {
        // Nobody waits.
        pool.timeouts.remove("queue");
    }
    let checks = pool.check.text(unchecked, is_http);
    let pairs = |map: &BTreeMap<&'static str, String>| {
        let parts: Vec<String> = map.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        format!("{{ {} }}", parts.join(", "))
    };
    // Without TLS nobody asks.
    if let Some(alpn) = pool.alpn.take().filter(|_| !pool.tls.is_empty()) {
        pool.keys.entry("server_protocols").or_insert(alpn);
    }
    for (key, value) in &pool.keys {
        table.set(key, value.clone());
    }
    table.set("check", checks);
    for (key, map) in [("timeout", &pool.timeouts), ("server_tls", &pool.tls), ("agent", &pool.agent)] {
        if !map.is_empty() && (key != "agent" || map.contains_key("port")) {
            table.set(key, pairs(map));
        }
    }
    draft.tables.push(table);
    draft.tables.append(&mut pool.servers);
}

pub(super) fn settle(line: &Line, to: &str, hows: Vec<String>, ledger: &mut Ledger) {
    let to = to.trim_end_matches(':');
    if hows.is_empty() {
        ledger.carried(&line.at, to);
    } else {
        ledger.approximated(&line.at, to, hows.join("; "));
    }
}

#[allow(clippy::too_many_arguments, reason = "a server is about all that a pool knows")]
fn server(
    line: &Line,
    to: &str,
    mut table: Table,
    pool: &mut Pool,
    names: &Names,
    is_http: bool,
    draft: &mut Draft,
    ledger: &mut Ledger,
) {
    let (ip, port) = match names.address(line.word(2), draft) {
        Ok((ip, port)) => (ip, port),
        Err(why) => {
            ledger.dropped(&line.at, why);
            return;
        }
    };
    let hint = names.stems.get(&ip).cloned().unwrap_or_default();
    let mut hows = Vec::new();
    let port = match port {
        Some(port) => port,
        None => {
            hows.push("no port was said: 80 was taken".to_owned());
            80
        }
    };
    let place = draft.server_place(ip, port, &hint);
    let mut wanted: String =
        line.word(1)
            .chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.') { letter } else { '-' }
            })
            .take(60)
            .collect();
    if !wanted.starts_with(|letter: char| letter.is_ascii_alphanumeric()) || wanted.parse::<IpAddr>().is_ok()
    {
        wanted = format!("server-{wanted}");
    }
    if pool.names.contains(&wanted) {
        hows.push("two servers are called so".to_owned());
        wanted = format!("{wanted}-{}", pool.names.len() + 1);
    }
    pool.names.push(wanted.clone());
    hows.extend(server_options(&line.words[3..], &mut table, pool, is_http));
    let said = of_the_pool(line);
    if pool.differs && !said.is_empty() {
        let mut words: Vec<&str> = said.into_iter().filter(|word| WHOLE.contains(word)).collect();
        words.dedup();
        hows.push(format!("for all servers of the pool: {}", words.join(", ")));
    }
    table.header = format!("{}.{}", table.header, key(&wanted));
    table.keys.insert(0, ("at".to_owned(), quoted(&place)));
    settle(line, &format!("{to} server.{wanted}"), hows, ledger);
    pool.servers.push(table);
}

/// Options of `server` and `default-server`: what cannot be said.
fn server_options(words: &[String], table: &mut Table, pool: &mut Pool, is_http: bool) -> Vec<String> {
    let mut hows: Vec<String> = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "check" => pool.check.wanted = true,
            "no-check" => hows.push("checked all the same, if the pool's other servers are".to_owned()),
            "check-ssl" => pool.check.tls = true,
            "backup" => table.set("backup", "true"),
            "ssl" => {
                pool.speaks_tls = true;
                pool.tls.entry("verify").or_insert_with(|| quoted("required"));
            }
            "send-proxy" => {
                pool.keys.insert("send_proxy", quoted("v1"));
            }
            "send-proxy-v2" | "send-proxy-v2-ssl" | "send-proxy-v2-ssl-cn" => {
                pool.keys.insert("send_proxy", quoted("v2"));
            }
            "disabled" => {
                hows.push("it is not disabled: `relevo server maint` takes it out of work".to_owned())
            }
            "enabled" | "check-send-proxy" => {}
            "agent-check" => {
                pool.agent.entry("interval").or_insert_with(|| duration(2000));
            }
            "weight" | "maxconn" | "cookie" | "port" | "inter" | "fastinter" | "downinter" | "rise"
            | "fall" | "slowstart" | "observe" | "error-limit" | "on-error" | "on-marked-down" | "verify"
            | "ca-file" | "sni" | "crt" | "verifyhost" | "agent-port" | "agent-inter" | "maxqueue"
            | "proto" | "alpn" | "check-proto" | "check-alpn" => {
                let value = words.next().unwrap_or_default();
                if let Err(how) = valued(word, value, table, pool, is_http) {
                    hows.push(how);
                }
            }
            "minconn" | "resolvers" | "init-addr" | "resolve-prefer" | "addr" | "track" | "redir" | "id"
            | "ciphers" | "ciphersuites" | "ssl-min-ver" | "ssl-max-ver" | "source" | "pool-max-conn"
            | "pool-purge-delay" | "agent-addr" | "agent-send" | "max-reuse" | "namespace" | "tcp-ut"
            | "check-sni" | "crl-file" | "ws" | "socks4" | "shard" | "log-bufsize" | "pool-low-conn"
            | "error_limit" => {
                let value = words.next().unwrap_or_default();
                hows.push(format!("without `{word} {value}`"));
            }
            other => hows.push(format!("without `{other}`")),
        }
    }
    hows
}

fn valued(word: &str, value: &str, table: &mut Table, pool: &mut Pool, is_http: bool) -> Result<(), String> {
    let number = |most: u64| match value.parse::<u64>() {
        Ok(number) if number <= most => Ok(number.to_string()),
        _ => Err(format!("without `{word} {value}`")),
    };
    let time = || millis(value).filter(|time| *time > 0).ok_or(format!("`{word} {value}` is not a time"));
    match word {
        "weight" => table.set("weight", number(256)?),
        "maxconn" => {
            let number = number(1_000_000)?;
            if number != "0" {
                table.set("max_connections", number);
            }
        }
        "cookie" if is_http => table.set("cookie", quoted(value)),
        "cookie" => return Err("a cookie needs mode http".to_owned()),
        "port" => table.set("check_port", number(65_535)?),
        "inter" => pool.check.interval = Some(time()?),
        "fastinter" => pool.check.fast = Some(time()?),
        "downinter" => pool.check.down = Some(time()?),
        "rise" => pool.check.rise = value.parse().ok(),
        "fall" => pool.check.fall = value.parse().ok(),
        "slowstart" => {
            pool.keys.insert("slow_start", duration(time()?.max(1000)));
        }
        "observe" if matches!(value, "layer4" | "layer7") => {
            pool.keys.insert("observe", quoted(value));
        }
        "error-limit" => {
            pool.keys.insert("error_limit", number(1000)?);
        }
        "on-error" => {
            pool.keys.insert("on_error", quoted(value));
        }
        "on-marked-down" if value == "shutdown-sessions" => {
            pool.keys.insert("on_marked_down", quoted(value));
        }
        "verify" if matches!(value, "none" | "required") => {
            pool.tls.insert("verify", quoted(value));
        }
        "ca-file" if value.starts_with('@') => {}
        "ca-file" => {
            pool.tls.insert("ca", quoted(value));
        }
        "verifyhost" => {
            pool.tls.insert("name", quoted(value));
        }
        "sni" => match value.strip_prefix("str(").and_then(|rest| rest.strip_suffix(')')) {
            Some(name) => {
                pool.tls.insert("name", quoted(name));
            }
            None => return Err(format!("without `sni {value}`: the name is fixed, server_tls.name")),
        },
        "crt" => {
            pool.tls.insert("certificate", quoted(value));
        }
        // A check speaks what its server does.
        "check-proto" | "check-alpn" if value == "h2" && is_http => {}
        "proto" if value == "h1" => {}
        "proto" if value == "h2" && is_http => {
            pool.keys.insert("server_protocols", list([quoted("h2")]));
        }
        "alpn" if is_http && value.split(',').any(|one| one == "h2") => {
            let known = value.split(',').filter(|one| matches!(*one, "h2" | "http/1.1"));
            pool.alpn = Some(list(known.map(quoted)));
        }
        "alpn" if value == "http/1.1" => {}
        "agent-port" => {
            pool.agent.insert("port", number(65_535)?);
        }
        "agent-inter" => {
            pool.agent.insert("interval", duration(time()?));
        }
        "maxqueue" => {
            let number = number(1_000_000)?;
            if number != "0" {
                pool.keys.insert("max_queue", number);
                return Err(format!(
                    "`maxqueue {value}` is of the whole pool, and beyond it is 503, not another server"
                ));
            }
        }
        _ => return Err(format!("without `{word} {value}`")),
    }
    Ok(())
}

fn statement(line: &Line, to: &str, is_http: bool, pool: &mut Pool, ledger: &mut Ledger) {
    let at = &line.at;
    let to = &here(line, to, "every pool");
    if check::statement(line, to, &mut pool.check, ledger) {
        return;
    }
    match (line.word(0), line.word(1)) {
        ("balance", _) => choose::balance(line, to, is_http, pool, ledger),
        ("hash-type", method) => {
            let method = if method == "consistent" { "consistent" } else { "map-based" };
            pool.hash.1 = Some(quoted(method));
            ledger.approximated(
                at,
                format!("{to} balance.method"),
                "a hash of our own: clients are spread anew, once",
            );
        }
        ("hash-balance-factor", factor) => {
            pool.hash.2 = factor
                .parse::<u16>()
                .ok()
                .filter(|factor| *factor > 100)
                .map(|factor| factor.min(1000).to_string());
            ledger.carried(at, format!("{to} balance.bound"));
        }
        ("cookie", _) if is_http => choose::cookie(line, to, pool, ledger),
        ("cookie", _) => ledger.dropped(at, "a cookie needs mode http"),
        ("option", "redispatch") => {
            pool.keys.insert("redispatch", "true".to_owned());
            ledger.carried(at, format!("{to} redispatch"));
        }
        ("option", "allbackups") => {
            pool.keys.insert("all_backups", "true".to_owned());
            ledger.carried(at, format!("{to} all_backups"));
        }
        ("no", "option") if line.word(2) == "redispatch" => {
            pool.keys.insert("redispatch", "false".to_owned());
            ledger.carried(at, format!("{to} redispatch = false"));
        }
        ("retries", number) => match number.parse::<u32>() {
            Ok(number) => {
                pool.keys.insert("retries", number.min(15).to_string());
                ledger.carried(at, format!("{to} retries"));
            }
            Err(_) => ledger.dropped(at, "it is not a number"),
        },
        ("timeout", which @ ("connect" | "server" | "queue")) => match time(line, 2) {
            Some(time) => {
                let key = match which {
                    "connect" => "connect",
                    "server" => "server",
                    _ => "queue",
                };
                pool.timeouts.insert(key, time);
                ledger.carried(at, format!("{to} timeout.{key}"));
            }
            None => ledger.dropped(at, "it is not a time; every time-out has a value here"),
        },
        ("stick-table", _) if !pool.sticks => ledger.dropped(
            at,
            "no `stick on src` makes clients stay by it; for its other counters rules have rate_limit",
        ),
        ("stick-table", _) => {
            let mut parts = Vec::new();
            if let Some(size) = line.after("size").and_then(size) {
                parts.push(format!("size = {}", size.clamp(1, 10_000_000)));
            }
            if let Some(expire) = line.after("expire").and_then(millis) {
                parts.push(format!("expire = {}", duration(expire.max(1000))));
            }
            let by = if line.after("type").is_some_and(|kind| kind == "ip" || kind == "ipv6") {
                "source"
            } else {
                ""
            };
            if by.is_empty() {
                ledger.dropped(at, "only a table of addresses has a word: affinity");
            } else {
                parts.insert(0, format!("by = {}", quoted(by)));
                pool.keys.insert("affinity", format!("{{ {} }}", parts.join(", ")));
                ledger.approximated(
                    at,
                    format!("{to} affinity"),
                    "for staying with a server; other counters have rate_limit",
                );
            }
        }
        ("stick", "on" | "match" | "store-request") if line.word(2) == "src" => {
            pool.keys.entry("affinity").or_insert_with(|| quoted("source"));
            ledger.carried(at, format!("{to} affinity"));
        }
        ("stick", _) if line.word(2) == "dst" => ledger.dropped(
            at,
            "that all clients stay with the server that works now cannot be said: a server that is not `backup` gets them back when it returns",
        ),
        ("stick", _) => {
            ledger.dropped(at, "a client stays with its server by its address (`stick on src`), or by a cookie")
        }
        ("fullconn", _) => ledger.dropped(at, "limits do not grow with the load"),
        _ => {}
    }
}

fn size(text: &str) -> Option<u64> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1024),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1 << 20)),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

impl Names {
    /// The address of a server, or of a name that another file tells.
    fn address(&self, text: &str, draft: &Draft) -> Result<(IpAddr, Option<u16>), String> {
        let number = |port: Option<&str>| match port {
            None => Ok(None),
            Some(port) => match port.parse::<u16>() {
                Ok(port) if port > 0 => Ok(Some(port)),
                _ => Err(format!("`{port}` is no port")),
            },
        };
        match endpoint(text) {
            Some((ip, port)) if !ip.is_unspecified() => Ok((ip, number(port)?)),
            _ => {
                let (name, port) =
                    text.rsplit_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
                let short = name.split('.').next().unwrap_or(name);
                let known = draft.hosts.iter().find_map(|(ip, host)| match ip {
                    IpAddr::V4(_) if host == name || host == short => Some(*ip),
                    IpAddr::V4(_) | IpAddr::V6(_) => None,
                });
                match known {
                    Some(ip) => Ok((ip, number(port)?)),
                    None => Err(format!("no file tells the address of `{name}`: write its IP address")),
                }
            }
        }
    }
}
