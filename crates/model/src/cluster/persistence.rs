//! How a client stays with its server.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Who owns the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CookieMode {
    /// The balancer sets it.
    #[default]
    Insert,
    /// The server sets it, and the balancer replaces its value.
    Rewrite,
    /// The server sets it, and the balancer puts the server and `~` before its value.
    Prefix,
}

/// RFC 6265bis section 5.4.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SameSite {
    /// Only from the same site.
    Strict,
    /// Also when a link is followed.
    Lax,
    /// Always; browsers then demand `secure`.
    None,
}

/// Persistence by a cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Who owns it.
    pub mode: CookieMode,
    /// `insert`: servers do not see it, and it is not sent again to a client that has it.
    pub indirect: bool,
    /// Answers that set it get `Cache-Control: private`.
    pub nocache: bool,
    /// Set only in answers to POST.
    pub postonly: bool,
    /// `insert`: a cookie of this name that the server sets itself is left alone.
    pub preserve: bool,
    /// Not for scripts.
    pub httponly: bool,
    /// Only over TLS.
    pub secure: bool,
    /// For which sites.
    pub samesite: Option<SameSite>,
    /// For which domains; `None`: the host that was asked.
    pub domain: Option<String>,
    /// It is void when it was not used for so long.
    pub max_idle: Option<Duration>,
    /// It is void when it is so old.
    pub max_life: Option<Duration>,
}

/// What a client is known by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AffinityKey {
    /// The client's address.
    Source,
    /// A header's value.
    Header(String),
    /// A cookie's value, one that servers set.
    Cookie(String),
}

/// Persistence by a table (HAProxy's `stick on`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Affinity {
    /// What a client is known by.
    pub key: AffinityKey,
    /// Most entries; the one that was not used longest makes room.
    pub size: u32,
    /// Life of an entry that is not used.
    pub expire: Duration,
}
