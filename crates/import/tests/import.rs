//! Whole clusters, from files as people write them: the cluster file passes the check, and every line has its account.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use relevo_import::{Fate, Imported, Input, Kind, Options, import};

/// The files of a cluster below `tests/files`: `NODE/FILE`, or `FILE`.
fn read(cluster: &str, files: &[&str]) -> Imported {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(cluster);
    let inputs: Vec<Input> = files
        .iter()
        .map(|name| {
            let text = fs::read_to_string(folder.join(name)).unwrap();
            let node = name.split_once('/').map(|(node, _)| node.to_owned());
            let kind = Kind::of(name, &text).unwrap();
            Input { node, path: (*name).to_owned(), kind, text }
        })
        .collect();
    let include = |pattern: &str, _: &str| {
        let text = fs::read_to_string(folder.join(pattern)).map_err(|error| error.to_string());
        vec![(pattern.to_owned(), text)]
    };
    import(&inputs, &Options { name: cluster.to_owned(), include: &include })
}

/// The cluster file and the account, as a person would read them.
fn told(imported: &Imported) -> String {
    let mut out = imported.text.clone();
    for entry in &imported.entries {
        for fate in &entry.fates {
            let (word, text) = match fate {
                Fate::Carried { to } => ("carried", to.clone()),
                Fate::Approximated { to, how } => ("ABOUT", format!("{to}: {how}")),
                Fate::Dropped { why } => ("DROPPED", why.clone()),
            };
            let _ = write!(out, "\n{}:{}: {} => {word}: {text}", entry.file, entry.line, entry.text);
        }
    }
    out
}

/// The text passes the check, without an error.
fn checked(imported: &Imported) {
    let reading = relevo_model::read(&imported.text);
    let errors = relevo_model::diagnostic::render("imported.toml", &imported.text, &reading.diagnostics);
    assert!(reading.cluster.is_some(), "{errors}\n{}", imported.text);
}

#[test]
fn three_directors_with_keepalived() {
    let imported = read(
        "s2",
        &[
            "cluster1/interfaces",
            "standby1/interfaces",
            "standby2/interfaces",
            "cluster1/keepalived.conf",
            "standby1/keepalived.conf",
            "standby2/keepalived.conf",
        ],
    );
    checked(&imported);
    insta::assert_snapshot!(told(&imported));
}
