//! What a rule changes: headers and the path.

use super::fields::Fields;
use super::findings::Findings;
use super::patterns::{groups, placeholders, regex};
use super::texts::{header_value, named, pairs, path, several};
use super::tree::Item;
use crate::cluster::{Action, HeaderEdit, Rewrite};

/// Most changes of one kind in one rule.
const MOST: usize = 64;

/// Headers that say where a message ends or what a connection is: the balancer's own business (RFC 9112 section 6, RFC
/// 9110 section 7.6.1).
const OWN: [&str; 10] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "http2-settings",
];

/// Makes an edit of a name and a value.
type Make = fn(String, String) -> HeaderEdit;

/// Adds a rule's changes to its actions.
pub(super) fn read(findings: &mut Findings<'_>, fields: &Fields<'_>, actions: &mut Vec<Action>) {
    let request = headers(findings, fields, ["set_header", "add_header", "delete_header"]);
    if !request.is_empty() {
        actions.push(Action::Request(request));
    }
    let keys = ["set_response_header", "add_response_header", "delete_response_header"];
    let response = headers(findings, fields, keys);
    if !response.is_empty() {
        actions.push(Action::Response(response));
    }
    actions.extend(rewrites(findings, fields).into_iter().map(Action::Rewrite));
}

fn headers(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    [set, add, delete]: [&str; 3],
) -> Vec<HeaderEdit> {
    let mut edits = Vec::new();
    for item in fields.find(delete).map(|item| several(findings, item, MOST)).unwrap_or_default() {
        let Some(name) = item.text(findings, "\"X-Debug\"") else { continue };
        if editable(findings, &item.span, name) && not_host(findings, &item.span, name, delete) {
            edits.push(HeaderEdit::Delete(name.to_owned()));
        }
    }
    let makes: [(&str, Make); 2] = [(set, HeaderEdit::Set), (add, HeaderEdit::Add)];
    for (key, make) in makes {
        let Some(item) = fields.find(key) else { continue };
        for entry in pairs(findings, item, "{ X-Client = \"{source}\" }", MOST) {
            let right = editable(findings, &entry.key, entry.name)
                && (key == set || not_host(findings, &entry.key, entry.name, key));
            let Some(text) = entry.text(findings, "\"{source}\"") else { continue };
            if header_value(findings, &entry.span, text) && placeholders(findings, &entry, text) && right {
                edits.push(make(entry.name.to_owned(), text.to_owned()));
            }
        }
    }
    edits
}

fn editable(findings: &mut Findings<'_>, span: &super::findings::Span, name: &str) -> bool {
    if !named(findings, span, name, "header", "X-Client") {
        return false;
    }
    let own = OWN.iter().any(|own| own.eq_ignore_ascii_case(name));
    if own {
        let message =
            format!("the header `{name}` is the balancer's own: it says how the connection is used");
        findings.value(span, message, "leave it alone");
    }
    !own
}

/// A request has exactly one `Host` (RFC 9112 section 3.2).
fn not_host(findings: &mut Findings<'_>, span: &super::findings::Span, name: &str, key: &str) -> bool {
    let wrong = name.eq_ignore_ascii_case("host") && !key.contains("response");
    if wrong {
        findings.value(
            span,
            "a request has one `Host`: it can only be set",
            "write set_header = { Host = \"...\" }",
        );
    }
    !wrong
}

fn rewrites(findings: &mut Findings<'_>, fields: &Fields<'_>) -> Vec<Rewrite> {
    let mut list = Vec::new();
    if let Some(item) = fields.find("path")
        && let Some(text) = whole(findings, item)
    {
        list.push(Rewrite::Path(text));
    }
    if let Some(item) = fields.find("strip_prefix")
        && let Some(text) = path(findings, item, "/old")
    {
        let prefix = text.trim_end_matches('/');
        if prefix.is_empty() {
            findings.value(&item.span, "without `/` nothing is left of a path", "write \"/old\"");
        } else {
            list.push(Rewrite::Prefix(prefix.to_owned(), String::new()));
        }
    }
    if let Some(item) = fields.find("replace_prefix") {
        for entry in pairs(findings, item, "{ \"/old/\" = \"/new/\" }", MOST) {
            if !entry.name.starts_with('/') || !entry.name.bytes().all(|byte| byte.is_ascii_graphic()) {
                let message = format!("{:?} is not the beginning of a path", entry.name);
                findings.value(&entry.key, message, "write it from `/` on, as in \"/old/\"");
            } else if let Some(to) = path(findings, &entry, "/new/") {
                list.push(Rewrite::Prefix(entry.name.to_owned(), to.to_owned()));
            }
        }
    }
    if let Some(item) = fields.find("replace_path") {
        for entry in pairs(findings, item, "{ \"^/a(.*)\" = \"/b$1\" }", MOST) {
            let count = regex(findings, &entry.key, entry.name);
            let Some(text) = entry.text(findings, "\"/b$1\"") else { continue };
            let fits = text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic());
            if !fits {
                let hint = "write visible ASCII characters; others as %20";
                findings.value(&entry.span, "this cannot be a part of a path", hint);
            }
            if let Some(count) = count
                && groups(findings, &entry, text, count)
                && fits
            {
                list.push(Rewrite::Regex(entry.name.to_owned(), text.to_owned()));
            }
        }
    }
    list
}

/// A whole path, with placeholders.
fn whole(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<String> {
    let text = super::texts::word(findings, item, "\"/new{path}\"")?;
    if !text.starts_with(['/', '{']) {
        let message = format!("the path `{text}` does not begin with `/`");
        findings.value(&item.span, message, "write it from `/` on, as in \"/new{path}\"");
        return None;
    }
    if text.contains(['?', '#']) {
        findings.value(
            &item.span,
            "a path has no `?` and no `#`",
            "write only the path; the query stays as it is",
        );
        return None;
    }
    placeholders(findings, item, text).then(|| text.to_owned())
}
