//! Any rules and any request: compiled or refused, decided the same twice, and the trace says what was decided.
//!
//! The input is text: lines of rules, an empty line, a target, a host, headers. Bytes that are no text stand for themselves
//! in the request.

#![no_main]

use std::net::Ipv4Addr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use relevo_model::cluster::{
    Action, Condition, Deny, HeaderEdit, NameTest, Pattern, RateKey, RateLimit, Redirect, Return, Rewrite, Rule, SourceNet,
};
use relevo_proto::rule::{Changes, Course, Headers, Request, Rules, Step, Verdict, trace};

fuzz_target!(|bytes: &[u8]| {
    let Some(cut) = bytes.windows(2).position(|pair| pair == b"\n\n") else { return };
    let text = String::from_utf8_lossy(&bytes[..cut]);
    let lines: Vec<&[u8]> = bytes[cut + 2..].split(|byte| *byte == b'\n').collect();
    let rules: Vec<Rule> = text.lines().take(16).enumerate().filter_map(|(line, text)| rule(line + 1, text)).collect();
    let Ok(rules) = Rules::new(&rules, &[]) else { return };
    let request = Request {
        method: b"GET",
        host: lines.get(1).copied().unwrap_or_default(),
        target: lines.first().copied().unwrap_or_default(),
        headers: &Lines(lines.get(2..).unwrap_or_default()),
        source: Ipv4Addr::new(192, 0, 2, bytes[0]).into(),
        tls: bytes[0] & 1 == 1,
        tls_name: lines.get(1).copied().unwrap_or_default(),
        id: 7,
    };
    let mut course = Course::default();
    let verdict = run(&rules, &request, &mut course);
    let mut again = Course::default();
    assert_eq!(run(&rules, &request, &mut again), verdict);
    assert_eq!(course, again);

    let outcome = trace(&rules, &request, &mut again);
    assert_eq!(outcome.verdict, verdict);
    match verdict {
        Verdict::Default => assert_eq!(outcome.decided, None),
        Verdict::Doubtful(_) => assert!(outcome.tried.is_empty()),
        Verdict::Pool(_) | Verdict::Redirect { .. } | Verdict::Return(_) | Verdict::Deny(_) => {
            let last = outcome.tried.last().expect("one decided");
            assert_eq!((last.matched, Some(last.line)), (true, course.line()));
        }
    }
    if let Verdict::Redirect { to, .. } = verdict {
        assert!(to.iter().all(u8::is_ascii_graphic));
    }
    let mut changes = Changes::default();
    if let Some(path) = rules.change_request(&course, &request, &mut changes) {
        assert!(path.starts_with(b"/") && !path.starts_with(b"//"));
        assert!(path.iter().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(byte)));
    }
    rules.change_response(&course, &request, &mut changes);
    for line in changes.lines.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").expect("whole lines");
        assert!(line.contains(&b':') && !line.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f));
    }
});

fn run<'r>(rules: &'r Rules, request: &Request<'_>, course: &mut Course) -> Verdict<'r> {
    for _ in 0..1000 {
        match rules.step(course, request) {
            Step::Rate { limit, .. } => assert!(limit < rules.limits().len()),
            Step::Auth { .. } => {}
            Step::Done(verdict) => return verdict,
        }
    }
    panic!("it does not end");
}

/// Lines as `name: value`.
struct Lines<'a>(&'a [&'a [u8]]);

impl Headers for Lines<'_> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.iter().filter_map(|line| line.split_at_checked(line.iter().position(|byte| *byte == b':')?)).any(
            |(other, value)| other.eq_ignore_ascii_case(name.as_bytes()) && test(value[1..].trim_ascii()),
        )
    }
}

fn pattern(text: &str) -> Pattern {
    match text.strip_prefix('~') {
        Some(expression) => Pattern::Regex(expression.to_owned()),
        None if text.contains('*') => Pattern::Glob(text.to_owned()),
        None => Pattern::Exact(text.to_owned()),
    }
}

/// Words, the first letter of each says what it is: conditions, then actions.
fn rule(line: usize, text: &str) -> Option<Rule> {
    let (mut when, mut unless) = (Condition::default(), Condition::default());
    let mut actions = Vec::new();
    for word in text.split(' ') {
        let kind = word.chars().next()?;
        let rest = &word[kind.len_utf8()..];
        let (name, value) = rest.split_once('=').unwrap_or((rest, ""));
        let named = || NameTest { name: name.to_owned(), patterns: (value != "-").then(|| vec![pattern(value)]) };
        let edit = || match value {
            "" => HeaderEdit::Delete(name.to_owned()),
            value if value.starts_with('+') => HeaderEdit::Add(name.to_owned(), value.to_owned()),
            value => HeaderEdit::Set(name.to_owned(), value.to_owned()),
        };
        match kind {
            'h' => when.host.push(pattern(rest)),
            'p' => when.path.push(pattern(rest)),
            'H' => when.header.push(named()),
            'q' => when.query.push(named()),
            'c' => when.cookie.push(named()),
            't' => when.tls = Some(rest.is_empty()),
            's' => when.tls_name.push(pattern(rest)),
            'n' => when.source.push(SourceNet { first: Ipv4Addr::new(192, 0, 2, 0).into(), prefix: rest.len() as u8 }),
            'u' => unless.path.push(pattern(rest)),
            'P' => actions.push(Action::Pool("a".into())),
            'R' => actions.push(Action::Redirect(Redirect { to: rest.to_owned(), status: 302 })),
            'T' => {
                let (content_type, body) = (rest.to_owned(), String::new());
                actions.push(Action::Return(Return { status: 200, content_type, body }));
            }
            'D' => actions.push(Action::Deny(Deny { status: 403, after: Duration::ZERO })),
            'e' => actions.push(Action::Request(vec![edit()])),
            'E' => actions.push(Action::Response(vec![edit()])),
            'w' => actions.push(Action::Rewrite(Rewrite::Path(rest.to_owned()))),
            'f' => actions.push(Action::Rewrite(Rewrite::Prefix(name.to_owned(), value.to_owned()))),
            'x' => actions.push(Action::Rewrite(Rewrite::Regex(name.to_owned(), value.to_owned()))),
            'l' => {
                let by = if rest.is_empty() { RateKey::All } else { RateKey::Header(rest.to_owned()) };
                let period = Duration::from_secs(1);
                actions.push(Action::Rate(RateLimit { requests: 1, period, by, status: 429, size: 1 }));
            }
            _ => {}
        }
    }
    let unless = (unless != Condition::default()).then_some(unless);
    Some(Rule { line, when, unless, actions })
}
