//! How a machine treats addresses of its loopback towards its neighbours: `net.ipv4.conf.all.arp_ignore` and
//! `arp_announce` (Documentation/networking/ip-sysctl.rst), of the network namespace of the calling thread. IPv6 needs
//! nothing: neighbours are told of the addresses of their own interface alone (RFC 4861 section 7.2.3).

use std::fs;
use std::path::PathBuf;

use crate::Error;

/// The index of the loopback interface, in every network namespace.
pub const INDEX: u32 = 1;

/// A setting, and the least value with which neighbours never hear of the loopback's addresses.
pub const SILENT: [(&str, u8); 2] = [("arp_ignore", 1), ("arp_announce", 2)];

/// The value of one of them.
///
/// # Errors
/// [`Error::Kernel`]: it cannot be read.
pub fn value(name: &str) -> Result<u8, Error> {
    let doing = || format!("read net.ipv4.conf.all.{name}");
    let text = fs::read_to_string(path(name)).map_err(|source| Error::kernel(doing(), source))?;
    text.trim().parse().map_err(|error| Error::kernel(doing(), std::io::Error::other(error)))
}

/// Gives one of them a value.
///
/// # Errors
/// [`Error::Permission`] without `CAP_NET_ADMIN`; [`Error::Kernel`] where `/proc/sys` cannot be written, as in containers.
pub fn set(name: &str, value: u8) -> Result<(), Error> {
    let doing = format!("set net.ipv4.conf.all.{name} = {value}");
    fs::write(path(name), value.to_string()).map_err(|source| Error::kernel(doing, source))
}

fn path(name: &str) -> PathBuf {
    ["/proc/sys/net/ipv4/conf/all", name].iter().collect()
}
