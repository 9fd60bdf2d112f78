//! The statistics as HAProxy's CSV (its manual, management guide, section 9.1), for scripts that read it.
//!
//! Columns have HAProxy's names and order; what does not exist here is empty. A service is a FRONTEND, a pool a BACKEND.

use std::collections::BTreeMap;
use std::fmt::Write;

use relevo_lb::Figures;

use super::report::{CheckRow, Look, PoolReport, Report, ServerReport, ServiceReport, mode_word};

/// The columns in HAProxy's order.
const COLUMNS: [&str; 101] = [
    "pxname",
    "svname",
    "qcur",
    "qmax",
    "scur",
    "smax",
    "slim",
    "stot",
    "bin",
    "bout",
    "dreq",
    "dresp",
    "ereq",
    "econ",
    "eresp",
    "wretr",
    "wredis",
    "status",
    "weight",
    "act",
    "bck",
    "chkfail",
    "chkdown",
    "lastchg",
    "downtime",
    "qlimit",
    "pid",
    "iid",
    "sid",
    "throttle",
    "lbtot",
    "tracked",
    "type",
    "rate",
    "rate_lim",
    "rate_max",
    "check_status",
    "check_code",
    "check_duration",
    "hrsp_1xx",
    "hrsp_2xx",
    "hrsp_3xx",
    "hrsp_4xx",
    "hrsp_5xx",
    "hrsp_other",
    "hanafail",
    "req_rate",
    "req_rate_max",
    "req_tot",
    "cli_abrt",
    "srv_abrt",
    "comp_in",
    "comp_out",
    "comp_byp",
    "comp_rsp",
    "lastsess",
    "last_chk",
    "last_agt",
    "qtime",
    "ctime",
    "rtime",
    "ttime",
    "agent_status",
    "agent_code",
    "agent_duration",
    "check_desc",
    "agent_desc",
    "check_rise",
    "check_fall",
    "check_health",
    "agent_rise",
    "agent_fall",
    "agent_health",
    "addr",
    "cookie",
    "mode",
    "algo",
    "conn_rate",
    "conn_rate_max",
    "conn_tot",
    "intercepted",
    "dcon",
    "dses",
    "wrew",
    "connect",
    "reuse",
    "cache_lookups",
    "cache_hits",
    "srv_icur",
    "src_ilim",
    "qtime_max",
    "ctime_max",
    "rtime_max",
    "ttime_max",
    "eint",
    "idle_conn_cur",
    "safe_conn_cur",
    "used_conn_cur",
    "need_conn_est",
    "uweight",
    "agg_server_status",
];

/// One row: values by column.
type Row = BTreeMap<&'static str, String>;

/// The whole table.
pub(super) fn render(report: &Report) -> String {
    let mut out = String::from("# ");
    for column in COLUMNS {
        out.push_str(column);
        out.push(',');
    }
    out.push('\n');
    let numbered = |index: usize| (index + 1).to_string();
    for (index, service) in report.services.iter().enumerate() {
        push(&mut out, &service_row(service, numbered(index)));
    }
    for (index, pool) in report.pools.iter().enumerate() {
        let id = numbered(report.services.len() + index);
        for (place, server) in pool.servers.iter().enumerate() {
            push(&mut out, &server_row(report, pool, server, &id, numbered(place)));
        }
        push(&mut out, &pool_row(report, pool, id));
    }
    out
}

fn push(out: &mut String, row: &Row) {
    for column in COLUMNS {
        if let Some(value) = row.get(column) {
            field(out, value);
        }
        out.push(',');
    }
    out.push('\n');
}

/// RFC 4180: in quotes if it has to be.
fn field(out: &mut String, value: &str) {
    if value.contains([',', '"', '\n', '\r']) {
        // Writing into a `String` cannot fail.
        let _ = write!(out, "\"{}\"", value.replace('"', "\"\""));
    } else {
        out.push_str(value);
    }
}

fn common(name: &str, who: &str, kind: u8, id: String, mode: &str, figures: &Figures) -> Row {
    let [ok1, ok2, ok3, bad4, bad5, other] = figures.statuses;
    let mut row = Row::from([
        ("pxname", name.to_owned()),
        ("svname", who.to_owned()),
        ("type", kind.to_string()),
        ("pid", "1".to_owned()),
        ("iid", id),
        ("mode", mode.to_owned()),
        ("scur", figures.current.to_string()),
        ("smax", figures.most.to_string()),
        ("stot", figures.total.to_string()),
        ("bin", figures.received.to_string()),
        ("bout", figures.sent.to_string()),
    ]);
    if mode == "http" {
        let names = ["hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"];
        for (name, value) in names.into_iter().zip([ok1, ok2, ok3, bad4, bad5, other]) {
            row.insert(name, value.to_string());
        }
    }
    row
}

