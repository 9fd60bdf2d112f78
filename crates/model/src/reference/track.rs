//! Keys of what a group watches and what moves along with it.

use super::{HOUR, Key, Table};

/// `[group.NAME.track.NAME]`
pub(crate) const TRACK: Table = Table {
    title: "### `[group.NAME.track.NAME]`",
    before: "\
Something that each director of the group watches for itself. At most 64. Exactly one of the first ten keys. Services on the
group's addresses are watched without being written here; see `track_services`.",
    keys: &[
        Key::other("interface", "text, 1 to 15 bytes", "The interface is there, up, and has a carrier."),
        Key::other("link", "network's name", "The same of the node's own interface on this network."),
        Key::other(
            "process",
            "text, 1 to 4096 bytes",
            "A process runs that is called so (the first 15 bytes count, as in `ps`); with `/` at the start: whose program is this file.",
        ),
        Key::other(
            "file",
            "path",
            "The file is there. If it begins with a whole number, that counts: it is multiplied by `weight` and added to the priority, -254 and less being a fault; without `weight` 0 is up and all else down.",
        ),
        Key::other("script", "list of texts, 1 to 32", "The program, with its arguments and without a shell, ends with 0."),
        Key::other("route", "`\"A.B.C.D/N\"`, `\"default\"`", "The main table has a route to exactly this destination."),
        Key::other(
            "ping",
            "address, or `\"fe80::1%NETWORK\"`",
            "It answers to ping. A link-local address needs its network, and each director asks from its own interface there.",
        ),
        Key::other("service", "service's name", "Its pool has a server that is not down, as this node's checks see it."),
        Key::other("pool", "pool's name", "The same of a pool."),
        Key::other("bfd", "node's name", "The BFD session with this director of the group is up."),
        Key::integer(
            "weight",
            -253,
            253,
            "Added to the priority: a negative one while it is down, a positive one while it is up. Not 0.",
        )
        .or_told("the group gives way while it is down (fault); of `service` and `pool`: -253"),
        Key::boolean("reverse", "Down counts as up, and up as down.").or("false"),
        Key::duration(
            "interval",
            10,
            HOUR,
            "Time between two looks. Interfaces, links, routes and BFD are told by the kernel or the session, and servers at once by their checks.",
        )
        .or("\"1s\""),
        Key::duration("timeout", 1, HOUR, "How long a script or a ping may take, at most `interval`.")
            .or_told("`interval`"),
        Key::integer("rise", 1, 1000, "Good looks in a row until it is up.").or_told("1; of `ping` 2"),
        Key::integer("fall", 1, 1000, "Bad looks in a row until it is down.").or_told("1; of `ping` 3"),
        Key::other(
            "delay",
            "duration, or `{ up = ..., down = ... }`",
            "A change counts when it has lasted so long. At most 1h.",
        )
        .or_told("`\"0s\"`"),
        Key::words("at_start", &["unknown", "up", "down"], "What it is before the first look; `unknown` changes nothing.")
            .or("\"unknown\""),
    ],
    after: "\
The sum of all weights is added to the director's `priority`, and the result is cut to 1 to 254. A director that is worse
than `priority` says gives way to one that is better off, also with `preempt = false`. With `preempt = true` the addresses are not
taken back before each tracker has looked, and each service and pool has been checked.",
};

/// `delay` of a tracker.
pub(crate) const DELAY: Table = Table {
    title: "### `delay`",
    before: "",
    keys: &[
        Key::duration("up", 0, HOUR, "Before it is up.").or("\"0s\""),
        Key::duration("down", 0, HOUR, "Before it is down.").or("\"0s\""),
    ],
    after: "",
};

/// `[[group.NAME.route]]`
pub(crate) const ROUTE: Table = Table {
    title: "### `[[group.NAME.route]]`",
    before: "A route that the active director has, and no other. At most 64.",
    keys: &[
        Key::other("to", "`\"A.B.C.D/N\"`, `\"default\"`", "Where it leads to.").required(),
        Key::other("via", "address", "The next router.").or_told("who is on the interface"),
        Key::other("interface", "text, 1 to 15 bytes", "The interface.")
            .or_told("the kernel takes that of `via`"),
        Key::other("network", "network's name", "The node's own interface on it, in place of `interface`.")
            .or_told("as `interface`"),
        Key::integer("table", 1, 4_294_967_295, "The routing table; 254 is `main`.").or("254"),
        Key::integer("metric", 0, 4_294_967_295, "The lowest wins.").or("0"),
        Key::other("source", "address, or address's name", "What packets of our own get as their source.")
            .or_told("the kernel's choice"),
    ],
    after: "Such routes carry the protocol number 112 (`ip route show proto 112`): those that an earlier process left behind are removed.",
};

/// `[[group.NAME.policy]]`
pub(crate) const POLICY: Table = Table {
    title: "### `[[group.NAME.policy]]`",
    before: "A rule of policy routing (`ip rule`) that the active director has, and no other. At most 64.",
    keys: &[
        Key::other("from", "`\"A.B.C.D/N\"`", "Packets from here.").or_told("from anywhere"),
        Key::other("to", "`\"A.B.C.D/N\"`", "Packets to here.").or_told("to anywhere"),
        Key::other("interface", "text, 1 to 15 bytes", "Packets that came in here.").or_told("on any"),
        Key::integer("table", 1, 4_294_967_295, "The routing table that they use.").required(),
        Key::integer("priority", 1, 32_765, "Its place; the lowest is asked first.").or("1000"),
    ],
    after: "",
};
