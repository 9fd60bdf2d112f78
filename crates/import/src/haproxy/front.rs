//! `frontend`, and the front half of `listen`: a service.

use std::collections::BTreeMap;

use super::condition;
use super::parse::{Line, Section};
use super::rules::{rules, time};
use super::{Names, here};
use crate::balancer::endpoint;
use crate::draft::{Draft, Table, key, list, quoted};
use crate::ledger::Ledger;

/// Words of a service in other words' places.
#[derive(Debug, Default)]
struct Service {
    listens: Vec<String>,
    certificates: Vec<String>,
    tls: BTreeMap<&'static str, String>,
    timeouts: BTreeMap<&'static str, String>,
    errors: BTreeMap<u16, String>,
    captures: Vec<String>,
    compress: BTreeMap<&'static str, String>,
    keys: BTreeMap<&'static str, String>,
    forwards: bool,
    pool: Option<String>,
    /// What forbids and could not be said, for comments.
    missing: Vec<String>,
}

/// Whether a line keeps clients out.
fn forbids(line: &Line) -> bool {
    match line.word(0) {
        "http-request" => matches!(line.word(1), "deny" | "reject" | "auth" | "tarpit" | "silent-drop"),
        "tcp-request" => line.word(2) == "reject",
        _ => false,
    }
}

/// Most ports of a range that become listeners.
const PORTS: u16 = 16;

/// Takes a service. `lines`: with those of its defaults.
pub(super) fn map(
    section: &Section,
    lines: &[Line],
    names: &Names,
    mode: &str,
    draft: &mut Draft,
    ledger: &mut Ledger,
) {
    let Some(name) = names.services.get(&(section.kind.clone(), section.name.clone())) else { return };
    let header = format!("service.{}", key(name));
    let to = format!("[{header}]");
    ledger.carried(&section.at, &to);
    let acls = condition::acls(lines);
    let is_http = mode == "http";
    let mut service = Service {
        pool: names.pool(&section.name).filter(|_| section.kind == "listen"),
        ..Service::default()
    };
    let pool_of = |name: &str| names.pool(name);
    service.forwards = lines.iter().any(|line| {
        matches!(line.word(0), "default_backend" | "use_backend") && names.forwarding.contains(line.word(1))
    });
    // HAProxy's order: http-request, redirect, use_backend.
    let mut tables: [Vec<Table>; 3] = Default::default();
    let mut used: Vec<&str> = Vec::new();
    for line in lines {
        let turn = match line.word(0) {
            "http-request" | "http-response" | "tcp-request" => 0,
            "redirect" => 1,
            "use_backend" => 2,
            _ => {
                statement(line, &to, is_http, &pool_of, &mut service, draft, ledger);
                continue;
            }
        };
        if line.word(0) == "http-request" && line.word(1) == "cache-use"
            || line.word(0) == "http-response" && line.word(1) == "cache-store"
        {
            service.keys.insert("cache", "true".to_owned());
            ledger.approximated(&line.at, format!("{to} cache"), "with its own bounds, the defaults");
            continue;
        }
        match rules(line, &header, &acls, &pool_of) {
            Ok((made, how)) => {
                tables[turn].extend(made);
                used.extend(line.words.iter().map(|word| word.trim_start_matches('!')));
                match how {
                    Some(how) => ledger.approximated(&line.at, format!("{to} rule"), how),
                    None => ledger.carried(&line.at, format!("{to} rule")),
                }
            }
            Err(why) => {
                if forbids(line) {
                    // Whoever reads only the cluster file must see that something is open that was not.
                    let text = line.words.join(" ");
                    service
                        .missing
                        .push(format!("Not carried over, {}:{}: {text}", line.at.file, line.at.line));
                }
                ledger.dropped(&line.at, why);
            }
        }
    }
    for line in lines.iter().filter(|line| line.word(0) == "acl") {
        match acls.get(line.word(1)).map(|tests| tests.iter().find_map(|test| test.as_ref().err())) {
            Some(Some(why)) => ledger.dropped(&line.at, why.clone()),
            Some(None) if used.contains(&line.word(1)) => {
                ledger.carried(&line.at, format!("{to} rule: when, unless"))
            }
            Some(None) | None => ledger.dropped(&line.at, "no rule that could be carried over uses it"),
        }
    }
    if service.listens.is_empty() {
        ledger.dropped(&section.at, "it listens nowhere that could be told");
        return;
    }
    draft.tables.push(service.table(&header, mode));
    draft.tables.extend(tables.into_iter().flatten());
}

