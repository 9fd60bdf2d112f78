//! The examples are right, and say what their comments promise.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its files, and fails by panicking"
)]

use relevo_model::cluster::{CheckKind, ClusterFile, Mode, Role};
use relevo_model::{diagnostic, read};

fn example(name: &str) -> ClusterFile {
    let path = format!("{}/../../examples/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let reading = read(&text);
    let shown = diagnostic::render(&path, &text, &reading.diagnostics);
    assert!(reading.diagnostics.is_empty(), "{shown}");
    reading.cluster.unwrap()
}

#[test]
fn every_example_has_no_findings() {
    let folder = format!("{}/../../examples", env!("CARGO_MANIFEST_DIR"));
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let names: Vec<_> = names.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    assert!(names.len() >= 4, "{names:?}");
    for path in names {
        example(path.file_stem().unwrap().to_str().unwrap());
    }
}

#[test]
fn minimal_is_short_and_filled_with_defaults() {
    let text = include_str!("../../../examples/minimal.toml");
    assert!(text.lines().count() < 25);
    let cluster = example("minimal");
    let [group] = cluster.groups.as_slice() else { panic!("{:?}", cluster.groups) };
    assert_eq!(group.name.as_str(), "main");
    assert_eq!(group.vrids.values().collect::<Vec<_>>(), [&51]);
    assert_eq!((group.priority_of("lb1"), group.priority_of("lb2")), (Some(150), Some(100)));
    assert_eq!(group.advert.as_millis(), 100);
    let [service] = cluster.services.as_slice() else { panic!("{:?}", cluster.services) };
    assert_eq!(cluster.pool_of(service).unwrap().check.kind, CheckKind::Connect);
    assert_eq!(service.listen[0].at.to_string(), "192.168.1.200:80");
    // The lab is made from the rest.
    let lab = &cluster.lab;
    assert_eq!(lab.switches.len(), 1);
    assert_eq!(lab.switches[0].name.as_str(), "lan");
    assert_eq!(lab.plugs.len(), 5);
    assert_eq!(lab.clients[0].ip.to_string(), "192.168.1.254");
    assert_eq!(lab.host.as_ref().unwrap().ip.to_string(), "192.168.1.253");
    assert_eq!(lab.runs.len(), 2);
}

#[test]
fn s4_has_a_mesh_and_a_tunnel() {
    let cluster = example("s4");
    let lab = &cluster.lab;
    assert_eq!((lab.switches.len(), lab.links.len(), lab.clients.len()), (6, 5, 2));
    let root = lab.switches.iter().min_by_key(|switch| switch.priority).unwrap();
    assert_eq!((root.name.as_str(), root.priority), ("swout2", 4096));
    let tunnels: Vec<_> = lab.switches.iter().filter_map(|switch| switch.vxlan.as_ref()).collect();
    assert_eq!(tunnels.len(), 2);
    assert!(tunnels.iter().all(|vxlan| vxlan.id == 100));
    // Seven plugs of nodes, two of clients.
    assert_eq!(lab.plugs.len(), 9);
    let service = &cluster.services[0];
    assert_eq!((service.mode, cluster.pool_of(service).unwrap().servers.len()), (Mode::Http, 3));
    assert_eq!(cluster.groups[0].vrids.values().collect::<Vec<_>>(), [&12]);
    assert_eq!(cluster.nodes.iter().filter(|node| node.is(Role::Director)).count(), 2);
}
