//! ACLs and `if`/`unless` as `when` and `unless` of rules.
//!
//! A condition is an OR of ANDs; each AND becomes a rule of its own. What `when` and `unless` cannot say is refused, with why.

use std::collections::BTreeMap;

use super::parse::Line;
use crate::draft::{key, list, quoted};

/// What an ACL compares, and with what: any of the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// A key of `when`, for headers and the like with a name; patterns.
    Pattern { key: &'static str, name: Option<String>, values: Vec<String> },
    /// It is there.
    There { key: &'static str, name: String },
    /// TLS or not.
    Tls,
    /// Always.
    Always,
    /// `http_auth(LIST)`.
    Auth(String),
}

/// The ACLs of a section.
pub(super) type Acls = BTreeMap<String, Vec<Result<Test, String>>>;

/// The text of `when` and of `unless` of one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Guard {
    pub(super) when: Option<String>,
    pub(super) unless: Option<String>,
    /// The list that a negated `http_auth` names.
    pub(super) auth: Option<String>,
}

/// Most rules that one condition becomes.
const ALTERNATIVES: usize = 32;

/// The ACLs among a section's lines.
pub(super) fn acls(lines: &[Line]) -> Acls {
    let mut acls = Acls::new();
    for line in lines.iter().filter(|line| line.word(0) == "acl" && line.words.len() > 2) {
        acls.entry(line.word(1).to_owned()).or_default().push(test(&line.words[2..]));
    }
    acls
}

/// The guards of the condition in these words, which begin with `if` or `unless`; none: always.
pub(super) fn guards(words: &[String], acls: &Acls) -> Result<Vec<Guard>, String> {
    let Some(first) = words.first() else { return Ok(vec![Guard::default()]) };
    let negated = match first.as_str() {
        "if" => false,
        "unless" => true,
        other => return Err(format!("`{other}` is not understood here")),
    };
    let alternatives = alternatives(&words[1..], acls)?;
    if !negated {
        return alternatives.iter().map(|terms| guard(terms)).collect();
    }
    match alternatives.as_slice() {
        // Not (a and b): `unless` says just that, if nothing in it is negated.
        [terms]
            if terms.iter().all(|(not, _)| !not)
                && !terms.iter().any(|(_, test)| matches!(test, Test::Auth(_))) =>
        {
            let tests: Vec<&Test> = terms.iter().map(|(_, test)| test).collect();
            Ok(vec![Guard { unless: all(&tests)?, ..Guard::default() }])
        }
        // Not (a or b): not a and not b.
        several if several.iter().all(|terms| terms.len() == 1) => {
            let turned: Vec<(bool, Test)> =
                several.iter().flatten().map(|(not, test)| (!not, test.clone())).collect();
            Ok(vec![guard(&turned)?])
        }
        _ => Err("this negation cannot be said in `when` and `unless`".to_owned()),
    }
}

type Term = (bool, Test);

fn alternatives(words: &[String], acls: &Acls) -> Result<Vec<Vec<Term>>, String> {
    let mut done: Vec<Vec<Term>> = Vec::new();
    let mut now: Vec<Vec<Term>> = vec![Vec::new()];
    let mut negate = false;
    let mut rest = words.iter().peekable();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "||" | "or" | "OR" => done.append(&mut std::mem::replace(&mut now, vec![Vec::new()])),
            "&&" | "and" | "AND" => {}
            "!" => negate = !negate,
            _ => {
                let (negated, word) = match word.strip_prefix('!') {
                    Some(rest) => (!negate, rest),
                    None => (negate, word.as_str()),
                };
                negate = false;
                let tests: Vec<Test> = if word == "{" {
                    let inner: Vec<String> = rest.by_ref().take_while(|word| *word != "}").cloned().collect();
                    vec![test(&inner)?]
                } else {
                    named(word, acls)?
                };
                now = joined(&now, negated, &tests)?;
            }
        }
    }
    done.append(&mut now);
    if done.len() > ALTERNATIVES { Err("it has too many alternatives".to_owned()) } else { Ok(done) }
}

/// One more AND, of an ACL that may have several lines: one OR of them.
fn joined(now: &[Vec<Term>], negated: bool, tests: &[Test]) -> Result<Vec<Vec<Term>>, String> {
    let merged = merged(tests);
    let mut out = Vec::new();
    for terms in now {
        if negated {
            let mut terms = terms.clone();
            terms.extend(merged.iter().map(|test| (true, test.clone())));
            out.push(terms);
        } else {
            for test in &merged {
                let mut terms = terms.clone();
                terms.push((false, test.clone()));
                out.push(terms);
            }
        }
    }
    if out.len() > ALTERNATIVES { Err("it has too many alternatives".to_owned()) } else { Ok(out) }
}

