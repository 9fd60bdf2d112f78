//! How a request or connection ended: who ended it, and what it was doing then.
//!
//! The letters are those of HAProxy's logs, so that what reads them reads these. The words are for people.

/// Who or what ended it; the first letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// Nobody: it was done.
    #[default]
    Done,
    /// The client left.
    Client,
    /// The client was silent for too long.
    ClientTimeout,
    /// The server refused or cut.
    Server,
    /// The server was silent for too long, or none was free in time.
    ServerTimeout,
    /// The balancer: a limit, a rule, or a side that broke the protocol.
    Refused,
    /// The balancer answered by itself: a rule, the cache, a page of its own.
    Local,
    /// The server was found to be down.
    ServerDown,
    /// The operator stopped the server or the node.
    Operator,
    /// Sockets, memory or ports have run out.
    Resources,
}

/// What it was doing; the second letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Done.
    #[default]
    Done,
    /// Waiting for the request from the client.
    Request,
    /// Waiting for a free server.
    Queue,
    /// Connecting to a server.
    Connect,
    /// Waiting for the answer's head.
    Head,
    /// The same, for a WebSocket.
    Upgrade,
    /// Carrying the answer.
    Data,
    /// Giving the client the last bytes after the server was done.
    Last,
    /// Held back on purpose.
    Tarpit,
}

/// How a request or connection ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Termination {
    /// Who ended it.
    pub cause: Cause,
    /// What it was doing.
    pub phase: Phase,
}

impl Termination {
    /// It was done.
    pub const DONE: Self = Self { cause: Cause::Done, phase: Phase::Done };

    /// Ended by someone in the middle of something.
    pub const fn new(cause: Cause, phase: Phase) -> Self {
        Self { cause, phase }
    }

    /// Whether somebody must be told: it is neither done nor answered by the balancer on purpose.
    pub const fn is_error(self) -> bool {
        !matches!(self.cause, Cause::Done | Cause::Local)
    }

    /// HAProxy's two letters.
    pub const fn letters(self) -> [u8; 2] {
        let cause = match self.cause {
            Cause::Done => b'-',
            Cause::Client => b'C',
            Cause::ClientTimeout => b'c',
            Cause::Server => b'S',
            Cause::ServerTimeout => b's',
            Cause::Refused => b'P',
            Cause::Local => b'L',
            Cause::ServerDown => b'D',
            Cause::Operator => b'K',
            Cause::Resources => b'R',
        };
        let phase = match self.phase {
            Phase::Done => b'-',
            Phase::Request => b'R',
            Phase::Queue => b'Q',
            Phase::Connect => b'C',
            Phase::Head | Phase::Upgrade => b'H',
            Phase::Data => b'D',
            Phase::Last => b'L',
            Phase::Tarpit => b'T',
        };
        [cause, phase]
    }

    /// The same in words.
    pub const fn words(self) -> &'static str {
        match (self.cause, self.phase) {
            (Cause::Done, _) => "done",
            (Cause::Local, _) => "answered by the balancer",
            (Cause::Client, Phase::Request) => "client left before its request was complete",
            (Cause::Client, Phase::Queue) => "client left while waiting for a free server",
            (Cause::Client, Phase::Connect) => "client left while connecting to the server",
            (Cause::Client, Phase::Head | Phase::Upgrade) => "client left before the server answered",
            (Cause::Client, Phase::Data | Phase::Last | Phase::Tarpit | Phase::Done) => "client left",
            (Cause::ClientTimeout, Phase::Request) => "request did not arrive in time",
            (Cause::ClientTimeout, Phase::Head | Phase::Upgrade) => "request body did not arrive in time",
            (
                Cause::ClientTimeout,
                Phase::Queue | Phase::Connect | Phase::Data | Phase::Last | Phase::Tarpit | Phase::Done,
            ) => "client did not read in time",
            (Cause::Server, Phase::Connect | Phase::Queue) => "no server accepts connections",
            (Cause::Server, Phase::Request | Phase::Head | Phase::Upgrade | Phase::Tarpit) => {
                "server closed before answering"
            }
            (Cause::Server, Phase::Data | Phase::Last | Phase::Done) => "server cut the answer",
            (Cause::ServerTimeout, Phase::Queue) => "queue timeout",
            (Cause::ServerTimeout, Phase::Connect) => "connect timeout",
            (Cause::ServerTimeout, Phase::Request | Phase::Head | Phase::Upgrade | Phase::Tarpit) => {
                "server timeout"
            }
            (Cause::ServerTimeout, Phase::Data | Phase::Last | Phase::Done) => "server timeout in the answer",
            (Cause::Refused, Phase::Request | Phase::Done) => "refused",
            (Cause::Refused, Phase::Tarpit) => "tarpit",
            (Cause::Refused, Phase::Head) => "server's answer is not valid",
            (Cause::Refused, Phase::Upgrade) => "server takes no WebSocket",
            (Cause::Refused, Phase::Queue) => "queue is full",
            (Cause::Refused, Phase::Connect) => "no server",
            (Cause::Refused, Phase::Data | Phase::Last) => "cut by the balancer",
            (Cause::ServerDown, _) => "server went down",
            (Cause::Operator, _) => "stopped by the operator",
            (Cause::Resources, _) => "out of resources",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_haproxys() {
        let letters = |cause, phase| Termination::new(cause, phase).letters();
        assert_eq!(Termination::DONE.letters(), *b"--");
        assert_eq!(letters(Cause::Client, Phase::Data), *b"CD");
        assert_eq!(letters(Cause::Server, Phase::Head), *b"SH");
        assert_eq!(letters(Cause::ServerTimeout, Phase::Queue), *b"sQ");
        assert_eq!(letters(Cause::Refused, Phase::Request), *b"PR");
        assert_eq!(letters(Cause::Refused, Phase::Upgrade), *b"PH");
    }
}
