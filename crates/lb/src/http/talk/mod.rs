//! A request and its answer on one server connection, both ways at the same time.
//!
//! ```text
//!   client ──carry, scratch──► body.take ──► up ──► server        until the body is complete
//!   client ◄──────── out ◄──── body.take ◄─scratch── server       head, then body
//! ```
//! Buffers are bounded: nothing is read from one side while the other has not taken what came before.

mod agreement;
pub(super) mod compress;
mod download;
mod splice;
mod upload;

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use relevo_proto::health::is_failure;

use super::body::Body;
use super::coder::Coder;
use super::connection::Connection;
use super::refusal::{Refusal, Status};
use super::request::Request;
use super::trailers::Trailers;
use crate::log::{Cause, Phase};
use crate::slot::Signal;
use crate::stream::{ServerStream, Stream, Tube};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client has the whole answer. `close`: it was told that this was the last one.
    Complete { close: bool },
    /// The server closed without a byte.
    Silent,
    /// The server went down without a byte.
    Abandoned,
    /// Nothing was sent to the client: answer this.
    Refuse(Refusal),
    /// The answer broke off.
    Cut,
    /// The client's body broke the rules, or passed the limit, when an answer had begun.
    ClientWrong(Status),
    /// The client left, or does not take what it asked for.
    ClientGone,
    /// 101: both sides speak another protocol.
    Upgraded,
    /// A kept answer is still good.
    Confirmed,
}

/// The state of both ways.
#[derive(Debug)]
pub(super) struct Talk {
    server: ServerStream,
    request: Request,
    /// Longest silence of the server.
    patience: Duration,
    up: Upload,
    up_body: Body,
    /// How much more of it the service allows.
    up_room: u64,
    up_trailers: Trailers,
    down: Download,
    down_trailers: Trailers,
    /// A part of the answer's head.
    carry: Vec<u8>,
    /// Whether the server has said anything.
    heard: bool,
    /// Whether the server may be asked again on this connection.
    keep: bool,
    /// The answer's status; 0: there is none yet.
    status: u16,
    /// Whether this is the client's last answer.
    close: bool,
    /// Whether the client gets the content of chunks only.
    plain: bool,
    /// Compresses the answer, if it is to be.
    coder: Option<Box<Coder>>,
    /// While a large body goes past this process.
    tube: Option<Tube>,
    /// The server ended in the middle of a head.
    broke_off: bool,
    /// The server does not agree to a WebSocket: where that ended it.
    disagreed: Option<Phase>,
    /// While the client owes reading: how much it had not acknowledged when that was last looked at.
    queued: Option<u32>,
    /// Whether something was moved since the deadline was set; true at first.
    moved: bool,
    /// Whether the deadline is the client's: it does not take what there is.
    client_owes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upload {
    /// The client has more to send; if `waiting`, we could take it.
    Running {
        waiting: bool,
    },
    Done,
    /// The server does not want the rest.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Download {
    Head,
    Body(Body),
    Done,
}

impl Talk {
    /// `patience`: longest silence of a server that owes an answer; `most`: the largest body of the request.
    pub(super) fn new(
        server: ServerStream,
        request: &Request,
        patience: Duration,
        most: Option<u64>,
    ) -> Self {
        Self {
            server,
            request: *request,
            patience,
            up: if request.body.is_done() { Upload::Done } else { Upload::Running { waiting: false } },
            up_body: request.body,
            up_room: most.unwrap_or(u64::MAX),
            up_trailers: Trailers::default(),
            down: Download::Head,
            down_trailers: Trailers::default(),
            carry: Vec::new(),
            heard: false,
            keep: true,
            status: 0,
            close: false,
            plain: false,
            coder: None,
            tube: None,
            broke_off: false,
            disagreed: None,
            moved: true,
            client_owes: false,
            queued: None,
        }
    }

    /// Sends the head, with what is there of the body in the same write.
    pub(super) fn start(&mut self, connection: &mut Connection) -> io::Result<()> {
        if self.up == Upload::Done {
            return self.server.send([&connection.head, &[]], false);
        }
        // Wrong chunks, and too many, are found again, and refused, by the upload.
        let (mut body, mut room, mut trailers) = (self.up_body, self.up_room, Trailers::default());
        let Connection { carry, ruled, head, .. } = &mut *connection;
        let keep = |name: &[u8]| !ruled.as_ref().is_some_and(|ruled| ruled.request().leaves_out(name));
        let (count, first) =
            upload::take(&mut body, &mut room, &mut trailers, carry.bytes(), keep).unwrap_or_default();
        self.server.send([head, &first], false)?;
        drop(first);
        if count > 0 {
            (self.up_body, self.up_room, self.up_trailers) = (body, room, trailers);
            connection.carry.consume(count);
            connection.presence.slot.count_received(count);
        }
        Ok(())
    }

    /// Whether the request was sent to its end.
    pub(super) fn is_uploaded(&self) -> bool {
        self.up == Upload::Done
    }

    /// Whether the server has begun to answer.
    pub(super) const fn has_answered(&self) -> bool {
        self.status != 0
    }

    /// Whether the server does not agree to a WebSocket. That is no fault: a client may ask for one anywhere.
    pub(super) const fn has_disagreed(&self) -> bool {
        self.disagreed.is_some()
    }

