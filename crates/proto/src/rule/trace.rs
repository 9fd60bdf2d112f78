//! Why the rules say what they say, in words. It asks the same functions as a request does.

use super::condition::{Conditions, Doubt, Part};
use super::path::Readings;
use super::pattern::words;
use super::request::{Facts, Request};
use super::set::{Act, Course, Rules, Step, Verdict};
use relevo_model::cluster::{NameTest, Pattern};

/// A rule that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Its line in the file.
    pub line: usize,
    /// Whether its conditions hold.
    pub matched: bool,
    /// Why, or why not: a sentence without its full stop.
    pub why: String,
    /// What it does, if it matched; without what the last one in [`Outcome`] says.
    pub does: Vec<String>,
}

/// How the rules decide, if every rate allows it and every password is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome<'r> {
    /// The rules in the order they were tried, up to the one that decides.
    pub tried: Vec<Tried>,
    /// What they say.
    pub verdict: Verdict<'r>,
    /// The line of the rule that decided; `None`: none did.
    pub decided: Option<usize>,
}

/// Tries the rules and notes why each matched or did not.
pub fn trace<'r>(rules: &'r Rules, request: &Request<'_>, course: &mut Course) -> Outcome<'r> {
    course.restart();
    let verdict = loop {
        match rules.step(course, request) {
            Step::Rate { .. } | Step::Auth { .. } => {}
            Step::Done(verdict) => break verdict,
        }
    };
    let decided = course.line().filter(|_| !matches!(verdict, Verdict::Default | Verdict::Doubtful(_)));
    let mut tried = Vec::new();
    if !matches!(verdict, Verdict::Doubtful(_)) {
        let facts = Facts::new(request);
        for rule in &rules.rules {
            let failing = rule.when.failing(&facts, rule.doubt);
            let excepted = rule
                .unless
                .as_ref()
                .filter(|unless| failing.is_none() && unless.failing(&facts, rule.doubt.other()).is_none());
            let matched = failing.is_none() && excepted.is_none();
            let why = match (failing, excepted) {
                (Some(part), _) => rule.when.why_not(part, &facts, rule.doubt),
                (None, Some(unless)) => format!("its `unless` holds: {}", unless.why(&facts)),
                (None, None) => rule.when.why(&facts),
            };
            let does = if matched { rule.actions.iter().filter_map(does).collect() } else { Vec::new() };
            tried.push(Tried { line: rule.line, matched, why, does });
            if matched && decided == Some(rule.line) && rule.actions.iter().any(is_last) {
                break;
            }
        }
    }
    Outcome { tried, verdict, decided }
}

fn is_last(act: &Act) -> bool {
    matches!(act, Act::Pool(_) | Act::Redirect { .. } | Act::Return(_) | Act::Deny(_))
}

fn does(act: &Act) -> Option<String> {
    let count = |n: usize, what: &str| if n == 1 { format!("one {what}") } else { format!("{n} {what}s") };
    match act {
        Act::Request(edits) => Some(format!("changes {} of the request", count(edits.len(), "header"))),
        Act::Response(edits) => Some(format!("changes {} of the answer", count(edits.len(), "header"))),
        Act::Rewrite(_) => Some("gives the server another path".to_owned()),
        Act::Rate(_) => Some("counts the request, and refuses it beyond the rate".to_owned()),
        Act::Auth { users, .. } => Some(format!("asks for a name and password of {}", users.name)),
        Act::Pool(_) | Act::Redirect { .. } | Act::Return(_) | Act::Deny(_) => None,
    }
}

