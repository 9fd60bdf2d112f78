//! The cluster files in the documents: whoever copies one has a file that can be used.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

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
