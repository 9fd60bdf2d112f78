//! What persistence found in a request and did to its answer, in HAProxy's letters: the third and fourth of how a request ended.

/// The cookie that came with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Came {
    /// None.
    #[default]
    Nothing,
    /// One that names no server of the pool.
    Invalid,
    /// Its server gets no more requests.
    Down,
    /// One that names a server.
    Valid,
    /// It was not used for too long (`max_idle`).
    Expired,
    /// The client has had it for too long (`max_life`).
    Old,
}

/// What an answer tells its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// Nothing: neither the server nor the balancer has set a cookie.
    #[default]
    Nothing,
    /// The balancer has set a cookie.
    Inserted,
    /// The server's own cookie passed as it was.
    Passed,
    /// The client has the same cookie again, with new dates.
    Updated,
    /// The server's own cookie was changed.
    Rewritten,
    /// The server's own cookie was taken out.
    Deleted,
}

impl Came {
    /// HAProxy's letter.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Nothing => b'N',
            Self::Invalid => b'I',
            Self::Down => b'D',
            Self::Valid => b'V',
            Self::Expired => b'E',
            Self::Old => b'O',
        }
    }
}

impl Told {
    /// HAProxy's letter.
    pub const fn letter(self) -> u8 {
        match self {
            Self::Nothing => b'N',
            Self::Inserted => b'I',
            Self::Passed => b'P',
            Self::Updated => b'U',
            Self::Rewritten => b'R',
            Self::Deleted => b'D',
        }
    }
}