impl Service {
    fn table(self, header: &str, mode: &str) -> Table {
        let mut table = Table::new(header);
        table.comments = self.missing;
        let pairs = |map: BTreeMap<&'static str, String>| {
            let parts: Vec<String> = map.into_iter().map(|(key, value)| format!("{key} = {value}")).collect();
            format!("{{ {} }}", parts.join(", "))
        };
        table.set("listen", if self.listens.len() == 1 { self.listens.concat() } else { list(self.listens) });
        table.set("mode", quoted(mode));
        if let Some(pool) = self.pool {
            table.set("pool", quoted(&pool));
        }
        if mode == "http" && !self.forwards {
            table.set("forwarded_for", "false");
        }
        let mut tls = self.tls;
        if !self.certificates.is_empty() {
            tls.insert("certificates", list(self.certificates));
        }
        if tls.contains_key("certificates") {
            table.set("tls", pairs(tls));
        }
        if !self.timeouts.is_empty() {
            table.set("timeout", pairs(self.timeouts));
        }
        for (key, value) in self.keys {
            table.set(key, value);
        }
        if !self.compress.is_empty() {
            table.set("compress", pairs(self.compress));
        }
        if !self.errors.is_empty() {
            let pages: Vec<String> =
                self.errors.iter().map(|(code, path)| format!("{code} = {}", quoted(path))).collect();
            table.set("error_pages", format!("{{ {} }}", pages.join(", ")));
        }
        if !self.captures.is_empty() {
            let names = list(self.captures.iter().map(|name| quoted(name)));
            table.set("log", format!("{{ what = \"all\", capture = {names} }}"));
        }
        table
    }
}

fn statement(
    line: &Line,
    to: &str,
    is_http: bool,
    pool_of: &dyn Fn(&str) -> Option<String>,
    service: &mut Service,
    draft: &mut Draft,
    ledger: &mut Ledger,
) {
    let at = &line.at;
    let to = &here(line, to, "every service");
    match (line.word(0), line.word(1)) {
        ("bind", _) => bind(line, to, service, draft, ledger),
        ("default_backend", name) => match pool_of(name) {
            Some(pool) => {
                service.pool = Some(pool);
                ledger.carried(at, format!("{to} pool"));
            }
            None => ledger.dropped(at, format!("there is no backend `{name}` with servers")),
        },
        ("maxconn", value) => match value.parse::<u32>() {
            Ok(number) if number > 0 => {
                service.keys.insert("max_connections", number.min(1_000_000).to_string());
                ledger.carried(at, format!("{to} max_connections"));
            }
            _ => ledger.dropped(at, "it is not a number"),
        },
        ("timeout", which @ ("client" | "http-request" | "http-keep-alive" | "tunnel")) => {
            let key = match which {
                "client" => "client",
                "http-request" => "request",
                "http-keep-alive" => "keep_alive",
                _ => "tunnel",
            };
            match time(line, 2) {
                Some(_) if !is_http && matches!(key, "request" | "keep_alive") => {
                    if !line.inherited {
                        ledger.dropped(at, "it is for mode http");
                    }
                }
                Some(time) => {
                    service.timeouts.insert(key, time);
                    ledger.carried(at, format!("{to} timeout.{key}"));
                }
                None => ledger.dropped(at, "it is not a time; every time-out has a value here"),
            }
        }
        ("option", "forwardfor") => {
            service.forwards = true;
            if line.words.len() > 2 {
                ledger.approximated(at, format!("{to} forwarded_for"), "in X-Forwarded-For, for all clients");
            } else if is_http {
                ledger.carried(at, format!("{to} forwarded_for = true, the default"));
            }
        }
        ("errorfile", code) => match code.parse::<u16>() {
            Ok(code) if (400..600).contains(&code) => {
                if is_http {
                    service.errors.insert(code, line.word(2).to_owned());
                    let how = "the file is the body alone here: take the lines before the first empty one out of it";
                    ledger.approximated(at, format!("{to} error_pages"), how);
                }
            }
            _ => ledger.dropped(at, "only errors from 400 to 599 have pages"),
        },
        ("monitor-uri", path) => {
            service.keys.insert("monitor", quoted(path));
            ledger.carried(at, format!("{to} monitor"));
        }
        ("capture", "request") if line.word(2) == "header" => {
            service.captures.push(line.word(3).to_owned());
            ledger.carried(at, format!("{to} log.capture"));
        }
        ("compression", "algo") => {
            service.compress.insert("codings", "[\"zstd\", \"br\", \"gzip\"]".to_owned());
            ledger.approximated(
                at,
                format!("{to} compress"),
                "zstd, Brotli and gzip, whichever the client likes best",
            );
        }
        ("compression", "type") => {
            let types = list(line.words.iter().skip(2).map(|word| quoted(word)));
            service.compress.insert("types", types);
            ledger.carried(at, format!("{to} compress.types"));
        }
        ("compression", _) => ledger.dropped(at, "servers are asked as the client asks"),
        ("acl", _) => {}
        _ => {}
    }
}

