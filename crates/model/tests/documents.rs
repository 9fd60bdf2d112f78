//! The cluster files in the documents: whoever copies one has a file that can be used.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its files, and fails by panicking"
)]

use std::path::{Path, PathBuf};

const DOCUMENTS: [(&str, &str); 2] = [
    ("README.md", include_str!("../../../README.md")),
    ("README.es.md", include_str!("../../../README.es.md")),
];

/// What stands between "```toml" and "```".
fn files(document: &str) -> Vec<&str> {
    let blocks = document.split("\n```toml\n").skip(1);
    blocks.map(|block| block.split_once("\n```").unwrap().0).collect()
}

#[test]
fn they_have_no_mistake_and_the_servers_are_nodes() {
    for (name, document) in DOCUMENTS {
        let files = files(document);
        assert_eq!(files.len(), 1, "{name}");
        let reading = relevo_model::read(files[0]);
        let shown = relevo_model::diagnostic::render(name, files[0], &reading.diagnostics);
        assert_eq!(shown, "", "{name}");
        // A server that is only an address does not exist in the lab.
        let cluster = reading.cluster.unwrap();
        for server in cluster.pools.iter().flat_map(|pool| &pool.servers) {
            assert!(cluster.node(server.name.as_str()).is_some(), "{name}: {} is no node", server.name);
        }
    }
}

#[test]
fn both_languages_have_the_same() {
    assert_eq!(files(DOCUMENTS[0].1), files(DOCUMENTS[1].1));
}

#[test]
fn the_guide_speaks_of_the_example() {
    let guide = include_str!("../../../docs/guide/first-steps.md");
    let cluster = relevo_model::read(include_str!("../../../examples/minimal.toml")).cluster.unwrap();
    assert!(guide.contains(&format!("http://{}/", cluster.addresses[0].ip)), "its address");
    for node in &cluster.nodes {
        let row = |line: &str| line.starts_with(&format!("{} ", node.name));
        assert!(guide.lines().any(row), "{} in the table of `relevo lab up`", node.name);
    }
}

/// What the pieces of files in the guide are put into: the cluster that they speak of. A key stands on one line.
const AROUND: &str = r#"
name = "guide"
[network.lan]
subnet = "192.168.1.0/24"
[network.external]
subnet = "172.16.1.0/24"
[network.internal]
subnet = "10.0.100.0/24"
[node.lb1]
roles = ["director"]
address = { lan = "192.168.1.11", external = "172.16.1.11", internal = { ip = "10.0.100.111", interface = "br-int" } }
[node.lb2]
roles = ["director"]
address = { lan = "192.168.1.12", external = "172.16.1.12", internal = { ip = "10.0.100.112", interface = "br-int" } }
[node.web1]
roles = ["server"]
address.lan = "192.168.1.21"
[node.web2]
roles = ["server"]
address.lan = "192.168.1.22"
[address.front]
network = "lan"
ip = "192.168.1.200"
[address.outside]
network = "external"
ip = "172.16.1.200"
[address.inside]
network = "internal"
ip = "10.0.100.200"
[group.main]
priority = { lb1 = 150, lb2 = 100 }
[pool.static]
servers = ["web1:81"]
[service.shop]
listen = "front:80"
mode = "http"
servers = ["web1:80", "web2:80"]
[[service.shop.rule]]
when = { path = "/pictures/*" }
pool = "static"
"#;

/// Tables of a file: the line that names one (empty at the beginning) and what stands below it.
fn tables(text: &str) -> Vec<(&str, String)> {
    let mut tables = vec![("", String::new())];
    for line in text.lines() {
        if line.starts_with('[') {
            tables.push((line.split(" #").next().unwrap().trim(), String::new()));
        } else {
            let (_, below) = tables.last_mut().unwrap();
            below.push_str(line);
            below.push('\n');
        }
    }
    tables
}

/// The piece, with what its tables lack taken from [`AROUND`], and the other tables from there.
fn whole(piece: &str) -> String {
    let key = |line: &str| line.split(['=', '.']).next().unwrap().trim().to_owned();
    let mut around = tables(AROUND);
    let mut after = String::new();
    for (title, below) in tables(piece) {
        let keys: Vec<String> = below.lines().filter(|line| line.contains('=')).map(key).collect();
        let mut lacking = String::new();
        if let Some(at) = around.iter().position(|(other, _)| *other == title && !title.is_empty()) {
            let lines = around.remove(at).1;
            let is_said = |key: &str| keys.iter().any(|other| other == key);
            // A table of a list is another one; servers are the pool's if one is named.
            let wanted = lines.lines().filter(|line| {
                let key = key(line);
                !(title.starts_with("[[") || is_said(&key) || key == "servers" && is_said("pool"))
            });
            lacking = wanted.map(|line| format!("{line}\n")).collect();
        }
        after.push_str(&format!("{title}\n{lacking}{below}"));
    }
    let before: String = around.iter().map(|(title, below)| format!("{title}\n{below}")).collect();
    before + &after
}

/// Hashes of passwords are left out in documents.
const HASH: &str =
    "$6$example$no.password.fits.this.hash/print.your.own.with/openssl.passwd.minus.6.................";

/// Every document below a folder.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() {
            found.extend(documents(&path));
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn pieces_of_files_have_no_mistake_where_they_belong() {
    let mut wrong = String::new();
    let mut count = 0;
    for path in documents(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")) {
        let document = std::fs::read_to_string(&path).unwrap();
        for piece in files(&document) {
            count += 1;
            let text = whole(&piece.replace("$6$...", HASH));
            let reading = relevo_model::read(&text);
            wrong +=
                &relevo_model::diagnostic::render(&path.display().to_string(), &text, &reading.diagnostics);
        }
    }
    assert!(count >= 14, "only {count} pieces were found");
    assert_eq!(wrong, "", "{wrong}");
}

#[test]
fn the_right_column_beside_haproxys_file_has_no_mistake() {
    let document = include_str!("../../../docs/guide/from-haproxy.md");
    let block = document.split("\n```\n").nth(1).unwrap();
    let right: Vec<String> = block.lines().map(|line| line.chars().skip(50).collect()).collect();
    assert!(right.contains(&"[pool.app]".to_owned()), "the column begins elsewhere: {right:?}");
    let text = whole(&right.join("\n"));
    let mut diagnostics = relevo_model::read(&text).diagnostics;
    // Servers are addresses there, and the nodes around it have nothing to do.
    diagnostics.retain(|one| !one.message.starts_with("no service uses server"));
    assert_eq!(relevo_model::diagnostic::render("from-haproxy.md", &text, &diagnostics), "");
}
