//! A leg with `mac = "virtual"`: the interface that its addresses are on, made with the director and removed with it.
//!
//! It is switched on with the first address and off with the last. While it is on, the kernel gives all adverts to it that come
//! from the virtual hardware address, and only those; so it has a socket of its own, and both are heard.
//!
//! Adverts of who holds the addresses come from the virtual hardware address, so that switches know where it is. Claims, good-byes
//! and the last word of who gives way come from the interface's own, so that they do not look for it where it is not, yet or any more. So do adverts to single
//! peers, as keepalived's `vmac_xmit_base`: the announcements that are repeated while active tell the switches then.

use std::os::fd::{AsFd, BorrowedFd};

use relevo_model::cluster::MacSource;
use relevo_net::Error;
use relevo_net::link::Link;
use relevo_net::route::Route;
use relevo_net::virtual_mac::{self, VirtualLink};
use relevo_net::vrrp_frame::VirtualSocket;
use relevo_net::vrrp_socket::Hear;
use tracing::{info, warn};

use super::leg::Leg;
use super::setup;

/// The interface with its socket.
#[derive(Debug)]
pub(super) struct Virtual {
    pub(super) link: VirtualLink,
    pub(super) hardware: [u8; 6],
    pub(super) socket: VirtualSocket,
    /// It was not there before.
    pub(super) new: bool,
}

impl Virtual {
    /// Makes it over `base`, or takes the one that an earlier process left. `None`: the leg has none.
    ///
    /// # Errors
    /// See [`Route::virtual_link`].
    pub(super) fn make(setup: &setup::Leg, base: &Link, route: &mut Route) -> Result<Option<Self>, Error> {
        if setup.mac == MacSource::Interface {
            return Ok(None);
        }
        let hardware = virtual_mac::hardware(setup.family, setup.vrid);
        let name = virtual_mac::name(setup.family, setup.vrid, &base.name);
        let (link, new) = route.virtual_link(base, &name, hardware, &setup.owner)?;
        let socket = VirtualSocket::open(&link.link, hardware, setup.multicast)?;
        Ok(Some(Self { link, hardware, socket, new }))
    }
}

impl Leg {
    /// Looks whether the interface with the virtual hardware address is there; one that is not is made anew.
    ///
    /// # Errors
    /// As [`Virtual::make`].
    pub(super) fn look(&mut self, base: &Link, route: &mut Route) -> Result<(), Error> {
        if self.setup.mac == MacSource::Interface {
            return Ok(());
        }
        let present = route.virtual_links()?;
        if let Some(own) = &mut self.own
            && let Some(found) = present.iter().find(|found| found.link.index == own.link.link.index)
            && own.link.base == base.name
        {
            own.link.on = found.on;
            return Ok(());
        }
        if self.own.is_some() {
            warn!(network = %self.setup.network, "the interface with the virtual hardware address is gone: making another");
        }
        self.own = None;
        self.own = Virtual::make(&self.setup, base, route)?;
        Ok(())
    }

    /// The virtual hardware address, for people.
    pub(super) fn hardware(&self) -> Option<String> {
        self.own.as_ref().map(|own| own.hardware.map(|byte| format!("{byte:02x}")).join(":"))
    }

    /// The interface that the leg's addresses are put on.
    pub(super) fn place(&self) -> Option<&Link> {
        match self.setup.mac {
            MacSource::Interface => self.link(),
            MacSource::Virtual => self.own.as_ref().map(|own| &own.link.link),
        }
    }

    /// Switches the interface with the virtual hardware address on or off, if there is one and it is not so.
    ///
    /// # Errors
    /// See [`Route::switch_virtual`].
    pub(super) fn switch(&mut self, route: &mut Route, on: bool) -> Result<(), Error> {
        let Some(own) = &mut self.own else { return Ok(()) };
        if own.link.on != on {
            route.switch_virtual(&own.link, on)?;
            own.link.on = on;
        }
        Ok(())
    }

    /// Removes it; the leg is not used any more.
    pub(super) fn dismantle(&mut self, route: &mut Route) {
        let Some(own) = self.own.take() else { return };
        if let Err(error) = route.remove_virtual(&own.link) {
            warn!(network = %self.setup.network, error = super::chain(&error), "not removed");
        }
    }

    /// One of its sockets: that of the virtual hardware address, or the interface's.
    pub(super) fn hearing(&mut self, own: bool) -> Option<&mut dyn Hear> {
        if own {
            return self.own.as_mut().map(|own| -> &mut dyn Hear { &mut own.socket });
        }
        self.socket.as_mut().map(|socket| -> &mut dyn Hear { socket })
    }

    /// Both, to wait for.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.socket.iter().map(AsFd::as_fd).chain(self.own.iter().map(|own| own.socket.as_fd()))
    }
}

/// Removes interfaces that an earlier process of this node made and that no leg has.
pub(super) fn remove_leftovers<'a>(route: &mut Route, owner: &str, legs: impl Iterator<Item = &'a Leg>) {
    let used: Vec<u32> = legs.filter_map(|leg| leg.own.as_ref()).map(|own| own.link.link.index).collect();
    let present = route.virtual_links().unwrap_or_default();
    for left in present.iter().filter(|left| left.owner == owner && !used.contains(&left.link.index)) {
        match route.remove_virtual(left) {
            Ok(()) => info!("removed the interface {}, left by an earlier process", left.link.name),
            Err(error) => warn!(error = super::chain(&error), "leftover stays"),
        }
    }
}

/// Interfaces that were made for a director that does not start: removed when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Undo {
    made: Vec<VirtualLink>,
}

impl Undo {
    /// Notes what is new.
    pub(super) fn note(&mut self, leg: &Leg) {
        self.made.extend(leg.own.iter().filter(|own| own.new).map(|own| own.link.clone()));
    }

    /// The director starts.
    pub(super) fn forget(&mut self) {
        self.made.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if self.made.is_empty() {
            return;
        }
        let Ok(mut route) = Route::open() else { return };
        for link in &self.made {
            if let Err(error) = route.remove_virtual(link) {
                warn!(error = super::chain(&error), "not removed");
            }
        }
    }
}
