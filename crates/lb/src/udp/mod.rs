//! UDP mode: one server for each flow, a flow being a client's address and port.
//!
//! ```text
//!   client ──► listening socket ──► Flows: client ──► Flow ──► connected socket ──► server
//!   client ◄── listening socket ◄────────────────── Flow ◄── connected socket ◄── server
//! ```
//! Nothing waits here: a datagram goes on at once or is lost, as on any router. Flows are bounded by the service's
//! `max_connections`; when there is no place, the one of this worker that was silent longest makes room. If this worker has
//! none, the datagram is dropped and counted as an error, and the others make room for the next one ([`want`]); it is dropped,
//! too, when its source has all the flows that it may have. A server is asked by a socket of its own for each
//! flow: the kernel tells when nobody listens there, and the flow's next datagram goes to another one. A service counts
//! flows as requests.

mod flow;
mod flows;
pub(crate) mod socket;
mod want;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::sync::watch;

use self::flow::Flow;
use self::flows::Flows;
use self::want::Want;
use crate::accept::Target;
use crate::local::Presence;

/// A listening socket and its flows.
#[derive(Debug)]
struct Desk {
    target: Rc<RefCell<Target>>,
    socket: UdpSocket,
    flows: RefCell<Flows<Flow>>,
    want: Want,
}

/// Receives datagrams until it is told to stop. Flows that owe an answer go on.
pub(crate) async fn run(target: Rc<RefCell<Target>>, socket: UdpSocket, mut stop: watch::Receiver<()>) {
    let desk = Rc::new(Desk { target, socket, flows: RefCell::new(Flows::new()), want: Want::default() });
    tokio::select! {
        biased;
        () = poll_fn(|cx| desk.poll(cx)) => {}
        () = desk.make_room() => {}
        _ = stop.changed() => {}
    }
}

/// Registers a listening socket with the worker's event loop.
pub(crate) fn watch(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
    UdpSocket::from_std(socket)
}

impl Desk {
    /// Takes what has come. Never ready.
    fn poll(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        let worker = Rc::clone(&self.target.borrow().handle.current().worker);
        let mut scratch = worker.scratch.borrow_mut();
        loop {
            let mut datagram = ReadBuf::new(&mut scratch);
            match std::task::ready!(self.socket.poll_recv_from(cx, &mut datagram)) {
                Ok(client) => self.take(client, datagram.filled()),
                // Of a datagram that was sent from here: told once, and nothing is wrong with this socket.
                Err(error) => tracing::debug!(%error, "receiving datagrams"),
            }
        }
    }

    fn take(self: &Rc<Self>, client: SocketAddr, bytes: &[u8]) {
        let known = self.flows.borrow_mut().find(client);
        let sent = known.or_else(|| self.open(client)).is_some_and(|flow| flow.send(bytes));
        if !sent {
            self.target.borrow().handle.current().counters().errors.add();
        }
    }

    fn open(self: &Rc<Self>, client: SocketAddr) -> Option<Rc<Flow>> {
        let handle = Rc::clone(&self.target.borrow().handle);
        // Before others make room for it.
        let place = handle.current().enter(client.ip()).ok()?;
        while !self.want.try_admit(&handle.gate) {
            let Some(oldest) = self.flows.borrow_mut().remove_oldest() else {
                self.want.ask(&handle.gate);
                return None;
            };
            // Its place is free when it is closed.
            oldest.close();
        }
        let mut presence = Presence::new(handle, false);
        presence.set_source(place);
        presence.local.counters().requests.add();
        let flow = self.flows.borrow_mut().add(client, |number| Flow::new(client, number, presence));
        let (desk, answering) = (Rc::clone(self), Rc::clone(&flow));
        tokio::task::spawn_local(async move {
            poll_fn(|cx| answering.poll(&desk, cx)).await;
            answering.close();
            desk.flows.borrow_mut().remove(client, answering.number());
        });
        Some(flow)
    }

    /// Lets flows go for other workers that have none. Never ends.
    async fn make_room(&self) {
        loop {
            let gate = Arc::clone(&self.target.borrow().handle.gate);
            gate.heard_want().await;
            while gate.is_wanted() {
                let Some(oldest) = self.flows.borrow_mut().remove_oldest() else { break };
                oldest.close();
            }
        }
    }

    fn answer(&self, bytes: &[u8], client: SocketAddr) -> io::Result<usize> {
        SockRef::from(&self.socket).send_to(bytes, &client.into())
    }
}
