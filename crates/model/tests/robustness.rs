//! Whatever the text: no panic, every place lies inside it, and a right file is read back as it was meant.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its files, and fails by panicking"
)]

use std::fmt::Write;

use proptest::prelude::*;
use relevo_model::cluster::{Balance, CheckKind, HttpCheck, Mode};
use relevo_model::{Reading, Severity, diagnostic, read, reference};

const EXAMPLES: [&str; 5] = [
    include_str!("../../../examples/minimal.toml"),
    include_str!("../../../examples/s1.toml"),
    include_str!("../../../examples/s2.toml"),
    include_str!("../../../examples/s4.toml"),
    include_str!("../../../examples/shop.toml"),
];

/// Reads a text and checks what must hold for every one.
fn examine(text: &str) -> Reading {
    let reading = read(text);
    let lines: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
    for found in &reading.diagnostics {
        let place = found.place;
        assert!(place.line >= 1 && place.line <= lines.len().max(1), "{found:?} in {text:?}");
        let width = lines.get(place.line - 1).copied().unwrap_or_default();
        assert!(place.column >= 1 && place.column <= width + 1, "{found:?} in {text:?}");
        assert!(
            place.length >= 1 && place.length <= (width + 1 - place.column).max(1),
            "{found:?} in {text:?}"
        );
        assert!(!found.message.is_empty() && !found.hint.is_empty(), "{found:?}");
    }
    let wrong = reading.diagnostics.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(reading.cluster.is_none(), wrong, "{:?} in {text:?}", reading.diagnostics);
    diagnostic::render("any.toml", text, &reading.diagnostics);
    reading
}

/// Texts that look like parts of a cluster file.
fn word() -> impl Strategy<Value = String> {
    let words = [
        "name",
        "network",
        "node",
        "group",
        "address",
        "service",
        "lab",
        "switch",
        "link",
        "plug",
        "vxlan",
        "web",
        "lan",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
        ",",
        ".",
        "\n",
        "\n",
        " ",
        "\"",
        "'",
        "\"\"\"",
        "#",
        "1",
        "0x10",
        "-5",
        "1.5",
        "true",
        "\"10.0.0.1\"",
        "\"10.0.0.0/24\"",
        "\"1s\"",
        "\"front:80\"",
        "\u{e9}",
        "\t",
        "\r\n",
        "\0",
        "\\",
        "roles",
        "subnet",
        "ip",
        "[\"director\"]",
        "servers",
        "listen",
        "inf",
        "1979-05-27",
        "\u{1f980}",
        "pool",
        "rule",
        "when",
        "users",
        "stats",
        "[[service.web.rule]]",
        "deny",
        "403",
        "check",
        "cookie",
        "\"~(\"",
        "\"{host\"",
        "\"$6$a$b\"",
    ];
    prop_oneof![9 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)]
}

/// A file that is right but for what comes after it.
const BASE: &str = r#"name = "shop"
network.lan.subnet = "10.1.0.0/24"
node.lb1 = { roles = ["director"], address.lan = "10.1.0.11" }
node.web1 = { roles = ["server"], address.lan = "10.1.0.21" }
address.front = { network = "lan", ip = "10.1.0.200" }
users.staff = { anna = "$5$salt$JWnMBU6pUUJSJvLYFWkpbFh6V.BSvCWrwdYT1ZFOPK7" }
service.web = { listen = "front:80", mode = "http", servers = ["web1:80"] }
"#;

/// Any key of the reference, with the name that it has in a file.
fn key() -> impl Strategy<Value = &'static str> {
    let keys: Vec<&str> =
        reference::document().iter().flat_map(|table| table.keys).map(|key| key.name).collect();
    proptest::sample::select(keys)
}

