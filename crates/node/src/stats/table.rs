//! The tables of the page: HAProxy's columns. A service and the pool that is called like it share one.

use std::fmt::{self, Write};

use relevo_lb::Figures;

use super::report::{Look, PoolReport, Rate, Report, ServerReport, ServiceReport, mode_word};
use super::write::{Grouped, Rounded, Short, Span, Text};

/// One table: a service, a pool, or both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    service: Option<&'a ServiceReport>,
    pool: Option<&'a PoolReport>,
}

/// The tables in the file's order: services first, then pools that are called otherwise.
pub(super) fn tables(report: &Report) -> Vec<Table<'_>> {
    let services = report.services.iter().map(|service| Table {
        service: Some(service),
        pool: report.pools.iter().find(|pool| pool.name == service.name),
    });
    let of_none = |pool: &&PoolReport| report.services.iter().all(|service| service.name != pool.name);
    let pools = report.pools.iter().filter(of_none).map(|pool| Table { service: None, pool: Some(pool) });
    services.chain(pools).collect()
}

/// The two lines of headings: HAProxy's.
const HEADINGS: &str = "<colgroup><col class=\"tick\"><col class=\"name\"><col span=\"3\"><col class=\"rate\" span=\"4\"><col class=\"wide\" span=\"4\"><col class=\"mid\"><col span=\"5\">\
<col class=\"status\"><col class=\"check\"><col span=\"5\"><col class=\"wide\"><col class=\"addr\"></colgroup>\n<thead><tr><th rowspan=\"2\" colspan=\"2\"></th><th colspan=\"3\">Queue</th><th colspan=\"2\">Session rate</th>\
<th colspan=\"4\">Sessions</th><th colspan=\"2\">Bytes</th><th>Denied</th><th colspan=\"3\">Errors</th>\
<th colspan=\"2\">Warnings</th><th colspan=\"9\">Server</th></tr>\n\
<tr><th>Cur</th><th>Max</th><th>Limit</th><th>Cur</th><th>Max</th><th>Cur</th><th>Max</th><th>Limit</th><th>Total</th>\
<th>In</th><th>Out</th><th>Req</th><th>Req</th><th>Conn</th><th>Resp</th><th>Retr</th><th>Redis</th>\
<th>Status</th><th>LastChk</th><th>Wght</th><th>Act</th><th>Bck</th><th>Chk</th><th>Dwn</th><th>Dwntme</th><th>Addr</th></tr></thead>\n";

impl Table<'_> {
    pub(super) fn name(&self) -> &str {
        self.service.map(|service| &service.name).or(self.pool.map(|pool| &pool.name)).map_or("", |name| name)
    }

    pub(super) fn write(
        &self,
        out: &mut String,
        report: &Report,
        only_up: bool,
        may_act: bool,
    ) -> fmt::Result {
        write!(out, "<section><h2>{}</h2><p class=\"about\">", Text(self.name()))?;
        if let Some(service) = self.service {
            write!(out, "{}", mode_word(service.mode))?;
            for at in &service.listen {
                write!(out, " <b>{at}</b>")?;
            }
            if self.pool.is_none() {
                write!(out, " → pool <b>{}</b>", Text(&service.pool))?;
            }
        }
        if let Some(pool) = self.pool {
            write!(out, " {}", Text(&pool.balance))?;
            if pool.fallback {
                out.push_str(" <span class=\"warn\">the fallback is answering</span>");
            }
        }
        writeln!(out, "</p><table>{HEADINGS}<tbody>")?;
        if let Some(service) = self.service {
            service_row(out, service)?;
        }
        if let Some(pool) = self.pool {
            for server in pool.servers.iter().filter(|server| !only_up || server.look != Look::Down) {
                server_row(out, report, pool, server, may_act)?;
            }
            pool_row(out, report, pool)?;
        }
        out.push_str("</tbody></table></section>\n");
        Ok(())
    }
}