impl Conditions {
    /// Why it does not hold.
    fn why_not(&self, part: Part, facts: &Facts<'_>, doubt: Doubt) -> String {
        let (request, written) = (&facts.request, &self.written);
        match part {
            Part::Tls if request.tls => "it comes over TLS".to_owned(),
            Part::Tls => "it does not come over TLS".to_owned(),
            Part::Source => {
                let nets: Vec<_> =
                    written.source.iter().map(|net| format!("{}/{}", net.first, net.prefix)).collect();
                format!("the source {} is not in {}", request.source, or(&nets))
            }
            Part::Method => format!("the method is {}, not {}", text(request.method), or(&written.method)),
            Part::Host if facts.host.is_empty() => {
                format!("there is no host, and it must be {}", patterns(&written.host))
            }
            Part::Host => format!("the host {} is not {}", text(&facts.host), patterns(&written.host)),
            Part::TlsName if request.tls_name.is_empty() => {
                format!("no TLS name was asked for, and it must be {}", patterns(&written.tls_name))
            }
            Part::TlsName => {
                format!("the TLS name {} is not {}", text(request.tls_name), patterns(&written.tls_name))
            }
            Part::Path => match (facts.readings.resolved(), doubt) {
                (Some(resolved), Doubt::Differs) => format!(
                    "the path {} can also be read as {}, and not both are {}",
                    text(facts.path),
                    text(resolved),
                    patterns(&written.path)
                ),
                (None | Some(_), Doubt::Matches | Doubt::Differs) => {
                    format!("the path {} is not {}", text(facts.path), patterns(&written.path))
                }
            },
            Part::Header(index) => named("header", written.header.get(index)),
            Part::Cookie(index) => named("cookie", written.cookie.get(index)),
            Part::Query(index) => named("query parameter", written.query.get(index)),
        }
    }

    /// What holds.
    fn why(&self, facts: &Facts<'_>) -> String {
        let (request, written) = (&facts.request, &self.written);
        let mut parts = Vec::new();
        if !written.host.is_empty() {
            parts.push(format!("the host {} is {}", text(&facts.host), patterns(&written.host)));
        }
        if !written.path.is_empty() {
            let Readings { plain, .. } = &facts.readings;
            let other = facts
                .readings
                .resolved()
                .map_or(String::new(), |other| format!(" (also read as {})", text(other)));
            parts.push(format!("the path {}{other} is {}", text(plain), patterns(&written.path)));
        }
        if !written.method.is_empty() {
            parts.push(format!("the method is {}", text(request.method)));
        }
        if !written.source.is_empty() {
            let nets: Vec<_> =
                written.source.iter().map(|net| format!("{}/{}", net.first, net.prefix)).collect();
            parts.push(format!("the source {} is in {}", request.source, or(&nets)));
        }
        if let Some(tls) = written.tls {
            parts.push(if tls { "it comes over TLS" } else { "it does not come over TLS" }.to_owned());
        }
        if !written.tls_name.is_empty() {
            parts.push(format!("the TLS name {} is {}", text(request.tls_name), patterns(&written.tls_name)));
        }
        for (what, tests) in
            [("header", &written.header), ("cookie", &written.cookie), ("query parameter", &written.query)]
        {
            parts.extend(tests.iter().map(|test| match test.patterns.as_deref() {
                None => format!("there is no {what} {}", test.name),
                Some([]) => format!("there is a {what} {}", test.name),
                Some(list) => format!("the {what} {} is {}", test.name, patterns(list)),
            }));
        }
        match parts.as_slice() {
            [] => "it has no conditions".to_owned(),
            [one] => one.clone(),
            [head @ .., last] => format!("{}, and {last}", head.join(", ")),
        }
    }
}

fn named(what: &str, test: Option<&NameTest>) -> String {
    match test.map(|test| (&test.name, test.patterns.as_deref())) {
        None => format!("a {what} differs"),
        Some((name, None)) => format!("there is a {what} {name}"),
        Some((name, Some([]))) => format!("there is no {what} {name}"),
        // Without the value: it may be a secret.
        Some((name, Some(list))) => format!("no {what} {name} is {}", patterns(list)),
    }
}

fn patterns(list: &[Pattern]) -> String {
    or(&list.iter().map(words).collect::<Vec<_>>())
}

fn or(list: &[String]) -> String {
    match list {
        [] => "anything".to_owned(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}

/// Bytes of a request as text for a terminal.
fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
