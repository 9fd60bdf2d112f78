//! What a health check asks, and what it expects.

use super::fields::Fields;
use super::findings::Findings;
use super::patterns;
use super::suggest;
use super::texts::{header_value, listed, method, named, pairs, path, useless, word};
use super::tree::Item;
use crate::cluster::{CheckKind, Expect, HttpCheck, Step};
use crate::reference::STEP;

/// The ways to ask.
const WAYS: [&str; 5] = ["connect", "http", "ping", "command", "script"];
/// What only an HTTP check can have.
const OF_HTTP: [&str; 8] =
    ["method", "host", "headers", "expect", "text", "regex", "header", "disable_on_404"];
/// Most steps of a conversation, and arguments of a command.
const MOST: usize = 32;

/// Reads which way a `check` goes.
pub(super) fn read(findings: &mut Findings<'_>, fields: &Fields<'_>) -> CheckKind {
    for key in ["connect", "ping"] {
        let Some(item) = fields.find(key) else { continue };
        if item.boolean(findings) == Some(false) {
            let hint = "remove it, or write check = \"none\"";
            findings.value(&item.span, format!("`{key} = false` says nothing"), hint);
        }
    }
    let mut ways = WAYS.iter().filter_map(|key| fields.find(key));
    let first = ways.next();
    for other in ways {
        let said: Vec<&str> = WAYS.iter().copied().filter(|key| fields.find(key).is_some()).collect();
        let message = match said.as_slice() {
            ["connect", "http"] => "a check is either `connect` or `http`".to_owned(),
            said => format!(
                "a check goes one way, not {} ways: {}",
                said.len(),
                suggest::list(said).replace(" or ", " and ")
            ),
        };
        findings.error(&other.key, message, "keep one of them");
    }
    if fields.find("http").is_none() {
        for item in OF_HTTP.iter().filter_map(|key| fields.find(key)) {
            let hint = format!("add http = \"/\", or remove `{}`", item.name);
            findings.error(&item.key, format!("`{}` belongs to an HTTP check", item.name), hint);
        }
    }
    match first.map(|item| (item.name, item)) {
        Some(("http", item)) => CheckKind::Http(http(findings, fields, item)),
        Some(("ping", _)) => CheckKind::Ping,
        Some(("command", item)) => CheckKind::Command { argv: command(findings, item) },
        Some(("script", item)) => CheckKind::Script { steps: script(findings, item) },
        Some(_) | None if fields.find("http").is_some() => {
            let item = fields.find("http");
            item.map_or(CheckKind::Connect, |item| CheckKind::Http(http(findings, fields, item)))
        }
        Some(_) | None => CheckKind::Connect,
    }
}

fn http(findings: &mut Findings<'_>, fields: &Fields<'_>, item: &Item<'_>) -> HttpCheck {
    let path = path(findings, item, "/health").unwrap_or("/");
    let mut check = HttpCheck::get(path);
    if let Some(method) = fields.find("method").and_then(|item| method(findings, item)) {
        method.clone_into(&mut check.method);
    }
    let host = fields.find("host").and_then(|item| word(findings, item, "\"www.example.org\""));
    check.host = host.map(str::to_owned);
    if let Some(item) = fields.find("headers") {
        check.headers = headers(findings, item);
    }
    if let Some(item) = fields.find("expect") {
        check.expect.extend(statuses(findings, item).map(Expect::Status));
    }
    if let Some(item) = fields.find("text") {
        check.expect.extend(content(findings, item).map(|text| Expect::Text(text.to_owned())));
    }
    if let Some(item) = fields.find("regex") {
        check.expect.extend(expression(findings, item).map(Expect::Regex));
    }
    if let Some(item) = fields.find("header") {
        for entry in pairs(findings, item, "{ X-State = \"ready\" }", MOST) {
            let name = named(findings, &entry.key, entry.name, "header", "X-State");
            let Some(text) = content(findings, &entry).filter(|_| name) else { continue };
            check.expect.push(Expect::Header(entry.name.to_owned(), text.to_owned()));
        }
    }
    check.disable_on_404 = fields.flag(findings, "disable_on_404").unwrap_or_default();
    if check.method == "HEAD" {
        let hint = "write method = \"GET\", or remove it";
        useless(findings, fields, &["text", "regex"], "looks at the body, and HEAD asks for none", hint);
    }
    check
}

fn headers(findings: &mut Findings<'_>, item: &Item<'_>) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    if item.value.as_table().is_some_and(|table| table.is_empty()) {
        return headers;
    }
    for entry in pairs(findings, item, "{ X-Check = \"relevo\" }", MOST) {
        if !named(findings, &entry.key, entry.name, "header", "X-Check") {
            continue;
        }
        if entry.name.eq_ignore_ascii_case("host") {
            findings.error(
                &entry.key,
                "the check's `Host` header has its own key",
                "write host = \"...\" beside",
            );
            continue;
        }
        let Some(text) = entry.text(findings, "\"relevo\"") else { continue };
        if header_value(findings, &entry.span, text) {
            headers.push((entry.name.to_owned(), text.to_owned()));
        }
    }
    headers
}

