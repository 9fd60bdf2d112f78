//! Doing what the rules have decided about a request.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use relevo_proto::rule::Changes;

use super::answer::Answer;
use super::connection::Connection;
use super::decide::{Decision, Head, Question, Scene};
use super::exchange::{self, Finish};
use super::own::Own;
use super::request::Request;
use crate::log::Phase;
use crate::rules::Checked;
use crate::slot::Signal;

impl Connection {
    /// Lets a server answer, or answers as the rules say.
    pub(super) async fn answer_to(&mut self, request: &Request) -> Finish {
        let close = !request.body.is_done();
        match self.own.take() {
            None => {}
            Some(Own::Proof(text)) => return self.say_changed(Answer::proof(text), close, Phase::Request),
            Some(Own::Monitor) => {
                let can_work = self.presence.local.pool.backend.can_work();
                return Finish::Answer { answer: Answer::alive(can_work), close };
            }
            Some(Own::Refused(refusal)) => {
                self.trace.refused(refusal.status);
                return Finish::Refuse { refusal, close };
            }
        }
        loop {
            let decision = self.ruled.as_mut().map_or(Decision::Default, |ruled| ruled.take_decision());
            let pool = match decision {
                Decision::Default => Rc::clone(&self.presence.local.pool),
                // The reader of cluster files, and the builder of configurations, have made sure of the pool.
                Decision::Pool(number) => match self.presence.local.chosen(number) {
                    Some(pool) => pool,
                    None => Rc::clone(&self.presence.local.pool),
                },
                Decision::Answer(answer) => return self.say_changed(answer, close, Phase::Request),
                Decision::Silent => {
                    self.trace.denied(Phase::Request);
                    return Finish::Silent;
                }
                Decision::Tarpit(answer, after, place) => {
                    self.trace.denied(Phase::Tarpit);
                    let is_there = self.hold(after).await;
                    drop(place);
                    if !is_there {
                        return Finish::Reset;
                    }
                    let Some(answer) = answer else { return Finish::Silent };
                    return self.say_changed(answer, close, Phase::Tarpit);
                }
                Decision::Ask(question) => {
                    if !self.ask(*question).await {
                        return Finish::Reset;
                    }
                    continue;
                }
            };
            if let Some(finish) = self.look(request, &pool).await {
                return finish;
            }
            return exchange::run(self, request, pool).await;
        }
    }

    /// What is changed in the current answer's head.
    pub(super) fn changes(&self) -> Option<&Changes> {
        match &self.ruled {
            Some(ruled) => Some(&ruled.response).filter(|changes| !changes.is_empty()),
            None => self.presence.local.frontend.hsts.as_ref().filter(|_| self.session.is_some()),
        }
    }

    pub(super) fn say_changed(&mut self, mut answer: Answer, close: bool, phase: Phase) -> Finish {
        if answer.denied {
            if let Some(page) = self.presence.local.frontend.pages.find(answer.status) {
                answer.show(page);
            }
            self.trace.answered_here(answer.status);
            self.trace.denied(phase);
        } else {
            // What `return` says without words of its own.
            if answer.status >= 400
                && answer.body.is_empty()
                && let Some(page) = self.presence.local.frontend.pages.find(answer.status)
            {
                answer.show(page);
            }
            self.trace.local(answer.status);
        }
        if let Some(changes) = self.changes() {
            answer.change(changes);
        }
        Finish::Answer { answer, close }
    }

    /// Waits, unless the engine or the service ends. `false`: the client has left meanwhile.
    async fn hold(&mut self, time: Duration) -> bool {
        let Self { presence, client, .. } = self;
        presence.set_deadline(time);
        poll_fn(|cx| {
            presence.slot.set_waker(cx.waker());
            match presence.slot.take_signal() {
                Signal::Timeout | Signal::Closing | Signal::Cut => Poll::Ready(true),
                Signal::None | Signal::ServerDown => client.poll_left(cx).map(|()| false),
            }
        })
        .await
    }

    /// Checks a password; the rules go on, or there is an answer. `false`: it took too long.
    async fn ask(&mut self, question: Question) -> bool {
        let Question { credentials, users, realm, head } = question;
        let local = Rc::clone(&self.presence.local);
        let Some(rules) = local.frontend.rules.as_ref().map(Arc::clone) else { return false };
        self.presence.set_deadline(local.frontend.config.timeouts.request);
        let mut check = pin!(rules.guard.check(local.worker.number, credentials, users));
        let presence = &self.presence;
        let checked = poll_fn(|cx| {
            presence.slot.set_waker(cx.waker());
            if matches!(presence.slot.take_signal(), Signal::Timeout | Signal::Cut) {
                return Poll::Ready(None);
            }
            check.as_mut().poll(cx).map(Some)
        });
        let Some(checked) = checked.await else { return false };
        let Some(ruled) = &mut self.ruled else { return false };
        match checked {
            Checked::Wrong => ruled.set_decision(Decision::Answer(Answer::unauthorized(&realm))),
            Checked::Busy => {
                let busy = Answer::refusal(503, "too many passwords are being checked");
                ruled.set_decision(Decision::Answer(busy));
            }
            Checked::Right => {
                let mut fields = local.worker.fields.borrow_mut();
                let Ok(Some(request)) = Request::parse(&head, head.len(), &mut fields) else { return false };
                let lines = if local.frontend.config.forwarded_for { &self.lines[..] } else { &[] };
                let (source, tls) = (self.peer.ip(), self.session.as_deref());
                let scene = Scene { local: &local, rules: &rules, source, tls, lines };
                let head = Head { bytes: &head, fields: fields.list(), request: &request };
                ruled.run(scene, head, &mut self.head);
                self.trace.ruled(ruled.line());
            }
        }
        true
    }
}
