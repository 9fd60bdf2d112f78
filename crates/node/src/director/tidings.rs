//! Telling a link's neighbours that an address is there, in either family.

use std::net::IpAddr;

use relevo_net::arp;
use relevo_net::link::Link;

use super::holder::Kernel;

/// Tells the neighbours on a link that an address is there.
pub(super) fn announce(kernel: &Kernel, link: &Link, ip: IpAddr) -> Result<(), relevo_net::Error> {
    let hardware = arp::hardware_of(link)?;
    match ip {
        IpAddr::V4(ip) => kernel.arp.announce(link, hardware, ip),
        IpAddr::V6(ip) => kernel.arp.advertise(link, hardware, ip, forwards6(&link.name)),
    }
}

/// Whether this machine forwards IPv6 that comes in on an interface; `false` also if that cannot be known.
fn forwards6(interface: &str) -> bool {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/forwarding");
    std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
}
