//! keepalived.conf as they are found in the wild: grown from the sample file and how-tos, with words that do nothing.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says so by panicking, and reads its files"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use relevo_import::{Fate, Imported, Input, Kind, Options, import};
use relevo_model::ClusterFile;
use relevo_model::cluster::{Forward, MacSource, Watched};

fn read(cluster: &str, nodes: [&str; 2]) -> (Imported, ClusterFile) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/wild").join(cluster);
    let inputs: Vec<Input> = nodes
        .iter()
        .map(|node| {
            let path = format!("{node}/keepalived.conf");
            let text = fs::read_to_string(folder.join(&path)).unwrap();
            Input { node: Some((*node).to_owned()), path, kind: Kind::Keepalived, text }
        })
        .collect();
    let options = Options { name: cluster.to_owned(), include: &|_, _| Vec::new() };
    let imported = import(&inputs, &options).expect("a cluster");
    let reading = relevo_model::read(&imported.text);
    let errors = relevo_model::diagnostic::render("imported.toml", &imported.text, &reading.diagnostics);
    let cluster = reading.cluster.unwrap_or_else(|| panic!("{errors}\n{}", imported.text));
    (imported, cluster)
}

/// The cluster file and the account of the first file, as a person would read them.
fn told(imported: &Imported) -> String {
    let mut out = imported.text.clone();
    let first = imported.entries.first().map(|entry| entry.file.clone());
    for entry in imported.entries.iter().filter(|entry| Some(&entry.file) == first.as_ref()) {
        for fate in &entry.fates {
            let (word, text) = match fate {
                Fate::Carried { to } => ("carried", to.clone()),
                Fate::Approximated { to, how } => ("ABOUT", format!("{to}: {how}")),
                Fate::Dropped { why } => ("DROPPED", why.clone()),
            };
            let _ = write!(out, "\n{}: {} => {word}: {text}", entry.line, entry.text);
        }
    }
    out
}

/// Every line that is dropped says why, in more than that nobody knows.
fn all_reasons_are_told(imported: &Imported) {
    for entry in &imported.entries {
        for fate in &entry.fates {
            if let Fate::Dropped { why } = fate {
                let empty = ["there is no word for it", "the importer does not know what it means"];
                assert!(!empty.contains(&why.as_str()), "{}: {}", entry.line, entry.text);
            }
        }
    }
}

#[test]
fn a_plain_pair_with_scripts_and_mail() {
    let (imported, cluster) = read("plain", ["lb1", "lb2"]);
    insta::assert_snapshot!(told(&imported));
    all_reasons_are_told(&imported);
    let group = &cluster.groups[0];
    assert_eq!((group.missed, group.multicast.v4), (4, [224, 0, 0, 118].into()));
    // HAProxy's file is not given: it goes on to be the balancer, and to be watched.
    assert_eq!(group.trackers.len(), 4, "{:?}", group.trackers);
}

#[test]
fn balancing_by_nat_and_by_direct_routing() {
    let (imported, cluster) = read("lvs", ["dir1", "dir2"]);
    insta::assert_snapshot!(told(&imported));
    all_reasons_are_told(&imported);
    let forwards: Vec<_> = cluster.services.iter().map(|service| service.forward).collect();
    assert_eq!(forwards, [Forward::Nat, Forward::Direct, Forward::Direct]);
    let paths = cluster.kernel_paths();
    assert!(paths[1].is_ok() && paths[2].is_ok(), "{paths:?}");
    assert_eq!(
        cluster.answered_by("server-10-23-8-31").len(),
        1,
        "the server gets the address on its loopback"
    );
}

#[test]
fn gateways_with_a_sync_group_both_families_and_a_virtual_mac() {
    let (imported, cluster) = read("sync", ["gw1", "gw2"]);
    insta::assert_snapshot!(told(&imported));
    all_reasons_are_told(&imported);
    let group = &cluster.groups[0];
    assert_eq!((group.mac, group.unicast.is_some(), group.bfd.is_some()), (MacSource::Virtual, true, true));
    let ips: Vec<String> = cluster.addresses.iter().map(|address| address.ip.to_string()).collect();
    assert_eq!(ips.len(), 6, "{ips:?}");
    let is_ping = |watched: &Watched| matches!(watched, Watched::Ping(_));
    assert!(!group.trackers.iter().any(|tracker| is_ping(&tracker.what)), "BFD is with the other director");
}
