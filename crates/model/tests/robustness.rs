//! Whatever the text: no panic, every place lies inside it, and a right file is read back as it was meant.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its files, and fails by panicking"
)]

use std::fmt::Write;

use proptest::prelude::*;
use relevo_model::cluster::{Balance, CheckKind, HttpCheck, Mode};
use relevo_model::{Reading, Severity, diagnostic, read};

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
    ];
    prop_oneof![9 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)]
}

proptest! {
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
        let mut ips: Vec<_> = cluster.nodes.iter().flat_map(|node| &node.addresses).map(|address| address.ip).collect();
        ips.extend(cluster.addresses.iter().map(|address| address.ip));
        ips.extend(cluster.lab.clients.iter().map(|client| client.ip));
        ips.extend(cluster.lab.host.iter().map(|host| host.ip));
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
fn the_fuzz_corpus_is_survived() {
    let folder = format!("{}/../../fuzz/corpus/cluster_file", env!("CARGO_MANIFEST_DIR"));
    let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        examine(&String::from_utf8_lossy(&std::fs::read(seed).unwrap()));
    }
}
