//! The reference says what the reader does: it is written from the same tables, and its defaults, ranges and words hold.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its files, and fails by panicking"
)]

use relevo_model::cluster::Mode;
use relevo_model::quantity::format_size;
use relevo_model::reference::{self, Key, Kind, Otherwise};
use relevo_model::{Reading, diagnostic, read};

#[test]
fn the_document_is_written_from_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/cluster-file.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, reference::markdown()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let right =
        "docs/reference/cluster-file.md is old: cargo run -q -- reference > docs/reference/cluster-file.md";
    assert!(written == reference::markdown(), "{right}");
}

const BASE: &str = r#"name = "shop"
network.lan.subnet = "10.1.0.0/24"
node.lb1 = { roles = ["director"], address.lan = "10.1.0.11" }
node.lb2 = { roles = ["director"], address.lan = "10.1.0.12" }
node.web1 = { roles = ["server"], address.lan = "10.1.0.21" }
node.web2 = { roles = ["server"], address.lan = "10.1.0.22" }
address.front = { network = "lan", ip = "10.1.0.200" }
"#;

const STAFF: &str = "[users.staff]\nanna = \"$5$salt$JWnMBU6pUUJSJvLYFWkpbFh6V.BSvCWrwdYT1ZFOPK7\"\n";

/// Where a key of each table stands in a file that is right without it.
const PLACES: &[(&str, &str)] = &[
    ("## `[group.NAME]`", "[group.main]\nHERE\n"),
    ("### `bfd`", "[group.main]\nbfd = { HERE }\n"),
    ("## `[peers]`", "SERVICE\n[peers]\nkey = \"peers.key\"\nHERE\n"),
    ("### `[group.NAME.track.NAME]`", "[group.main.track.up]\nscript = [\"/bin/true\"]\nHERE\n"),
    ("### `delay`", "[group.main.track.up]\ninterface = \"eth0\"\ndelay = { HERE }\n"),
    ("### `[[group.NAME.route]]`", "[[group.main.route]]\nto = \"10.9.0.0/16\"\nvia = \"10.1.0.1\"\nHERE\n"),
    ("### `[[group.NAME.policy]]`", "[[group.main.policy]]\nfrom = \"10.9.0.0/16\"\ntable = 100\nHERE\n"),
    ("## `[service.NAME]`", "[service.web]\nlisten = \"front:80\"\nservers = [\"web1:80\"]\nMODE\nHERE\n"),
    ("### `listen`", "[service.web]\nlisten = { at = \"front:80\", HERE }\nservers = [\"web1:80\"]\n"),
    ("### `timeout`", "SERVICE\ntimeout = { HERE }\n"),
    ("### `limit`", "SERVICE\nlimit = { HERE }\n"),
    ("### `compress`", "SERVICE\ncompress = { HERE }\n"),
    ("### `cache`", "SERVICE\ncache = { HERE }\n"),
    ("### `log` of a service", "SERVICE\nlog = { HERE }\n"),
    (
        "### `tls`",
        "[service.web]\nlisten = { at = \"front:443\", tls = true }\nservers = [\"web1:80\"]\ntls = { certificates = \"a.pem\", HERE }\n",
    ),
    ("### `[[service.NAME.rule]]`", "SERVICE\nrule = [{ deny = 403, HERE }]\n"),
    ("### `when`, `unless`", "SERVICE\nrule = [{ deny = 403, when = { HERE } }]\n"),
    ("### `script`", "SERVICE\ncheck = { script = [{ HERE }] }\n"),
    ("### `redirect`", "SERVICE\nrule = [{ redirect = { to = \"/a\", HERE } }]\n"),
    ("### `return`", "SERVICE\nrule = [{ return = { HERE } }]\n"),
    ("### `tarpit`", "SERVICE\nrule = [{ tarpit = { HERE } }]\n"),
    ("### `rate_limit`", "SERVICE\nrule = [{ rate_limit = { requests = 5, HERE } }]\n"),
    ("## `[pool.NAME]`", "SERVICE\nHERE\n"),
    ("### `[pool.NAME.server.NAME]`", "SERVICE\nserver.web2 = { at = \"web2:80\", HERE }\n"),
    ("### `balance`", "SERVICE\nbalance = { hash = \"source\", HERE }\n"),
    ("### `check`", "SERVICE\ncheck = { http = \"/\", HERE }\n"),
    ("### `agent`", "SERVICE\nagent = { port = 9999, HERE }\n"),
    ("### `cookie`", "SERVICE\ncookie = { name = \"A\", HERE }\n"),
    ("### `affinity`", "SERVICE\naffinity = { by = \"source\", HERE }\n"),
    (
        "### `timeout` of a pool",
        "SERVICE\npool = \"own\"\n[pool.own]\nservers = [\"web1:80\"]\ntimeout = { HERE }\n",
    ),
    ("### `server_tls`", "SERVICE\nserver_tls = { HERE }\n"),
    ("## `[acme.NAME]`", "SERVICE\n[acme.ca]\ndirectory = \"https://ca.example.org/dir\"\nHERE\n"),
    ("## `[dhcp.NETWORK]`", "SERVICE\n[dhcp.lan]\nrange = \"10.1.0.50-10.1.0.99\"\nHERE\n"),
    (
        "### `[dhcp.NETWORK.host.NAME]`",
        "SERVICE\n[dhcp.lan.host.printer]\nmac = \"52:54:00:12:34:56\"\nip = \"10.1.0.9\"\nHERE\n",
    ),
    ("## `[dns]`", "SERVICE\n[dns]\nlisten = \"front\"\ndomain = \"shop.internal\"\nHERE\n"),
    ("## `[log]`", "SERVICE\n[log]\nHERE\n"),
    ("## `[stats]`", "SERVICE\nSTAFF\n[stats]\nlisten = \"front:7000\"\nusers = \"staff\"\nHERE\n"),
    ("### `[lab.switch.NAME]`", "SERVICE\n[lab.switch.lan]\nnetwork = \"lan\"\nHERE\n"),
    ("## `[network.NAME]`", "SERVICE\n[network.wan]\nsubnet = \"10.2.0.0/24\"\nHERE\n"),
    (
        "## `[gateway]`",
        "network.wan.subnet = \"10.2.0.0/24\"\nnode.lb3 = { roles = [\"director\"], address.lan = \"10.1.0.13\", address.wan = \"10.2.0.13\" }\naddress.out = { network = \"wan\", ip = \"10.2.0.200\" }\ngroup.main.priority = { lb3 = 150 }\nSERVICE\n[gateway]\nfrom = \"lan\"\nto = \"wan\"\nHERE\n",
    ),
    ("## `[firewall]`", "SERVICE\n[firewall]\nHERE\n"),
    ("## `[interface.NAME]`", "SERVICE\n[interface.br0]\nkind = \"bridge\"\nHERE\n"),
    ("### `kind = \"bridge\"`", "SERVICE\n[interface.br0]\nkind = \"bridge\"\nHERE\n"),
    ("### `kind = \"vxlan\"`", "SERVICE\n[interface.vx0]\nkind = \"vxlan\"\nid = 5\nover = \"lan\"\nHERE\n"),
    ("### `kind = \"bond\"`", "SERVICE\n[interface.bond0]\nkind = \"bond\"\nports = [\"eth1\"]\nHERE\n"),
    ("### `kind = \"vlan\"`", "SERVICE\n[interface.vlan5]\nkind = \"vlan\"\nid = 5\nover = \"eth0\"\nHERE\n"),
    ("### `kind = \"macvlan\"`", "SERVICE\n[interface.mac0]\nkind = \"macvlan\"\nover = \"eth0\"\nHERE\n"),
    ("### `basic_auth`", "SERVICE\nrule = [{ basic_auth = { users = \"staff\", HERE } }]\nSTAFF\n"),
];

