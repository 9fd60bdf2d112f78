//! Rules, compiled; and the way of one request through them.

use std::sync::Arc;
use std::time::Duration;

use relevo_model::cluster::{self, Action, RateKey, Users};
use relevo_model::{PoolName, UsersName};

use super::condition::{Conditions, Doubt};
use super::edit::{Changes, Edit, Path};
use super::request::{Facts, Request};
use super::text::{Into, Text};

/// A service's rules, compiled.
#[derive(Debug)]
pub struct Rules {
    pub(super) rules: Vec<Rule>,
    pools: Vec<PoolName>,
    limits: Vec<cluster::RateLimit>,
    looks_at_paths: bool,
}

/// A rule, compiled.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) line: usize,
    pub(super) when: Conditions,
    pub(super) unless: Option<Conditions>,
    /// What a path that can be read in two ways means to `when`.
    pub(super) doubt: Doubt,
    pub(super) actions: Vec<Act>,
}

/// What a rule does, compiled.
#[derive(Debug)]
pub(super) enum Act {
    Pool(usize),
    Redirect { to: Text, status: u16 },
    Return(cluster::Return),
    Deny(cluster::Deny),
    Request(Vec<Edit>),
    Response(Vec<Edit>),
    Rewrite(Path),
    Rate(usize),
    Auth { users: Arc<Users>, realm: String },
}

/// A rule that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rule in line {line}: {reason}")]
pub struct BadRule {
    /// Its line in the file.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// What must be done with a request now.
#[derive(Clone, Debug)]
pub enum Step<'r> {
    /// Ask the limiter of this number ([`Rules::limits`]) about a key; refuse the request if it says no, else go on.
    Rate {
        /// The limiter.
        limit: usize,
        /// The key.
        key: Key,
    },
    /// Ask for a name and password of one of these; refuse the request with 401 if they are wrong, else go on.
    Auth {
        /// Who may.
        users: &'r Arc<Users>,
        /// What the browser shows.
        realm: &'r str,
    },
    /// Done: this is what the rules say.
    Done(Verdict<'r>),
}

/// What a rate is counted by, of one request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// All requests together.
    All,
    /// The client's address.
    Source(std::net::IpAddr),
    /// A header's values.
    Header(Vec<u8>),
}

