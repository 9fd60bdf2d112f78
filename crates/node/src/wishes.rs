//! What the operator wants of servers: written and synced before it is done, and ended when its time is over.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use relevo_api::server::Refusal;
use relevo_api::types::{AdminState, Changed, PoolStatus, SetServer};
use relevo_model::{ClusterFile, PoolName, ServerName};

use crate::control::{Balancer, Node, listed};
use crate::process::wall_ms;
use crate::state::{State, Wish};
use crate::stats::report::PoolReport;
use crate::words;

/// Longest reason, characters.
const LONGEST_REASON: usize = 200;
/// Longest time that a wish holds, seconds: a year.
const LONGEST_TIME: u64 = 365 * 86_400;
/// Heaviest server.
const HEAVIEST: u16 = 256;
/// The wall clock may be set: a wish is looked at again after this time at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl Node {
    /// Does what the operator wants of a server.
    pub(crate) fn wish(&self, server: &str, wish: &SetServer) -> Result<Changed, Refusal> {
        ensure_sound(wish)?;
        let servers = find_servers(&self.loaded().cluster, server, wish.pool.as_deref())?;
        if let Some(admin) = wish.admin {
            let until = wish.for_seconds.map(|seconds| wall_ms().saturating_add(seconds * 1000));
            let kept = Wish { admin, reason: wish.reason.clone(), until };
            self.keep(&mut self.state(), &servers, &kept, wish.cut).map_err(|error| {
                Refusal::Failed(format!(
                    "nothing was changed: it cannot be written to the state folder: {error}"
                ))
            })?;
            for (pool, server) in &servers {
                tracing::info!(%pool, %server, admin = words::admin(admin), reason = wish.reason, for_seconds = wish.for_seconds, cut = wish.cut, "server set by the operator");
            }
        }
        if let Some(weight) = wish.weight {
            let cluster = self.loaded().cluster;
            let mut state = self.state();
            let kept = self.ensure_thawed().and_then(|()| state.set_weight(&cluster, &servers, weight));
            kept.map_err(|error| {
                Refusal::Failed(format!(
                    "the weight was not changed: it cannot be written to the state folder: {error}"
                ))
            })?;
            self.with_engine(|engine| {
                for (pool, server) in &servers {
                    let _ = engine.set_weight(Some(pool), server, Some(weight));
                    tracing::info!(%pool, %server, weight, "weight set by the operator");
                }
            });
        }
        Ok(Changed { servers })
    }

    /// Puts the wishes' reasons and ends beside the servers.
    pub(crate) fn with_wishes(&self, mut pools: Vec<PoolStatus>) -> Vec<PoolStatus> {
        let state = self.state();
        for pool in &mut pools {
            for server in &mut pool.servers {
                if let Some(wish) = state.wish(&pool.name, &server.name) {
                    server.admin_reason.clone_from(&wish.reason);
                    server.admin_until = wish.until;
                }
            }
        }
        pools
    }

    /// The same for the statistics.
    pub(crate) fn tell_wishes(&self, pools: &mut [PoolReport]) {
        let state = self.state();
        for pool in pools {
            let name = PoolName::new(&pool.name);
            for server in &mut pool.servers {
                if let Some(wish) = state.wish(&name, &ServerName::new(&server.name)) {
                    server.asked.clone_from(&wish.reason);
                    server.until = wish.until;
                }
            }
        }
    }

    /// Ends wishes when their time is over; never returns.
    pub(crate) fn expire_wishes(&self) {
        let mut state = self.state();
        loop {
            if self.frozen.load(Ordering::SeqCst) {
                // It is the next process's to end them, or ours again in a moment.
                let waited = self.wishes_changed.wait_timeout(state, Duration::from_secs(1));
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let now = wall_ms();
            let (expired, next) = state.expired(now);
            let mut wait = next.map_or(LOOK_AGAIN, |next| Duration::from_millis(next - now).min(LOOK_AGAIN));
            if !expired.is_empty() {
                match self.keep(&mut state, &expired, &Wish::default(), false) {
                    Ok(()) => {
                        for (pool, server) in &expired {
                            tracing::info!(%pool, %server, "the time is over: the server is ready again");
                        }
                        continue;
                    }
                    Err(error) => {
                        tracing::error!(%error, "servers whose time is over cannot be made ready: the state folder cannot be written");
                        wait = Duration::from_secs(10);
                    }
                }
            }
            let waited = self.wishes_changed.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes it down, then tells the balancer.
    fn keep(
        &self,
        state: &mut State,
        servers: &[(PoolName, ServerName)],
        wish: &Wish,
        cut: bool,
    ) -> std::io::Result<()> {
        self.ensure_thawed()?;
        state.set(servers, wish)?;
        self.wishes_changed.notify_all();
        self.with_engine(|engine| {
            for (pool, server) in servers {
                let _ = engine.set_admin(Some(pool), server, words::to_lb(wish.admin), cut);
            }
        });
        if cut {
            self.flows.cut(servers);
        }
        Ok(())
    }

    fn ensure_thawed(&self) -> std::io::Result<()> {
        match self.frozen.load(Ordering::SeqCst) {
            true => Err(std::io::Error::other("another process is taking over just now; say it again")),
            false => Ok(()),
        }
    }

    /// Lets nothing be written to the state folder, or again.
    pub(crate) fn freeze(&self, frozen: bool) {
        // Whoever is writing has the lock.
        let _state = self.state();
        self.frozen.store(frozen, Ordering::SeqCst);
    }

    fn with_engine(&self, what: impl FnOnce(&relevo_lb::Engine)) {
        let balancer = self.balancer.read().unwrap_or_else(PoisonError::into_inner);
        if let Balancer::Running(engine) = &*balancer {
            what(engine);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ensure_sound(wish: &SetServer) -> Result<(), Refusal> {
    let wrong = |text: &str| Err(Refusal::Wrong(text.to_owned()));
    let (is_ready, is_maint) = (wish.admin == Some(AdminState::Ready), wish.admin == Some(AdminState::Maint));
    if wish.admin.is_none() && wish.weight.is_none() {
        return wrong("nothing is asked: say admin, weight, or both");
    }
    if wish.admin.is_none() && (!wish.reason.is_empty() || wish.for_seconds.is_some()) {
        return wrong("reason and for_seconds go with admin: a weight holds until the file says another");
    }
    if wish.cut && !is_maint {
        return wrong("cut goes with admin maint alone: drain lets work finish");
    }
    if is_ready && wish.for_seconds.is_some() {
        return wrong("for_seconds goes with drain and maint: after it the server is ready again");
    }
    if wish.reason.chars().count() > LONGEST_REASON || wish.reason.chars().any(char::is_control) {
        return wrong("the reason is one line of at most 200 characters");
    }
    if wish.for_seconds.is_some_and(|seconds| !(1..=LONGEST_TIME).contains(&seconds)) {
        return wrong("for_seconds is a number from 1 to 31536000, a year");
    }
    if wish.weight.is_some_and(|weight| weight > HEAVIEST) {
        return wrong("the weight is a number from 0 to 256");
    }
    Ok(())
}

/// The servers of this name; in one pool, or in all that have it.
fn find_servers(
    cluster: &ClusterFile,
    server: &str,
    pool: Option<&str>,
) -> Result<Vec<(PoolName, ServerName)>, Refusal> {
    if let Some(wanted) = pool
        && cluster.pool(wanted).is_none()
    {
        let there = listed("pool", cluster.pools.iter().map(|pool| &*pool.name));
        return Err(Refusal::Unknown(format!("there is no pool {wanted:?}; {there}")));
    }
    let all = || {
        let pools = cluster.pools.iter().filter(|one| pool.is_none_or(|wanted| &*one.name == wanted));
        pools.flat_map(|pool| pool.servers.iter().map(move |server| (&pool.name, &server.name)))
    };
    let found: Vec<_> = all()
        .filter(|(_, name)| &***name == server)
        .map(|(pool, name)| (pool.clone(), name.clone()))
        .collect();
    if found.is_empty() {
        let names: BTreeSet<&str> = all().map(|(_, server)| &**server).collect();
        let there = listed("server", names.into_iter());
        let place = pool.map_or_else(String::new, |pool| format!(" in the pool {pool:?}"));
        return Err(Refusal::Unknown(format!("there is no server {server:?}{place}; {there}")));
    }
    Ok(found)
}
