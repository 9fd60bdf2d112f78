//! `option httpchk`, `http-check`, `option tcp-check`, `tcp-check` and the times of checks.

use super::parse::{Line, millis};
use super::statuses;
use crate::balancer::duration;
use crate::draft::{key, list, quoted};
use crate::ledger::{At, Ledger};

/// How a pool's servers are checked.
#[derive(Debug, Default)]
pub(super) struct Check {
    /// Some server has `check`.
    pub(super) wanted: bool,
    pub(super) tls: bool,
    /// Milliseconds.
    pub(super) interval: Option<u64>,
    pub(super) fast: Option<u64>,
    pub(super) down: Option<u64>,
    pub(super) rise: Option<u32>,
    pub(super) fall: Option<u32>,
    timeout: Option<u64>,
    /// Where `timeout check` stands, and what it became.
    timeout_at: Option<(At, String)>,
    http: Option<Http>,
    steps: Vec<String>,
    is_script: bool,
    command: Option<String>,
}

#[derive(Debug)]
struct Http {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    expect: Option<(&'static str, String)>,
    disable_on_404: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            method: "OPTIONS".to_owned(),
            path: "/".to_owned(),
            headers: Vec::new(),
            expect: None,
            disable_on_404: false,
        }
    }
}

/// Takes a line that is about checks.
pub(super) fn statement(line: &Line, to: &str, check: &mut Check, ledger: &mut Ledger) -> bool {
    let at = &line.at;
    let to = format!("{to} check");
    match (line.word(0), line.word(1)) {
        ("option", "httpchk") => {
            let http = check.http.get_or_insert_default();
            match (line.word(2), line.word(3)) {
                ("", _) => {}
                (path, "") => path.clone_into(&mut http.path),
                (method, path) => {
                    method.clone_into(&mut http.method);
                    path.clone_into(&mut http.path);
                }
            }
            // An old way to add headers: behind the version.
            let rest = line.words.get(4..).unwrap_or_default().join(" ");
            for part in rest.replace("\\r\\n", "\n").lines().skip(1) {
                if let Some((name, value)) = part.split_once(':') {
                    http.headers.push((name.trim().to_owned(), value.trim().to_owned()));
                }
            }
            ledger.carried(at, to);
        }
        ("http-check", "send") => {
            let http = check.http.get_or_insert_default();
            let mut words = line.words.iter().skip(2).map(String::as_str);
            let mut how = None;
            while let Some(word) = words.next() {
                let value = words.next().unwrap_or_default();
                match word {
                    "meth" => value.clone_into(&mut http.method),
                    "uri" => value.clone_into(&mut http.path),
                    "hdr" => {
                        let text = words.next().unwrap_or_default();
                        http.headers.push((value.to_owned(), text.to_owned()));
                    }
                    "ver" => {}
                    other => how = Some(format!("without `{other}`")),
                }
            }
            match how {
                Some(how) => ledger.approximated(at, to, how),
                None => ledger.carried(at, to),
            }
        }
        ("http-check", "expect") => {
            let rest: Vec<&str> = line.words.iter().skip(2).map(String::as_str).collect();
            let value = rest.get(1..).unwrap_or_default().join(" ");
            let expect = match rest.first() {
                Some(&"string") => Some(("text", value)),
                Some(&"rstring") => Some(("regex", value)),
                _ => statuses::read(&rest).map(|statuses| ("expect", statuses)),
            };
            if expect.is_none() {
                ledger.dropped(at, "a check expects statuses, a text or an expression");
                return true;
            }
            check.http.get_or_insert_default().expect = expect;
            ledger.carried(at, to);
        }
        ("http-check", "disable-on-404") => {
            check.http.get_or_insert_default().disable_on_404 = true;
            ledger.carried(at, to);
        }
        ("http-check" | "tcp-check", "connect") => connect(line, to, check, ledger),
        ("http-check", _) => ledger.dropped(at, "a check is one request and what it expects"),
        ("option", "tcp-check") => {
            check.is_script = true;
            ledger.carried(at, to);
        }
        ("tcp-check", "send") => {
            check.steps.push(format!("{{ send = {} }}", quoted(&unescaped(line.word(2)))));
            ledger.carried(at, to);
        }
        ("tcp-check", "expect") if matches!(line.word(2), "string" | "rstring") => {
            let key = if line.word(2) == "string" { "expect" } else { "regex" };
            let text = line.words.get(3..).unwrap_or_default().join(" ");
            check.steps.push(format!("{{ {key} = {} }}", quoted(&unescaped(&text))));
            ledger.carried(at, to);
        }
        ("tcp-check", _) => ledger.dropped(at, "a script sends text and waits for text or an expression"),
        ("external-check", "command") => {
            check.command = Some(line.word(2).to_owned());
            ledger.approximated(
                at,
                to,
                "the server is in RELEVO_SERVER_ADDRESS, _PORT and _NAME, not in arguments",
            );
        }
        ("external-check", _) => ledger.dropped(at, "the command has the node's own environment"),
        ("option", "external-check") => ledger.carried(at, to),
        (
            "option",
            kind @ ("mysql-check" | "pgsql-check" | "redis-check" | "smtpchk" | "ldap-check"
            | "ssl-hello-chk" | "spop-check"),
        ) => match kind {
            "redis-check" => {
                check.is_script = true;
                check.steps =
                    vec!["{ send = \"PING\\r\\n\" }".to_owned(), "{ expect = \"+PONG\" }".to_owned()];
                ledger.carried(at, to);
            }
            "smtpchk" => {
                check.is_script = true;
                check.steps = vec!["{ expect = \"220\" }".to_owned(), "{ send = \"QUIT\\r\\n\" }".to_owned()];
                ledger.approximated(at, to, "it waits for the greeting, no more");
            }
            _ => {
                ledger.approximated(at, to, "only that it can be connected: write a `script` or a `command`")
            }
        },
        ("timeout", "check") => match millis(line.word(2)).filter(|time| *time > 0) {
            Some(time) => {
                check.timeout = Some(time);
                check.timeout_at = Some((at.clone(), format!("{to}.timeout")));
                ledger.carried(at, format!("{to}.timeout"));
            }
            None => ledger.dropped(at, "it is not a time"),
        },
        _ => return false,
    }
    true
}

