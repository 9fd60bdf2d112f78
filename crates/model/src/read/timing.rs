//! The timing linter: times that are right one by one but not together. It warns with the inequality and its numbers.

use std::time::Duration;

use super::findings::Findings;
use super::groups::Groups;
use super::pools::Pools;
use super::services::Services;
use crate::cluster::{CheckKind, Group, Mode, Pool, Service, VrrpVersion};
use crate::quantity::format_duration;

/// A takeover should not take longer.
const TAKEOVER: Duration = Duration::from_secs(1);
/// A pause of the active director that any busy machine has now and then.
const PAUSE: Duration = Duration::from_millis(100);
/// A dead server should not stay in use longer.
const DETECTION: Duration = Duration::from_secs(60);

/// Looks at all groups, services and pools.
pub(super) fn check(findings: &mut Findings<'_>, groups: &Groups, services: &Services, pools: &Pools) {
    for group in &groups.list {
        takeover(findings, groups, group);
    }
    for service in services.list.iter().filter(|service| service.mode == Mode::Http) {
        if let Some(pool) = pools.list.iter().find(|pool| pool.name == service.pool) {
            patience(findings, service, pool, pools);
        }
    }
    for pool in &pools.list {
        detection(findings, pool, pools);
    }
}

/// How long the last of the group's directors waits before it takes over: so many adverts (`missed`) and its skew
/// (RFC 9568 section 6.1, RFC 3768 section 6.1).
pub(super) fn active_down(group: &Group) -> Option<(Duration, Duration)> {
    let (_, priority) = group.priorities.last().filter(|_| group.priorities.len() > 1)?;
    let unit = match group.version {
        VrrpVersion::V3 => group.advert,
        VrrpVersion::V2 => Duration::from_secs(1),
    };
    let skew = unit * (256 - u32::from(*priority)) / 256;
    Some((group.advert * u32::from(group.missed) + skew, skew))
}

fn takeover(findings: &mut Findings<'_>, groups: &Groups, group: &Group) {
    let Some((down, skew)) = active_down(group) else { return };
    let Some(span) = groups.adverts.get(&group.name) else { return };
    let sum = format!(
        "{} x {} + {} = {}",
        group.missed,
        format_duration(group.advert),
        seconds(skew),
        seconds(down)
    );
    // Version 2 cannot do better than one second.
    let shortest = group.version == VrrpVersion::V2 && group.advert <= Duration::from_secs(1);
    if down > TAKEOVER && !shortest {
        let message = format!("takeover of group `{}` takes up to {sum}, longer than 1s", group.name);
        let hint = match group.version {
            VrrpVersion::V3 => {
                "clients wait that long when the active director dies; write advert = \"100ms\""
            }
            VrrpVersion::V2 => "clients wait that long when the active director dies; write advert = \"1s\"",
        };
        findings.warning(span, message, hint);
    } else if down < PAUSE {
        let message = format!("a pause of {sum} makes group `{}` move, shorter than 100ms", group.name);
        let hint = "a busy machine pauses that long; write advert = \"100ms\"";
        findings.warning(span, message, hint);
    }
}

/// A server should not be waited for longer than a client.
fn patience(findings: &mut Findings<'_>, service: &Service, pool: &Pool, pools: &Pools) {
    let times = [pool.timeouts.connect, service.timeouts.request];
    let [shown, request] = times.map(format_duration);
    if times[0] > times[1]
        && let Some(span) = pools.notes(&pool.name).and_then(|notes| notes.connect.as_ref())
    {
        let message = format!("the connect timeout {shown} is longer than the request timeout {request}");
        let hint = "a server that does not answer holds a request longer than a client may take to send it";
        findings.warning(span, message, format!("{hint}; write connect = \"1s\""));
    }
}

/// How long a dead server stays in use.
fn detection(findings: &mut Findings<'_>, pool: &Pool, pools: &Pools) {
    let check = &pool.check;
    let (CheckKind::Connect
    | CheckKind::Http(_)
    | CheckKind::Script { .. }
    | CheckKind::Command { .. }
    | CheckKind::Ping) = check.kind
    else {
        return;
    };
    let Some(notes) = pools.notes(&pool.name) else { return };
    // The first bad probe makes the others come at the fast interval.
    let detection = check.interval + check.fast_interval * (check.fall - 1) + check.timeout;
    let [interval, fast, timeout] = [check.interval, check.fast_interval, check.timeout].map(format_duration);
    let sum = if interval == fast {
        format!("{} x {interval} + {timeout} = {}", check.fall, seconds(detection))
    } else {
        format!("{interval} + {} x {fast} + {timeout} = {}", check.fall - 1, seconds(detection))
    };
    if detection > DETECTION {
        let message = format!("a dead server of {} is found after up to {sum}, longer than 1m", notes.what);
        findings.warning(&notes.check, message, "lower `interval` or `fall`");
    } else if pool.timeouts.connect > detection
        && let Some(span) = &notes.connect
    {
        let shown = format_duration(pool.timeouts.connect);
        let message = format!("the connect timeout {shown} is longer than finding a dead server, {sum}");
        let hint =
            "requests would wait for a server that is known to be dead; write a shorter connect timeout";
        findings.warning(span, message, hint);
    }
}

/// Seconds with two digits after the point.
fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format_duration(duration)
    } else {
        let text = format!("{:.2}", duration.as_secs_f64());
        format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
    }
}
