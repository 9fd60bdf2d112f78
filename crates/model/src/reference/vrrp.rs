//! Keys of how a group speaks on the wire and announces its addresses.

use super::{Key, SECOND, Table};

/// `unicast` of a group.
pub(crate) const UNICAST: Table = Table {
    title: "### `unicast`",
    before: "\
Adverts go to each of the group's other directors, at their addresses on the network, instead of the multicast group. `true`
or a table. IPv6 adverts come from the directors' own addresses then, not from their link-local ones.",
    keys: &[
        Key::integer("ttl", 1, 255, "TTL, for IPv6 the hop limit, of what is sent.").or("255"),
        Key::integer(
            "min_ttl",
            1,
            255,
            "Least TTL of what is believed. 255: no router was passed; 254: at most one, and so on.",
        )
        .or("255"),
        Key::boolean("check_source", "Only adverts that come from the group's directors are believed.").or("true"),
    ],
    after: "",
};

/// `hmac` of a group.
pub(crate) const HMAC: Table = Table {
    title: "### `hmac`",
    before: "\
Each advert carries an HMAC-SHA256 over itself, its addresses and a counter, so that nobody without the key can speak for a
director, nor repeat what one has said. It is `auth_hmac` of keepalived 2.4 on the wire. The clocks of the directors must agree within a
minute. The path of a file with keys, or a table.",
    keys: &[
        Key::other(
            "keys",
            "path",
            "Lines `ID KEY`: a number from 1 to 255, and 32 to 64 bytes in hexadecimal digits or base64. The first signs, all verify: add the new key below on every director, then move it to the top. Readable by its owner only; read again at `relevo reload` and SIGHUP.",
        )
        .required(),
        Key::words(
            "mode",
            &["enforce", "permissive", "receive-only"],
            "`enforce`: only signed adverts are believed. `permissive`: also those without a signature; wrong ones are not. `receive-only`: as `permissive`, but own adverts are not signed. To introduce it: `receive-only` everywhere, `permissive` everywhere, `enforce`.",
        )
        .or("\"enforce\""),
    ],
    after: "",
};

/// `announce` of a group.
pub(crate) const ANNOUNCE: Table = Table {
    title: "### `announce`",
    before: "How neighbours are told of a takeover: gratuitous ARP, for IPv6 unsolicited neighbour advertisements.",
    keys: &[
        Key::integer(
            "repeat",
            1,
            20,
            "How often. The first goes out at once, the others at growing distances.",
        )
        .or("5"),
        Key::duration("delay", 10, 60 * SECOND, "When the last of them goes out.").or("\"2500ms\""),
        Key::other(
            "refresh",
            "duration up to `\"1d\"`",
            "Time between those that follow as long as the addresses are held. `\"0ms\"`: none follow.",
        )
        .or("\"10s\""),
        Key::other(
            "interval",
            "duration up to `\"1s\"`",
            "Least time between the announcements of two addresses, for equipment that drops bursts.",
        )
        .or("\"0ms\""),
    ],
    after: "",
};
