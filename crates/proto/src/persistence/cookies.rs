//! Persistence by a cookie, as HAProxy's users know it: who the client wants, what the server sees of that, and what
//! the client is told.

use relevo_model::cluster::{Cookie, CookieMode, SameSite};

use super::cookie::{self, pair};
use super::letters::{Came, Told};
use super::stamp::{self, Age, Limits};
use crate::head::{fields_start, lines_from};

/// Between the server and the value in mode `prefix`.
const DELIMITER: u8 = b'~';

/// A pool's cookie, ready to be used.
#[derive(Clone, Debug)]
pub struct Cookies {
    name: Box<[u8]>,
    mode: CookieMode,
    indirect: bool,
    nocache: bool,
    postonly: bool,
    preserve: bool,
    limits: Limits,
    /// What stands behind the value, CRLF included.
    attributes: Box<[u8]>,
    /// By server.
    values: Box<[Box<[u8]>]>,
    /// By value.
    servers: Box<[(Box<[u8]>, u16)]>,
}

/// What a request's cookie says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visit {
    /// The server that the client belongs to.
    pub server: Option<u16>,
    /// What came.
    pub came: Came,
    renew: bool,
    first: Option<u64>,
}

impl Visit {
    /// Of a cookie without dates.
    fn plain(server: Option<u16>) -> Self {
        let came = if server.is_some() { Came::Valid } else { Came::Invalid };
        Self { server, came, ..Self::default() }
    }

    fn void(came: Came) -> Self {
        Self { came, ..Self::default() }
    }
}

/// An answer that is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// What the request's cookie said.
    pub visit: Visit,
    /// Who answered.
    pub server: u16,
    /// Whether the request was a POST.
    pub is_post: bool,
    /// Seconds since 1970, UTC.
    pub now: u64,
}

