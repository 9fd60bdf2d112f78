//! Keys of a pool and its servers.

use super::{DAY, Key, SECOND, Table};

/// `[pool.NAME]`
pub(crate) const POOL: Table = Table {
    title: "## `[pool.NAME]`",
    before: "\
Servers that can answer alike. At most 256. Several services and rules may use one. The same keys may stand in a
`[service.NAME]` that has no `pool`.",
    keys: &[
        Key::other(
            "servers",
            "list of `\"NODE:PORT\"` or `\"IP:PORT\"`",
            "At most 1024. A node is reached at its first address on a network that all directors are on. An IPv6 address stands in brackets: `\"[2001:db8:1::11]:80\"`.",
        )
        .or_told("see below"),
        Key::words(
            "family",
            &["ipv4", "ipv6"],
            "Which of a node's addresses its servers, and the fallback, are reached at. Clients of either family may be served by servers of either; the kernel's path needs the family of `listen`.",
        )
        .or("\"ipv4\""),
        Key::other("server", "tables", "`[pool.NAME.server.NAME]` or `[service.NAME.server.NAME]`, below."),
        Key::other(
            "balance",
            "`\"roundrobin\"`, `\"static-rr\"`, `\"leastconn\"`, `\"first\"`, `\"random\"`, `\"source\"`, `\"uri\"`, or table",
            "Who is next. `roundrobin`: in turn by weight. `static-rr`: the same, and slow start and agents do not change it. `leastconn`: the one with the fewest connections for its weight. `first`: the first that has not reached its `max_connections`. `random`: of two at random, the one with fewer connections. `source`, `uri`: by a hash; see `balance`.",
        )
        .or("\"roundrobin\""),
        Key::other(
            "check",
            "`\"connect\"`, `\"none\"`, `\"ping\"`, or table",
            "How servers are checked. See `check`.",
        )
        .or_told("`\"connect\"`; a pool of mode `udp`: `\"ping\"`"),
        Key::other("agent", "table", "Asks an agent on each server for its state. See `agent`.").or_told("none"),
        Key::other("cookie", "cookie's name, or table", "A client stays with its server by a cookie. See `cookie`.")
            .or_told("none")
            .http(),
        Key::other(
            "affinity",
            "`\"source\"`, `\"header:NAME\"`, `\"cookie:NAME\"`, or table",
            "A client stays with its server by a table in memory. See `affinity`.",
        )
        .or_told("none"),
        Key::boolean("redispatch", "Whether a client whose server is gone gets another one; `false`: 503.")
            .or("true")
            .streams(),
        Key::integer("retries", 0, 15, "Attempts after the first one for one request or connection. When all servers that may be asked refused, they are asked again after a rest of `timeout.connect`, at most 1 s.")
            .or("3")
            .streams(),
        Key::integer(
            "max_queue",
            1,
            1_000_000,
            "Most requests that wait when all servers have reached their `max_connections`; more: 503 at once.",
        )
        .or_told("as many as clients may connect")
        .streams(),
        Key::boolean("all_backups", "Whether all backup servers share the work, instead of the first that is up.")
            .or("false"),
        Key::words(
            "observe",
            &["layer4", "layer7"],
            "Failures in traffic count too. `layer4`: connections that cannot be made or break before an answer. `layer7`: also answers that break the rules, and most of 500 and above; mode `http` only.",
        )
        .or_told("only connections that fail make the checks look at once")
        .streams(),
        Key::integer("error_limit", 1, 1000, "Failures in a row that count. Needs `observe`.").or_told("10").streams(),
        Key::words(
            "on_error",
            &["fastinter", "fail-check", "sudden-death", "mark-down"],
            "What they lead to: checks at `fast_interval`; one failed check; all but one of `fall` failed checks; the server is down at once. Needs `observe`.",
        )
        .or_told("`\"fail-check\"`")
        .streams(),
        Key::words(
            "on_marked_down",
            &["retry", "shutdown-sessions"],
            "Connections of a server that goes down: what is under way goes on, and a GET, HEAD or OPTIONS that got no byte is asked elsewhere, if somebody else can take it; or they are cut.",
        )
        .or("\"retry\"")
        .streams(),
        Key::duration(
            "slow_start",
            SECOND,
            DAY,
            "Time in which the share of a server that has come up grows to its whole, and its `max_connections` too.",
        )
        .or_told("none"),
        Key::other("server_tls", "table", "Speaks TLS with the servers. See `server_tls`.").or_told("none").streams(),
        Key::other(
            "server_protocols",
            "list of `\"h2\"`, `\"http/1.1\"`",
            "What is spoken with the servers. `[\"h2\"]`: HTTP/2, in clear where there is no `server_tls`. Both, with `server_tls`: what the server chooses (ALPN), HTTP/2 first. Checks by HTTP speak the same, unless a server has a `check_port`.",
        )
        .or("[\"http/1.1\"]")
        .http(),
        Key::words("send_proxy", &["v1", "v2"], "The PROXY protocol header that begins each connection to a server.")
            .or_told("none")
            .streams(),
        Key::other(
            "fallback",
            "`\"NODE:PORT\"` or `\"IP:PORT\"`",
            "Who answers when no server can.",
        )
        .or_told("none: 503 in mode `http`, a closed connection in mode `tcp`"),
        Key::other("timeout", "table", "Limits in time, below."),
    ],
    after: "\
A server in the list `servers` is called like its node (or IP); if it is there with several ports, `NODE:PORT`. At least one
server is needed, and one with a weight above 0; only a service whose rules answer everything needs none.",
};

