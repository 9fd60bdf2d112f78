//! Keys of what operators look at.

use super::{HOUR, Key, SECOND, Table};

/// `[users.NAME]`
pub(crate) const USERS: Table = Table {
    title: "## `[users.NAME]`",
    before: "\
Who may: `USER = \"HASH\"`, at most 1024. The hash is SHA-256 or SHA-512 of crypt(5), `$5$...` or `$6$...`: what
`openssl passwd -6` prints. At most 256 lists.",
    keys: &[],
    after: "",
};

/// `[log]`
pub(crate) const LOG: Table = Table {
    title: "## `[log]`",
    before: "The access log.",
    keys: &[
        Key::other(
            "access",
            "`\"none\"`, `\"stdout\"`, `\"file:PATH\"`, `\"syslog:PATH\"`, `\"udp:IP:PORT\"`",
            "Where it goes: a file (opened again on SIGHUP), a syslog daemon's socket as `/dev/log`, or one by UDP.",
        )
        .or("\"none\""),
        Key::words("format", &["haproxy", "json"], "HAProxy's `httplog` and `tcplog`, or a JSON object a line.")
            .or("\"haproxy\""),
    ],
    after: "",
};

/// `[stats]`
pub(crate) const STATS: Table = Table {
    title: "## `[stats]`",
    before: "The statistics page, with actions on servers, and `/metrics` for Prometheus.",
    keys: &[
        Key::other(
            "listen",
            "`\"ADDRESS:PORT\"`, or a list",
            "As of a service; no service listens there too. At most 64.",
        )
        .required(),
        Key::other("users", "list's name", "The `[users.NAME]` who may see it.").required(),
        Key::other("admins", "list's name", "The `[users.NAME]` who may also change servers there.")
            .or_told("nobody"),
        Key::duration("refresh", SECOND, HOUR, "How often the page asks for itself again.").or("\"5s\""),
        Key::boolean(
            "open_metrics",
            "Whether `/metrics` may be read without a password. Only where not everybody can reach it.",
        )
        .or("false"),
    ],
    after: "",
};
