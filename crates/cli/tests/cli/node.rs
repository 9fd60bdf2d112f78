//! The life of a node's process, and asking it.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::harness::{Folder, Node, RELEVO, command, relevo, until};

#[test]
fn status_shows_what_is_known() {
    let node = Node::running();
    let ran = node.ask(&["status"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with("lb1 of the cluster loop"), "{ran:?}");
    assert!(ran.out.contains("SERVER") && ran.out.contains("127.0.0.1:1"), "{ran:?}");
    let value = node.ask(&["status", "--json"]).json();
    assert_eq!(value["node"], "lb1");
    assert_eq!(value["services"][0]["name"], "web");
    assert_eq!(value["services"][0]["pool"], "web");
    assert_eq!(value["pools"][0]["name"], "web");
    assert_eq!(value["pools"][0]["servers"][1]["name"], "b");
}

#[test]
fn the_doctor_looks_at_the_node_that_runs_unless_told_otherwise() {
    let node = Node::running();
    let ran = node.ask(&["doctor", "--json", "--listen", "0"]);
    let value = ran.json();
    assert_eq!((&value["node"], &value["runs"]), (&"lb1".into(), &true.into()), "{ran:?}");
}

#[test]
fn a_wrong_state_folder_is_no_quiet_night() {
    let folder = Folder::new();
    let incidents = |state: &Path| relevo(["incidents".as_ref(), "--state-dir".as_ref(), state.as_os_str()]);
    incidents(&folder.path("nowhere")).refused(2, &["there is no state folder", "nowhere", "--state-dir"]);
    let ran = incidents(folder.path("").as_path());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with("nothing has happened yet"), "{ran:?}");
}

#[test]
fn a_watch_goes_on_while_the_node_is_away() {
    let mut node = Node::running();
    let mut watch = command(Path::new(RELEVO));
    watch.args(["status", "--watch", "--json", "--run-dir"]).arg(node.run_dir());
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<serde_json::Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["node"], "lb1");
    node.signal(Signal::SIGTERM);
    node.ended();
    until("it is told", || {
        next()["error"].as_str().is_some_and(|error| error.contains("no relevo node answers"))
    });
    node.start();
    until("it is back", || next()["node"] == "lb1");
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn nobody_there_is_code_1_and_says_what_to_do() {
    let folder = Folder::new();
    let run_dir = folder.path("run");
    for args in [&["status"][..], &["status", "--watch"], &["switchover", "web"], &["server", "drain", "a"]] {
        let mut all: Vec<_> = args.iter().map(std::convert::AsRef::as_ref).collect();
        all.extend(["--run-dir".as_ref(), run_dir.as_os_str()]);
        relevo(all).refused(1, &["no relevo node answers at", "control.sock", "relevo node run"]);
    }
}

#[test]
fn sigterm_is_a_clean_end() {
    let mut node = Node::running();
    node.signal(Signal::SIGTERM);
    assert_eq!(node.ended(), Some(0), "{}", node.log());
    assert!(!node.run_dir().exists(), "the run folder that it made goes with it");
    let starts = std::fs::read_to_string(node.state_dir().join("starts.json")).unwrap();
    assert!(starts.contains("\"ended\": 1"), "{starts}");
    assert!(node.log().contains("ready") && node.log().contains("stopped"), "{}", node.log());
}

#[test]
fn a_hang_up_makes_it_read_its_file_again() {
    let mut node = Node::running();
    node.change("weight = 1", "weight = 7");
    node.signal(Signal::SIGHUP);
    until("the log says so", || node.log().contains("reloaded: pool web: server a: weight changed"));
    node.change("mode = \"http\"", "mode = \"htp\"");
    node.signal(Signal::SIGHUP);
    until("the log says so", || node.log().contains("cluster.toml:12:8"));
    assert_eq!(node.ask(&["status", "--json"]).json()["pools"][0]["servers"][0]["weight"], 7);
    node.signal(Signal::SIGINT);
    assert_eq!(node.ended(), Some(0), "{}", node.log());
}

