//! How the process ends: what it waits for, and in which order things go when it stops or leaves everything to another process.

use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use relevo_api::server::{Control, Refusal, Server};

use super::{Event, RunError, wall_ms};
use crate::control::Node;
use crate::director::Director;
use crate::duty::Leaving;
use crate::notify;
use crate::upgrade::Giver;

/// Waits until the process shall end. True: another one has taken over.
pub(super) fn until_told(node: &Node, giver: &Giver<'_>, events: &Receiver<Event>) -> bool {
    loop {
        match events.recv() {
            Ok(Event::Upgrade(answer)) => {
                tracing::info!("the operator asks: another process of the program shall take over");
                let upgraded = giver.hand_over();
                let is_left = upgraded.is_ok();
                match &upgraded {
                    Ok(upgraded) => {
                        notify::tell(&format!("MAINPID={}", upgraded.to));
                        tracing::info!(
                            pid = upgraded.to,
                            version = upgraded.version,
                            took_ms = upgraded.took_ms,
                            "another process has taken over; this one finishes its connections"
                        );
                    }
                    Err(refusal) => tracing::warn!("{refusal}"),
                }
                // Who asked may have lost patience.
                let _ = answer.send(upgraded);
                if is_left {
                    return true;
                }
            }
            Ok(Event::Signal(Signal::SIGHUP)) => {
                tracing::info!("SIGHUP: reading the cluster file again");
                node.reopen_log();
                // It tells in the log what came of it.
                if let Err(Refusal::Mistakes { details, .. }) = node.reload() {
                    tracing::warn!("{details}");
                }
            }
            Ok(Event::Signal(signal)) => {
                tracing::info!(signal = signal.as_str(), "stopping");
                return false;
            }
            Ok(Event::Stopped) | Err(_) => return false,
        }
    }
}

/// Finishes the connections that this process has; another one has all else. A signal ends it at once.
pub(super) fn finish(
    node: &Arc<Node>,
    grace: Duration,
    sender: Sender<Event>,
    events: &Receiver<Event>,
) -> Result<(), RunError> {
    drop(node.truth().take());
    if let Some(peers) = node.peers.get() {
        peers.stop();
    }
    drop(node.stats.lock().unwrap_or_else(PoisonError::into_inner).take());
    drop(node.tracking.lock().unwrap_or_else(PoisonError::into_inner).take());
    node.dhcp.stop();
    node.dns.stop();
    let leaving = Arc::clone(node);
    let work = move || {
        if let Some(balancer) = leaving.take_balancer() {
            balancer.leave(grace);
        }
    };
    meanwhile(work, sender, events, |signal| {
        tracing::warn!(signal = signal.as_str(), "connections that are not finished are cut");
    })?;
    tracing::info!("stopped; another process goes on");
    Ok(())
}

/// Stops: addresses, requests in progress, all else. A second signal ends it at once.
pub(super) fn stop(
    node: &Arc<Node>,
    server: Server,
    grace: Duration,
    sender: Sender<Event>,
    events: &Receiver<Event>,
) -> Result<(), RunError> {
    let brake = node.director.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(Director::brake);
    let stopping = Arc::clone(node);
    meanwhile(
        move || give_away(&stopping, grace),
        sender,
        events,
        |signal| {
            tracing::warn!(signal = signal.as_str(), "a second signal: stopping at once");
            // Nobody shall find an address here, not even until its lease ends.
            if let Some(brake) = brake {
                brake.pull();
            }
        },
    )?;
    node.moves.end(true);
    server.stop();
    node.dhcp.stop();
    node.dns.stop();
    // It has the node, and the node has it.
    drop(node.stats.lock().unwrap_or_else(PoisonError::into_inner).take());
    let mut state = node.state.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = state.record_end(wall_ms()) {
        tracing::warn!(%error, "the end of this run cannot be written to the state folder");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Does work that takes time, and hears signals meanwhile: the first one is told to `hurry`, and the work is not waited for.
fn meanwhile(
    work: impl FnOnce() + Send + 'static,
    sender: Sender<Event>,
    events: &Receiver<Event>,
    hurry: impl FnOnce(Signal),
) -> Result<(), RunError> {
    std::thread::Builder::new()
        .name("stop".to_owned())
        .spawn(move || {
            work();
            // Nobody listens after a signal.
            let _ = sender.send(Event::Stopped);
        })
        .map_err(|source| RunError::System { what: "the stopping thread", source })?;
    while let Ok(event) = events.recv() {
        match event {
            Event::Stopped => break,
            // Who reloads or upgrades a process that ends is told so, or means the one that goes on.
            Event::Signal(Signal::SIGHUP) | Event::Upgrade(_) => {}
            Event::Signal(signal) => {
                hurry(signal);
                break;
            }
        }
    }
    Ok(())
}

/// Gives the addresses away while the balancer still answers, then lets requests in progress end.
fn give_away(node: &Node, grace: Duration) {
    node.duties.rest(Leaving::Planned);
    if let Some(bfd) = &*node.bfd() {
        bfd.stop();
    }
    let director = node.director.write().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(director) = director {
        director.shutdown();
        tracing::info!("the addresses are given away");
    }
    drop(node.bfd().take());
    drop(node.truth().take());
    drop(node.tracking.lock().unwrap_or_else(PoisonError::into_inner).take());
    node.moves.wait_for_strays();
    let left = node.moves.left();
    if let Some(balancer) = node.take_balancer() {
        match left {
            // The new owner leads their packets here: clients that are idle have time to ask once more.
            Some(left) => balancer.leave(left.max(grace)),
            None => balancer.shutdown(grace),
        }
    }
    // What was sent has not arrived yet.
    node.moves.wait_for_the_last();
    node.moves.end(true);
    if let Some(peers) = node.peers.get() {
        peers.stop();
    }
    // Never before the addresses: what is not translated would be answered by this machine itself.
    node.flows.end(true);
}
