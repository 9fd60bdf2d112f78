//! Keys of a service.

use super::{DAY, Key, SECOND, Table};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// `[service.NAME]`
pub(crate) const SERVICE: Table = Table {
    title: "## `[service.NAME]`",
    before: "\
Where clients come in and how they are treated. Every director runs all services. At most 256. Who answers is a pool: either
`pool` names one, or the keys of `[pool.NAME]` (with `servers`) stand right here, and then the pool is called like the service.",
    keys: &[
        Key::other(
            "listen",
            "`\"ADDRESS:PORT\"`, a table, or a list of them",
            "A virtual address's name or its IP; also a director's own address, `127.0.0.1` or `0.0.0.0`. No two services listen at the same place. At most 64.",
        )
        .required(),
        Key::words(
            "mode",
            &["tcp", "http", "udp"],
            "`tcp`: bytes, one server for each connection. `http`: HTTP/1.1 and HTTP/2, one server for each request. `udp`: datagrams, one server for each client address and port.",
        )
        .or("\"tcp\""),
        Key::other("pool", "pool's name", "Who answers unless a rule chooses another pool.")
            .or_told("the keys of `[pool.NAME]`, here"),
        Key::other("rule", "list of tables", "`[[service.NAME.rule]]`, below.").streams(),
        Key::other("tls", "table", "How TLS is spoken where `listen` has `tls = true`. See `tls`.")
            .or_told("none")
            .streams(),
        Key::other(
            "protocols",
            "list of `\"h2\"`, `\"http/1.1\"`",
            "What is offered to clients by ALPN, the preferred one first.",
        )
        .or("[\"h2\", \"http/1.1\"]")
        .http(),
        Key::boolean("h2c", "Whether HTTP/2 is spoken in clear with clients that begin so (prior knowledge).")
            .or("false")
            .http(),
        Key::duration(
            "hsts",
            SECOND,
            3650 * DAY,
            "Answers over TLS say `Strict-Transport-Security` with this time (RFC 6797). Needs `tls`.",
        )
        .or_told("not sent")
        .http(),
        Key::boolean("forwarded_for", "Adds `X-Forwarded-For` with the client's address.").or("true").http(),
        Key::other("timeout", "table", "Limits in time. See `timeout`."),
        Key::integer(
            "max_connections",
            1,
            1_000_000,
            "Most client connections at a time; the next ones wait in the kernel's queue.",
        )
        .or("10000"),
        Key::size("max_header", KIB, MIB, "Largest request or response head.").or("\"16KiB\"").http(),
        Key::other("limit", "table", "Other bounds on what clients may use. See `limit`."),
        Key::other("compress", "`true`, or table", "Compresses answers for clients that accept it.")
            .or("false")
            .http(),
        Key::other(
            "cache",
            "`true`, or table",
            "Keeps answers in memory as far as RFC 9111 lets a shared cache.",
        )
        .or("false")
        .http(),
        Key::other(
            "error_pages",
            "`{ STATUS = \"PATH\" }`, 400 to 599",
            "Files with the bodies (HTML, at most 64 KiB) of the balancer's own errors.",
        )
        .or_told("a short sentence")
        .http(),
        Key::other(
            "monitor",
            "text that begins with `/`",
            "A path that the balancer answers itself: 200, or 503 when no server can work.",
        )
        .or_told("none")
        .http(),
        Key::other(
            "log",
            "`\"all\"`, `\"errors\"`, `\"none\"`, or table",
            "Which requests go to the access log of `[log]`.",
        )
        .or("\"all\""),
        Key::words(
            "path",
            &["auto", "kernel", "userspace"],
            "Which way packets take. `kernel`: the director's kernel translates them, and connections live on when the director dies; `relevo check` tells what of a service it cannot do. `userspace`: the balancer's own engine. `auto`: the kernel where it can, where it may, and where answers find their way: `[gateway]` from the servers' network, `source`, or `forward = \"direct\"`.",
        )
        .or("\"auto\"")
        .layer_4(),
        Key::words(
            "forward",
            &["nat", "direct"],
            "How the kernel's way leads to servers. `nat`: addresses and ports are translated, there and back. `direct`: packets go to a server as they are, and it answers the client by itself; it has the service's address on its loopback (a server node with `relevo node run` sees to it), and the same port.",
        )
        .or("\"nat\"")
        .layer_4(),
        Key::other(
            "source",
            "address's name",
            "The virtual address, on the servers' network and of the same group, that servers of the kernel's path see instead of the client's: for servers whose router is another. Connections then need the director's connection tracking.",
        )
        .or_told("none: servers see clients")
        .layer_4(),
        Key::other(
            "synproxy",
            "`true`, or table",
            "Protection from floods of connection requests on the kernel's path: the director's kernel answers them itself, with SYN cookies, and servers hear only of clients that have answered. The price: such connections end when their director changes (`relevo check` says so), and they need its connection tracking. Without it connections live on, and servers' own SYN cookies protect them. See `synproxy`.",
        )
        .or("false")
        .tcp(),
    ],
    after: "",
};