fn service_row(service: &ServiceReport, id: String) -> Row {
    let figures = &service.figures;
    let mut row = common(&service.name, "FRONTEND", 0, id, mode_word(service.mode), figures);
    row.extend([
        ("slim", service.limit.to_string()),
        ("status", "OPEN".to_owned()),
        ("dreq", figures.denied.to_string()),
        ("ereq", figures.request_errors.to_string()),
        ("rate", service.sessions.current.to_string()),
        ("rate_max", service.sessions.most.to_string()),
        ("conn_rate", service.sessions.current.to_string()),
        ("conn_rate_max", service.sessions.most.to_string()),
        ("conn_tot", figures.total.to_string()),
        ("req_rate", service.requests.current.to_string()),
        ("req_rate_max", service.requests.most.to_string()),
        ("req_tot", figures.requests.to_string()),
    ]);
    row
}

fn answering(row: &mut Row, figures: &Figures) {
    row.extend([
        ("qcur", figures.queue.to_string()),
        ("qmax", figures.queue_most.to_string()),
        ("econ", figures.connect_errors.to_string()),
        ("eresp", figures.response_errors.to_string()),
        ("wretr", figures.retries.to_string()),
        ("wredis", figures.redispatches.to_string()),
        ("lbtot", figures.total.to_string()),
        ("req_tot", figures.requests.to_string()),
        ("cli_abrt", figures.client_aborts.to_string()),
        ("srv_abrt", figures.server_aborts.to_string()),
    ]);
    if let Some(averages) = figures.averages {
        row.extend([
            ("qtime", averages.queue.to_string()),
            ("ctime", averages.connect.to_string()),
            ("rtime", averages.response.to_string()),
            ("ttime", averages.total.to_string()),
        ]);
    }
}

fn server_row(report: &Report, pool: &PoolReport, server: &ServerReport, id: &str, place: String) -> Row {
    let figures = &server.figures;
    let mut row = common(&pool.name, &server.name, 2, id.to_owned(), mode_word(pool.mode), figures);
    answering(&mut row, figures);
    let of_checks =
        |value: fn(CheckRow) -> u32| server.row.map(|row| value(row).to_string()).unwrap_or_default();
    row.extend([
        ("sid", place),
        ("slim", server.limit.map(|limit| limit.to_string()).unwrap_or_default()),
        ("status", if server.look == Look::Unknown { "UP".to_owned() } else { server.word() }),
        ("weight", server.effective.to_string()),
        ("uweight", server.weight.to_string()),
        ("act", u8::from(!server.backup).to_string()),
        ("bck", u8::from(server.backup).to_string()),
        ("chkfail", server.check_failures.to_string()),
        ("chkdown", server.downs.to_string()),
        ("lastchg", seconds(report.now, server.since)),
        ("downtime", server.downtime.to_string()),
        ("rate", server.sessions.current.to_string()),
        ("rate_max", server.sessions.most.to_string()),
        ("check_status", server.checked.0.to_owned()),
        ("check_code", server.checked.1.map(|code| code.to_string()).unwrap_or_default()),
        ("check_rise", of_checks(|row| row.rise)),
        ("check_fall", of_checks(|row| row.fall)),
        ("check_health", server.check_health().map(|health| health.to_string()).unwrap_or_default()),
        ("last_chk", server.reason.clone()),
        ("addr", server.at.to_string()),
        ("cookie", server.cookie.clone().unwrap_or_default()),
    ]);
    row
}

fn pool_row(report: &Report, pool: &PoolReport, id: String) -> Row {
    let figures = &pool.figures;
    let mut row = common(&pool.name, "BACKEND", 1, id, mode_word(pool.mode), figures);
    answering(&mut row, figures);
    let (active, backup) = pool.usable();
    let status = if pool.is_up() { "UP" } else { "DOWN" };
    row.extend([
        ("status", status.to_owned()),
        ("weight", pool.weight().to_string()),
        ("act", active.to_string()),
        ("bck", backup.to_string()),
        ("chkdown", pool.downs.to_string()),
        ("lastchg", seconds(report.now, pool.since)),
        ("downtime", pool.downtime.to_string()),
        ("rate", pool.sessions.current.to_string()),
        ("rate_max", pool.sessions.most.to_string()),
        ("algo", pool.balance.clone()),
    ]);
    row
}

fn seconds(now: u64, since: u64) -> String {
    (now.saturating_sub(since) / 1000).to_string()
}
