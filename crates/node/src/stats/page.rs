//! The statistics page: head, legend, settings, one table for each service and pool, and the form around them.
//!
//! It works without JavaScript. What was written by others, and names, goes through [`Text`].

use std::fmt::Write;

use super::report::{Look, Report};
use super::table::{self, Table};
use super::write::{Grouped, Span, Text};

/// How the page is asked for: what stands behind the `?`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Seconds until the page asks for itself again; `None`: the cluster file's; `Some(0)`: never.
    pub(super) refresh: Option<u64>,
    /// Only services and pools with this in their name.
    pub(super) scope: String,
    /// Servers that are down are left out.
    pub(super) only_up: bool,
    /// Which message to show.
    pub(super) said: Option<u64>,
}

/// What the one who looks may do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Viewer<'a> {
    pub(super) name: &'a str,
    /// The proof that a form came from here; `None`: may not change anything.
    pub(super) token: Option<&'a str>,
    /// What came of the last wish, and whether it was done.
    pub(super) message: Option<(&'a str, bool)>,
}

/// Refresh times that can be chosen, seconds.
const REFRESHES: [u64; 6] = [0, 1, 2, 5, 10, 60];

/// The whole page. `refresh`: the cluster file's, seconds.
pub(super) fn render(report: &Report, view: &View, refresh: u64, viewer: Viewer<'_>) -> String {
    let mut out = String::with_capacity(64 << 10);
    // Writing into a `String` cannot fail.
    let _ = write_page(&mut out, report, view, refresh, viewer);
    out
}

fn write_page(
    out: &mut String,
    report: &Report,
    view: &View,
    refresh: u64,
    viewer: Viewer<'_>,
) -> std::fmt::Result {
    let every = view.refresh.unwrap_or(refresh);
    let (node, cluster) = (Text(&report.node), Text(&report.cluster));
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{node} · {cluster} · statistics</title>\n<link rel=\"stylesheet\" href=\"/stats.css\">\n\
         <link rel=\"icon\" href=\"data:,\">\n"
    )?;
    if every > 0 {
        writeln!(out, "<noscript><meta http-equiv=\"refresh\" content=\"{every}\"></noscript>")?;
    }
    writeln!(out, "<script src=\"/stats.js\" defer></script>\n</head>\n<body data-refresh=\"{every}\">")?;
    write_head(out, report)?;
    write_bar(out, report, view, every, viewer)?;
    if let Some((message, done)) = viewer.message {
        let class = if done { "done" } else { "failed" };
        writeln!(out, "<p class=\"said {class}\" role=\"status\">{}</p>", Text(message))?;
    }
    if let Some(token) = viewer.token {
        writeln!(
            out,
            "<form method=\"post\" action=\"/stats{}\" id=\"servers\">\n<input type=\"hidden\" name=\"token\" value=\"{}\">",
            Text(query(view, view.refresh)),
            Text(token)
        )?;
    }
    let tables: Vec<_> = table::tables(report).into_iter().filter(|table| is_shown(table, view)).collect();
    for table in &tables {
        table.write(out, report, view.only_up, viewer.token.is_some())?;
    }
    if tables.is_empty() {
        writeln!(out, "<p class=\"none\">No service here has “{}” in its name.</p>", Text(&view.scope))?;
    }
    if viewer.token.is_some() {
        out.push_str(ACTIONS);
        out.push_str("</form>\n");
    }
    out.push_str("</body>\n</html>\n");
    Ok(())
}

/// The bar under the tables; it stays in view.
const ACTIONS: &str = "<div class=\"actions\"><label>With the ticked servers: <select name=\"action\" required>\n\
    <option value=\"\">choose…</option>\n\
    <option value=\"ready\">READY: takes work</option>\n\
    <option value=\"drain\">DRAIN: finishes what it has</option>\n\
    <option value=\"maint\">MAINT: gets nothing, finishes what it has, is not checked</option>\n\
    <option value=\"cut\">MAINT and cut: the same, and what it has is cut</option>\n\
    </select></label> <button>Apply</button></div>\n";

