//! Faults do what they say, can be undone, and the network goes on where it can.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests only")]

mod support;

use std::fs;
use std::process::{Child, Stdio};

use relevo_lab::{Fault, Lab, LabError, LabStatus, MainState, PortState, UpOptions};
use support::{Guard, Machine, example, need_root, program, run_in, stdout, wait_for, wait_until};

fn state<'a>(seen: &'a LabStatus, node: &str) -> &'a MainState {
    &seen.node(node).unwrap().main
}

fn name(node: &str) -> String {
    node.to_owned()
}

#[test]
fn lab_processes_are_killed_frozen_stopped_and_come_back() {
    need_root();
    let lab = Guard::up(&example("minimal", "test-faults"));
    let running = |seen: &LabStatus| matches!(state(seen, "lb1"), MainState::Running { .. });

    lab.fault(Fault::Freeze { node: name("lb1") }).unwrap();
    wait_for(&lab, "frozen", |seen| matches!(state(seen, "lb1"), MainState::Frozen { .. }));
    lab.fault(Fault::Thaw { node: name("lb1") }).unwrap();
    wait_for(&lab, "thawed", running);

    lab.fault(Fault::Kill { node: name("lb1") }).unwrap();
    let killed = MainState::Dead { how: name("signal SIGKILL") };
    let seen = wait_for(&lab, "killed", |seen| state(seen, "lb1") == &killed);
    assert!(seen.node("lb1").unwrap().processes.is_empty());
    // Twice is the same as once, for a fault and for its undo.
    lab.fault(Fault::Kill { node: name("lb1") }).unwrap();
    lab.fault(Fault::Start { node: name("lb1") }).unwrap();
    lab.fault(Fault::Start { node: name("lb1") }).unwrap();
    let seen = wait_for(&lab, "started", |seen| running(seen) && seen.node("lb1").unwrap().api.is_some());
    assert_eq!(seen.node("lb1").unwrap().processes.len(), 1);

    lab.fault(Fault::Stop { node: name("lb1") }).unwrap();
    lab.fault(Fault::Start { node: name("lb1") }).unwrap();
    wait_for(&lab, "started again", |seen| running(seen) && seen.node("lb1").unwrap().api.is_some());

    let mut sleeper = lab.exec("web1", &[name("sleep"), name("1000")]).unwrap();
    wait_for(&lab, "two processes", |seen| seen.node("web1").unwrap().processes.len() == 2);
    lab.fault(Fault::Pause { node: name("web1") }).unwrap();
    wait_for(&lab, "all stopped", |seen| {
        let processes = &seen.node("web1").unwrap().processes;
        processes.iter().all(|process| process.state == relevo_lab::ProcessState::Stopped)
    });
    lab.fault(Fault::Resume { node: name("web1") }).unwrap();
    lab.fault(Fault::ServerStop { node: name("web1"), port: None }).unwrap();
    assert_eq!(sleeper.wait().unwrap().code(), Some(128 + 15));
    wait_for(&lab, "server stopped", |seen| matches!(state(seen, "web1"), MainState::Dead { .. }));
    lab.fault(Fault::ServerStart { node: name("web1") }).unwrap();
    wait_for(&lab, "server started", |seen| matches!(state(seen, "web1"), MainState::Running { .. }));

    let wrong = |fault| match lab.fault(fault) {
        Err(LabError::Wrong(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(wrong(Fault::Kill { node: name("lb9") }).contains("lb1, lb2"));
    assert!(wrong(Fault::ServerStop { node: name("lb1"), port: None }).contains("web1, web2"));
    assert!(wrong(Fault::Unplug { node: name("lb1"), network: name("wan") }).contains("lan"));
    assert!(wrong(Fault::CutLink { a: name("lan"), b: name("x") }).contains("none"));
    assert!(wrong(Fault::SwitchOff { switch: name("x") }).contains("lan"));
    lab.down();
}

#[test]
fn lab_survives_a_server_that_signals_its_group() {
    need_root();
    let server = "trap 'trap - TERM; kill 0' TERM; touch /run/trapped; sleep 1000 & wait";
    let text = example("minimal", "test-group").replace("check = ", "# check = ")
        + &format!("\n[lab.run]\nweb1 = \"{server}\"\n");
    let options = UpOptions {
        program: Some(program()),
        ready_within: std::time::Duration::ZERO,
        ..UpOptions::default()
    };
    let lab = Guard::from(Lab::up(&text, options).unwrap());
    wait_until("the trap is set", || run_in(&lab, "web1", &["test", "-e", "/run/trapped"]).status.success());
    lab.fault(Fault::ServerStop { node: name("web1"), port: None }).unwrap();
    let seen = wait_for(&lab, "server stopped", |seen| matches!(state(seen, "web1"), MainState::Dead { .. }));
    assert!(matches!(state(&seen, "web2"), MainState::Running { .. }));
    lab.down();
}

#[test]
fn lab_killed_helper_takes_what_it_runs_along() {
    need_root();
    let lab = Guard::up(&example("minimal", "test-exec"));
    let mut sleeper = lab.exec("client", &[name("sleep"), name("1000")]).unwrap();
    wait_for(&lab, "it runs", |seen| seen.node("client").unwrap().processes.len() == 1);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    wait_for(&lab, "it is gone", |seen| seen.node("client").unwrap().processes.is_empty());
    // And what runs in the lab ends with it.
    let mut sleeper = lab.exec("client", &[name("sleep"), name("1000")]).unwrap();
    wait_for(&lab, "it runs", |seen| seen.node("client").unwrap().processes.len() == 1);
    lab.down();
    assert_eq!(sleeper.wait().unwrap().code(), Some(128 + 9));
}

/// A web server on user2, asked by user over the outer switches: whether the network carries, without any director.
struct Page(Child);

impl Page {
    fn start(lab: &Lab) -> Self {
        let program = program();
        let argv = [program.to_str().unwrap(), "origin", "--name", "page", "--listen", "172.31.76.101:8080"];
        let mut command = lab.command("user2", &argv.map(name)).unwrap();
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }

    fn answers(lab: &Lab, within: &str) -> bool {
        stdout(&run_in(lab, "user", &["curl", "-s", "-m", within, "http://172.31.76.101:8080/"]))
            .contains("page")
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn settled(seen: &LabStatus) -> bool {
    let on = seen.switches.iter().filter(|switch| switch.on);
    on.flat_map(|switch| &switch.ports)
        .all(|port| !matches!(port.state, PortState::Listening | PortState::Learning))
}

fn blocked(seen: &LabStatus) -> usize {
    let ports = seen.switches.iter().flat_map(|switch| &switch.ports);
    ports.filter(|port| port.state == PortState::Blocking).count()
}

#[test]
fn lab_s4_mesh_heals_and_the_vxlan_carries() {
    need_root();
    let before = Machine::look();
    let lab = Guard::up(&example("s4", "test-s4"));
    let seen = lab.status().unwrap();
    assert!(seen.switch("swout2").unwrap().root, "the switch of priority 4096 is root");
    // Five links join four switches: two of them must be held back, or there would be a loop.
    assert_eq!(blocked(&seen), 2, "{seen:#?}");

    // bal2 and serv1 are on different switches inside, joined by the VXLAN; full-size packets must pass too.
    let page = run_in(&lab, "bal2", &["curl", "-s", "-m", "5", "http://serv1/bytes/200000"]);
    assert_eq!(page.stdout.len(), 200_000, "{page:?}");
    // Clients cannot reach the servers: directors do not route.
    assert!(!run_in(&lab, "user", &["curl", "-s", "-m", "1", "http://10.0.0.1/"]).status.success());

    // A machine's port neither listens nor learns: a director that is plugged in again hears the others at once.
    let port = |seen: &LabStatus| {
        let ports = &seen.switch("vswout2").unwrap().ports;
        ports.iter().find(|port| port.name == "bal2").unwrap().state
    };
    let public = || (name("bal2"), name("public"));
    let (node, network) = public();
    lab.fault(Fault::Unplug { node, network }).unwrap();
    wait_for(&lab, "no carrier", |seen| port(seen) == PortState::Disabled);
    let (node, network) = public();
    lab.fault(Fault::Plug { node, network }).unwrap();
    let seen = wait_for(&lab, "carrier", |seen| port(seen) != PortState::Disabled);
    assert_eq!(port(&seen), PortState::Forwarding);

    let page = Page::start(&lab);
    wait_until("user reaches user2", || Page::answers(&lab, "1"));
    let cut = |a: &str, b: &str| Fault::CutLink { a: name(a), b: name(b) };
    lab.fault(cut("swout2", "swout1")).unwrap();
    let seen = wait_for(&lab, "the tree grows anew", |seen| settled(seen) && blocked(seen) == 1);
    assert!(seen.links.iter().any(|link| link.cut && link.a == "swout1" && link.b == "swout2"));
    wait_until("user reaches user2 by another way", || Page::answers(&lab, "1"));
    // With one of the two remaining ways gone as well, traffic takes the last one.
    lab.fault(Fault::SwitchOff { switch: name("vswout1") }).unwrap();
    let seen = wait_for(&lab, "the tree grows anew", settled);
    assert!(!seen.switch("vswout1").unwrap().on);
    assert!(seen.switch("vswout1").unwrap().ports.iter().all(|port| port.state == PortState::Disabled));
    let carrier = run_in(&lab, "bal1", &["cat", "/sys/class/net/public/carrier"]);
    assert_eq!(stdout(&carrier), "0\n", "no light from a switch that is off");
    wait_until("user reaches user2 by the last way", || Page::answers(&lab, "1"));
    lab.fault(cut("swout1", "vswout2")).unwrap();
    wait_until("no way is left", || !Page::answers(&lab, "1"));

    lab.fault(Fault::SwitchOn { switch: name("vswout1") }).unwrap();
    lab.fault(Fault::RestoreLink { a: name("swout1"), b: name("vswout2") }).unwrap();
    lab.fault(Fault::RestoreLink { a: name("swout1"), b: name("swout2") }).unwrap();
    wait_for(&lab, "the first tree is back", |seen| settled(seen) && blocked(seen) == 2);
    wait_until("user reaches user2 again", || Page::answers(&lab, "1"));
    drop(page);
    lab.down();
    before.assert_unchanged();
}

#[test]
fn lab_unplugged_node_sees_its_carrier_go() {
    need_root();
    let lab = Guard::up(&example("minimal", "test-unplug"));
    let carrier = || stdout(&run_in(&lab, "lb1", &["cat", "/sys/class/net/lan/carrier"]));
    assert_eq!(carrier(), "1\n");
    lab.fault(Fault::Unplug { node: name("lb1"), network: name("lan") }).unwrap();
    wait_until("no carrier", || carrier() == "0\n");
    let seen = lab.status().unwrap();
    assert!(!seen.node("lb1").unwrap().plugs[0].plugged);
    // A switch that goes off and on does not put the cable back.
    lab.fault(Fault::SwitchOff { switch: name("lan") }).unwrap();
    lab.fault(Fault::SwitchOn { switch: name("lan") }).unwrap();
    assert_eq!(carrier(), "0\n");
    lab.fault(Fault::Plug { node: name("lb1"), network: name("lan") }).unwrap();
    wait_until("carrier", || carrier() == "1\n");
    assert!(fs::metadata(lab.log_folder().join("lb1.log")).is_ok());
    lab.down();
}
