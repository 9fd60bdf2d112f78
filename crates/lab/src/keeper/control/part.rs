//! Machines of one network that do not hear each other, though their cables are in: a filter in the switches drops what one
//! sends before it goes into the other's port.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, anyhow};

use super::one_of;
use crate::inside::{EnterFrom, enter_command};
use crate::keeper::build::Built;
use crate::topology::CableUse;
use crate::{LabError, Result};

/// The table in a switch.
const TABLE: &str = "bridge relevo-lab-part";
/// Hardware addresses of virtual routers, IPv4 and IPv6 (RFC 9568 section 7.3), without the router's id.
const VIRTUAL: [&str; 2] = ["00:00:5e:00:01:00", "00:00:5e:00:02:00"];

/// A machine's plug.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plug {
    machine: String,
    /// Its own interface.
    interface: String,
    switch: String,
    /// The switch's port.
    port: String,
}

/// Parts machines of a network from each other; those parted before are as if they had not been.
pub(super) fn part(built: &mut Built, network: &str, machines: &[String]) -> Result<()> {
    let plugs = plugs(built, network)?;
    for machine in machines {
        one_of("machine on this network", machine, plugs.iter().map(|plug| plug.machine.as_str()))?;
    }
    let parted: BTreeSet<&String> = machines.iter().collect();
    if parted.len() < 2 {
        return Err(LabError::wrong("name at least two machines to part from each other"));
    }
    let members: Vec<&Plug> = plugs.iter().filter(|plug| parted.contains(&plug.machine)).collect();
    let mut hardware = BTreeMap::new();
    for plug in &members {
        hardware.insert(plug.machine.clone(), hardware_of(built, plug)?);
    }
    built.damage.parted.insert(network.to_owned(), machines.iter().cloned().collect());
    for switch in switches(built, network) {
        filter(built, &switch, &rules(&switch, &members, &hardware))?;
    }
    Ok(())
}

/// Lets all machines of a network hear each other.
pub(super) fn join(built: &mut Built, network: &str) -> Result<()> {
    plugs(built, network)?;
    for switch in switches(built, network) {
        filter(built, &switch, &format!("table {TABLE}\ndelete table {TABLE}\n"))?;
    }
    built.damage.parted.remove(network);
    Ok(())
}

fn switches(built: &Built, network: &str) -> Vec<String> {
    let own = built.cluster.lab.switches.iter().filter(|switch| switch.network.as_str() == network);
    own.map(|switch| switch.name.to_string()).collect()
}

fn plugs(built: &Built, network: &str) -> Result<Vec<Plug>> {
    one_of("network", network, built.cluster.networks.iter().map(|network| network.name.as_str()))?;
    let cables = built.topology.cables.iter().filter_map(|cable| match &cable.purpose {
        CableUse::Plug { network: own } if own == network => Some(Plug {
            machine: cable.a.space.clone()?,
            interface: cable.a.interface.clone(),
            switch: cable.b.space.clone()?,
            port: cable.b.interface.clone(),
        }),
        CableUse::Plug { .. } | CableUse::Link | CableUse::Uplink | CableUse::Host => None,
    });
    Ok(cables.collect())
}

fn hardware_of(built: &Built, plug: &Plug) -> Result<String> {
    let holder = built.pids.get(&plug.machine).copied().unwrap_or_default();
    let path = format!("/proc/{holder}/root/sys/class/net/{}/address", plug.interface);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.trim().to_owned())
}

/// The rules of one switch, for `nft`: they replace those that are there.
fn rules(switch: &str, members: &[&Plug], hardware: &BTreeMap<String, String>) -> String {
    let mut text = format!(
        "table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n  chain part {{\n    \
         type filter hook forward priority 0; policy accept;\n"
    );
    for own in members.iter().filter(|plug| plug.switch == switch) {
        let others = || members.iter().filter(|plug| plug.machine != own.machine);
        let addresses: Vec<&str> =
            others().filter_map(|plug| hardware.get(&plug.machine)).map(String::as_str).collect();
        let _ = writeln!(
            text,
            "    oifname \"{}\" ether saddr {{ {} }} counter drop",
            own.port,
            addresses.join(", ")
        );
        for address in VIRTUAL {
            let _ = writeln!(
                text,
                "    oifname \"{}\" ether saddr & ff:ff:ff:ff:ff:00 == {address} counter drop",
                own.port
            );
        }
    }
    text.push_str("  }\n}\n");
    text
}

fn filter(built: &Built, switch: &str, script: &str) -> Result<()> {
    let holder = built.pids.get(switch).copied().ok_or_else(|| anyhow!("no holder for {switch}"))?;
    let mut child = enter_command(EnterFrom::Keeper, holder, false)
        .args(["nft", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run `nft`")?;
    if let Some(mut input) = child.stdin.take() {
        // What it did not read it says itself.
        let _ = input.write_all(script.as_bytes());
    }
    let output = child.wait_with_output().context("cannot wait for `nft`")?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(LabError::wrong(format!(
        "the switch {switch} cannot filter: {words}; it needs the Debian package nftables, and a kernel with its bridge family"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_sends_does_not_go_into_the_others_port() {
        let plug = |machine: &str, switch: &str| Plug {
            machine: machine.to_owned(),
            interface: "public".to_owned(),
            switch: switch.to_owned(),
            port: machine.to_owned(),
        };
        let (a, b, c) = (plug("a", "left"), plug("b", "left"), plug("c", "right"));
        let hardware =
            ["a", "b", "c"].map(|name| (name.to_owned(), format!("02:00:00:00:00:0{name}"))).into();
        let left = rules("left", &[&a, &b, &c], &hardware);
        assert!(
            left.contains("oifname \"a\" ether saddr { 02:00:00:00:00:0b, 02:00:00:00:00:0c }"),
            "{left}"
        );
        assert!(
            left.contains("oifname \"b\" ether saddr & ff:ff:ff:ff:ff:00 == 00:00:5e:00:01:00"),
            "{left}"
        );
        assert!(!left.contains("oifname \"c\""), "{left}");
        assert!(rules("far", &[&a, &b, &c], &hardware).ends_with("policy accept;\n  }\n}\n"));
    }
}
