//! Small words of HAProxy's: times, quotes, patterns, placeholders.

use std::time::Duration;

use relevo_model::cluster::Pattern;

/// A time in HAProxy's unit.
pub(super) fn time(time: Duration) -> String {
    match time.as_millis() {
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{}ms", ms.max(1)),
    }
}

/// Whole seconds, at least one.
pub(super) fn seconds(time: Duration) -> u64 {
    time.as_secs().max(1)
}

/// A word that HAProxy reads as one and as it is (its manual, 2.2: quoting and escaping).
pub(super) fn quote(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,*+=@?&;~!<>^|".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    let mut out = String::from("'");
    for char in text.chars() {
        match char {
            '\'' => out.push_str("'\\''"),
            // Not in a file of lines.
            '\n' | '\r' | '\0' => out.push(' '),
            _ => out.push(char),
        }
    }
    out.push('\'');
    out
}

/// A text with placeholders as a log-format, quoted.
pub(super) fn format(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}', '%']) {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        if let Some(after) = tail.strip_prefix("{{") {
            out.push('{');
            rest = after;
        } else if let Some(after) = tail.strip_prefix("}}") {
            out.push('}');
            rest = after;
        } else if let Some(after) = tail.strip_prefix('%') {
            out.push_str("%%");
            rest = after;
        } else {
            let (name, after) = tail.split_once('}').unwrap_or((tail, ""));
            let sample = match name {
                "{host" => "%[req.hdr(host),field(1,:)]",
                "{path" => "%[path]",
                "{query" => "%[query]",
                "{uri" => "%[pathq]",
                "{method" => "%[method]",
                "{source" => "%[src]",
                "{tls_name" => "%[ssl_fc_sni]",
                "{request_id" => "%[uuid()]",
                other => {
                    out.push_str(other);
                    ""
                }
            };
            out.push_str(sample);
            rest = after;
        }
    }
    out.push_str(rest);
    quote(&out)
}

/// How a pattern is looked for: HAProxy's `-m` method and the word.
pub(super) fn pattern(pattern: &Pattern) -> (&'static str, String) {
    match pattern {
        Pattern::Exact(text) => ("str", text.clone()),
        Pattern::Regex(expression) => ("reg", expression.clone()),
        Pattern::Glob(text) => {
            let inner = text.trim_matches('*');
            let (before, after) = (text.starts_with('*'), text.ends_with('*'));
            match (before, after) {
                _ if inner.contains('*') || inner.is_empty() => ("reg", glob(text)),
                (true, true) => ("sub", inner.to_owned()),
                (true, false) => ("end", inner.to_owned()),
                (false, true) => ("beg", inner.to_owned()),
                (false, false) => ("str", inner.to_owned()),
            }
        }
    }
}

fn glob(text: &str) -> String {
    let parts: Vec<String> = text.split('*').map(escape).collect();
    format!("^{}$", parts.join(".*"))
}

/// A text as a regular expression that means itself.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::new();
    for char in text.chars() {
        if "\\.+*?()|[]{}^$#&-~".contains(char) {
            out.push('\\');
        }
        out.push(char);
    }
    out
}

/// How many groups that capture a regular expression has.
pub(super) fn groups(expression: &str) -> usize {
    let bytes = expression.as_bytes();
    let (mut count, mut index, mut class) = (0, 0, false);
    while let Some(byte) = bytes.get(index) {
        match byte {
            b'\\' => index += 1,
            b'[' => class = true,
            b']' => class = false,
            b'(' if !class => {
                let named = bytes.get(index + 1..).is_some_and(|rest| {
                    rest.starts_with(b"?P<")
                        || rest.starts_with(b"?<") && !rest.starts_with(b"?<=") && !rest.starts_with(b"?<!")
                });
                count += usize::from(named || bytes.get(index + 1) != Some(&b'?'));
            }
            _ => {}
        }
        index += 1;
    }
    count
}

/// A replacement with `$1` as HAProxy's `\1`, its numbers moved by one.
pub(super) fn replacement(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let digit = chars.peek().and_then(|next| next.to_digit(10));
        match (char, digit) {
            ('$', Some(digit)) => {
                chars.next();
                out.push_str(&format!("\\{}", digit + 1));
            }
            ('\\', _) => out.push_str("\\\\"),
            _ => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        assert_eq!(quote("web1:80"), "web1:80");
        assert_eq!(quote("it's $here"), "'it'\\''s $here'");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a\nserver x"), "'a server x'");
    }

    #[test]
    fn placeholders_become_samples() {
        assert_eq!(format("https://{host}{uri}"), "'https://%[req.hdr(host),field(1,:)]%[pathq]'");
        assert_eq!(format("100% {{of}} {source}"), "'100%% {of} %[src]'");
        assert_eq!(format("plain"), "plain");
    }

    #[test]
    fn globs_become_the_cheapest_match() {
        let glob = |text: &str| pattern(&Pattern::Glob(text.to_owned()));
        assert_eq!(glob("/static/*"), ("beg", "/static/".to_owned()));
        assert_eq!(glob("*.example.org"), ("end", ".example.org".to_owned()));
        assert_eq!(glob("*curl*"), ("sub", "curl".to_owned()));
        assert_eq!(glob("/a/*/b.c"), ("reg", "^/a/.*/b\\.c$".to_owned()));
    }

    #[test]
    fn groups_are_counted_and_moved() {
        assert_eq!(["^/a(.*)", "(?:x)(y)[(]\\(", "(?P<n>a)(?<m>b)(?i)"].map(groups), [1, 1, 2]);
        assert_eq!(replacement("/b$1-$2"), "/b\\2-\\3");
    }
}
