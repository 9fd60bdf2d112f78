//! What a director is for a network besides its addresses: the way out, and a door that only nodes may open.

use serde::Serialize;

use super::Family;
use crate::name::{AddressName, GatewayName, GroupName, NetworkName};

/// A way from one network to another through the active director, `[gateway]` or `[gateway.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// Its name; `main` for the only one of a file.
    pub name: GatewayName,
    /// The network whose machines use it.
    pub from: NetworkName,
    /// The network that they get to.
    pub to: NetworkName,
    /// The group whose addresses they use: the way is open where these are.
    pub group: GroupName,
    /// What it is in each family that it forwards: at least one, IPv4 first.
    pub ways: Vec<GatewayWay>,
}

/// A gateway in one address family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GatewayWay {
    /// The family.
    pub family: Family,
    /// The virtual address of the group on `from` that these machines have as their router.
    pub router: AddressName,
    /// The virtual address of the group on `to` that packets leave under; `None`: their own.
    pub source: Option<AddressName>,
    /// Whether machines on `to` may open connections to those on `from`.
    pub inbound: bool,
}

impl Gateway {
    /// What it is in a family; `None`: it does not forward it.
    pub fn way(&self, family: Family) -> Option<&GatewayWay> {
        self.ways.iter().find(|way| way.family == family)
    }
}

/// Packets that are kept out, `[firewall]`. Without the table nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Firewall {
    /// Whether the cluster's own ports are only for its nodes.
    pub cluster_ports: bool,
}
