//! A broken invariant ends the whole process, so that nothing is left half alive: the kernel's leases take the
//! addresses off and another director goes on.
//!
//! The exception is a task of an async runtime, such as one client's connection: the runtime contains it,
//! and one request that finds a bug must not take both directors down.

use std::panic::PanicHookInfo;

/// The exit code of a process that found itself broken.
const BROKEN: i32 = 101;

/// From here on a panic is logged and, outside a contained task, ends the process.
pub(crate) fn end_the_process(flush: impl Fn() + Send + Sync + 'static) {
    std::panic::set_hook(Box::new(move |info| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let contained = tokio::task::try_id().is_some();
        tracing::error!(thread = name, place, contained, "this is a bug in relevo: {}", words(info));
        if contained {
            return;
        }
        tracing::error!("the process ends, so that another director takes over");
        flush();
        std::process::exit(BROKEN);
    }));
}

fn words<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
}
