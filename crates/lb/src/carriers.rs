//! Tasks that serve one connection after the other.
//!
//! A task is some kilobytes: allocating them, moving the connection's state into them and giving them back costs more than
//! waking a task that has nothing to do. A worker keeps a few; who comes when all are busy gets a new one.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::local::Presence;
use crate::stream::Client;

/// Tasks of a kind that are kept while they have nothing to do.
const KEPT: usize = 32;

/// A client to be served.
pub(crate) type Job = (Presence, Client, SocketAddr);

/// A worker's tasks, for each kind of service: their sizes differ.
#[derive(Debug, Default)]
pub(crate) struct Carriers {
    pub(crate) http: Kind,
    pub(crate) tcp: Kind,
}

/// Tasks that do the same.
#[derive(Debug, Default)]
pub(crate) struct Kind(Rc<RefCell<Vec<Rc<Carrier>>>>);

/// A task.
#[derive(Default)]
struct Carrier {
    job: Cell<Option<Job>>,
    waker: RefCell<Option<Waker>>,
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Carrier").finish_non_exhaustive()
    }
}

impl Kind {
    /// Lets a task serve a client. `serve` is always the same.
    pub(crate) fn give<F>(&self, job: Job, serve: fn(Job) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        let resting = self.0.borrow_mut().pop();
        if let Some(carrier) = resting {
            carrier.job.set(Some(job));
            if let Some(waker) = &*carrier.waker.borrow() {
                waker.wake_by_ref();
            }
            return;
        }
        let carrier = Rc::new(Carrier { job: Cell::new(Some(job)), waker: RefCell::default() });
        let resting = Rc::clone(&self.0);
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
                if resting.len() >= KEPT {
                    break;
                }
                resting.push(Rc::clone(&carrier));
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use crate::{http, tcp};

    /// Every connection has one, for as long as it lasts; most of them only wait.
    #[test]
    fn a_connection_takes_little_memory() {
        fn size<A, B, C, F>(_: impl FnOnce(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let (tcp, http) = (size(tcp::serve), size(http::connection::serve));
        assert!(tcp <= 2048, "{tcp} bytes");
        assert!(http <= 4096, "{http} bytes");
    }
}
