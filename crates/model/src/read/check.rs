//! A service's health check.

use std::time::Duration;

use super::findings::Findings;
use super::suggest;
use super::tree::{Fields, Item};
use crate::cluster::{Check, CheckKind, HttpCheck};
use crate::quantity::format_duration;

/// Longest default for a probe's timeout.
const MOST_TIMEOUT: Duration = Duration::from_secs(5);

const EXAMPLE: &str = "\"connect\" or { http = \"/\", interval = \"1s\" }";

/// Reads `check`, or gives the default.
pub(super) fn read(findings: &mut Findings<'_>, item: Option<&Item<'_>>) -> Check {
    let default = Check::default();
    let Some(item) = item else { return default };
    if let Some(word) = item.value.as_str() {
        let kind = match word {
            "connect" => CheckKind::Connect,
            "none" => CheckKind::None,
            _ => {
                let hint = if word.starts_with('/') || word.starts_with("http") {
                    "write check = { http = \"/\" }".to_owned()
                } else {
                    suggest::one_of(word, ["connect", "none"])
                };
                findings.value(&item.span, format!("`check` cannot be `{word}`"), hint);
                CheckKind::Connect
            }
        };
        return Check { kind, ..default };
    }
    let Some(table) = item.value.as_table() else {
        item.wrong_type(findings, "text or a table", EXAMPLE);
        return default;
    };
    let keys = ["connect", "http", "host", "interval", "timeout", "rise", "fall"];
    let fields = Fields::open(findings, table, &item.span, "`check`", &keys);
    let hour = Duration::from_secs(3600);
    let interval = fields.find("interval");
    let interval = interval.and_then(|item| item.duration(findings, Duration::from_millis(10)..=hour));
    let interval = interval.unwrap_or(default.interval);
    let count = |findings: &mut Findings<'_>, key: &str, default: u32| {
        let number = fields.find(key).and_then(|item| item.integer(findings, 1..=1000, "2"));
        number.and_then(|number| u32::try_from(number).ok()).unwrap_or(default)
    };
    Check {
        kind: kind(findings, &fields),
        interval,
        fast_interval: interval,
        down_interval: interval,
        tls: false,
        timeout: timeout(findings, &fields, interval),
        rise: count(findings, "rise", default.rise),
        fall: count(findings, "fall", default.fall),
    }
}

fn timeout(findings: &mut Findings<'_>, fields: &Fields<'_>, interval: Duration) -> Duration {
    let default = (interval / 2).min(MOST_TIMEOUT);
    let Some(item) = fields.find("timeout") else { return default };
    let range = Duration::from_millis(1)..=Duration::from_secs(3600);
    let Some(timeout) = item.duration(findings, range) else { return default };
    if timeout > interval {
        let (timeout, interval) = (format_duration(timeout), format_duration(interval));
        let message = format!("the check's timeout {timeout} is longer than its interval {interval}");
        findings.error(&item.span, message, format!("write at most \"{interval}\", or a longer interval"));
    }
    timeout
}

fn kind(findings: &mut Findings<'_>, fields: &Fields<'_>) -> CheckKind {
    let connect = fields.find("connect");
    let wanted = connect.and_then(|item| item.boolean(findings));
    if let (Some(item), Some(false)) = (connect, wanted) {
        findings.value(&item.span, "`connect = false` says nothing", "remove it, or write check = \"none\"");
    }
    let host = fields
        .find("host")
        .and_then(|item| word(findings, item, "\"www.example.org\"").map(|host| (item, host)));
    let Some(item) = fields.find("http") else {
        if let Some((item, _)) = host {
            let hint = "add http = \"/\", or remove `host`";
            findings.error(&item.key, "`host` belongs to an HTTP check", hint);
        }
        return CheckKind::Connect;
    };
    if let Some(connect) = connect {
        findings.error(&connect.key, "a check is either `connect` or `http`", "keep one of them");
    }
    let path = word(findings, item, "\"/\"").unwrap_or("/");
    if !path.starts_with('/') {
        let message = format!("the path `{path}` does not begin with `/`");
        findings.value(&item.span, message, "write only the path, as in \"/health\"");
    }
    CheckKind::Http(HttpCheck { host: host.map(|(_, host)| host.to_owned()), ..HttpCheck::get(path) })
}

/// Text that goes into a request's head as it is.
fn word<'a>(findings: &mut Findings<'_>, item: &Item<'a>, example: &str) -> Option<&'a str> {
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
