//! Keys of the cluster itself: networks, nodes, groups, addresses.

use super::{HOUR, Key, Table};

/// The file's top.
pub(crate) const TOP: Table = Table {
    title: "## Top",
    before: "",
    keys: &[
        Key::other("name", "name", "The cluster's name; its lab is called so too.").required(),
        Key::other("network", "tables", "`[network.NAME]`, below.").required(),
        Key::other("node", "tables", "`[node.NAME]`, below.").required(),
        Key::other("group", "tables", "`[group.NAME]`, below."),
        Key::other("address", "tables", "`[address.NAME]`, below."),
        Key::other("service", "tables", "`[service.NAME]`, below."),
        Key::other("pool", "tables", "`[pool.NAME]`, below."),
        Key::other("users", "tables", "`[users.NAME]`, below."),
        Key::other("acme", "tables", "`[acme.NAME]`, below."),
        Key::other("dhcp", "tables", "`[dhcp.NETWORK]`, below."),
        Key::other("dns", "table", "`[dns]`, below."),
        Key::other("log", "table", "`[log]`, below."),
        Key::other("stats", "table", "`[stats]`, below."),
        Key::other("peers", "table", "`[peers]`, below."),
        Key::other("gateway", "table", "`[gateway]`, below."),
        Key::other("firewall", "table", "`[firewall]`, below."),
        Key::other("interface", "tables", "`[interface.NAME]`, below."),
        Key::other("lab", "table", "`[lab]`, below."),
    ],
    after: "",
};

/// `[network.NAME]`
pub(crate) const NETWORK: Table = Table {
    title: "## `[network.NAME]`",
    before: "\
At most 64. The lab calls interfaces after networks, by the first 15 characters, so these must differ; `lo`, `all` and
`default` are refused.",
    keys: &[
        Key::other(
            "subnet",
            "`\"A.B.C.D/N\"`, or a list of it and `\"X:Y::/N\"`",
            "One IPv4 subnet, prefix length 8 to 30, and at most one IPv6 subnet, 16 to 126. No bits set after the prefix, no overlap with another network.",
        )
        .required(),
        Key::integer("mtu", 68, 65_535, "The MTU of all that is on it, bytes. The lab sets it; `relevo net` checks it.")
            .or_told("the interfaces' own"),
    ],
    after: "",
};

/// `[node.NAME]`
pub(crate) const NODE: Table = Table {
    title: "## `[node.NAME]`",
    before: "A machine. At most 1024.",
    keys: &[
        Key::other(
            "roles",
            "list of `\"director\"`, `\"server\"`",
            "A director holds virtual addresses and balances; a server answers behind it.",
        )
        .required(),
        Key::other(
            "address",
            "`{ NETWORK = address or table }`",
            "The node's own address on each of its networks, at least one; also written `address.NETWORK = \"10.0.0.1\"`, with IPv6 `address.NETWORK = [\"10.0.0.1\", \"2001:db8:1::1\"]`.",
        )
        .required(),
        Key::other(
            "mac",
            "`{ NETWORK = \"52:54:00:00:00:01\" }`",
            "The hardware addresses of its interfaces, also written `mac.NETWORK = ...`: with `[dhcp.NETWORK]` it gets its address and name by DHCP.",
        )
        .or_told("none"),
    ],
    after: "",
};

/// The long form of a node's address.
pub(crate) const INTERFACE: Table = Table {
    title: "### `address.NETWORK`",
    before: "An address, or a table such as `{ ip = \"10.0.0.1\", interface = \"eth0\" }`.",
    keys: &[
        Key::other("ip", "address, or list of an IPv4 and an IPv6 address", "The address.").required(),
        Key::other("interface", "text, 1 to 15 bytes", "The interface.").or_told("the one that carries `ip`"),
    ],
    after: "",
};

