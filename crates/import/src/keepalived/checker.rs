//! Checkers of real servers: what they ask, and how often again.

use super::l4::millis;
use super::{Node, command};
use crate::l4::{self, Probe, Real};
use crate::ledger::Ledger;

/// What a checker does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checker {
    pub(super) probe: Probe,
    /// Milliseconds.
    pub(super) timeout: Option<u64>,
    /// How often a failed check is made again before it counts.
    pub(super) retries: u32,
    /// After how long, ms; `None`: after the usual interval.
    pub(super) again: Option<u64>,
}

/// A checker of a server. What it does not say may stand at the server, or at the virtual server.
pub(super) fn probe(node: &Node, server: &Node, block: &Node, real: &mut Real) -> Option<Checker> {
    let text = |name: &str| {
        [node, server, block].iter().find_map(|at| at.child(name)).map(|child| child.word(1).to_owned())
    };
    let seconds = |name: &str| {
        text(name).and_then(|text| text.parse::<f64>().ok()).filter(|n| n.is_finite() && *n > 0.0)
    };
    let probe = match node.name() {
        "TCP_CHECK" | "SMTP_CHECK" | "DNS_CHECK" | "BFD_CHECK" => Probe::Connect,
        "PING_CHECK" | "UDP_CHECK" => Probe::Ping,
        "MISC_CHECK" => {
            let path = node.child("misc_path").map(|child| command::of(child, Some(real.ip)));
            path.filter(|words| !words.is_empty()).map_or(Probe::Connect, Probe::Command)
        }
        "HTTP_GET" | "SSL_GET" => {
            let url = node.child("url");
            let of = |name: &str| url.and_then(|url| url.child(name));
            let mut wants = Vec::new();
            if let Some(status) = of("status_code") {
                wants.push(("expect", status.words.get(1..).unwrap_or_default().join(",")));
            }
            if let Some(regex) = of("regex") {
                wants.push(("regex", regex.word(1).to_owned()));
            }
            let host = of("virtualhost")
                .or_else(|| node.child("virtualhost"))
                .or_else(|| block.child("virtualhost"));
            Probe::Http {
                path: of("path").map_or("/".to_owned(), |path| path.word(1).to_owned()),
                method: "GET".to_owned(),
                host: host.map(|host| host.word(1).to_owned()),
                wants,
                tls: node.name() == "SSL_GET",
            }
        }
        _ => return None,
    };
    real.check_port =
        node.child("connect_port").and_then(|port| l4::port(port.word(1))).filter(|port| *port != real.port);
    let timeout = seconds("misc_timeout").or(seconds("connect_timeout")).map(millis);
    let own = node.child("nb_get_retry").map(|one| one.word(1).to_owned());
    // keepalived.conf(5): the defaults of `retry` and `delay_before_retry`.
    let (usual, again) = match node.name() {
        "HTTP_GET" | "SSL_GET" => (1, Some(3.0)),
        "DNS_CHECK" => (3, None),
        "MISC_CHECK" => (0, Some(1.0)),
        _ => (1, Some(1.0)),
    };
    let retries = own.or_else(|| text("retry")).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let again = seconds("delay_before_retry").or(again).map(millis);
    // A check is over before the next one begins: it keeps the time that it may take.
    let again = again.map(|again| again.max(timeout.unwrap_or(5000)));
    Some(Checker { probe, timeout, retries, again: again.filter(|_| retries > 0) })
}

pub(super) const WARMUP: &str = "checks of a pool are spread over its interval anyway";

/// Tells what became of the lines of a checker. `fast`: `fast_interval` of what it became, ms.
pub(super) fn told(node: &Node, to: &str, fast: Option<u64>, ledger: &mut Ledger) {
    match node.name() {
        "digest" => {
            ledger.dropped(&node.at, "a check looks for a status, a text or an expression: write `text`")
        }
        "delay_before_retry" => match fast.filter(|fast| node.word(1).parse().map(millis) != Ok(*fast)) {
            Some(fast) => ledger.approximated(
                &node.at,
                format!("{to} fast_interval"),
                format!("{fast} ms, from one check's start to the next's: each may take as long as `connect_timeout` says"),
            ),
            None => ledger.carried(&node.at, format!("{to} fast_interval")),
        },
        "warmup" => ledger.dropped(&node.at, WARMUP),
        "misc_dynamic" => ledger.dropped(
            &node.at,
            "a command says up or down; weights that servers tell themselves come by `agent`",
        ),
        "user" => ledger.dropped(&node.at, "programs run as the user that Relevo runs as"),
        "url" => {
            ledger.carried(&node.at, to);
            for child in &node.children {
                told(child, to, fast, ledger);
            }
        }
        "path" | "status_code" | "regex" | "virtualhost" | "connect_timeout" | "misc_timeout"
        | "misc_path" | "retry" | "nb_get_retry" => ledger.carried(&node.at, to),
        "connect_port" => ledger.carried(&node.at, "check_port of the server"),
        "connect_ip" | "bindto" | "bind_port" | "bind_if" | "fwmark" => {
            ledger.dropped(&node.at, "the server itself is asked");
        }
        _ => node.drop_all(ledger, "there is no word for it"),
    }
}
