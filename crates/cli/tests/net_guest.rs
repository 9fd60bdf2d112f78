//! `relevo net` with a kernel that has what the test machine's may not: bonds and VLANs, in a guest of QEMU with Debian's
//! kernel. The guest is emulated (TCG) and boots into this program with busybox, from memory.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests: a failure is a panic"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FILE: &str = r#"
name = "guest"
[network.public]
subnet = "172.16.1.0/24"
[network.internal]
subnet = "10.0.0.0/24"
mtu = 1400
[node.bal1]
roles = ["director"]
address.public = "172.16.1.250"
address.internal = { ip = "10.0.0.250", interface = "inside" }
[node.bal2]
roles = ["director"]
address.public = "172.16.1.251"
address.internal = { ip = "10.0.0.251", interface = "inside" }
[address.front]
network = "public"
ip = "172.16.1.254"
[interface.bond0]
kind = "bond"
ports = ["eth0", "eth1"]
primary = "eth1"
[interface.inside]
kind = "vlan"
id = 10
over = "bond0"
"#;

/// What the guest does. Its lines between the marks are looked at.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /state
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module; done
relevo="/relevo net"
echo "== plan"
$relevo plan /cluster.toml --name bal1
echo "== apply"
$relevo apply /cluster.toml --name bal1 --confirm-within 600s --state-dir /state
echo "code $?"
$relevo confirm --state-dir /state
echo "== verify"
/bin/busybox sleep 1
$relevo verify /cluster.toml --name bal1
echo "code $?"
/bin/busybox cat /proc/net/bonding/bond0 /proc/net/vlan/inside
echo "== back"
/bin/busybox sed -i 's/primary = "eth1"/primary = "eth0"/' /cluster.toml
$relevo apply /cluster.toml --name bal1 --confirm-within 1s --state-dir /state
/bin/busybox sleep 4
/bin/busybox cat /sys/class/net/bond0/bonding/primary
echo "== end"
/bin/busybox poweroff -f
"#;

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Debian's kernel for machines in a cloud, and its modules.
fn kernel() -> (PathBuf, PathBuf) {
    let found =
        fs::read_dir("/boot").unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    let name = found.filter(|name| name.starts_with("vmlinuz-") && name.ends_with("-cloud-amd64")).max();
    let name = name.expect("scripts/need.sh linux-image-cloud-amd64");
    let version = name.trim_start_matches("vmlinuz-");
    (Path::new("/boot").join(&name), Path::new("/lib/modules").join(version))
}

/// Copies modules and what they need; the order in which they are loaded.
fn modules(from: &Path, to: &Path, wanted: &[&str]) -> Vec<String> {
    let text = fs::read_to_string(from.join("modules.dep")).unwrap();
    let mut order: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    for name in wanted {
        let line =
            text.lines().find(|line| line.split(':').next().unwrap().ends_with(&format!("/{name}.ko")));
        // What is not there is part of the kernel.
        let Some((module, needs)) = line.and_then(|line| line.split_once(':')) else { continue };
        for path in needs.split_whitespace().rev().chain([module]) {
            if seen.insert(path.to_owned()) {
                let file = Path::new(path).file_name().unwrap().to_str().unwrap().to_owned();
                fs::copy(from.join(path), to.join(&file)).unwrap();
                order.push(file);
            }
        }
    }
    order
}

/// Copies the program and the libraries that it is linked with.
fn program(to: &Path) {
    let own = env!("CARGO_BIN_EXE_relevo");
    fs::copy(own, to.join("relevo")).unwrap();
    // Symbols are not needed; without the tool they only take memory.
    let _ = Command::new("strip").arg(to.join("relevo")).status();
    let listed = Command::new("ldd").arg(own).output().unwrap();
    for word in
        String::from_utf8(listed.stdout).unwrap().split_whitespace().filter(|word| word.starts_with('/'))
    {
        let place = to.join(word.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(word, place).unwrap();
    }
}

fn image(folder: &Path) -> PathBuf {
    let root = folder.join("root");
    for part in ["bin", "modules"] {
        fs::create_dir_all(root.join(part)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    program(&root);
    let wanted = ["virtio_pci", "virtio_net", "bonding", "8021q"];
    let order = modules(&kernel().1, &root.join("modules"), &wanted);
    fs::write(root.join("modules/order"), order.join("\n")).unwrap();
    fs::write(root.join("cluster.toml"), FILE).unwrap();
    fs::write(root.join("init"), INIT).unwrap();
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755)).unwrap();
    let image = folder.join("initrd");
    let pack = format!("cd {} && find . | cpio -o -H newc --quiet > {}", root.display(), image.display());
    assert!(Command::new("sh").args(["-c", &pack]).status().unwrap().success(), "cpio");
    image
}

#[test]
fn lab_a_guest_with_debians_kernel_gets_a_bond_and_a_vlan() {
    let folder = std::env::temp_dir().join(format!("relevo-guest-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let scratch = Scratch(folder);
    let image = image(&scratch.0);
    let mut command = Command::new("qemu-system-x86_64");
    command.args([
        "-accel",
        "tcg",
        "-m",
        "768",
        "-nographic",
        "-no-reboot",
        "-nodefaults",
        "-serial",
        "stdio",
    ]);
    for number in 0..2 {
        command.args([
            "-netdev",
            &format!("user,id=n{number},restrict=on"),
            "-device",
            &format!("virtio-net-pci,netdev=n{number}"),
        ]);
    }
    command.arg("-kernel").arg(kernel().0).arg("-initrd").arg(&image);
    command.args(["-append", "console=ttyS0 quiet panic=-1"]);
    let log = scratch.0.join("console");
    command.stdin(Stdio::null()).stdout(fs::File::create(&log).unwrap()).stderr(Stdio::inherit());
    let mut guest = command.spawn().expect("scripts/need.sh qemu-system-x86");
    let begun = Instant::now();
    while guest.try_wait().unwrap().is_none() {
        if begun.elapsed() > Duration::from_secs(180) {
            let _ = guest.kill();
            let _ = guest.wait();
            panic!("the guest does not end:\n{}", fs::read_to_string(&log).unwrap_or_default());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let console = String::from_utf8_lossy(&fs::read(&log).unwrap()).replace('\r', "");
    println!("{console}");
    let part = |name: &str| {
        let rest =
            console.split(&format!("== {name}\n")).nth(1).unwrap_or_else(|| panic!("no {name}:\n{console}"));
        rest.split("\n== ").next().unwrap().to_owned()
    };
    for step in ["make the bond bond0", "put eth0 into bond0", "make the vlan inside with an MTU of 1400"] {
        assert!(part("plan").contains(step), "{step}\n{console}");
    }
    assert!(part("apply").contains("code 0") && part("apply").contains("the change stays"), "{console}");
    let verified = part("verify");
    assert!(verified.contains("all is as the file wants") && verified.contains("code 0"), "{console}");
    for fact in [
        "inside  vlan, mtu 1400, up, 10.0.0.250/24",
        "Bonding Mode: fault-tolerance (active-backup)",
        "Primary Slave: eth1",
        "Slave Interface: eth0",
        "VID: 10",
    ] {
        assert!(verified.contains(fact), "{fact}\n{console}");
    }
    // Nobody confirmed the other primary port.
    assert!(part("back").trim_end().ends_with("eth1"), "{console}");
}
