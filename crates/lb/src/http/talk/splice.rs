//! Large bodies go past this process, if nobody needs to see them.

use std::task::Context;

use super::{Download, End, Talk};
use crate::http::body::Body;
use crate::http::connection::Connection;
use crate::relay::LARGE;
use crate::stream::{Broken, Carried, Stream};

impl Talk {
    /// Carries a large body. `None`: there is none, or not so; read it. `Some(None)`: wait.
    pub(super) fn splice(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
    ) -> Option<Option<End>> {
        let Download::Body(body) = self.down else { return None };
        if self.coder.is_some() || connection.ticket.as_ref().is_some_and(|ticket| ticket.is_collecting()) {
            return None;
        }
        let mut left = match body {
            Body::Length(left) => left,
            Body::UntilClose => u64::MAX,
            Body::Chunked(_) => return None,
        };
        if left < LARGE as u64 && self.tube.is_none() {
            return None;
        }
        let worker = std::rc::Rc::clone(&connection.presence.local.worker);
        let tube =
            |server| self.tube.take().or_else(|| worker.tubes.borrow_mut().take()).map(|tube| (tube, server));
        let (Some((mut tube, server)), Some(client)) =
            (self.server.tcp().and_then(tube), connection.client.tcp())
        else {
            return None;
        };
        let mut sent = 0;
        let carried = tube.poll_carry(cx, server, client, &mut left, &mut sent);
        self.moved |= sent > 0;
        connection.presence.slot.count_sent(sent);
        let carried = match carried {
            Ok(carried) => carried,
            Err(Broken::From(_)) => return Some(Some(End::Cut)),
            Err(Broken::To(_)) => return Some(Some(End::ClientGone)),
        };
        if let Body::Length(_) = body {
            self.down = Download::Body(Body::Length(left));
        }
        match carried {
            Carried::Full => {
                self.tube = Some(tube);
                Some(None)
            }
            Carried::Dry => {
                worker.tubes.borrow_mut().put(tube);
                Some(None)
            }
            Carried::All => {
                worker.tubes.borrow_mut().put(tube);
                self.down = Download::Done;
                Some(Some(End::Complete { close: self.close }))
            }
            Carried::Ended => {
                worker.tubes.borrow_mut().put(tube);
                Some(self.on_end(true).or(Some(End::Complete { close: self.close })))
            }
        }
    }
}
