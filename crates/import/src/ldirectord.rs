//! ldirectord.cf: virtual services of IPVS and how their servers are checked.
//!
//! Source: ldirectord(8) of resource-agents.

use std::net::{IpAddr, Ipv4Addr};

use crate::Input;
use crate::draft::Draft;
use crate::l4::{self, Check, Probe, Real, Virtual};
use crate::ledger::{At, Ledger};

/// A directive.
#[derive(Clone, Debug)]
struct Word {
    at: At,
    name: String,
    value: String,
}

/// Most addresses of a range `A->B`.
const RANGE: u32 = 256;

/// Takes a file.
pub(crate) fn map(input: &Input, draft: &mut Draft, ledger: &mut Ledger) {
    let file = ledger.open_file(&input.path);
    let mut global: Vec<Word> = Vec::new();
    let mut virtuals: Vec<(Word, Vec<Word>)> = Vec::new();
    for (index, raw) in input.text.lines().enumerate() {
        let at = At { file: file.clone(), line: index + 1 };
        let line = raw.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        ledger.open(&at, raw);
        let Some((name, value)) = line.split_once('=') else {
            ledger.dropped(&at, "it is not NAME=VALUE");
            continue;
        };
        let value = value.split(" #").next().unwrap_or_default().trim().to_owned();
        let word = Word { at, name: name.trim().to_ascii_lowercase(), value };
        let indented = raw.starts_with(char::is_whitespace);
        match virtuals.last_mut() {
            _ if word.name == "virtual" || word.name == "virtual6" => virtuals.push((word, Vec::new())),
            Some((_, inside)) if indented => inside.push(word),
            _ => global.push(word),
        }
    }
    for word in &global {
        globally(word, ledger);
    }
    for (head, words) in &virtuals {
        one(head, words, &global, draft, ledger);
    }
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
}

fn globally(word: &Word, ledger: &mut Ledger) {
    let at = &word.at;
    match word.name.as_str() {
        "checktimeout" | "negotiatetimeout" => ledger.carried(at, "every pool: check.timeout"),
        "checkinterval" => ledger.carried(at, "every pool: check.interval"),
        "failurecount" | "checkcount" => ledger.carried(at, "every pool: check.fall"),
        "fallback" => ledger.carried(at, "every pool: fallback"),
        "quiescent" => quiescent(word, "every pool:", ledger),
        "autoreload" => {
            ledger.dropped(at, "`relevo reload` (or SIGHUP) loads the cluster file, when you say so")
        }
        "logfile" => ledger.dropped(at, "the log is the journal's; [log] is for accesses"),
        "emailalert" | "emailalertfrom" | "emailalertfreq" | "emailalertstatus" | "smtp" => {
            ledger.dropped(at, "Relevo sends no mail: watch the log or the metrics");
        }
        "execute" => ledger.dropped(at, "there is one cluster file: give that file to the importer as well"),
        "fork" | "supervised" | "cleanstop" | "maintenancedir" | "callback" | "fallbackcommand"
        | "readdquiescent" => ledger.dropped(at, instead(&word.name)),
        "checkintervals" => ledger.dropped(at, "there is one interval"),
        _ => {}
    }
}

fn quiescent(word: &Word, to: &str, ledger: &mut Ledger) {
    if unquoted(&word.value) == "no" {
        ledger.carried(&word.at, format!("{to} on_marked_down = \"shutdown-sessions\""));
    } else {
        ledger.carried(
            &word.at,
            format!("{to} on_marked_down = \"retry\", the default: what is under way goes on"),
        );
    }
}

fn endpoint(text: &str) -> Option<(Ipv4Addr, u16)> {
    let (ip, port) = text.rsplit_once(':')?;
    Some((ip.parse().ok()?, l4::port(port)?))
}

