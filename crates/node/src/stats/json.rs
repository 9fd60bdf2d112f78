//! The statistics as JSON: the same figures by plain names.

use relevo_lb::{Figures, RESPONSE_BOUNDS, WorkerSnapshot};
use serde_json::{Value, json};

use super::report::{PoolReport, Rate, Report, ServerReport, ServiceReport, mode_word};

/// The whole report.
pub(super) fn render(report: &Report) -> Value {
    let group = |(name, active): &(String, bool)| json!({ "name": name, "active": active });
    json!({
        "cluster": report.cluster,
        "node": report.node,
        "version": report.version,
        "pid": report.pid,
        "since": report.since,
        "now": report.now,
        "groups": report.groups.iter().map(group).collect::<Vec<_>>(),
        "access_log_lost_lines": report.lost_lines,
        "workers": report.workers.iter().map(worker).collect::<Vec<_>>(),
        "services": report.services.iter().map(service).collect::<Vec<_>>(),
        "pools": report.pools.iter().map(pool).collect::<Vec<_>>(),
    })
}

fn worker(worker: &WorkerSnapshot) -> Value {
    json!({ "clients": worker.clients, "handed_over": worker.handed })
}

fn service(service: &ServiceReport) -> Value {
    json!({
        "name": service.name,
        "mode": mode_word(service.mode),
        "pool": service.pool,
        "listen": service.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "max_connections": service.limit,
        "connection_rate": rate(service.sessions),
        "request_rate": rate(service.requests),
        "figures": figures(&service.figures),
    })
}

fn pool(pool: &PoolReport) -> Value {
    json!({
        "name": pool.name,
        "mode": mode_word(pool.mode),
        "balance": pool.balance,
        "up": pool.is_up(),
        "fallback": pool.fallback,
        "rate": rate(pool.sessions),
        "figures": figures(&pool.figures),
        "servers": pool.servers.iter().map(server).collect::<Vec<_>>(),
    })
}

fn server(server: &ServerReport) -> Value {
    json!({
        "name": server.name,
        "at": server.at.to_string(),
        "state": server.look.key(),
        "since": server.since,
        "reason": server.reason,
        "admin_reason": server.asked,
        "admin_until": server.until,
        "weight": server.weight,
        "effective_weight": server.effective,
        "backup": server.backup,
        "max_connections": server.limit,
        "check_failures": server.check_failures,
        "downs": server.downs,
        "downtime_seconds": server.downtime,
        "rate": rate(server.sessions),
        "figures": figures(&server.figures),
    })
}

fn rate(rate: Rate) -> Value {
    json!({ "now": rate.current, "most": rate.most })
}

fn figures(figures: &Figures) -> Value {
    let [s1, s2, s3, s4, s5, other] = figures.statuses;
    let averages = figures.averages.map(|averages| {
        json!({
            "queue": averages.queue, "connect": averages.connect,
            "response": averages.response, "total": averages.total,
        })
    });
    json!({
        "current": figures.current, "most": figures.most, "total": figures.total, "requests": figures.requests,
        "bytes_in": figures.received, "bytes_out": figures.sent, "denied": figures.denied,
        "request_errors": figures.request_errors, "handshakes_failed": figures.handshakes_failed, "connect_errors": figures.connect_errors,
        "response_errors": figures.response_errors, "client_aborts": figures.client_aborts,
        "server_aborts": figures.server_aborts, "retries": figures.retries, "redispatches": figures.redispatches,
        "queue": figures.queue, "queue_most": figures.queue_most,
        "statuses": { "1xx": s1, "2xx": s2, "3xx": s3, "4xx": s4, "5xx": s5, "other": other },
        "average_ms": averages,
        "response_times": { "bounds_ms": RESPONSE_BOUNDS, "counts": figures.response_times },
    })
}
