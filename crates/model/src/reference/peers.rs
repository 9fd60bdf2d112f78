//! Keys of how directors watch each other.

use super::{Key, SECOND, Table};

/// `[peers]`
pub(crate) const PEERS: Table = Table {
    title: "## `[peers]`",
    before: "\
The channel between the directors: authenticated datagrams (UDP) on every network that two of them share. With it each one knows
what the others see. Without it `relevo status` says `unknown` where it would need to ask.",
    keys: &[
        Key::other(
            "key",
            "path",
            "The file with the key, the same on all directors; only its owner may read it (mode 0600). `relevo key > FILE` makes one.",
        )
        .required(),
        Key::integer("port", 1, 65_535, "The UDP port.").or("7402"),
    ],
    after: "",
};

/// `bfd` of a group
pub(crate) const BFD: Table = Table {
    title: "### `bfd`",
    before: "\
BFD (RFC 5880, 5881) between the group's directors, on each of its networks: notices within milliseconds that the
active one is silent, which then counts as an Active_Down timer that has run out.",
    keys: &[
        Key::duration("interval", 10, 10 * SECOND, "Time between two packets.").or("\"10ms\""),
        Key::integer("multiplier", 2, 50, "A peer is lost after so many intervals without a packet.").or("5"),
    ],
    after: "",
};
