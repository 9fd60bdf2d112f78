//! The balancer's and the model's words in the words of the API.

use relevo_api::types::{AddressStatus, AdminState, HealthState, PoolStatus, ServerStatus, ServiceStatus};
use relevo_lb::{Admin, Health, PoolSnapshot, ServerSnapshot, ServiceSnapshot};
use relevo_model::Time;
use relevo_model::cluster::{Address, Balance, HashKey};

use crate::process::wall_ms;

/// A service of the balancer.
pub(crate) fn service(from: ServiceSnapshot) -> ServiceStatus {
    ServiceStatus {
        name: from.name,
        mode: from.mode,
        pool: from.pool,
        listen: from.listen,
        connections: from.connections,
        requests: from.requests,
        errors: from.errors,
        path: None,
    }
}

/// A pool of the balancer.
pub(crate) fn pool(from: PoolSnapshot) -> PoolStatus {
    PoolStatus {
        name: from.name,
        balance: balance(&from.balance),
        queued: from.queued,
        fallback: from.fallback,
        servers: from.servers.into_iter().map(server).collect(),
    }
}

/// How servers are chosen, as in the cluster file.
pub(crate) fn balance(from: &Balance) -> String {
    let word = match from {
        Balance::RoundRobin => "roundrobin",
        Balance::StaticRr => "static-rr",
        Balance::LeastConn => "leastconn",
        Balance::First => "first",
        Balance::Random => "random",
        Balance::Hash(hash) => match &hash.key {
            HashKey::Source => "source",
            HashKey::Uri { query: false } => "uri",
            HashKey::Uri { query: true } => "uri-query",
            HashKey::Header(name) => return format!("header:{name}"),
            HashKey::UrlParam(name) => return format!("url_param:{name}"),
            HashKey::Cookie(name) => return format!("cookie:{name}"),
        },
    };
    word.to_owned()
}

fn server(from: ServerSnapshot) -> ServerStatus {
    ServerStatus {
        name: from.name,
        at: from.at,
        weight: from.weight,
        health: match from.health {
            Health::Unknown => HealthState::Unknown,
            Health::Up => HealthState::Up,
            Health::Down => HealthState::Down,
        },
        admin: from_lb(from.admin),
        wanted: from_lb(from.wanted),
        admin_reason: String::new(),
        admin_until: None,
        agent: from.agent,
        max_connections: from.limit,
        backup: from.backup,
        since: wall_of(from.since),
        reason: from.reason,
        connections: from.connections,
        requests: from.requests,
        failures: from.failures,
    }
}

/// An address that this node knows from the file alone.
pub(crate) fn address(from: &Address) -> AddressStatus {
    AddressStatus {
        name: from.name.clone(),
        ip: from.ip,
        network: from.network.clone(),
        interface: None,
        mac: None,
    }
}

/// What the operator wants, for the balancer.
pub(crate) fn to_lb(from: AdminState) -> Admin {
    match from {
        AdminState::Ready => Admin::Ready,
        AdminState::Drain => Admin::Drain,
        AdminState::Maint => Admin::Maint,
    }
}

fn from_lb(from: Admin) -> AdminState {
    match from {
        Admin::Ready => AdminState::Ready,
        Admin::Drain => AdminState::Drain,
        Admin::Maint => AdminState::Maint,
    }
}

/// What the operator wants, as in JSON.
pub(crate) fn admin(from: AdminState) -> &'static str {
    match from {
        AdminState::Ready => "ready",
        AdminState::Drain => "drain",
        AdminState::Maint => "maint",
    }
}

/// A moment of the machine's clock as milliseconds since 1970-01-01 UTC.
pub(crate) fn wall_of(time: Time) -> u64 {
    let ago = relevo_net::clock::now().since(time);
    wall_ms().saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX))
}