/// `[pool.NAME.server.NAME]`
pub(crate) const SERVER: Table = Table {
    title: "### `[pool.NAME.server.NAME]`",
    before: "Either a further server, or more about one that is in the list, by its name there.",
    keys: &[
        Key::other(
            "at",
            "`\"NODE:PORT\"` or `\"IP:PORT\"`",
            "Where it listens. Not for one that is in the list.",
        )
        .required(),
        Key::integer("weight", 0, 256, "Its share. 0: no new work, but what is bound to it by persistence.").or("1"),
        Key::integer(
            "max_connections",
            1,
            1_000_000,
            "Most requests (mode `http`) or connections at a time, over all workers of a director; more wait.",
        )
        .or_told("no limit")
        .streams(),
        Key::boolean("backup", "Whether it works only while no other server can.").or("false"),
        Key::other(
            "cookie",
            "text without `~`, `|`, `;`, `,`, quotes and spaces",
            "Its value in the persistence cookie. Needs the pool's `cookie`.",
        )
        .or_told("its name")
        .http(),
        Key::integer("check_port", 1, 65_535, "The port that checks ask.").or_told("its own"),
    ],
    after: "",
};

/// A pool's `balance`, by a hash.
pub(crate) const HASH: Table = Table {
    title: "### `balance`",
    before: "As table, by a hash. The words `\"source\"` and `\"uri\"` are short for `{ hash = \"source\" }` and `{ hash = \"uri\" }`.",
    keys: &[
        Key::other(
            "hash",
            "`\"source\"`, `\"uri\"`, `\"uri-query\"`, `\"header:NAME\"`, `\"url_param:NAME\"`, `\"cookie:NAME\"`",
            "What is hashed; `uri` is the path without the query. A request without it goes in turn. In modes `tcp` and `udp` only `source`.",
        )
        .required(),
        Key::words(
            "method",
            &["consistent", "maglev", "map-based"],
            "How a hash becomes a server. When one comes or goes few clients move (a ring, or an evener table), or all (modulo the weights).",
        )
        .or("\"consistent\""),
        Key::integer(
            "bound",
            101,
            1000,
            "Nobody gets more than this many percent of the average load. Not with `map-based`.",
        )
        .or_told("none"),
    ],
    after: "",
};

/// A pool's `cookie`.
pub(crate) const COOKIE: Table = Table {
    title: "### `cookie`",
    before: "A name is short for `{ name = \"NAME\" }`.",
    keys: &[
        Key::other("name", "token (RFC 6265)", "The cookie's name.").required(),
        Key::words(
            "mode",
            &["insert", "rewrite", "prefix"],
            "The balancer sets it; or the server does, and the balancer replaces its value, or puts the server and `~` before it. With `rewrite` and `prefix` only `nocache` has a meaning beside.",
        )
        .or("\"insert\""),
        Key::boolean(
            "indirect",
            "Servers do not see it, and it is not sent again to a client that has it.",
        )
        .or_told("`true` with `insert`"),
        Key::boolean("nocache", "Answers that set it get `Cache-Control: private`.").or_told("`true` with `insert`"),
        Key::boolean("httponly", "Not for scripts.").or_told("`true` with `insert`"),
        Key::boolean("postonly", "Set only in answers to POST.").or("false"),
        Key::boolean("preserve", "A cookie of this name that the server sets itself is left alone.").or("false"),
        Key::boolean("secure", "Only over TLS.").or("false"),
        Key::words("samesite", &["strict", "lax", "none"], "For which sites; `none` needs `secure`.")
            .or_told("not said"),
        Key::other("domain", "domain", "For which hosts.").or_told("the host that was asked"),
        Key::duration("max_idle", SECOND, 3650 * DAY, "It is void when it was not used for so long.")
            .or_told("none"),
        Key::duration("max_life", SECOND, 3650 * DAY, "It is void when it is so old.").or_told("none"),
    ],
    after: "",
};

/// A pool's `affinity`.
pub(crate) const AFFINITY: Table = Table {
    title: "### `affinity`",
    before: "",
    keys: &[
        Key::other(
            "by",
            "`\"source\"`, `\"header:NAME\"`, `\"cookie:NAME\"`",
            "What a client is known by; of a cookie, one that servers set. In modes `tcp` and `udp` only `source`.",
        )
        .required(),
        Key::integer("size", 1, 10_000_000, "Most entries; the one that was not used longest makes room.")
            .or("100000"),
        Key::duration("expire", SECOND, 365 * DAY, "Life of an entry that is not used.").or("\"30m\""),
    ],
    after: "",
};

/// A pool's `timeout`.
pub(crate) const POOL_TIMEOUT: Table = Table {
    title: "### `timeout` of a pool",
    before: "",
    keys: &[
        Key::duration("connect", 1, DAY, "For a connection to a server to be made.").or("\"1s\"").streams(),
        Key::duration("server", 1, DAY, "Longest silence of a server that owes an answer.")
            .or("\"30s\"")
            .streams(),
        Key::duration(
            "queue",
            1,
            DAY,
            "Longest wait for a free server when all have reached `max_connections`; then 503.",
        )
        .or("\"10s\"")
        .streams(),
    ],
    after: "",
};
