//! Help, wrong arguments, completions, manual pages, and readers that go away.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use crate::harness::{Folder, RELEVO, command, finish, relevo};

#[test]
fn every_command_explains_itself_with_an_example() {
    for words in [
        &["check"][..],
        &["example"],
        &["import"],
        &["node", "run"],
        &["status"],
        &["switchover"],
        &["explain", "request"],
        &["server"],
        &["completions"],
        &["man"],
    ] {
        let ran = relevo(words.iter().chain(&["--help"]));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(
            ran.out.contains("Example") && ran.out.contains(&format!("relevo {}", words.join(" "))),
            "{ran:?}"
        );
    }
}

#[test]
fn wrong_arguments_are_code_2_with_a_hint() {
    relevo(["chek"]).refused(2, &["unrecognized subcommand 'chek'", "check"]);
    relevo(["status", "--wach"]).refused(2, &["--wach", "--watch"]);
    relevo(["check"]).refused(2, &["<FILE>"]);
    relevo(["node", "run", "--file", "x", "--workers", "many"])
        .refused(2, &["a whole number from 0 to 1024"]);
    relevo(["node", "run", "--file", "x", "--log", "xml"]).refused(2, &["text", "json"]);
}

#[test]
fn net_takes_its_file_as_the_other_commands_do() {
    for file in [&["cluster.toml"][..], &["--file", "cluster.toml"]] {
        let folder = Folder::new();
        let mut all = command(Path::new(RELEVO));
        all.current_dir(folder.path("")).args(["net", "plan", "--name", "lb1"]).args(file);
        finish(all).refused(2, &["there is no file cluster.toml"]);
    }
    relevo(["net", "plan", "a.toml", "--file", "b.toml"]).refused(2, &["cannot be used with"]);
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = relevo(["completions", shell]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.out.contains("RELEVO_COMPLETE"), "{shell}: {ran:?}");
    }
    relevo(["completions", "tcsh"]).refused(2, &["possible values", "bash"]);
}

#[test]
fn manual_pages_are_for_every_command() {
    let main = relevo(["man"]);
    assert!(main.code == 0 && main.out.contains(".TH relevo 1"), "{main:?}");
    assert!(relevo(["man", "node-run"]).out.contains("RELEVO_LOG"));
    relevo(["man", "nothing"]).refused(2, &["no page \"nothing\"", "node-run"]);
    let folder = Folder::new();
    let ran = relevo(["man".as_ref(), "--dir".as_ref(), folder.path("man1").as_os_str()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for page in ["relevo.1", "relevo-node-run.1", "relevo-server-drain.1"] {
        assert!(folder.path("man1").join(page).exists(), "{page}");
    }
    for hidden in ["relevo-lab-inside.1", "relevo-drill-probe.1", "relevo-help.1"] {
        assert!(!folder.path("man1").join(hidden).exists(), "{hidden}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = command(Path::new(RELEVO))
        .args(["man", "node-run"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(child.wait().unwrap().success(), "{err}");
    assert_eq!(err, "");
}
