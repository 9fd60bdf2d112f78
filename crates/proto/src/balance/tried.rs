//! The servers that one request has met already.

/// The servers that were already tried for one request; no allocation, at most [`Tried::MOST`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Tried {
    pub(super) servers: [u16; Self::MOST],
    pub(super) count: usize,
}

impl Tried {
    /// Most servers that are tried for one request.
    pub const MOST: usize = 16;

    /// None was tried.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a server. `false`: the list is full, give up.
    pub fn add(&mut self, server: u16) -> bool {
        if let Some(place) = self.servers.get_mut(self.count) {
            *place = server;
            self.count += 1;
        }
        self.count < Self::MOST
    }

    /// Whether this server was tried.
    pub fn contains(&self, server: u16) -> bool {
        self.servers.iter().take(self.count).any(|tried| *tried == server)
    }

    /// Whether none was tried.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}
