//! The kernel's network, thin and synchronous: addresses with a lease, links, VRRP sockets, gratuitous ARP.
//!
//! Every module is one kernel interface and holds no policy: who should have which address is decided elsewhere.
//!
//! | module | kernel interface |
//! |---|---|
//! | [`route`] | an rtnetlink socket for requests; [`link`] and [`address`] are what it is asked |
//! | [`paths`] | routes and rules of policy routing, ours and others' |
//! | [`dhcp_socket`] | UDP sockets of port 67 on one interface |
//! | [`monitor`] | the rtnetlink multicast groups: links and addresses as they change |
//! | [`vrrp_socket`] | raw sockets of protocol 112, IPv4 and IPv6 |
//! | [`vrrp_frame`] | packet sockets: adverts from and to virtual hardware addresses |
//! | [`arp`], [`neighbour`] | packet sockets, gratuitous ARP; unsolicited neighbour advertisements |
//! | [`address_probe`] | a packet socket, ARP probes for any address and the answers |
//! | [`conflict`] | packet sockets, probes for addresses and what others say |
//! | [`bfd_socket`] | UDP with the TTL of what came, for BFD |
//! | [`nft`] | the program `nft`: one transaction each |
//! | [`layer2`] | rtnetlink: bridges, VXLANs, bonds, VLANs and macvlans, wanted, planned, made and read back |
//! | [`gateway`], [`firewall`], [`accept`] | texts for it, and nothing else |
//! | [`conntrack`] | `ctnetlink`: connections that shall be forgotten |
//! | [`sockets`] | `NETLINK_SOCK_DIAG`: TCP connections of this machine |
//! | [`raw_socket`] | raw sockets that only send whole packets |
//! | [`forwarding`], [`forwarding6`] | `net.ipv4.conf.*.forwarding`; `net.ipv6.conf.*.forwarding`, `force_forwarding`, `accept_ra` |
//! | [`loopback`] | `net.ipv4.conf.all.arp_ignore` and `arp_announce` |
//! | [`clock`] | `CLOCK_BOOTTIME` |
//! | [`virtual_mac`] | rtnetlink and `/proc/sys`: macvlans with a virtual router's hardware address |
//! | [`realtime`] | `SCHED_FIFO` for the one thread that must not wait |

pub mod accept;
pub mod address;
pub mod address_probe;
pub mod arp;
pub mod bfd_socket;
pub mod clock;
pub mod conflict;
pub mod conntrack;
pub mod dhcp_socket;
mod error;
pub mod firewall;
pub mod forwarding;
pub mod forwarding6;
pub mod gateway;
pub mod icmp;
pub mod layer2;
pub mod link;
pub mod loopback;
pub mod monitor;
pub mod neighbour;
mod netlink;
pub mod nft;
pub mod paths;
pub mod raw_socket;
pub mod realtime;
pub mod route;
pub mod sockets;
pub mod virtual_mac;
pub mod vrrp_frame;
pub mod vrrp_socket;

pub use error::Error;