fn write_head(out: &mut String, report: &Report) -> std::fmt::Result {
    write!(out, "<header><h1>{}</h1><p>cluster <b>{}</b>", Text(&report.node), Text(&report.cluster))?;
    for (name, active) in &report.groups {
        let (class, word) = if *active { ("active", "active") } else { ("backup", "backup") };
        write!(out, " <span class=\"group {class}\">{} {word}</span>", Text(name))?;
    }
    let uptime = Span(report.now.saturating_sub(report.since) / 1000);
    let now: u64 = report.services.iter().map(|service| service.figures.current).sum();
    let rate: u64 = report.services.iter().map(|service| service.requests.current).sum();
    write!(
        out,
        "</p><p class=\"process\">Relevo {} · pid {} · up {uptime} · <b>{}</b> connections · <b>{}</b> requests/s",
        Text(report.version),
        report.pid,
        Grouped(now),
        Grouped(rate)
    )?;
    if report.lost_lines > 0 {
        write!(out, " · <span class=\"warn\">{} access log lines lost</span>", Grouped(report.lost_lines))?;
    }
    out.push_str("</p></header>\n");
    Ok(())
}

fn write_bar(
    out: &mut String,
    report: &Report,
    view: &View,
    every: u64,
    viewer: Viewer<'_>,
) -> std::fmt::Result {
    out.push_str("<nav><form method=\"get\" action=\"/stats\">");
    out.push_str("<label>refresh <select name=\"refresh\">");
    let others = REFRESHES.iter().copied().filter(|seconds| *seconds != every);
    let mut choices: Vec<u64> = others.chain([every]).collect();
    choices.sort_unstable();
    for seconds in choices {
        let selected = if seconds == every { " selected" } else { "" };
        match seconds {
            0 => write!(out, "<option value=\"0\"{selected}>never</option>")?,
            _ => write!(out, "<option value=\"{seconds}\"{selected}>{}</option>", Span(seconds))?,
        }
    }
    let checked = if view.only_up { " checked" } else { "" };
    write!(
        out,
        "</select></label> <label>scope <input name=\"scope\" size=\"10\" value=\"{}\"></label> \
         <label><input type=\"checkbox\" name=\"up\" value=\"1\"{checked}> hide down servers</label> \
         <button>Show</button></form><span class=\"legend\">",
        Text(&view.scope)
    )?;
    for look in Look::ALL {
        write!(out, "<span class=\"{}\">{}</span>", look.key(), look.word())?;
    }
    out.push_str("<span class=\"up backup\">backup</span></span><span class=\"links\">");
    for (address, text) in [("/stats;csv", "CSV"), ("/stats.json", "JSON"), ("/metrics", "metrics")] {
        write!(out, "<a href=\"{address}\">{text}</a> ")?;
    }
    writeln!(
        out,
        "</span><span class=\"who\">{}{} · {}</span></nav>",
        Text(viewer.name),
        if viewer.token.is_some() { "" } else { " (may look)" },
        Clock(report.now)
    )
}

fn is_shown(table: &Table<'_>, view: &View) -> bool {
    view.scope.is_empty() || table.name().contains(view.scope.as_str())
}

/// What stands behind the address for this view, so that it is kept.
pub(super) fn query(view: &View, refresh: Option<u64>) -> String {
    let mut parts = Vec::new();
    if let Some(seconds) = refresh {
        parts.push(format!("refresh={seconds}"));
    }
    if !view.scope.is_empty() {
        parts.push(format!("scope={}", super::form::encode(&view.scope)));
    }
    if view.only_up {
        parts.push("up=1".to_owned());
    }
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

/// The time of day in UTC.
struct Clock(u64);

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let second = self.0 / 1000 % 86_400;
        write!(f, "{:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
    }
}