/// A value of any shape: plain ones that some key wants, lists, and tables with keys of the reference.
fn value() -> impl Strategy<Value = String> {
    let plain = [
        "true",
        "false",
        "0",
        "1",
        "403",
        "-1",
        "0x7fffffffffffffff",
        "1.5",
        "1979-05-27",
        "\"\"",
        "\"1s\"",
        "\"0d\"",
        "\"9999999999d\"",
        "\"16KiB\"",
        "\"front:80\"",
        "\"front:0\"",
        "\"web1:80\"",
        "\"web\"",
        "\"p\"",
        "\"staff\"",
        "\"a\"",
        "\"source\"",
        "\"header:X\"",
        "\"header:\"",
        "\"cookie:\u{e9}\"",
        "\"uri\"",
        "\"https\"",
        "\"https://{host}{uri}\"",
        "\"{\"",
        "\"{{\"",
        "\"{\u{e9}}\"",
        "\"~\"",
        "\"~^/(a|b)*$\"",
        "\"~\\\\p{L}\"",
        "\"*\"",
        "\"/*\"",
        "\"$1\"",
        "\"$99999999999\"",
        "\"silent\"",
        "\"http\"",
        "\"udp\"",
        "\"tcp\"",
        "\"none\"",
        "\"all\"",
        "\"200-299,304\"",
        "\"200-\"",
        "\"/health\"",
        "\"\\r\\n\"",
        "\"\\u0000\"",
        "\"\u{1f980}\"",
        "\"10.0.0.0/8\"",
        "\"10.0.0.1/8\"",
        "\"$6$\"",
        "\"$6$\u{e9}$a\"",
        "\"$\u{e9}\"",
        "[]",
        "{}",
        "\"file:/a\"",
        "\"udp:1.2.3.4:5\"",
        "\"a.example.org\"",
        "\"*.example.org\"",
        "\"GET\"",
        "\"get\"",
        "\"X-A\"",
        "\"te\"",
    ];
    let plain = proptest::sample::select(plain.to_vec()).prop_map(str::to_owned);
    plain.prop_recursive(3, 12, 4, |inner| {
        let name = prop_oneof![8 => key().prop_map(|key| format!("{key:?}")), 1 => Just("\"\u{e9}\"".to_owned()), 1 => Just("\"\"".to_owned())];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(", "))),
            proptest::collection::btree_map(name, inner, 0..5).prop_map(|pairs| {
                let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key} = {value}")).collect();
                format!("{{ {} }}", pairs.join(", "))
            }),
        ]
    })
}

/// A table of the balancer with any keys and values.
fn table() -> impl Strategy<Value = String> {
    let headers = [
        "[service.b]",
        "[service.b.tls]",
        "[service.b.check]",
        "[[service.b.rule]]",
        "[[service.b.rule]]",
        "[pool.p]",
        "[pool.p.server.web1]",
        "[pool.web]",
        "[users.u]",
        "[acme.a]",
        "[log]",
        "[stats]",
        "[service.c]\nlisten = \"front:81\"\nmode = \"tcp\"",
        "[service.d]\nlisten = { at = \"front:82\", tls = true }\nmode = \"http\"\npool = \"p\"",
        "[service.e]\nlisten = \"front:83\"\nmode = \"udp\"\nservers = [\"web1:53\"]",
    ];
    let pairs = proptest::collection::btree_map(key(), value(), 0..6);
    (proptest::sample::select(headers.to_vec()), pairs).prop_map(|(header, pairs)| {
        let fresh = pairs.iter().filter(|(key, _)| !header.contains(&format!("\n{key} = ")));
        let lines: Vec<String> = fresh.map(|(key, value)| format!("{key:?} = {value}\n")).collect();
        format!("{header}\n{}", lines.concat())
    })
}

