//! Keys of what directors are for networks: the way out, the door, and interfaces.

use super::{Key, SECOND, Table};

/// `[gateway]`
pub(crate) const GATEWAY: Table = Table {
    title: "## `[gateway]`",
    before: "\
The way from one network to another through the active director. One such table, or `[gateway.NAME]` for each of at most 64. Machines
of `from` have the group's virtual address there as their router. It needs `nft` on the directors.",
    keys: &[
        Key::other("from", "network's name", "Whose machines use it.").required(),
        Key::other("to", "network's name", "Where they get to.").required(),
        Key::other("group", "group's name", "It has an address on both networks.").or_told("the only group"),
        Key::words("family", &["ipv4", "ipv6"], "Which packets it forwards.")
            .or_told("those of which both networks have a subnet and the group has an address on `from`"),
        Key::boolean(
            "masquerade",
            "Whether packets leave under a virtual address on `to`. Without it the machines there need a way back.",
        )
        .or_told("true; IPv6: only where `from` has a unique local subnet (fc00::/7)"),
        Key::other("source", "address's name, or a list", "Which virtual address they leave under; one of each family at most.")
            .or_told("the group's first on `to`"),
        Key::boolean(
            "inbound",
            "Whether machines on `to` may open connections to those on `from`; only where nothing is masqueraded.",
        )
        .or_told("false; with `masquerade = false` true"),
    ],
    after: "",
};

/// `[firewall]`
pub(crate) const FIREWALL: Table = Table {
    title: "## `[firewall]`",
    before: "Packets that a node refuses, by nftables in a table of its own. Without `[firewall]` none. Other ports, ssh's too, are never touched.",
    keys: &[Key::boolean(
        "cluster_ports",
        "Whether the cluster's own ports (VRRP, the directors' channel, BFD) are only for its nodes, and DHCP and DNS only for their networks.",
    )
    .or("true")],
    after: "",
};

/// `[interface.NAME]`
pub(crate) const LAYER2: Table = Table {
    title: "## `[interface.NAME]`",
    before: "\
Interfaces that `relevo net apply` makes on real nodes. At most 256. Only what is named here is ever touched: the interface itself,
and of its ports that they belong to it and are up. `relevo node run` and the lab leave them alone.",
    keys: &[
        Key::other(
            "kind",
            "`\"bridge\"`, `\"vxlan\"`, `\"bond\"`, `\"vlan\"`, `\"macvlan\"`",
            "What it is. Each has its own keys, below.",
        )
        .required(),
        Key::other("nodes", "list of nodes", "Who has it.").or_told("all nodes"),
        Key::other(
            "name",
            "text, 1 to 15 bytes",
            "What the kernel calls it, where nodes have different ones of one name.",
        )
        .or_told("the table's name"),
        Key::integer("mtu", 68, 65_535, "Its MTU, bytes.").or_told(
            "its network's; of a VXLAN, what it lies on less 50 (over IPv6: less 70); else the kernel's",
        ),
        Key::other(
            "addresses",
            "list of addresses with prefix length",
            "Addresses besides those of `[node.NAME]` whose `interface` this is. Only with one node. At most 64.",
        )
        .or_told("none"),
    ],
    after: "",
};

/// A bridge.
pub(crate) const BRIDGE: Table = Table {
    title: "### `kind = \"bridge\"`",
    before: "STP as the kernel has it: IEEE 802.1D of 1998.",
    keys: &[
        Key::other("ports", "list of interfaces", "Its ports, at most 256.").or_told("none"),
        Key::boolean("stp", "Whether it speaks STP.").or("false"),
        Key::other("priority", "0 to 61440 in steps of 4096", "STP bridge priority; the lowest is root.")
            .or("32768"),
        Key::other("cost", "`{ PORT = 1 to 65535 }`", "STP cost of ports.").or_told("by the link's speed"),
        Key::duration("hello_time", SECOND, 10 * SECOND, "Time between two BPDUs.").or("\"2s\""),
        Key::duration(
            "forward_delay",
            2 * SECOND,
            30 * SECOND,
            "Time that a port listens, and again that it learns.",
        )
        .or("\"15s\""),
        Key::duration("max_age", 6 * SECOND, 40 * SECOND, "Time after which a silent root is gone.")
            .or("\"20s\""),
    ],
    after: "The times fit together where `2 * (hello_time + 1s) <= max_age <= 2 * (forward_delay - 1s)`; others get a warning.",
};

/// A VXLAN.
pub(crate) const VXLAN_DEVICE: Table = Table {
    title: "### `kind = \"vxlan\"`",
    before: "",
    keys: &[
        Key::integer("id", 1, 16_777_215, "The VXLAN network identifier.").required(),
        Key::other(
            "over",
            "network's or interface's name",
            "What it lies on. A network: from the node's own address there.",
        )
        .required(),
        Key::other(
            "peers",
            "list of nodes or of addresses",
            "Where it sends what it has not learned. Nodes need a network in `over`. The node itself is left out. At most 64.",
        )
        .or_told("`nodes`, when `over` is a network"),
        Key::other("group", "multicast address", "Instead of `peers`: all that joined this group."),
        Key::other("local", "address", "The node's own end.").or_told("its address on the network"),
        Key::integer("port", 1, 65_535, "UDP port.").or("4789"),
    ],
    after: "",
};

/// A bond.
pub(crate) const BOND: Table = Table {
    title: "### `kind = \"bond\"`",
    before: "Needs the kernel's module `bonding`.",
    keys: &[
        Key::other("ports", "list of interfaces", "Its ports, 1 to 256. They are down for a moment when they join.").required(),
        Key::words(
            "mode",
            &["active-backup", "balance-rr", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"],
            "How it uses them.",
        )
        .or("\"active-backup\""),
        Key::other(
            "primary",
            "interface",
            "The port that is used whenever its link is up. Modes active-backup, balance-tlb and balance-alb.",
        )
        .or_told("none"),
        Key::duration("miimon", 1, 60 * SECOND, "Time between two looks at the ports' carrier.").or("\"100ms\""),
    ],
    after: "",
};

/// A VLAN.
pub(crate) const VLAN: Table = Table {
    title: "### `kind = \"vlan\"`",
    before: "Needs the kernel's module `8021q`.",
    keys: &[
        Key::integer("id", 1, 4094, "The VLAN's id.").required(),
        Key::other("over", "interface", "The interface that carries it.").required(),
    ],
    after: "",
};

/// A macvlan.
pub(crate) const MACVLAN: Table = Table {
    title: "### `kind = \"macvlan\"`",
    before: "",
    keys: &[
        Key::other("over", "interface", "The interface that it lies on.").required(),
        Key::words(
            "mode",
            &["bridge", "private", "vepa", "passthru"],
            "How those of one interface reach each other: directly, not at all, through the switch; `passthru`: it is the only one.",
        )
        .or("\"bridge\""),
        Key::other("mac", "`\"02:00:00:00:00:01\"`", "Its hardware address.").or_told("the kernel's choice"),
    ],
    after: "",
};