/// Tests of one key are one with all values.
fn merged(tests: &[Test]) -> Vec<Test> {
    let mut out: Vec<Test> = Vec::new();
    for test in tests {
        if let Test::Pattern { key, name, values } = test
            && let Some(Test::Pattern { values: all, .. }) = out.iter_mut().find(
                |one| matches!(one, Test::Pattern { key: other, name: own, .. } if other == key && own == name),
            )
        {
            all.extend(values.iter().cloned());
        } else {
            out.push(test.clone());
        }
    }
    out
}

fn named(word: &str, acls: &Acls) -> Result<Vec<Test>, String> {
    if let Some(tests) = acls.get(word) {
        return tests.iter().cloned().collect();
    }
    let method = |names: &[&str]| Test::Pattern {
        key: "method",
        name: None,
        values: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let source = |text: &str| Test::Pattern { key: "source", name: None, values: vec![text.to_owned()] };
    Ok(vec![match word {
        "TRUE" | "HTTP" => Test::Always,
        "METH_GET" => method(&["GET", "HEAD"]),
        "METH_POST" => method(&["POST"]),
        "METH_HEAD" => method(&["HEAD"]),
        "METH_PUT" => method(&["PUT"]),
        "METH_DELETE" => method(&["DELETE"]),
        "METH_OPTIONS" => method(&["OPTIONS"]),
        "LOCALHOST" => source("127.0.0.1/8"),
        _ => return Err(format!("the ACL `{word}` is not known")),
    }])
}

/// What an ACL's words test: a criterion, flags, values.
fn test(words: &[String]) -> Result<Test, String> {
    let criterion = words.first().map_or("", String::as_str);
    let mut how: Option<String> = None;
    let mut ignore_case = false;
    let mut values: Vec<String> = Vec::new();
    let mut rest = words.iter().skip(1);
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-i" if values.is_empty() => ignore_case = true,
            "-m" if values.is_empty() => how = rest.next().cloned(),
            "-n" | "--" if values.is_empty() => {}
            "-f" | "-M" if values.is_empty() => return Err("values from a file are not read".to_owned()),
            value => values.push(value.to_owned()),
        }
    }
    let (name, argument) = match criterion.split_once('(') {
        Some((name, rest)) => {
            let (argument, converters) = rest.split_once(')').unwrap_or((rest, ""));
            if !converters.is_empty() && converters != ",lower" {
                return Err(format!("converters as in `{criterion}` cannot be said"));
            }
            (name, Some(argument.split(',').next().unwrap_or_default().to_owned()))
        }
        None => (criterion.split(',').next().unwrap_or_default(), None),
    };
    match name {
        "ssl_fc" => return Ok(Test::Tls),
        "always_true" => return Ok(Test::Always),
        "http_auth" => return Ok(Test::Auth(argument.unwrap_or_default())),
        _ => {}
    }
    let (name, suffix) = ["_beg", "_end", "_sub", "_reg", "_str", "_dom", "_dir", "_found"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix).map(|name| (name, &suffix[1..])))
        .unwrap_or((name, ""));
    let how = how.unwrap_or_else(|| suffix.to_owned());
    let named = |key| {
        let name = argument.clone().filter(|name| !name.is_empty()).ok_or("it names nothing".to_owned());
        name.map(|name| (key, Some(name)))
    };
    // Such a line is a list, which is looked at value by value.
    let is_list = matches!(name, "hdr" | "req.hdr");
    let (key, name) = match name {
        "path" => ("path", None),
        "method" => ("method", None),
        "src" => ("source", None),
        "req_ssl_sni" | "req.ssl_sni" | "ssl_fc_sni" => ("tls_name", None),
        "hdr" | "req.hdr" | "req.fhdr" | "fhdr" => {
            let host = argument.as_ref().is_some_and(|name| name.eq_ignore_ascii_case("host"));
            if host { ("host", None) } else { named("header")? }
        }
        "url_param" | "urlp" => named("query")?,
        "cook" | "req.cook" => named("cookie")?,
        _ => return Err(format!("`{criterion}` is nothing that rules look at")),
    };
    if let (Some(name), "found") = (&name, how.as_str()) {
        return Ok(Test::There { key, name: name.clone() });
    }
    if values.is_empty() {
        return Err("it compares with nothing".to_owned());
    }
    let values: Result<Vec<String>, String> = values
        .iter()
        .map(|value| match key {
            "method" | "source" if matches!(how.as_str(), "" | "str" | "ip") => Ok(value.clone()),
            "host" | "tls_name" if how != "reg" => pattern(&value.to_ascii_lowercase(), &how, false),
            "header" if is_list && matches!(how.as_str(), "" | "str" | "beg" | "end") => {
                Ok(element(value, &how, ignore_case))
            }
            _ => pattern(value, &how, ignore_case),
        })
        .collect();
    Ok(Test::Pattern { key, name, values: values? })
}

