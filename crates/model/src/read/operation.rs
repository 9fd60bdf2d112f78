//! `[log]` and `[stats]`.

use std::net::SocketAddrV4;
use std::time::Duration;

use super::fields::Fields;
use super::findings::Findings;
use super::listens::Listening;
use super::names::Names;
use super::texts::opened;
use super::tree::Item;
use crate::cluster::{AccessLog, LogFormat, LogTarget, Stats};
use crate::name::UsersName;
use crate::reference::{LOG, STATS};

const TARGETS: &str =
    "\"stdout\", \"none\", \"file:/var/log/relevo/access.log\", \"syslog:/dev/log\" or \"udp:127.0.0.1:514\"";

/// Reads `[log]`.
pub(super) fn log(findings: &mut Findings<'_>, root: &Fields<'_>) -> AccessLog {
    let Some(item) = root.find("log") else { return AccessLog::default() };
    let example = "{ access = \"file:/var/log/relevo/access.log\" }";
    let Some(fields) = opened(findings, item, &LOG, "a table", example) else { return AccessLog::default() };
    let target = fields.find("access").and_then(|item| target(findings, item)).unwrap_or_default();
    let formats = [("haproxy", LogFormat::Haproxy), ("json", LogFormat::Json)];
    let format = fields.word(findings, "format", &formats).unwrap_or_default();
    AccessLog { target, format }
}

fn target(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<LogTarget> {
    let text = item.text(findings, "\"file:/var/log/relevo/access.log\"")?;
    let path = |rest: &str| {
        let fits = rest.starts_with('/') && rest.len() <= 4096 && !rest.chars().any(char::is_control);
        fits.then(|| rest.into())
    };
    let found = match text.split_once(':') {
        None if text == "none" => Some(LogTarget::None),
        None if text == "stdout" => Some(LogTarget::Stdout),
        Some(("file", rest)) => path(rest).map(LogTarget::File),
        Some(("syslog", rest)) => path(rest).map(LogTarget::Syslog),
        Some(("udp", rest)) => {
            rest.parse::<SocketAddrV4>().ok().filter(|at| at.port() > 0).map(LogTarget::SyslogUdp)
        }
        None | Some(_) => None,
    };
    if found.is_none() {
        let hint = match text {
            _ if text.starts_with('/') => format!("write \"file:{text}\", or \"syslog:{text}\" for a socket"),
            _ if text.starts_with("file:") || text.starts_with("syslog:") => {
                "write the whole path, from `/` on".to_owned()
            }
            _ if text.starts_with("udp:") => {
                "write an IPv4 address and a port, as in \"udp:127.0.0.1:514\"".to_owned()
            }
            _ => format!("it can be {TARGETS}"),
        };
        findings.value(&item.span, format!("the access log cannot go to {text:?}"), hint);
    }
    found
}

/// Reads `[stats]`.
pub(super) fn stats(
    findings: &mut Findings<'_>,
    root: &Fields<'_>,
    listening: &mut Listening<'_>,
    users: &Names,
) -> Option<Stats> {
    let item = root.find("stats")?;
    let example = "{ listen = \"inside:7000\", users = \"staff\" }";
    let fields = opened(findings, item, &STATS, "a table", example)?;
    let listen = fields.require(findings, "listen", "\"front:7000\"");
    let placed = listen.map(|item| listening.read(findings, item, "the statistics page", None));
    let mut listen = Vec::new();
    for (place, span) in placed.unwrap_or_default() {
        if place.tls || place.proxy_protocol || place.defer_accept.is_some() {
            let hint = "write only \"ADDRESS:PORT\"; for TLS put a service before it";
            findings.error(&span, "the statistics page speaks plain HTTP", hint);
        }
        listen.push(place.at);
    }
    let who = fields.require(findings, "users", "\"staff\"").and_then(|item| list(findings, item, users));
    let admins = fields.find("admins").and_then(|item| list(findings, item, users));
    let refresh = fields.time(findings, "refresh").unwrap_or(Duration::from_secs(5));
    let open_metrics = fields.flag(findings, "open_metrics").unwrap_or(false);
    Some(Stats { listen, users: who?, admins, refresh, open_metrics })
}

/// A list of users by its name.
pub(super) fn list(findings: &mut Findings<'_>, item: &Item<'_>, users: &Names) -> Option<UsersName> {
    let name = item.text(findings, "\"staff\"")?;
    users.resolve(findings, name, &item.span).then(|| UsersName::new(name))
}
