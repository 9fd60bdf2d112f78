//! `relevo import`: a cluster file, and an account of every line.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::harness::{Folder, relevo};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../import/tests/files").join(name)
}

#[test]
fn a_cluster_of_three_directors_from_its_files() {
    let folder = Folder::new();
    let made = folder.path("cluster.toml");
    let report = folder.path("report.txt");
    let names = [
        "s2/cluster1/keepalived.conf",
        "s2/standby1/keepalived.conf",
        "s2/standby2/keepalived.conf",
        "s2/cluster1/interfaces",
        "s2/standby1/interfaces",
        "s2/standby2/interfaces",
        "s2/haproxy.cfg",
        "s2/dnsmasq.conf",
    ];
    let mut args = vec!["import".into()];
    args.extend(names.iter().map(|name| file(name).into_os_string()));
    args.extend(["-o".into(), made.clone().into_os_string(), "--name".into(), "s2".into()]);
    let ran = relevo(&args);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.contains(" carried, ")
            && ran.out.contains("fine: 3 directors, 3 servers, 2 addresses, 4 services"),
        "{ran:?}"
    );
    assert!(!ran.out.contains('\u{1b}'), "no colours without a terminal");
    assert_eq!(relevo(["check".as_ref(), made.as_os_str()]).code, 0);
    assert!(std::fs::read_to_string(&made).unwrap().contains("[node.standby2]"), "called after its folder");
    // What is there stays, unless told otherwise.
    std::fs::write(&made, "mine").unwrap();
    relevo(&args).refused(2, &["is there already", "--force"]);
    assert_eq!(std::fs::read_to_string(&made).unwrap(), "mine");
    args.extend(["--force".into(), "--report".into(), report.clone().into_os_string()]);
    let ran = relevo(&args);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(std::fs::read_to_string(&report).unwrap().contains("server cluster2_1 10.0.100.2:8081"));
    assert!(ran.out.lines().count() < 4, "the report is in its file: {ran:?}");
}

#[test]
fn files_within_files_and_one_file_for_two_directors() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("parts")).unwrap();
    folder.write("parts/a.conf", "@main priority 150\n@spare priority 100\n");
    folder.write("parts/b.conf", "virtual_ipaddress {\n 10.9.0.200/24\n}\n");
    folder.write("parts/c.txt", "priority 1\n");
    let shared = folder.write(
        "keepalived.conf",
        "vrrp_instance web {\n interface eth0\n virtual_router_id 9\n include parts/*.conf\n}\n",
    );
    let given = |name: &str| format!("{name}={}", shared.display());
    let ran = relevo(["import", &given("main"), &given("spare")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("priority = { main = 150, spare = 100 }"), "{ran:?}");
    assert!(ran.err.contains("parts/b.conf:2"), "the report goes to stderr: {ran:?}");
}

#[test]
fn what_cannot_be_imported() {
    let folder = Folder::new();
    let poem = folder.write("poem.txt", "a rose\nis a rose\n");
    relevo(["import".as_ref(), poem.as_os_str()])
        .refused(2, &["no known kind", "haproxy.cfg", "dnsmasq.conf"]);
    relevo(["import", "/nowhere/haproxy.cfg"]).refused(2, &["there is no file"]);
    let given = format!("a b={}", file("s2/haproxy.cfg").display());
    relevo(["import", &given]).refused(2, &["no node's name"]);
    relevo(["import"]).refused(2, &["<FILE>"]);
}

#[test]
fn json_has_every_line() {
    let cfg = file("s2/haproxy.cfg");
    let ran = relevo(["--json".as_ref(), "import".as_ref(), cfg.as_os_str()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let value = ran.json();
    let lines = value["lines"].as_array().unwrap();
    assert_eq!(value["summary"]["lines"], lines.len());
    assert_eq!(lines[0]["fates"][0]["fate"], "dropped");
    assert!(value["text"].as_str().unwrap().contains("[service.pages-tcp]"));
}

#[test]
fn passwords_are_for_the_cluster_file_alone() {
    let folder = Folder::new();
    let text = "vrrp_instance one {\n interface eth0\n virtual_router_id 51\n priority 100\n authentication {\n auth_type PASS\n \
                auth_pass secret42\n }\n virtual_ipaddress {\n 192.0.2.9/24\n }\n}\n";
    let (from, to) = (folder.write("keepalived.conf", text), folder.path("cluster.toml"));
    let ran = relevo(["import".as_ref(), from.as_os_str(), "-o".as_ref(), to.as_os_str()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("auth_pass ***") && !ran.out.contains("secret42"), "{ran:?}");
    assert!(std::fs::read_to_string(&to).unwrap().contains("secret42"));
    assert_eq!(std::fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_cluster_file_is_not_imported() {
    let folder = Folder::new();
    let file = folder.write("cluster.toml", crate::harness::cluster(8000));
    relevo(["import".as_ref(), file.as_os_str()]).refused(2, &["is a cluster file already", "relevo check"]);
}
