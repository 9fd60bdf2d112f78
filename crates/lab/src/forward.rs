//! Without root the host gets no interface in the lab: a listener on 127.0.0.1, opened before the lab's namespaces were
//! entered, stands in for it. Each connection it gets is carried to the first service's address.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use relevo_model::ClusterFile;

/// Most connections at a time; more are closed.
const CONNECTIONS_MAX: usize = 512;
/// Time for the virtual address to accept.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Opens the listener on the service's port, or any if that is taken or reserved.
pub(crate) fn listen(cluster: &ClusterFile) -> io::Result<Option<TcpListener>> {
    let Some(target) = target(cluster) else { return Ok(None) };
    let open = |port| TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    open(target.port()).or_else(|_| open(0)).map(Some)
}

/// Where the first service listens, if the host has a leg at all.
pub(crate) fn target(cluster: &ClusterFile) -> Option<SocketAddr> {
    cluster.lab.host.as_ref()?;
    Some(cluster.services.first()?.listen.first()?.at)
}

/// Forwards what the listener on the standard input accepts. Returns at once.
pub(crate) fn start(cluster: &ClusterFile) -> io::Result<()> {
    let Some(target) = target(cluster) else { return Ok(()) };
    let listener = TcpListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    let open = Arc::new(AtomicUsize::new(0));
    thread::Builder::new().name("forward".into()).spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else {
                // Out of descriptors, for one: let others finish.
                thread::sleep(Duration::from_millis(50));
                continue;
            };
            if open.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
                continue;
            }
            open.fetch_add(1, Ordering::Relaxed);
            let counter = Arc::clone(&open);
            let carried = thread::Builder::new().spawn(move || {
                let _ = carry(&client, target);
                counter.fetch_sub(1, Ordering::Relaxed);
            });
            if carried.is_err() {
                open.fetch_sub(1, Ordering::Relaxed);
            }
        }
    })?;
    Ok(())
}

/// Carries bytes both ways until both sides have ended.
fn carry(client: &TcpStream, target: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect_timeout(&target, CONNECT_WITHIN)?;
    thread::scope(|scope| {
        scope.spawn(|| one_way(client, &server));
        one_way(&server, client);
    });
    Ok(())
}

fn one_way(mut from: &TcpStream, mut to: &TcpStream) {
    if io::copy(&mut from, &mut to).is_err() {
        let _ = from.shutdown(Shutdown::Both);
    }
    let _ = to.shutdown(Shutdown::Write);
}
