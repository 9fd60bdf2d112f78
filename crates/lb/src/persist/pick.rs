//! The choice for one request or connection, from the first attempt to the last.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use relevo_model::Time;
use relevo_model::cluster::Balance;
use relevo_proto::balance::{Choice, Tried};
use relevo_proto::persistence::{Answer, Came, Cookies, Key, Told, Visit, affinity_key, hash_key};

use crate::backend::Backend;
use crate::local::LocalPool;

/// What is known of a request that needs a server.
#[derive(Debug)]
pub(crate) struct Pick {
    /// Its turn, once it needs one: a client that is bound takes none, or new ones would not be spread evenly.
    turn: Option<u64>,
    hash: Option<u64>,
    visit: Visit,
    bond: Option<Bond>,
    /// Whom it belongs to, until he was asked or cannot be.
    bound: Option<u16>,
    /// It belongs to somebody, and nobody else may get it.
    is_strict: bool,
    /// Whom it belongs to if so.
    owner: Option<u16>,
    tried: Tried,
    fallback: Option<u16>,
    left: u8,
}

/// Who is asked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This server; `has_place`: one of its places was taken.
    Server {
        /// Its number.
        number: u16,
        /// Whether the place must be given back.
        has_place: bool,
    },
    /// Nobody yet: wait, for the server with this id alone if there is one.
    Wait(Option<u64>),
    /// Nobody.
    Nobody,
}

/// A client that is, or will be, in the table.
#[derive(Debug)]
struct Bond {
    key: Key,
    known: Option<u64>,
}

impl Pick {
    /// For a request whose head was written for the server; what the server need not see of it is taken out. Or for a
    /// connection, without a head.
    pub(crate) fn new(backend: &Backend, source: IpAddr, mut head: Option<&mut Vec<u8>>, now: Time) -> Self {
        let config = &backend.config;
        let seen = head.as_deref().map(|head| &**head);
        let hash = match &config.balance {
            Balance::Hash(by) => hash_key(&by.key, source, seen),
            Balance::RoundRobin | Balance::StaticRr | Balance::LeastConn => None,
            Balance::First | Balance::Random => None,
        };
        let key = config.affinity.as_ref().and_then(|affinity| affinity_key(&affinity.key, source, seen));
        let bond = backend
            .affinity
            .as_ref()
            .and_then(|table| key.map(|key| Bond { key, known: table.find(&key, now) }));
        let mut visit = Visit::default();
        if let (Some(cookies), Some(head)) = (&backend.cookies, &mut head) {
            visit = cookies.visit(head, today(cookies));
            cookies.strip(head);
        }
        let known = || bond.as_ref().and_then(|bond| backend.number(bond.known?));
        let bound = visit.server.or_else(known);
        Self {
            turn: None,
            hash,
            visit,
            bond,
            bound,
            is_strict: bound.is_some() && !config.redispatch,
            owner: bound.filter(|_| !config.redispatch),
            tried: Tried::new(),
            fallback: backend.fallback(),
            left: config.retries,
        }
    }

    /// For a flow that was refused by these lately.
    pub(crate) fn resume(backend: &Backend, source: IpAddr, tried: Tried, now: Time) -> Self {
        let mut pick = Self::new(backend, source, None, now);
        pick.bound = pick.bound.filter(|bound| !tried.contains(*bound));
        Self { tried, ..pick }
    }

    /// Who gets a flow of datagrams, which waits for nobody and takes no place; `None`: nobody can.
    pub(crate) fn next_flow(&mut self, backend: &Backend, now: Time) -> Option<u16> {
        if let Some(bound) = self.bound.take()
            && backend.table.load().keeps(bound)
        {
            return Some(self.settle(backend, bound, now));
        }
        if self.is_strict {
            return None;
        }
        let turn = *self.turn.get_or_insert_with(|| backend.next_turn());
        match backend.choose(turn, self.hash, &self.tried) {
            Choice::Server(number) | Choice::Full(Some(number)) => Some(self.settle(backend, number, now)),
            Choice::Full(None) | Choice::Nobody => self.fallback.take(),
        }
    }

    /// Who is asked next. A place that it needs is taken.
    pub(crate) fn next(&mut self, backend: &Backend, now: Time) -> Next {
        if let Some(bound) = self.bound {
            if backend.table.load().keeps(bound) {
                let number = self.settle(backend, bound, now);
                return match backend.place(number) {
                    Some(has_place) => {
                        self.bound = None;
                        Next::Server { number, has_place }
                    }
                    None => Next::Wait(backend.server(number).map(|server| server.id)),
                };
            }
            self.bound = None;
            if self.visit.server == Some(bound) {
                self.visit.came = Came::Down;
            }
        }
        if self.is_strict {
            return Next::Nobody;
        }
        if self.left == 0 && !self.tried.is_empty() {
            return self.last();
        }
        let turn = *self.turn.get_or_insert_with(|| backend.next_turn());
        match backend.choose(turn, self.hash, &self.tried) {
            Choice::Server(number) => {
                let number = self.settle(backend, number, now);
                match backend.place(number) {
                    Some(has_place) => {
                        self.count();
                        Next::Server { number, has_place }
                    }
                    None => Next::Wait(None),
                }
            }
            Choice::Full(only) => Next::Wait(only.and_then(|number| Some(backend.server(number)?.id))),
            Choice::Nobody => self.last(),
        }
    }

