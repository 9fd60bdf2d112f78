//! `[[service.NAME.rule]]`: conditions and actions, and whether rules make sense one after the other.

use super::actions;
use super::conditions;
use super::fields::Fields;
use super::findings::Findings;
use super::names::Names;
use super::tree::Item;
use crate::cluster::{Action, Condition, Mode, Rule, Service};
use crate::reference::RULE;

/// Most rules of one service.
const MOST: usize = 256;

/// Reads a service's rules. `mode`: if it is known; of `service` what is before its rules is read.
pub(super) fn read(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    mode: Option<Mode>,
    service: &Service,
    pools: &Names,
    users: &Names,
) -> Vec<Rule> {
    let example = format!("[[service.{}.rule]] and below it when = {{ ... }} and what to do", service.name);
    let Some(list) = item.value.as_array() else {
        let message = "`rule` must be a list of tables";
        findings.value(&item.span, message, format!("write {example}"));
        return Vec::new();
    };
    if list.len() > MOST {
        findings.value(&item.span, format!("there are more than {MOST} rules"), "split the service");
    }
    let known = actions::Known { service, pools, users };
    let mut rules = Vec::new();
    let mut whole: Option<usize> = None;
    for value in list.iter().take(MOST) {
        let entry = item.of_list(value);
        let Some(table) = entry.value.as_table() else {
            findings.value(&entry.span, "a rule must be a table", format!("write {example}"));
            continue;
        };
        let fields = Fields::open(findings, table, &entry.span, "a rule", &[&RULE]);
        if let Some(mode) = mode.filter(|mode| *mode != Mode::Udp) {
            fields.fit(findings, mode, &RULE);
        }
        let rule = rule(findings, &fields, mode, &known);
        if let Some(line) = whole {
            let message =
                format!("this rule is never tried: the one of line {line} decides about everything");
            findings.lint(fields.span(), message, "put it before, or give that one conditions");
        } else if always_ends(&rule) {
            whole = Some(rule.line);
        }
        rules.push(rule);
    }
    rules
}

/// Whether no request gets past a rule.
pub(super) fn always_ends(rule: &Rule) -> bool {
    rule.when == Condition::default() && rule.unless.is_none() && rule.actions.iter().any(actions::is_last)
}

fn rule(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    mode: Option<Mode>,
    known: &actions::Known<'_>,
) -> Rule {
    let line = findings.line_of(fields.span());
    let [when, unless] = ["when", "unless"].map(|key| {
        let item = fields.find(key)?;
        conditions::read(findings, item, mode, known.service)
    });
    let actions = actions::read(findings, fields, known);
    let acts = fields.of(&RULE).any(|item| !["when", "unless"].contains(&item.name));
    if !acts {
        let hint = match mode {
            Some(Mode::Tcp) => "add pool = \"NAME\" or deny = \"silent\"",
            Some(Mode::Http | Mode::Udp) | None => {
                "add pool, redirect, return or deny, or a change such as set_header = { X-A = \"b\" }"
            }
        };
        findings.error(fields.span(), "the rule does nothing", hint);
    }
    plausible(findings, fields, &actions, when.as_ref(), known);
    if mode == Some(Mode::Tcp) {
        stream(findings, fields);
    }
    Rule { line, when: when.unwrap_or_default(), unless, actions }
}

/// In mode `tcp` nobody would understand a status.
fn stream(findings: &mut Findings<'_>, fields: &Fields<'_>) {
    if let Some(item) = fields.find("deny")
        && item.value.as_integer().is_some()
    {
        let message = "a status has no meaning in mode `tcp`: there is no answer";
        findings.error(&item.span, message, "write deny = \"silent\"");
    }
}

/// Rules that are right and do not do what was meant.
fn plausible(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    actions: &[Action],
    when: Option<&Condition>,
    known: &actions::Known<'_>,
) {
    let tls = known.service.listen.iter().any(|listen| listen.tls);
    for action in actions {
        if let (Action::Redirect(redirect), Some(item)) = (action, fields.find("redirect"))
            && ["https://{host}{uri}", "http://{host}{uri}", "{uri}"].contains(&redirect.to.as_str())
        {
            let to_tls = redirect.to.starts_with("https");
            let plain = when.is_some_and(|when| when.tls == Some(!to_tls));
            let itself = redirect.to == "{uri}" || (if to_tls { tls } else { !tls }) && !plain;
            if itself && fields.find("unless").is_none() {
                let message = "clients are sent to where they came from, again and again";
                let hint = if to_tls { "add tls = false to `when`" } else { "send them elsewhere" };
                findings.lint(&item.span, message, hint);
            }
        }
        if let (Action::Auth(_), Some(item), false) = (action, fields.find("basic_auth"), tls) {
            let message = "passwords travel in clear: the service does not listen with TLS";
            findings.lint(&item.key, message, "write listen = { at = \"front:443\", tls = true } and `tls`");
        }
    }
}
