//! The language around keepalived's blocks: comments, `include`, `$NAME=...`, `@condition`, `~SEQ(...)` and `~LST(...)`.
//!
//! Bounded: files within files, macros within macros, and the lines that come out.

use std::cell::Cell;
use std::collections::BTreeMap;

use crate::Input;
use crate::ledger::{At, Ledger};

/// Files within files.
const DEPTH_MAX: usize = 16;
/// Macros within macros.
const MACRO_MAX: usize = 32;
/// Lines that come out of one director's file.
const LINES_MAX: usize = 100_000;

/// Macros that are put in for one line.
const USES_MAX: usize = 100_000;

/// Finds the files of an `include`: the pattern, and the file that it stands in. Each with its name and text, or why it cannot
/// be read.
pub(crate) type Include<'a> = dyn Fn(&str, &str) -> Vec<(String, Result<String, String>)> + 'a;

/// A line after evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where it was written.
    pub(crate) at: At,
    /// Its text, without comments.
    pub(crate) text: String,
}

struct Evaluation<'a> {
    /// keepalived's config-id.
    id: &'a str,
    include: &'a Include<'a>,
    ledger: &'a mut Ledger,
    elsewhere: &'a mut Vec<(At, String)>,
    macros: BTreeMap<String, Vec<String>>,
    lines: Vec<Line>,
}

/// All lines that a director's file says to it.
pub(super) fn evaluate(
    input: &Input,
    id: &str,
    include: &Include<'_>,
    ledger: &mut Ledger,
    elsewhere: &mut Vec<(At, String)>,
) -> Vec<Line> {
    let mut evaluation =
        Evaluation { id, include, ledger, elsewhere, macros: BTreeMap::new(), lines: Vec::new() };
    evaluation.file(&input.path, &input.text, 0);
    evaluation.lines
}

impl Evaluation<'_> {
    fn file(&mut self, path: &str, text: &str, depth: usize) {
        let file = self.ledger.open_file(path);
        let mut definition: Option<(String, Vec<String>)> = None;
        for (index, raw) in text.lines().enumerate() {
            let at = At { file: file.clone(), line: index + 1 };
            let line = without_comment(raw);
            if let Some((name, mut lines)) = definition.take() {
                let (part, more) = continued(line);
                self.ledger.open(&at, raw);
                self.ledger.carried(&at, format!("evaluated: part of ${name}"));
                lines.push(part.to_owned());
                if more {
                    definition = Some((name, lines));
                } else {
                    self.macros.insert(name, lines);
                }
                continue;
            }
            if line.trim().is_empty() {
                continue;
            }
            // Lone braces say nothing by themselves.
            if line.contains(|letter: char| !letter.is_whitespace() && letter != '{' && letter != '}') {
                self.ledger.open(&at, raw);
            }
            let Some(line) = self.condition(&at, line) else { continue };
            if let Some((name, value)) = definition_of(line) {
                self.ledger.carried(&at, format!("evaluated: ${name}"));
                let (part, more) = continued(value);
                let lines = vec![part.trim().to_owned()];
                if more {
                    definition = Some((name.to_owned(), lines));
                } else {
                    self.macros.insert(name.to_owned(), lines);
                }
                continue;
            }
            let variables = BTreeMap::new();
            self.expand(&at, line.trim(), &variables, path, depth);
        }
        if let Some((name, lines)) = definition {
            self.macros.insert(name, lines);
        }
    }

    /// The line without its condition; `None`: it is for somebody else.
    fn condition<'l>(&mut self, at: &At, line: &'l str) -> Option<&'l str> {
        let Some(rest) = line.strip_prefix('@') else { return Some(line) };
        let (word, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let (id, negated) = word.strip_prefix('^').map_or((word, false), |id| (id, true));
        if (id == self.id) == negated {
            self.elsewhere.push((at.clone(), word.to_owned()));
            return None;
        }
        Some(rest)
    }

    /// Sequences, macros, includes: what a line becomes.
    fn expand(
        &mut self,
        at: &At,
        line: &str,
        variables: &BTreeMap<String, String>,
        path: &str,
        depth: usize,
    ) {
        if self.lines.len() >= LINES_MAX {
            self.ledger.dropped(at, format!("it makes more than {LINES_MAX} lines"));
            return;
        }
        if let Some((rounds, rest)) = sequence(line) {
            for round in rounds {
                let mut inner = variables.clone();
                inner.extend(round);
                self.expand(at, rest.trim(), &inner, path, depth);
            }
            return;
        }
        let left = Cell::new(USES_MAX);
        for text in self.substituted(line, variables, 0, &left) {
            let text = text.trim();
            if text.is_empty() {
                continue;
            }
            if let Some(pattern) = include_of(text) {
                self.included(at, pattern, path, depth);
            } else {
                self.lines.push(Line { at: at.clone(), text: text.to_owned() });
            }
        }
    }

    fn included(&mut self, at: &At, pattern: &str, path: &str, depth: usize) {
        if depth >= DEPTH_MAX {
            self.ledger.dropped(at, "files include each other too deeply");
            return;
        }
        let files = (self.include)(pattern, path);
        if files.is_empty() {
            self.ledger.dropped(at, "no such file");
        }
        for (name, text) in files {
            match text {
                Ok(text) => {
                    self.ledger.carried(at, format!("evaluated: {name}"));
                    self.file(&name, &text, depth + 1);
                }
                Err(why) => self.ledger.dropped(at, format!("{name}: {why}")),
            }
        }
    }

    /// The lines that a line becomes when its macros are put in. Names that nobody defined stay as they are.
    fn substituted(
        &self,
        line: &str,
        variables: &BTreeMap<String, String>,
        depth: usize,
        left: &Cell<usize>,
    ) -> Vec<String> {
        let mut done = vec![String::new()];
        let mut rest = line;
        while let Some(at) = rest.find('$') {
            let (before, after) = rest.split_at(at);
            push(&mut done, before);
            let (name, tail) = name_of(&after[1..]);
            rest = tail;
            let value = match (name, variables.get(name), self.macros.get(name)) {
                ("_HASH", ..) => Some(vec!["#".to_owned()]),
                ("_BANG", ..) => Some(vec!["!".to_owned()]),
                (_, Some(value), _) => Some(vec![value.clone()]),
                (_, None, Some(lines)) if depth < MACRO_MAX && left.get() > 0 => {
                    left.set(left.get() - 1);
                    let put = |line: &String| self.substituted(line, variables, depth + 1, left);
                    Some(lines.iter().flat_map(put).collect())
                }
                (_, None, _) => None,
            };
            match value {
                Some(lines) => {
                    for (index, line) in lines.iter().enumerate() {
                        if index > 0 {
                            done.push(String::new());
                        }
                        push(&mut done, line);
                    }
                }
                None => push(&mut done, &after[..after.len() - tail.len()]),
            }
        }
        push(&mut done, rest);
        done
    }
}

