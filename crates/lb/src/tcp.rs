//! TCP mode: one server for each connection.

use std::net::SocketAddr;
use std::rc::Rc;

use crate::connect::connect;
use crate::http::exchange::not_connected;
use crate::local::Presence;
use crate::log::{Cause, Phase};
use crate::persist::Pick;
use crate::relay;
use crate::stream::Client;
use crate::trace::Trace;

/// Serves a client: finds a server that accepts, then carries bytes. If none does, the client sees a reset.
pub(crate) async fn serve(presence: Presence, client: Client, peer: SocketAddr) {
    let mut trace = Trace::default();
    trace.begin(&presence);
    carry(&presence, client, peer, &mut trace).await;
    trace.finish(&presence, peer, false);
}

async fn carry(presence: &Presence, mut client: Client, peer: SocketAddr, trace: &mut Trace) {
    let local = Rc::clone(&presence.local);
    let pool = Rc::clone(&local.pool);
    let backend = &pool.backend;
    local.counters().requests.add();
    let now = || local.worker.slots.time();
    let mut pick = Pick::new(backend, peer.ip(), None, now());
    trace.ends(Cause::Server, Phase::Connect);
    while !presence.is_over() {
        let chosen = pick.next(backend, now());
        let Some((number, server)) = chosen.and_then(|number| Some((number, pool.server(number)?))) else {
            break;
        };
        let running = server.begin(&pool);
        trace.chosen(&pool, &server);
        presence.slot.set_target(Some(server.server.id));
        let ended = match connect(presence, server.server.at, backend).await {
            Ok(mut stream) => {
                trace.connected(false);
                let ended = relay::run(presence, local.tunnel(&pool), &mut client, &mut stream).await;
                if let relay::Ended::Broken(cause) = ended {
                    stream.reset();
                    trace.ends(cause, Phase::Data);
                } else {
                    trace.mended();
                }
                Some(ended)
            }
            Err(error) => {
                trace.ends(not_connected(&error), Phase::Connect);
                server.counters().connect_errors.add();
                None
            }
        };
        presence.slot.set_target(None);
        drop(running);
        match ended {
            Some(relay::Ended::Both) => return client.close(),
            Some(relay::Ended::Broken(_)) => return client.reset(),
            None => server.failed(),
        }
        if !pick.failed(number) {
            break;
        }
    }
    local.counters().errors.add();
    client.reset();
}
