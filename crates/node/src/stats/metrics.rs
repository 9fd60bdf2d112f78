//! The statistics for Prometheus: its text format, version 0.0.4.

use std::fmt::Write;

use relevo_lb::{Figures, RESPONSE_BOUNDS, WorkerSnapshot};

use super::report::{Look, Report, mode_word};

/// The media type of what [`render`] makes.
pub(super) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A figure: its name behind `relevo_KIND_`, type, help, and how to find it.
type Figure = (&'static str, &'static str, &'static str, fn(&Figures) -> u64);

/// What services, pools and servers all have.
const TRAFFIC: [Figure; 4] = [
    ("requests_total", "counter", "Requests, in mode tcp connections.", |figures| figures.requests),
    ("received_bytes_total", "counter", "Bytes from clients, heads included.", |figures| figures.received),
    ("sent_bytes_total", "counter", "Bytes to clients, heads included.", |figures| figures.sent),
    (
        "current",
        "gauge",
        "Of a service: client connections now. Else: requests or connections now.",
        |figures| figures.current,
    ),
];

/// What only services have.
const INCOMING: [Figure; 4] = [
    ("connections_total", "counter", "Client connections.", |figures| figures.total),
    ("denied_total", "counter", "Requests refused by a rule or a limit.", |figures| figures.denied),
    ("request_errors_total", "counter", "Requests not understood or not complete.", |figures| {
        figures.request_errors
    }),
    ("handshakes_failed_total", "counter", "TLS handshakes that failed.", |figures| {
        figures.handshakes_failed
    }),
];

/// What only pools and servers have.
const ANSWERING: [Figure; 7] = [
    ("connect_errors_total", "counter", "Attempts to connect that failed.", |figures| figures.connect_errors),
    ("response_errors_total", "counter", "Answers that were wrong, broke off or were late.", |figures| {
        figures.response_errors
    }),
    ("retries_total", "counter", "Attempts after the first one.", |figures| figures.retries),
    ("redispatches_total", "counter", "Attempts that went to another server.", |figures| {
        figures.redispatches
    }),
    ("client_aborts_total", "counter", "Ended by the client before they were done.", |figures| {
        figures.client_aborts
    }),
    ("server_aborts_total", "counter", "Ended by the server before they were done.", |figures| {
        figures.server_aborts
    }),
    ("queue", "gauge", "Requests that wait for a place now.", |figures| figures.queue),
];

/// Labels in the text format with the figures they are for.
type Series<'a> = Vec<(String, &'a Figures)>;

/// The whole page.
pub(super) fn render(report: &Report) -> String {
    let mut out = Page(String::new());
    let node = label("node", &report.node);
    let process =
        format!("{node},{},{}", label("cluster", &report.cluster), label("version", report.version));
    out.family("relevo_build_info", "gauge", "The program.", [(process, 1.0)]);
    let start = report.since as f64 / 1000.0;
    out.family(
        "relevo_process_start_time_seconds",
        "gauge",
        "When the process started.",
        [(node.clone(), start)],
    );
    let lost = report.lost_lines as f64;
    out.family(
        "relevo_access_log_lost_lines_total",
        "counter",
        "Lines that could not be written.",
        [(node.clone(), lost)],
    );
    let numbered = |value: fn(&WorkerSnapshot) -> u64| {
        let workers = report.workers.iter().enumerate();
        let node = node.clone();
        workers.map(move |(number, worker)| {
            (format!("{node},{}", label("worker", &number.to_string())), value(worker) as f64)
        })
    };
    out.family(
        "relevo_worker_clients",
        "gauge",
        "Client connections that a thread of the balancer has.",
        numbered(|worker| worker.clients),
    );
    out.family(
        "relevo_worker_handed_over_total",
        "counter",
        "Connections that it gave to a thread that had fewer.",
        numbered(|worker| worker.handed),
    );
    let groups = report.groups.iter();
    let groups = groups
        .map(|(name, active)| (format!("{node},{}", label("group", name)), f64::from(u8::from(*active))));
    out.family("relevo_group_active", "gauge", "Whether this director holds the group's addresses.", groups);
    let priorities = report.priorities.iter();
    let priorities =
        priorities.map(|(name, priority)| (format!("{node},{}", label("group", name)), f64::from(*priority)));
    out.family("relevo_group_priority", "gauge", "What this director is worth for the group.", priorities);
    let trackers = report.trackers.iter().filter_map(|tracker| {
        let labels = format!("{node},{},{}", label("group", &tracker.group), label("tracker", &tracker.name));
        Some((labels, f64::from(u8::from(tracker.up?))))
    });
    out.family(
        "relevo_tracker_up",
        "gauge",
        "Whether it is as it should be; left out while unknown.",
        trackers,
    );

    let services: Series<'_> = report
        .services
        .iter()
        .map(|one| {
            let mode = label("mode", mode_word(one.mode));
            (format!("{node},{},{mode}", label("service", &one.name)), &one.figures)
        })
        .collect();
    out.figures("service", &services, &[&TRAFFIC, &INCOMING]);
    let limits =
        report.services.iter().zip(&services).map(|(one, (labels, _))| (labels.clone(), one.limit as f64));
    out.family("relevo_service_connections_limit", "gauge", "Most client connections at a time.", limits);

    let pools: Series<'_> = report
        .pools
        .iter()
        .map(|one| (format!("{node},{}", label("pool", &one.name)), &one.figures))
        .collect();
    out.figures("pool", &pools, &[&TRAFFIC, &ANSWERING]);
    let up = report
        .pools
        .iter()
        .zip(&pools)
        .map(|(one, (labels, _))| (labels.clone(), f64::from(u8::from(one.is_up()))));
    out.family("relevo_pool_up", "gauge", "Whether anybody answers.", up);
    let usable = report.pools.iter().zip(&pools).map(|(one, (labels, _))| {
        let (active, backup) = one.usable();
        (labels.clone(), (active + backup) as f64)
    });
    out.family("relevo_pool_usable_servers", "gauge", "Servers that may get work.", usable);
    servers(&mut out, report, &node);
    out.0
}

