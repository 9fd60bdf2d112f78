//! keepalived.conf, one for each director, or one for all with conditions (`@main`).
//!
//! ```text
//!   text ──language──► lines (includes, $macros, @conditions, ~SEQ done) ──tree──► blocks ──vrrp──► groups, addresses
//!                                                                                   └──l4──► services
//! ```
//! Source: keepalived.conf(5) of keepalived 2.2.7.

mod checker;
mod command;
mod l4;
mod language;
mod tree;
mod vrrp;

pub(crate) use l4::map as balance;
pub(crate) use language::Include;
pub(crate) use tree::Node;
pub(crate) use vrrp::map;

use crate::Input;
use crate::ledger::{At, Ledger};

/// A director's file, evaluated for it.
#[derive(Debug)]
pub(crate) struct Director {
    /// The node's name.
    pub(crate) name: String,
    /// Its blocks.
    pub(crate) blocks: Vec<Node>,
}

/// Reads a director's file. `elsewhere`: lines that are for other directors only.
pub(crate) fn read(
    input: &Input,
    name: &str,
    include: &Include<'_>,
    ledger: &mut Ledger,
    elsewhere: &mut Vec<(At, String)>,
) -> Director {
    let lines = language::evaluate(input, name, include, ledger, elsewhere);
    Director { name: name.to_owned(), blocks: tree::build(&lines) }
}
