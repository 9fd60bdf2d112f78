//! What clients notice, and what directors agree on.

mod exchange;
mod many;
mod words;

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable};
use relevo_model::ClusterFile;
use relevo_model::cluster::Mac;

use super::*;

/// A cluster of three directors, with these lines in `[dhcp.lan]`.
pub(super) fn cluster(lines: &str) -> ClusterFile {
    let text = format!(
        r#"
name = "test"
[network.lan]
subnet = "10.0.0.0/16"
[node.a]
roles = ["director"]
address.lan = "10.0.0.1"
[node.b]
roles = ["director"]
address.lan = "10.0.0.2"
[node.c]
roles = ["director"]
address.lan = "10.0.0.3"
[node.web1]
roles = ["server"]
address.lan = "10.0.1.5"
mac.lan = "52:54:00:00:00:05"
[address.inside]
network = "lan"
ip = "10.0.0.200"
[service.web]
listen = "inside:80"
servers = ["web1:80"]
[peers]
key = "/etc/relevo/peers.key"
[dhcp.lan]
{lines}
"#
    );
    let reading = relevo_model::read(&text);
    reading.cluster.unwrap_or_else(|| panic!("{:#?}", reading.diagnostics))
}

pub(super) fn settings(lines: &str, node: &str) -> Settings {
    let cluster = cluster(lines);
    Settings::new(&cluster, &cluster.dhcp[0], node).unwrap()
}

/// A message of a client with this hardware address.
pub(super) fn message(
    kind: MessageType,
    mac: Mac,
    xid: u32,
    ciaddr: Ipv4Addr,
    options: &[DhcpOption],
) -> Vec<u8> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(xid, ciaddr, none, none, none, &mac.0);
    message.set_opcode(Opcode::BootRequest);
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    for option in options {
        message.opts_mut().insert(option.clone());
    }
    message.to_vec().unwrap()
}

/// What a client is told: kind, address, all of it.
pub(super) fn told(bytes: &[u8]) -> (MessageType, Ipv4Addr, Message) {
    let message = Message::decode(&mut Decoder::new(bytes)).unwrap();
    assert_eq!(message.opcode(), Opcode::BootReply);
    (message.opts().msg_type().unwrap(), message.yiaddr(), message)
}

pub(super) fn option(message: &Message, code: OptionCode) -> Option<&DhcpOption> {
    message.opts().get(code)
}

pub(super) fn mac(number: u32) -> Mac {
    let [a, b, c, d] = number.to_be_bytes();
    Mac([2, 0, a, b, c, d])
}
