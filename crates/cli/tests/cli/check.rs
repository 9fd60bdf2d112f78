//! `relevo check`: what is right, what is wrong, and what is no cluster file at all.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use crate::harness::{Folder, RELEVO, cluster, command, finish, relevo};

#[test]
fn a_right_file_is_summed_up() {
    let folder = Folder::new();
    let file = folder.write("right.toml", cluster(8000));
    let ran = relevo(["check".as_ref(), file.as_os_str()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.ends_with("right.toml: fine: 1 director, 2 servers, 0 addresses, 2 services\n"),
        "{ran:?}"
    );
}

#[test]
fn mistakes_are_shown_at_their_place_with_what_would_be_right() {
    let folder = Folder::new();
    let text = cluster(8000).replace("mode = \"http\"", "mode = \"htp\"").replace("\"server\"", "\"servr\"");
    let file = folder.write("wrong.toml", text);
    let ran = relevo(["check".as_ref(), file.as_os_str()]);
    ran.refused(2, &["wrong.toml:8:", "wrong.toml:12:", "mode = \"htp\"", "help:", "2 errors"]);
    assert!(!ran.err.contains('\u{1b}'), "no colours without a terminal: {ran:?}");
}

#[test]
fn every_file_is_checked_and_one_wrong_one_decides() {
    let folder = Folder::new();
    let right = folder.write("right.toml", cluster(8000));
    let wrong = folder.write("wrong.toml", "name = 1");
    let ran = relevo(["check".as_ref(), wrong.as_os_str(), right.as_os_str()]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("wrong.toml:1:8") && ran.out.contains("right.toml: fine"), "{ran:?}");
}

#[test]
fn json_says_the_same() {
    let folder = Folder::new();
    let right = folder.write("right.toml", cluster(8000));
    let wrong = folder.write("wrong.toml", "name = 1");
    let ran = relevo([
        "check".as_ref(),
        "--json".as_ref(),
        right.as_os_str(),
        wrong.as_os_str(),
        "/nowhere".as_ref(),
    ]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let value = ran.json();
    assert_eq!(value["fine"], false);
    assert_eq!(value["files"][0]["fine"], true);
    assert_eq!(value["files"][0]["cluster"]["services"], 2);
    assert_eq!(value["files"][1]["diagnostics"][0]["place"]["line"], 1);
    assert!(value["files"][2]["error"].as_str().unwrap().contains("there is no file /nowhere"), "{value}");
}

#[test]
fn what_is_no_file_is_told() {
    let folder = Folder::new();
    let missing = folder.path("missing.toml");
    relevo(["check".as_ref(), missing.as_os_str()]).refused(2, &["there is no file", "missing.toml"]);
    relevo(["check".as_ref(), folder.path("").as_os_str()]).refused(2, &["is a folder"]);
    relevo(["check", "/dev/zero"]).refused(2, &["/dev/zero is larger than"]);
}

#[test]
fn what_is_no_text_is_told() {
    let folder = Folder::new();
    let file = folder.write("binary.toml", b"name = \"a\"\n# \xff\n");
    relevo(["check".as_ref(), file.as_os_str()]).refused(2, &["not UTF-8", "byte 14 (line 2)"]);
    let empty = folder.write("empty.toml", "");
    relevo(["check".as_ref(), empty.as_os_str()]).refused(2, &["error:", "empty.toml:1:1"]);
}

#[test]
fn a_file_of_somebody_else_is_told() {
    let folder = Folder::new();
    let file = folder.write("secret.toml", cluster(8000));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).unwrap();
    // Where everybody may run it, whatever the folder that it was built in.
    let program = folder.path("relevo");
    std::fs::copy(RELEVO, &program).unwrap();
    let mut other = command(&program);
    if nix::unistd::geteuid().is_root() {
        other.uid(65534);
    }
    other.arg("check").arg(&file);
    finish(other).refused(2, &["no permission to read", "secret.toml"]);
}

#[test]
fn examples_are_right_files() {
    let list = relevo(["example", "--json"]).json();
    let names: Vec<&str> =
        list["examples"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["minimal", "s1", "s2", "s4", "shop"]);
    let folder = Folder::new();
    for name in names {
        let file = folder.write(name, relevo(["example", name]).out);
        assert_eq!(relevo(["check".as_ref(), file.as_os_str()]).code, 0, "{name}");
    }
    relevo(["example", "s3"]).refused(2, &["no example \"s3\"", "minimal, s1, s2, s4, shop"]);
}