fn push(lines: &mut [String], text: &str) {
    if let Some(last) = lines.last_mut() {
        last.push_str(text);
    }
}

/// A macro's name behind `$`, and what follows: `NAME` or `{NAME}`.
fn name_of(text: &str) -> (&str, &str) {
    if let Some(rest) = text.strip_prefix('{')
        && let Some((name, tail)) = rest.split_once('}')
    {
        return (name, tail);
    }
    let end =
        text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len());
    text.split_at(end)
}

/// Without what follows `#` or `!`, unless in quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    for (at, letter) in line.char_indices() {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, '#' | '!') => return &line[..at],
            _ => {}
        }
    }
    line
}

/// A line of a definition, and whether it goes on.
fn continued(line: &str) -> (&str, bool) {
    let line = line.trim_end();
    line.strip_suffix('\\').map_or((line, false), |part| (part, true))
}

fn definition_of(line: &str) -> Option<(&str, &str)> {
    let rest = line.trim_start().strip_prefix('$')?;
    let (name, value) = rest.split_once('=')?;
    let name = name.trim_end();
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    is_name(name).then_some((name, value))
}

fn include_of(line: &str) -> Option<&str> {
    let (word, rest) = line.split_once(char::is_whitespace)?;
    let is_include = ["include", "includer", "includem", "includew", "includeb", "includea"].contains(&word);
    is_include.then(|| rest.trim().trim_matches(['"', '\'']))
}

type Round = Vec<(String, String)>;

/// The rounds of `~SEQ(...)`, `~SEQx(...)` or `~LST(...)` at the start of a line, and what is repeated.
fn sequence(line: &str) -> Option<(Vec<Round>, &str)> {
    let rest = line.strip_prefix('~')?;
    let (word, rest) = rest.split_once('(')?;
    let (inside, rest) = rest.split_once(')')?;
    let rounds = match word {
        "SEQ" => numbers(inside, false)?,
        "SEQx" => numbers(inside, true)?,
        "LST" => values(inside)?,
        _ => return None,
    };
    Some((rounds, rest))
}

