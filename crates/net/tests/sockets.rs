//! What the kernel remembers of closed connections, in a network namespace of the test's own thread.

#![allow(clippy::unwrap_used, reason = "tests: a failure is a panic")]

use std::collections::{BTreeSet, HashSet};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use relevo_net::sockets::{closed, connections, forget};

/// A namespace with a loopback interface, in a thread; it ends with it.
fn alone(work: impl FnOnce() + Send + 'static) {
    assert!(nix::unistd::geteuid().is_root(), "lab tests make network namespaces: run them as root");
    let inside = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of our own");
        let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        assert!(up.success());
        work();
    };
    std::thread::spawn(inside).join().unwrap();
}

/// A connection to the listener: both ends.
fn connect(listener: &TcpListener, at: SocketAddr) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(at).unwrap();
    (listener.accept().unwrap().0, client)
}

/// How many of them the kernel remembers at this port, whatever their state.
fn remembered(port: u16) -> usize {
    let output = std::process::Command::new("ss").args(["-Htn", "state", "time-wait"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let own = format!(":{port}");
    text.lines()
        .filter(|line| line.split_whitespace().nth(2).is_some_and(|local| local.ends_with(&own)))
        .count()
}

#[test]
fn lab_closed_connections_are_forgotten_and_no_others() {
    alone(|| {
        // A socket of IPv6 has clients of IPv4 too.
        for (listen, via) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1")] {
            let listener = TcpListener::bind(listen).unwrap();
            let port = listener.local_addr().unwrap().port();
            let at = SocketAddr::new(via.parse().unwrap(), port);
            let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
            let other_at = elsewhere.local_addr().unwrap();
            let close = |listener: &TcpListener, at| {
                let (served, mut client) = connect(listener, at);
                drop(served);
                assert_eq!(client.read(&mut [0]).unwrap(), 0);
            };
            (0..50).for_each(|_| close(&listener, at));
            close(&elsewhere, other_at);
            let (mut served, mut client) = connect(&listener, at);
            // This end has said all, and still hears.
            let (mut half, mut talker) = connect(&listener, at);
            half.shutdown(Shutdown::Write).unwrap();
            assert_eq!(talker.read(&mut [0]).unwrap(), 0);
            let deadline = Instant::now() + Duration::from_secs(10);
            while remembered(port) < 50 {
                assert!(Instant::now() < deadline, "{listen}: {}", remembered(port));
                std::thread::sleep(Duration::from_millis(10));
            }

            let places = BTreeSet::from([at]);
            let [none, all] = closed(&places, &HashSet::new()).unwrap();
            assert_eq!(
                (none.len(), all.len(), all.iter().all(|one| one.local == at)),
                (0, 50, true),
                "{listen}"
            );
            let awaited = all.iter().take(20).map(|one| (one.local, one.remote)).collect();
            let [first, others] = closed(&places, &awaited).unwrap();
            assert_eq!((first.len(), others.len()), (20, 30), "{listen}");
            assert_eq!(forget(&first).unwrap(), 20, "{listen}");
            assert_eq!(remembered(port), 30, "{listen}");
            // What is gone is gone.
            assert_eq!(forget(&all).unwrap(), 30, "{listen}");
            assert_eq!((remembered(port), remembered(other_at.port())), (0, 1), "{listen}");
            assert!(closed(&places, &awaited).unwrap().iter().all(Vec::is_empty));
            client.write_all(b"a").unwrap();
            served.read_exact(&mut [0]).unwrap();
            talker.write_all(b"b").unwrap();
            half.read_exact(&mut [0]).unwrap();
            assert_eq!(connections(&[port], true).unwrap().iter().filter(|one| one.local == at).count(), 2);
        }
    });
}
