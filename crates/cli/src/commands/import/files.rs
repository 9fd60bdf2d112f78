//! Which files are given, whose they are and of what kind; and the files of keepalived's `include`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use relevo_import::{Input, Kind};

/// Most files that one `include` means.
const INCLUDED: usize = 256;
/// Most files that are given.
const GIVEN: usize = 1024;

/// Reads the files that are given.
pub(super) fn inputs(given: &[String]) -> anyhow::Result<Vec<Input>> {
    if given.len() > GIVEN {
        bail!("at most {GIVEN} files");
    }
    let mut inputs = Vec::new();
    for word in given {
        let (node, path) = split(word);
        let text = relevo_node::file::read(Path::new(path))?;
        if is_cluster_file(&text) {
            bail!("{path} is a cluster file already: `relevo check {path}` looks at it");
        }
        let Some(kind) = Kind::of(path, &text) else {
            bail!(
                "{path}: no known kind of file: neither its name nor what is in it says `interfaces` of ifupdown, keepalived.conf, \
                 haproxy.cfg, ldirectord.cf or dnsmasq.conf"
            );
        };
        if let Some(name) = node.as_deref().filter(|name| !is_name(name)) {
            bail!("{word}: `{name}` is no node's name: letters, digits, `-`, `_` and `.`, at most 63");
        }
        inputs.push(Input { node, path: path.to_owned(), kind, text });
    }
    name_by_folder(&mut inputs);
    Ok(inputs)
}

/// Whether a text has tables that no other program's file begins lines with.
fn is_cluster_file(text: &str) -> bool {
    let table = |name: &str| text.lines().any(|line| line.trim_start().starts_with(name));
    table("[network.") && table("[node")
}

/// `NAME=FILE`, or `FILE`.
fn split(word: &str) -> (Option<String>, &str) {
    match word.split_once('=') {
        Some((name, path)) if !name.is_empty() && !name.contains('/') && !Path::new(word).exists() => {
            (Some(name.to_owned()), path)
        }
        _ => (None, word),
    }
}

/// Whether a node may be called so.
fn is_name(name: &str) -> bool {
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    letters
        && name.len() <= 63
        && name.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        && name.parse::<std::net::IpAddr>().is_err()
}

/// Of several files of a kind each is its folder's, if the folders differ.
fn name_by_folder(inputs: &mut [Input]) {
    let folder = |input: &Input| {
        let name = Path::new(&input.path).parent()?.file_name()?.to_str()?;
        is_name(name).then(|| name.to_owned())
    };
    for kind in [Kind::Interfaces, Kind::Keepalived, Kind::Haproxy, Kind::Ldirectord, Kind::Dnsmasq] {
        let of: Vec<usize> = (0..inputs.len()).filter(|index| inputs[*index].kind == kind).collect();
        let mut folders: Vec<String> = of.iter().filter_map(|index| folder(&inputs[*index])).collect();
        folders.sort();
        folders.dedup();
        if of.len() < 2 || folders.len() != of.len() {
            continue;
        }
        for index in of {
            if inputs[index].node.is_none() {
                inputs[index].node = folder(&inputs[index]);
            }
        }
    }
}

/// The files that `include PATTERN` means in a file: relative to its folder, with `*`, `?` and `[...]`.
pub(super) fn include(pattern: &str, from: &str) -> Vec<(String, Result<String, String>)> {
    let base = Path::new(from).parent().unwrap_or(Path::new(""));
    let mut found: Vec<PathBuf> =
        vec![if pattern.starts_with('/') { PathBuf::from("/") } else { base.to_owned() }];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        if part.contains(['*', '?', '[']) {
            found = found.iter().flat_map(|folder| matching(folder, part)).take(INCLUDED).collect();
        } else {
            for path in &mut found {
                path.push(part);
            }
        }
    }
    let has_wildcard = pattern.contains(['*', '?', '[']);
    found.retain(|path| !has_wildcard || path.is_file());
    let text = |path: &Path| {
        relevo_node::file::read(path)
            .context("it cannot be included")
            .map_err(|error| error.root_cause().to_string())
    };
    found.iter().map(|path| (path.display().to_string(), text(path))).collect()
}

/// Entries of a folder whose names match, by name.
fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let at = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = fs::read_dir(at) else { return Vec::new() };
    let pattern: Vec<char> = pattern.chars().collect();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') || pattern.first() == Some(&'.'))
        .filter(|name| matches(&pattern, &name.chars().collect::<Vec<_>>()))
        .collect();
    names.sort();
    names.into_iter().map(|name| folder.join(name)).collect()
}

/// Whether a name matches a pattern, in time of the product of their lengths.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut here) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while here < name.len() {
        if pattern.get(at) == Some(&'*') {
            star = Some((at, here));
            at += 1;
        } else if let Some(next) = one(pattern, at, name[here]) {
            at = next;
            here += 1;
        } else if let Some((back, from)) = star {
            at = back + 1;
            here = from + 1;
            star = Some((back, from + 1));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

/// Where the pattern goes on if it takes this letter.
fn one(pattern: &[char], at: usize, letter: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => {
            let end = at + 2 + pattern.get(at + 2..)?.iter().position(|one| *one == ']')?;
            let negated = matches!(pattern[at + 1], '!' | '^');
            let set = &pattern[at + 1 + usize::from(negated)..end];
            let is_in =
                set.windows(3).any(|three| three[1] == '-' && (three[0]..=three[2]).contains(&letter))
                    || set.contains(&letter);
            (is_in != negated).then_some(end + 1)
        }
        plain => (*plain == letter).then_some(at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        let is = |pattern: &str, name: &str| {
            matches(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
        };
        for (pattern, name) in [
            ("*.conf", "a.conf"),
            ("a?c", "abc"),
            ("[a-c]x", "bx"),
            ("[!a]x", "bx"),
            ("*a*b*", "xaayb"),
            ("*", ""),
        ] {
            assert!(is(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.conf", "a.cfg"), ("a?c", "ac"), ("[a-c]x", "dx"), ("[!a]x", "ax"), ("[", "x"), ("[]", "x")]
        {
            assert!(!is(pattern, name), "{pattern} {name}");
        }
        assert!(!is(&"*a".repeat(200), &"a".repeat(199)), "in no time");
    }

    #[test]
    fn a_name_stands_before_its_file() {
        assert_eq!(split("lb1=/etc/keepalived.conf"), (Some("lb1".to_owned()), "/etc/keepalived.conf"));
        assert_eq!(split("/a=b/keepalived.conf"), (None, "/a=b/keepalived.conf"));
        assert_eq!(split("haproxy.cfg"), (None, "haproxy.cfg"));
    }
}
