//! What is said once: threads, limits, logs, users, the statistics page.

use relevo_model::ClusterFile;
use relevo_model::cluster::{CheckKind, LogFormat, LogTarget, Service};

use super::words::{quote, time};
use super::{Config, Options, Tuning};

/// Room that HAProxy keeps in its buffer for what it adds to a head, bytes (`tune.maxrewrite`).
const MAXREWRITE: usize = 1024;

/// HAProxy's own buffer, bytes (`tune.bufsize`).
const BUFFER: usize = 16 << 10;

/// Connections at a time on all services, with some for the statistics page.
const SPARE: usize = 100;

/// `global`, `defaults`, `userlist`.
pub(super) fn write(out: &mut Config, cluster: &ClusterFile, options: Options) {
    out.section("global");
    if options.threads > 0 {
        out.line(format!("nbthread {}", options.threads));
    }
    let limits = || cluster.services.iter().map(|service| &service.limits);
    out.line(format!("maxconn {}", limits().map(|limits| limits.connections).sum::<usize>() + SPARE));
    // The limit of open files may be lower than what maxconn needs at the very most.
    out.line("no strict-limits");
    log(out, cluster);
    let header = limits().map(|limits| limits.header).max().unwrap_or_default();
    match options.tuning {
        Tuning::LargeBuffers => out.line("tune.bufsize 262144"),
        Tuning::Default | Tuning::Spliced | Tuning::Deferred if header > BUFFER => {
            out.line(format!("tune.bufsize {}", header + MAXREWRITE));
        }
        Tuning::Default | Tuning::Spliced | Tuning::Deferred => {}
    }
    if options.tuning == Tuning::Spliced {
        out.line("tune.pipesize 1048576");
    }
    let default = 100;
    if let Some(streams) = limits().map(|limits| limits.streams).max().filter(|streams| *streams != default) {
        out.line(format!("tune.h2.max-concurrent-streams {streams}"));
    }
    if cluster.pools.iter().any(|pool| matches!(pool.check.kind, CheckKind::Command { .. })) {
        out.line("external-check");
        out.line("insecure-fork-wanted");
    }
    out.section("defaults");
    out.line("timeout connect 1s");
    out.line("timeout client 30s");
    out.line("timeout server 30s");
    if options.tuning == Tuning::Spliced {
        out.line("option splice-request");
        out.line("option splice-response");
    }
    for list in &cluster.users {
        out.section(&format!("userlist {}", list.name));
        for user in &list.users {
            out.line(format!("user {} password {}", quote(&user.name), quote(&user.hash)));
        }
    }
    if !cluster.acme.is_empty() {
        out.leave_out("acme: HAProxy 2.6 does not get certificates by itself".to_owned());
    }
}

fn log(out: &mut Config, cluster: &ClusterFile) {
    match &cluster.log.target {
        LogTarget::None => {}
        LogTarget::Stdout => out.line("log stdout format raw local0"),
        LogTarget::File(file) => {
            out.leave_out(format!("log: HAProxy does not write to a file such as {}", file.display()));
        }
        LogTarget::Syslog(path) => out.line(format!("log {} local0", quote(&path.display().to_string()))),
        LogTarget::SyslogUdp(at) => out.line(format!("log {at} local0")),
    }
}

/// Whether HAProxy has a place to log to.
pub(super) fn logs(cluster: &ClusterFile) -> bool {
    !matches!(cluster.log.target, LogTarget::None | LogTarget::File(_))
}

/// How a service's lines look.
pub(super) fn log_lines(out: &mut Config, cluster: &ClusterFile, service: &Service, http: bool) {
    out.line("log global");
    match (cluster.log.format, http) {
        (LogFormat::Haproxy, true) => out.line("option httplog"),
        (LogFormat::Haproxy, false) => out.line("option tcplog"),
        (LogFormat::Json, true) => out.line(concat!(
            r#"log-format '{"time":"%tr","client":"%ci:%cp","frontend":"%f","backend":"%b","server":"%s","#,
            r#""status":%ST,"bytes":%B,"time_total_ms":%Ta,"state":"%tsc","request":%{+Q}r}'"#
        )),
        (LogFormat::Json, false) => out.line(concat!(
            r#"log-format '{"time":"%t","client":"%ci:%cp","frontend":"%f","backend":"%b","server":"%s","#,
            r#""bytes":%B,"time_total_ms":%Tt,"state":"%ts"}'"#
        )),
    }
    if cluster.log.format == LogFormat::Json {
        out.leave_out(format!("service {}: JSON log lines have other fields", service.name));
    }
}

/// The statistics page.
pub(super) fn write_stats(out: &mut Config, cluster: &ClusterFile) {
    let Some(stats) = &cluster.stats else { return };
    out.section("frontend relevo-stats");
    out.line("mode http");
    for at in &stats.listen {
        out.line(format!("bind {at}"));
    }
    out.line("acl metrics path /metrics");
    if stats.open_metrics {
        out.line("http-request use-service prometheus-exporter if metrics");
    }
    out.line(format!("acl known http_auth({})", stats.users));
    if let Some(admins) = &stats.admins {
        out.line(format!("acl known http_auth({admins})"));
        out.line(format!("acl admin http_auth({admins})"));
    }
    out.line("http-request auth realm Statistics unless known");
    if !stats.open_metrics {
        out.line("http-request use-service prometheus-exporter if metrics");
    }
    out.line("stats enable");
    out.line("stats uri /stats");
    out.line(format!("stats refresh {}", time(stats.refresh)));
    if stats.admins.is_some() {
        out.line("stats admin if admin");
    }
}
