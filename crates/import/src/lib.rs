//! Other programs' configuration files as a cluster file, with an account of every line.
//!
//! ```text
//!   files ──► a reader for each kind ──► what it says, with its places ──► Draft ──► text of a cluster file
//!                                                    └──────► Ledger: carried, approximated (how), dropped (why)
//! ```
//! Pure: it reads no disk itself. Nothing is left out in silence: a line that no reader settled is told as dropped. The text that
//! comes out passes `relevo check`, or it is a mistake of this room.

mod balancer;
mod dnsmasq;
mod draft;
mod finish;
mod haproxy;
mod interfaces;
mod keepalived;
mod l4;
mod ldirectord;
mod ledger;
mod place;
mod repair;
mod secret;
mod twins;

use draft::Draft;
use ledger::Ledger;
pub use ledger::{Entry, Fate};

/// A program whose files are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `/etc/network/interfaces` of ifupdown.
    Interfaces,
    /// keepalived.conf, of one director.
    Keepalived,
    /// ldirectord.cf.
    Ldirectord,
    /// haproxy.cfg.
    Haproxy,
    /// dnsmasq.conf.
    Dnsmasq,
}

/// A file.
#[derive(Clone, Debug)]
pub struct Input {
    /// Whose it is, if that was said.
    pub node: Option<String>,
    /// Its name for people.
    pub path: String,
    /// Its kind.
    pub kind: Kind,
    /// Its text.
    pub text: String,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The cluster file.
    pub text: String,
    /// What became of every line.
    pub entries: Vec<Entry>,
}

/// How to import.
pub struct Options<'a> {
    /// The cluster's name.
    pub name: String,
    /// Finds the files of keepalived's `include`: the pattern, and the file that it stands in. Each with its name and text,
    /// or why it cannot be read.
    #[allow(clippy::type_complexity, reason = "said once")]
    pub include: &'a dyn Fn(&str, &str) -> Vec<(String, Result<String, String>)>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why no cluster file came of it.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why.
    pub why: String,
    /// What became of every line, as far as it got.
    pub entries: Vec<Entry>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no cluster file can be made of this: {}", self.why)
    }
}

impl std::error::Error for Refused {}

/// Makes a cluster file of other programs' files. Files of a kind are taken in the order in which they are given.
///
/// # Errors
///
/// When what they say is no cluster, whatever is left out.
pub fn import(inputs: &[Input], options: &Options<'_>) -> Result<Imported, Refused> {
    let mut draft = Draft { name: options.name.clone(), ..Draft::default() };
    let mut ledger = Ledger::default();
    let mut hints = interfaces::Hints::default();
    let mut elsewhere = Vec::new();
    // The report has the files as they were given.
    for input in inputs {
        ledger.open_file(&input.path);
    }
    draft.spoken_of = inputs.iter().flat_map(|input| place::addresses_in(&input.text)).collect();
    draft.claims = inputs
        .iter()
        .filter(|input| input.kind == Kind::Haproxy)
        .flat_map(|input| place::servers_in(&input.text))
        .collect();
    let of = |kind| inputs.iter().filter(move |input| input.kind == kind);
    for (index, input) in of(Kind::Interfaces).enumerate() {
        let node = node_of(input, index);
        interfaces::map(input, &node, &mut draft, &mut ledger, &mut hints);
    }
    let directors: Vec<_> = of(Kind::Keepalived)
        .enumerate()
        .map(|(index, input)| {
            let node = node_of(input, index);
            keepalived::read(input, &node, options.include, &mut ledger, &mut elsewhere)
        })
        .collect();
    keepalived::map(&directors, of(Kind::Haproxy).next().is_some(), &mut draft, &mut ledger);
    name_directors(inputs, &mut draft);
    // Names for addresses first: servers are called after them.
    let leases = of(Kind::Dnsmasq).next().map(|input| dnsmasq::read(input, &mut draft, &mut ledger));
    if let Some(input) = of(Kind::Haproxy).next() {
        haproxy::map(input, &mut draft, &mut ledger);
    }
    if let Some(input) = of(Kind::Ldirectord).next() {
        ldirectord::map(input, &mut draft, &mut ledger);
    }
    keepalived::balance(&directors, &mut draft, &mut ledger);
    if let Some(leases) = &leases {
        dnsmasq::map(leases, &mut draft, &mut ledger);
    }
    finish::all(&mut draft, &mut ledger, &hints);
    for (at, id) in elsewhere {
        if !ledger.is_settled(&at) {
            let why = format!(
                "only for the directors that {id} means: give the file once for each, as in NAME={}",
                at.file
            );
            ledger.dropped(&at, why);
        }
    }
    let head = [
        "Made by `relevo import`. Its report says line by line what was carried over, what only about, and what not.".to_owned(),
    ];
    let text = repair::repaired(draft.text(&head), &mut ledger);
    // What became of the first file's lines is known only now.
    for kind in [Kind::Haproxy, Kind::Ldirectord, Kind::Dnsmasq] {
        let mut same = of(kind);
        if let Some(first) = same.next() {
            for other in same {
                twins::account(first, other, &mut ledger);
            }
        }
    }
    let entries = ledger.close();
    match text {
        Ok(text) => Ok(Imported { text, entries }),
        Err(why) => Err(Refused { why, entries }),
    }
}

/// Who the directors are: whoever has keepalived, or else a balancer's file of its own, or else interfaces.
fn name_directors(inputs: &[Input], draft: &mut Draft) {
    if draft.nodes.iter().any(|node| node.is_director) {
        return;
    }
    let balancers = inputs.iter().filter(|input| matches!(input.kind, Kind::Haproxy | Kind::Ldirectord));
    let named: Vec<&String> = balancers.filter_map(|input| input.node.as_ref()).collect();
    for name in &named {
        draft.node(name).is_director = true;
    }
    if named.is_empty() {
        for node in &mut draft.nodes {
            node.is_director = true;
        }
    }
    if draft.nodes.is_empty() {
        let node = draft.node("director1");
        node.is_director = true;
        node.comments
            .push("No file says who the directors are: this one is made up. Write all of them.".to_owned());
    }
}

/// Whose a file is: as was said, or by its place among those of its kind.
fn node_of(input: &Input, index: usize) -> String {
    input.node.clone().unwrap_or_else(|| format!("director{}", index + 1))
}

impl Kind {
    /// By the file's name, else by what it says.
    pub fn of(path: &str, text: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        let by_name = [
            ("keepalived", Self::Keepalived),
            ("ldirectord", Self::Ldirectord),
            ("haproxy", Self::Haproxy),
            ("dnsmasq", Self::Dnsmasq),
            ("interfaces", Self::Interfaces),
        ];
        if let Some((_, kind)) = by_name.iter().find(|(word, _)| name.contains(word)) {
            return Some(*kind);
        }
        let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
        let words: Vec<String> = text.lines().filter_map(first).collect();
        let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
        if has(&["vrrp_instance", "vrrp_sync_group", "virtual_server"]) {
            Some(Self::Keepalived)
        } else if has(&["frontend", "backend", "listen", "defaults"]) {
            Some(Self::Haproxy)
        } else if has(&["iface"]) {
            Some(Self::Interfaces)
        } else if words.iter().any(|word| word.starts_with("virtual=")) {
            Some(Self::Ldirectord)
        } else if words.iter().any(|word| word.starts_with("dhcp-range=") || word.starts_with("dhcp-host=")) {
            Some(Self::Dnsmasq)
        } else {
            None
        }
    }
}