    /// What an end says of the server; `None`: nothing.
    pub(super) fn went_well(&self, end: &End) -> Option<bool> {
        match end {
            End::Complete { .. } | End::Upgraded | End::Confirmed => {
                Some(self.status == 101 || !is_failure(self.status))
            }
            End::Refuse(_) if self.has_disagreed() => None,
            End::Refuse(refusal) => {
                matches!(refusal.status, Status::BadGateway | Status::GatewayTimeout).then_some(false)
            }
            End::Cut => Some(false),
            // Silence is for whoever may ask again to judge.
            End::Silent | End::Abandoned | End::ClientGone | End::ClientWrong(_) => None,
        }
    }

    /// The connection, if it can be used again.
    pub(super) fn into_kept(self) -> Option<ServerStream> {
        (self.keep && self.up == Upload::Done && self.server.is_flushed()).then_some(self.server)
    }

    pub(super) fn stream_mut(&mut self) -> &mut ServerStream {
        &mut self.server
    }

    /// Moves what can be moved. `elsewhere`: whether somebody else could be asked now if the server went down.
    pub(super) fn poll(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
        elsewhere: &dyn Fn() -> bool,
    ) -> Poll<End> {
        connection.presence.slot.set_waker(cx.waker());
        connection.trace.turn();
        let signal = connection.presence.slot.take_signal();
        if let Some(end) = self.on_signal(signal, connection, elsewhere) {
            let cause = match signal {
                Signal::Timeout
                    if end == End::ClientGone || self.up == (Upload::Running { waiting: true }) =>
                {
                    Cause::ClientTimeout
                }
                Signal::Timeout => Cause::ServerTimeout,
                Signal::ServerDown => Cause::ServerDown,
                Signal::Cut | Signal::None | Signal::Closing => Cause::Operator,
            };
            connection.trace.ends(cause, self.phase());
            return Poll::Ready(end);
        }
        let end = ready!(self.step(connection, cx));
        match end {
            End::Complete { .. } | End::Upgraded | End::Confirmed => connection.trace.mended(),
            End::Silent | End::Abandoned => connection.trace.ends(Cause::Server, Phase::Head),
            End::Refuse(Refusal {
                status: status @ (Status::BadRequest | Status::ContentTooLarge), ..
            })
            | End::ClientWrong(status) => connection.trace.refused(status),
            End::Refuse(_) if self.broke_off => connection.trace.ends(Cause::Server, Phase::Head),
            End::Refuse(_) => {
                connection.trace.ends(Cause::Refused, self.disagreed.unwrap_or(Phase::Head));
            }
            End::Cut => connection.trace.ends(Cause::Server, Phase::Data),
            End::ClientGone => connection.trace.ends(Cause::Client, self.phase()),
        }
        Poll::Ready(end)
    }

    fn phase(&self) -> Phase {
        if self.down == Download::Head { Phase::Head } else { Phase::Data }
    }

    fn step(&mut self, connection: &mut Connection, cx: &mut Context<'_>) -> Poll<End> {
        if (self.up != Upload::Done || !self.server.is_flushed())
            && let Some(end) = self.upload(connection, cx)
        {
            return Poll::Ready(end);
        }
        if let Some(end) = self.download(connection, cx) {
            return Poll::Ready(end);
        }
        if std::mem::take(&mut self.moved) {
            let client = connection.presence.local.frontend.config.timeouts.client;
            self.client_owes = self.client_owes_reading(connection);
            if self.client_owes {
                self.queued = connection.client.queued();
            }
            let is_clients = self.client_owes || self.up == Upload::Running { waiting: true };
            connection.presence.set_deadline(if is_clients { client } else { self.patience });
        }
        Poll::Pending
    }

    fn client_owes_reading(&self, connection: &Connection) -> bool {
        !connection.client.is_flushed() || self.tube.is_some()
    }

    fn on_signal(
        &mut self,
        signal: Signal,
        connection: &Connection,
        elsewhere: &dyn Fn() -> bool,
    ) -> Option<End> {
        let unanswered = self.down == Download::Head;
        let refuse = |status, reason| Some(End::Refuse(Refusal::new(status, reason)));
        match signal {
            Signal::None | Signal::Closing => None,
            // What the deadline was for, not what is: a pipe may have more room without having been read.
            Signal::Timeout if self.client_owes => {
                // Who takes slowly, but takes, has as much time again. Of a pipe, whoever carries it knows for whom it
                // waits: for the client, or for other answers to it.
                if connection.client.is_pipe() || connection.client.has_taken(&mut self.queued) {
                    connection
                        .presence
                        .set_deadline(connection.presence.local.frontend.config.timeouts.client);
                    return None;
                }
                Some(End::ClientGone)
            }
            Signal::Timeout | Signal::Cut if !unanswered => Some(End::Cut),
            Signal::Timeout if self.up == (Upload::Running { waiting: true }) => {
                refuse(Status::RequestTimeout, "the request's body did not arrive in time")
            }
            Signal::Timeout => refuse(Status::GatewayTimeout, "the server did not answer in time"),
            Signal::Cut => refuse(Status::Unavailable, "the server was stopped"),
            // Its answer may still come: nobody gives it up for nothing.
            Signal::ServerDown if !self.heard && elsewhere() => Some(End::Abandoned),
            Signal::ServerDown => None,
        }
    }

    /// A refusal, if the client has got nothing of an answer yet.
    fn refuse(&self, refusal: Refusal) -> End {
        if self.down == Download::Head { End::Refuse(refusal) } else { End::Cut }
    }
}