/// `var, [start, [step,]] end`.
fn numbers(inside: &str, hex: bool) -> Option<Vec<Round>> {
    let mut parts = inside.split(',').map(str::trim);
    let name = parts.next()?;
    let given: Vec<i64> = parts.map(number).collect::<Option<_>>()?;
    let (start, step, end) = match given.as_slice() {
        [end] => (if *end > 0 { 1 } else { -1 }, None, *end),
        [start, end] => (*start, None, *end),
        [start, step, end] => (*start, Some(*step), *end),
        _ => return None,
    };
    let step = step.unwrap_or(if end >= start { 1 } else { -1 });
    if step == 0 {
        return None;
    }
    let mut rounds = Vec::new();
    let mut value = start;
    while (step > 0 && value <= end) || (step < 0 && value >= end) {
        let text = if hex { format!("{value:x}") } else { value.to_string() };
        rounds.push(vec![(name.to_owned(), text)]);
        if rounds.len() >= LINES_MAX {
            break;
        }
        value = value.checked_add(step)?;
    }
    Some(rounds)
}

fn number(text: &str) -> Option<i64> {
    let (text, sign) = text.strip_prefix('-').map_or((text, 1), |rest| (rest, -1));
    let value = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None => text.parse().ok()?,
    };
    Some(value * sign)
}

/// `var, value, ...` or `{var, var}, {value, value}, ...`.
fn values(inside: &str) -> Option<Vec<Round>> {
    let groups = groups(inside);
    let (names, rest) = groups.split_first()?;
    let rounds = rest.iter().map(|values| {
        (values.len() == names.len()).then(|| names.iter().cloned().zip(values.iter().cloned()).collect())
    });
    rounds.collect()
}

/// Parts between commas; `{a, b}` is one.
fn groups(inside: &str) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    let mut rest = inside.trim();
    while !rest.is_empty() {
        let part;
        if let Some((group, tail)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            part = group.split(',').map(|one| one.trim().to_owned()).collect();
            rest = tail;
        } else {
            let (one, tail) = rest.split_once(',').map_or((rest, ""), |(one, _)| (one, &rest[one.len()..]));
            part = vec![one.trim().to_owned()];
            rest = tail;
        }
        out.push(part);
        rest = rest.trim_start().trim_start_matches(',').trim_start();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn lines(id: &str, text: &str) -> Vec<String> {
        let input =
            Input { node: None, path: "k.conf".to_owned(), kind: Kind::Keepalived, text: text.to_owned() };
        let include = |pattern: &str, from: &str| {
            assert_eq!((pattern, from), ("part.conf", "k.conf"));
            vec![("part.conf".to_owned(), Ok("from $PLACE\n".to_owned()))]
        };
        let lines = evaluate(&input, id, &include, &mut Ledger::default(), &mut Vec::new());
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn macros_conditions_and_includes() {
        let text = "! all of it\n$PLACE=here # and now\n@main  a $PLACE\n@spare a there\n@^main b\nc ${PLACE}x $NOBODY\ninclude part.conf\n";
        assert_eq!(lines("main", text), ["a here", "c herex $NOBODY", "from here"]);
        assert_eq!(lines("spare", text), ["a there", "b", "c herex $NOBODY", "from here"]);
    }

    #[test]
    fn a_macro_of_several_lines() {
        let text = "$BLOCK= \\\n  x ${N} { \\\n    y \\\n  }\n~SEQ(N, 2) $BLOCK\n";
        assert_eq!(lines("a", text), ["x 1 {", "y", "}", "x 2 {", "y", "}"]);
    }

    #[test]
    fn sequences_and_lists_as_the_manual_has_them() {
        assert_eq!(lines("a", "~SEQ(S, 0, 3) 10.0.${S}.1"), ["10.0.0.1", "10.0.1.1", "10.0.2.1", "10.0.3.1"]);
        assert_eq!(lines("a", "~SEQx(S, 144, 16, 192) f:${S}"), ["f:90", "f:a0", "f:b0", "f:c0"]);
        assert_eq!(lines("a", "~SEQx(S, 0x90, 0x10, 0xc0) f:$S"), ["f:90", "f:a0", "f:b0", "f:c0"]);
        assert_eq!(lines("a", "~SEQ(A, 1, 2) ~SEQ(B, 2, -1, 1) $A.$B"), ["1.2", "1.1", "2.2", "2.1"]);
        let list = "~LST({IP, IP1}, {10,1},{20,4}) 192.168.${IP}.${IP1}";
        assert_eq!(lines("a", list), ["192.168.10.1", "192.168.20.4"]);
        assert_eq!(lines("a", "~LST(IP, 1, 2) ~LST(J, 5,6) $IP.$J"), ["1.5", "1.6", "2.5", "2.6"]);
    }

    #[test]
    fn nothing_grows_without_bound() {
        let text = "$A=$B $B\n$B=$A $A\nx $A\n~SEQ(N, 1, 99999999999) ~SEQ(M, 1, 9999999) y\n";
        assert!(lines("a", text).len() <= LINES_MAX + 1);
    }
}