fn servers(out: &mut Page, report: &Report, node: &str) {
    let all: Vec<_> = report
        .pools
        .iter()
        .flat_map(|pool| pool.servers.iter().map(move |server| (pool, server)))
        .map(|(pool, server)| {
            (format!("{node},{},{}", label("pool", &pool.name), label("server", &server.name)), server)
        })
        .collect();
    let series: Series<'_> = all.iter().map(|(labels, server)| (labels.clone(), &server.figures)).collect();
    out.figures("server", &series, &[&TRAFFIC, &ANSWERING]);
    let state = all.iter().flat_map(|(labels, server)| {
        Look::ALL.into_iter().map(move |look| {
            (format!("{labels},{}", label("state", look.key())), f64::from(u8::from(look == server.look)))
        })
    });
    out.family("relevo_server_state", "gauge", "1 for the state that the server is in.", state);
    let each = |value: fn(&super::report::ServerReport) -> f64| {
        all.iter().map(move |(labels, server)| (labels.clone(), value(server))).collect::<Vec<_>>()
    };
    out.family("relevo_server_weight", "gauge", "Its share.", each(|server| f64::from(server.weight)));
    let failures = each(|server| server.check_failures as f64);
    out.family(
        "relevo_server_check_failures_total",
        "counter",
        "Checks that failed while it was not down.",
        failures,
    );
    out.family(
        "relevo_server_downs_total",
        "counter",
        "Times that it went down.",
        each(|server| server.downs as f64),
    );
    let downtime = each(|server| server.downtime as f64);
    out.family("relevo_server_downtime_seconds_total", "counter", "How long it was down.", downtime);
    out.response_times(&series);
}

/// The page while it is written.
struct Page(String);

impl Page {
    /// One family: nothing is written of an empty one.
    fn family(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        values: impl IntoIterator<Item = (String, f64)>,
    ) {
        let mut is_first = true;
        for (labels, value) in values {
            if std::mem::take(&mut is_first) {
                self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
            }
            self.line(format_args!("{name}{{{labels}}} {value}"));
        }
    }

    fn figures(&mut self, kind: &str, series: &Series<'_>, lists: &[&[Figure]]) {
        for (name, type_, help, value) in lists.iter().flat_map(|list| list.iter()) {
            let values = series.iter().map(|(labels, figures)| (labels.clone(), value(figures) as f64));
            self.family(&format!("relevo_{kind}_{name}"), type_, help, values);
        }
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];
        let values = series.iter().flat_map(|(labels, figures)| {
            let of = classes.into_iter().zip(figures.statuses);
            of.map(move |(class, count)| (format!("{labels},{}", label("code", class)), count as f64))
        });
        self.family(
            &format!("relevo_{kind}_responses_total"),
            "counter",
            "Answers by class of status.",
            values,
        );
    }

    fn response_times(&mut self, series: &Series<'_>) {
        const NAME: &str = "relevo_server_response_seconds";
        if series.is_empty() {
            return;
        }
        self.line(format_args!(
            "# HELP {NAME} From the end of the request to the answer's head.\n# TYPE {NAME} histogram"
        ));
        for (labels, figures) in series {
            let mut count = 0_u64;
            let bounds = RESPONSE_BOUNDS.iter().map(|bound| (f64::from(*bound) / 1000.0).to_string());
            for (bound, of) in bounds.chain(["+Inf".to_owned()]).zip(figures.response_times) {
                count = count.wrapping_add(of);
                self.line(format_args!("{NAME}_bucket{{{labels},le=\"{bound}\"}} {count}"));
            }
            let sum = figures.response_sum as f64 / 1000.0;
            self.line(format_args!("{NAME}_sum{{{labels}}} {sum}\n{NAME}_count{{{labels}}} {count}"));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a `String` cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

/// `name="value"` with what must be escaped.
fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}
