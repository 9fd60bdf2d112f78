//! No text makes an importer panic or hang, and what comes out passes the check, or is refused clearly.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says so by panicking, and reads its files"
)]

use std::fs;
use std::path::Path;

use relevo_import::{Input, Kind, Options, import};

/// xorshift64*: the same texts every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % most.max(1)
    }
}

fn input(kind: Kind, node: Option<&str>, path: &str, text: &str) -> Input {
    Input { node: node.map(str::to_owned), path: path.to_owned(), kind, text: text.to_owned() }
}

/// Imports, and checks what comes out.
fn sound(inputs: &[Input]) {
    let include = |pattern: &str, _: &str| vec![(pattern.to_owned(), Err("no such file".to_owned()))];
    match import(inputs, &Options { name: "any".to_owned(), include: &include }) {
        Ok(imported) => {
            let reading = relevo_model::read(&imported.text);
            assert!(reading.cluster.is_some(), "{}", imported.text);
            assert!(imported.entries.iter().all(|entry| !entry.fates.is_empty()));
        }
        Err(refused) => assert!(!refused.why.is_empty()),
    }
}

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)).unwrap()
}

/// Other words that these files may have.
const WORDS: &[&str] = &[
    "0",
    "-1",
    "65536",
    "99999999999999999999",
    "{",
    "}",
    "\"",
    "'",
    "\\",
    "if",
    "unless",
    "!",
    "||",
    "/",
    "*",
    "10.0.0.1",
    "::1",
    "255.255.255.255",
    "0.0.0.0:0",
    "10.0.0.1->10.0.255.1:80",
    "%[",
    "%[src]",
    "é",
    "\u{0}",
    "listen",
    "backend x",
    "$A=$A $A",
    "@x",
    "~SEQ(A, 1, 99)",
    "use_backend",
    "server",
    "bind",
    "acl",
    "path_beg",
    "hdr(",
    "cookie",
    "stats",
    "check",
    "inter",
    "1d",
    "99999d",
    "virtual=",
    "real=",
    "dhcp-range=",
    "dhcp-option=3",
    "address=//",
    "a.b.c",
    "[x]",
    "\n",
    "\t",
    "=",
    ",",
    "#",
    "~",
    "ssl crt",
    "a\"b]c",
];

#[test]
fn texts_that_are_damaged() {
    let mut dice = Dice(0x5eed);
    let whole = [
        (Kind::Interfaces, "cluster1/interfaces", file("s2/cluster1/interfaces")),
        (Kind::Keepalived, "cluster1/keepalived.conf", file("s2/cluster1/keepalived.conf")),
        (Kind::Haproxy, "haproxy.cfg", file("s2/haproxy.cfg")),
        (Kind::Haproxy, "rules.cfg", file("more/rules.cfg")),
        (Kind::Dnsmasq, "dnsmasq.conf", file("s2/dnsmasq.conf")),
        (Kind::Ldirectord, "ldirectord.cf", file("s1/ldirectord.cf")),
        (Kind::Keepalived, "ipvs.conf", file("more/ipvs.conf")),
    ];
    for _ in 0..60 {
        let mut inputs = Vec::new();
        for (kind, path, text) in &whole {
            if dice.below(3) == 0 {
                continue;
            }
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            for _ in 0..dice.below(6) {
                let at = dice.below(lines.len());
                let word = WORDS[dice.below(WORDS.len())];
                let other = lines[dice.below(lines.len())].clone();
                match dice.below(5) {
                    0 => drop(lines.remove(at)),
                    1 => lines.insert(at, other),
                    2 => lines[at] = format!("{} {word}", lines[at]),
                    3 => {
                        let mut words: Vec<&str> = lines[at].split(' ').collect();
                        let one = dice.below(words.len());
                        words[one] = word;
                        lines[at] = words.join(" ");
                    }
                    _ => {
                        let end = lines[at]
                            .char_indices()
                            .nth(dice.below(lines[at].chars().count()))
                            .map_or(0, |(at, _)| at);
                        lines[at].truncate(end);
                    }
                }
                if lines.is_empty() {
                    lines.push(String::new());
                }
            }
            inputs.push(input(*kind, None, path, &lines.join("\n")));
        }
        sound(&inputs);
    }
}

#[test]
fn texts_of_nothing_but_words() {
    let mut dice = Dice(0xbeef);
    for _ in 0..60 {
        let mut text = String::new();
        for _ in 0..dice.below(120) {
            text.push_str(WORDS[dice.below(WORDS.len())]);
            text.push([' ', '\n', '='][dice.below(3)]);
        }
        for kind in [Kind::Interfaces, Kind::Keepalived, Kind::Haproxy, Kind::Dnsmasq, Kind::Ldirectord] {
            sound(&[input(kind, Some("lb1"), "any", &text)]);
        }
    }
}

#[test]
fn nothing_at_all() {
    sound(&[]);
    for kind in [Kind::Interfaces, Kind::Keepalived, Kind::Haproxy, Kind::Dnsmasq, Kind::Ldirectord] {
        sound(&[input(kind, None, "empty", "")]);
    }
}
