//! Who listens already where a service wants to listen.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use relevo_model::cluster::Mode;

use super::{Findings, Patient};

/// A socket that listens, as `/proc/net` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listener {
    at: SocketAddr,
    inode: u64,
}

pub(super) fn look(patient: Patient<'_>, findings: &mut Findings) {
    let tcp = [listeners("tcp", "0A"), listeners("tcp6", "0A")].concat();
    let udp = [listeners("udp", "07"), listeners("udp6", "07")].concat();
    let owners = owners();
    let own = patient.status.map(|status| status.pid);
    let mut wanted: Vec<(String, SocketAddr, bool)> = Vec::new();
    for service in &patient.cluster.services {
        for listen in &service.listen {
            wanted.push((format!("service {}", service.name), listen.at, service.mode == Mode::Udp));
        }
    }
    if let Some(stats) = &patient.cluster.stats {
        wanted.extend(stats.listen.iter().map(|at| ("the statistics page".to_owned(), *at, false)));
    }
    let mut free = 0;
    for (what, at, is_udp) in wanted {
        let there = if is_udp { &udp } else { &tcp };
        let other = there.iter().filter(|one| collides(one.at, at)).find_map(|one| {
            let owner = owners.get(&one.inode);
            (owner.map(|(pid, _)| *pid) != own || own.is_none()).then_some((one, owner))
        });
        match other {
            None => free += 1,
            Some((listener, owner)) => {
                let who = owner.map_or_else(
                    || "another program".to_owned(),
                    |(pid, name)| format!("{name} (pid {pid})"),
                );
                let stop = owner.map_or_else(
                    || format!("find it: ss -lntup 'sport = :{}'", at.port()),
                    |(pid, _)| format!("stop it (its unit: systemctl status {pid})"),
                );
                findings.bad(
                    "ports",
                    format!("{what} wants {at}, and {who} listens on {}", listener.at),
                    format!("{stop}, let it listen on another address, or change `listen`"),
                );
            }
        }
    }
    if free > 0 {
        let are = if free == 1 { "port that services want is" } else { "ports that services want are" };
        findings.good("ports", format!("{free} {are} free, or this node's own"));
    }
}

/// Whether one socket keeps another one from listening.
fn collides(there: SocketAddr, wanted: SocketAddr) -> bool {
    let overlap = there.ip().is_unspecified() || wanted.ip().is_unspecified() || there.ip() == wanted.ip();
    // A socket of all IPv6 addresses usually takes the IPv4 ones as well.
    let family = there.is_ipv4() == wanted.is_ipv4() || (there.is_ipv6() && there.ip().is_unspecified());
    there.port() == wanted.port() && overlap && family
}

fn listeners(table: &str, state: &str) -> Vec<Listener> {
    let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
    text.lines().skip(1).filter_map(|line| listener(line, state)).collect()
}

/// A row of `/proc/net/tcp` and its like (proc(5)).
fn listener(line: &str, state: &str) -> Option<Listener> {
    let mut words = line.split_whitespace();
    let at = words.nth(1)?;
    let (ip, port) = at.split_once(':')?;
    if words.nth(1)? != state {
        return None;
    }
    let inode = words.nth(5)?.parse().ok()?;
    Some(Listener { at: SocketAddr::new(ip_of(ip)?, u16::from_str_radix(port, 16).ok()?), inode })
}

/// Words of four bytes in the machine's order, in hexadecimal.
fn ip_of(hex: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = hex
        .as_bytes()
        .chunks(8)
        .map(|word| Some(u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?.to_ne_bytes()))
        .collect::<Option<_>>()?;
    match words.as_slice() {
        [one] => Some(IpAddr::V4(Ipv4Addr::from(*one))),
        four => {
            let bytes: [u8; 16] = four.concat().try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
    }
}

/// The process of each socket, as far as they may be seen.
fn owners() -> BTreeMap<u64, (u32, String)> {
    let mut owners = BTreeMap::new();
    let Ok(processes) = fs::read_dir("/proc") else { return owners };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        for file in files.flatten() {
            let Ok(target) = fs::read_link(file.path()) else { continue };
            let target = target.to_string_lossy();
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            if let Some(inode) = inode.and_then(|inode| inode.parse().ok()) {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                owners.insert(inode, (pid, name.trim().to_owned()));
            }
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_proc_are_read() {
        let row = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3141 1 0000 100 0 0 10 0";
        assert_eq!(
            listener(row, "0A"),
            Some(Listener { at: "127.0.0.1:8080".parse().unwrap(), inode: 3141 })
        );
        assert_eq!(listener(row, "07"), None);
        let row = "   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 42 1 0";
        assert_eq!(listener(row, "0A").map(|one| one.at), Some("[::1]:80".parse().unwrap()));
        assert_eq!(listener("", "0A"), None);
    }

    #[test]
    fn who_is_in_the_way_of_whom() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(collides(at("0.0.0.0:80"), at("10.0.0.1:80")));
        assert!(collides(at("[::]:80"), at("10.0.0.1:80")));
        assert!(collides(at("10.0.0.1:80"), at("0.0.0.0:80")));
        assert!(!collides(at("10.0.0.2:80"), at("10.0.0.1:80")));
        assert!(!collides(at("0.0.0.0:81"), at("10.0.0.1:80")));
        assert!(!collides(at("[::1]:80"), at("10.0.0.1:80")));
    }
}
