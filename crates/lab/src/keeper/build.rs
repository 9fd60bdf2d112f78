//! Builds what the plan says: holders, cables, switches; then starts what the nodes run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, anyhow, bail};
use relevo_model::ClusterFile;

use super::jobs::Jobs;
use super::notify::Notify;
use super::{PROGRESS, say};
use crate::faults::Damage;
use crate::inside::{EnterFrom, PEERS_KEY, enter_command, stage};
use crate::registry::{Registry, Settings};
use crate::topology::{SpaceKind, Topology};
use crate::{LabError, Result};

/// A lab that stands, as its keeper knows it.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) cluster: ClusterFile,
    pub(super) topology: Topology,
    /// Holders by namespace.
    pub(super) pids: BTreeMap<String, i32>,
    pub(super) jobs: Jobs,
    pub(super) damage: Damage,
}

/// Builds the lab and starts what runs in it.
pub(super) fn build(registry: &Registry, settings: &Settings) -> Result<Built> {
    let text = fs::read_to_string(registry.cluster_file()).context("cannot read the cluster file")?;
    let Some(cluster) = relevo_model::read(&text).cluster else {
        return Err(LabError::wrong("the cluster file has mistakes: relevo check FILE shows them"));
    };
    let mut topology = Topology::plan(&cluster)?;
    fs::write(registry.folder().join("hosts"), hosts(&cluster)).context("cannot write the names of hosts")?;
    write_key(&registry.folder().join(PEERS_KEY)).context("cannot write a key")?;
    if settings.rootless {
        ip_batch(None, "link set dev lo up\n")?;
    }
    let count = topology.spaces.len();
    say(&format!("{PROGRESS}making {count} namespaces"))?;
    let notify = Notify::listen(registry)?;
    let pids = hold(registry, &topology)?;
    registry.write_spaces(&pids)?;
    say(&format!("{PROGRESS}laying {} cables", topology.cables.len()))?;
    ip_batch(None, &topology.commands_outside(&pids))?;
    if let Some(interface) = topology.host_interface() {
        let set = |key: &str, value: &str| {
            fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/{key}"), value).is_ok()
        };
        // The host learns nothing from routers of the lab.
        let _ = set("accept_ra", "0");
        let speaks_v6 = topology.host_speaks_v6();
        if !set("disable_ipv6", if speaks_v6 { "0" } else { "1" }) {
            topology.without_v6_on_host();
        }
    }
    configure(&topology, &pids)?;
    let jobs = Jobs::new(&cluster, registry, settings, &pids, notify)?;
    let mut built = Built { cluster, topology, pids, jobs, damage: Damage::default() };
    let nodes = built.jobs.nodes();
    say(&format!("{PROGRESS}starting {} nodes", nodes.len()))?;
    for node in nodes {
        built.jobs.start(&node)?;
    }
    Ok(built)
}

/// Makes the network as the damage wants it, in the switches concerned.
pub(super) fn apply_damage(built: &Built, switches: &[&str]) -> Result<()> {
    for name in switches {
        let mut text = String::new();
        for (interface, up) in built.topology.switch_interfaces(name, &built.damage) {
            let _ = writeln!(text, "link set dev {interface} {}", if up { "up" } else { "down" });
        }
        let holder = built.pids.get(*name).copied().ok_or_else(|| anyhow!("no holder for {name}"))?;
        ip_batch(Some(holder), &text)?;
    }
    Ok(())
}

/// Runs commands of `ip` or `bridge` in a switch.
pub(super) fn tune(built: &Built, switch: &str, tool: &str, commands: &str) -> Result<()> {
    if commands.is_empty() {
        return Ok(());
    }
    let holder = built.pids.get(switch).copied().ok_or_else(|| anyhow!("no holder for {switch}"))?;
    Ok(finish_batch(start_batch(tool, Some(holder), commands)?)?)
}

/// Takes the host's end of the host leg away, so that nobody has to wait for the kernel to do it.
pub(super) fn remove_host_leg(built: &Built) {
    if let Some(interface) = built.topology.host_interface() {
        let _ = ip_batch(None, &format!("link delete dev {interface}\n"));
    }
}