    /// Notes who was got by waiting.
    pub(crate) fn given(&mut self, backend: &Backend, number: u16, now: Time) {
        self.count();
        if self.bound.take() != Some(number) {
            self.settle(backend, number, now);
        }
    }

    /// Goes on in another configuration of the same pool.
    pub(crate) fn moved(&mut self, from: &Backend, to: &Backend) {
        let place = |number: u16| to.number(from.server(number)?.id);
        self.bound = self.bound.and_then(place);
        self.visit.server = self.visit.server.and_then(place);
        self.owner = self.owner.and_then(place);
        let mut tried = Tried::new();
        let numbers = (0..u16::MAX).take(from.config.servers.len());
        for number in numbers.filter(|number| self.tried.contains(*number)).filter_map(place) {
            tried.add(number);
        }
        self.tried = tried;
        self.fallback = self.fallback.and(to.fallback());
    }

    fn last(&mut self) -> Next {
        self.fallback.take().map_or(Next::Nobody, |number| Next::Server { number, has_place: false })
    }

    /// An attempt after the first one counts.
    fn count(&mut self) {
        if !self.tried.is_empty() {
            self.left = self.left.saturating_sub(1);
        }
    }

    /// Notes that a server could not do it; whether another one may be asked.
    pub(crate) fn failed(&mut self, server: u16) -> bool {
        self.tried.add(server)
    }

    /// Whether somebody else could be asked now if `server` were given up.
    pub(crate) fn has_another(&self, backend: &Backend, server: u16) -> bool {
        let mut tried = self.tried;
        if self.is_strict || !tried.add(server) {
            return false;
        }
        let is_there = self.left > 0
            && match backend.choose(self.turn.unwrap_or_default(), self.hash, &tried) {
                Choice::Server(_) | Choice::Full(_) => true,
                Choice::Nobody => false,
            };
        is_there || self.fallback.is_some()
    }

    /// Nobody is left who was not tried: whether all of them may be tried once more.
    pub(crate) fn begin_again(&mut self) -> bool {
        if self.left == 0 || self.tried.is_empty() {
            return false;
        }
        self.left -= 1;
        self.tried = Tried::new();
        self.bound = self.owner;
        true
    }

    /// Whether there is a server for this client which cannot be asked, and nobody else may be.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_strict
    }

    /// What came of the pool's cookie; `None`: it has none.
    pub(crate) fn came(&self, backend: &Backend) -> Option<Came> {
        backend.cookies.is_some().then_some(self.visit.came)
    }

    /// How the client is told that this server is its own; `None`: it is not told.
    pub(crate) fn mark(&self, pool: &Rc<LocalPool>, server: u16) -> Option<Mark> {
        let is_told = pool.backend.cookies.is_some();
        is_told.then(|| Mark { pool: Rc::clone(pool), visit: self.visit, server })
    }

    /// Writes the server into the table; another one, if the client has got that just now by another connection.
    fn settle(&mut self, backend: &Backend, number: u16, now: Time) -> u16 {
        let (Some(bond), Some(table)) = (&mut self.bond, &backend.affinity) else { return number };
        let Some(server) = backend.server(number).map(|server| server.id) else { return number };
        if bond.known == Some(server) {
            return number;
        }
        let settled = table.settle(bond.key, server, bond.known, now);
        let other = backend.number(settled).filter(|other| {
            settled != server && !self.tried.contains(*other) && backend.table.load().keeps(*other)
        });
        if other.is_none() && settled != server {
            // That one is of no use to this request.
            table.settle(bond.key, server, Some(settled), now);
        }
        bond.known = Some(if other.is_some() { settled } else { server });
        other.unwrap_or(number)
    }
}

/// What an answer tells its client.
#[derive(Debug)]
pub(crate) struct Mark {
    pool: Rc<LocalPool>,
    visit: Visit,
    server: u16,
}

impl Mark {
    /// Writes it into the answer's head, which begins at `start`. `request`: the request's head.
    pub(crate) fn write(&self, request: &[u8], answer: &mut Vec<u8>, start: usize) -> Told {
        let Some(cookies) = &self.pool.backend.cookies else { return Told::Nothing };
        let is_post = request.starts_with(b"POST ");
        let Self { visit, server, .. } = *self;
        cookies.edit(answer, start, &Answer { visit, server, is_post, now: today(cookies) })
    }
}

/// Seconds since 1970, if these cookies need them.
fn today(cookies: &Cookies) -> u64 {
    if !cookies.is_dated() {
        return 0;
    }
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
