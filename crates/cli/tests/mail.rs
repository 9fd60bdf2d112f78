//! The mail of `docs/guide/from-keepalived.md`: its script, as it stands there, is called by a director that becomes active.
//!
//! Needs root.

#[path = "support/apache_lab.rs"]
#[allow(dead_code, reason = "this test asks nobody with curl")]
mod apache_lab;
#[path = "../../lab/tests/support/caretaker.rs"]
mod caretaker;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use apache_lab::Lab;

const GUIDE: &str = include_str!("../../../docs/guide/from-keepalived.md");

fn program(path: &Path, text: &str) {
    fs::write(path, text).expect("a program");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
}

#[test]
fn lab_mail_is_sent_by_the_script_of_the_guide() {
    let folder = std::env::temp_dir().join(format!("relevo-mail-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let inside = |name: &str| folder.join(name);
    let script =
        GUIDE.split("\n```sh\n").nth(1).and_then(|rest| rest.split("\n```").next()).expect("the script");
    assert!(script.contains("/usr/sbin/sendmail -t"), "{script}");
    let sendmail = inside("sendmail");
    program(&inside("relevo-mail"), &script.replace("/usr/sbin/sendmail", &sendmail.to_string_lossy()));
    program(&sendmail, &format!("#!/bin/sh\n[ \"$1\" = -t ] && cat >> {}/box\n", folder.display()));
    let file = inside("cluster.toml");
    let text = format!(
        "name = \"mail\"\n[network.lan]\nsubnet = \"10.175.1.0/24\"\n[node.lb1]\nroles = [\"director\"]\naddress.lan = \"10.175.1.1\"\n\
         [group.web]\nnotify = [[\"{}\", \"ops@example.org\", \"oncall@example.org\"]]\n\
         [address.front]\nnetwork = \"lan\"\nip = \"10.175.1.200\"\n",
        inside("relevo-mail").display()
    );
    fs::write(&file, text).expect("the file");
    let lab = Lab::up(file.to_str().expect("a path"));
    let deadline = Instant::now() + Duration::from_secs(30);
    let mail = loop {
        let mail = fs::read_to_string(inside("box")).unwrap_or_default();
        if mail.contains("Subject: lb1 is active for web") {
            break mail;
        }
        assert!(Instant::now() < deadline, "no such mail: {mail}");
        thread::sleep(Duration::from_millis(100));
    };
    drop(lab);
    assert!(mail.contains("\nTo: ops@example.org, oncall@example.org\n"), "{mail}");
    assert!(mail.contains("Group web: lb1 is active now, with priority 150."), "{mail}");
    let _ = fs::remove_dir_all(&folder);
}
