//! Whether the kernel forwards IPv4 packets that come in on an interface: `net.ipv4.conf.NAME.forwarding`
//! (Documentation/networking/ip-sysctl.rst), of the network namespace of the calling thread.

use std::fs;
use std::path::PathBuf;

use crate::Error;

/// Whether packets that come in there are forwarded.
///
/// # Errors
/// [`Error::Kernel`]: there is no such interface.
pub fn is_on(interface: &str) -> Result<bool, Error> {
    let text = fs::read_to_string(path(interface))
        .map_err(|source| Error::kernel(format!("see whether {interface} forwards packets"), source))?;
    Ok(text.trim() != "0")
}

/// Turns it on or off. Returns whether that changed anything.
///
/// # Errors
/// [`Error::Permission`] without `CAP_NET_ADMIN`; [`Error::Kernel`] where `/proc/sys` cannot be written, as in containers.
pub fn set(interface: &str, on: bool) -> Result<bool, Error> {
    if is_on(interface)? == on {
        return Ok(false);
    }
    let doing = format!("set net.ipv4.conf.{interface}.forwarding = {}", i32::from(on));
    fs::write(path(interface), if on { "1" } else { "0" }).map_err(|source| Error::kernel(doing, source))?;
    Ok(true)
}

fn path(interface: &str) -> PathBuf {
    ["/proc/sys/net/ipv4/conf", interface, "forwarding"].iter().collect()
}
