//! Rules as ACLs, `http-request` and `use_backend`.
//!
//! A rule of line 12 has ACLs `r12_path` and so on; several lines of one ACL are alternatives, as several patterns are.
//! HAProxy does all `http-request` lines before it looks at any `use_backend`: a rule that follows a choice of pool is tried
//! there in any case, and that is said among what was left out.

use std::fmt::Display;

use relevo_model::ClusterFile;
use relevo_model::cluster::{
    Action, BasicAuth, Condition, Deny, HeaderEdit, Mode, NameTest, Pattern, RateKey, RateLimit, Rewrite,
    Rule, Service,
};

use super::words::{escape, format as log_format, groups, pattern, quote, replacement, seconds};
use super::{Config, backend_name};

/// HAProxy follows at most three counters on a connection; the third is for connections by source.
const COUNTERS: usize = 2;

/// The counting tables of a service's rules.
pub(super) fn write_tables(out: &mut Config, service: &Service) {
    for rule in &service.rules {
        for action in &rule.actions {
            let Action::Rate(rate) = action else { continue };
            out.section(&format!("backend {}", table(service, rule)));
            let kind = match &rate.by {
                RateKey::Source => "ip",
                RateKey::Header(_) => "string len 64",
                RateKey::All => "integer",
            };
            let period = seconds(rate.period);
            out.line(format!(
                "stick-table type {kind} size {} expire {period}s store http_req_rate({period}s)",
                rate.size
            ));
        }
    }
}

fn table(service: &Service, rule: &Rule) -> String {
    format!("{}-rate-{}", service.name, rule.line)
}

/// The rules of a service.
pub(super) fn write(out: &mut Config, cluster: &ClusterFile, service: &Service) {
    let mut chosen = None;
    let mut counters = 0;
    let mut pools = Vec::new();
    for rule in &service.rules {
        let acls = Acls::of(out, rule);
        let Some(conditions) = acls.conditions else { continue };
        for line in acls.lines {
            out.line(line);
        }
        if service.mode == Mode::Http {
            if let Some(before) =
                chosen.filter(|_| rule.actions.iter().any(|action| !matches!(action, Action::Pool(_))))
            {
                out.leave_out(format!(
                    "service {}: HAProxy does what the rule in line {} says also where line {before} chose a pool",
                    service.name, rule.line
                ));
            }
            for action in &rule.actions {
                http(out, service, rule, action, &conditions, &mut counters);
            }
        } else {
            for action in &rule.actions {
                tcp(out, service, rule, action, &conditions);
            }
        }
        for action in &rule.actions {
            if let Action::Pool(pool) = action {
                chosen = Some(rule.line);
                pools.push(format!(
                    "use_backend {}{}",
                    backend_name(cluster, pool.as_str(), service.mode),
                    when(&conditions)
                ));
            }
        }
    }
    for line in pools {
        out.line(line);
    }
}

/// Alternatives, each a list of terms that must all hold. One empty alternative: always.
type Conditions = Vec<Vec<String>>;

fn when(conditions: &Conditions) -> String {
    also(conditions, &[])
}

/// The condition with further terms.
fn also(conditions: &Conditions, more: &[&str]) -> String {
    let one = |terms: &Vec<String>| {
        terms.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>().join(" ")
    };
    let all: Vec<String> = conditions.iter().map(one).collect();
    if all.iter().any(String::is_empty) { String::new() } else { format!(" if {}", all.join(" || ")) }
}

/// Conditions on named things: what they are, how one is looked up, the tests.
type Named<'a> = (&'static str, fn(&str) -> String, &'a [NameTest]);

struct Acls {
    lines: Vec<String>,
    /// `None`: it can never hold.
    conditions: Option<Conditions>,
}

impl Acls {
    fn of(out: &mut Config, rule: &Rule) -> Self {
        let mut acls = Self { lines: Vec::new(), conditions: None };
        let when = acls.terms(out, &format!("r{}", rule.line), &rule.when);
        let Some(unless) = &rule.unless else {
            acls.conditions = Some(vec![when]);
            return acls;
        };
        let unless = acls.terms(out, &format!("r{}_not", rule.line), unless);
        if !unless.is_empty() {
            // Not all of them: one of them not.
            let without = |term: &String| match term.strip_prefix('!') {
                Some(term) => term.to_owned(),
                None => format!("!{term}"),
            };
            acls.conditions =
                Some(unless.iter().map(|term| [when.as_slice(), &[without(term)]].concat()).collect());
        }
        acls
    }