/// `[group.NAME]`
pub(crate) const GROUP: Table = Table {
    title: "## `[group.NAME]`",
    before: "\
Virtual addresses that move together: one VRRP router on each of their networks, and for IPv4 and IPv6 one each. A file without any group has one called
`main` with the defaults below and all addresses. At most 255.",
    keys: &[
        Key::other(
            "vrid",
            "1 to 255, or `{ NETWORK = 51, ... }`",
            "The virtual router id, the same for IPv4 and IPv6. No two groups have the same on one network.",
        )
        .or_told("51, on each further network one more; **required** with several groups"),
        Key::other(
            "priority",
            "`{ NODE = 1 to 254, ... }`",
            "Who may hold the addresses; the highest that is alive does. No two are equal. Each needs an address on every network of the group.",
        )
        .or_told("all directors in the file's order: 150, 100, 90, 80, ..."),
        Key::other(
            "advert",
            "duration",
            "Time between adverts. Version 3: 10 ms to 40.95 s in whole 10 ms. Version 2: 1 s to 255 s in whole seconds.",
        )
        .or_told("`\"100ms\"`; version 2: `\"1s\"`"),
        Key::integer(
            "missed",
            1,
            100,
            "How many adverts must be missing before others take over (keepalived's `down_timer_adverts`), the same on all directors. The RFCs say 3; with 1 a single lost advert moves the addresses.",
        )
        .or("3"),
        Key::boolean(
            "preempt",
            "Whether a director of higher priority takes the addresses back when it returns.",
        )
        .or("false"),
        Key::other("version", "2 or 3", "VRRP on the wire: RFC 3768 (IPv4 only) or RFC 9568.").or("3"),
        Key::other(
            "password",
            "text, 1 to 8 bytes",
            "Version 2 only, for old peers. It is sent in clear and protects nothing.",
        )
        .or_told("none"),
        Key::other("bfd", "`true`, or a table, below", "Whether its directors watch each other with BFD.").or_told("`false`"),
        Key::other(
            "heartbeat",
            "network's name, or a list",
            "Networks without addresses of the group on which its directors watch each other too: as long as the active one says there that it holds the addresses, a network that fails alone moves nothing. Needs `[peers]`.",
        )
        .or_told("none"),
        Key::duration(
            "preempt_delay",
            0,
            HOUR,
            "With `preempt = true`: how long a returning director waits before it takes the addresses back.",
        )
        .or("\"0s\""),
        Key::duration(
            "drain",
            0,
            HOUR,
            "How long a director that gives the addresses away on purpose (switch-over, stop, preemption, a tracker) goes on with the connections that it has to services of the userspace engine; the new one forwards their packets to it. `\"0s\"`: they are reset.",
        )
        .or("\"60s\""),
        Key::duration(
            "startup_delay",
            0,
            HOUR,
            "How long a director that starts takes no part in the group: it neither listens nor holds addresses. Not after `relevo upgrade`.",
        )
        .or("\"0s\""),
        Key::duration(
            "boot_delay",
            0,
            HOUR,
            "The same until its machine has run for so long: time for networks and disks after a reboot.",
        )
        .or("\"0s\""),
        Key::boolean(
            "track_services",
            "Whether a director that finds no server for a service on the group's addresses gives way to one that may: each such service has a tracker with weight -253 unless one is written.",
        )
        .or("true"),
        Key::other("track", "tables", "`[group.NAME.track.NAME]`, below."),
        Key::other("route", "list of tables", "`[[group.NAME.route]]`, below."),
        Key::other("policy", "list of tables", "`[[group.NAME.policy]]`, below."),
        Key::other(
            "notify",
            "path, or list of paths and of lists with arguments, 1 to 8",
            "Programs that are run, one after the other, at each change of state, with the words GROUP, `active`, `backup`, `fault` or `stop`, and the priority at the end.",
        )
        .or_told("none"),
        Key::other("unicast", "`true`, `false` or table", "Adverts go to the other directors one by one, for networks without multicast.")
            .or("false"),
        Key::other(
            "multicast",
            "multicast group, or list of one for each family",
            "Where adverts go: another group keeps this cluster's adverts from routers of others on the same network, and from switches that treat the usual one in a way of their own. In 224.0.0.0/24 and ff02::/16.",
        )
        .or("[\"224.0.0.18\", \"ff02::12\"]"),
        Key::other("hmac", "path or table", "Adverts are signed. All directors of the group need it; keepalived before 2.4 does not understand it.")
            .or_told("no signature"),
        Key::words(
            "mac",
            &["interface", "virtual"],
            "The hardware address that the virtual addresses answer with: the interface's, or `00:00:5e:00:01:VRID` (IPv6: `00:00:5e:00:02:VRID`) on a macvlan of their own over the network's interface (keepalived's `use_vmac`). Adverts come from it too, but with `unicast`; see [networks](../guide/networks.md).",
        )
        .or("\"interface\""),
        Key::boolean(
            "accept",
            "Whether the active director answers connections to the addresses. `false`: it answers ARP and neighbour solicitations for them and forwards, no more (RFC 9568 Accept_Mode): packets to them are dropped by a table of nftables, `relevo-accept`. No service, DNS or DHCP can be at such an address.",
        )
        .or("true"),
        Key::other("announce", "table", "How neighbours are told of a takeover.").or_told("the defaults below"),
    ],
    after: "The others take over after `missed` adverts and a skew of `(256 - priority) / 256` adverts (version 2: seconds).",
};

/// `[address.NAME]`
pub(crate) const ADDRESS: Table = Table {
    title: "## `[address.NAME]`",
    before: "A virtual address. At most 1024.",
    keys: &[
        Key::other("network", "network's name", "Where it is.").required(),
        Key::other(
            "ip",
            "address, or with prefix length",
            "IPv4 or IPv6. Without a prefix length the interface gets `/32` or `/128`; the network's own may be written. A link-local IPv6 address may be on several networks.",
        )
        .required(),
        Key::other("group", "group's name", "The group that it moves with.").or_told("the only group"),
        Key::other("interface", "text, 1 to 15 bytes", "The interface that it is put on, on every director.")
            .or_told("that of the director's own address on the network"),
        Key::other("label", "text, 1 to 15 bytes", "IPv4 only: the name that old tools show it under, as in `\"eth0:web\"`.")
            .or_told("none"),
        Key::words(
            "scope",
            &["global", "site", "link", "host"],
            "IPv4 only: how far it is valid. The kernel does not choose a `link` address as source of what goes further.",
        )
        .or("\"global\""),
        Key::boolean(
            "watched",
            "Whether it is in the adverts. `false`: it moves along with the group, and the directors need not agree about it. A group needs one that is.",
        )
        .or("true"),
    ],
    after: "",
};