fn hold(registry: &Registry, topology: &Topology) -> Result<BTreeMap<String, i32>> {
    let mut children: Vec<(&str, Child)> = Vec::new();
    for space in &topology.spaces {
        let kind = match space.kind {
            SpaceKind::Node | SpaceKind::Client if topology.speaks_v6() => "machine6",
            SpaceKind::Node | SpaceKind::Client => "machine",
            SpaceKind::Switch => "switch",
        };
        let child = stage("hold")
            .arg(registry.folder())
            .args([space.name.as_str(), kind])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a holder")?;
        children.push((&space.name, child));
    }
    let mut pids = BTreeMap::new();
    for (name, mut child) in children {
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).context("cannot hear a holder")?;
        }
        match line.trim() {
            "ready" => pids.insert(name.to_owned(), i32::try_from(child.id()).context("no process id")?),
            "" => return Err(anyhow!("the holder of {name} ended; see keeper.log").into()),
            problem => return Err(anyhow!("{problem}").into()),
        };
    }
    Ok(pids)
}

/// Addresses, ports and everything up, in all namespaces at the same time.
fn configure(topology: &Topology, pids: &BTreeMap<String, i32>) -> Result<()> {
    ip_batch(None, &topology.commands_inside(None))?;
    for tool in ["ip", "bridge"] {
        let mut children = Vec::new();
        for (name, pid) in pids {
            let text = match tool {
                "ip" => topology.commands_inside(Some(name)),
                _ => topology.bridge_commands(name),
            };
            if !text.is_empty() {
                children.push((name, start_batch(tool, Some(*pid), &text)?));
            }
        }
        for (name, child) in children {
            finish_batch(child).with_context(|| format!("cannot configure {name}"))?;
        }
    }
    Ok(())
}

/// Runs commands of `ip` in one go, in the network that this holder holds or the keeper's own.
fn ip_batch(holder: Option<i32>, commands: &str) -> Result<()> {
    if commands.is_empty() {
        return Ok(());
    }
    finish_batch(start_batch("ip", holder, commands)?).map_err(|error| match error.to_string() {
        text if text.contains("Operation not permitted") => LabError::wrong(
            "this user may not make network interfaces here: run the lab as root of the machine or as an ordinary user; \
             in a container, start it with --privileged (or CAP_SYS_ADMIN and CAP_NET_ADMIN)",
        ),
        _ => LabError::Failed(error),
    })
}

fn start_batch(tool: &str, holder: Option<i32>, commands: &str) -> Result<Child> {
    let mut command = match holder {
        None => Command::new(tool),
        Some(pid) => {
            let mut command = enter_command(EnterFrom::Keeper, pid, false);
            command.arg(tool);
            command
        }
    };
    let mut child = command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| LabError::wrong(format!("cannot run `{tool}`: {error}; install iproute2")))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(commands.as_bytes()).with_context(|| format!("`{tool}` does not listen"))?;
    }
    Ok(child)
}

fn finish_batch(child: Child) -> anyhow::Result<()> {
    let output = child.wait_with_output().context("cannot wait for a command")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("the network cannot be made: {}", text.trim().replace('\n', "; "));
    }
    Ok(())
}

/// A key that the lab's directors share: nobody has to make one to try things.
fn write_key(path: &Path) -> std::io::Result<()> {
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(file, "{hex}")
}

/// The `/etc/hosts` of every node: all names of the cluster. A node's own address stands under its own name on its
/// first network; on the others under `NAME.NETWORK`.
fn hosts(cluster: &ClusterFile) -> String {
    let mut text = String::from("127.0.0.1 localhost\n");
    for node in &cluster.nodes {
        for (index, address) in node.addresses.iter().enumerate() {
            let plain = if index == 0 { format!(" {}", node.name) } else { String::new() };
            let _ = writeln!(text, "{} {}.{}{plain}", address.ip, node.name, address.network);
        }
    }
    for client in &cluster.lab.clients {
        let _ = writeln!(text, "{} {}", client.ip, client.name);
    }
    for address in &cluster.addresses {
        let _ = writeln!(text, "{} {}", address.ip, address.name);
    }
    text
}
