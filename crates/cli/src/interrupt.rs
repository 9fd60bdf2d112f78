//! Ctrl-C and SIGTERM as a flag, for commands that must undo something before they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// A flag that SIGINT, SIGTERM and SIGHUP set from now on, rather than ending the process.
pub(crate) fn flag() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot listen to signals")?;
    let guard = runtime.enter();
    let mut signals = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        signals.push(signal(kind).context("cannot listen to signals")?);
    }
    drop(guard);
    let set = Arc::clone(&flag);
    std::thread::spawn(move || {
        runtime.block_on(async {
            if let [one, two, three] = signals.as_mut_slice() {
                tokio::select! {
                    _ = one.recv() => {}
                    _ = two.recv() => {}
                    _ = three.recv() => {}
                }
            }
        });
        set.store(true, Ordering::Relaxed);
    });
    Ok(flag)
}