/// `http-check connect`, `tcp-check connect`: how a check connects when servers' own lines do not count.
fn connect(line: &Line, to: String, check: &mut Check, ledger: &mut Ledger) {
    let mut hows = Vec::new();
    let mut words = line.words.iter().skip(2).map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "ssl" => check.tls = true,
            "default" | "linger" => {}
            "comment" => drop(words.next()),
            "port" => {
                let port = words.next().unwrap_or_default();
                hows.push(format!("without `port {port}`: write check_port = {port} at the servers"));
            }
            "send-proxy" | "via-socks4" => hows.push(format!("without `{word}`")),
            other => hows.push(format!("without `{other} {}`", words.next().unwrap_or_default())),
        }
    }
    if hows.is_empty() {
        ledger.carried(&line.at, to);
    } else {
        ledger.approximated(&line.at, to, hows.join("; "));
    }
}

fn unescaped(text: &str) -> String {
    text.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t").replace("\\\\", "\\")
}

impl Check {
    /// Milliseconds from one check to the next.
    fn every(&self) -> u64 {
        self.interval.unwrap_or(2000).clamp(10, 3_600_000)
    }

    /// The shortest time between two checks, ms: a check takes no longer.
    fn shortest(&self) -> u64 {
        let every = self.every();
        let fast = self.fast.map(|fast| fast.clamp(10, every));
        let down = self.down.map(|down| down.clamp(10, 3_600_000));
        [fast, down].into_iter().flatten().fold(every, u64::min)
    }

    /// Tells that a check has less time than it had.
    pub(super) fn tell_shortened(&self, ledger: &mut Ledger) {
        if let (Some(timeout), Some((at, to))) = (self.timeout, &self.timeout_at)
            && timeout > self.shortest()
        {
            let how =
                format!("a check is over before the next one begins: {} ms in this pool", self.shortest());
            ledger.approximated(at, to, how);
        }
    }

    /// The value of the pool's `check`.
    pub(super) fn text(&self, unchecked: bool, _is_http: bool) -> String {
        if unchecked {
            return quoted("none");
        }
        let mut parts: Vec<String> = Vec::new();
        if let Some(http) = &self.http {
            let path = if http.path.starts_with('/') { http.path.clone() } else { format!("/{}", http.path) };
            parts.push(format!("http = {}", quoted(&path)));
            if http.method != "GET" {
                parts.push(format!("method = {}", quoted(&http.method)));
            }
            let host = http.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
            if let Some((_, host)) = host {
                parts.push(format!("host = {}", quoted(host)));
            }
            let more: Vec<String> = http
                .headers
                .iter()
                .filter(|(name, _)| !name.eq_ignore_ascii_case("host"))
                .map(|(name, value)| format!("{} = {}", key(name), quoted(value)))
                .collect();
            if !more.is_empty() {
                parts.push(format!("headers = {{ {} }}", more.join(", ")));
            }
            if let Some((key, value)) = &http.expect {
                parts.push(format!("{key} = {}", quoted(value)));
            }
            if http.disable_on_404 {
                parts.push("disable_on_404 = true".to_owned());
            }
        } else if let Some(command) = &self.command {
            parts.push(format!("command = [{}]", quoted(command)));
        } else if self.is_script && !self.steps.is_empty() {
            parts.push(format!("script = {}", list(self.steps.clone())));
        } else {
            parts.push("connect = true".to_owned());
        }
        if self.tls {
            parts.push("tls = true".to_owned());
        }
        let interval = self.every();
        parts.push(format!("interval = {}", duration(interval)));
        let fast = self.fast.map(|fast| fast.clamp(10, interval));
        let down = self.down.map(|down| down.clamp(10, 3_600_000));
        for (key, value) in [("fast_interval", fast), ("down_interval", down)] {
            parts.extend(value.map(|value| format!("{key} = {}", duration(value))));
        }
        if let Some(timeout) = self.timeout {
            parts.push(format!("timeout = {}", duration(timeout.min(self.shortest()))));
        }
        for (key, value, usual) in [("rise", self.rise, 2), ("fall", self.fall, 3)] {
            parts.push(format!("{key} = {}", value.unwrap_or(usual).clamp(1, 1000)));
        }
        format!("{{ {} }}", parts.join(", "))
    }
}