impl Cookies {
    /// For servers with these values, in the pool's order. Of two with one value the first counts.
    pub fn new<'a>(config: &Cookie, values: impl IntoIterator<Item = &'a str>) -> Self {
        let values: Box<[Box<[u8]>]> = values.into_iter().map(|value| value.as_bytes().into()).collect();
        let mut servers: Vec<(Box<[u8]>, u16)> = values.iter().cloned().zip(0..u16::MAX).collect();
        servers.sort();
        servers.dedup_by(|later, earlier| later.0 == earlier.0);
        let is_insert = config.mode == CookieMode::Insert;
        Self {
            name: config.name.as_bytes().into(),
            mode: config.mode,
            indirect: config.indirect,
            nocache: config.nocache,
            postonly: config.postonly,
            preserve: config.preserve,
            limits: match is_insert {
                true => Limits { max_idle: config.max_idle, max_life: config.max_life },
                false => Limits::default(),
            },
            attributes: attributes(config).into_bytes().into(),
            values,
            servers: servers.into(),
        }
    }

    /// Whether dates stand in the values: only then [`Cookies::visit`] and [`Answer`] need the time.
    pub fn is_dated(&self) -> bool {
        self.limits != Limits::default()
    }

    /// Reads a request's head. `now`: seconds since 1970, UTC.
    pub fn visit(&self, head: &[u8], now: u64) -> Visit {
        let Some(value) = cookie::cookie(head, &self.name) else { return Visit::default() };
        match self.mode {
            CookieMode::Insert => {}
            CookieMode::Rewrite => return Visit::plain(self.server(value)),
            CookieMode::Prefix => {
                let end = memchr::memchr(DELIMITER, value).unwrap_or(value.len());
                return Visit::plain(value.get(..end).and_then(|name| self.server(name)));
            }
        }
        let (plain, dates) = match self.server(value) {
            Some(_) => (value, &[][..]),
            None => stamp::split(value),
        };
        match (self.server(plain), self.limits.age(dates, now)) {
            (None, _) => Visit::void(Came::Invalid),
            (Some(_), Age::Expired) => Visit::void(Came::Expired),
            (Some(_), Age::Old) => Visit::void(Came::Old),
            (server @ Some(_), Age::Good { renew, first }) => {
                Visit { server, came: Came::Valid, renew, first }
            }
        }
    }

    /// Takes out of a request's head what its server need not see.
    pub fn strip(&self, head: &mut Vec<u8>) {
        let hides = match self.mode {
            CookieMode::Insert => self.indirect,
            CookieMode::Prefix => true,
            CookieMode::Rewrite => false,
        };
        if !hides {
            return;
        }
        let mut from = fields_start(head);
        while let Some(pair) = cookie::find(head, &self.name, from) {
            if self.mode == CookieMode::Insert {
                // The same line may hold another one; a line that is gone has left its place to the next.
                cookie::remove(head, &pair);
                from = pair.line.start;
                continue;
            }
            // Also that of a server which is no more: the next one gets the value as the last one set it.
            if let Some(length) = memchr::memchr(DELIMITER, pair.value(head)) {
                head.drain(pair.value..=pair.value + length);
            }
            // Servers take the first one of a name: what else there is stays as it is.
            return;
        }
    }

    /// Writes into an answer's head, which begins at `start`, what the client is to know, and says what that was.
    pub fn edit(&self, head: &mut Vec<u8>, start: usize, answer: &Answer) -> Told {
        let Some(value) = self.values.get(usize::from(answer.server)) else { return Told::Nothing };
        let is_direct = answer.visit.server == Some(answer.server);
        let is_set = self.edit_servers_own(head, start, value, is_direct);
        let wanted = self.mode == CookieMode::Insert
            && !(is_set && self.preserve)
            && (!is_direct || answer.visit.renew)
            && (!self.postonly || answer.is_post);
        if wanted {
            self.insert(head, value, answer, is_direct);
        }
        if self.nocache && (wanted || (is_set && self.mode != CookieMode::Insert)) {
            insert_line(head, |out| out.extend_from_slice(b"Cache-Control: private\r\n"));
        }
        match (wanted, is_set, self.mode) {
            (true, _, _) if is_direct => Told::Updated,
            (true, _, _) => Told::Inserted,
            (false, false, _) => Told::Nothing,
            (false, true, _) if self.preserve => Told::Passed,
            (false, true, CookieMode::Insert) => Told::Deleted,
            (false, true, CookieMode::Rewrite) if is_direct && self.indirect => Told::Deleted,
            (false, true, CookieMode::Rewrite | CookieMode::Prefix) => Told::Rewritten,
        }
    }

    /// Edits the cookies of this name that the server sets itself; whether there are any.
    fn edit_servers_own(&self, head: &mut Vec<u8>, start: usize, value: &[u8], is_direct: bool) -> bool {
        let mut found = false;
        let mut from = start + fields_start(head.get(start..).unwrap_or_default());
        loop {
            let Some(line) = lines_from(head, from).find(|line| line.is(head, b"set-cookie")) else { break };
            from = line.end;
            let length = memchr::memchr(b';', line.value(head)).unwrap_or(line.value_end - line.value);
            let Some(own) = pair(head, line, line.value, line.value + length)
                .filter(|pair| head.get(pair.start..pair.name_end) == Some(&*self.name))
            else {
                continue;
            };
            found = true;
            let before = head.len();
            if self.preserve {
                continue;
            }
            match self.mode {
                CookieMode::Insert => drop(head.drain(line.start..line.end)),
                CookieMode::Rewrite if is_direct && self.indirect => drop(head.drain(line.start..line.end)),
                CookieMode::Rewrite => drop(head.splice(own.value..own.value_end, value.iter().copied())),
                CookieMode::Prefix => {
                    let prefix = value.iter().copied().chain([DELIMITER]);
                    drop(head.splice(own.value..own.value, prefix));
                }
            }
            from = (from + head.len()).saturating_sub(before);
        }
        found
    }

    fn insert(&self, head: &mut Vec<u8>, value: &[u8], answer: &Answer, is_direct: bool) {
        insert_line(head, |out| {
            out.extend_from_slice(b"Set-Cookie: ");
            out.extend_from_slice(&self.name);
            out.push(b'=');
            out.extend_from_slice(value);
            self.limits.write(answer.now, answer.visit.first.filter(|_| is_direct), out);
            out.extend_from_slice(&self.attributes);
        });
    }

    fn server(&self, value: &[u8]) -> Option<u16> {
        let place = self.servers.binary_search_by(|(other, _)| (**other).cmp(value)).ok()?;
        self.servers.get(place).map(|(_, server)| *server)
    }
}

/// Writes a line before the empty one that ends a head.
fn insert_line(head: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if head.ends_with(b"\r\n") {
        head.truncate(head.len() - 2);
        write(head);
        head.extend_from_slice(b"\r\n");
    }
}

fn attributes(config: &Cookie) -> String {
    let mut text = "; path=/".to_owned();
    if let Some(domain) = &config.domain {
        text += &format!("; domain={domain}");
    }
    if config.httponly {
        text += "; HttpOnly";
    }
    if config.secure {
        text += "; Secure";
    }
    match config.samesite {
        Some(SameSite::Strict) => text += "; SameSite=Strict",
        Some(SameSite::Lax) => text += "; SameSite=Lax",
        Some(SameSite::None) => text += "; SameSite=None",
        None => {}
    }
    text + "\r\n"
}