fn bind(line: &Line, to: &str, service: &mut Service, draft: &mut Draft, ledger: &mut Ledger) {
    let at = &line.at;
    let options: Vec<&str> = line.words.iter().skip(2).map(String::as_str).collect();
    let has = |name: &str| options.contains(&name);
    let tls = has("ssl");
    let mut hows: Vec<String> = Vec::new();
    let mut some = false;
    for part in line.word(1).split(',') {
        let (ip, port) = match endpoint(part) {
            Some((ip, Some(port))) => (ip, port),
            Some((_, None)) => {
                ledger.dropped(at, format!("`{part}` says no port"));
                continue;
            }
            None => {
                ledger.dropped(at, format!("`{part}` is no address with a port"));
                continue;
            }
        };
        let range = port.split_once('-').unwrap_or((port, port));
        let (Ok(first), Ok(last)) = (range.0.parse::<u16>(), range.1.parse::<u16>()) else {
            ledger.dropped(at, format!("`{port}` is no port"));
            continue;
        };
        if first == 0 || last < first || last - first >= PORTS {
            ledger.dropped(
                at,
                format!("the ports {port}: only up to {PORTS} are written out, write them one by one"),
            );
            continue;
        }
        for port in first..=last {
            match draft.listen_place(ip, port) {
                Ok(found) => {
                    hows.extend(found.assumed);
                    some = true;
                    let mut value = quoted(&found.place);
                    let words = [
                        (tls, ", tls = true"),
                        (has("accept-proxy"), ", proxy_protocol = true"),
                        (has("defer-accept"), ", defer_accept = true"),
                    ];
                    let words: String = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
                    if !words.is_empty() {
                        value = format!("{{ at = {value}{words} }}");
                    }
                    if !service.listens.contains(&value) {
                        service.listens.push(value);
                    }
                }
                Err(why) => ledger.dropped(at, why),
            }
        }
    }
    let mut words = line.words.iter().skip(2).map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "ssl" | "accept-proxy" | "transparent" | "defer-accept" | "tfo" | "v4v6" | "v6only" => {}
            "crt" => service.certificates.extend(words.next().map(quoted)),
            "strict-sni" => {
                service.tls.insert("strict_sni", "true".to_owned());
            }
            "ca-file" => {
                if let Some(path) = words.next() {
                    service.tls.insert("client_ca", quoted(path));
                }
            }
            "verify" => {
                let word = words.next().unwrap_or_default();
                if matches!(word, "none" | "optional" | "required") {
                    service.tls.insert("client_verify", quoted(word));
                }
            }
            "ssl-min-ver" => {
                let version = words.next().unwrap_or_default();
                if version == "TLSv1.3" {
                    service.tls.insert("min_version", quoted("1.3"));
                }
            }
            "alpn" => {
                let value = words.next().unwrap_or_default();
                let known = value.split(',').filter(|word| matches!(*word, "h2" | "http/1.1"));
                service.keys.insert("protocols", list(known.map(quoted)));
            }
            "no-sslv3" | "no-tlsv10" | "no-tlsv11" => {}
            "name" | "id" | "maxconn" | "backlog" | "nice" | "process" | "thread" | "shards"
            | "interface" | "user" | "group" | "mode" | "ciphers" | "ciphersuites" | "curves" | "ecdhe"
            | "ssl-max-ver" | "crt-list" | "proto" | "mss" | "tcp-ut" | "namespace" | "crl-file"
            | "tls-ticket-keys" | "level" => {
                words.next();
                hows.push(format!("without `{word}`"));
            }
            other => hows.push(format!("without `{other}`")),
        }
    }
    if some {
        hows.dedup();
        match hows.is_empty() {
            true => ledger.carried(at, format!("{to} listen")),
            false => ledger.approximated(at, format!("{to} listen"), hows.join("; ")),
        }
    }
}
