//! What a rule does: answers and refusals. Changes are in `edits`.

use std::time::Duration;

use super::edits;
use super::fields::Fields;
use super::findings::Findings;
use super::names::Names;
use super::operation;
use super::patterns::placeholders;
use super::services::pool_named;
use super::suggest;
use super::texts::{after, header_value, opened};
use super::tree::Item;
use crate::cluster::{Action, BasicAuth, Deny, RateKey, RateLimit, Redirect, Return, Service};
use crate::reference::{AUTH, RATE, REDIRECT, RETURN, TARPIT};

/// After one of these no later rule is tried.
const LAST: [&str; 5] = ["pool", "redirect", "return", "deny", "tarpit"];

/// Largest body of an answer of the balancer's own, bytes.
const MOST_BODY: usize = 64 << 10;

/// What rules refer to.
#[derive(Debug)]
pub(super) struct Known<'x> {
    /// Their service, as far as it is read.
    pub(super) service: &'x Service,
    pub(super) pools: &'x Names,
    pub(super) users: &'x Names,
}

/// Whether no later rule is tried after it.
pub(super) const fn is_last(action: &Action) -> bool {
    match action {
        Action::Pool(_) | Action::Redirect(_) | Action::Return(_) | Action::Deny(_) => true,
        Action::Request(_) | Action::Response(_) | Action::Rewrite(_) | Action::Rate(_) | Action::Auth(_) => {
            false
        }
    }
}

/// Reads all actions of a rule, in the order in which they are done.
pub(super) fn read(findings: &mut Findings<'_>, fields: &Fields<'_>, known: &Known<'_>) -> Vec<Action> {
    let mut actions = Vec::new();
    if let Some(item) = fields.find("basic_auth") {
        actions.extend(auth(findings, item, known.users).map(Action::Auth));
    }
    if let Some(item) = fields.find("rate_limit") {
        actions.extend(rate(findings, item).map(Action::Rate));
    }
    edits::read(findings, fields, &mut actions);
    let mut last = fields.of(&crate::reference::RULE).filter(|item| LAST.contains(&item.name));
    let Some(first) = last.next() else { return actions };
    for other in last {
        let message = format!("a rule does either `{}` or `{}`", first.name, other.name);
        findings.error(&other.key, message, "keep one of them, or write a second rule");
    }
    actions.extend(match first.name {
        "pool" => pool_named(findings, first, known.pools).map(Action::Pool),
        "redirect" => redirect(findings, first).map(Action::Redirect),
        "return" => answer(findings, first).map(Action::Return),
        "deny" => deny(findings, first).map(Action::Deny),
        _ => tarpit(findings, first).map(Action::Deny),
    });
    actions
}

