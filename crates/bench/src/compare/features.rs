//! What both balancers do beside carrying requests, so that they are compared as people use them.

/// Things that can be on or off, on both sides alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// The access log, a line for each request, to a syslog socket.
    pub log: bool,
    /// A handful of rules.
    pub rules: bool,
    /// The statistics page.
    pub stats: bool,
}

impl Features {
    /// As people have it.
    pub const ALL: Self = Self { log: true, rules: true, stats: true };

    /// Nothing that can be left out.
    pub const NONE: Self = Self { log: false, rules: false, stats: false };

    /// In words, checks included: those are always on.
    pub fn words(self) -> String {
        let named = [(self.log, "access log"), (self.rules, "rules"), (self.stats, "statistics page")];
        let on: Vec<&str> = named.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        std::iter::once("checks").chain(on).collect::<Vec<_>>().join(", ")
    }

    /// What is on here and not there.
    pub(super) fn without(self, other: Self) -> Vec<&'static str> {
        let named = [
            (self.log && !other.log, "access log"),
            (self.rules && !other.rules, "rules"),
            (self.stats && !other.stats, "statistics page"),
        ];
        named.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect()
    }
}
