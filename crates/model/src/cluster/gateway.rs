//! What a director is for a network besides its addresses: the way out, and a door that only nodes may open.

use serde::Serialize;

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
    /// Whether what goes to `to` leaves under a virtual address there.
    pub masquerade: bool,
    /// The virtual address of `group` on `from` that these machines have as their router.
    pub router: AddressName,
    /// The virtual address of `group` on `to` that masqueraded packets come from.
    pub source: Option<AddressName>,
}

/// Packets that are kept out, `[firewall]`. Without the table nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Firewall {
    /// Whether the cluster's own ports are only for its nodes.
    pub cluster_ports: bool,
}
