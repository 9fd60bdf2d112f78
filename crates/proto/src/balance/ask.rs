//! What is asked of a table, and what it says.

use super::Tried;

/// One request or connection that needs a server.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a, Load> {
    /// Its number. All who balance one pool count together, so that consecutive requests go in turn.
    pub turn: u64,
    /// A number drawn at random; only [`relevo_model::cluster::Balance::Random`] looks at it.
    pub random: u64,
    /// The hash of its key; `None`: it has no such key, and goes in turn.
    pub hash: Option<u64>,
    /// How many requests or connections a server has now.
    pub load: Load,
    /// Who was asked already.
    pub tried: &'a Tried,
}

/// Who gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This server.
    Server(u16),
    /// Nobody yet: all who may have as much as they take at a time. `Some`: wait for this one alone, because its key
    /// belongs there.
    Full(Option<u16>),
    /// Nobody may get it.
    Nobody,
}

impl Choice {
    /// The server, if one was chosen.
    pub const fn server(self) -> Option<u16> {
        match self {
            Self::Server(server) => Some(server),
            Self::Full(_) | Self::Nobody => None,
        }
    }
}
