//! Keys of the lab.

use super::{Key, Table};

/// `[lab]`
pub(crate) const LAB: Table = Table {
    title: "## `[lab]`",
    before: "\
How `relevo lab up` builds the cluster out of namespaces. A real cluster ignores it. Everything has a default, so that any
cluster file can be tried: one switch for each network, called like it; every node plugged in; a client `client` and a leg for
this machine on the network of the first virtual address, at the highest addresses that nobody has. Nodes, clients and switches
share one set of names.",
    keys: &[
        Key::other("switch", "tables", "`[lab.switch.NAME]`, below.").or_told("one for each network"),
        Key::other("link", "list of tables", "`[[lab.link]]`, below."),
        Key::other(
            "plug",
            "`{ NODE = \"SWITCH\" or { NETWORK = \"SWITCH\" } }`",
            "What nodes are plugged into. Required for a node on a network with several switches.",
        )
        .or_told("the network's only switch"),
        Key::other("client", "tables", "`[lab.client.NAME]`, below.").or_told("one"),
        Key::other("host", "table, or `false`", "`[lab.host]`, below. `false`: no leg.").or_told("a leg"),
        Key::other("run", "`{ NODE = \"COMMAND\" }`", "What a server runs, a command for `sh`.")
            .or_told("the built-in web server on every port that services send to"),
    ],
    after: "",
};

/// `[lab.switch.NAME]`
pub(crate) const SWITCH: Table = Table {
    title: "### `[lab.switch.NAME]`",
    before: "At most 256. A network without any gets the default one.",
    keys: &[
        Key::other("network", "network's name", "What it carries.").required(),
        Key::boolean("stp", "Whether it speaks STP. A loop in which no switch does is refused.").or("false"),
        Key::other(
            "priority",
            "0 to 61440 in steps of 4096",
            "STP bridge priority; the lowest is root. Needs `stp`.",
        )
        .or_told("32768"),
        Key::other("vxlan", "table", "Joins it with the other switches that have the same `id`.")
            .or_told("none"),
    ],
    after: "",
};

/// A switch's `vxlan`.
pub(crate) const VXLAN: Table = Table {
    title: "### `vxlan`",
    before: "",
    keys: &[
        Key::other("id", "1 to 16777215", "The VXLAN network identifier.").required(),
        Key::other("over", "switch's name", "The switch of another network that carries the tunnel.")
            .required(),
        Key::other("ip", "address", "The tunnel's own address there.").required(),
    ],
    after: "",
};

/// `[[lab.link]]`
pub(crate) const LINK: Table = Table {
    title: "### `[[lab.link]]`",
    before: "A cable between two switches of one network. At most 1024.",
    keys: &[
        Key::other("between", "list of two switches", "Its ends.").required(),
        Key::other("cost", "1 to 65535", "STP cost of both ports.").or_told("the kernel's"),
    ],
    after: "",
};

const LEG: &[Key] = &[
    Key::other("network", "network's name", "Where it is.").required(),
    Key::other("ip", "address", "Its address there.").required(),
    Key::other("switch", "switch's name", "What it is plugged into.").or_told("the network's only one"),
];

/// `[lab.client.NAME]`
pub(crate) const CLIENT: Table = Table {
    title: "### `[lab.client.NAME]`",
    before: "A machine that requests come from.",
    keys: LEG,
    after: "",
};

/// `[lab.host]`
pub(crate) const HOST: Table = Table {
    title: "### `[lab.host]`",
    before: "The leg of the machine that runs the lab, so that its browser opens the virtual addresses.",
    keys: LEG,
    after: "",
};
