//! Connections that the userspace engine has when the kernel begins to carry their service: they stay where they are.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use relevo_proto::flows::{Front, TABLE};

/// Connections in one line of a text.
const LINE: usize = 512;
/// An established connection, in `/proc/net/tcp`.
const ESTABLISHED: &str = "01";

/// What is added to a transaction so that these connections are pinned to this machine. IPv4 only: of an IPv6 address a pin
/// has the kernel's hash, and the first packet of such a connection is reset.
pub(super) fn pins(front: &Front, table: &str) -> String {
    let mut text = String::new();
    let peers: Vec<String> = table
        .lines()
        .filter_map(connection)
        .filter(|(local, _)| *local == front.at)
        .map(|(_, peer)| format!("{} . {} timeout 3600s : {}", peer.ip(), peer.port(), front.at.ip()))
        .collect();
    for line in peers.chunks(LINE) {
        let _ = writeln!(
            text,
            "add element {} {TABLE} pin_{} {{ {} }}",
            front.family(),
            front.name,
            line.join(", ")
        );
    }
    text
}

/// Both ends of an established connection, from a line of `/proc/net/tcp`.
fn connection(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut words = line.split_whitespace().skip(1);
    let (local, peer, state) = (words.next()?, words.next()?, words.next()?);
    (state == ESTABLISHED).then_some(())?;
    Some((end(local)?, end(peer)?))
}

fn end(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let ip = u32::from_str_radix(ip, 16).ok()?;
    // The kernel prints the four bytes of the network as a number of the machine.
    let ip = IpAddr::V4(Ipv4Addr::from(ip.to_ne_bytes()));
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_established_connections_of_the_front_are_adopted() {
        let front = Front {
            name: "shop".to_owned(),
            udp: false,
            at: "192.0.2.1:80".parse().unwrap(),
            pool: "shop".to_owned(),
            key: relevo_proto::flows::Key::Connection,
            inside: Vec::new(),
            idle: std::time::Duration::from_secs(300),
            servers: Vec::new(),
            form: relevo_proto::flows::Form::Nat,
            cut: Vec::new(),
            synproxy: None,
            closing: false,
        };
        let local = if cfg!(target_endian = "little") { "010200C0:0050" } else { "C0000201:0050" };
        let peer = if cfg!(target_endian = "little") { "070200C0:9C40" } else { "C0000207:9C40" };
        let table = format!(
            "  sl  local_address rem_address   st tx_queue rx_queue\n   0: {local} 00000000:0000 0A 0\n   1: {local} {peer} 01 0\n   2: {local} {peer} 06 0\n   3: {peer} {local} 01 0\n   4: junk\n"
        );
        let wanted = "add element ip relevo_flows pin_shop { 192.0.2.7 . 40000 timeout 3600s : 192.0.2.1 }\n";
        assert_eq!(pins(&front, &table), wanted);
    }
}
