//! Texts that end up in heads of requests, in file names, in commands: what they may be made of.

use std::path::PathBuf;

use super::findings::{Findings, Span};
use super::tree::{Item, entries};
use crate::reference::Table;

/// Longest text in a head or a file's name, bytes.
const MOST: usize = 4096;

/// A value, or each of a list; more than `most` are a mistake.
pub(super) fn several<'a>(findings: &mut Findings<'_>, item: &Item<'a>, most: usize) -> Vec<Item<'a>> {
    let Some(list) = item.value.as_array() else { return vec![item.clone()] };
    if list.is_empty() {
        findings.value(&item.span, format!("`{}` is empty", item.name), "write at least one, or remove it");
    }
    bounded(findings, item, list.len(), most);
    list.iter().take(most).map(|value| item.of_list(value)).collect()
}

/// The values of a list.
pub(super) fn listed<'a>(
    findings: &mut Findings<'_>,
    item: &Item<'a>,
    example: &str,
    most: usize,
) -> Vec<Item<'a>> {
    let Some(list) = item.value.as_array() else {
        let meant = item.value.as_str().map(|text| format!("[{text:?}]"));
        item.wrong_type(findings, "a list", meant.as_deref().unwrap_or(example));
        return Vec::new();
    };
    bounded(findings, item, list.len(), most);
    list.iter().take(most).map(|value| item.of_list(value)).collect()
}

/// The entries of a table whose keys are the operator's.
pub(super) fn pairs<'a>(
    findings: &mut Findings<'_>,
    item: &Item<'a>,
    example: &str,
    most: usize,
) -> Vec<Item<'a>> {
    let Some(table) = item.table(findings, example) else { return Vec::new() };
    if table.is_empty() {
        let hint = format!("write {} = {example}, or remove it", item.name);
        findings.value(&item.span, format!("`{}` is empty", item.name), hint);
    }
    bounded(findings, item, table.len(), most);
    entries(table).into_iter().take(most).collect()
}

fn bounded(findings: &mut Findings<'_>, item: &Item<'_>, count: usize, most: usize) {
    if count > most {
        let message = format!("`{}` has {count} entries, more than {most}", item.name);
        findings.value(&item.span, message, format!("write at most {most}"));
    }
}

/// Whether a text is a token (RFC 9110 section 5.6.2): a header's name, a method, a cookie's name.
pub(super) fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.len() <= 256 && text.bytes().all(fits)
}

/// Whether a name is a token; `what` says what it names.
pub(super) fn named(findings: &mut Findings<'_>, span: &Span, name: &str, what: &str, example: &str) -> bool {
    let fits = is_token(name);
    if !fits {
        let hint = format!("write letters, digits and `-` or `_`, as in \"{example}\"");
        findings.value(span, format!("{name:?} cannot be the name of a {what}"), hint);
    }
    fits
}

/// A method. They are told apart by case (RFC 9110 section 9.1).
pub(super) fn method<'a>(findings: &mut Findings<'_>, item: &Item<'a>) -> Option<&'a str> {
    let text = item.text(findings, "\"GET\"")?;
    if is_token(text) && !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Some(text);
    }
    let upper = text.to_ascii_uppercase();
    let hint = if is_token(&upper) { format!("write \"{upper}\"") } else { "write \"GET\"".to_owned() };
    findings.value(&item.span, format!("{text:?} is not a method"), hint);
    None
}

/// Whether a text can be a header's value.
pub(super) fn header_value(findings: &mut Findings<'_>, span: &Span, text: &str) -> bool {
    let fits = text.len() <= MOST && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if !fits {
        let hint = format!("write at most {MOST} visible ASCII characters and spaces, on one line");
        findings.value(span, "this cannot be the value of a header", hint);
    }
    fits
}

/// Text that goes into a request's head as it is.
pub(super) fn word<'a>(findings: &mut Findings<'_>, item: &Item<'a>, example: &str) -> Option<&'a str> {
    let text = item.text(findings, example)?;
    if text.is_empty() || text.len() > 1024 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!("`{}` cannot go into a request", item.name);
        findings.value(
            &item.span,
            message,
            "write 1 to 1024 visible ASCII characters without spaces; others as %20",
        );
        return None;
    }
    Some(text)
}

/// A path of a URL, beginning with `/`.
pub(super) fn path<'a>(findings: &mut Findings<'_>, item: &Item<'a>, example: &str) -> Option<&'a str> {
    let text = word(findings, item, &format!("\"{example}\""))?;
    if !text.starts_with('/') {
        let message = format!("the path `{text}` does not begin with `/`");
        findings.value(&item.span, message, format!("write only the path, as in \"{example}\""));
        return None;
    }
    Some(text)
}

/// A file's name. Whether it is there is not known here.
pub(super) fn file(findings: &mut Findings<'_>, item: &Item<'_>, example: &str) -> Option<PathBuf> {
    let text = item.text(findings, &format!("\"{example}\""))?;
    if text.is_empty() || text.len() > MOST || text.chars().any(char::is_control) {
        let hint = format!("write 1 to {MOST} bytes without control characters, as in \"{example}\"");
        findings.value(&item.span, format!("{text:?} cannot be a file's name"), hint);
        return None;
    }
    Some(PathBuf::from(text))
}

/// A host's name, in lower case; not an address.
pub(super) fn host(findings: &mut Findings<'_>, item: &Item<'_>, example: &str) -> Option<String> {
    let text = item.text(findings, &format!("\"{example}\""))?;
    if is_host(text) {
        return Some(text.to_ascii_lowercase());
    }
    let hint = format!("write a host name without scheme and port, as in \"{example}\"");
    findings.value(&item.span, format!("{text:?} is not a host name"), hint);
    None
}

/// Whether a text is a host name (RFC 1123 section 2.1): labels of letters, digits and hyphens, not an address.
pub(super) fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label) && text.parse::<std::net::Ipv4Addr>().is_err()
}

/// `KIND:NAME`, as in `header:X-Client`: the name, which must be a token.
pub(super) fn after<'a>(
    findings: &mut Findings<'_>,
    item: &Item<'a>,
    text: &'a str,
    kind: &str,
) -> Option<&'a str> {
    let name = text.strip_prefix(kind)?.strip_prefix(':')?;
    let span = item.part(findings, text, kind.len() + 1..text.len());
    named(findings, &span, name, kind, "X-Client").then_some(name)
}

/// Keys that stand where nobody looks at them.
pub(super) fn useless(
    findings: &mut Findings<'_>,
    fields: &super::fields::Fields<'_>,
    keys: &[&str],
    why: &str,
    hint: &str,
) {
    for item in keys.iter().filter_map(|key| fields.find(key)) {
        findings.error(&item.key, format!("`{}` {why}", item.name), hint);
    }
}

/// A table, or what stands for it; `None`: neither, which was reported.
pub(super) fn opened<'a>(
    findings: &mut Findings<'_>,
    item: &Item<'a>,
    table: &'static Table,
    wanted: &str,
    example: &str,
) -> Option<super::fields::Fields<'a>> {
    let Some(found) = item.value.as_table() else {
        item.wrong_type(findings, wanted, example);
        return None;
    };
    let what = format!("`{}`", item.name);
    Some(super::fields::Fields::open(findings, found, &item.span, &what, &[table]))
}