fn redirect(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Redirect> {
    if item.value.as_str() == Some("https") {
        return Some(Redirect { to: "https://{host}{uri}".to_owned(), status: 301 });
    }
    if item.value.as_str().is_some() {
        return target(findings, item).map(|to| Redirect { to, status: 302 });
    }
    let example = "\"https\" or { to = \"https://www.example.org{uri}\", status = 301 }";
    let fields = opened(findings, item, &REDIRECT, "text or a table", example)?;
    let to = fields.require(findings, "to", "\"https://www.example.org{uri}\"");
    let to = to.and_then(|item| target(findings, item));
    let mut status = 302;
    if let Some(item) = fields.find("status") {
        let wanted = [301, 302, 303, 307, 308];
        match item.value.as_integer().and_then(|number| number.as_str().parse().ok()) {
            Some(number) if wanted.contains(&number) => status = number,
            Some(number) => {
                let hint =
                    "write 301 (for ever) or 302 (for now); 308 and 307 keep the method, 303 makes it GET";
                findings.value(&item.span, format!("{number} is not the status of a redirect"), hint);
            }
            None => item.wrong_type(findings, "a status", "301"),
        }
    }
    to.map(|to| Redirect { to, status })
}

fn target(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<String> {
    let text = item.text(findings, "\"https://www.example.org{uri}\"")?;
    let begins = ["https://", "http://", "/", "{"].iter().any(|begin| text.starts_with(begin));
    if !begins || text.len() > 2048 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let hint = "write a URL or a path, as in \"https://www.example.org{uri}\" or \"/new{path}\"";
        findings.value(&item.span, format!("{text:?} is not where a client can be sent"), hint);
        return None;
    }
    placeholders(findings, item, text).then(|| text.to_owned())
}

fn answer(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Return> {
    let plain = |status| Return { status, content_type: "text/plain".to_owned(), body: String::new() };
    if item.value.as_integer().is_some() {
        let status = item.integer(findings, 200..=599, "204")?;
        return u16::try_from(status).ok().map(plain);
    }
    let example = "204 or { status = 200, body = \"ok\" }";
    let fields = opened(findings, item, &RETURN, "a status or a table", example)?;
    let mut answer = plain(fields.number(findings, "status").unwrap_or(200));
    if let Some(item) = fields.find("type")
        && let Some(text) = item.text(findings, "\"text/html\"")
    {
        if !text.contains('/') || !header_value(findings, &item.span, text) {
            let hint = "write one such as \"text/plain\" or \"text/html; charset=utf-8\"";
            findings.value(&item.span, format!("{text:?} is not a media type"), hint);
        }
        text.clone_into(&mut answer.content_type);
    }
    if let Some(item) = fields.find("body")
        && let Some(text) = item.text(findings, "\"ok\"")
    {
        if text.len() > MOST_BODY {
            let message = format!("the body has {} bytes, more than 64 KiB", text.len());
            findings.value(&item.span, message, "let a server answer that");
        } else if !text.is_empty() && [204, 205, 304].contains(&answer.status) {
            let message = format!("an answer with status {} has no body", answer.status);
            findings.error(&item.key, message, "remove it, or write status = 200");
        }
        text.clone_into(&mut answer.body);
    }
    Some(answer)
}

fn deny(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Deny> {
    let after = Duration::ZERO;
    match item.value.as_str() {
        Some("silent") => Some(Deny { status: 0, after }),
        Some(text) if text.parse::<u16>().is_err() => {
            findings.value(
                &item.span,
                format!("`deny` cannot be `{text}`"),
                "write a status such as 403, or \"silent\"",
            );
            None
        }
        Some(_) | None => {
            let status = item.integer(findings, 400..=599, "403 or \"silent\"")?;
            u16::try_from(status).ok().map(|status| Deny { status, after })
        }
    }
}

fn tarpit(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Deny> {
    let fields = opened(findings, item, &TARPIT, "a table", "{ status = 500, after = \"10s\" }")?;
    let status = fields.number(findings, "status").unwrap_or(500);
    let after = fields.time(findings, "after").unwrap_or(Duration::from_secs(10));
    Some(Deny { status, after })
}

fn rate(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<RateLimit> {
    let example = "{ requests = 100, period = \"10s\" }";
    let fields = opened(findings, item, &RATE, "a table", example)?;
    fields.require(findings, "requests", "100");
    let requests = fields.number(findings, "requests");
    let period = fields.time(findings, "period").unwrap_or(Duration::from_secs(1));
    let by = fields.find("by").map_or(Some(RateKey::Source), |item| rate_key(findings, item));
    let status = fields.number(findings, "status").unwrap_or(429);
    let size = fields.number(findings, "size").unwrap_or(100_000);
    if let (Some(RateKey::All), Some(item)) = (&by, fields.find("size")) {
        findings.lint(&item.key, "`size` has no meaning with by = \"all\": there is one count", "remove it");
    }
    Some(RateLimit { requests: requests?, period, by: by?, status, size })
}

fn rate_key(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<RateKey> {
    let text = item.text(findings, "\"source\"")?;
    match text {
        "source" => Some(RateKey::Source),
        "all" => Some(RateKey::All),
        _ if text.starts_with("header:") => {
            after(findings, item, text, "header").map(|name| RateKey::Header(name.to_owned()))
        }
        _ => {
            let hint = suggest::one_of(text, ["source", "all", "header:NAME"]);
            findings.value(&item.span, format!("`by` cannot be `{text}`"), hint);
            None
        }
    }
}

fn auth(findings: &mut Findings<'_>, item: &Item<'_>, users: &Names) -> Option<BasicAuth> {
    if item.value.as_str().is_some() {
        let users = operation::list(findings, item, users)?;
        return Some(BasicAuth { realm: users.to_string(), users });
    }
    let example = "\"staff\" or { users = \"staff\", realm = \"Staff\" }";
    let fields = opened(findings, item, &AUTH, "text or a table", example)?;
    let users = fields
        .require(findings, "users", "\"staff\"")
        .and_then(|item| operation::list(findings, item, users));
    let realm = fields.find("realm").and_then(|item| {
        let text = item.text(findings, "\"Staff\"")?;
        let fits = (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
            && !text.contains(['"', '\\']);
        if !fits {
            let hint = "write 1 to 128 visible ASCII characters and spaces, without `\"` and `\\`";
            findings.value(&item.span, "this cannot be shown as a realm", hint);
        }
        Some(text.to_owned())
    });
    let users = users?;
    Some(BasicAuth { realm: realm.unwrap_or_else(|| users.to_string()), users })
}
