//! One request: a stream of the connection on one side, the engine on the other, a pipe between them.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use tokio::time::{Instant, Sleep};

use super::download::{Download, Step};
use super::head::{self, Plan};
use super::load::{Load, Share};
use super::upload::Upload;
use crate::http::fields::Fields;
use crate::stream::Client;
use crate::stream::pipe::{self, Far};

/// Longest time that a client may go on sending after its answer.
const LINGER: Duration = Duration::from_secs(1);

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Answered.
    Complete,
    /// The client did not want the answer any more, or its request was malformed.
    Cancelled,
    /// The answer could not be completed.
    Broken,
}

/// A request whose head was understood.
#[derive(Debug)]
pub(super) struct Exchange {
    far: Far,
    up: Upload,
    down: Download,
}

impl Exchange {
    /// Begins a request: the client's connection as the engine will see it. `None`: it was malformed, and its stream is
    /// reset.
    pub(super) fn new(
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> Option<(Self, Client)> {
        let (parts, body) = request.into_parts();
        let mut lines = Vec::with_capacity(512);
        let Ok(Plan { chunked, method, accept }) = head::write(&parts, body.is_end_stream(), &mut lines)
        else {
            respond.send_reset(Reason::PROTOCOL_ERROR);
            return None;
        };
        let (near, far) = pipe::pair();
        far.push(&lines);
        let up = Upload::new(body, chunked, accept.is_some(), &far);
        Some((Self { far, up, down: Download::new(respond, method, accept) }, Client::Pipe(near)))
    }

    /// Carries the request to the engine and its answer back. `serving` is the engine at work; it is not polled any more when
    /// the client has gone. A client that takes nothing of what waits for it in `patience` has its stream reset.
    pub(super) async fn run(
        self,
        mut serving: Pin<&mut impl Future<Output = ()>>,
        fields: &RefCell<Fields>,
        patience: Duration,
        load: &Load,
    ) -> End {
        let Self { far, mut up, mut down } = self;
        let mut is_serving = true;
        let mut share = Share::new(load);
        // Made only for a client that does not read.
        let mut stall: Option<(u64, Pin<Box<Sleep>>)> = None;
        let step = poll_fn(|cx| {
            if down.is_cancelled(cx) {
                return Poll::Ready(Step::Gone);
            }
            loop {
                far.set_narrow(share.note(far.waiting() + down.queued()));
                is_serving = is_serving && serving.as_mut().poll(cx).is_pending();
                let Ok(moved) = up.poll(cx, &far) else { return Poll::Ready(Step::Gone) };
                let step = down.poll(cx, &far, load, &mut fields.borrow_mut());
                // Others are polled before this one is again, and shall know.
                share.note(far.waiting() + down.queued());
                match step {
                    Step::Waiting | Step::Moved if down.is_open() && up.release() => {}
                    Step::Waiting if !moved => {
                        let Some(sent) = down.owed() else {
                            stall = None;
                            return Poll::Pending;
                        };
                        if stall.as_ref().is_none_or(|(before, _)| *before != sent) {
                            stall = Some((sent, Box::pin(tokio::time::sleep(patience))));
                        }
                        let Some((_, sleep)) = &mut stall else { return Poll::Pending };
                        while sleep.as_mut().poll(cx).is_ready() {
                            if load.is_settled() {
                                return Poll::Ready(Step::Broken);
                            }
                            // All of the client's answers wait: that is the connection's affair.
                            sleep.as_mut().reset(Instant::now() + patience);
                        }
                        return Poll::Pending;
                    }
                    Step::Waiting | Step::Moved => {}
                    end @ (Step::Done | Step::Gone | Step::Refused | Step::Broken) => {
                        return Poll::Ready(end);
                    }
                }
            }
        })
        .await;
        drop(share);
        match step {
            Step::Done => {
                // It has sent all, and does its books.
                if is_serving {
                    poll_fn(|cx| Poll::Ready(serving.as_mut().poll(cx).is_ready())).await;
                }
                // Some clients lose an answer whose stream is reset while they send.
                let _ = tokio::time::timeout(LINGER, up.drain()).await;
                End::Complete
            }
            Step::Gone | Step::Waiting | Step::Moved => End::Cancelled,
            Step::Refused => {
                down.reset(Reason::REFUSED_STREAM);
                End::Broken
            }
            Step::Broken => {
                down.reset(Reason::INTERNAL_ERROR);
                End::Broken
            }
        }
    }
}
