//! The web cluster S2, imported from the files of HAProxy, keepalived, dnsmasq and ifupdown, comes up and loses its active director.
//!
//! Needs root.

#[path = "../../lab/tests/support/caretaker.rs"]
mod caretaker;

use std::path::{Path, PathBuf};
use std::process::Command;

use caretaker::Caretaker;

/// A folder with the cluster file and the lab's registry.
struct Lab {
    folder: PathBuf,
    _caretaker: Caretaker,
}

impl Lab {
    fn relevo(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_relevo"))
            .env("RELEVO_LAB_DIR", self.folder.join("registry"))
            .args(arguments)
            .output()
            .expect("relevo starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} ended with {}\n{text}\n{errors}", output.status);
        text
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let mut down = Command::new(env!("CARGO_BIN_EXE_relevo"));
        let _ = down.env("RELEVO_LAB_DIR", self.folder.join("registry")).args(["lab", "down"]).output();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn lab_an_imported_cluster_loses_its_active_director() {
    let folder = std::env::temp_dir().join(format!("relevo-import-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("registry")).expect("a folder");
    let cleanup = "RELEVO_LAB_DIR=$2/registry \"$1\" lab down; rm -r \"$2\"";
    let arguments = [env!("CARGO_BIN_EXE_relevo"), folder.to_str().expect("a path in UTF-8")];
    let lab = Lab { _caretaker: Caretaker::new(cleanup, &arguments), folder };
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../import/tests/files/s2");
    let names = [
        "cluster1/keepalived.conf",
        "standby1/keepalived.conf",
        "standby2/keepalived.conf",
        "cluster1/interfaces",
        "standby1/interfaces",
        "standby2/interfaces",
        "haproxy.cfg",
        "dnsmasq.conf",
    ];
    let paths: Vec<String> = names.iter().map(|name| files.join(name).display().to_string()).collect();
    let made = lab.folder.join("cluster.toml").display().to_string();
    let mut import: Vec<&str> = vec!["import", "--name", "s2i", "-o", &made];
    import.extend(paths.iter().map(String::as_str));
    lab.relevo(&import);
    // What is on those directors' disks only: their error pages, and the program that they notify.
    let text = std::fs::read_to_string(&made).expect("the file that was made");
    let is_here = |line: &&str| !line.starts_with("error_pages") && !line.starts_with("notify");
    let text: Vec<&str> = text.lines().filter(is_here).collect();
    std::fs::write(&made, text.join("\n")).expect("the folder is ours");
    lab.relevo(&["lab", "up", &made]);
    let report = lab.relevo(&["drill", "run", "director-crash", "switchover", "server-process"]);
    assert!(!report.contains("FAIL"), "{report}");
}
