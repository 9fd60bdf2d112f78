//! TCP mode: one server for each connection.

use std::rc::Rc;

use crate::connect::connect;
use crate::relay;
use crate::stream::Client;
use crate::worker::Presence;
use relevo_proto::balance::Tried;

/// Serves a client: finds a server that accepts, then carries bytes. If none does, the client sees a reset.
pub(crate) async fn serve(presence: Presence, mut client: Client) {
    let local = Rc::clone(&presence.local);
    let shared = &local.shared;
    local.counters().requests.add();
    let turn = shared.next_turn();
    let mut tried = Tried::new();
    let mut fallback = shared.pool.fallback.map(|_| shared.fallback());
    loop {
        let chosen = shared.choose(&shared.table.load(), turn, &tried);
        let Some((server, at)) =
            chosen.or_else(|| fallback.take()).and_then(|server| Some((server, shared.at(server)?)))
        else {
            break;
        };
        local.server_counters(server).requests.add();
        local.server_counters(server).running.up();
        presence.slot.set_target(Some((shared.index, server)));
        let connected = connect(&presence, at).await;
        let ended = match connected {
            Ok(mut stream) => {
                let ended = relay::run(&presence, &mut client, &mut stream).await;
                if ended == relay::Ended::Broken {
                    stream.reset();
                }
                Some(ended)
            }
            Err(_) => None,
        };
        presence.slot.set_target(None);
        local.server_counters(server).running.down();
        match ended {
            Some(relay::Ended::Both) => return client.close(),
            Some(relay::Ended::Broken) => return client.reset(),
            None => local.server_failed(server),
        }
        if !tried.add(server) {
            break;
        }
    }
    local.counters().errors.add();
    client.reset();
}
