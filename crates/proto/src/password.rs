//! Whether someone who asks may: HTTP's basic authentication (RFC 7617) against password hashes of crypt(5).
//!
//! SHA-256 (`$5$`) and SHA-512 (`$6$`) are known, what `openssl passwd -6` prints. Checking takes a few milliseconds on purpose;
//! who checks often keeps a [`Memory`] of what was right. Not here: where the users come from, and what is answered.

use std::collections::VecDeque;

use base64ct::{Base64, Encoding};
use relevo_model::cluster::{User, Users};
use sha_crypt::{PasswordVerifier, ShaCrypt};
use sha2::{Digest, Sha256};

/// Longest password that is looked at, bytes. The work grows with the square of it.
pub const LONGEST_PASSWORD: usize = 256;
/// Longest name of a user, bytes.
pub const LONGEST_NAME: usize = 256;
/// Most rounds of a hash that are worked through: about a fifth of a second. `openssl passwd` writes 5,000.
pub const MOST_ROUNDS: u32 = 500_000;

/// What an unknown user's password is compared with, so that a name cannot be found out by the time that an answer takes.
const NOBODY: &str =
    "$6$abcdefgh$2aN63rAdvWKB/5Wv8cVVAwo72cbNY4v4f8WoW3pPqhNNlvWfQh9jlpvOnU/WpP/1qwtk5xvGq8D1kQaZ4bajJ/";

/// A name and a password as a client said them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub user: String,
    password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Credentials {
    /// What the value of an `Authorization` field says (RFC 7617 section 2); `None`: it is not basic authentication, or
    /// too long.
    pub fn from_authorization(value: &[u8]) -> Option<Self> {
        let (scheme, rest) = value.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let text = std::str::from_utf8(rest).ok()?.trim_matches(' ');
        if text.len() > 2 * (LONGEST_NAME + LONGEST_PASSWORD) {
            return None;
        }
        let pair = String::from_utf8(Base64::decode_vec(text).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        (user.len() <= LONGEST_NAME && password.len() <= LONGEST_PASSWORD)
            .then(|| Self { user: user.to_owned(), password: password.to_owned() })
    }

    /// The user of the list whose name and password these are. Takes milliseconds.
    pub fn find<'a>(&self, users: &'a Users) -> Option<&'a User> {
        let user = users.users.iter().find(|user| user.name == self.user);
        let is_right = is_right(self.password.as_bytes(), user.map_or(NOBODY, |user| &user.hash));
        user.filter(|_| is_right)
    }
}

/// Whether a hash is one that can be checked.
///
/// # Errors
/// What is wrong with it, for the one who wrote it.
pub fn ensure_hash(hash: &str) -> Result<(), &'static str> {
    const WRONG: &str =
        "is not the hash of a password: write what `openssl passwd -6` prints, as in \"$6$...\"";
    let mut fields = hash.split('$');
    let length = match (fields.next(), fields.next()) {
        (Some(""), Some("5")) => 43,
        (Some(""), Some("6")) => 86,
        _ => return Err(WRONG),
    };
    let mut salt = fields.next().ok_or(WRONG)?;
    if let Some(rounds) = salt.strip_prefix("rounds=") {
        let rounds: u32 = rounds.parse().map_err(|_| WRONG)?;
        if !(1000..=MOST_ROUNDS).contains(&rounds) {
            return Err(
                "has fewer than 1000 or more than 500000 rounds: each request would be too cheap or too dear",
            );
        }
        salt = fields.next().ok_or(WRONG)?;
    }
    let digest = fields.next().ok_or(WRONG)?;
    let is_digest = digest.len() == length
        && digest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'));
    if salt.len() > 16 || !is_digest || fields.next().is_some() { Err(WRONG) } else { Ok(()) }
}

/// Whether a password has this hash. A hash that makes no sense has none.
fn is_right(password: &[u8], hash: &str) -> bool {
    ensure_hash(hash).is_ok() && ShaCrypt::default().verify_password(password, hash).is_ok()
}

/// What was right lately, so that the next request with it is cheap. It keeps keyed digests, no passwords.
#[derive(Debug)]
pub struct Memory {
    key: [u8; 32],
    most: usize,
    known: VecDeque<[u8; 32]>,
}

impl Memory {
    /// Remembers so many; `key`: random bytes that nobody else has.
    pub fn new(key: [u8; 32], most: usize) -> Self {
        Self { key, most, known: VecDeque::new() }
    }

