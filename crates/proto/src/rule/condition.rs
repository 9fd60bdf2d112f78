//! Conditions: what must be so for a rule to do what it says.

use relevo_model::cluster::{Condition, NameTest, Pattern};

use super::pattern::{Letters, Matcher};
use super::request::Facts;

/// A compiled condition.
#[derive(Debug)]
pub(super) struct Conditions {
    host: Vec<Matcher>,
    path: Vec<Matcher>,
    header: Vec<Test>,
    query: Vec<Test>,
    cookie: Vec<Test>,
    tls_name: Vec<Matcher>,
    /// The rest, as it was written.
    pub(super) written: Condition,
}

/// What a named thing must be.
#[derive(Debug)]
struct Test {
    name: String,
    /// `None`: not there. Empty: there.
    values: Option<Vec<Matcher>>,
}

/// What does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Tls,
    Source,
    Method,
    Host,
    Path,
    TlsName,
    Header(usize),
    Cookie(usize),
    Query(usize),
}

/// Which readings of a path must match, where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// One is enough: for what guards.
    Matches,
    /// All: for what lets through.
    Differs,
}

impl Doubt {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Matches => Self::Differs,
            Self::Differs => Self::Matches,
        }
    }
}

impl Conditions {
    /// Compiles a condition.
    ///
    /// # Errors
    /// What is wrong with one of its patterns.
    pub(super) fn new(condition: &Condition) -> Result<Self, String> {
        Ok(Self {
            host: all(&condition.host, host)?,
            path: all(&condition.path, Matcher::of_path)?,
            header: tests(&condition.header)?,
            query: tests(&condition.query)?,
            cookie: tests(&condition.cookie)?,
            tls_name: all(&condition.tls_name, host)?,
            written: condition.clone(),
        })
    }

    pub(super) fn looks_at_path(&self) -> bool {
        !self.path.is_empty()
    }

    /// The first thing that does not hold; `None`: all do. What is cheap is looked at first.
    pub(super) fn failing(&self, facts: &Facts<'_>, doubt: Doubt) -> Option<Part> {
        let request = &facts.request;
        if self.written.tls.is_some_and(|tls| tls != request.tls) {
            return Some(Part::Tls);
        }
        if !self.written.source.is_empty() {
            let source = facts.source();
            if !self.written.source.iter().any(|net| net.contains(source)) {
                return Some(Part::Source);
            }
        }
        let method = &self.written.method;
        if !method.is_empty() && !method.iter().any(|method| method.as_bytes() == request.method) {
            return Some(Part::Method);
        }
        if !self.host.is_empty() && !any(&self.host, &facts.host) {
            return Some(Part::Host);
        }
        if !self.tls_name.is_empty() && !any(&self.tls_name, request.tls_name) {
            return Some(Part::TlsName);
        }
        if !self.path.is_empty() && !self.is_path(facts, doubt) {
            return Some(Part::Path);
        }
        let failing =
            |tests: &[Test], holds: &dyn Fn(&Test) -> bool| tests.iter().position(|test| !holds(test));
        let header = |test: &Test| test.holds(|check| request.headers.any(&test.name, check));
        let cookie = |test: &Test| test.holds(|check| facts.any_cookie(&test.name, check));
        let query = |test: &Test| test.holds(|check| facts.parameters(&test.name).any(|value| check(&value)));
        failing(&self.header, &header)
            .map(Part::Header)
            .or_else(|| failing(&self.cookie, &cookie).map(Part::Cookie))
            .or_else(|| failing(&self.query, &query).map(Part::Query))
    }

    fn is_path(&self, facts: &Facts<'_>, doubt: Doubt) -> bool {
        let plain = any(&self.path, &facts.readings.plain);
        match (facts.readings.resolved(), doubt) {
            (None, _) => plain,
            (Some(resolved), Doubt::Matches) => plain || any(&self.path, resolved),
            (Some(resolved), Doubt::Differs) => plain && any(&self.path, resolved),
        }
    }
}

impl Test {
    /// `find`: whether there is a value that passes.
    fn holds(&self, find: impl FnOnce(&mut dyn FnMut(&[u8]) -> bool) -> bool) -> bool {
        match &self.values {
            None => !find(&mut |_| true),
            Some(values) => find(&mut |value| values.is_empty() || any(values, value)),
        }
    }
}

fn any(matchers: &[Matcher], text: &[u8]) -> bool {
    matchers.iter().any(|matcher| matcher.is_match(text))
}

fn all(
    patterns: &[Pattern],
    compile: impl Fn(&Pattern) -> Result<Matcher, String>,
) -> Result<Vec<Matcher>, String> {
    patterns.iter().map(compile).collect()
}

fn host(pattern: &Pattern) -> Result<Matcher, String> {
    Matcher::new(pattern, Letters::AnyCase)
}

fn tests(tests: &[NameTest]) -> Result<Vec<Test>, String> {
    let value = |pattern: &Pattern| Matcher::new(pattern, Letters::AsWritten);
    tests
        .iter()
        .map(|test| {
            let values = test.patterns.as_ref().map(|patterns| all(patterns, value)).transpose()?;
            Ok(Test { name: test.name.clone(), values })
        })
        .collect()
}
