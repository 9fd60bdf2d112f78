//! Tasks that serve one connection after the other, or one request of HTTP/2.
//!
//! A task is some kilobytes: allocating them, moving the connection's state into them and giving them back costs more than
//! waking a task that has nothing to do. A worker keeps some; who comes when all are busy gets a new one.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::http2;
use crate::local::Presence;
use crate::stream::Client;

/// Tasks that are kept while they have nothing to do: of each mode.
const CONNECTIONS_KEPT: usize = 32;
/// For requests of HTTP/2, which come many at a time: some 600 KiB.
const REQUESTS_KEPT: usize = 128;

/// A client to be served.
pub(crate) type Connected = (Presence, Client, SocketAddr);

/// A worker's tasks, for each kind of job: their sizes differ.
#[derive(Debug)]
pub(crate) struct Carriers {
    pub(crate) http: Kind<Connected>,
    pub(crate) tcp: Kind<Connected>,
    pub(crate) http2_requests: Kind<http2::Begun>,
}

impl Default for Carriers {
    fn default() -> Self {
        Self {
            http: Kind::new(CONNECTIONS_KEPT),
            tcp: Kind::new(CONNECTIONS_KEPT),
            http2_requests: Kind::new(REQUESTS_KEPT),
        }
    }
}

/// Tasks that do the same.
pub(crate) struct Kind<J> {
    resting: Resting<J>,
    kept: usize,
}

/// Those that have nothing to do.
type Resting<J> = Rc<RefCell<Vec<Rc<Carrier<J>>>>>;

/// A task.
struct Carrier<J> {
    job: Cell<Option<J>>,
    waker: RefCell<Option<Waker>>,
}

impl<J> std::fmt::Debug for Kind<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kind").field("resting", &self.resting.borrow().len()).finish()
    }
}

impl<J: 'static> Kind<J> {
    /// None yet; so many are kept.
    pub(crate) fn new(kept: usize) -> Self {
        Self { resting: Rc::default(), kept }
    }

    /// Lets a task do a job. `serve` is always the same.
    pub(crate) fn give<F>(&self, job: J, serve: impl Fn(J) -> F + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        let resting = self.resting.borrow_mut().pop();
        if let Some(carrier) = resting {
            carrier.job.set(Some(job));
            if let Some(waker) = &*carrier.waker.borrow() {
                waker.wake_by_ref();
            }
            return;
        }
        let carrier = Rc::new(Carrier { job: Cell::new(Some(job)), waker: RefCell::default() });
        let (resting, kept) = (Rc::clone(&self.resting), self.kept);
        drop(tokio::task::spawn_local(async move {
            loop {
                let job = poll_fn(|cx| match carrier.job.take() {
                    Some(job) => Poll::Ready(job),
                    None => {
                        carrier.waker.replace(Some(cx.waker().clone()));
                        Poll::Pending
                    }
                });
                let job = job.await;
                serve(job).await;
                let mut resting = resting.borrow_mut();
                if resting.len() >= kept {
                    break;
                }
                resting.push(Rc::clone(&carrier));
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use crate::{http, http2, tcp};

    /// Every connection has one, for as long as it lasts; most of them only wait. Every request of HTTP/2 has one.
    #[test]
    fn a_connection_takes_little_memory() {
        fn size<A, B, C, F>(_: impl FnOnce(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        fn carried<F>(_: impl FnOnce(http2::Begun) -> F) -> usize {
            size_of::<F>()
        }
        let (tcp, http) = (size(tcp::serve), size(http::connection::serve));
        let http2 = carried(http2::Begun::carry);
        assert!(tcp <= 2048, "{tcp} bytes");
        assert!(http <= 4096, "{http} bytes");
        assert!(http2 <= http + 2048, "{http2} bytes, {http} of them the engine's");
    }
}