fn service_row(out: &mut String, service: &ServiceReport) -> fmt::Result {
    let figures = &service.figures;
    out.push_str("<tr class=\"front\"><td></td><th>Frontend</th><td></td><td></td><td></td>");
    rate(out, service.sessions)?;
    sessions(out, figures, Some(service.limit), Some(service.requests))?;
    numbers(out, [figures.denied, figures.request_errors])?;
    out.push_str("<td></td><td></td><td></td><td></td><td class=\"word\">OPEN</td>");
    out.push_str("<td colspan=\"8\"></td></tr>\n");
    Ok(())
}

fn server_row(
    out: &mut String,
    report: &Report,
    pool: &PoolReport,
    server: &ServerReport,
    may_act: bool,
) -> fmt::Result {
    let figures = &server.figures;
    let backup = if server.backup { " backup" } else { "" };
    let (pool_name, name) = (Text(&pool.name), Text(&server.name));
    write!(out, "<tr class=\"{}{backup}\"><td>", server.look.key())?;
    if may_act {
        write!(
            out,
            "<input type=\"checkbox\" name=\"server\" value=\"{pool_name}/{name}\" id=\"{pool_name}/{name}\" aria-label=\"{name}\">"
        )?;
    }
    write!(out, "</td><th><label for=\"{pool_name}/{name}\" title=\"{name}\">{name}</label></th>")?;
    numbers(out, [figures.queue, figures.queue_most])?;
    out.push_str("<td>-</td>");
    rate(out, server.sessions)?;
    sessions(out, figures, server.limit.map(u64::from), None)?;
    out.push_str("<td></td><td></td>");
    numbers(out, [figures.connect_errors, figures.response_errors, figures.retries, figures.redispatches])?;
    let since = Span(report.now.saturating_sub(server.since) / 1000);
    let (active, spare) = if server.backup { ("-", "Y") } else { ("Y", "-") };
    write!(
        out,
        "<td class=\"word\">{since} {}</td><td class=\"reason\" title=\"{reason}\">{reason}</td><td>{}</td><td>{active}</td><td>{spare}</td>",
        server.word(),
        server.effective,
        reason = Text(&why(server, report.now)),
    )?;
    numbers(out, [server.check_failures, server.downs])?;
    writeln!(
        out,
        "<td>{}</td><td class=\"at\" title=\"{at}\">{at}</td></tr>",
        Span(server.downtime),
        at = server.at
    )
}

/// What the operator said, and then what the checks did.
fn why(server: &ServerReport, now: u64) -> String {
    let until =
        server.until.map(|until| format!("ready again in {}", Span(until.saturating_sub(now) / 1000)));
    let words = until.into_iter().chain([server.asked.clone(), server.reason.clone()]);
    words.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ")
}

fn pool_row(out: &mut String, report: &Report, pool: &PoolReport) -> fmt::Result {
    let figures = &pool.figures;
    let (active, backup) = pool.usable();
    let (class, word) = if pool.is_up() { ("", "UP") } else { (" down", "DOWN") };
    write!(out, "<tr class=\"back{class}\"><td></td><th>Backend</th>")?;
    numbers(out, [figures.queue, figures.queue_most])?;
    out.push_str("<td>-</td>");
    rate(out, pool.sessions)?;
    sessions(out, figures, None, None)?;
    out.push_str("<td></td><td></td>");
    numbers(out, [figures.connect_errors, figures.response_errors, figures.retries, figures.redispatches])?;
    let since = pool.servers.iter().map(|server| server.since).max().unwrap_or(report.since);
    let since = Span(report.now.saturating_sub(since) / 1000);
    let downs = pool.servers.iter().map(|server| server.downs).sum::<u64>();
    writeln!(
        out,
        "<td class=\"word\">{since} {word}</td><td></td><td>{}</td><td>{active}</td><td>{backup}</td><td></td><td>{}</td><td></td><td></td></tr>",
        pool.weight(),
        Grouped(downs)
    )
}

