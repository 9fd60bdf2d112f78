//! Tells clients that their connections died with their director, so that none waits for bytes that never come; see
//! [`relevo_proto::moves::tickle`].
//!
//! What answers them is this node's kernel: it resets a connection that it does not know. One that it remembers as closed it does
//! not reset but contradict, and the client goes on waiting. That happens where this node had the addresses not long ago and the
//! client has used the port anew since (RFC 9293 section 3.10.7.4, TIME-WAIT). So what is remembered at these places is forgotten: what
//! concerns those that are told first of all, the rest while they are.

use std::collections::BTreeSet;
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
/// Closed connections that are forgotten at once, and longer than that takes.
const FORGOTTEN: usize = 500;
const FORGETTING: Duration = Duration::from_millis(50);

/// Tells them, on a thread. `places`: all of the group; `lost`: place and client of each connection that is known to have died.
pub(super) fn send(group: &GroupName, places: BTreeSet<SocketAddr>, lost: Vec<(SocketAddr, SocketAddr)>) {
    if !lost.is_empty() {
        tracing::info!(%group, connections = lost.len(), "tells clients that their connections died with their director");
    }
    let work = move || {
        let begun = std::time::Instant::now();
        let awaited = lost.iter().copied().collect();
        let [awaited, others] = sockets::closed(&places, &awaited).unwrap_or_else(|error| {
            tracing::debug!("closed connections are remembered: {}", crate::in_full(&error));
            [Vec::new(), Vec::new()]
        });
        forget(&awaited);
        // For clients that nobody knows of: they send something sooner or later.
        let mut others = others.chunks(FORGOTTEN);
        tell(&lost, |until| {
            // There may be tens of thousands of them: who is told must not wait for that.
            while begun.elapsed() + FORGETTING < until
                && let Some(some) = others.next()
            {
                forget(some);
            }
            std::thread::sleep(until.saturating_sub(begun.elapsed()));
        });
        others.for_each(forget);
    };
    // Without a thread they find out by themselves.
    let _ = std::thread::Builder::new().name("moves-tickle".to_owned()).spawn(work);
}

/// Sends the tickles; `wait` waits until so long after the beginning.
fn tell(lost: &[(SocketAddr, SocketAddr)], mut wait: impl FnMut(Duration)) {
    if lost.is_empty() {
        return;
    }
    let socket = match RawSocket::open() {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!("clients are not told: {}", crate::in_full(&error));
            return;
        }
    };
    for (number, at) in (1u32..).zip(ATTEMPTS) {
        wait(at);
        for burst in lost.chunks(BURST) {
            for (at, client) in burst {
                // Far from one another, so that not all of them can be within a window by chance.
                if let Some(packet) = tickle::packet(*at, *client, number.wrapping_mul(0x4001_0001)) {
                    let _ = socket.send(&packet, *client);
                }
            }
            std::thread::sleep(PAUSE);
        }
    }
}

fn forget(closed: &[Closed]) {
    match sockets::forget(closed) {
        Ok(forgotten) => tracing::debug!(forgotten, "closed connections that the kernel remembered"),
        Err(error) => tracing::debug!("closed connections are remembered: {}", crate::in_full(&error)),
    }
}
