//! What a service's rules make of a request: an answer, or a head for a server of some pool.
//!
//! The head stands in a buffer that all connections of a worker share, so rules are run while it is being parsed. Only a
//! password that must be checked makes the request wait; then the head is copied.

use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use relevo_model::Time;
use relevo_model::cluster::{Deny, Users};
use relevo_proto::password::Credentials;
use relevo_proto::rule::{self, Allowed, Changes, Course, Headers, Step, Verdict};

use super::answer::Answer;
use super::fields::Field;
use super::request::{Additions, Request};
use crate::local::Local;
use crate::rules::{RuleSet, Tarpit};
use crate::tls::Session;

/// The way of a connection's requests through the rules; one at a time.
#[derive(Debug, Default)]
pub(super) struct Ruled {
    course: Course,
    decision: Decision,
    request: Changes,
    /// What is changed in the server's answer.
    pub(super) response: Changes,
}

/// What becomes of the current request.
#[derive(Debug, Default)]
pub(super) enum Decision {
    /// A server of the service's own pool gets it.
    #[default]
    Default,
    /// A server of this pool of the rules gets it.
    Pool(usize),
    /// This is the answer.
    Answer(Answer),
    /// This is the answer, or without one the connection's end, after some time.
    Tarpit(Option<Answer>, Duration, Tarpit),
    /// The connection ends.
    Silent,
    /// A password must be checked; then it goes on.
    Ask(Box<Question>),
}

/// A password that must be checked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) credentials: Credentials,
    pub(super) users: Arc<Users>,
    pub(super) realm: String,
    /// The request's head as it came.
    pub(super) head: Vec<u8>,
}

/// Who asks, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) local: &'a Local,
    pub(super) rules: &'a RuleSet,
    pub(super) source: IpAddr,
    /// What was agreed on in TLS, if the client speaks it.
    pub(super) tls: Option<&'a Session>,
    /// Lines that the head gets in any case.
    pub(super) lines: &'a [u8],
}

/// A head that was parsed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) fields: &'a [Field],
    pub(super) request: &'a Request,
}

impl Headers for Head<'_> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.fields.iter().any(|field| {
            field.name(self.bytes).eq_ignore_ascii_case(name.as_bytes()) && test(field.value(self.bytes))
        })
    }
}

impl Ruled {
    /// A new request: back to the first rule.
    pub(super) fn restart(&mut self) {
        self.course.restart();
        self.decision = Decision::Default;
    }

    /// The line of the rule that decided, or else of the last one that did something.
    pub(super) fn line(&self) -> Option<usize> {
        self.course.line()
    }

    /// What is changed in the request that the server gets.
    pub(super) fn request(&self) -> &Changes {
        &self.request
    }

    /// This becomes of the request.
    pub(super) fn set_decision(&mut self, decision: Decision) {
        self.decision = decision;
    }

    /// What becomes of the request; asked once.
    pub(super) fn take_decision(&mut self) -> Decision {
        mem::take(&mut self.decision)
    }

    /// Runs the rules, up to a decision. If a server shall answer, its head is written.
    pub(super) fn run(&mut self, scene: Scene<'_>, head: Head<'_>, out: &mut Vec<u8>) {
        let worker = &scene.local.worker;
        let rules = scene.rules;
        let request = rule::Request {
            method: head.request.method_name(head.bytes),
            host: head.request.host(head.bytes),
            target: head.request.target(head.bytes),
            headers: &head,
            source: scene.source,
            tls: scene.tls.is_some(),
            tls_name: scene.tls.map_or(&[], Session::name_bytes),
            id: rules.id(worker.number, worker.number_of_request()),
        };
        let now = Time::from_millis(worker.slots.now());
        self.request.clear();
        self.response.clear();
        self.decision = loop {
            match rules.compiled.step(&mut self.course, &request) {
                Step::Rate { limit, key } => match rules.ask(limit, &key, now) {
                    Allowed::Yes => {}
                    Allowed::After(wait) => {
                        break Decision::Answer(Answer::too_many(rules.status(limit), wait));
                    }
                },
                Step::Auth { users, realm } => {
                    let Some(credentials) = head.credentials() else {
                        break Decision::Answer(Answer::unauthorized(realm));
                    };
                    if rules.guard.knows(worker.number, &credentials, users) {
                        continue;
                    }
                    if let Allowed::After(wait) = rules.guard.may_try(rules.key(scene.source), now) {
                        break Decision::Answer(Answer::too_many(429, wait));
                    }
                    break Decision::Ask(Box::new(Question {
                        credentials,
                        users: Arc::clone(users),
                        realm: realm.to_owned(),
                        head: head.bytes.get(..head.request.length).unwrap_or_default().to_vec(),
                    }));
                }
                Step::Done(verdict) => break self.on_verdict(verdict, scene),
            }
        };
        if self.course.has_changes() {
            rules.compiled.change_response(&self.course, &request, &mut self.response);
        }
        if let Some(hsts) = scene.local.frontend.hsts.as_ref().filter(|_| scene.tls.is_some()) {
            self.response.extend(hsts);
        }
        if matches!(self.decision, Decision::Default | Decision::Pool(_)) {
            let path = if self.course.has_changes() {
                rules.compiled.change_request(&self.course, &request, &mut self.request)
            } else {
                None
            };
            out.clear();
            let additions = Additions {
                lines: scene.lines,
                host: &scene.local.frontend.host,
                changes: Some(&self.request).filter(|changes| !changes.is_empty()),
                path: path.as_deref(),
            };
            head.request.write(head.bytes, head.fields, additions, out);
        }
    }

    fn on_verdict(&self, verdict: Verdict<'_>, scene: Scene<'_>) -> Decision {
        match verdict {
            Verdict::Default => Decision::Default,
            Verdict::Pool(pool) => Decision::Pool(pool),
            Verdict::Redirect { to, status } => Decision::Answer(Answer::redirect(status, &to)),
            Verdict::Return(answer) => Decision::Answer(Answer::of(answer)),
            Verdict::Doubtful(reason) => Decision::Answer(Answer::refusal(400, reason)),
            Verdict::Deny(Deny { status, after }) => {
                // Who is held back on purpose is not told so.
                let reason = match after.is_zero() {
                    true => "a rule of this service refuses the request",
                    false => "the request could not be processed",
                };
                let refusal = || Answer::refusal(status, reason);
                let answer = (status != 0).then(refusal);
                // Waiting must not cost the places of those who may.
                let most = (scene.local.frontend.config.limits.connections / 10).max(1);
                let place = if after.is_zero() { None } else { scene.rules.tarpit(most) };
                match (answer, place) {
                    (answer, Some(place)) => Decision::Tarpit(answer, after, place),
                    (Some(answer), None) => Decision::Answer(answer),
                    (None, None) => Decision::Silent,
                }
            }
        }
    }
}

impl Head<'_> {
    fn credentials(&self) -> Option<Credentials> {
        let mut found = None;
        self.any("authorization", &mut |value| {
            found = Credentials::from_authorization(value);
            found.is_some()
        });
        found
    }
}
