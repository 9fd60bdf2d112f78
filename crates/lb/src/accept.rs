//! Taking in clients: one listening socket of one worker.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use relevo_model::cluster::Mode;
use relevo_proto::proxy_protocol::Ends;
use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::crew::{Admission, Visitor};
use crate::frontend::Frontend;
use crate::generation::Place;
use crate::local::{Handle, Presence, Refused};
use crate::strangers::Arrival;
use crate::stream::Client;
use crate::{handshake, http, http2, proxied, tcp};

/// Shortest time between two lines in the log about connections that cannot be accepted.
const COMPLAIN: Duration = Duration::from_secs(10);

/// Whom the clients of a listening socket are for; another configuration may say something else.
#[derive(Debug)]
pub(crate) struct Target {
    /// The service.
    pub(crate) handle: Rc<Handle>,
    pub(crate) here: Here,
}

/// What a listening socket is, also after the service has no such one any more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Here {
    tls: bool,
    /// Clients are introduced by another proxy.
    is_proxied: bool,
    at: Option<SocketAddr>,
    /// Its place in the service's `listen`, from 1.
    number: usize,
}

impl Here {
    /// The one of this place in the service's `listen`.
    pub(crate) fn of(frontend: &Frontend, place: usize) -> Self {
        let at = frontend.listen.get(place).copied();
        let listen = frontend.config.listen.get(place);
        let number = place + 1;
        listen.map_or(Self { at, number, ..Self::default() }, |listen| Self {
            tls: listen.tls,
            is_proxied: listen.proxy_protocol,
            at,
            number,
        })
    }
}

/// Accepts until it is told to stop; then what the kernel has accepted is served, and the socket is closed.
pub(crate) async fn run(
    target: Rc<RefCell<Target>>,
    place: Place,
    listener: AsyncFd<TcpListener>,
    mut stop: watch::Receiver<()>,
) {
    let mut complained: Option<Instant> = None;
    let now = |target: &RefCell<Target>| {
        let target = target.borrow();
        (Rc::clone(&target.handle), target.here)
    };
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.async_io(Interest::READABLE, accept) => accepted,
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (handle, here) = now(&target);
                // One connection more than allowed is taken, and waits here; the others wait in the kernel.
                handle.gate.admit().await;
                if let Some(stream) = hand_over(&handle, &place, stream, peer) {
                    start(handle, here, stream, peer);
                }
                // Clients that come one after the other must not keep it from stopping.
                if !matches!(stop.has_changed(), Ok(false)) {
                    break;
                }
            }
            // The client left before it was accepted (accept(2): pending network errors).
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Out of descriptors or memory: let some connections end.
                if complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
                    complained = Some(Instant::now());
                    let service = &now(&target).0.current().frontend.config.name;
                    tracing::warn!(%service, %error, "cannot accept connections; they wait");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    while let Ok((stream, peer)) = accept(listener.get_ref()) {
        let (handle, here) = now(&target);
        handle.gate.admit().await;
        start(handle, here, stream, peer);
    }
}

/// Registers a listener with the event loop; unlike tokio's own listener, it does not register what it accepts.
#[allow(unsafe_code, reason = "tokio offers the registration of a descriptor only so")]
pub(crate) fn watch(listener: TcpListener) -> io::Result<AsyncFd<TcpListener>> {
    // SAFETY: a `TcpListener` owns its descriptor, always gives the same one, and closes it only when it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) }?)
}

fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    // The standard library needs another call for a socket that does not block.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (stream, peer) = acceptfrom_with(listener, flags)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    Ok((TcpStream::from(stream), peer.ok_or(io::ErrorKind::ConnectionAborted)?))
}

/// Gives a connection that was admitted to a worker with fewer clients; `Some`: there is none.
fn hand_over(handle: &Handle, place: &Place, stream: TcpStream, peer: SocketAddr) -> Option<TcpStream> {
    let local = handle.current();
    let worker = &local.worker;
    let Some(lighter) = worker.lighter() else { return Some(stream) };
    let admission = Admission::of(&handle.gate);
    let visitor = Visitor::new(stream, peer, place.clone(), admission, worker.number);
    let Visitor { stream, admission, .. } = worker.crew.hand_over(lighter, visitor)?;
    admission.transfer(&handle.gate);
    Some(stream)
}

/// Serves a connection that another worker has accepted.
pub(crate) fn receive(target: &Target, visitor: Visitor) {
    let (handle, here) = (Rc::clone(&target.handle), target.here);
    // The seat that was kept for it is given up when it has one of its own.
    let Visitor { stream, peer, admission, seat, .. } = visitor;
    if admission.transfer(&handle.gate) {
        start(handle, here, stream, peer);
        return drop(seat);
    }
    // The place has gone over to another service meanwhile.
    drop(tokio::task::spawn_local(async move {
        handle.gate.admit().await;
        start(handle, here, stream, peer);
        drop(seat);
    }));
}

/// Serves a connection that was admitted. `here`: what it came to.
fn start(handle: Rc<Handle>, here: Here, stream: TcpStream, peer: SocketAddr) {
    let Here { tls, is_proxied, at, number } = here;
    let mut presence = Presence::new(handle, tls);
    presence.take_seat();
    // Of an address that stands for all, the kernel knows which one it was.
    let at = at.filter(|at| !at.ip().is_unspecified()).or_else(|| stream.local_addr().ok());
    presence.set_ends(Ends { source: peer, destination: at.unwrap_or(peer) });
    if !is_proxied && !enter(&mut presence, peer) {
        return;
    }
    if !tls && !is_proxied {
        return serve(presence, Client::plain(stream), peer);
    }
    let mut arrival = Arrival { listen: number, peer, at: presence.local.worker.slots.time() };
    drop(tokio::task::spawn_local(async move {
        let mut stream = stream;
        if is_proxied {
            let Ok((rest, ends)) = proxied::read(&presence, stream, arrival).await else { return };
            stream = rest;
            presence.introduce();
            if let Some(ends) = ends {
                presence.set_ends(ends);
            }
        }
        let peer = presence.ends().map_or(peer, |ends| ends.source);
        arrival.peer = peer;
        if is_proxied && !enter(&mut presence, peer) {
            return;
        }
        if !tls {
            serve(presence, Client::plain(stream), peer);
        } else if let Some(client) = handshake::run(&presence, stream, arrival).await {
            serve(presence, client, peer);
        }
    }));
}

/// Counts a connection among those of its source. `false`: the source has enough of them.
fn enter(presence: &mut Presence, peer: SocketAddr) -> bool {
    match presence.local.enter(peer.ip()) {
        Ok(place) => {
            presence.set_source(place);
            true
        }
        Err(Refused) => {
            presence.local.counters().errors.add();
            false
        }
    }
}

fn serve(presence: Presence, client: Client, peer: SocketAddr) {
    if client.session().is_some_and(|session| session.h2) {
        drop(tokio::task::spawn_local(http2::serve(presence, client, Vec::new(), peer)));
        return;
    }
    let worker = Rc::clone(&presence.local.worker);
    let job = (presence, client, peer);
    match job.0.local.frontend.config.mode {
        Mode::Http => worker
            .carriers
            .http
            .give(job, |(presence, client, peer)| http::connection::serve(presence, client, peer)),
        Mode::Tcp | Mode::Udp => {
            worker.carriers.tcp.give(job, |(presence, client, peer)| tcp::serve(presence, client, peer))
        }
    }
}