/// An entry of `listen`.
pub(crate) const LISTEN: Table = Table {
    title: "### `listen`",
    before: "An entry as table: `{ at = \"front:443\", tls = true }`.",
    keys: &[
        Key::other("at", "`\"ADDRESS:PORT\"`", "Where.").required(),
        Key::boolean("tls", "Whether clients speak TLS here, with the service's `tls`.").or("false").streams(),
        Key::boolean(
            "proxy_protocol",
            "Whether each connection begins with a PROXY protocol header, version 1 or 2. Only for listeners that nobody but a trusted proxy can reach: it says who the client is.",
        )
        .or("false")
        .streams(),
        Key::boolean(
            "defer_accept",
            "Whether a connection is taken when its client has sent something, not before: the kernel waits for that, which saves work for each connection, and clients that say nothing take no place of `max_connections`. One that is silent is taken after about a second. Not for protocols where the server greets first (SMTP, FTP, MySQL, SSH): their greeting would come a second late.",
        )
        .or_told("`true` where clients are known to speak first: mode `http`, `tls`, `proxy_protocol`, a rule that looks at `tls` or `tls_name`, or, in mode `tcp`, pools that are all checked by `http`, or by `tls` without `server_tls`, at the servers' own ports; else `false`")
        .streams(),
    ],
    after: "",
};

/// A service's `timeout`, beside those of its pool.
pub(crate) const SERVICE_TIMEOUT: Table = Table {
    title: "### `timeout`",
    before: "Those of the pool (below) stand here too when the pool's keys do.",
    keys: &[
        Key::duration(
            "client",
            1,
            DAY,
            "Longest silence of a client that is sending, or that owes us reading. Mode `udp`: life of a silent flow.",
        )
        .or("\"30s\""),
        Key::duration("request", 1, DAY, "For a whole request head to arrive.").or("\"10s\"").http(),
        Key::duration("keep_alive", 1, DAY, "Longest wait for the next request on an idle connection.")
            .or("\"10s\"")
            .http(),
        Key::duration("tunnel", 1, 30 * DAY, "Longest silence of both sides of an upgraded or mode `tcp` connection.")
            .or_told("the longer of `client` and `server`")
            .streams(),
    ],
    after: "",
};

/// A service's `limit`.
pub(crate) const LIMIT: Table = Table {
    title: "### `limit`",
    before: "",
    keys: &[
        Key::size("uri", 64, MIB, "Largest request target, at most `max_header`; longer: 414.")
            .or("\"8KiB\"")
            .http(),
        Key::size("body", 1, 1024 * GIB, "Largest request body; larger: 413.").or_told("none").http(),
        Key::integer(
            "connections_per_source",
            1,
            1_000_000,
            "Connections at a time from one source address; more are closed at once. Mode `udp`: flows.",
        )
        .or_told("none"),
        Key::integer("streams", 1, 1000, "HTTP/2 requests at a time on one connection.").or("100").http(),
    ],
    after: "",
};

/// A service's `synproxy`.
pub(crate) const SYNPROXY: Table = Table {
    title: "### `synproxy`",
    before: "\
What the director says to clients before any server is asked; it must hold for all servers of the service. On a server, `ss -ti` shows both for connections
that are there (`mss`, and the second number of `wscale`). Not together with `source` and `forward = \"direct\"`.",
    keys: &[
        Key::integer("mss", 536, 8960, "Largest segment that servers take, bytes.").or_told("1460, over IPv6 1440"),
        Key::integer(
            "wscale",
            0,
            14,
            "Servers' window scale, or less. Linux has 7, and 10 since 6.16. More than servers have makes clients send what is dropped; less makes uploads over long distances slower.",
        )
        .or("7"),
    ],
    after: "",
};

/// A service's `compress`.
pub(crate) const COMPRESS: Table = Table {
    title: "### `compress`",
    before: "",
    keys: &[
        Key::other("codings", "list of `\"zstd\"`, `\"br\"`, `\"gzip\"`", "In order of preference.")
            .or("[\"zstd\", \"br\", \"gzip\"]"),
        Key::other("types", "list of media types, as `\"text/*\"`", "What is compressed.").or(
            "[\"text/*\", \"application/json\", \"application/javascript\", \"application/xml\", \"application/wasm\", \"image/svg+xml\"]",
        ),
        Key::size("least", 1, MIB, "Smallest body that is compressed, if its length is known.").or("\"1KiB\""),
    ],
    after: "",
};

/// A service's `cache`.
pub(crate) const CACHE: Table = Table {
    title: "### `cache`",
    before: "",
    keys: &[
        Key::size("size", MIB, 1024 * GIB, "Most memory for all answers of the service.").or("\"64MiB\""),
        Key::size("object", KIB, GIB, "Largest answer that is kept, at most `size`.").or("\"1MiB\""),
        Key::duration(
            "age",
            SECOND,
            365 * DAY,
            "Longest time that one is used without asking the server again, whatever the server allows.",
        )
        .or("\"10m\""),
    ],
    after: "",
};

/// A service's `log`.
pub(crate) const SERVICE_LOG: Table = Table {
    title: "### `log` of a service",
    before: "",
    keys: &[
        Key::words(
            "what",
            &["all", "errors", "none"],
            "`errors`: the balancer's own errors, answers of 500 and more, cut connections.",
        )
        .or("\"all\""),
        Key::other("capture", "list of header names", "Request headers whose values are logged, at most 16.")
            .or("[]")
            .http(),
    ],
    after: "",
};
