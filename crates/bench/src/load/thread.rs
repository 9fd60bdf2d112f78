//! A thread of the load generator: its CPU, its runtime, its clients.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use tokio::task::LocalSet;

use super::clock::Clock;
use super::connection::{self, last_call};
use super::pace::Pace;
use super::stream::Tls;
use super::tally::Tally;
use super::{Plan, Protocol, http2};

/// What the clients of a thread share.
pub(super) struct Shared {
    pub(super) plan: Arc<Plan>,
    pub(super) tls: Tls,
    pub(super) pace: Pace,
    pub(super) tally: RefCell<Tally>,
}

impl Shared {
    /// A whole answer has come to a request that was due then; `status` 0: it has none.
    pub(super) fn answered(&self, now: Instant, due: Instant, status: u16, received: u64) {
        if let Some(into) = self.pace.counted(due) {
            self.tally.borrow_mut().answer(now, into, now - due, status, received);
        }
    }
}

/// Binds the calling thread to a CPU.
///
/// # Errors
///
/// There is no such CPU, or it is not for us.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
        .with_context(|| format!("cannot use CPU {cpu}"))
}

/// Runs this thread's part of the load.
pub(super) fn run(plan: &Arc<Plan>, index: usize, tls: Tls, clock: Clock) -> Result<Tally> {
    if let Some(cpu) = plan.cpus.get(index) {
        pin(*cpu)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shared = Rc::new(Shared {
        plan: Arc::clone(plan),
        tls,
        pace: Pace::new(plan, index, clock),
        tally: RefCell::new(Tally::new()?),
    });
    let local = LocalSet::new();
    runtime.block_on(local.run_until(async {
        let driver = tokio::task::spawn_local({
            let shared = Rc::clone(&shared);
            async move { shared.pace.drive().await }
        });
        let clients: Vec<_> = (0..plan.share(plan.connections as u64, index))
            .map(|_| {
                let shared = Rc::clone(&shared);
                match plan.protocol {
                    Protocol::Http2 => tokio::task::spawn_local(http2::run(shared)),
                    Protocol::Http1 | Protocol::Tcp => tokio::task::spawn_local(connection::run(shared)),
                }
            })
            .collect();
        let all = async {
            for client in clients {
                client.await?;
            }
            driver.await?.context("no timer")?;
            anyhow::Ok(())
        };
        tokio::select! {
            done = all => done,
            () = last_call(&shared) => Ok(()),
        }
    }))?;
    drop(local);
    shared.tally.borrow_mut().unsent(shared.pace.unsent());
    let shared = Rc::into_inner(shared).ok_or_else(|| anyhow!("a client did not end"))?;
    Ok(shared.tally.into_inner())
}
