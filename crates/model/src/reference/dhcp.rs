//! Keys of DHCP and DNS.

use super::{DAY, Key, MINUTE, SECOND, Table};

/// `[dhcp.NETWORK]`
pub(crate) const DHCP: Table = Table {
    title: "## `[dhcp.NETWORK]`",
    before: "\
The active director gives addresses to machines on the network, and all directors know of all leases. At most 64.",
    keys: &[
        Key::other(
            "range",
            "`\"A.B.C.D-A.B.C.E\"`",
            "Addresses for whoever asks, at most 65536. Those that the file gives to somebody are left out.",
        )
        .or_told("only fixed leases"),
        Key::other(
            "server",
            "address's name",
            "The virtual address whose director answers; clients know the server by it. It is on the network.",
        )
        .or_told("the only virtual address there; **required** with several"),
        Key::duration("lease", MINUTE, 365 * DAY, "How long a lease lasts. Clients renew it after half of that.").or("\"12h\""),
        Key::other("router", "address's name, or address", "The router that clients are told, on the network.").or_told("none"),
        Key::other(
            "dns",
            "address's name, or address, or a list of at most 8",
            "The name servers that clients are told.",
        )
        .or_told("where `[dns]` listens on the network"),
        Key::other("domain", "domain", "The domain that clients are told.").or_told("`domain` of `[dns]`"),
        Key::other(
            "options",
            "`{ CODE = value, ... }`",
            "\
Other options of RFC 2132 by their codes: an address, a list of addresses, text, `\"hex:00ff\"`; for options that are a number, a \
number or a boolean. Not those that have keys or are the protocol's own (1, 3, 6, 12, 15, 28, 50 to 59, 61, 82).",
        )
        .or_told("none"),
        Key::other("host", "tables", "`[dhcp.NETWORK.host.NAME]`, below. Nodes with `mac.NETWORK` need none."),
    ],
    after: "",
};

/// `[dhcp.NETWORK.host.NAME]`
pub(crate) const DHCP_HOST: Table = Table {
    title: "### `[dhcp.NETWORK.host.NAME]`",
    before: "A machine that is no node and always gets the same address and its name. At most 4096.",
    keys: &[
        Key::other("mac", "`\"52:54:00:12:34:56\"`", "The hardware address of its interface.").required(),
        Key::other("ip", "address", "Its address, of the network; in the range or not.").required(),
    ],
    after: "",
};

/// `[dns]`
pub(crate) const DNS: Table = Table {
    title: "## `[dns]`",
    before: "\
Answers with the names of nodes, virtual addresses, services and DHCP leases, and asks others about the rest. \
[The guide](../guide/dhcp-dns.md) has the names.",
    keys: &[
        Key::other("listen", "address's name, or a list", "Virtual addresses where it answers, port 53, UDP and TCP. At most 16.")
            .required(),
        Key::other("domain", "domain", "The domain of the cluster's names, as in `\"s2.internal\"`.").required(),
        Key::other(
            "forward",
            "`\"ADDRESS\"` or `\"ADDRESS:PORT\"`, or a list of at most 8",
            "Name servers that are asked about all other names, IPv4 or IPv6.",
        )
        .or_told("other names are refused"),
        Key::duration("ttl", SECOND, DAY, "How long others may remember answers about the cluster; whole seconds.").or("\"60s\""),
        Key::other("allow", "network's name or subnet, or a list", "Who may ask. At most 64.")
            .or_told("the networks of `listen`"),
        Key::other(
            "records",
            "`{ NAME = target, ... }`",
            "\
Further names below the domain, `\"@\"` for itself, `\"*.NAME\"` for all below a name. A target is an address or its name, a node's \
name, a list of these, or another name with a dot (CNAME). At most 4096.",
        )
        .or_told("none"),
    ],
    after: "",
};
