//! Who is next: `balance` and `cookie` of a pool.

use super::back::{Pool, settle};
use super::parse::{Line, millis};
use crate::draft::quoted;
use crate::ledger::Ledger;

/// `balance`.
pub(super) fn balance(line: &Line, to: &str, is_http: bool, pool: &mut Pool, ledger: &mut Ledger) {
    let at = &line.at;
    let word = line.word(1);
    let (name, argument) =
        word.split_once('(').map_or((word, ""), |(name, rest)| (name, rest.trim_end_matches(')')));
    let plain = match name {
        "roundrobin" | "static-rr" | "leastconn" | "first" | "random" => Some(name),
        _ => None,
    };
    // What defaults or a line above say of it does not count any more.
    pool.keys.remove("balance");
    pool.hash.0 = None;
    if let Some(plain) = plain {
        pool.keys.insert("balance", quoted(plain));
        ledger.carried(at, format!("{to} balance"));
        return;
    }
    let hash = match name {
        "source" => "source".to_owned(),
        "uri" if is_http && line.words.iter().any(|word| word == "whole") => "uri-query".to_owned(),
        "uri" if is_http => "uri".to_owned(),
        "hdr" if is_http => format!("header:{argument}"),
        "url_param" if is_http => format!("url_param:{}", line.word(2)),
        "hash" if line.word(2) == "src" => "source".to_owned(),
        _ => {
            ledger.dropped(at, format!("`{word}` is not offered here: round robin"));
            return;
        }
    };
    pool.hash.0 = Some(quoted(&hash));
    pool.hash.1.get_or_insert_with(|| quoted("map-based"));
    ledger.approximated(at, format!("{to} balance"), "a hash of our own: clients are spread anew, once");
}

/// `cookie`.
pub(super) fn cookie(line: &Line, to: &str, pool: &mut Pool, ledger: &mut Ledger) {
    let mut parts = vec![format!("name = {}", quoted(line.word(1)))];
    let mut hows = Vec::new();
    let has = |name: &str| line.words.iter().skip(2).any(|word| word == name);
    let mode = ["rewrite", "prefix"].into_iter().find(|mode| has(mode)).unwrap_or("insert");
    parts.push(format!("mode = {}", quoted(mode)));
    let words: &[&str] = if mode == "insert" {
        &["indirect", "nocache", "httponly", "postonly", "preserve", "secure"]
    } else {
        &["nocache"]
    };
    for word in words {
        // These three are on here unless said otherwise.
        if has(word) || matches!(*word, "indirect" | "nocache" | "httponly") && mode == "insert" {
            parts.push(format!("{word} = {}", has(word)));
        }
    }
    let mut rest = line.words.iter().skip(2).map(String::as_str);
    while let Some(word) = rest.next() {
        match word {
            "insert" | "rewrite" | "prefix" | "indirect" | "nocache" | "httponly" | "postonly"
            | "preserve" | "secure" => {}
            "domain" => parts.extend(
                rest.next().map(|value| format!("domain = {}", quoted(value.trim_start_matches('.')))),
            ),
            "maxidle" | "maxlife" => {
                let seconds = rest.next().and_then(|text| {
                    if text.ends_with(|l: char| l.is_ascii_digit()) {
                        millis(&format!("{text}s"))
                    } else {
                        millis(text)
                    }
                });
                if let Some(time) = seconds {
                    let key = if word == "maxidle" { "max_idle" } else { "max_life" };
                    parts.push(format!(
                        "{key} = {}",
                        quoted(&format!("{}s", (time / 1000).clamp(1, 300_000_000)))
                    ));
                }
            }
            "attr" => {
                let value = rest.next().unwrap_or_default();
                match value.to_ascii_lowercase().strip_prefix("samesite=") {
                    Some(site @ ("strict" | "lax" | "none")) => {
                        parts.push(format!("samesite = {}", quoted(site)))
                    }
                    _ => hows.push(format!("without `attr {value}`")),
                }
            }
            other => hows.push(format!("without `{other}`")),
        }
    }
    pool.keys.insert("cookie", format!("{{ {} }}", parts.join(", ")));
    settle(line, &format!("{to} cookie"), hows, ledger);
}