fn one(head: &Word, words: &[Word], global: &[Word], draft: &mut Draft, ledger: &mut Ledger) {
    let drop_all = |why: &str, ledger: &mut Ledger| {
        for word in std::iter::once(head).chain(words) {
            ledger.dropped(&word.at, why);
        }
    };
    let value = unquoted(&head.value);
    let place = match endpoint(value) {
        Some((ip, port)) => (IpAddr::V4(ip), port),
        None if value.parse::<u32>().is_ok() => {
            drop_all("a firewall mark is no place to listen at: name its addresses and ports", ledger);
            return;
        }
        None => {
            drop_all("it is no IPv4 address with a port", ledger);
            return;
        }
    };
    let find = |name: &str| {
        let own = words.iter().rev().find(|word| word.name == name);
        own.or_else(|| global.iter().rev().find(|word| word.name == name)).map(|word| unquoted(&word.value))
    };
    let number = |name: &str| find(name).and_then(|text| text.parse::<u64>().ok());
    let udp = find("protocol") == Some("udp") || find("protocol").is_none() && place.1 == 53;
    let mut reals: Vec<Real> = Vec::new();
    let mut wants: Option<(String, String)> = None;
    for word in words.iter().filter(|word| word.name == "real") {
        real(word, find("checkport"), &mut reals, &mut wants, ledger);
    }
    let interval = number("checkinterval").unwrap_or(10).saturating_mul(1000);
    let timeout = number("negotiatetimeout").filter(|_| find("checktype") == Some("negotiate"));
    let timeout = timeout.or(number("checktimeout")).unwrap_or(5).saturating_mul(1000);
    let (probe, how) = probe(&find, place.1, wants);
    let fallback =
        find("fallback").and_then(|text| endpoint(text.split_whitespace().next().unwrap_or_default()));
    let mut ways = words
        .iter()
        .filter(|word| word.name == "real")
        .map(|word| unquoted(&word.value).split_whitespace().nth(1).unwrap_or("masq"));
    let direct = ways.all(|way| way == "gate");
    let made = l4::put(
        &Virtual {
            direct,
            places: vec![place],
            udp,
            scheduler: find("scheduler").map(str::to_owned),
            persistent: number("persistent"),
            reals: reals.clone(),
            fallback: fallback.map(|(ip, port)| (IpAddr::V4(ip), port)),
            check: Check {
                probe,
                interval,
                fast: None,
                timeout,
                rise: 1,
                fall: number("failurecount").and_then(|number| u32::try_from(number).ok()).unwrap_or(1),
            },
            cuts: find("quiescent") == Some("no"),
        },
        draft,
    );
    let made = match made {
        Ok(made) => made,
        Err(why) => {
            drop_all(&why, ledger);
            return;
        }
    };
    let (service, pool) = (format!("[{}]", made.service), format!("[{}]", made.pool));
    if made.assumed.is_empty() {
        ledger.carried(&head.at, format!("{service} listen"));
    } else {
        ledger.approximated(&head.at, format!("{service} listen"), made.assumed.join("; "));
    }
    for word in words {
        let at = &word.at;
        let text = unquoted(&word.value);
        match word.name.as_str() {
            "real" => {
                if reals.iter().any(|real| real.at == *at) {
                    let way = text.split_whitespace().nth(1).unwrap_or("masq");
                    match (way, &made.obstacle) {
                        ("gate", None) if direct => {
                            ledger.carried(at, format!("{pool} server, {service} forward"));
                        }
                        ("gate" | "ipip", why) => {
                            let why = why.as_ref().map_or(String::new(), |why| format!(": {why}"));
                            let how = format!("`{way}`: answers go through the director here{why}");
                            ledger.approximated(at, format!("{pool} server"), how);
                        }
                        _ => ledger.carried(at, format!("{pool} server")),
                    }
                }
            }
            "fallback" => match fallback {
                Some(_) => ledger.carried(at, format!("{pool} fallback")),
                None => ledger.dropped(at, "it is no IPv4 address with a port"),
            },
            "scheduler" => match l4::balance(text).1 {
                Some(how) => ledger.approximated(at, format!("{pool} balance"), how),
                None => ledger.carried(at, format!("{pool} balance")),
            },
            "persistent" => ledger.carried(at, format!("{pool} affinity")),
            "netmask" => ledger.dropped(at, "each client address stays by itself"),
            "protocol" => ledger.carried(at, format!("{service} mode")),
            "checktype" | "service" | "request" | "receive" | "virtualhost" | "httpmethod"
            | "checkcommand" => match &how {
                Some(how) => ledger.approximated(at, format!("{pool} check"), how.clone()),
                None => ledger.carried(at, format!("{pool} check")),
            },
            "checkport" => ledger.carried(at, format!("{pool} server: check_port")),
            "checktimeout" | "negotiatetimeout" => ledger.carried(at, format!("{pool} check")),
            "checkinterval" => ledger.carried(at, format!("{pool} check")),
            "failurecount" | "checkcount" => ledger.carried(at, format!("{pool} check")),
            "quiescent" => quiescent(word, &pool, ledger),
            "login" | "passwd" | "database" | "secret" | "load" => {
                ledger.dropped(at, "checks know no protocol's password: write a `script` or a `command`");
            }
            "emailalert" | "emailalertfrom" | "emailalertfreq" | "emailalertstatus" | "smtp" => {
                ledger.dropped(at, "Relevo sends no mail: watch the log or the metrics");
            }
            name => ledger.dropped(at, instead(name)),
        }
    }
}

