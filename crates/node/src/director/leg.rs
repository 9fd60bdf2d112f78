//! A group's part on one network, in one family: the interface, the VRRP socket on it, and whether both can be used.

use std::net::IpAddr;
use std::time::Duration;

use relevo_model::{GroupName, Time};
use relevo_net::arp::ArpSocket;
use relevo_net::link::{Interface, Link};
use relevo_net::route::Route;
use relevo_net::vrrp_socket::VrrpSocket;
use tracing::{debug, info, warn};

use super::setup;
use super::virtual_mac::Virtual;

/// An interface with its socket, which come and go.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) setup: setup::Leg,
    /// The one that was found last.
    interface: Option<Interface>,
    /// Whether it was not found when last looked for.
    lost: bool,
    /// Where adverts come from, if it is known.
    pub(super) source: Option<IpAddr>,
    pub(super) socket: Option<VrrpSocket>,
    /// The interface with the virtual hardware address.
    pub(super) own: Option<Virtual>,
    /// Why it cannot be used; `None` while it can.
    pub(super) trouble: Option<String>,
    /// When to try again to open the socket.
    pub(super) retry: Option<Time>,
    drops: Drops,
}

impl Leg {
    /// Finds the interface and opens the socket.
    ///
    /// # Errors
    /// An interface that is not there, a missing permission. A link without carrier is none: it may come.
    pub(super) fn open(setup: setup::Leg, route: &mut Route) -> Result<Self, relevo_net::Error> {
        let interface = route.interface(setup.ip, setup.interface.as_deref())?;
        let mut leg = Self {
            setup,
            interface: None,
            lost: false,
            source: None,
            socket: None,
            own: None,
            trouble: None,
            retry: None,
            drops: Drops::default(),
        };
        leg.source = leg.source_on(route, &interface)?;
        if let Some(source) = leg.source {
            leg.socket = Some(VrrpSocket::open(&interface.link, source, leg.setup.audience())?);
        }
        leg.own = Virtual::make(&leg.setup, &interface.link, route)?;
        leg.trouble = leg.trouble_of(&interface.link);
        leg.interface = Some(interface);
        Ok(leg)
    }

    /// Whether adverts can go out and come in.
    pub(super) fn is_up(&self) -> bool {
        self.trouble.is_none()
    }

    /// The interface that was found last.
    pub(super) fn link(&self) -> Option<&Link> {
        self.interface.as_ref().map(|interface| &interface.link)
    }

    /// The interface's name, while it is there with our own address.
    pub(super) fn name(&self) -> Option<&str> {
        self.link().filter(|_| !self.lost).map(|link| link.name.as_str())
    }

    /// Looks at the kernel's tables again. An interface that was made anew gets a new socket.
    pub(super) fn refresh(&mut self, route: &mut Route, now: Time) {
        self.retry = None;
        match route.interface(self.setup.ip, self.setup.interface.as_deref()) {
            Ok(found) => self.take(route, found, now),
            Err(error) => {
                // The interface stays known: it may be there still without our own address, and what is held on it
                // must come off.
                if !self.lost {
                    warn!(network = %self.setup.network, "lost the interface: {error}");
                }
                self.lost = true;
                self.socket = None;
                self.trouble = Some(error.to_string());
            }
        }
    }

    /// Where adverts come from on this interface; `None`: there is no link-local address yet.
    fn source_on(&self, route: &mut Route, found: &Interface) -> Result<Option<IpAddr>, relevo_net::Error> {
        match self.setup.source {
            Some(source) => Ok(Some(source)),
            None => Ok(route.link_local(found.link.index)?.map(IpAddr::V6)),
        }
    }

    fn trouble_of(&self, link: &Link) -> Option<String> {
        let no_source = || format!("{} has no link-local IPv6 address in use", link.name);
        trouble(link).or_else(|| self.source.is_none().then(no_source))
    }

    fn take(&mut self, route: &mut Route, found: Interface, now: Time) {
        self.lost = false;
        // What cannot be read is as it was; the monitor or the next look tells.
        let source = self.source_on(route, &found).unwrap_or(self.source);
        let same = self.link().is_some_and(|link| link.index == found.link.index) && source == self.source;
        self.source = source;
        if source.is_none() {
            self.socket = None;
        }
        if let Some(source) = source
            && (!same || self.socket.is_none())
        {
            match VrrpSocket::open(&found.link, source, self.setup.audience()) {
                Ok(socket) => {
                    info!(network = %self.setup.network, interface = %found.link.name, "opened the VRRP socket");
                    self.socket = Some(socket);
                }
                Err(error) => {
                    warn!(network = %self.setup.network, error = super::chain(&error), "no VRRP socket");
                    self.socket = None;
                    self.trouble = Some(error.to_string());
                    self.retry = Some(now + RETRY);
                    self.interface = Some(found);
                    return;
                }
            }
        }
        self.trouble = self.trouble_of(&found.link);
        if let Err(error) = self.look(&found.link, route) {
            warn!(network = %self.setup.network, error = super::chain(&error), "no virtual hardware address");
            self.trouble = Some(error.to_string());
            self.retry = Some(now + RETRY);
        }
        self.interface = Some(found);
    }

    /// Sends an advert. What cannot be sent is only logged: the monitor tells what became of the link. `held`: the addresses
    /// are here, and with them the virtual hardware address.
    pub(super) fn send(&self, arp: &ArpSocket, to: IpAddr, bytes: &[u8], held: bool) {
        let Some(socket) = &self.socket else { return };
        let sent = match (&self.own, self.link(), self.source) {
            (Some(own), Some(link), Some(source)) if to.is_multicast() && held => {
                arp.advert(link, own.hardware, source, to, bytes)
            }
            (Some(_) | None, ..) => socket.send(to, bytes),
        };
        if let Err(error) = sent {
            debug!(network = %self.setup.network, error = super::chain(&error), "advert not sent");
        }
    }

    /// Logs a packet that was dropped: at most one line in ten seconds, with the number of those not shown.
    pub(super) fn dropped(&mut self, now: Time, group: &GroupName, source: &str, reason: &str) {
        if let Some(silent) = self.drops.show(now) {
            warn!(%group, network = %self.setup.network, silent, "dropped a VRRP packet of {source}: {reason}");
        }
    }
}

fn trouble(link: &Link) -> Option<String> {
    (!link.up).then(|| format!("the link of {} is down", link.name))
}

/// Lets one of many pass.
#[derive(Debug, Default)]
struct Drops {
    shown: Option<Time>,
    silent: u64,
}

impl Drops {
    /// Whether to show this one, and how many were not shown since the last.
    fn show(&mut self, now: Time) -> Option<u64> {
        if self.shown.is_some_and(|shown| now.since(shown) < QUIET) {
            self.silent += 1;
            return None;
        }
        self.shown = Some(now);
        Some(std::mem::take(&mut self.silent))
    }
}

const QUIET: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_wrong_packets_is_one_line_in_ten_seconds() {
        let mut drops = Drops::default();
        assert_eq!(drops.show(Time::from_millis(5)), Some(0));
        for _ in 0..7 {
            assert_eq!(drops.show(Time::from_millis(6)), None);
        }
        assert_eq!(drops.show(Time::from_millis(10_005)), Some(7));
        assert_eq!(drops.show(Time::from_millis(20_006)), Some(0));
    }
}
