//! Leases and the monitor against a real kernel, in a network namespace of the test's own thread.

#![allow(clippy::unwrap_used, reason = "tests: a failure is a panic")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use relevo_net::monitor::{Event, Monitor};
use relevo_net::route::Route;

const IP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 9);

/// Does something in a thread with a network namespace of its own, which ends with it.
fn alone(work: impl FnOnce() + Send + 'static) {
    assert!(nix::unistd::geteuid().is_root(), "lab tests make network namespaces: run them as root");
    let inside = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of our own");
        work();
    };
    std::thread::spawn(inside).join().unwrap();
}

fn loopback(route: &mut Route) -> u32 {
    route.links().unwrap().into_iter().find(|link| link.name == "lo").unwrap().index
}

#[test]
fn lab_lease_is_refreshed_and_runs_out() {
    alone(|| {
        let mut route = Route::open().unwrap();
        let index = loopback(&mut route);
        let mut monitor = Monitor::open().unwrap();
        let held = |route: &mut Route| {
            route.addresses().unwrap().into_iter().find(|address| address.ip == IpAddr::V4(IP))
        };

        // Refreshed for longer than its lifetime, it stays.
        for _ in 0..10 {
            route.hold(index, IP, 32, Some(Duration::from_millis(1900))).unwrap();
            std::thread::sleep(Duration::from_millis(250));
        }
        let address = held(&mut route).expect("it is refreshed");
        assert_eq!(address.prefix, 32);
        assert!(address.valid.unwrap() <= Duration::from_secs(1), "rounded down: {address:?}");

        // Not refreshed, the kernel removes it and says so.
        let begin = Instant::now();
        let removed = loop {
            match monitor.next(Duration::from_secs(10)).unwrap().expect("the lease ends") {
                Event::AddressRemoved(address) => break address,
                Event::AddressAdded(_) | Event::Link(_) | Event::LinkRemoved(_) | Event::Overrun => {}
            }
        };
        assert_eq!((removed.ip, removed.index), (IpAddr::V4(IP), index));
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        assert_eq!(held(&mut route), None);
    });
}

#[test]
fn lab_lease_can_be_given_back_and_what_is_gone_is_no_error() {
    alone(|| {
        let mut route = Route::open().unwrap();
        let index = loopback(&mut route);
        route.hold(index, IP, 32, None).unwrap();
        assert!(route.release(index, IP, 32).unwrap());
        assert!(!route.release(index, IP, 32).unwrap());
        assert!(!route.release(4711, IP, 32).unwrap());
        let error = route.hold(4711, IP, 32, None).unwrap_err();
        assert_eq!(error.to_string(), "cannot put 10.99.0.9/32 on interface 4711");
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENODEV));
    });
}

#[test]
fn lab_monitor_says_when_it_lost_changes() {
    alone(|| {
        let mut route = Route::open().unwrap();
        let index = loopback(&mut route);
        let mut monitor = Monitor::open().unwrap();
        for round in 0..40_000_u32 {
            let ip = Ipv4Addr::from(0x0a63_0001 + (round / 2) % 4096);
            if round % 2 == 0 {
                route.hold(index, ip, 32, None).unwrap();
            } else {
                route.release(index, ip, 32).unwrap();
            }
        }
        let mut overrun = false;
        while let Some(event) = monitor.next(Duration::ZERO).unwrap() {
            overrun |= event == Event::Overrun;
        }
        assert!(overrun, "40,000 changes do not fit into the socket's buffer");
        // It goes on afterwards.
        route.hold(index, IP, 32, None).unwrap();
        let event = monitor.next(Duration::from_secs(10)).unwrap();
        assert!(matches!(event, Some(Event::AddressAdded(address)) if address.ip == IpAddr::V4(IP)));
    });
}
