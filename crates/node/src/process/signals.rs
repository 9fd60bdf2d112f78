//! What ends or changes the process: signals, an upgrade, its own end.

use std::sync::mpsc::Sender;

use nix::sys::signal::{SigSet, Signal};
use relevo_api::server::Refusal;
use relevo_api::types::Upgraded;

use super::RunError;

/// What the main thread waits for.
#[derive(Debug)]
pub(crate) enum Event {
    Signal(Signal),
    /// Another process shall take over; who asked waits.
    Upgrade(Sender<Result<Upgraded, Refusal>>),
    Stopped,
}

/// The signals that the process answers.
pub(crate) fn waited_signals() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect()
}

/// No thread that begins after this is interrupted by them.
pub(crate) fn block(signals: &SigSet) -> Result<(), RunError> {
    signals
        .thread_block()
        .map_err(|error| RunError::System { what: "waiting for signals", source: error.into() })
}

/// A thread that says which of them come.
pub(crate) fn wait_for_signals(signals: SigSet, events: Sender<Event>) -> Result<(), RunError> {
    let wait = move || {
        while let Ok(signal) = signals.wait() {
            if events.send(Event::Signal(signal)).is_err() {
                break;
            }
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .map(drop)
        .map_err(|source| RunError::System { what: "waiting for signals", source })
}
