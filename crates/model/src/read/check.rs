//! A pool's health check and agent: how often, how long, how many. What is asked is in `probe`.

use std::time::Duration;

use super::fields::Fields;
use super::findings::Findings;
use super::probe;
use super::suggest;
use super::texts::opened;
use super::tree::Item;
use crate::cluster::{Agent, Check, CheckKind};
use crate::quantity::format_duration;
use crate::reference::{AGENT, CHECK};

/// Longest default for a probe's timeout.
const MOST_TIMEOUT: Duration = Duration::from_secs(5);

const EXAMPLE: &str = "\"connect\" or { http = \"/\", interval = \"1s\" }";

/// Reads `check`, or gives the default. `secure`: the pool speaks TLS with its servers.
pub(super) fn read(findings: &mut Findings<'_>, item: Option<&Item<'_>>, secure: bool) -> Check {
    let default = Check { tls: secure, ..Check::default() };
    let Some(item) = item else { return default };
    if let Some(word) = item.value.as_str() {
        let kind = match word {
            "connect" => CheckKind::Connect,
            "ping" => CheckKind::Ping,
            "none" => CheckKind::None,
            _ => {
                let hint = if word.starts_with('/') || word.starts_with("http") {
                    "write check = { http = \"/\" }".to_owned()
                } else {
                    suggest::one_of(word, ["connect", "ping", "none"])
                };
                findings.value(&item.span, format!("`check` cannot be `{word}`"), hint);
                CheckKind::Connect
            }
        };
        let tls = secure && kind == CheckKind::Connect;
        return Check { kind, tls, ..default };
    }
    let Some(fields) = opened(findings, item, &CHECK, "text or a table", EXAMPLE) else { return default };
    let kind = probe::read(findings, &fields);
    let streams = !matches!(kind, CheckKind::Ping | CheckKind::Command { .. } | CheckKind::None);
    let tls = fields.flag(findings, "tls").unwrap_or(secure && streams);
    if let (true, false, Some(item)) = (tls, streams, fields.find("tls")) {
        let hint = "remove it, or check with `connect`, `http` or `script`";
        findings.error(&item.key, "`tls` has no meaning without a connection", hint);
    }
    let interval = fields.time(findings, "interval").unwrap_or(default.interval);
    let fast_interval = fields.time(findings, "fast_interval").unwrap_or(interval);
    if let (true, Some(item)) = (fast_interval > interval, fields.find("fast_interval")) {
        let (fast, slow) = (format_duration(fast_interval), format_duration(interval));
        let message = format!("`fast_interval` {fast} is longer than `interval` {slow}");
        findings.error(&item.span, message, format!("write at most \"{slow}\""));
    }
    let down_interval = fields.time(findings, "down_interval").unwrap_or(interval);
    let shortest = interval.min(fast_interval).min(down_interval);
    Check {
        kind,
        tls,
        interval,
        fast_interval,
        down_interval,
        timeout: timeout(findings, &fields, interval, shortest),
        rise: fields.number(findings, "rise").unwrap_or(default.rise),
        fall: fields.number(findings, "fall").unwrap_or(default.fall),
    }
}

fn timeout(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    interval: Duration,
    shortest: Duration,
) -> Duration {
    let default = (shortest / 2).min(MOST_TIMEOUT);
    let Some(timeout) = fields.time(findings, "timeout") else { return default };
    if let (true, Some(item)) = (timeout > shortest, fields.find("timeout")) {
        let which = if shortest == interval { "interval" } else { "shortest interval" };
        let (timeout, shortest) = (format_duration(timeout), format_duration(shortest));
        let message = format!("the check's timeout {timeout} is longer than its {which} {shortest}");
        findings.error(&item.span, message, format!("write at most \"{shortest}\", or a longer interval"));
    }
    timeout
}

/// Reads a pool's `agent`.
pub(super) fn agent(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Agent> {
    let fields = opened(findings, item, &AGENT, "a table", "{ port = 9999 }")?;
    fields.require(findings, "port", "9999");
    let port = fields.number(findings, "port");
    let interval = fields.time(findings, "interval").unwrap_or(Duration::from_secs(2));
    port.map(|port| Agent { port, interval })
}