    fn terms(&mut self, out: &mut Config, prefix: &str, condition: &Condition) -> Vec<String> {
        let mut terms = Vec::new();
        self.patterns(
            &mut terms,
            format!("{prefix}_host"),
            "req.hdr(host),field(1,:),lower",
            &condition.host,
        );
        self.patterns(&mut terms, format!("{prefix}_path"), "path", &condition.path);
        if !condition.method.is_empty() {
            self.add(
                &mut terms,
                format!("{prefix}_method"),
                format!("method {}", condition.method.join(" ")),
            );
        }
        let lists: [Named<'_>; 3] = [
            ("header", |name| format!("req.fhdr({name})"), &condition.header),
            ("query", |name| format!("url_param({name}),url_dec"), &condition.query),
            ("cookie", |name| format!("req.cook({name})"), &condition.cookie),
        ];
        for (kind, sample, tests) in lists {
            for (index, test) in tests.iter().enumerate() {
                let name = format!("{prefix}_{kind}{}", index + 1);
                if !test.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
                    out.leave_out(format!(
                        "the condition on {kind} {:?}: HAProxy takes no such name",
                        test.name
                    ));
                    continue;
                }
                let sample = sample(&test.name);
                match &test.patterns {
                    Some(patterns) if !patterns.is_empty() => {
                        self.patterns(&mut terms, name, &sample, patterns)
                    }
                    Some(_) => self.add(&mut terms, name, format!("{sample} -m found")),
                    None => {
                        self.lines.push(format!("acl {name} {sample} -m found"));
                        terms.push(format!("!{name}"));
                    }
                }
            }
        }
        if !condition.source.is_empty() {
            let nets: Vec<String> =
                condition.source.iter().map(|net| format!("{}/{}", net.first, net.prefix)).collect();
            self.add(&mut terms, format!("{prefix}_source"), format!("src {}", nets.join(" ")));
        }
        if let Some(tls) = condition.tls {
            let name = format!("{prefix}_tls");
            self.lines.push(format!("acl {name} ssl_fc"));
            terms.push(if tls { name } else { format!("!{name}") });
        }
        self.patterns(&mut terms, format!("{prefix}_name"), "ssl_fc_sni,lower", &condition.tls_name);
        terms
    }

    fn add(&mut self, terms: &mut Vec<String>, name: String, test: String) {
        self.lines.push(format!("acl {name} {test}"));
        terms.push(name);
    }

    fn patterns(&mut self, terms: &mut Vec<String>, name: String, sample: &str, patterns: &[Pattern]) {
        if patterns.is_empty() {
            return;
        }
        for one in patterns {
            let (method, word) = pattern(one);
            // A word that looks like a flag.
            let flags_end = if word.starts_with('-') { "-- " } else { "" };
            self.lines.push(format!("acl {name} {sample} -m {method} {flags_end}{}", quote(&word)));
        }
        terms.push(name);
    }
}

fn http(
    out: &mut Config,
    service: &Service,
    rule: &Rule,
    action: &Action,
    conditions: &Conditions,
    counters: &mut usize,
) {
    let when = when(conditions);
    match action {
        Action::Pool(_) => {}
        Action::Redirect(redirect) => {
            let to = log_format(&redirect.to);
            out.line(format!("http-request redirect location {to} code {}{when}", redirect.status));
        }
        Action::Return(answer) => {
            let content = quote(&answer.content_type);
            let body = quote(&answer.body);
            let body = if answer.body.is_empty() {
                String::new()
            } else {
                format!(" content-type {content} string {body}")
            };
            out.line(format!("http-request return status {}{body}{when}", answer.status));
        }
        Action::Deny(deny) => out.line(format!("http-request {}{when}", refusal(*deny))),
        Action::Request(edits) => {
            for edit in edits {
                out.line(format!("http-request {}{when}", header(edit)));
            }
        }
        Action::Response(edits) => {
            // The request is gone when the answer comes: what held is kept in a variable.
            let condition = if when.is_empty() {
                String::new()
            } else {
                out.line(format!("http-request set-var(txn.r{}) bool(true){when}", rule.line));
                format!(" if {{ var(txn.r{}) -m bool }}", rule.line)
            };
            for edit in edits {
                out.line(format!("http-response {}{condition}", header(edit)));
            }
        }
        Action::Rewrite(rewrite) => out.line(format!("http-request {}{when}", path(rewrite))),
        Action::Rate(limit) => rate(out, service, rule, limit, conditions, counters),
        Action::Auth(auth) => {
            let BasicAuth { users, realm } = auth;
            let unknown = format!("!{{ http_auth({users}) }}");
            out.line(format!("http-request auth realm {}{}", quote(realm), also(conditions, &[&unknown])));
        }
    }
}