/// A file with `KEY = VALUE` at its place, or without. A value that replaces one that is there takes its line.
fn file(place: &str, key: &Key, value: Option<&str>) -> String {
    let mode = match key.name {
        "mode" => "",
        _ if key.modes.contains(&Mode::Http) => "mode = \"http\"",
        _ => "mode = \"tcp\"",
    };
    let own = if place.contains("pool = ") { "" } else { "servers = [\"web1:80\"]\n" };
    let service = format!("[service.web]\nlisten = \"front:80\"\nmode = \"http\"\n{own}");
    let here = value.map(|value| format!("{} = {value}", key.name)).unwrap_or_default();
    let mut text = place.replace("SERVICE", &service).replace("MODE", mode);
    // A key that the place has already.
    if let (Some(at), Some(_)) = (text.find(&format!("{} = ", key.name)), value)
        && place.contains(&format!("{} = ", key.name))
    {
        let end = text[at..].find([',', '}', '\n']).map_or(text.len(), |end| at + end);
        text.replace_range(at..end, &here);
        text = text.replace(", HERE", "").replace("HERE", "");
    }
    let text = if here.is_empty() { text.replace(", HERE", "") } else { text };
    format!("{BASE}{}", text.replace("HERE", &here).replace("STAFF", STAFF))
}