#[test]
fn a_reload_says_what_changed_or_why_not() {
    let node = Node::running();
    let hash = || node.ask(&["status", "--json"]).json()["file"]["hash"].as_str().unwrap().to_owned();
    let first = hash();
    let ran = node.ask(&["reload"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with("nothing in ") && ran.out.ends_with("has changed\n"), "{ran:?}");
    node.ask(&["server", "drain", "a", "--pool", "web"]);
    node.change("mode = \"http\"", "mode = \"http\"\nmax_connections = 5");
    node.change("[service.shop]", "[service.new]");
    node.change("[service.shop.server.a]", "[service.new.server.a]");
    let ran = node.ask(&["reload"]);
    let words = "service web: limits changed\nservice new: added\nservice shop: removed\npool new: added\npool shop: removed\n";
    assert_eq!((ran.code, ran.out.as_str()), (0, words), "{ran:?}");
    let status = node.ask(&["status", "--json"]).json();
    assert_eq!(status["services"][1]["name"], "new");
    assert_eq!(status["pools"][0]["servers"][0]["admin"], "drain");
    let second = hash();
    assert_ne!(first, second);
    // Mistakes stand at their places, and nothing is changed.
    node.change("mode = \"http\"", "mode = \"htp\"");
    let ran = node.ask(&["reload"]);
    ran.refused(2, &["cluster.toml:12:8", "htp", "1 error; nothing was changed"]);
    let value = node.ask(&["reload", "--json"]).json();
    assert!(value["details"].as_str().unwrap().contains("cluster.toml:12:8"), "{value}");
    node.change("mode = \"htp\"", "mode = \"http\"");
    node.change("192.168.99.1\"", "192.168.99.2\"");
    node.ask(&["reload"]).refused(2, &["node lb1: addresses changed", "Restart the nodes"]);
    assert_eq!(hash(), second);
}

#[test]
fn a_killed_node_can_be_started_again() {
    let mut node = Node::running();
    node.signal(Signal::SIGKILL);
    assert_eq!(node.ended(), None);
    let socket = node.run_dir().join("control.sock");
    assert!(socket.symlink_metadata().unwrap().file_type().is_socket(), "it is stale");
    node.ask(&["status"]).refused(1, &["no relevo node answers"]);
    node.start();
    assert_eq!(node.ask(&["status"]).code, 0);
    until("the log says so", || node.log().contains("the run before this one did not end in order"));
    let state = node.state_dir();
    until("it is an incident", || {
        let ran = relevo(["incidents".as_ref(), "--state-dir".as_ref(), state.as_os_str()]);
        ran.out.contains("start") && ran.out.contains("did not end in order")
    });
}

#[test]
fn what_the_operator_wants_survives_a_restart() {
    let mut node = Node::running();
    let ran = node.ask(&["server", "drain", "a"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "a of web drains\na of shop drains\n"), "{ran:?}");
    let changed = node.ask(&["server", "stop", "b", "--pool", "web", "--json"]).json();
    assert_eq!(changed["servers"], serde_json::json!([["web", "b"]]));
    assert_eq!(node.ask(&["server", "start", "a", "--pool", "shop"]).code, 0);
    node.signal(Signal::SIGKILL);
    node.ended();
    node.start();
    let status = node.ask(&["status", "--json"]).json();
    let admin = |pool: usize, server: usize| status["pools"][pool]["servers"][server]["admin"].clone();
    assert_eq!([admin(0, 0), admin(0, 1), admin(1, 0)], ["drain", "maint", "ready"], "{status}");
}

#[test]
fn a_wish_says_why_and_ends_by_itself() {
    let mut node = Node::running();
    let ran = node.ask(&["server", "maint", "b", "--reason", "new disk", "--for", "1h", "--cut"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "b of web is stopped for 1h\n"), "{ran:?}");
    assert_eq!(node.ask(&["server", "drain", "a", "--pool", "shop", "--for", "8s"]).code, 0);
    let of = |node: &Node, pool: usize, server: usize| {
        node.ask(&["status", "--json"]).json()["pools"][pool]["servers"][server].clone()
    };
    assert_eq!(of(&node, 1, 0)["admin"], "drain");
    // Killed meanwhile: neither the reason nor the end are lost.
    node.signal(Signal::SIGKILL);
    node.ended();
    node.start();
    let b = of(&node, 0, 1);
    assert_eq!((b["admin"].as_str(), b["admin_reason"].as_str()), (Some("maint"), Some("new disk")), "{b}");
    let ran = node.ask(&["status"]);
    assert!(ran.out.contains("ready again in 59 min; new disk; not checked, counts as up"), "{}", ran.out);
    until("its time is over", || of(&node, 1, 0)["admin"] == "ready");
    let kept = std::fs::read_to_string(node.state_dir().join("servers.json")).unwrap();
    assert!(!kept.contains("shop"), "{kept}");
}

#[test]
fn a_weight_is_changed_and_wrong_wishes_are_refused() {
    let node = Node::running();
    let ran = node.ask(&["server", "weight", "a", "50", "--pool", "web"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "a of web weighs 50\n"), "{ran:?}");
    let weight = || node.ask(&["status", "--json"]).json()["pools"][0]["servers"][0]["weight"].clone();
    assert_eq!(weight(), 50);
    assert_eq!(node.ask(&["reload"]).code, 0);
    assert_eq!(weight(), 50, "the file says nothing else");
    let ran = node.ask(&["server", "drain", "shop/a"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "a of shop drains\n"), "{ran:?}");
    assert_eq!(ran.err, "warning: the pool shop has no server left: nobody answers its clients\n");
    until("the log says so", || node.log().contains("pool shop has no server left: a is drained"));
    let ran = node.ask(&["server", "weight", "web/a", "0"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert_eq!(node.ask(&["server", "ready", "shop/a"]).err, "");
    until("the log says so", || node.log().contains("pool shop has a server again"));
    node.ask(&["server", "weight", "a", "257"]).refused(2, &["257", "write 0 to 256"]);
    node.ask(&["server", "weight", "a", "50%"]).refused(2, &["50%", "write 0 to 256"]);
    node.ask(&["server", "drain", "a", "--for", "0s"]).refused(2, &["write 1s or more"]);
    node.ask(&["server", "drain", "a", "--for", "500h", "--reason", "a\nb"]).refused(2, &["one line"]);
    node.ask(&["server", "drain", "a", "--for", "9000h"]).refused(2, &["31536000"]);
}

#[test]
fn a_state_that_makes_no_sense_does_not_stop_a_node() {
    let mut node = Node::new();
    std::fs::create_dir(node.state_dir()).unwrap();
    std::fs::write(node.state_dir().join("servers.json"), "{\"admin\": 3").unwrap();
    node.start();
    assert!(node.state_dir().join("servers.json.bad").exists());
    until("the log says so", || node.log().contains("put aside"));
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let node = Node::running();
    node.ask(&["server", "drain", "c"]).refused(2, &["no server \"c\"", "\"a\", \"b\""]);
    node.ask(&["server", "drain", "b", "--pool", "shop"])
        .refused(2, &["no server \"b\" in the pool \"shop\"", "\"a\""]);
    node.ask(&["server", "drain", "b", "--pool", "wep"])
        .refused(2, &["no pool \"wep\"", "\"web\", \"shop\""]);
    node.ask(&["switchover", "web"]).refused(2, &["no group \"web\""]);
    let ran = node.ask(&["switchover", "web", "--json"]);
    assert!(ran.json()["error"].as_str().unwrap().contains("no group"), "{ran:?}");
    assert_eq!(ran.code, 2);
}

#[test]
fn a_weight_holds_over_restarts_until_the_file_gives_another() {
    let mut node = Node::running();
    let weight =
        |node: &Node| node.ask(&["status", "--json"]).json()["pools"][0]["servers"][0]["weight"].clone();
    assert_eq!(node.ask(&["server", "weight", "a", "7"]).code, 0);
    assert_eq!(weight(&node), 7);
    for _ in 0..2 {
        node.signal(Signal::SIGTERM);
        assert_eq!(node.ended(), Some(0), "{}", node.log());
        node.start();
        assert_eq!(weight(&node), 7, "{}", node.log());
    }
    node.change("weight = 1", "weight = 2");
    assert_eq!(node.ask(&["reload"]).code, 0);
    assert_eq!(weight(&node), 2);
    // What the file has taken back does not come again with the old text.
    node.change("weight = 2", "weight = 1");
    node.signal(Signal::SIGTERM);
    assert_eq!(node.ended(), Some(0), "{}", node.log());
    node.start();
    assert_eq!(weight(&node), 1, "{}", node.log());
}
