//! Keys of rules.

use super::{DAY, HOUR, Key, SECOND, Table};

/// `[[service.NAME.rule]]`
pub(crate) const RULE: Table = Table {
    title: "### `[[service.NAME.rule]]`",
    before: "\
What is decided about a request before a server is chosen. Rules are tried in the file's order. One whose conditions hold does
what it says, in this order: `basic_auth`, `rate_limit`, headers, path, and then at most one of `pool`, `redirect`, `return`,
`deny` and `tarpit`; after one of these no later rule is tried. At most 256. In mode `tcp` a rule is about a connection: it has
`source` and `tls_name` as conditions, and `pool` or `deny = \"silent\"`.",
    keys: &[
        Key::other("when", "table", "Conditions that must all hold, below.").or_told("always"),
        Key::other("unless", "table", "The same conditions: when all hold, the rule does nothing.")
            .or_told("no exception"),
        Key::other("pool", "pool's name", "This pool answers; a service's own is called like the service."),
        Key::other(
            "redirect",
            "`\"https\"`, text, or table",
            "Sends the client elsewhere. `\"https\"`: same host and path, status 301. A text is the target, status 302.",
        )
        .http(),
        Key::other("return", "status, or table", "The balancer answers.").http(),
        Key::other("deny", "400 to 599, or `\"silent\"`", "Refuses. `silent`: the connection is closed without an answer."),
        Key::other("tarpit", "table", "Refuses after a while; the place of the connection is held meanwhile.").http(),
        Key::other("basic_auth", "list's name, or table", "Asks for a password (RFC 7617).").http(),
        Key::other("rate_limit", "table", "Refuses beyond a rate.").http(),
        Key::other("set_header", "`{ NAME = \"VALUE\" }`", "Sets request headers; what was there is removed.").http(),
        Key::other("add_header", "`{ NAME = \"VALUE\" }`", "Adds request headers.").http(),
        Key::other("delete_header", "header's name, or list", "Removes request headers.").http(),
        Key::other("set_response_header", "`{ NAME = \"VALUE\" }`", "The same for the answer.").http(),
        Key::other("add_response_header", "`{ NAME = \"VALUE\" }`", "The same for the answer.").http(),
        Key::other("delete_response_header", "header's name, or list", "The same for the answer.").http(),
        Key::other("path", "text that begins with `/` or `{`", "The server gets this path instead.").http(),
        Key::other(
            "strip_prefix",
            "text that begins with `/`",
            "Takes whole segments away from the path's beginning: with `/old`, `/old/a` becomes `/a` and `/older` stays.",
        )
        .http(),
        Key::other("replace_prefix", "`{ \"/FROM\" = \"/TO\" }`", "Another beginning for the path.").http(),
        Key::other(
            "replace_path",
            "`{ \"EXPRESSION\" = \"TEXT\" }`",
            "The first match in the path is replaced; `$1` is a group of the expression.",
        )
        .http(),
    ],
    after: "\
Values of headers, `redirect` and `path` may have placeholders: `{host}`, `{path}`, `{query}`, `{uri}` (path and query),
`{method}`, `{source}`, `{tls_name}`, `{request_id}`; `{{` is a brace.",
};

/// `when` and `unless`.
pub(crate) const CONDITION: Table = Table {
    title: "### `when`, `unless`",
    before: "\
All keys must hold; of a list, any. A *pattern* is text that must be equal; with `*` for any characters; or, after `~`, a regular
expression that must match somewhere.",
    keys: &[
        Key::other("host", "pattern, or list", "Host without its port, in lower case.").http(),
        Key::other("path", "pattern, or list", "Path without the query, as it was sent.").http(),
        Key::other("method", "method in capitals, or list", "The method.").http(),
        Key::other(
            "header",
            "`{ NAME = pattern, list or boolean }`",
            "Headers. `true`: it is there. `false`: it is not.",
        )
        .http(),
        Key::other("query", "`{ NAME = pattern, list or boolean }`", "Query parameters, percent-decoded.").http(),
        Key::other("cookie", "`{ NAME = pattern, list or boolean }`", "Cookies.").http(),
        Key::other("source", "address or network, or list", "The client's address is in one of these, as in `\"10.0.0.0/8\"` or `\"2001:db8::/32\"`."),
        Key::boolean("tls", "Whether the client speaks TLS.").http(),
        Key::other("tls_name", "pattern, or list", "The name that the client asked for in TLS (SNI), in lower case."),
    ],
    after: "",
};

/// A rule's `redirect`.
pub(crate) const REDIRECT: Table = Table {
    title: "### `redirect`",
    before: "",
    keys: &[
        Key::other("to", "text", "Begins with `https://`, `http://`, `/` or a placeholder.").required(),
        Key::other("status", "301, 302, 303, 307, 308", "The status.").or("302"),
    ],
    after: "",
};

/// A rule's `return`.
pub(crate) const RETURN: Table = Table {
    title: "### `return`",
    before: "",
    keys: &[
        Key::integer("status", 200, 599, "The status.").or("200"),
        Key::other("type", "media type", "Of the body.").or("\"text/plain\""),
        Key::other("body", "text, at most 64 KiB", "The body.").or("\"\""),
    ],
    after: "",
};

/// A rule's `tarpit`.
pub(crate) const TARPIT: Table = Table {
    title: "### `tarpit`",
    before: "",
    keys: &[
        Key::integer("status", 400, 599, "The status.").or("500"),
        Key::duration("after", 1, HOUR, "How long the client waits for it.").or("\"10s\""),
    ],
    after: "",
};

/// A rule's `rate_limit`.
pub(crate) const RATE: Table = Table {
    title: "### `rate_limit`",
    before: "At most so many requests in a sliding time.",
    keys: &[
        Key::integer("requests", 1, 1_000_000_000, "So many.").required(),
        Key::duration("period", SECOND / 10, DAY, "In this time.").or("\"1s\""),
        Key::other(
            "by",
            "`\"source\"`, `\"all\"`, `\"header:NAME\"`",
            "Counted for each client address, all together, or for each value of a header (requests without it are not counted).",
        )
        .or("\"source\""),
        Key::integer("status", 400, 599, "The status of a refusal.").or("429"),
        Key::integer(
            "size",
            1,
            10_000_000,
            "Most addresses or values that are remembered; the one that was not seen longest makes room.",
        )
        .or("100000"),
    ],
    after: "",
};

/// A rule's `basic_auth`.
pub(crate) const AUTH: Table = Table {
    title: "### `basic_auth`",
    before: "",
    keys: &[
        Key::other("users", "list's name", "The `[users.NAME]` who may.").required(),
        Key::other("realm", "text, 1 to 128 characters", "What the browser shows.")
            .or_told("the list's name"),
    ],
    after: "",
};
