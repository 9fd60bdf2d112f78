//! `http-request`, `http-response`, `redirect`, `tcp-request` and `use_backend` as rules of a service.

use super::condition::{Acls, guards};
use super::parse::{Line, millis};
use crate::balancer::duration;
use crate::draft::{Table, key, quoted};

/// What a rule does: its keys with their values; and what differs.
#[derive(Clone, Debug, Default)]
struct Action {
    keys: Vec<(String, String)>,
    how: Option<String>,
}

impl Action {
    fn one(key: &str, value: impl Into<String>) -> Self {
        Self { keys: vec![(key.to_owned(), value.into())], how: None }
    }
}

/// The rules that a line becomes, for the service with this header, and what differs.
pub(super) fn rules(
    line: &Line,
    header: &str,
    acls: &Acls,
    pool_of: &dyn Fn(&str) -> Option<String>,
) -> Result<(Vec<Table>, Option<String>), String> {
    let at = line.words.iter().position(|word| word == "if" || word == "unless").unwrap_or(line.words.len());
    let (words, condition) = line.words.split_at(at);
    let guards = guards(condition, acls)?;
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    let action = match word(0) {
        "use_backend" => match pool_of(word(1)) {
            Some(pool) => Action::one("pool", quoted(&pool)),
            None => return Err(format!("there is no backend `{}` with servers", word(1))),
        },
        "redirect" => redirect(&words[1..])?,
        "http-request" => request(&words[1..])?,
        "http-response" => response(&words[1..])?,
        "tcp-request" if matches!((word(1), word(2)), ("connection" | "content", "reject")) => {
            Action::one("deny", quoted("silent"))
        }
        "tcp-request" if matches!((word(1), word(2)), ("content" | "connection", "accept")) => {
            return Err("what nothing refuses is accepted".to_owned());
        }
        "tcp-request" if word(1) == "inspect-delay" => {
            return Err("a rule that needs the TLS name waits for it by itself".to_owned());
        }
        other => return Err(format!("`{other} {}` is nothing that rules do", word(1))),
    };
    let mut tables = Vec::new();
    for guard in guards {
        let mut table = Table::new(format!("[{header}.rule]"));
        if let Some(when) = guard.when {
            table.set("when", when);
        }
        if let Some(unless) = guard.unless {
            table.set("unless", unless);
        }
        for (key, value) in &action.keys {
            let value = match (key.as_str(), &guard.auth) {
                ("basic_auth", Some(list)) => value.replace("LIST", list),
                ("basic_auth", None) => return Err("it does not say whose password it wants".to_owned()),
                _ => value.clone(),
            };
            table.set(key, value);
        }
        tables.push(table);
    }
    Ok((tables, action.how))
}

fn option<'a>(words: &'a [String], name: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| word == name)?;
    words.get(at + 1).map(String::as_str)
}

