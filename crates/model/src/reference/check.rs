//! Keys of checks.

use super::{HOUR, Key, SECOND, Table};

/// A pool's `check`.
pub(crate) const CHECK: Table = Table {
    title: "### `check`",
    before: "`\"connect\"`, `\"ping\"`, `\"none\"`, or a table with at most one of `connect`, `http`, `ping`, `command` and `script`. \
In mode `udp` too `connect`, `http` and `script` speak TCP; `script` then needs a `check_port` of each server. `ping` tells of the machine, not of the program.",
    keys: &[
        Key::other("connect", "`true`", "Good: the connection is accepted.").or_told("unless another"),
        Key::other(
            "http",
            "text that begins with `/`",
            "Good: a request for this path gets what is expected; a status from 200 to 399 unless said.",
        ),
        Key::other("ping", "`true`", "Good: the server answers an ICMP echo."),
        Key::other(
            "command",
            "list of texts",
            "Good: this program ends with code 0. No shell. `RELEVO_SERVER_ADDRESS`, `RELEVO_SERVER_PORT` and `RELEVO_SERVER_NAME` say which server.",
        ),
        Key::other("script", "list of steps", "Good: this conversation succeeds. See `script`."),
        Key::other("method", "method, in capitals", "Of an HTTP check.").or("\"GET\""),
        Key::other("host", "text", "The `Host` header of an HTTP check.")
            .or_told("the server's address and port"),
        Key::other("headers", "`{ NAME = \"VALUE\" }`", "Further headers of an HTTP check, at most 32.")
            .or("{}"),
        Key::other("expect", "`\"200-299,304\"`, or a number", "HTTP: the status is one of these.")
            .or_told("200 to 399"),
        Key::other("text", "text", "HTTP: the first 64 KiB of the body contain it."),
        Key::other("regex", "regular expression", "HTTP: the first 64 KiB of the body match it."),
        Key::other("header", "`{ NAME = \"TEXT\" }`", "HTTP: a header's value contains the text."),
        Key::boolean(
            "disable_on_404",
            "HTTP: whether an answer 404, whatever else is expected, means that the server wants no new work: it finishes what it has and keeps the clients that are bound to it. Of a server that is down it is a bad answer.",
        )
        .or("false"),
        Key::boolean(
            "tls",
            "Whether it speaks TLS, with the pool's `server_tls` or else without verification.",
        )
        .or_told("`true` with `server_tls`"),
        Key::duration("interval", 10, HOUR, "From one probe's start to the next's.").or("\"1s\""),
        Key::duration(
            "fast_interval",
            10,
            HOUR,
            "The same while the state may be changing; at most `interval`.",
        )
        .or_told("`interval`"),
        Key::duration("down_interval", 10, HOUR, "The same while the server is down.").or_told("`interval`"),
        Key::duration("timeout", 1, HOUR, "For the whole probe; at most the shortest interval.")
            .or_told("half of the shortest interval, at most `\"5s\"`"),
        Key::integer("rise", 1, 1000, "Good probes in a row that bring a server up.").or("2"),
        Key::integer("fall", 1, 1000, "Bad probes in a row that take a server down.").or("3"),
    ],
    after: "Regular expressions are those of Rust's regex crate: without look-around and back-references, in linear time.",
};

/// A step of a check's `script`.
pub(crate) const STEP: Table = Table {
    title: "### `script`",
    before: "\
A list of steps, each a table with one of these keys, as in `[{ send = \"PING\\r\\n\" }, { expect = \"+PONG\" }]`. At most 32.",
    keys: &[
        Key::other("send", "text, 1 to 4096 bytes", "Sends it."),
        Key::other(
            "expect",
            "text, 1 to 4096 bytes",
            "Waits until what came since the last step contains it.",
        ),
        Key::other("regex", "regular expression", "Waits until what came since the last step matches it."),
    ],
    after: "",
};

/// A pool's `agent`.
pub(crate) const AGENT: Table = Table {
    title: "### `agent`",
    before: "A program on the servers that answers with a line such as `75%`, `drain`, `maint`, `ready`, `up`, `down #reason`, `maxconn:30`.",
    keys: &[
        Key::integer("port", 1, 65_535, "Its TCP port.").required(),
        Key::duration("interval", SECOND / 10, HOUR, "From one question to the next.").or("\"2s\""),
    ],
    after: "",
};
