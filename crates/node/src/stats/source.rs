//! What the page shows comes from the node: its balancer and its director.

use std::sync::{Arc, PoisonError};

use relevo_api::server::Control;
use relevo_api::types::{AdminState, GroupState, SetServer, TrackerVerdict};
use relevo_lb::{Admin, Health, PoolSnapshot, ServerSnapshot};
use relevo_model::ClusterFile;
use relevo_model::cluster::{CheckKind, Mode};

use super::report::{CheckRow, Look, PoolReport, Rate, Report, ServerReport, ServiceReport, TrackerReport};
use super::{Source, Wish, checked};
use crate::control::{Balancer, Node};
use crate::process::wall_ms;
use crate::words;

impl Source for Node {
    fn cluster(&self) -> Arc<ClusterFile> {
        self.loaded().cluster
    }

    fn report(&self) -> Report {
        let cluster = Source::cluster(self);
        let snapshot = match &*self.balancer.read().unwrap_or_else(PoisonError::into_inner) {
            Balancer::Running(engine) => engine.snapshot(),
            Balancer::Stopped(..) => relevo_lb::Snapshot::default(),
        };
        let groups = self.groups();
        let trackers = groups.iter().flat_map(|group| {
            group.trackers.iter().map(|tracker| TrackerReport {
                group: group.name.to_string(),
                name: tracker.name.to_string(),
                up: match tracker.verdict {
                    TrackerVerdict::Unknown => None,
                    TrackerVerdict::Up => Some(true),
                    TrackerVerdict::Down => Some(false),
                },
            })
        });
        let trackers = trackers.collect();
        let priorities =
            groups.iter().map(|group| (group.name.to_string(), group.effective_priority)).collect();
        let groups = groups.into_iter();
        let mode_of = |pool: &str| {
            let user = snapshot.services.iter().find(|service| *service.pool == *pool);
            user.map_or(Mode::Http, |service| service.mode)
        };
        let pools =
            snapshot.pools.iter().map(|pool| pool_report(&cluster, pool, mode_of(&pool.name))).collect();
        let mut pools: Vec<PoolReport> = pools;
        self.tell_wishes(&mut pools);
        let services = snapshot.services.into_iter().map(|service| ServiceReport {
            name: service.name.to_string(),
            mode: service.mode,
            pool: service.pool.to_string(),
            listen: service.listen,
            limit: service.limit,
            figures: service.figures,
            sessions: Rate::default(),
            requests: Rate::default(),
        });
        Report {
            cluster: cluster.name.clone(),
            node: self.name.to_string(),
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            since: self.since,
            now: wall_ms(),
            groups: groups.map(|group| (group.name.to_string(), group.state == GroupState::Active)).collect(),
            trackers,
            priorities,
            services: services.collect(),
            pools,
            lost_lines: snapshot.lost_lines,
            workers: snapshot.workers,
        }
    }

    fn set(&self, wish: Wish, pool: &str, server: &str, who: &str) -> Result<(), String> {
        let admin = match wish {
            Wish::Ready => AdminState::Ready,
            Wish::Drain => AdminState::Drain,
            Wish::Maint | Wish::Cut => AdminState::Maint,
        };
        let cut = wish == Wish::Cut;
        tracing::info!(pool, server, admin = words::admin(admin), cut, "statistics page: asked by {who}");
        let wish = SetServer { pool: Some(pool.into()), admin: Some(admin), cut, ..SetServer::default() };
        self.set_server(server, wish).map(drop).map_err(|refusal| refusal.to_string())
    }
}

fn pool_report(cluster: &ClusterFile, pool: &PoolSnapshot, mode: Mode) -> PoolReport {
    let config = cluster.pool(&pool.name);
    let is_checked = config.is_none_or(|pool| pool.check.kind != CheckKind::None);
    let cookie = |server: &ServerSnapshot| {
        config.filter(|pool| pool.cookie.is_some()).and_then(|pool| {
            pool.servers.iter().find(|one| one.name == server.name).map(|one| one.cookie.clone())
        })
    };
    let servers = pool.servers.iter().map(|server| ServerReport {
        name: server.name.to_string(),
        at: server.at,
        look: look(server, is_checked),
        since: words::wall_of(server.since),
        reason: server.reason.clone(),
        checked: config.map_or(("", None), |pool| match server.wanted {
            Admin::Maint => ("", None),
            Admin::Ready | Admin::Drain => {
                checked::words(&pool.check, server.health, server.leaving, &server.reason)
            }
        }),
        row: config
            .filter(|pool| pool.check.kind != CheckKind::None && server.wanted != Admin::Maint)
            .map(|pool| CheckRow { against: server.against, rise: pool.check.rise, fall: pool.check.fall }),
        asked: String::new(),
        until: None,
        weight: server.weight,
        effective: server.effective,
        backup: server.backup,
        limit: server.limit,
        cookie: cookie(server),
        figures: server.figures.clone(),
        sessions: Rate::default(),
        check_failures: server.check_failures,
        downs: server.downs,
        downtime: server.downtime.as_secs(),
    });
    PoolReport {
        name: pool.name.to_string(),
        since: words::wall_of(pool.since),
        downs: pool.downs,
        downtime: pool.downtime.as_secs(),
        mode,
        balance: words::balance(&pool.balance),
        fallback: pool.fallback,
        figures: pool.figures.clone(),
        sessions: Rate::default(),
        servers: servers.collect(),
    }
}

const fn look(server: &ServerSnapshot, is_checked: bool) -> Look {
    match (server.wanted, server.health) {
        (Admin::Maint, _) => Look::Maint,
        (_, Health::Down) => Look::Down,
        (Admin::Drain, _) if server.leaving && matches!(server.admin, Admin::Ready) => Look::Leaving,
        (Admin::Drain, _) => Look::Drain,
        (Admin::Ready, _) if !is_checked => Look::Unchecked,
        (Admin::Ready, Health::Unknown) => Look::Unknown,
        (Admin::Ready, Health::Up) => Look::Up,
    }
}
