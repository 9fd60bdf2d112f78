//! `balance`: a word, or a hash.

use super::fields::{Fields, Use};
use super::findings::Findings;
use super::pools::http_use;
use super::suggest;
use super::texts::{after, opened};
use super::tree::Item;
use crate::cluster::{Balance, Hash, HashKey, HashMethod};
use crate::reference::HASH;

const WORDS: [&str; 7] = ["roundrobin", "static-rr", "leastconn", "first", "random", "source", "uri"];

const KEYS: [&str; 6] = ["source", "uri", "uri-query", "header:NAME", "url_param:NAME", "cookie:NAME"];

/// Reads `balance`, or gives the default.
pub(super) fn read(findings: &mut Findings<'_>, fields: &Fields<'_>, uses: &mut Vec<Use>) -> Balance {
    let Some(item) = fields.find("balance") else { return Balance::default() };
    if let Some(word) = item.value.as_str() {
        return match word {
            "roundrobin" => Balance::RoundRobin,
            "static-rr" => Balance::StaticRr,
            "leastconn" => Balance::LeastConn,
            "first" => Balance::First,
            "random" => Balance::Random,
            "source" | "uri" => {
                let Some(key) = key(findings, item, uses) else { return Balance::default() };
                Balance::Hash(Hash { key, method: HashMethod::Consistent, bound: None })
            }
            _ => {
                let hint = if KEYS
                    .iter()
                    .any(|key| key.ends_with("NAME") && word.starts_with(&key[..key.len() - 4]))
                    || word == "uri-query"
                {
                    format!("write balance = {{ hash = \"{word}\" }}")
                } else {
                    suggest::one_of(word, WORDS)
                };
                findings.value(&item.span, format!("`balance` cannot be `{word}`"), hint);
                Balance::default()
            }
        };
    }
    let Some(fields) =
        opened(findings, item, &HASH, "text or a table", "\"roundrobin\" or { hash = \"source\" }")
    else {
        return Balance::default();
    };
    let hash = fields.require(findings, "hash", "\"source\"");
    let key = hash.and_then(|item| key(findings, item, uses));
    let methods = [
        ("consistent", HashMethod::Consistent),
        ("maglev", HashMethod::Maglev),
        ("map-based", HashMethod::MapBased),
    ];
    let method = fields.word(findings, "method", &methods).unwrap_or_default();
    let bound = fields.number(findings, "bound");
    if let (HashMethod::MapBased, Some(item)) = (method, fields.find("bound")) {
        let hint = "remove it, or write method = \"consistent\"";
        findings.error(&item.key, "`bound` has no meaning with `map-based`", hint);
    }
    key.map_or_else(Balance::default, |key| Balance::Hash(Hash { key, method, bound }))
}

fn key(findings: &mut Findings<'_>, item: &Item<'_>, uses: &mut Vec<Use>) -> Option<HashKey> {
    let text = item.text(findings, "\"source\"")?;
    if text != "source" {
        uses.push(http_use(text, item));
    }
    let mut named = |kind: &str| after(findings, item, text, kind).map(str::to_owned);
    match text.split(':').next().unwrap_or_default() {
        "source" if text == "source" => Some(HashKey::Source),
        "uri" if text == "uri" => Some(HashKey::Uri { query: false }),
        "uri-query" if text == "uri-query" => Some(HashKey::Uri { query: true }),
        "header" if text.contains(':') => named("header").map(HashKey::Header),
        "url_param" if text.contains(':') => named("url_param").map(HashKey::UrlParam),
        "cookie" if text.contains(':') => named("cookie").map(HashKey::Cookie),
        _ => {
            let hint = suggest::one_of(text, KEYS);
            findings.value(&item.span, format!("`{}` cannot be `{text}`", item.name), hint);
            None
        }
    }
}
