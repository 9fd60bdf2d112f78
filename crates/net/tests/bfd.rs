//! BFD's sockets in a network namespace of the test's own thread.

#![allow(clippy::unwrap_used, reason = "tests: a failure is a panic")]

use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use relevo_net::bfd_socket::{BfdSender, BfdSocket};
use relevo_net::route::Route;

#[test]
fn lab_bfd_is_heard_with_its_ttl_in_both_families() {
    assert!(nix::unistd::geteuid().is_root(), "lab tests make network namespaces: run them as root");
    let inside = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of our own");
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        let links = Route::open().unwrap().links().unwrap();
        let link = links.iter().find(|link| link.name == "lo").unwrap();
        for own in ["127.0.0.1", "::1"] {
            let own: IpAddr = own.parse().unwrap();
            let socket = BfdSocket::open(link, own, 3784).unwrap();
            let sender = BfdSender::open(link, own, 49_152..=49_160).unwrap();
            sender.send(own, 3784, &[7; 24]).unwrap();
            let deadline = Instant::now() + Duration::from_secs(5);
            let mut buffer = [0; 64];
            let heard = loop {
                match socket.receive(&mut buffer) {
                    Some(heard) => break heard,
                    None => assert!(Instant::now() < deadline, "{own}: nothing came"),
                }
            };
            assert_eq!(heard, (own, 255, 24));
        }
    };
    std::thread::spawn(inside).join().unwrap();
}
