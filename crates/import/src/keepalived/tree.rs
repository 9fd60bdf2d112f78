//! Lines with braces as blocks within blocks.

use super::language::Line;
use crate::ledger::{At, Ledger};

/// A statement: its words, and what is between its braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Where its words are.
    pub(crate) at: At,
    /// At least one.
    pub(crate) words: Vec<String>,
    /// What is between its braces.
    pub(crate) children: Vec<Self>,
}

impl Node {
    /// The first word.
    pub(crate) fn name(&self) -> &str {
        self.word(0)
    }

    /// A word; nothing beyond the last.
    pub(crate) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// The first child of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name() == name)
    }

    /// The lines of it and all that is in it.
    pub(crate) fn lines(&self) -> Vec<&At> {
        let mut lines = vec![&self.at];
        lines.extend(self.children.iter().flat_map(Self::lines));
        lines
    }

    /// Drops it and all that is in it.
    pub(crate) fn drop_all(&self, ledger: &mut Ledger, why: &str) {
        ledger.dropped(&self.at, why);
        for child in &self.children {
            child.drop_all(ledger, why);
        }
    }

    /// Says of it and all that is in it that the cluster file says the same.
    pub(crate) fn carry_all(&self, ledger: &mut Ledger, to: &str) {
        ledger.carried(&self.at, to);
        for child in &self.children {
            child.carry_all(ledger, to);
        }
    }
}

/// Most blocks within blocks.
const DEEP: usize = 64;

/// The blocks of a file. Braces too many are ignored; those that lack are at its end.
pub(super) fn build(lines: &[Line]) -> Vec<Node> {
    let mut open: Vec<Vec<Node>> = vec![Vec::new()];
    for line in lines {
        let mut words: Vec<String> = Vec::new();
        let flush = |words: &mut Vec<String>, open: &mut Vec<Vec<Node>>| {
            if let (false, Some(top)) = (words.is_empty(), open.last_mut()) {
                top.push(Node { at: line.at.clone(), words: std::mem::take(words), children: Vec::new() });
            }
        };
        for word in split(&line.text) {
            match word.as_str() {
                "{" => {
                    flush(&mut words, &mut open);
                    if open.len() < DEEP {
                        open.push(Vec::new());
                    }
                }
                "}" => {
                    flush(&mut words, &mut open);
                    close(&mut open);
                }
                _ => words.push(word),
            }
        }
        flush(&mut words, &mut open);
    }
    while open.len() > 1 {
        close(&mut open);
    }
    open.pop().unwrap_or_default()
}

/// Gives the innermost block to the statement before it.
fn close(open: &mut Vec<Vec<Node>>) {
    if open.len() < 2 {
        return;
    }
    let inner = open.pop().unwrap_or_default();
    if let Some(owner) = open.last_mut().and_then(|outer| outer.last_mut()) {
        owner.children.extend(inner);
    }
}

/// Words between spaces; quotes keep spaces together and go away; braces are words.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut begun = false;
    for letter in text.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => word.push(letter),
            (None, '"' | '\'') => {
                quote = Some(letter);
                begun = true;
            }
            (None, '{' | '}') => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
                words.push(letter.to_string());
            }
            (None, space) if space.is_whitespace() => {
                if begun || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (None, _) => word.push(letter),
        }
    }
    if begun || !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    fn tree(text: &str) -> Vec<Node> {
        let line = |(index, text): (usize, &str)| Line {
            at: At { file: Rc::from("k"), line: index + 1 },
            text: text.to_owned(),
        };
        build(&text.lines().enumerate().map(line).collect::<Vec<_>>())
    }

    #[test]
    fn blocks_however_the_braces_stand() {
        let spread = tree("a b\n{\n  c \"d e\"\n  f { g }\n}\nh");
        let tight = tree("a b {\nc 'd e'\nf {\ng\n}\n}\nh");
        for tree in [spread, tight] {
            assert_eq!(tree.len(), 2);
            assert_eq!(tree[0].words, ["a", "b"]);
            assert_eq!(tree[0].children[0].words, ["c", "d e"]);
            assert_eq!(tree[0].child("f").unwrap().children[0].words, ["g"]);
            assert_eq!(tree[1].name(), "h");
        }
    }

    #[test]
    fn braces_that_lack_or_are_too_many_lose_nothing() {
        assert_eq!(tree("}\na {\nb {\nc")[0].children[0].children[0].words, ["c"]);
        assert_eq!(tree("a { b } }\nc").len(), 2);
        assert!(!tree(&"a {\n".repeat(1000)).is_empty());
    }
}
