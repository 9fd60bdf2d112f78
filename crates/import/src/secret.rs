//! Takes passwords out of lines: reports of an import are shown, sent and kept where the files themselves would not be.

/// Words after which a password stands.
const BEFORE: [&str; 5] = ["auth_pass", "password", "insecure-password", "passwd", "secret"];
/// What stands in its place.
const MASK: &str = "***";

/// The line without its passwords; all else as it was.
pub(crate) fn masked(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let (mut next_is_secret, mut before, mut one_before) = (false, "", "");
    for piece in line.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        let space = &piece[word.len()..];
        let shown = if word.is_empty() || word == "=" {
            word.to_owned()
        } else if next_is_secret {
            MASK.to_owned()
        } else if before == "auth" && one_before == "stats" {
            // NAME:PASSWORD of HAProxy's statistics page.
            word.split_once(':').map_or_else(|| MASK.to_owned(), |(user, _)| format!("{user}:{MASK}"))
        } else {
            match word.split_once('=') {
                Some((name, value)) if BEFORE.contains(&name) && !value.is_empty() => {
                    format!("{name}={MASK}")
                }
                _ => word.to_owned(),
            }
        };
        out.push_str(&shown);
        out.push_str(space);
        if !word.is_empty() && word != "=" {
            next_is_secret =
                BEFORE.contains(&word) || word.strip_suffix('=').is_some_and(|name| BEFORE.contains(&name));
            (one_before, before) = (before, word);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn passwords_are_taken_out_and_nothing_else() {
        for (line, wanted) in [
            ("auth_pass secret42", "auth_pass ***"),
            (
                "authentication { auth_type PASS auth_pass 1111 }",
                "authentication { auth_type PASS auth_pass *** }",
            ),
            ("stats auth admin:se:cret", "stats auth admin:***"),
            ("user anna insecure-password 1234 groups a", "user anna insecure-password *** groups a"),
            ("user anna password $5$x$y", "user anna password ***"),
            ("  passwd = \"x\"", "  passwd = ***"),
            ("passwd=\"x\"", "passwd=***"),
            ("option httpchk GET /password", "option httpchk GET /password"),
            ("auth_type PASS", "auth_type PASS"),
            ("", ""),
        ] {
            assert_eq!(masked(line), wanted);
        }
    }
}
