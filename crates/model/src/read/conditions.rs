//! `when` and `unless`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::fields::Fields;
use super::findings::Findings;
use super::patterns::pattern;
use super::texts::{method, named, opened, pairs, several};
use super::tree::Item;
use crate::cluster::{Condition, Mode, NameTest, Pattern, Service, SourceNet};
use crate::reference::CONDITION;

/// Most entries of one list.
const MOST: usize = 256;

/// Reads the conditions of a rule.
pub(super) fn read(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    mode: Option<Mode>,
    service: &Service,
) -> Option<Condition> {
    let example = "{ path = \"/static/*\" }";
    let fields = opened(findings, item, &CONDITION, "a table", example)?;
    if item.value.as_table().is_some_and(|table| table.is_empty()) {
        let hint = format!("write {} = {example}, or remove it", item.name);
        findings.value(&item.span, format!("`{}` has no condition", item.name), hint);
    }
    if let Some(mode) = mode.filter(|mode| *mode != Mode::Udp) {
        fields.fit(findings, mode, &CONDITION);
    }
    let mut methods = Vec::new();
    for entry in fields.find("method").map(|item| several(findings, item, MOST)).unwrap_or_default() {
        methods.extend(method(findings, &entry).map(str::to_owned));
    }
    let condition = Condition {
        host: patterns(findings, &fields, "host", "*.example.org", host),
        path: patterns(findings, &fields, "path", "/static/*", path),
        method: methods,
        header: tests(findings, &fields, "header", "{ User-Agent = \"*curl*\" }", true),
        query: tests(findings, &fields, "query", "{ page = \"1\" }", false),
        cookie: tests(findings, &fields, "cookie", "{ beta = \"1\" }", true),
        source: sources(findings, &fields),
        tls: fields.flag(findings, "tls"),
        tls_name: patterns(findings, &fields, "tls_name", "*.example.org", host),
    };
    let tls = service.listen.iter().any(|listen| listen.tls);
    let asks = condition.tls == Some(true) || !condition.tls_name.is_empty();
    let spoken = mode == Some(Mode::Http) && asks && !tls;
    if spoken && let Some(item) = fields.find("tls_name").or_else(|| fields.find("tls")) {
        let message = "the service does not listen with TLS: this never holds";
        findings.lint(&item.key, message, "write listen = { at = \"front:443\", tls = true }, or remove it");
    }
    Some(condition)
}

type Look = fn(&mut Findings<'_>, &Item<'_>, Pattern) -> Option<Pattern>;

fn patterns(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    key: &str,
    example: &str,
    look: Look,
) -> Vec<Pattern> {
    let Some(item) = fields.find(key) else { return Vec::new() };
    let mut list = Vec::new();
    for entry in several(findings, item, MOST) {
        let found = pattern(findings, &entry, example);
        list.extend(found.and_then(|pattern| look(findings, &entry, pattern)));
    }
    list
}

/// Hosts are compared in lower case and without a port.
fn host(findings: &mut Findings<'_>, item: &Item<'_>, pattern: Pattern) -> Option<Pattern> {
    let (Pattern::Exact(text) | Pattern::Glob(text)) = &pattern else { return Some(pattern) };
    if text.is_empty() || text.contains(['/', ':', ' ']) {
        let hint = "write the name alone, as in \"shop.example.org\" or \"*.example.org\"";
        findings.value(&item.span, format!("{text:?} is not just a host's name"), hint);
        return None;
    }
    let text = text.to_ascii_lowercase();
    Some(if text.contains('*') { Pattern::Glob(text) } else { Pattern::Exact(text) })
}

/// Paths begin with `/` and have no query.
fn path(findings: &mut Findings<'_>, item: &Item<'_>, pattern: Pattern) -> Option<Pattern> {
    let (Pattern::Exact(text) | Pattern::Glob(text)) = &pattern else { return Some(pattern) };
    if !text.starts_with(['/', '*']) {
        let hint = format!("write \"/{text}\", or \"*{text}\" for any beginning");
        findings.value(&item.span, format!("no path begins like `{text}`: all begin with `/`"), hint);
        return None;
    }
    if text.contains(['?', '#']) {
        let hint = "write only what is before `?`, and beside it query = { NAME = \"VALUE\" }";
        findings.value(&item.span, "the path ends before the query", hint);
        return None;
    }
    Some(pattern)
}

/// Tests of named things. `token`: their names are tokens.
fn tests(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    key: &str,
    example: &str,
    token: bool,
) -> Vec<NameTest> {
    let Some(item) = fields.find(key) else { return Vec::new() };
    let mut list = Vec::new();
    for entry in pairs(findings, item, example, MOST) {
        if token && !named(findings, &entry.key, entry.name, key, "X-Client") {
            continue;
        }
        let patterns = match entry.value.as_bool() {
            Some(true) => Some(Vec::new()),
            Some(false) => None,
            None => {
                let mut patterns = Vec::new();
                for one in several(findings, &entry, MOST) {
                    if one.value.as_str().is_none() {
                        let digits = one.value.as_integer().map(|number| format!("\"{number}\""));
                        one.wrong_type(findings, "text, true or false", digits.as_deref().unwrap_or("\"1\""));
                        continue;
                    }
                    patterns.extend(pattern(findings, &one, "1"));
                }
                Some(patterns)
            }
        };
        list.push(NameTest { name: entry.name.to_owned(), patterns });
    }
    list
}

fn sources(findings: &mut Findings<'_>, fields: &Fields<'_>) -> Vec<SourceNet> {
    let Some(item) = fields.find("source") else { return Vec::new() };
    let mut list = Vec::new();
    for entry in several(findings, item, MOST) {
        let Some(text) = entry.text(findings, "\"10.0.0.0/8\"") else { continue };
        let net = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
            (Ok(net), _) => net,
            (Err(_), Ok(ip)) => IpNet::from(ip),
            (Err(_), Err(_)) => {
                let message = format!("`{text}` is neither an address nor a network");
                findings.value(
                    &entry.span,
                    message,
                    "write \"10.0.0.0/8\", \"10.0.0.7\" or \"2001:db8::/32\"",
                );
                continue;
            }
        };
        if net.addr() != net.network() {
            let message = format!("`{text}` has bits set after its prefix of {}", net.prefix_len());
            findings.value(&entry.span, message, format!("write \"{}\", or \"{}\"", net.trunc(), net.addr()));
            continue;
        }
        list.push(SourceNet { first: net.network(), prefix: net.prefix_len() });
    }
    list
}