/// What the rules say about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'r> {
    /// Nothing: the service's own pool answers.
    Default,
    /// The pool of this number ([`Rules::pools`]) answers.
    Pool(usize),
    /// The client is sent elsewhere.
    Redirect {
        /// The URL.
        to: Vec<u8>,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
    /// The balancer answers.
    Return(&'r cluster::Return),
    /// The request is refused.
    Deny(cluster::Deny),
    /// The path can be read in several ways: 400, with this reason.
    Doubtful(&'static str),
}

/// Where a request is on its way through the rules. One value serves one request after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    rule: usize,
    action: usize,
    /// The actions that change something, passed so far.
    edits: Vec<(usize, usize)>,
    /// The line of the rule that decided, or the last that did something.
    line: Option<usize>,
}

impl Course {
    /// Back to the first rule.
    pub fn restart(&mut self) {
        (self.rule, self.action, self.line) = (0, 0, None);
        self.edits.clear();
    }

    /// The line of the rule that decided, or else of the last one that did something.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// Whether heads are to be changed.
    pub fn has_changes(&self) -> bool {
        !self.edits.is_empty()
    }
}

/// Why a path is refused.
pub(super) const DOUBTFUL: &str =
    "the path has a segment . or .. or a byte 0, and could be read in several ways";

impl Rules {
    /// Compiles rules. `users`: all lists of users of the file.
    ///
    /// # Errors
    /// The first rule that cannot be used.
    pub fn new(rules: &[cluster::Rule], users: &[Users]) -> Result<Self, BadRule> {
        let mut compiled =
            Self { rules: Vec::new(), pools: Vec::new(), limits: Vec::new(), looks_at_paths: false };
        let users: Vec<Arc<Users>> = users.iter().cloned().map(Arc::new).collect();
        for rule in rules {
            let rule =
                compiled.compile(rule, &users).map_err(|reason| BadRule { line: rule.line, reason })?;
            compiled.rules.push(rule);
        }
        Ok(compiled)
    }

    fn compile(&mut self, rule: &cluster::Rule, users: &[Arc<Users>]) -> Result<Rule, String> {
        let when = Conditions::new(&rule.when)?;
        let unless = rule.unless.as_ref().map(Conditions::new).transpose()?;
        let guards = |action: &Action| matches!(action, Action::Deny(_) | Action::Rate(_) | Action::Auth(_));
        let doubt = if rule.actions.iter().any(guards) { Doubt::Matches } else { Doubt::Differs };
        let actions = rule.actions.iter().map(|action| self.act(action, users)).collect::<Result<_, _>>()?;
        self.looks_at_paths |= when.looks_at_path()
            || unless.as_ref().is_some_and(Conditions::looks_at_path)
            || rule.actions.iter().any(|action| matches!(action, Action::Rewrite(_)));
        Ok(Rule { line: rule.line, when, unless, doubt, actions })
    }

    fn act(&mut self, action: &Action, users: &[Arc<Users>]) -> Result<Act, String> {
        let edits = |edits: &[cluster::HeaderEdit], of_answers| {
            edits.iter().map(|edit| Edit::new(edit, of_answers)).collect::<Result<Vec<_>, _>>()
        };
        Ok(match action {
            Action::Pool(pool) => {
                let known = self.pools.iter().position(|known| known == pool);
                Act::Pool(known.unwrap_or_else(|| {
                    self.pools.push(pool.clone());
                    self.pools.len() - 1
                }))
            }
            Action::Redirect(redirect) => {
                if !matches!(redirect.status, 301 | 302 | 303 | 307 | 308) {
                    return Err(format!("{} is not the status of a redirect", redirect.status));
                }
                Act::Redirect { to: Text::new(&redirect.to)?, status: redirect.status }
            }
            Action::Return(answer) => {
                if !(200..=599).contains(&answer.status) {
                    return Err(format!("{} is not the status of an answer", answer.status));
                }
                if answer.content_type.chars().any(char::is_control) {
                    return Err("the media type has a control character".to_owned());
                }
                Act::Return(answer.clone())
            }
            Action::Deny(deny) => {
                if deny.status != 0 && !(400..=599).contains(&deny.status) {
                    return Err(format!("{} is not the status of a refusal", deny.status));
                }
                Act::Deny(*deny)
            }
            Action::Request(list) => Act::Request(edits(list, false)?),
            Action::Response(list) => Act::Response(edits(list, true)?),
            Action::Rewrite(rewrite) => Act::Rewrite(Path::new(rewrite)?),
            Action::Rate(limit) => {
                if limit.requests == 0 || limit.period == Duration::ZERO {
                    return Err("a rate limit needs at least one request, and a time".to_owned());
                }
                self.limits.push(limit.clone());
                Act::Rate(self.limits.len() - 1)
            }
            Action::Auth(auth) => {
                if auth.realm.chars().any(char::is_control) {
                    return Err("the realm has a control character".to_owned());
                }
                Act::Auth { users: find(users, &auth.users)?, realm: auth.realm.clone() }
            }
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The pools that rules choose, by their numbers in [`Verdict::Pool`].
    pub fn pools(&self) -> &[PoolName] {
        &self.pools
    }

    /// The rate limits, by their numbers in [`Step::Rate`].
    pub fn limits(&self) -> &[cluster::RateLimit] {
        &self.limits
    }

    /// Whether some rule looks at TLS or at the name asked for in it.
    pub fn looks_at_tls(&self) -> bool {
        let looks = |conditions: &Conditions| conditions.written.looks_at_tls();
        self.rules.iter().any(|rule| looks(&rule.when) || rule.unless.as_ref().is_some_and(looks))
    }

    /// Goes on from where the course is, up to the next thing to do. After [`Step::Done`] the course must be restarted.
    pub fn step(&self, course: &mut Course, request: &Request<'_>) -> Step<'_> {
        if self.rules.is_empty() {
            return Step::Done(Verdict::Default);
        }
        let facts = Facts::new(request);
        if self.looks_at_paths && facts.readings.is_doubtful {
            return Step::Done(Verdict::Doubtful(DOUBTFUL));
        }
        while let Some(rule) = self.rules.get(course.rule) {
            if course.action == 0 && !rule.holds(&facts) {
                course.rule += 1;
                continue;
            }
            while let Some(act) = rule.actions.get(course.action) {
                let place = (course.rule, course.action);
                course.line = Some(rule.line);
                course.action += 1;
                if let Some(step) = self.on_act(act, place, course, &facts) {
                    return step;
                }
            }
            (course.rule, course.action) = (course.rule + 1, 0);
        }
        Step::Done(Verdict::Default)
    }

    fn on_act<'r>(
        &'r self,
        act: &'r Act,
        place: (usize, usize),
        course: &mut Course,
        facts: &Facts<'_>,
    ) -> Option<Step<'r>> {
        Some(match act {
            Act::Pool(pool) => Step::Done(Verdict::Pool(*pool)),
            Act::Redirect { to, status } => {
                Step::Done(Verdict::Redirect { to: location(to, facts), status: *status })
            }
            Act::Return(answer) => Step::Done(Verdict::Return(answer)),
            Act::Deny(deny) => Step::Done(Verdict::Deny(*deny)),
            Act::Request(_) | Act::Response(_) | Act::Rewrite(_) => {
                course.edits.push(place);
                return None;
            }
            Act::Rate(limit) => Step::Rate { limit: *limit, key: self.key(*limit, facts)? },
            Act::Auth { users, realm } => Step::Auth { users, realm },
        })
    }

    /// `None`: this request is not counted.
    fn key(&self, limit: usize, facts: &Facts<'_>) -> Option<Key> {
        match &self.limits.get(limit)?.by {
            RateKey::Source => Some(Key::Source(facts.request.source)),
            RateKey::All => Some(Key::All),
            RateKey::Header(name) => {
                // All of them, so that a second one does not make another client.
                let mut all: Option<Vec<u8>> = None;
                facts.request.headers.any(name, &mut |value| {
                    let all = all.get_or_insert_default();
                    all.extend_from_slice(value);
                    all.push(b'\n');
                    false
                });
                all.map(Key::Header)
            }
        }
    }

    /// Writes what the rules passed so far change in the request's head; returns the new path, if it is another one.
    pub fn change_request(
        &self,
        course: &Course,
        request: &Request<'_>,
        changes: &mut Changes,
    ) -> Option<Vec<u8>> {
        let facts = Facts::new(request);
        let mut path = None;
        for act in self.passed(course) {
            match act {
                Act::Request(edits) => edits.iter().for_each(|edit| changes.apply(edit, &facts)),
                Act::Rewrite(rewrite) => {
                    let before = path.as_deref().unwrap_or(&*facts.readings.plain);
                    path = rewrite.apply(before, &facts).or(path);
                }
                Act::Response(_)
                | Act::Pool(_)
                | Act::Redirect { .. }
                | Act::Return(_)
                | Act::Deny(_)
                | Act::Rate(_)
                | Act::Auth { .. } => {}
            }
        }
        path
    }

    /// Writes what the rules passed so far change in the answer's head.
    pub fn change_response(&self, course: &Course, request: &Request<'_>, changes: &mut Changes) {
        let facts = Facts::new(request);
        for act in self.passed(course) {
            if let Act::Response(edits) = act {
                edits.iter().for_each(|edit| changes.apply(edit, &facts));
            }
        }
    }

    fn passed(&self, course: &Course) -> impl Iterator<Item = &Act> {
        course.edits.iter().filter_map(|(rule, action)| self.rules.get(*rule)?.actions.get(*action))
    }
}

impl Rule {
    fn holds(&self, facts: &Facts<'_>) -> bool {
        self.when.failing(facts, self.doubt).is_none()
            && self.unless.as_ref().is_none_or(|unless| unless.failing(facts, self.doubt.other()).is_some())
    }
}

/// A redirect's URL. A path that begins with two slashes would name another host.
fn location(to: &Text, facts: &Facts<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    to.render(facts, Into::Url, &mut out);
    if out.starts_with(b"//") && !to.begins_with("//") {
        let slashes = out.iter().take_while(|byte| **byte == b'/').count();
        out.drain(1..slashes);
    }
    out
}

fn find(users: &[Arc<Users>], name: &UsersName) -> Result<Arc<Users>, String> {
    let found = users.iter().find(|users| users.name == *name);
    found.cloned().ok_or_else(|| format!("there are no users {name}"))
}
