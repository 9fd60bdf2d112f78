//! Tells clients that their connections died with their director, so that none waits for bytes that never come; see
//! [`relevo_proto::moves::tickle`].
//!
//! What answers them is this node's kernel: it resets a connection that it does not know. One that it remembers as closed it does
//! not reset but contradict, and the client goes on waiting. That happens where this node had the addresses not long ago and the
//! client has used the port anew since (RFC 9293 section 3.10.7.4, TIME-WAIT). So what is remembered at these places is forgotten first.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use relevo_model::GroupName;
use relevo_net::raw_socket::RawSocket;
use relevo_net::sockets::{self, Closed};
use relevo_proto::moves::tickle;

/// When tickles go out.
const ATTEMPTS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(250),
    Duration::from_millis(1000),
    Duration::from_millis(3000),
    Duration::from_millis(8000),
];
/// Tickles that go out at once, and the time until the next ones.
const BURST: usize = 256;
const PAUSE: Duration = Duration::from_millis(5);

/// Tells them, on a thread. `places`: all of the group; `lost`: place and client of each connection that is known to have died.
pub(super) fn send(group: &GroupName, places: BTreeSet<SocketAddr>, lost: Vec<(SocketAddr, SocketAddr)>) {
    if !lost.is_empty() {
        tracing::info!(%group, connections = lost.len(), "tells clients that their connections died with their director");
    }
    let work = move || {
        let begun = std::time::Instant::now();
        let clients: HashSet<_> = lost.iter().copied().collect();
        let (awaited, others): (Vec<Closed>, Vec<Closed>) = sockets::closed(&places)
            .unwrap_or_else(|error| {
                tracing::debug!("closed connections are remembered: {}", crate::in_full(&error));
                Vec::new()
            })
            .into_iter()
            .partition(|closed| clients.contains(&(closed.local, closed.remote)));
        // There may be tens of thousands of others: who is told must not wait for them.
        forget(&awaited);
        if lost.is_empty() {
            forget(&others);
            return;
        }
        let socket = match RawSocket::open() {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!("clients are not told: {}", crate::in_full(&error));
                forget(&others);
                return;
            }
        };
        for (number, at) in (1u32..).zip(ATTEMPTS) {
            std::thread::sleep(at.saturating_sub(begun.elapsed()));
            for burst in lost.chunks(BURST) {
                for (at, client) in burst {
                    // Far from one another, so that not all of them can be within a window by chance.
                    if let Some(packet) = tickle::packet(*at, *client, number.wrapping_mul(0x4001_0001)) {
                        let _ = socket.send(&packet, *client);
                    }
                }
                std::thread::sleep(PAUSE);
            }
            if number == 1 {
                // Also for clients that nobody knows of: they send something sooner or later.
                forget(&others);
            }
        }
    };
    // Without a thread they find out by themselves.
    let _ = std::thread::Builder::new().name("moves-tickle".to_owned()).spawn(work);
}

fn forget(closed: &[Closed]) {
    match sockets::forget(closed) {
        Ok(forgotten) => tracing::debug!(forgotten, "closed connections that the kernel remembered"),
        Err(error) => tracing::debug!("closed connections are remembered: {}", crate::in_full(&error)),
    }
}