fn status(words: &[String], names: &[&str], usual: u16) -> u16 {
    names.iter().find_map(|name| option(words, name)).and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn redirect(words: &[String]) -> Result<Action, String> {
    let target = words.get(1).map_or("", String::as_str);
    let code = status(words, &["code"], 302);
    let to = match words.first().map_or("", String::as_str) {
        "scheme" if target == "https" && code == 301 => return Ok(Action::one("redirect", quoted("https"))),
        "scheme" => format!("{}://{{host}}{{uri}}", format(target)?),
        "prefix" => format!("{}{{uri}}", format(target)?.trim_end_matches('/')),
        "location" => format(target)?,
        other => return Err(format!("`redirect {other}` cannot be said")),
    };
    let mut action = Action::one("redirect", format!("{{ to = {}, status = {code} }}", quoted(&to)));
    let extra = ["drop-query", "append-slash", "set-cookie", "clear-cookie", "ignore-empty"];
    if let Some(word) = words.iter().find(|word| extra.contains(&word.as_str())) {
        action.how = Some(format!("without `{word}`"));
    }
    Ok(action)
}

fn header(key_of: &str, words: &[String]) -> Result<Action, String> {
    let name = words.get(1).map_or("", String::as_str);
    let value = format(words.get(2).map_or("", String::as_str))?;
    Ok(Action::one(key_of, format!("{{ {} = {} }}", key(name), quoted(&value))))
}

fn request(words: &[String]) -> Result<Action, String> {
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    Ok(match word(0) {
        "deny" | "reject" => {
            let code = status(words, &["deny_status", "status"], 403);
            Action::one("deny", code.to_string())
        }
        "silent-drop" => Action::one("deny", quoted("silent")),
        "tarpit" => {
            let code = status(words, &["deny_status", "status"], 500);
            let mut action =
                Action::one("tarpit", format!("{{ status = {code}, after = {} }}", duration(10_000)));
            action.how = Some("after 10 s, whatever `timeout tarpit` says".to_owned());
            action
        }
        "redirect" => redirect(&words[1..])?,
        "return" => {
            let mut parts = vec![format!("status = {}", status(words, &["status"], 200))];
            if let Some(kind) = option(words, "content-type") {
                parts.push(format!("type = {}", quoted(kind)));
            }
            if let Some(body) = option(words, "string") {
                parts.push(format!("body = {}", quoted(body)));
            }
            if let Some(word) = ["file", "lf-file", "lf-string", "errorfile", "hdr"]
                .iter()
                .find(|word| option(words, word).is_some())
            {
                return Err(format!("an answer with `{word}` cannot be said"));
            }
            Action::one("return", format!("{{ {} }}", parts.join(", ")))
        }
        "auth" => {
            let realm =
                option(words, "realm").map_or(String::new(), |realm| format!(", realm = {}", quoted(realm)));
            Action::one("basic_auth", format!("{{ users = \"LIST\"{realm} }}"))
        }
        "set-header" => header("set_header", words)?,
        "add-header" => header("add_header", words)?,
        "del-header" if words.len() == 2 => Action::one("delete_header", quoted(word(1))),
        "set-path" => Action::one("path", quoted(&format(word(1))?)),
        "replace-path" => {
            let text = replacement(word(2));
            Action::one("replace_path", format!("{{ {} = {} }}", quoted(word(1)), quoted(&text)))
        }
        other => return Err(format!("`http-request {other}` is nothing that rules do")),
    })
}

fn response(words: &[String]) -> Result<Action, String> {
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    Ok(match word(0) {
        "set-header" => header("set_response_header", words)?,
        "add-header" => header("add_response_header", words)?,
        "del-header" if words.len() == 2 => Action::one("delete_response_header", quoted(word(1))),
        other => return Err(format!("`http-response {other}` is nothing that rules do")),
    })
}

/// `\1` as `$1`.
fn replacement(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                out.push_str("${");
                out.extend(letters.next());
                out.push('}');
            }
            ('$', _) => out.push_str("$$"),
            (plain, _) => out.push(plain),
        }
    }
    out
}

/// A log-format text with our placeholders.
fn format(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if let Some(tail) = rest.strip_prefix("%[") {
            let (inner, tail) = tail.split_once(']').ok_or("a `%[` is not closed")?;
            out.push_str(match inner.trim() {
                "src" => "{source}",
                "hdr(host)" | "req.hdr(host)" | "hdr(Host)" | "req.hdr(Host)" => "{host}",
                "path" => "{path}",
                "query" => "{query}",
                "url" | "pathq" | "capture.req.uri" => "{uri}",
                "method" => "{method}",
                "ssl_fc_sni" => "{tls_name}",
                "uuid()" | "unique-id" => "{request_id}",
                other => return Err(format!("`%[{other}]` has no placeholder")),
            });
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix("%%") {
            out.push('%');
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix("%ci") {
            out.push_str("{source}");
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix("%HM") {
            out.push_str("{method}");
            rest = tail;
        } else if letter == '%' {
            return Err(format!("`{text}` has a log format without a placeholder"));
        } else {
            match letter {
                '{' => out.push_str("{{"),
                '}' => out.push_str("}}"),
                plain => out.push(plain),
            }
            rest = &rest[letter.len_utf8()..];
        }
    }
    Ok(out)
}

/// A time of a line, as the cluster file has it.
pub(super) fn time(line: &Line, index: usize) -> Option<String> {
    millis(line.word(index)).filter(|time| *time > 0).map(duration)
}