proptest! {
    #[test]
    fn any_value_of_any_key_is_survived(tables in proptest::collection::vec(table(), 1..6)) {
        examine(&format!("{BASE}{}", tables.concat()));
    }

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        examine(&text);
    }

    #[test]
    fn words_in_any_order_are_survived(words in proptest::collection::vec(word(), 0..80)) {
        examine(&words.concat());
    }

    #[test]
    fn a_changed_example_is_survived(
        which in 0..EXAMPLES.len(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), 0..12_usize, word()), 1..5),
    ) {
        let mut chars: Vec<char> = EXAMPLES[which].chars().collect();
        for (at, removed, added) in changes {
            let at = at.index(chars.len() + 1);
            let end = (at + removed).min(chars.len());
            chars.splice(at..end, added.chars());
        }
        examine(&chars.into_iter().collect::<String>());
    }

    #[test]
    fn a_right_file_is_read_back(wish in wish()) {
        let text = wish.write();
        let reading = read(&text);
        let shown = diagnostic::render("wish.toml", &text, &reading.diagnostics);
        prop_assert!(reading.diagnostics.iter().all(|found| found.severity == Severity::Warning), "{text}\n{shown}");
        let cluster = reading.cluster.unwrap();
        prop_assert_eq!(cluster.groups.len(), 1);
        let group = &cluster.groups[0];
        prop_assert_eq!(group.priorities.len(), usize::from(wish.directors));
        prop_assert!(group.priorities.windows(2).all(|pair| pair[0].1 > pair[1].1));
        prop_assert_eq!(group.vrids.get("lan").copied(), Some(wish.vrid));
        prop_assert_eq!(group.advert.as_millis(), u128::from(wish.advert) * 10);
        prop_assert_eq!(group.preempt, wish.preempt);
        let service = &cluster.services[0];
        prop_assert_eq!(service.mode == Mode::Http, wish.http);
        let pool = cluster.pool_of(service).unwrap();
        prop_assert_eq!(pool.balance == Balance::LeastConn, wish.least);
        prop_assert_eq!(service.listen[0].at.port(), wish.port);
        prop_assert_eq!(&pool.check.kind, &CheckKind::Http(HttpCheck::get("/alive")));
        prop_assert_eq!((pool.check.rise, pool.check.fall), (wish.rise, wish.fall));
        let weights: Vec<u16> = pool.servers.iter().map(|server| server.weight).collect();
        prop_assert_eq!(&weights, &wish.weights);
        // Everybody is plugged in exactly once for each network, and nobody shares an address.
        prop_assert_eq!(cluster.lab.plugs.len(), usize::from(wish.directors) + wish.weights.len() + 1);
        let mut ips: Vec<_> = cluster.nodes.iter().flat_map(|node| &node.addresses).map(|address| std::net::IpAddr::V4(address.ip)).collect();
        ips.extend(cluster.addresses.iter().map(|address| address.ip));
        ips.extend(cluster.lab.clients.iter().map(|client| std::net::IpAddr::V4(client.ip)));
        ips.extend(cluster.lab.host.iter().map(|host| std::net::IpAddr::V4(host.ip)));
        let all = ips.len();
        ips.sort();
        ips.dedup();
        prop_assert_eq!(ips.len(), all);
    }
}

/// A right cluster, in a few figures.
#[derive(Clone, Debug)]
struct Wish {
    directors: u8,
    vrid: u8,
    advert: u16,
    preempt: bool,
    http: bool,
    least: bool,
    port: u16,
    rise: u32,
    fall: u32,
    weights: Vec<u16>,
}

fn wish() -> impl Strategy<Value = Wish> {
    let group = (1..6_u8, 1..=255_u8, 1..=4095_u16, any::<bool>());
    let service = (any::<bool>(), any::<bool>(), 1..=65_535_u16, 1..=1000_u32, 1..=1000_u32);
    let weights = proptest::collection::vec(0..=256_u16, 1..20)
        .prop_filter("somebody works", |weights| weights.iter().any(|weight| *weight > 0));
    (group, service, weights).prop_map(|(group, service, weights)| {
        let (directors, vrid, advert, preempt) = group;
        let (http, least, port, rise, fall) = service;
        Wish { directors, vrid, advert, preempt, http, least, port, rise, fall, weights }
    })
}

