//! TCP mode: one server for each connection.

use std::rc::Rc;

use relevo_proto::balance::Tried;

use crate::connect::connect;
use crate::local::Presence;
use crate::relay;
use crate::stream::Client;

/// Serves a client: finds a server that accepts, then carries bytes. If none does, the client sees a reset.
pub(crate) async fn serve(presence: Presence, mut client: Client) {
    let local = Rc::clone(&presence.local);
    let pool = Rc::clone(&local.pool);
    let backend = &pool.backend;
    local.counters().requests.add();
    let turn = backend.next_turn();
    let mut tried = Tried::new();
    let mut fallback = backend.fallback();
    while !presence.is_over() {
        let chosen = backend.choose(turn, &tried).or_else(|| fallback.take());
        let Some((number, server)) = chosen.and_then(|number| Some((number, pool.server(number)?))) else {
            break;
        };
        server.counters().requests.add();
        server.counters().running.up();
        presence.slot.set_target(Some(server.server.id));
        let ended = match connect(&presence, server.server.at, backend.config.timeouts.connect).await {
            Ok(mut stream) => {
                let ended = relay::run(&presence, local.tunnel(&pool), &mut client, &mut stream).await;
                if ended == relay::Ended::Broken {
                    stream.reset();
                }
                Some(ended)
            }
            Err(_) => None,
        };
        presence.slot.set_target(None);
        server.counters().running.down();
        match ended {
            Some(relay::Ended::Both) => return client.close(),
            Some(relay::Ended::Broken) => return client.reset(),
            None => server.failed(),
        }
        if !tried.add(number) {
            break;
        }
    }
    local.counters().errors.add();
    client.reset();
}
