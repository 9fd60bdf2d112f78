//! A connection for one request to a server that may speak HTTP/2.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use relevo_model::cluster::Protocol;

use super::NO_WEBSOCKETS;
use super::link::Link;
use crate::connect::{Opening, connect_offering, wait};
use crate::http::request::Request;
use crate::local::{LocalPool, LocalServer, Presence};
use crate::stream::ServerStream;
use crate::tls::Offer;

/// A stream of a connection that others use, or a connection of HTTP/1.1 where the server has chosen that; and whether it
/// was used before.
///
/// # Errors
/// As when a connection is made; [`NO_WEBSOCKETS`].
pub(crate) async fn find(
    presence: &Presence,
    pool: &LocalPool,
    server: &LocalServer,
    request: &Request,
) -> io::Result<(ServerStream, bool)> {
    let backend = &pool.backend;
    let tls = backend.tls.traffic.as_ref();
    let may_http1 = backend.config.protocols.contains(&Protocol::Http1);
    // A connection that begins with a client's name is for nobody else.
    let alone = backend.config.proxy_protocol.is_some();
    let links = &server.links;
    let mut is_fresh = false;
    presence.set_deadline(backend.config.timeouts.connect);
    loop {
        if let Some(link) = links.with_room(tls).filter(|_| !alone) {
            if !is_fresh && !request.is_repeatable() && link.is_resting() && link.has_ended() {
                link.retire();
                continue;
            }
            if !request.websocket || takes_websockets(presence, &link).await? {
                return Ok((ServerStream::shared(link.stream()), !is_fresh));
            }
            if !may_http1 {
                return Err(NO_WEBSOCKETS.into());
            }
        }
        // Without HTTP/2 there is always a way for a WebSocket.
        let offer = if may_http1 && request.websocket { Offer::Http1 } else { Offer::All };
        if may_http1
            && (links.is_http1() || offer == Offer::Http1)
            && let Some(mut stream) = server.take_idle(backend)
            && (request.is_repeatable() || stream.is_alive())
        {
            return Ok((stream, true));
        }
        if !alone && !links.is_http1() && offer == Offer::All && links.will_do() {
            let before = links.made();
            wait(presence, |cx| links.poll_made(before, cx).map(Ok)).await?;
            is_fresh = true;
            continue;
        }
        let making = links.begin();
        let stream = connect_offering(presence, server.server.at, backend, Opening::Follows, offer).await?;
        if offer == Offer::Http1 || may_http1 && !stream.is_http2_agreed() {
            if offer == Offer::All {
                links.set_http1();
            }
            return Ok((stream, false));
        }
        let link =
            Link::open(stream, tls.map(Arc::clone), server.server.at.to_string(), Some(making)).await?;
        if alone {
            if request.websocket && !takes_websockets(presence, &link).await? {
                return Err(NO_WEBSOCKETS.into());
            }
            return Ok((ServerStream::shared(link.stream()), false));
        }
        server.keep_link(&link);
        if !request.websocket {
            return Ok((ServerStream::shared(link.stream()), false));
        }
        is_fresh = true;
    }
}

/// Whether the server takes WebSockets, when it has said what it offers.
async fn takes_websockets(presence: &Presence, link: &Rc<Link>) -> io::Result<bool> {
    wait(presence, |cx| link.poll_heard(cx)).await?;
    Ok(link.takes_websockets())
}
