//! Looks whether the machine has room for the host leg: its address range must be free.

use std::net::IpAddr;
use std::process::Command;

use anyhow::Context as _;
use ipnet::IpNet;
use relevo_model::ClusterFile;
use serde::Deserialize;

use crate::topology::Topology;
use crate::{LabError, Result};

/// A line of `ip -json route`.
#[derive(Debug, Deserialize)]
struct Route {
    dst: String,
    #[serde(default)]
    dev: String,
}

/// A line of `ip -json address`.
#[derive(Debug, Deserialize)]
struct Interface {
    #[serde(default)]
    ifname: String,
    #[serde(default)]
    addr_info: Vec<Held>,
}

#[derive(Debug, Deserialize)]
struct Held {
    local: Option<IpAddr>,
}

/// Says what is in the way of the host leg.
pub(crate) fn check(cluster: &ClusterFile, topology: &Topology) -> Result<()> {
    let (Some(host), Some(interface)) = (&cluster.lab.host, topology.host_interface()) else { return Ok(()) };
    let Some(network) = cluster.network(&host.network) else { return Ok(()) };
    let interfaces: Vec<Interface> = ask(&["-json", "address"])?;
    let mut routes: Vec<Route> = ask(&["-json", "-4", "route"])?;
    routes.extend(ask::<Route>(&["-json", "-6", "route"])?);
    let six = network.subnet6.filter(|_| host.ip6.is_some()).map(IpNet::V6);
    for subnet in std::iter::once(IpNet::V4(network.subnet)).chain(six) {
        if let Some(problem) = in_the_way(subnet, interface, &interfaces, &routes) {
            return Err(LabError::wrong(format!(
                "{problem}: the lab's network {} ({subnet}) would hide it. Take another subnet in the cluster file, or end \
                 what uses it (relevo lab down)",
                network.name
            )));
        }
    }
    if std::path::Path::new("/sys/class/net").join(interface).exists() {
        return Err(LabError::wrong(format!(
            "this machine has an interface {interface} already: remove it (ip link delete {interface}), or give the \
             cluster another name"
        )));
    }
    Ok(())
}

fn in_the_way(subnet: IpNet, own: &str, interfaces: &[Interface], routes: &[Route]) -> Option<String> {
    for interface in interfaces.iter().filter(|interface| interface.ifname != own) {
        for ip in interface.addr_info.iter().filter_map(|held| held.local) {
            if subnet.contains(&ip) {
                return Some(format!("this machine has {ip} on {}", interface.ifname));
            }
        }
    }
    for route in routes.iter().filter(|route| route.dev != own && route.dst != "default") {
        let net =
            route.dst.parse::<IpNet>().ok().or_else(|| route.dst.parse::<IpAddr>().ok().map(IpNet::from));
        if net.is_some_and(|net| net.contains(&subnet) || subnet.contains(&net)) {
            return Some(format!("this machine has a route to {} by {}", route.dst, route.dev));
        }
    }
    None
}

fn ask<T: for<'a> Deserialize<'a>>(arguments: &[&str]) -> Result<Vec<T>> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .map_err(|error| LabError::wrong(format!("cannot run `ip`: {error}; install iproute2")))?;
    if output.stdout.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    Ok(serde_json::from_slice(&output.stdout).context("cannot understand what `ip -json` says")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(subnet: &str, address: &str, route: &str) -> Option<String> {
        let interfaces = [Interface {
            ifname: "eth0".into(),
            addr_info: vec![Held { local: Some(address.parse().unwrap()) }],
        }];
        let routes = [Route { dst: route.into(), dev: "eth0".into() }];
        in_the_way(subnet.parse().unwrap(), "relevo-s4", &interfaces, &routes)
    }

    #[test]
    fn what_overlaps_is_named() {
        assert_eq!(found("172.16.1.0/24", "192.0.2.2", "default"), None);
        assert_eq!(found("172.16.1.0/24", "192.0.2.2", "192.0.2.0/24"), None);
        assert_eq!(
            found("172.16.1.0/24", "172.16.1.9", "default").as_deref(),
            Some("this machine has 172.16.1.9 on eth0")
        );
        let wider = found("172.16.1.0/24", "192.0.2.2", "172.16.0.0/12");
        assert_eq!(wider.as_deref(), Some("this machine has a route to 172.16.0.0/12 by eth0"));
        assert!(found("172.16.0.0/16", "192.0.2.2", "172.16.3.7").is_some());
        assert_eq!(
            found("fd00:7::/64", "fd00:7::9", "default").as_deref(),
            Some("this machine has fd00:7::9 on eth0")
        );
        assert!(found("fd00:7::/64", "192.0.2.2", "fd00::/16").is_some());
        assert_eq!(found("fd00:7::/64", "fe80::1", "fe80::/64"), None);
    }
}
