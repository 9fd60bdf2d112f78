//! Programs that keepalived runs: a text with arguments, or words.

use std::net::IpAddr;

use super::Node;

/// What only a shell understands.
const SHELL: [char; 8] = ['|', '&', ';', '$', '*', '<', '>', '`'];

/// The words to run: a shell's where one is needed. `server`: whom a check is about; where its address stands among the words
/// the one of the server that is being checked is put.
pub(super) fn of(node: &Node, server: Option<IpAddr>) -> Vec<String> {
    let mut text = text(node);
    if let Some(ip) = server {
        let ip = ip.to_string();
        let named =
            |word: &str| word.trim_matches(['"', '\'', '@', '[', ']', '/']).split(':').next() == Some(&ip);
        if text.split_whitespace().any(named) {
            let words = text.split_whitespace().map(|word| match named(word) {
                true => word.replacen(&ip, "$RELEVO_SERVER_ADDRESS", 1),
                false => word.to_owned(),
            });
            text = words.collect::<Vec<_>>().join(" ");
        }
    }
    let words = arguments(&text);
    // What has no path keepalived looks for in PATH, as a shell does.
    if text.contains(SHELL) || words.first().is_some_and(|program| !program.starts_with('/')) {
        vec!["/bin/sh".to_owned(), "-c".to_owned(), text]
    } else {
        words
    }
}

/// What a statement says behind its first word.
pub(super) fn text(node: &Node) -> String {
    match node.words.get(1..).unwrap_or_default() {
        // Quoted as a whole, it may hold quotes of its own.
        [one] => one.clone(),
        words => {
            let spaced = |word: &String| match word.contains(char::is_whitespace) {
                true => format!("'{word}'"),
                false => word.clone(),
            };
            words.iter().map(spaced).collect::<Vec<_>>().join(" ")
        }
    }
}

/// Words between spaces; quotes keep spaces together and go away.
pub(super) fn arguments(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quote, mut begun) = (None, false);
    for letter in text.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '"' | '\'') => (quote, begun) = (Some(letter), true),
            (None, space) if space.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            _ => {
                word.push(letter);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::ledger::At;

    fn node(words: &[&str]) -> Node {
        Node {
            at: At { file: Rc::from("k"), line: 1 },
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            children: Vec::new(),
        }
    }

    #[test]
    fn quotes_within_quotes_keep_an_argument_together() {
        let words = of(&node(&["script", "/usr/bin/check user 'pa ss' 1"]), None);
        assert_eq!(words, ["/usr/bin/check", "user", "pa ss", "1"]);
        let words = of(&node(&["script", "/usr/bin/check", "pa ss"]), None);
        assert_eq!(words, ["/usr/bin/check", "pa ss"]);
        assert!(of(&node(&["script"]), None).is_empty());
    }

    #[test]
    fn a_shell_runs_what_only_a_shell_understands() {
        let words = of(&node(&["script", "/bin/x 'a b' > /dev/null"]), None);
        assert_eq!(words, ["/bin/sh", "-c", "/bin/x 'a b' > /dev/null"]);
        assert_eq!(of(&node(&["script", "killall -0 x"]), None), ["/bin/sh", "-c", "killall -0 x"]);
    }

    #[test]
    fn the_address_of_the_server_is_that_of_each_server() {
        let ip = "192.0.2.7".parse().ok();
        let words = of(&node(&["misc_path", "/bin/dig @192.0.2.7 -b 192.0.2.77 a"]), ip);
        assert_eq!(words, ["/bin/sh", "-c", "/bin/dig @$RELEVO_SERVER_ADDRESS -b 192.0.2.77 a"]);
        let words = of(&node(&["misc_path", "/bin/check http://192.0.2.70/"]), ip);
        assert_eq!(words, ["/bin/check", "http://192.0.2.70/"]);
    }
}