fn rate(
    out: &mut Config,
    service: &Service,
    rule: &Rule,
    limit: &RateLimit,
    conditions: &Conditions,
    counters: &mut usize,
) {
    let counter = *counters;
    *counters += 1;
    if counter >= COUNTERS {
        let what = format!(
            "service {}: the rate limit in line {}; HAProxy counts {COUNTERS}",
            service.name, rule.line
        );
        return out.leave_out(what);
    }
    let key = match &limit.by {
        RateKey::Source => "src".to_owned(),
        RateKey::Header(name) => format!("req.hdr({name})"),
        RateKey::All => "int(1)".to_owned(),
    };
    let table = table(service, rule);
    out.line(format!("http-request track-sc{counter} {key} table {table}{}", when(conditions)));
    let beyond = format!("{{ sc_http_req_rate({counter},{table}) gt {} }}", limit.requests);
    out.line(format!("http-request {}{}", deny(limit.status), also(conditions, &[&beyond])));
}

fn tcp(out: &mut Config, service: &Service, rule: &Rule, action: &Action, conditions: &Conditions) {
    let at = || format!("service {}: what the rule in line {} does in mode tcp", service.name, rule.line);
    match action {
        Action::Pool(_) => {}
        Action::Deny(_) => out.line(format!("tcp-request connection reject{}", when(conditions))),
        Action::Redirect(_)
        | Action::Return(_)
        | Action::Request(_)
        | Action::Response(_)
        | Action::Rewrite(_)
        | Action::Rate(_)
        | Action::Auth(_) => out.leave_out(at()),
    }
}

fn refusal(wish: Deny) -> String {
    match (wish.status, wish.after.is_zero()) {
        (0, _) => "silent-drop".to_owned(),
        (status, true) => deny(status),
        // A tarpit has no other statuses than those with pages.
        (status, false) => {
            format!("tarpit deny_status {}", if PAGES.contains(&status) { status } else { 500 })
        }
    }
}

/// The statuses that HAProxy has pages for.
const PAGES: [u16; 17] =
    [200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 425, 429, 500, 501, 502, 503, 504];

/// A refusal with a status. HAProxy denies with those that it has pages for, and can return any other.
pub(super) fn deny(status: u16) -> String {
    if PAGES.contains(&status) {
        format!("deny deny_status {status}")
    } else {
        format!("return status {status}")
    }
}

fn header(edit: &HeaderEdit) -> String {
    match edit {
        HeaderEdit::Set(name, value) => format!("set-header {} {}", quote(name), log_format(value)),
        HeaderEdit::Add(name, value) => format!("add-header {} {}", quote(name), log_format(value)),
        HeaderEdit::Delete(name) => format!("del-header {}", quote(name)),
    }
}

/// HAProxy replaces the whole path: what is before and after the match is kept by groups around it.
fn path(rewrite: &Rewrite) -> String {
    match rewrite {
        Rewrite::Path(text) => format!("set-path {}", log_format(text)),
        Rewrite::Prefix(from, to) => {
            let (from, to) = (format!("^{}(.*)", escape(from)), format!("{}\\1", literal(to)));
            format!("replace-path {} {}", quote(&from), quote(&to))
        }
        Rewrite::Regex(expression, with) => {
            let (from, last) = (format!("^(.*?)(?:{expression})(.*)$"), groups(expression) + 2);
            let to = format!("\\1{}\\{last}", replacement(&percent(with)));
            format!("replace-path {} {}", quote(&from), quote(&to))
        }
    }
}

fn literal(text: &str) -> String {
    percent(text.replace('\\', "\\\\"))
}

fn percent(text: impl Display) -> String {
    text.to_string().replace('%', "%%")
}