/// What stands for a word that the cluster file does not have.
fn instead(name: &str) -> &'static str {
    match name {
        "fork" => "no check waits for another one",
        "supervised" => "systemd sees to the process: the unit is in the guide",
        "cleanstop" => "a director that is stopped gives its addresses to the next one",
        "maintenancedir" => "`relevo server maint` takes a server out of work, for a time if you like",
        "callback" => "one cluster file is for all directors: copy it, then `relevo reload`",
        "fallbackcommand" => "nothing is run: `relevo_pool_up` of the metrics and the log tell of it",
        "readdquiescent" => "a server that a file adds counts as unknown until its first check",
        "ops" => "datagrams of one client address and port stay with a server for `timeout.client`",
        _ => "there is no word for it",
    }
}

/// `real=A[->B]:PORT gate|masq|ipip [WEIGHT] ["REQUEST", "RECEIVE"]`.
fn real(
    word: &Word,
    check_port: Option<&str>,
    reals: &mut Vec<Real>,
    wants: &mut Option<(String, String)>,
    ledger: &mut Ledger,
) {
    let text = word.value.replace(" -> ", "->");
    let mut parts = text.split_whitespace();
    let place = parts.next().unwrap_or_default();
    let (place, port) = place.rsplit_once(':').unwrap_or((place, ""));
    let (first, last) = place.split_once("->").unwrap_or((place, place));
    let (Ok(first), Ok(last), Some(port)) =
        (first.parse::<Ipv4Addr>(), last.parse::<Ipv4Addr>(), l4::port(port))
    else {
        ledger.dropped(&word.at, "it is no IPv4 address with a port: names are not looked up");
        return;
    };
    let (from, to) = (first.to_bits(), last.to_bits());
    if to < from || to - from >= RANGE {
        ledger.dropped(&word.at, format!("a range has at most {RANGE} addresses"));
        return;
    }
    let _way = parts.next();
    let weight = parts.clone().next().and_then(|text| text.parse::<u32>().ok());
    if let Some((_, quoted)) = word.value.split_once('"') {
        let strings: Vec<&str> = quoted.split('"').step_by(2).collect();
        if let [request, receive, ..] = strings.as_slice() {
            wants.get_or_insert_with(|| ((*request).to_owned(), (*receive).to_owned()));
        }
    }
    let check_port = check_port.and_then(l4::port);
    for ip in (from..=to).map(Ipv4Addr::from_bits) {
        reals.push(Real { at: word.at.clone(), ip: IpAddr::V4(ip), port, weight, most: None, check_port });
    }
}

fn probe<'a>(
    find: &impl Fn(&str) -> Option<&'a str>,
    port: u16,
    wants: Option<(String, String)>,
) -> (Probe, Option<String>) {
    let kind = find("checktype").unwrap_or("negotiate");
    let service = find("service").map(str::to_owned).unwrap_or_else(|| match port {
        80 => "http".to_owned(),
        443 => "https".to_owned(),
        _ => "none".to_owned(),
    });
    match kind {
        "off" | "on" => (Probe::None, None),
        "ping" => (Probe::Ping, None),
        "external" | "external-perl" => match find("checkcommand").filter(|command| !command.is_empty()) {
            Some(command) => (
                Probe::Command(command.split_whitespace().map(str::to_owned).collect()),
                Some("the server is in RELEVO_SERVER_ADDRESS and _PORT, not in arguments".to_owned()),
            ),
            None => (Probe::Connect, Some("it names no command: connections are made".to_owned())),
        },
        "negotiate" | "combined" if matches!(service.as_str(), "http" | "https") => {
            let (request, receive) = wants.unwrap_or_default();
            let path = find("request").map_or(request, str::to_owned);
            let receive = find("receive").map_or(receive, str::to_owned);
            let mut expected = Vec::new();
            if !receive.is_empty() {
                expected.push(("regex", receive));
            }
            let probe = Probe::Http {
                path,
                method: find("httpmethod").unwrap_or("GET").to_ascii_uppercase(),
                host: find("virtualhost").map(str::to_owned),
                wants: expected,
                tls: service == "https",
            };
            (probe, None)
        }
        "connect" => (Probe::Connect, None),
        _ if kind.parse::<u32>().is_ok() => {
            (Probe::Connect, Some("connections are made every time".to_owned()))
        }
        _ => {
            (Probe::Connect, Some(format!("of `{service}` only that it can be connected: write a `script`")))
        }
    }
}