/// `"200-299,304"` or `200`.
fn statuses(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Vec<(u16, u16)>> {
    if item.value.as_integer().is_some() {
        let status =
            item.integer(findings, 100..=599, "200").and_then(|status| u16::try_from(status).ok())?;
        return Some(vec![(status, status)]);
    }
    let text = item.text(findings, "\"200-299,304\"")?;
    let number = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|status| digits && (100..=599).contains(status))
    };
    let range = |part: &str| {
        let part = part.trim();
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        number(first.trim()).zip(number(last.trim())).filter(|(first, last)| first <= last)
    };
    let ranges: Option<Vec<(u16, u16)>> = text.split(',').take(64).map(range).collect();
    if ranges.is_none() {
        let hint = "write statuses from 100 to 599 and ranges of them, as in \"200-299,304\"";
        findings.value(&item.span, format!("`{text}` is not a list of statuses"), hint);
    }
    ranges
}

/// Text that is looked for or sent.
fn content<'a>(findings: &mut Findings<'_>, item: &Item<'a>) -> Option<&'a str> {
    let text = item.text(findings, "\"ok\"")?;
    let fits = (1..=4096).contains(&text.len());
    if !fits {
        findings.value(
            &item.span,
            format!("`{}` has {} bytes", item.name, text.len()),
            "write 1 to 4096 bytes",
        );
    }
    fits.then_some(text)
}

fn expression(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<String> {
    let text = item.text(findings, "\"o+k\"")?;
    let span = item.part(findings, text, 0..text.len());
    patterns::regex(findings, &span, text).map(|_| text.to_owned())
}

/// A program by its whole path, with arguments.
pub(super) fn command(findings: &mut Findings<'_>, item: &Item<'_>) -> Vec<String> {
    let example = "[\"/usr/lib/check\", \"argument\"]";
    let items = listed(findings, item, example, MOST);
    if items.is_empty() && item.value.as_array().is_some() {
        let hint = format!("write {} = {example}", item.name);
        findings.value(&item.span, format!("`{}` is empty", item.name), hint);
    }
    words(findings, item, &items, example)
}

/// A program by its whole path.
pub(super) fn program(findings: &mut Findings<'_>, item: &Item<'_>) -> Vec<String> {
    words(findings, item, std::slice::from_ref(item), "\"/usr/lib/check\"")
}

fn words(findings: &mut Findings<'_>, item: &Item<'_>, items: &[Item<'_>], example: &str) -> Vec<String> {
    let argv: Vec<&str> = items.iter().filter_map(|item| item.text(findings, "\"argument\"")).collect();
    if argv.iter().any(|text| text.contains('\0') || text.len() > 4096) {
        findings.value(
            &item.span,
            "a command has no zero bytes, and at most 4096 bytes a word",
            "shorten it",
        );
    }
    if let Some(program) = argv.first().filter(|program| !program.starts_with('/')) {
        let message = format!("the program {program:?} has no whole path");
        findings.value(&items[0].span, message, format!("write it from `/` on, as in {example}"));
    }
    argv.into_iter().map(str::to_owned).collect()
}

fn script(findings: &mut Findings<'_>, item: &Item<'_>) -> Vec<Step> {
    let example = "[{ send = \"PING\\r\\n\" }, { expect = \"+PONG\" }]";
    let items = listed(findings, item, example, MOST);
    if items.is_empty() && item.value.as_array().is_some() {
        findings.value(&item.span, "`script` is empty", format!("write script = {example}"));
    }
    items.iter().filter_map(|item| step(findings, item, example)).collect()
}

fn step(findings: &mut Findings<'_>, item: &Item<'_>, example: &str) -> Option<Step> {
    let Some(table) = item.value.as_table() else {
        item.wrong_type(findings, "a list of tables", example);
        return None;
    };
    let fields = Fields::open(findings, table, &item.span, "a step", &[&STEP]);
    let mut said = fields.of(&STEP);
    let Some(first) = said.next() else {
        if table.is_empty() {
            findings.value(
                &item.span,
                "the step says nothing",
                "write { send = \"...\" } or { expect = \"...\" }",
            );
        }
        return None;
    };
    if let Some(second) = said.next() {
        let message = format!("a step is either `{}` or `{}`", first.name, second.name);
        findings.error(&second.key, message, "write a step of its own for it");
    }
    match first.name {
        "send" => content(findings, first).map(|text| Step::Send(text.as_bytes().to_vec())),
        "expect" => content(findings, first).map(|text| Step::Expect(text.as_bytes().to_vec())),
        _ => expression(findings, first).map(Step::Regex),
    }
}
