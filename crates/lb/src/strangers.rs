//! Clients that never came to a request, for the access log. Who has said nothing at all is not among them: whoever looks
//! whether a port is open would fill the log.

use std::io;
use std::net::SocketAddr;

use relevo_model::Time;
use relevo_model::cluster::LogChoice;

use crate::local::Presence;
use crate::log::{Failure, Stranger};

/// A connection that was just accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Which entry of the service's `listen` it came to, from 1.
    pub(crate) listen: usize,
    /// The client, as far as is known.
    pub(crate) peer: SocketAddr,
    /// When, by the coarse clock.
    pub(crate) at: Time,
}

/// Writes the line of a connection whose TLS handshake ended so.
pub(crate) fn handshake_ended(presence: &Presence, arrival: Arrival, error: &io::Error) {
    let kind = error.kind();
    // The service is gone.
    if kind == io::ErrorKind::ConnectionAborted {
        return;
    }
    let failure = if kind == io::ErrorKind::InvalidData {
        Failure::Handshake
    } else if kind == io::ErrorKind::TimedOut {
        Failure::HandshakeSlow
    } else {
        Failure::HandshakeLeft
    };
    write(presence, arrival, failure, error);
}

/// The same of one whose PROXY header ended so.
pub(crate) fn header_ended(presence: &Presence, arrival: Arrival, error: &io::Error, has_begun: bool) {
    let kind = error.kind();
    let failure = if kind == io::ErrorKind::InvalidData {
        Failure::WrongHeader
    } else if kind == io::ErrorKind::InvalidInput {
        Failure::NoHeader
    } else if !has_begun || kind == io::ErrorKind::ConnectionAborted {
        return;
    } else if kind == io::ErrorKind::TimedOut {
        Failure::HeaderSlow
    } else {
        Failure::HeaderLeft
    };
    write(presence, arrival, failure, error);
}

fn write(presence: &Presence, arrival: Arrival, failure: Failure, error: &io::Error) {
    let local = &presence.local;
    let config = &local.frontend.config;
    let mut journal = local.worker.journal.borrow_mut();
    let Some(journal) = journal.as_mut().filter(|_| config.log.what != LogChoice::None) else { return };
    // What the kernel calls it says nothing more.
    let reason = match failure {
        Failure::Handshake | Failure::NoHeader | Failure::WrongHeader => error.to_string(),
        Failure::HandshakeLeft | Failure::HandshakeSlow | Failure::HeaderLeft | Failure::HeaderSlow => {
            String::new()
        }
    };
    journal.write_stranger(&Stranger {
        client: arrival.peer,
        accepted: local.worker.wall_ms(arrival.at),
        service: &config.name,
        listen: arrival.listen,
        failure,
        reason: &reason,
    });
}
