//! Whole clusters, from files as people write them: the cluster file passes the check, and every line has its account.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test says so by panicking, and reads its files"
)]

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
            let (said, name) = name.split_once('=').map_or((None, *name), |(node, name)| (Some(node), name));
            let text = fs::read_to_string(folder.join(name)).unwrap();
            let node = said.or(name.split_once('/').map(|(node, _)| node)).map(str::to_owned);
            let kind = Kind::of(name, &text).unwrap();
            Input { node, path: name.to_owned(), kind, text }
        })
        .collect();
    let include = |pattern: &str, _: &str| {
        let text = fs::read_to_string(folder.join(pattern)).map_err(|error| error.to_string());
        vec![(pattern.to_owned(), text)]
    };
    import(&inputs, &Options { name: cluster.to_owned(), include: &include }).expect("a cluster")
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

/// The four files of a cluster of HAProxy, keepalived and dnsmasq: one of each director where they differ.
fn s2() -> Imported {
    read(
        "s2",
        &[
            "cluster1/keepalived.conf",
            "standby1/keepalived.conf",
            "standby2/keepalived.conf",
            "haproxy.cfg",
            "dnsmasq.conf",
            "cluster1/interfaces",
            "standby1/interfaces",
            "standby2/interfaces",
        ],
    )
}

#[test]
fn the_web_cluster_with_ldirectord() {
    let imported = read("s1", &["master/interfaces", "standby/interfaces", "ldirectord.cf"]);
    checked(&imported);
    insta::assert_snapshot!(told(&imported));
}

#[test]
fn the_web_cluster_with_haproxy_keepalived_and_dnsmasq() {
    let imported = s2();
    checked(&imported);
    let mut told = told(&imported);
    // keepalived's and ifupdown's part has a snapshot of its own.
    told = told
        .lines()
        .filter(|line| !line.contains("keepalived.conf:") && !line.contains("interfaces:"))
        .fold(String::new(), |all, line| all + line + "\n");
    insta::assert_snapshot!(told);
}

#[test]
fn rules_conditions_and_checks_of_haproxy() {
    let imported = read("more", &["rules.cfg"]);
    checked(&imported);
    insta::assert_snapshot!(told(&imported));
}

/// What is said elsewhere here is told where, and nobody waits for servers without places.
#[test]
fn words_of_haproxy_that_stand_elsewhere() {
    let imported = read("more", &["words.cfg"]);
    checked(&imported);
    let told = told(&imported);
    for wanted in [
        "maxqueue 20 => ABOUT: every pool: `maxqueue 20` is of the whole pool, and beyond it is 503, not another server",
        "monitor fail if { nbsrv(app) lt 1 } => carried: `monitor` answers 503",
        "store http_req_rate(10s) => DROPPED: counting and refusing is one line of a rule: `rate_limit`",
        "compression algo gzip => DROPPED: it is of services: put `compress` into those that use this pool",
    ] {
        assert!(told.contains(wanted), "{wanted}\n{told}");
    }
    assert!(!told.contains("queue = \"10s\""), "{told}");
    // HAProxy takes the lines of `hdr` apart at their commas.
    assert!(told.contains("X-Zone = \"~(?i)(^|,) *out *(,|$)\""), "{told}");
}

#[test]
fn words_of_ldirectord_that_are_not_needed() {
    let imported = read("more", &["ldirectord.cf"]);
    checked(&imported);
    let told = told(&imported);
    for wanted in [
        "maintenancedir=/etc/maint => DROPPED: `relevo server maint`",
        "cleanstop=no => DROPPED: a director that",
    ] {
        assert!(told.contains(wanted), "{wanted}\n{told}");
    }
    assert!(!told.contains("there is no word for it"), "{told}");
}

#[test]
fn ipvs_of_keepalived() {
    let imported = read("more", &["ipvs.conf"]);
    checked(&imported);
    insta::assert_snapshot!(told(&imported));
}

#[test]
fn one_file_for_two_directors_with_conditions() {
    let imported = read("more", &["main=shared.conf", "spare=shared.conf"]);
    checked(&imported);
    insta::assert_snapshot!(told(&imported));
}

#[test]
fn the_same_balancer_on_two_directors_is_told_once() {
    let imported = read(
        "s1",
        &["master/interfaces", "standby/interfaces", "master=ldirectord.cf", "standby=ldirectord.cf"],
    );
    checked(&imported);
    let text = &imported.text;
    assert_eq!(text.matches("[service.").count(), 2, "{text}");
    assert!(text.contains("priority = { master = 150, standby = 100 }"), "{text}");
}

/// What a cluster file says that a client or an operator would notice, without names.
fn facts(text: &str) -> Vec<String> {
    let reading = relevo_model::read(text);
    let cluster = reading.cluster.unwrap();
    let mut facts = Vec::new();
    for service in &cluster.services {
        let pool = cluster.pools.iter().find(|pool| pool.name == service.pool).unwrap();
        let mut servers: Vec<String> = pool.servers.iter().map(|server| server.at.to_string()).collect();
        servers.sort();
        let listens: Vec<String> = service.listen.iter().map(|listen| listen.at.to_string()).collect();
        facts.push(format!("{listens:?} {:?} {servers:?}", service.mode));
    }
    facts.sort();
    facts
}

#[test]
fn the_imported_cluster_does_what_the_example_does() {
    let example = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
        facts(&fs::read_to_string(path).unwrap())
    };
    assert_eq!(facts(&s2().text), example("s2.toml"));
    let s1 = facts(&read("s1", &["master/interfaces", "standby/interfaces", "ldirectord.cf"]).text);
    assert!(example("s1.toml").iter().all(|fact| s1.contains(fact)), "{s1:?}");
}

#[test]
fn a_hardware_address_of_its_own_and_the_rhythm_of_announcements() {
    let imported = read("vmac", &["lb1/keepalived.conf", "lb2/keepalived.conf"]);
    checked(&imported);
    let group = relevo_model::read(&imported.text).cluster.unwrap().groups.remove(0);
    assert_eq!(group.mac, relevo_model::cluster::MacSource::Virtual);
    assert!(!group.accept);
    let millis = std::time::Duration::from_millis;
    assert_eq!(group.startup_delay, millis(5500));
    let announce = group.announce;
    assert_eq!((announce.repeat, announce.delay), (3, millis(2000)));
    assert_eq!((announce.refresh, announce.interval), (millis(30_000), millis(10)));
    let about: Vec<&str> = imported
        .entries
        .iter()
        .filter(|entry| entry.fates.iter().any(|fate| matches!(fate, Fate::Dropped { .. })))
        .map(|entry| entry.text.as_str())
        .collect();
    assert!(about.is_empty(), "nothing of it is dropped: {about:?}");
}