impl Wish {
    fn write(&self) -> String {
        let Self { directors, vrid, advert, preempt, http, least, port, rise, fall, weights } = self;
        let mut text = "name = \"wish\"\n[network.lan]\nsubnet = \"10.1.0.0/16\"\n".to_owned();
        let priorities: Vec<String> =
            (1..=*directors).map(|number| format!("lb{number} = {}", 20 * number)).collect();
        for number in 1..=*directors {
            writeln!(text, "[node.lb{number}]\nroles = [\"director\"]\naddress.lan = \"10.1.1.{number}\"")
                .unwrap();
        }
        for number in 1..=weights.len() {
            writeln!(text, "[node.web{number}]\nroles = [\"server\"]\naddress.lan = \"10.1.2.{number}\"")
                .unwrap();
        }
        let advert = u32::from(*advert) * 10;
        writeln!(text, "[group.web]\nvrid = {vrid}\nadvert = \"{advert}ms\"\npreempt = {preempt}").unwrap();
        writeln!(text, "priority = {{ {} }}", priorities.join(", ")).unwrap();
        writeln!(text, "[address.front]\nnetwork = \"lan\"\nip = \"10.1.3.1/16\"").unwrap();
        let mode = if *http { "http" } else { "tcp" };
        let balance = if *least { "leastconn" } else { "roundrobin" };
        writeln!(
            text,
            "[service.web]\nlisten = \"front:{port}\"\nmode = \"{mode}\"\nbalance = \"{balance}\""
        )
        .unwrap();
        writeln!(text, "check = {{ http = \"/alive\", rise = {rise}, fall = {fall} }}").unwrap();
        for (index, weight) in weights.iter().enumerate() {
            let number = index + 1;
            writeln!(text, "server.web{number} = {{ at = \"web{number}:80\", weight = {weight} }}").unwrap();
        }
        text
    }
}

#[test]
fn hostile_shapes_are_refused() {
    let deep_array = format!("a = {}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_table = format!("a = {}1{}", "{a=".repeat(10_000), "}".repeat(10_000));
    let deep_key = format!("{} = 1", ["a"; 300_000].join("."));
    let deep_header = format!("[{}]", ["\"a\""; 200_000].join(" . "));
    let open = "[".repeat(1_000_000);
    let lines = "x\n".repeat(100_000);
    let twice = "a=1\n".repeat(50_000);
    let table_twice = format!("[a]\n{twice}[a]\n{}", "a=1\n".repeat(50_000));
    let keys: String = (0..20_000).map(|number| format!("unknown{number}=1\n")).collect();
    let nodes: String = (0..10_000).map(|number| format!("[node.n{number}]\n")).collect();
    for text in [deep_array, deep_table, deep_key, deep_header, open, lines, twice, table_twice, keys, nodes]
    {
        assert!(examine(&text).cluster.is_none());
    }
}

#[test]
fn a_huge_file_is_refused_with_one_sentence() {
    let text = "# comment\n".repeat(200_000);
    let found = read(&text).diagnostics;
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("larger than 1 MiB"), "{found:?}");
}

#[test]
fn a_file_of_expressions_that_take_long_is_answered() {
    let list: String = (0..40_000).map(|number| format!("\"~(\\\\w{{9,99}}){{{number}}}x\",\n")).collect();
    let text = format!("{BASE}[[service.web.rule]]\ndeny = 403\nwhen.path = [\n{list}]\n");
    assert!(text.len() < 1 << 20);
    examine(&text);
    let rules: String = (0..5_000)
        .map(|number| format!("[[service.b.rule]]\nwhen.path = \"~(a{{9,99}}){{99}}{number}\"\nwhen.host = \"~(?i)(.{{9,99}}){{9}}{number}\"\n"))
        .collect();
    examine(&format!("{BASE}[service.b]\nlisten = \"front:81\"\nmode = \"http\"\n{rules}"));
}

#[test]
fn the_fuzz_corpus_is_survived() {
    let folder = format!("{}/../../fuzz/corpus/cluster_file", env!("CARGO_MANIFEST_DIR"));
    let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        examine(&String::from_utf8_lossy(&std::fs::read(seed).unwrap()));
    }
}