/// A text as a regular expression that is equal to it.
fn escaped(value: &str) -> String {
    value
        .chars()
        .flat_map(|letter| {
            (!letter.is_alphanumeric() && letter.is_ascii() && letter != '/')
                .then_some('\\')
                .into_iter()
                .chain([letter])
        })
        .collect()
}

/// A pattern for one of a list's values.
fn element(value: &str, how: &str, ignore_case: bool) -> String {
    let flag = if ignore_case { "(?i)" } else { "" };
    let begin = if how == "end" { "" } else { "(^|,) *" };
    let end = if how == "beg" { "" } else { " *(,|$)" };
    format!("~{flag}{begin}{}{end}", escaped(value))
}

/// A pattern of the cluster file.
fn pattern(value: &str, how: &str, ignore_case: bool) -> Result<String, String> {
    let plain = !ignore_case && !value.contains('*') && !value.starts_with('~');
    let escaped = escaped(value);
    let flag = if ignore_case { "(?i)" } else { "" };
    let expression = match how {
        "" | "str" if plain => return Ok(value.to_owned()),
        "beg" if plain => return Ok(format!("{value}*")),
        "end" if plain => return Ok(format!("*{value}")),
        "sub" if plain => return Ok(format!("*{value}*")),
        "" | "str" => format!("^{escaped}$"),
        "beg" => format!("^{escaped}"),
        "end" => format!("{escaped}$"),
        "sub" => escaped,
        "dir" => format!("(^|/){escaped}(/|$)"),
        "dom" => format!("(^|[.]){escaped}([.:]|$)"),
        "reg" => value.to_owned(),
        other => return Err(format!("the comparison `{other}` cannot be said")),
    };
    Ok(format!("~{flag}{expression}"))
}

/// One AND as `when` and `unless`.
fn guard(terms: &[Term]) -> Result<Guard, String> {
    let mut auth = None;
    let mut hold: Vec<(bool, &Test)> = Vec::new();
    let mut not: Vec<Test> = Vec::new();
    for (negated, test) in terms {
        match (negated, test) {
            (true, Test::Auth(list)) => auth = Some(list.clone()),
            (false, Test::Auth(_)) => return Err("who gave a password decides nothing else".to_owned()),
            (false, Test::Always) => {}
            (true, Test::Always) => return Err("it never holds".to_owned()),
            // These have their own word for `not`.
            (true, Test::Tls | Test::There { .. }) | (false, _) => hold.push((*negated, test)),
            (true, Test::Pattern { .. }) => not.push(test.clone()),
        }
    }
    let not = merged(&not);
    if not.len() > 1 {
        return Err("`unless` cannot say that neither of two different things holds".to_owned());
    }
    let unless = all(&not.iter().collect::<Vec<_>>())?;
    Ok(Guard { when: written(&hold)?, unless, auth })
}

fn all(tests: &[&Test]) -> Result<Option<String>, String> {
    written(
        &tests
            .iter()
            .filter(|test| !matches!(test, Test::Always))
            .map(|test| (false, *test))
            .collect::<Vec<_>>(),
    )
}

/// Tests as the table of `when`.
fn written(tests: &[(bool, &Test)]) -> Result<Option<String>, String> {
    let mut keys: Vec<(&str, Option<String>, String)> = Vec::new();
    for (negated, test) in tests {
        let entry = match test {
            Test::Pattern { key, name, values } => {
                let mut values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
                values.dedup();
                let text = if values.len() == 1 { values.concat() } else { list(values) };
                (*key, name.clone(), text)
            }
            Test::There { key, name } => (*key, Some(name.clone()), (!negated).to_string()),
            Test::Tls => ("tls", None, (!negated).to_string()),
            Test::Always | Test::Auth(_) => continue,
        };
        if keys.iter().any(|(key, name, _)| *key == entry.0 && *name == entry.1) {
            if keys.contains(&entry) {
                continue;
            }
            return Err(format!("two demands on `{}` at once cannot be said", entry.0));
        }
        keys.push(entry);
    }
    if keys.is_empty() {
        return Ok(None);
    }
    let mut parts: Vec<String> = Vec::new();
    for word in ["host", "path", "method", "source", "tls", "tls_name"] {
        parts.extend(
            keys.iter().filter(|(key, ..)| *key == word).map(|(key, _, text)| format!("{key} = {text}")),
        );
    }
    for word in ["header", "query", "cookie"] {
        let of: Vec<String> = keys
            .iter()
            .filter(|(own, ..)| *own == word)
            .map(|(_, name, text)| format!("{} = {text}", key(name.as_deref().unwrap_or_default())))
            .collect();
        if !of.is_empty() {
            parts.push(format!("{word} = {{ {} }}", of.join(", ")));
        }
    }
    Ok(Some(format!("{{ {} }}", parts.join(", "))))
}