fn rate(out: &mut String, rate: Rate) -> fmt::Result {
    [rate.current, rate.most].into_iter().try_for_each(|value| number(out, value, MIDDLE))
}

/// Sessions and bytes; what is behind the total comes as a tip.
fn sessions(out: &mut String, figures: &Figures, limit: Option<u64>, requests: Option<Rate>) -> fmt::Result {
    number(out, figures.current, MIDDLE)?;
    number(out, figures.most, MIDDLE)?;
    match limit {
        Some(limit) => number(out, limit, WIDE)?,
        None => out.push_str("<td>-</td>"),
    }
    out.push_str("<td class=\"tip\" tabindex=\"0\">");
    fitting(out, figures.total, WIDE)?;
    write!(out, "<span><b>sessions</b> {}<br>", Grouped(figures.total))?;
    write!(out, "<b>requests</b> {}", Grouped(figures.requests))?;
    if let Some(requests) = requests {
        write!(out, " ({}/s, most {}/s)", Grouped(requests.current), Grouped(requests.most))?;
    }
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];
    for (class, count) in classes.into_iter().zip(figures.statuses) {
        if count > 0 {
            let share = count.saturating_mul(100) / figures.statuses.iter().sum::<u64>().max(1);
            write!(out, "<br><b>{class}</b> {} ({share}%)", Grouped(count))?;
        }
    }
    if figures.client_aborts + figures.server_aborts > 0 {
        let (client, server) = (Grouped(figures.client_aborts), Grouped(figures.server_aborts));
        write!(out, "<br><b>aborted</b> by clients {client}, by servers {server}")?;
    }
    if let Some(times) = figures.averages {
        write!(
            out,
            "<br><b>ms</b> queue {}, connect {}, response {}, total {}",
            times.queue, times.connect, times.response, times.total
        )?;
    }
    out.push_str("</span></td>");
    for bytes in [figures.received, figures.sent] {
        write!(out, "<td title=\"{bytes}\">{}</td>", Rounded(bytes))?;
    }
    Ok(())
}

fn numbers<const N: usize>(out: &mut String, numbers: [u64; N]) -> fmt::Result {
    numbers.into_iter().try_for_each(|value| number(out, value, NARROW))
}

/// From this on a number does not fit into most cells; a number that is cut off would be another number.
const NARROW: u64 = 1_000;

/// The same for rates and sessions.
const MIDDLE: u64 = 10_000;

/// The same for the wide cells.
const WIDE: u64 = 1_000_000;

/// A cell; from `long` on it is rounded, and the mouse over it shows the whole number.
fn number(out: &mut String, value: u64, long: u64) -> fmt::Result {
    match value {
        0 => out.push_str("<td class=\"zero\">"),
        value if value < long => out.push_str("<td>"),
        value => write!(out, "<td title=\"{}\">", Grouped(value))?,
    }
    fitting(out, value, long)?;
    out.push_str("</td>");
    Ok(())
}

fn fitting(out: &mut String, value: u64, long: u64) -> fmt::Result {
    if value < long {
        write!(out, "{}", Grouped(value))
    } else if long == NARROW {
        write!(out, "{}", Short(value))
    } else {
        write!(out, "{}", Rounded(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_cut_off() {
        let mut out = String::new();
        numbers(&mut out, [0, 1_234]).unwrap();
        number(&mut out, 9_999, MIDDLE).unwrap();
        number(&mut out, 19_557, MIDDLE).unwrap();
        number(&mut out, 999_999, WIDE).unwrap();
        let space = '\u{202f}';
        assert_eq!(
            out,
            format!(
                "<td class=\"zero\">0</td><td title=\"1{space}234\">1.2k</td><td>9{space}999</td><td title=\"19{space}557\">19.6{space}k</td>\
                 <td>999{space}999</td>"
            )
        );
    }
}
