//! Watches which virtual addresses a node holds, from inside the node, as its kernel tells.
//!
//! It runs as `relevo drill watch` and prints one JSON line for each arrival and departure. The director refreshes
//! its address leases several times a second; a refresh is neither.
//!
//! A drill kills and freezes everything that runs in a director, and must go on seeing what the director's kernel
//! does meanwhile. A netlink socket belongs for good to the network namespace it was opened in, so the watch
//! opens its socket and then leaves the node's namespaces: it is no process of the node any more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, unshare};
use relevo_model::NodeName;
use relevo_net::clock;
use relevo_net::monitor::{Event, Monitor};
use relevo_net::route::Route;

use crate::report::Holding;

/// How soon it notices that it shall stop.
const TICK: Duration = Duration::from_millis(200);

/// What is watched.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the node is called in the events.
    pub node: NodeName,
    /// The addresses of interest; others are not reported.
    pub addresses: Vec<IpAddr>,
    /// Leave the node's namespaces once the socket is open.
    pub leave: bool,
}

/// Watches until `stopped` says so. The first events tell what is held at the beginning.
///
/// # Errors
/// The netlink socket cannot be opened or broke, or events were lost.
pub fn watch(
    options: &Options,
    mut sink: impl FnMut(&Holding),
    mut stopped: impl FnMut() -> bool,
) -> Result<()> {
    // First the subscription, then the table: nothing falls between them.
    let mut monitor = Monitor::open()?;
    let held = Route::open()?.addresses()?;
    if options.leave {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)
            .context("cannot leave the node's namespaces")?;
    }
    let mut holders = Holders::new(options);
    for address in held {
        holders.add(address.ip, address.index).iter().for_each(&mut sink);
    }
    while !stopped() {
        match monitor.next(TICK)? {
            Some(Event::AddressAdded(address)) => {
                holders.add(address.ip, address.index).iter().for_each(&mut sink)
            }
            Some(Event::AddressRemoved(address)) => {
                holders.remove(address.ip, address.index).iter().for_each(&mut sink);
            }
            Some(Event::Overrun) => {
                anyhow::bail!("the kernel told more than could be read: events were lost")
            }
            Some(Event::Link(_) | Event::LinkRemoved(_)) | None => {}
        }
    }
    Ok(())
}

/// The loopback interface is the first of each namespace. What is there is not held: a director that has given an address away goes
/// on with its connections under it, and no neighbour sees that.
const LOOPBACK: u32 = 1;

/// On which interfaces each address of interest is.
struct Holders<'a> {
    options: &'a Options,
    interfaces: BTreeMap<IpAddr, BTreeSet<u32>>,
}

impl<'a> Holders<'a> {
    fn new(options: &'a Options) -> Self {
        Self { options, interfaces: options.addresses.iter().map(|ip| (*ip, BTreeSet::new())).collect() }
    }

    fn add(&mut self, ip: IpAddr, interface: u32) -> Option<Holding> {
        if interface == LOOPBACK {
            return None;
        }
        let interfaces = self.interfaces.get_mut(&ip)?;
        let first = interfaces.is_empty();
        interfaces.insert(interface);
        first.then(|| self.event(ip, true))
    }

    fn remove(&mut self, ip: IpAddr, interface: u32) -> Option<Holding> {
        let interfaces = self.interfaces.get_mut(&ip)?;
        let last = interfaces.remove(&interface) && interfaces.is_empty();
        last.then(|| self.event(ip, false))
    }

    fn event(&self, ip: IpAddr, held: bool) -> Holding {
        Holding { at: clock::now(), node: self.options.node.clone(), ip, held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 16, 1, 254));

    fn options(addresses: Vec<IpAddr>) -> Options {
        Options { node: "bal1".into(), addresses, leave: false }
    }

    #[test]
    fn refreshes_and_other_addresses_are_no_events() {
        let options = options(vec![VIP]);
        let mut holders = Holders::new(&options);
        assert!(holders.add(IpAddr::V4(std::net::Ipv4Addr::new(172, 16, 1, 250)), 2).is_none());
        assert!(holders.add(VIP, LOOPBACK).is_none(), "nobody sees it");
        assert!(holders.add(VIP, 2).is_some_and(|event| event.held && event.ip == VIP));
        assert!(holders.add(VIP, 2).is_none());
        assert!(holders.remove(VIP, 2).is_some_and(|event| !event.held));
        assert!(holders.remove(VIP, 2).is_none());
    }

    #[test]
    fn an_address_on_two_interfaces_leaves_with_the_last() {
        let options = options(vec![VIP]);
        let mut holders = Holders::new(&options);
        assert!(holders.add(VIP, 2).is_some());
        assert!(holders.add(VIP, 3).is_none());
        assert!(holders.remove(VIP, 2).is_none());
        assert!(holders.remove(VIP, 3).is_some());
    }

    #[test]
    fn an_address_that_is_kept_on_the_loopback_is_not_held() {
        let mut events = Vec::new();
        watch(
            &options(vec![IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), VIP]),
            |event| events.push(event.clone()),
            || true,
        )
        .unwrap();
        assert_eq!(events.iter().map(|event| (event.ip, event.held)).collect::<Vec<_>>(), []);
    }
}
