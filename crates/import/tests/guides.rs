//! keepalived.conf and what stands beside it, in the styles of guides: that each means the same afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says so by panicking, and reads its files"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use relevo_import::{Fate, Imported, Input, Kind, Options, import};
use relevo_model::ClusterFile;
use relevo_model::cluster::{Pool, Watched};

/// `files`: `NODE/keepalived.conf`, or what is everybody's.
fn read(cluster: &str, files: &[&str]) -> (Imported, ClusterFile) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/guides").join(cluster);
    let inputs: Vec<Input> = files
        .iter()
        .map(|path| {
            let text = fs::read_to_string(folder.join(path)).unwrap();
            let kind = Kind::of(path, &text).unwrap();
            let node = path.split_once('/').map(|(node, _)| node.to_owned());
            Input { node, path: (*path).to_owned(), kind, text }
        })
        .collect();
    let options = Options { name: cluster.to_owned(), include: &|_, _| Vec::new() };
    let imported = import(&inputs, &options).expect("a cluster");
    let reading = relevo_model::read(&imported.text);
    let errors = relevo_model::diagnostic::render("imported.toml", &imported.text, &reading.diagnostics);
    let file = reading.cluster.unwrap_or_else(|| panic!("{errors}\n{}", imported.text));
    (imported, file)
}

/// The cluster file, and what is not simply carried over.
fn told(imported: &Imported) -> String {
    let mut out = imported.text.clone();
    for entry in &imported.entries {
        for fate in &entry.fates {
            let (word, text) = match fate {
                Fate::Carried { .. } => continue,
                Fate::Approximated { to, how } => ("ABOUT", format!("{to}: {how}")),
                Fate::Dropped { why } => ("DROPPED", why.clone()),
            };
            let _ = write!(out, "\n{}:{}: {} => {word}: {text}", entry.file, entry.line, entry.text);
        }
    }
    out
}

fn pool<'a>(file: &'a ClusterFile, name: &str) -> &'a Pool {
    file.pools.iter().find(|pool| pool.name.as_str() == name).unwrap()
}

fn priorities(file: &ClusterFile) -> Vec<u8> {
    file.groups[0].priorities.iter().map(|(_, priority)| *priority).collect()
}

#[test]
fn three_api_servers_behind_haproxy_on_the_same_machines() {
    let (imported, file) = read(
        "apiserver",
        &["cp1/keepalived.conf", "cp2/keepalived.conf", "cp3/keepalived.conf", "haproxy.cfg"],
    );
    insta::assert_snapshot!(told(&imported));
    // Each loses 2 when its API server is gone: that must be enough for the next one.
    assert_eq!(priorities(&file), [101, 100, 99]);
    let pool = pool(&file, "apiserverbackend");
    // `verify none` without `ssl`: clients' own TLS goes through, only the check makes its own.
    assert!(pool.tls.is_none());
    assert!(imported.text.contains("expect = \"200\", tls = true"), "{}", imported.text);
    // The directors' own addresses are those of the servers that are called so.
    assert!(!imported.text.contains("Made up"), "{}", imported.text);
}

#[test]
fn a_database_with_equal_priorities_scripts_and_a_file() {
    let (imported, file) = read("database", &["db1/keepalived.conf", "db2/keepalived.conf", "haproxy.cfg"]);
    insta::assert_snapshot!(told(&imported));
    assert_eq!((priorities(&file), file.groups[0].preempt), (vec![100, 99], false));
    let trackers = &file.groups[0].trackers;
    let of = |name: &str| trackers.iter().find(|one| one.name.as_str() == name).unwrap();
    // What stands where a file is tracked counts, not what stands where it is defined.
    assert_eq!(of("maintenance").weight, Some(2));
    let script = Watched::Script(
        ["/usr/bin/clustercheck", "clustercheckuser", "pa ss", "1"].map(str::to_owned).to_vec(),
    );
    assert_eq!(of("chk-mysql").what, script);
    // `stick on dst` makes all clients stay with one server, not each client with its own.
    assert!(pool(&file, "mysql-write").affinity.is_none());
}

#[test]
fn balancing_with_weights_retries_and_both_families() {
    let (imported, file) = read("balancing", &["LB1/keepalived.conf", "LB2/keepalived.conf"]);
    insta::assert_snapshot!(told(&imported));
    // keepalived takes `nopreempt` back beside `state MASTER`.
    assert!(file.groups[0].preempt);
    let weights =
        |name: &str| -> Vec<u16> { pool(&file, name).servers.iter().map(|server| server.weight).collect() };
    assert_eq!(weights("web"), [1, 1], "rr knows no weights");
    assert_eq!(weights("web-tls"), [256, 128], "1000 and 500");
    assert_eq!(weights("web-2"), [2, 1], "IPv6");
    let check = &pool(&file, "web-tls").check;
    assert_eq!(
        (check.interval, check.fast_interval, check.fall),
        (Duration::from_secs(15), Duration::from_secs(3), 4),
        "three retries, 3 s apart"
    );
    assert!(imported.text.contains("@$RELEVO_SERVER_ADDRESS"), "each server is asked itself");
}

#[test]
fn controllers_whose_own_addresses_the_balancer_knows() {
    let (imported, file) = read("control", &["ctl1/keepalived.conf", "ctl2/keepalived.conf", "haproxy.cfg"]);
    insta::assert_snapshot!(told(&imported));
    // The balance of a backend counts, not that of the defaults.
    assert!(
        imported.text.contains("[pool.horizon-back]\nbalance = { hash = \"source\""),
        "{}",
        imported.text
    );
    let ips: Vec<String> = file.addresses.iter().map(|address| address.ip.to_string()).collect();
    assert!(!ips.contains(&"10.10.10.11".to_owned()), "a director's own: {ips:?}");
}

#[test]
fn routers_whose_interfaces_are_called_otherwise() {
    let files =
        ["r1/keepalived.conf", "r2/keepalived.conf", "r1/interfaces", "r2/interfaces", "dnsmasq.conf"];
    let (imported, file) = read("routers", &files);
    insta::assert_snapshot!(told(&imported));
    let group = &file.groups[0];
    assert!(
        !group.trackers.iter().any(|one| matches!(one.what, Watched::Interface(_))),
        "an interface of the other director is not there, which would be a fault: {:?}",
        group.trackers
    );
    assert_eq!(group.trackers.len(), 4, "{:?}", group.trackers);
    assert_eq!(group.along.routes.len(), 2, "{:?}", group.along.routes);
    assert_eq!(file.dhcp.len(), 1, "which of several addresses answers is told");
    assert!(imported.text.contains("id = 20\n") && !imported.text.contains("2020"), "{}", imported.text);
}