    /// The user whose credentials these are, if they were right before and his hash has not changed since.
    pub fn find<'a>(&self, credentials: &Credentials, users: &'a Users) -> Option<&'a User> {
        let user = users.users.iter().find(|user| user.name == credentials.user)?;
        let digest = self.digest(credentials, user);
        // All are compared to the end: a digest of a random key tells nothing, but it costs nothing either.
        let is_known = self.known.iter().fold(false, |found, known| found | (*known == digest));
        is_known.then_some(user)
    }

    /// Notes that [`Credentials::find`] has found this user.
    pub fn remember(&mut self, credentials: &Credentials, user: &User) {
        let digest = self.digest(credentials, user);
        if self.most == 0 || self.known.contains(&digest) {
            return;
        }
        while self.known.len() >= self.most {
            self.known.pop_front();
        }
        self.known.push_back(digest);
    }

    fn digest(&self, credentials: &Credentials, user: &User) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.key);
        for part in [&user.name, &user.hash, &credentials.password] {
            // With its length, so that no two triples look alike.
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl passwd -6 -salt abcdefgh geheim`
    const SHA512: &str =
        "$6$abcdefgh$msgktWxVAbjjh3X7lA5LaM7dS/ZfABJL6T4qcRsnjcOTj0kptUvZcrvrXIoO5fgPA9xz6UnF2To2Y7jGc/IZY/";
    const SHA256: &str = "$5$abcdefgh$azU9PNNJw9essBuwq5yihWY9lFXM0dF54Ph4sAxX.YB";

    fn users(hash: &str) -> Users {
        let user = User { name: "anna".to_owned(), hash: hash.to_owned() };
        Users { name: "staff".into(), users: vec![user] }
    }

    fn basic(pair: &str) -> Option<Credentials> {
        Credentials::from_authorization(
            format!("Basic {}", Base64::encode_string(pair.as_bytes())).as_bytes(),
        )
    }

    #[test]
    fn the_right_password_of_either_hash_is_found() {
        for hash in [SHA512, SHA256] {
            let users = users(hash);
            assert!(basic("anna:geheim").unwrap().find(&users).is_some(), "{hash}");
            for wrong in ["anna:geheim2", "anna:", "bert:geheim", ":", "anna:GEHEIM"] {
                assert!(basic(wrong).unwrap().find(&users).is_none(), "{wrong}");
            }
        }
    }

    #[test]
    fn what_is_not_basic_authentication_is_nothing() {
        let long = format!("Basic {}", Base64::encode_string(&[b'a'; 2000]));
        let values: [&[u8]; 8] = [
            b"",
            b"Basic",
            b"Basic ",
            b"Basic !!!!",
            b"Bearer YTpi",
            b"Basic YWI=",
            b"Basic \xff",
            long.as_bytes(),
        ];
        for value in values {
            assert!(Credentials::from_authorization(value).is_none(), "{}", String::from_utf8_lossy(value));
        }
        assert_eq!(Credentials::from_authorization(b"bASIC YTpiOmM=").unwrap().user, "a");
    }

    #[test]
    fn a_password_may_have_colons_and_is_not_shown() {
        let credentials = basic("anna:a:b").unwrap();
        assert_eq!(credentials.password, "a:b");
        assert!(!format!("{credentials:?}").contains("a:b"));
    }

    #[test]
    fn hashes_that_make_no_sense_are_told() {
        assert_eq!(ensure_hash(SHA512), Ok(()));
        assert_eq!(ensure_hash(SHA256), Ok(()));
        assert_eq!(ensure_hash(NOBODY), Ok(()));
        let dear = SHA512.replace("$6$", "$6$rounds=999999999$");
        for wrong in
            ["", "geheim", "$1$abc$def", "$6$", "$6$salt$short", "$2y$10$abc", &dear, &format!("{SHA512}$")]
        {
            assert!(ensure_hash(wrong).is_err(), "{wrong}");
            assert!(!is_right(b"geheim", wrong));
        }
    }

    #[test]
    fn memory_knows_what_was_right_until_the_hash_changes() {
        let (users, credentials) = (users(SHA512), basic("anna:geheim").unwrap());
        let mut memory = Memory::new([7; 32], 2);
        assert!(memory.find(&credentials, &users).is_none());
        memory.remember(&credentials, &users.users[0]);
        assert!(memory.find(&credentials, &users).is_some());
        assert!(memory.find(&basic("anna:other").unwrap(), &users).is_none());
        assert!(memory.find(&credentials, &self::users(SHA256)).is_none());
        for other in ["anna:1", "anna:2"] {
            memory.remember(&basic(other).unwrap(), &users.users[0]);
        }
        assert!(memory.find(&credentials, &users).is_none(), "it is bounded");
    }
}
