//! Wishes to run a node that cannot be: one clear message, exit code 2, nothing changed.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::harness::{Folder, Node, Ran, cluster, free_port, relevo};

/// Runs a node of this cluster text that is expected not to start.
fn run(folder: &Folder, text: &str, more: &[&str]) -> Ran {
    let file = folder.write("cluster.toml", text);
    let mut all: Vec<PathBuf> = vec!["node".into(), "run".into(), "--file".into(), file];
    all.extend(["--run-dir".into(), folder.path("run"), "--state-dir".into(), folder.path("state")]);
    all.extend(more.iter().map(PathBuf::from));
    relevo(all)
}

#[track_caller]
fn nothing_is_left(folder: &Folder) {
    assert!(!folder.path("run").exists() && !folder.path("state").exists());
}

#[test]
fn an_unknown_name_lists_the_names() {
    let folder = Folder::new();
    run(&folder, &cluster(1), &["--name", "lb9"]).refused(2, &["no node \"lb9\"", "\"lb1\", \"web1\""]);
    run(&folder, &cluster(1), &[]).refused(2, &["host name", "--name", "\"lb1\""]);
    nothing_is_left(&folder);
}

#[test]
fn a_node_that_only_serves_is_told() {
    let folder = Folder::new();
    run(&folder, &cluster(1), &["--name", "web1"]).refused(2, &["role server alone", "only directors"]);
    nothing_is_left(&folder);
}

#[test]
fn a_wrong_file_is_shown_as_by_check() {
    let folder = Folder::new();
    run(&folder, "name = 1", &["--name", "lb1"]).refused(2, &["error:", "cluster.toml:1:8", "help:"]);
    let ran = run(&folder, "name = 1", &["--name", "lb1", "--json"]);
    assert_eq!(ran.json()["diagnostics"][0]["place"]["line"], 1);
    nothing_is_left(&folder);
}

#[test]
fn a_second_node_is_told_who_is_first() {
    let node = Node::running();
    let pid = node.ask(&["status", "--json"]).json()["pid"].to_string();
    let words = ["another relevo node is running", &pid, "run folder"];
    relevo(node.arguments()).refused(2, &words);
    // The same state with a run folder of its own.
    let mut arguments = node.arguments();
    arguments.extend(["--run-dir".into(), node.folder.path("run2")]);
    arguments.remove(arguments.iter().position(|argument| *argument == node.run_dir()).unwrap() - 1);
    arguments.remove(arguments.iter().position(|argument| *argument == node.run_dir()).unwrap());
    relevo(arguments).refused(2, &["another relevo node is running", &pid, "state folder"]);
    assert!(!node.folder.path("run2").exists());
    assert_eq!(node.ask(&["status"]).code, 0, "the first one is not disturbed");
}

#[test]
fn a_port_in_use_is_told() {
    let folder = Folder::new();
    let port = free_port();
    let _other = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let at = format!("127.0.0.1:{port}");
    run(&folder, &cluster(port), &["--name", "lb1"]).refused(2, &["web", &at, "in use"]);
    nothing_is_left(&folder);
}

#[test]
fn an_interface_that_is_not_there_is_told() {
    let folder = Folder::new();
    let text =
        format!("{}[address.front]\nnetwork = \"lan\"\nip = \"192.168.99.200\"\n", cluster(free_port()));
    let text = text.replace(
        "[node.web1]",
        "[node.lb2]\nroles = [\"director\"]\naddress.lan = \"192.168.99.2\"\n[node.web1]",
    );
    let ran = run(&folder, &text, &["--name", "lb1"]);
    ran.refused(2, &["lb1", "lan"]);
    nothing_is_left(&folder);
}

#[test]
fn folders_that_cannot_be_used_are_told() {
    let folder = Folder::new();
    folder.write("state", "a file");
    run(&folder, &cluster(1), &["--name", "lb1"]).refused(2, &["cannot use the state folder", "state"]);
    assert!(!folder.path("run").exists());
    std::fs::remove_file(folder.path("state")).unwrap();

    std::fs::create_dir(folder.path("run")).unwrap();
    std::fs::set_permissions(folder.path("run"), std::fs::Permissions::from_mode(0o777)).unwrap();
    run(&folder, &cluster(1), &["--name", "lb1"]).refused(2, &["every user may write", "run folder"]);
    std::fs::set_permissions(folder.path("run"), std::fs::Permissions::from_mode(0o700)).unwrap();

    std::fs::write(folder.path("run").join("control.sock"), "precious").unwrap();
    run(&folder, &cluster(1), &["--name", "lb1"]).refused(2, &["control.sock is in the way"]);
    assert!(!folder.path("state").exists());

    let long = folder.path(&"x".repeat(100));
    let file = folder.path("cluster.toml");
    let mut all: Vec<PathBuf> = ["node", "run", "--name", "lb1", "--file"].map(PathBuf::from).into();
    all.extend([file, "--run-dir".into(), long.clone(), "--state-dir".into(), folder.path("state")]);
    relevo(all).refused(2, &["may have 107", "shorter"]);
    assert!(!long.exists());
}

#[test]
fn a_level_that_makes_no_sense_is_told() {
    let folder = Folder::new();
    let file = folder.write("cluster.toml", cluster(1));
    let mut command = crate::harness::command(crate::harness::RELEVO.as_ref());
    command.env("RELEVO_LOG", "relevo_node=loud").args(["node", "run", "--name", "lb1", "--file"]).arg(file);
    command.arg("--run-dir").arg(folder.path("run")).arg("--state-dir").arg(folder.path("state"));
    crate::harness::finish(command).refused(2, &["RELEVO_LOG", "debug"]);
    nothing_is_left(&folder);
}
