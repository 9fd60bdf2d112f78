//! A place for a worker that has none: the flows of the other workers may be all that a service may have, and stay for long.
//!
//! The kernel gives a client's datagrams always to the same worker. One without a flow of its own that could make room asks
//! the others: each lets its oldest go until there is a place more than is asked for, and takes no such place itself. Nothing
//! waits: the datagram is lost, and the client's next one has the place.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::gate::Gate;

/// How long a place is kept for a client that does not say anything more.
const KEPT: Duration = Duration::from_secs(2);

/// What a listening socket asks the others for: one place at most.
#[derive(Debug, Default)]
pub(super) struct Want(Rc<RefCell<Option<Asked>>>);

/// A place of this gate is asked for until this is dropped.
#[derive(Debug)]
struct Asked(Arc<Gate>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.want(false);
    }
}

impl Want {
    /// Counts a flow in, if there is a place that nobody else has asked for.
    pub(super) fn try_admit(&self, gate: &Arc<Gate>) -> bool {
        let mut asked = self.0.borrow_mut();
        if !asked.as_ref().is_some_and(|asked| Arc::ptr_eq(&asked.0, gate)) {
            return gate.try_admit();
        }
        let admitted = gate.try_admit_wanted();
        if admitted {
            *asked = None;
        }
        admitted
    }

    /// Asks the others for a place.
    pub(super) fn ask(&self, gate: &Arc<Gate>) {
        let mut asked = self.0.borrow_mut();
        if asked.as_ref().is_some_and(|asked| Arc::ptr_eq(&asked.0, gate)) {
            // Who did not hear it hears it now.
            gate.tell_wanted();
            return;
        }
        gate.want(true);
        *asked = Some(Asked(Arc::clone(gate)));
        let later = Rc::clone(&self.0);
        drop(tokio::task::spawn_local(async move {
            tokio::time::sleep(KEPT).await;
            later.take();
        }));
    }
}
