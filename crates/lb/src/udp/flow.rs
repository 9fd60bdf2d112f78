//! One flow: a client's address and port, and the server that answers it.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use relevo_proto::balance::Tried;
use socket2::SockRef;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::{Desk, socket};
use crate::local::{LocalServer, Presence, Running};
use crate::log::{Cause, Phase};
use crate::persist::Pick;
use crate::slot::Signal;
use crate::trace::Trace;

/// A client's flow. It lives until it was silent for the service's `timeout.client`, or makes room for another.
#[derive(Debug)]
pub(super) struct Flow {
    client: SocketAddr,
    number: u64,
    /// `None`: it is over.
    presence: RefCell<Option<Presence>>,
    link: RefCell<Option<Rc<Link>>>,
    /// Servers that refused, since the last answer.
    tried: Cell<Tried>,
    /// The last datagram was the client's.
    owes: Cell<bool>,
    /// For its line in the log.
    trace: RefCell<Trace>,
    /// The task that brings the answers.
    waker: RefCell<Option<Waker>>,
}

/// A flow's way to a server. The socket is connected, so that the kernel tells when nobody listens there.
#[derive(Debug)]
struct Link {
    server: Rc<LocalServer>,
    number: u16,
    socket: UdpSocket,
    _running: Running,
}

impl Flow {
    pub(super) fn new(client: SocketAddr, number: u64, presence: Presence) -> Self {
        let mut trace = Trace::default();
        trace.begin_flow(&presence, client);
        trace.ends(Cause::Server, Phase::Connect);
        Self {
            client,
            number,
            presence: RefCell::new(Some(presence)),
            link: RefCell::new(None),
            tried: Cell::new(Tried::new()),
            owes: Cell::new(false),
            trace: RefCell::new(trace),
            waker: RefCell::new(None),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Ends it: its place is free at once.
    pub(super) fn close(&self) {
        self.trace.borrow_mut().finish();
        *self.link.borrow_mut() = None;
        *self.presence.borrow_mut() = None;
        self.wake();
    }

    /// Sends a client's datagram to its server, or to another one if nobody listens there. `false`: it is lost.
    pub(super) fn send(&self, bytes: &[u8]) -> bool {
        let Some(presence) = &mut *self.presence.borrow_mut() else { return false };
        self.touch(presence, true);
        loop {
            let Some(link) = self.link(presence) else { return false };
            match SockRef::from(&link.socket).send(bytes) {
                Ok(_) => {
                    Trace::came(presence, &link.server, bytes.len());
                    return true;
                }
                // What an earlier datagram has met.
                Err(error) if is_refusal(&error) => {
                    if !self.fail(presence, &link) {
                        return false;
                    }
                }
                // The way out is full, or the datagram does not fit through it: a router would drop it, too.
                Err(_) => return false,
            }
        }
    }

    /// Brings answers to the client until the flow ends.
    pub(super) fn poll(&self, desk: &Desk, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut waker = self.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        loop {
            let presence = self.presence.borrow();
            let Some(presence) = &*presence else { return Poll::Ready(()) };
            presence.slot.set_waker(cx.waker());
            match presence.slot.take_signal() {
                Signal::Timeout => return Poll::Ready(()),
                Signal::Cut | Signal::ServerDown => self.unlink(presence),
                Signal::None | Signal::Closing => {}
            }
            if presence.is_over() || presence.is_closing() && !self.owes.get() {
                return Poll::Ready(());
            }
            let Some(link) = self.link.borrow().clone() else { return Poll::Pending };
            let mut scratch = presence.local.worker.scratch.borrow_mut();
            let mut answer = ReadBuf::new(&mut scratch);
            match ready!(link.socket.poll_recv(cx, &mut answer)) {
                Ok(()) => {
                    self.touch(presence, false);
                    self.tried.set(Tried::new());
                    // What the client's network does not take is lost, as on any router.
                    match desk.answer(answer.filled(), self.client) {
                        Ok(sent) => Trace::went(presence, &link.server, sent),
                        Err(_) => presence.local.counters().errors.add(),
                    }
                }
                Err(error) if is_refusal(&error) => drop(self.fail(presence, &link)),
                Err(_) => self.unlink(presence),
            }
        }
    }

    fn touch(&self, presence: &Presence, owes: bool) {
        self.owes.set(owes);
        presence.set_deadline(presence.local.frontend.config.timeouts.client);
    }

    /// The way to its server; a new one if there is none.
    fn link(&self, presence: &mut Presence) -> Option<Rc<Link>> {
        if let Some(link) = &*self.link.borrow() {
            return Some(Rc::clone(link));
        }
        presence.refresh();
        let pool = Rc::clone(&presence.local.pool);
        let now = presence.local.worker.slots.time();
        let mut pick = Pick::resume(&pool.backend, self.client.ip(), self.tried.get(), now);
        let number = pick.next_flow(&pool.backend, now)?;
        let server = pool.server(number)?;
        let socket = socket::connect(server.server.at).ok()?;
        presence.slot.set_target(Some(server.server.id));
        let running = server.begin(&pool);
        let mut trace = self.trace.borrow_mut();
        trace.chosen(&pool, &server);
        trace.connected(false);
        trace.mended();
        let link = Rc::new(Link { server, number, socket, _running: running });
        *self.link.borrow_mut() = Some(Rc::clone(&link));
        // The new socket's answers must be waited for.
        self.wake();
        Some(link)
    }

    fn unlink(&self, presence: &Presence) {
        presence.slot.set_target(None);
        *self.link.borrow_mut() = None;
    }

    /// Notes that nobody listens there. `false`: no other server is left to try.
    fn fail(&self, presence: &Presence, link: &Link) -> bool {
        self.unlink(presence);
        link.server.failed();
        self.trace.borrow_mut().ends(Cause::Server, Phase::Connect);
        let mut tried = self.tried.get();
        let more = tried.add(link.number);
        self.tried.set(tried);
        more
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// Whether the kernel was told (ICMP) that the datagrams do not arrive: udp(7), `ECONNREFUSED`.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
    )
}
