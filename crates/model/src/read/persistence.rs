//! `cookie` and `affinity`: how a client stays with its server.

use std::time::Duration;

use super::fields::Use;
use super::findings::Findings;
use super::pools::http_use;
use super::suggest;
use super::texts::{after, host, named, opened, useless};
use super::tree::Item;
use crate::cluster::{Affinity, AffinityKey, Cookie, CookieMode, SameSite};
use crate::reference::{AFFINITY, COOKIE};

/// What only a cookie of the balancer's own can have.
const OWN: [&str; 9] =
    ["indirect", "httponly", "postonly", "preserve", "secure", "samesite", "domain", "max_idle", "max_life"];

/// Reads a pool's `cookie`.
pub(super) fn cookie(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Cookie> {
    if let Some(name) = item.value.as_str() {
        return named(findings, &item.span, name, "cookie", "SERVERID")
            .then(|| plain(name, CookieMode::Insert));
    }
    let fields = opened(findings, item, &COOKIE, "text or a table", "\"SERVERID\"")?;
    let name = fields.require(findings, "name", "\"SERVERID\"").and_then(|item| {
        let name = item.text(findings, "\"SERVERID\"")?;
        named(findings, &item.span, name, "cookie", "SERVERID").then_some(name)
    });
    let modes =
        [("insert", CookieMode::Insert), ("rewrite", CookieMode::Rewrite), ("prefix", CookieMode::Prefix)];
    let mode = fields.word(findings, "mode", &modes).unwrap_or_default();
    if mode != CookieMode::Insert {
        let hint = "remove it: the cookie is the server's, which says these things itself";
        useless(findings, &fields, &OWN, "has no meaning without mode = \"insert\"", hint);
    }
    let default = plain(name.unwrap_or_default(), mode);
    let sites = [("strict", SameSite::Strict), ("lax", SameSite::Lax), ("none", SameSite::None)];
    let cookie = Cookie {
        indirect: fields.flag(findings, "indirect").unwrap_or(default.indirect),
        nocache: fields.flag(findings, "nocache").unwrap_or(default.nocache),
        postonly: fields.flag(findings, "postonly").unwrap_or(default.postonly),
        preserve: fields.flag(findings, "preserve").unwrap_or(default.preserve),
        httponly: fields.flag(findings, "httponly").unwrap_or(default.httponly),
        secure: fields.flag(findings, "secure").unwrap_or(default.secure),
        samesite: fields.word(findings, "samesite", &sites),
        domain: fields.find("domain").and_then(|item| domain(findings, item)),
        max_idle: fields.time(findings, "max_idle"),
        max_life: fields.time(findings, "max_life"),
        ..default
    };
    if let (Some(SameSite::None), false, Some(item)) =
        (cookie.samesite, cookie.secure, fields.find("samesite"))
    {
        let message = "browsers refuse a cookie with samesite = \"none\" that is not secure";
        findings.error(&item.span, message, "add secure = true, or write \"lax\"");
    }
    if let (Some(idle), Some(life), Some(item)) = (cookie.max_idle, cookie.max_life, fields.find("max_idle"))
        && idle > life
    {
        let message = "`max_idle` is longer than `max_life`: it never comes into play";
        findings.lint(&item.span, message, "write a shorter one, or remove it");
    }
    name.is_some().then_some(cookie)
}

/// A cookie as its short form means it.
fn plain(name: &str, mode: CookieMode) -> Cookie {
    let own = mode == CookieMode::Insert;
    Cookie {
        name: name.to_owned(),
        mode,
        indirect: own,
        nocache: own,
        postonly: false,
        preserve: false,
        httponly: own,
        secure: false,
        samesite: None,
        domain: None,
        max_idle: None,
        max_life: None,
    }
}

/// A domain; browsers ignore a point before it (RFC 6265 section 5.2.3).
fn domain(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<String> {
    if let Some(rest) = item.value.as_str().and_then(|text| text.strip_prefix('.'))
        && super::texts::is_host(rest)
    {
        return Some(rest.to_ascii_lowercase());
    }
    host(findings, item, "example.org")
}

/// Reads a pool's `affinity`.
pub(super) fn affinity(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    uses: &mut Vec<Use>,
) -> Option<Affinity> {
    let (size, expire) = (100_000, Duration::from_secs(30 * 60));
    if item.value.as_str().is_some() {
        return key(findings, item, uses).map(|key| Affinity { key, size, expire });
    }
    let fields = opened(findings, item, &AFFINITY, "text or a table", "\"source\"")?;
    let by = fields.require(findings, "by", "\"source\"");
    let key = by.and_then(|item| key(findings, item, uses));
    let size = fields.number(findings, "size").unwrap_or(size);
    let expire = fields.time(findings, "expire").unwrap_or(expire);
    key.map(|key| Affinity { key, size, expire })
}

fn key(findings: &mut Findings<'_>, item: &Item<'_>, uses: &mut Vec<Use>) -> Option<AffinityKey> {
    let text = item.text(findings, "\"source\"")?;
    match text.split_once(':').map_or(text, |(kind, _)| kind) {
        "source" if text == "source" => Some(AffinityKey::Source),
        "header" if text != "header" => {
            uses.push(http_use(text, item));
            after(findings, item, text, "header").map(|name| AffinityKey::Header(name.to_owned()))
        }
        "cookie" if text != "cookie" => {
            uses.push(http_use(text, item));
            after(findings, item, text, "cookie").map(|name| AffinityKey::Cookie(name.to_owned()))
        }
        _ => {
            let hint = suggest::one_of(text, ["source", "header:NAME", "cookie:NAME"]);
            findings.value(&item.span, format!("`{}` cannot be `{text}`", item.name), hint);
            None
        }
    }
}