fn keys() -> impl Iterator<Item = (&'static str, &'static Key)> {
    reference::document().iter().flat_map(|table| {
        let place = PLACES.iter().find(|(title, _)| *title == table.title).map(|(_, place)| *place);
        table.keys.iter().filter_map(move |key| place.map(|place| (place, key)))
    })
}

fn shown(text: &str, reading: &Reading) -> String {
    diagnostic::render("reference.toml", text, &reading.diagnostics)
}

#[test]
fn defaults_hold() {
    let mut count = 0;
    for (place, key) in keys() {
        let Otherwise::Value(value) = key.default else { continue };
        let (without, with) = (file(place, key, None), file(place, key, Some(value)));
        let [plain, written] = [&without, &with].map(|text| {
            let reading = read(text);
            assert!(reading.cluster.is_some(), "{}\n{}", key.name, shown(text, &reading));
            reading.cluster
        });
        assert_eq!(plain, written, "{} = {value} is not the default", key.name);
        count += 1;
    }
    assert!(count > 55, "{count}");
}

#[test]
fn ranges_hold() {
    let mut count = 0;
    for (place, key) in keys() {
        let number = |value: i64| value.to_string();
        let time = |millis: u64| format!("\"{millis}ms\"");
        let size = |bytes: u64| format!("\"{bytes}B\"");
        let (right, wrong) = match key.kind {
            Kind::Integer { least, most } => {
                ([number(least), number(most)], [number(least - 1), number(most + 1)])
            }
            Kind::Duration { least, most } => {
                // There is nothing shorter than no time.
                let below = least.checked_sub(1).unwrap_or(most + 1);
                ([time(least), time(most)], [time(below), time(most + 1)])
            }
            Kind::Size { least, most } => ([size(least), size(most)], [size(least - 1), size(most + 1)]),
            Kind::Boolean | Kind::Words { .. } | Kind::Other { .. } => continue,
        };
        let outside = |value: &str| {
            let text = file(place, key, Some(value));
            let reading = read(&text);
            assert!(!reading.diagnostics.iter().any(|found| found.message.contains("not TOML")), "{text}");
            let told = reading.diagnostics.iter().any(|found| found.message.contains(", outside "));
            (told, shown(&text, &reading))
        };
        for value in right {
            let (told, shown) = outside(&value);
            assert!(!told, "{} = {value} is refused\n{shown}", key.name);
        }
        for value in wrong {
            let (told, shown) = outside(&value);
            assert!(told, "{} = {value} is taken\n{shown}", key.name);
        }
        count += 1;
    }
    assert!(count > 40, "{count}");
    assert_eq!(format_size(1 << 40), "1024GiB");
}

#[test]
fn words_and_booleans_are_understood() {
    for (place, key) in keys() {
        let values: Vec<String> = match key.kind {
            Kind::Boolean => vec!["true".to_owned(), "false".to_owned()],
            Kind::Words { words } => words.iter().map(|word| format!("{word:?}")).collect(),
            Kind::Integer { .. } | Kind::Duration { .. } | Kind::Size { .. } | Kind::Other { .. } => continue,
        };
        for value in values {
            let text = file(place, key, Some(&value));
            let reading = read(&text);
            let refused = |message: &str| message.contains("cannot be") || message.contains("must be");
            let wrong = reading.diagnostics.iter().any(|found| refused(&found.message));
            assert!(!wrong, "{}", shown(&text, &reading));
        }
        let text = file(place, key, Some("\"no-such-word\""));
        let reading = read(&text);
        assert!(reading.cluster.is_none(), "{text}");
    }
}

#[test]
fn every_key_of_the_document_is_known_to_the_reader() {
    for (place, key) in keys() {
        let text = file(place, key, Some("1979-05-27"));
        let reading = read(&text);
        let unknown = reading.diagnostics.iter().any(|found| found.message.contains("has no key"));
        assert!(!unknown, "{}", shown(&text, &reading));
        assert!(reading.cluster.is_none(), "nobody looks at `{}`\n{text}", key.name);
    }
}
