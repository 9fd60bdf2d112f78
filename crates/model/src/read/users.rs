//! `[users.NAME]`: who may, with hashes of passwords.

use super::fields::Fields;
use super::findings::Findings;
use super::names::{Named, Names, named};
use super::tree::{Item, entries};
use crate::cluster::{User, Users};
use crate::name::UsersName;

/// Most users of one list.
const MOST: usize = 1024;

/// Most rounds of a hash: more would hold up a worker at each login.
const MOST_ROUNDS: u32 = 500_000;

/// Reads all lists.
pub(super) fn read<'a>(findings: &mut Findings<'_>, root: &Fields<'a>) -> (Vec<Users>, Names) {
    let (tables, names) = named(findings, root, "users", "list of users", 256);
    let mut lists = Vec::new();
    for Named { name, header, table, .. } in tables {
        let items = entries(table);
        if items.is_empty() {
            let hint = "add a line such as anna = \"$6$...\"; `openssl passwd -6` prints the hash";
            findings.value(&header, format!("nobody is in the list of users `{name}`"), hint);
        }
        if let Some(extra) = items.get(MOST) {
            findings.value(&extra.key, format!("there are more than {MOST} users"), "split the list");
        }
        let users = items.iter().take(MOST).filter_map(|item| user(findings, item)).collect();
        lists.push(Users { name: UsersName::new(name), users });
    }
    (lists, names)
}

fn user(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<User> {
    // The name and the password are told apart by the first colon (RFC 7617 section 2).
    let wrong = |char: char| char == ':' || char.is_control();
    if item.name.is_empty() || item.name.len() > 128 || item.name.contains(wrong) {
        let hint = "a user's name has 1 to 128 bytes without `:`";
        findings.value(&item.key, format!("{:?} cannot be a user's name", item.name), hint);
    }
    let hint = "write what `openssl passwd -6` prints, as in \"$6$salt$...\"";
    let Some(hash) = item.value.as_str() else {
        findings.value(&item.span, "the hash of a password is text", hint);
        return None;
    };
    if let Err(problem) = crypt(hash) {
        findings.value(&item.span, problem, hint);
        return None;
    }
    Some(User { name: item.name.to_owned(), hash: hash.to_owned() })
}

/// Checks the form `$5$[rounds=N$]SALT$HASH` of crypt(5).
fn crypt(text: &str) -> Result<(), String> {
    let (rest, length) = match text.get(..3) {
        Some("$5$") => (&text[3..], 43),
        Some("$6$") => (&text[3..], 86),
        _ if text.starts_with('$') => {
            let kind = text.split('$').nth(1).unwrap_or_default();
            let kind: String = kind.chars().take(8).collect();
            return Err(format!(
                "the hash is of the kind `${kind}$`; only SHA-256 and SHA-512 are supported"
            ));
        }
        _ => return Err("this is not the hash of a password".to_owned()),
    };
    let mut parts: Vec<&str> = rest.split('$').collect();
    if let Some(rounds) = parts.first().and_then(|part| part.strip_prefix("rounds=")) {
        let rounds = rounds.parse::<u32>().ok().filter(|rounds| (1000..=MOST_ROUNDS).contains(rounds));
        if rounds.is_none() {
            return Err(format!("the hash has a count of rounds outside 1000 to {MOST_ROUNDS}"));
        }
        parts.remove(0);
    }
    let fits = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte));
    match parts.as_slice() {
        [salt, hash]
            if salt.len() <= 16 && !salt.contains([':', '\n']) && hash.len() == length && fits(hash) =>
        {
            Ok(())
        }
        [_, hash] if hash.len() != length => Err(format!(
            "the hash has {} characters after its salt, not {length}: was it cut?",
            hash.chars().count()
        )),
        _ => Err("this is not a whole hash of a password".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes() {
        let long = "x".repeat(86);
        assert!(crypt(&format!("$6$salt${long}")).is_ok());
        assert!(crypt(&format!("$6$rounds=5000$salt${long}")).is_ok());
        assert!(crypt(&format!("$5$salt${}", "a".repeat(43))).is_ok());
        for wrong in [
            "",
            "secret",
            "$6$",
            "$6$salt",
            "$6$salt$abc",
            "$1$salt$abc",
            "$2y$10$abc",
            "$6$rounds=1$s$x",
            "$y$j9T$a$b",
            "$",
        ] {
            assert!(crypt(wrong).is_err(), "{wrong}");
        }
        assert!(crypt(&format!("$6$seventeen-letters${long}")).is_err());
        assert!(crypt(&format!("$6$salt${long}$")).is_err());
    }
}
