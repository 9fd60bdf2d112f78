//! What an observer sees: who holds the virtual address when, and which adverts are on the wire.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use relevo_model::Time;
use relevo_net::clock;
use relevo_net::monitor::{Event, Monitor};
use relevo_net::route::Route;
use relevo_net::vrrp_socket::{Audience, VrrpSocket};

use super::{VIP, World, wait_for};

/// An advert as the observer got it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advert {
    pub(crate) at: Time,
    pub(crate) source: IpAddr,
    pub(crate) priority: u8,
}

/// A change of a node's hold on the address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) at: Time,
    pub(crate) node: &'static str,
    pub(crate) holds: bool,
}

/// Watches the whole world from its making until it is dropped.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    adverts: Arc<Mutex<Vec<Advert>>>,
    changes: Arc<Mutex<Vec<Change>>>,
}

impl Watch {
    /// Begins to watch.
    pub(crate) fn new(world: &World) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let adverts = Arc::new(Mutex::new(Vec::new()));
        let changes = Arc::new(Mutex::new(Vec::new()));
        let mut threads = Vec::new();
        for node in ["a", "b"] {
            let monitor = world.enter(node, || Monitor::open().unwrap());
            let (stop, changes) = (Arc::clone(&stop), Arc::clone(&changes));
            threads.push(std::thread::spawn(move || watch_address(monitor, node, &stop, &changes)));
        }
        let socket = world.enter("c", || {
            let interface = Route::open().unwrap().interface(Ipv4Addr::new(10, 77, 0, 3), None).unwrap();
            VrrpSocket::open(&interface.link, interface.ip.into(), Audience::Group([224, 0, 0, 18].into()))
                .unwrap()
        });
        let (end, kept) = (Arc::clone(&stop), Arc::clone(&adverts));
        threads.push(std::thread::spawn(move || watch_adverts(socket, &end, &kept)));
        Self { stop, threads, adverts, changes }
    }

    /// All adverts from a source since a moment.
    pub(crate) fn adverts(&self, source: Ipv4Addr, since: Time) -> Vec<Advert> {
        let adverts = self.adverts.lock().unwrap();
        adverts.iter().copied().filter(|advert| advert.source == source && advert.at >= since).collect()
    }

    /// Waits for a node to get or lose the address after a moment; returns how long after.
    pub(crate) fn wait(&self, node: &str, holds: bool, since: Time) -> Duration {
        let mut found = None;
        wait_for(&format!("{node} {} {VIP}", if holds { "holds" } else { "does not hold" }), || {
            let changes = self.changes.lock().unwrap();
            found = changes.iter().find(|it| it.node == node && it.holds == holds && it.at >= since).copied();
            found.is_some()
        });
        found.unwrap().at.since(since)
    }

    /// The longest time that both held the address, since a moment until now.
    pub(crate) fn longest_overlap(&self, since: Time) -> Duration {
        let mut held = [None, None];
        let mut longest = Duration::ZERO;
        let mut changes = self.changes.lock().unwrap().clone();
        changes.sort_by_key(|change| change.at);
        for change in &changes {
            if let [Some(a), Some(b)] = held {
                longest = longest.max(change.at.since(since.max(a).max(b)));
            }
            held[usize::from(change.node == "b")] = change.holds.then_some(change.at);
        }
        if let [Some(a), Some(b)] = held {
            longest = longest.max(clock::now().since(since.max(a).max(b)));
        }
        longest
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn watch_address(mut monitor: Monitor, node: &'static str, stop: &AtomicBool, changes: &Mutex<Vec<Change>>) {
    let mut held = false;
    while !stop.load(Ordering::Relaxed) {
        let holds = match monitor.next(Duration::from_millis(50)).unwrap() {
            Some(Event::AddressAdded(address)) if address.ip == IpAddr::V4(VIP) => true,
            Some(Event::AddressRemoved(address)) if address.ip == IpAddr::V4(VIP) => false,
            _ => continue,
        };
        if holds != held {
            held = holds;
            changes.lock().unwrap().push(Change { at: clock::now(), node, holds });
        }
    }
}

fn watch_adverts(mut socket: VrrpSocket, stop: &AtomicBool, adverts: &Mutex<Vec<Advert>>) {
    while !stop.load(Ordering::Relaxed) {
        match socket.receive().unwrap() {
            Some(datagram) => {
                let priority = datagram.payload.get(2).copied().unwrap_or_default();
                adverts.lock().unwrap().push(Advert { at: clock::now(), source: datagram.source, priority });
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}
