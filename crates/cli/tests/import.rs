//! The web clusters S1 and S2, imported from the files of ldirectord, HAProxy, keepalived, dnsmasq and ifupdown, come up as they are and
//! pass drills.
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

/// Imports a cluster, brings it up and plays drills on it.
fn drilled(cluster: &str, names: &[&str], drills: &[&str]) {
    let folder = std::env::temp_dir().join(format!("relevo-import-{cluster}-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("registry")).expect("a folder");
    let cleanup = "RELEVO_LAB_DIR=$2/registry \"$1\" lab down; rm -r \"$2\"";
    let arguments = [env!("CARGO_BIN_EXE_relevo"), folder.to_str().expect("a path in UTF-8")];
    let lab = Lab { _caretaker: Caretaker::new(cleanup, &arguments), folder };
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../import/tests/files").join(cluster);
    let paths: Vec<String> = names.iter().map(|name| files.join(name).display().to_string()).collect();
    let made = lab.folder.join("cluster.toml").display().to_string();
    let name = format!("{cluster}i");
    let mut import: Vec<&str> = vec!["import", "--name", &name, "-o", &made];
    import.extend(paths.iter().map(String::as_str));
    lab.relevo(&import);
    lab.relevo(&["lab", "up", &made]);
    let report = lab.relevo(&[&["drill", "run"], drills].concat());
    assert!(!report.contains("FAIL") && !report.contains("not applicable"), "{report}");
}

/// All that apply pass too; these are those that what was imported decides.
#[test]
fn lab_an_imported_s2_passes_the_drills() {
    let files = [
        "cluster1/keepalived.conf",
        "standby1/keepalived.conf",
        "standby2/keepalived.conf",
        "cluster1/interfaces",
        "standby1/interfaces",
        "standby2/interfaces",
        "haproxy.cfg",
        "dnsmasq.conf",
    ];
    drilled("s2", &files, &["director-crash", "switchover", "server-process", "split", "gateway-moves"]);
}

#[test]
fn lab_an_imported_s1_passes_the_drills() {
    let files = ["master/interfaces", "standby/interfaces", "ldirectord.cf"];
    drilled("s1", &files, &["director-crash", "server-crash", "split", "gateway-moves"]);
}
