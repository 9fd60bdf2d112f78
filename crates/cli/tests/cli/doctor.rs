//! `relevo doctor` on a machine that is no node: what it says of the files that the cluster file names.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{Folder, LOOP, relevo};

#[test]
fn files_are_looked_for_beside_the_cluster_file() {
    let folder = Folder::new();
    let file = folder.write(
        "cluster.toml",
        format!(
            r#"{LOOP}[peers]
key = "peers.key"
[service.shop]
listen = {{ at = "127.0.0.1:8443", tls = true }}
mode = "http"
check = "none"
tls = {{ certificates = ["shop.pem", "lost.pem"] }}
servers = ["127.0.0.1:1"]
"#
        ),
    );
    for (name, mode) in [("peers.key", 0o600), ("shop.pem", 0o644), ("shop.pem.key", 0o600)] {
        let path = folder.write(name, "");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let file = file.to_str().unwrap();
    let ran = relevo(["doctor", "--json", "--listen", "0", "--name", "lb1", "--file", file]);
    let said = ran.json();
    let files: Vec<_> =
        said["findings"].as_array().unwrap().iter().filter(|one| one["check"] == "files").collect();
    let verdicts: Vec<_> = files.iter().map(|one| one["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["good", "good", "bad"], "{files:#?}");
    // The key beside the certificate counts, as in the balancer.
    assert!(files[1]["seen"].as_str().unwrap().ends_with("/shop.pem.key"), "{files:#?}");
    assert!(files[2]["seen"].as_str().unwrap().contains("/lost.pem: No such file"), "{files:#?}");
}
