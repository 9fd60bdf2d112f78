//! The statistics page: a `listen` or `frontend` that serves it, and its words elsewhere.

use super::parse::{Line, Section};
use crate::balancer::{NOBODY, duration, endpoint};
use crate::draft::{Draft, Table, key, list, quoted};
use crate::ledger::Ledger;

/// What all statistics sections say together; there is one page.
#[derive(Debug, Default)]
pub(super) struct Stats {
    listens: Vec<String>,
    users: Vec<String>,
    is_admin: bool,
    refresh: Option<u64>,
    found: bool,
}

const PASSWORD: &str =
    "a plain password cannot be carried over: nobody gets in before you put what `openssl passwd -6` prints";

/// Takes a section that serves the page and nothing else.
pub(super) fn section(
    section: &Section,
    lines: &[Line],
    stats: &mut Stats,
    draft: &mut Draft,
    ledger: &mut Ledger,
) {
    ledger.carried(&section.at, "[stats]");
    stats.found = true;
    for line in lines.iter().filter(|line| line.word(0) == "bind" && !line.inherited) {
        for part in line.word(1).split(',') {
            let place = endpoint(part).and_then(|(ip, port)| Some((ip, port?.parse::<u16>().ok()?)));
            match place.map(|(ip, port)| draft.listen_place(ip, port)) {
                Some(Ok(found)) => {
                    stats.listens.push(quoted(&found.place));
                    match found.assumed {
                        Some(how) => ledger.approximated(&line.at, "[stats] listen", how),
                        None => ledger.carried(&line.at, "[stats] listen"),
                    }
                }
                Some(Err(why)) => ledger.dropped(&line.at, why),
                None => ledger.dropped(&line.at, format!("`{part}` is no address with a port")),
            }
        }
    }
    for line in lines.iter().filter(|line| line.word(0) == "stats") {
        statement(line, stats, ledger);
    }
    for line in
        lines.iter().filter(|line| !line.inherited && line.word(0) != "stats" && line.word(0) != "bind")
    {
        ledger.dropped(&line.at, "the statistics page has its own listener and needs no more");
    }
}

fn statement(line: &Line, stats: &mut Stats, ledger: &mut Ledger) {
    let at = &line.at;
    match line.word(1) {
        "enable" => ledger.carried(at, "[stats]"),
        "uri" => ledger.approximated(at, "[stats] listen", "the page is at / and /stats of its own listener"),
        "auth" => {
            let user = line.word(2).split(':').next().unwrap_or_default().to_owned();
            if !stats.users.contains(&user) {
                stats.users.push(user);
            }
            ledger.approximated(at, "[users.stats]", PASSWORD);
        }
        "refresh" => {
            // Without a unit these are seconds.
            let text = line.word(2);
            let seconds = text.parse::<u64>().ok().and_then(|seconds| seconds.checked_mul(1000));
            stats.refresh =
                seconds.or_else(|| super::parse::millis(text)).map(|time| time.clamp(1000, 3_600_000));
            ledger.carried(at, "[stats] refresh");
        }
        "admin" => {
            stats.is_admin = true;
            let to = "[stats] admins";
            match line.words.get(2..).unwrap_or_default() {
                [word, condition] if word == "if" && condition == "TRUE" => ledger.carried(at, to),
                _ => ledger.approximated(at, to, "whoever knows the password, from anywhere"),
            }
        }
        "show-node" => ledger.carried(at, "[stats]: the page shows the director's name"),
        "realm" | "hide-version" | "show-legends" | "show-desc" | "show-modules" | "scope" => {
            ledger.dropped(at, "the page looks as it does");
        }
        _ => ledger.dropped(at, "there is no word for it"),
    }
}

/// Puts the page into the cluster file.
pub(super) fn finish(stats: Stats, draft: &mut Draft) {
    if !stats.found || stats.listens.is_empty() {
        return;
    }
    let name = draft.fresh("users", "stats");
    let mut table = Table::new("stats");
    table.set("listen", if stats.listens.len() == 1 { stats.listens.concat() } else { list(stats.listens) });
    table.set("users", quoted(&name));
    if stats.is_admin {
        table.set("admins", quoted(&name));
    }
    if let Some(refresh) = stats.refresh {
        table.set("refresh", duration(refresh));
    }
    draft.tables.push(table);
    let users = if stats.users.is_empty() { vec!["admin".to_owned()] } else { stats.users };
    let mut table = Table::new(format!("users.{}", key(&name)));
    table.comments.push("No password fits these hashes: put what `openssl passwd -6` prints.".to_owned());
    for user in users {
        table.set(&key(&user), quoted(NOBODY));
    }
    draft.tables.push(table);
}
