//! Answers the control API: asks the director and the balancer, and remembers what the operator wants.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use relevo_api::server::{Control, Refusal};
use relevo_api::types::{
    AddressStatus, AdminState, Changed, GroupState, GroupStatus, HealthState, ServerStatus, ServiceStatus,
    SetServer, Status, Switched, Switchover,
};
use relevo_model::cluster::Service;
use relevo_model::{ClusterFile, NodeName, ServerName, ServiceName};

use crate::process::wall_ms;
use crate::state::State;

/// Everything that answers are made of.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) cluster: ClusterFile,
    pub(crate) name: NodeName,
    pub(crate) since: u64,
    pub(crate) state: Mutex<State>,
}

impl Control for Node {
    fn status(&self) -> Status {
        Status {
            cluster: self.cluster.name.clone(),
            node: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: self.since,
            groups: self.groups(),
            services: self.services(),
        }
    }

    fn switchover(&self, group: &str, wish: Switchover) -> Result<Switched, Refusal> {
        let Some(known) = self.cluster.group(group) else {
            return Err(Refusal::Unknown(format!(
                "there is no group {group:?}; {}",
                listed("group", self.cluster.groups.iter().map(|group| &*group.name))
            )));
        };
        if let Some(to) = &wish.to {
            let members = || listed("member", known.priorities.iter().map(|(name, _)| &**name));
            if self.cluster.node(to).is_none() {
                return Err(Refusal::Unknown(format!(
                    "there is no node {:?}; the group {group:?} {}",
                    to.as_str(),
                    members()
                )));
            }
            if known.priority_of(to).is_none() {
                return Err(Refusal::Wrong(format!("{to} is not of the group {group:?}; it {}", members())));
            }
        }
        Err(Refusal::Conflict("no director runs here".to_owned()))
    }

    fn set_server(&self, server: &str, wish: SetServer) -> Result<Changed, Refusal> {
        let servers = find_servers(&self.cluster, server, wish.service.as_deref())?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.set_admin(&servers, wish.admin).map_err(|error| {
            Refusal::Failed(format!("nothing was changed: it cannot be written to the state folder: {error}"))
        })?;
        for (service, server) in &servers {
            tracing::info!(%service, %server, admin = admin_word(wish.admin), "server set by the operator");
        }
        Ok(Changed { servers })
    }
}

impl Node {
    fn groups(&self) -> Vec<GroupStatus> {
        let groups = self.cluster.groups.iter();
        groups
            .filter_map(|group| group.priority_of(&self.name).map(|priority| (group, priority)))
            .map(|(group, priority)| GroupStatus {
                name: group.name.clone(),
                state: GroupState::Init,
                active: None,
                since: self.since,
                reason: "no director runs here".to_owned(),
                priority,
                transitions: 0,
                dropped: 0,
                addresses: self
                    .cluster
                    .addresses_of(&group.name)
                    .map(|address| AddressStatus {
                        name: address.name.clone(),
                        ip: address.ip,
                        network: address.network.clone(),
                        interface: None,
                    })
                    .collect(),
            })
            .collect()
    }

    fn services(&self) -> Vec<ServiceStatus> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).admin();
        self.cluster.services.iter().map(|service| self.service(service, &state)).collect()
    }

    fn service(&self, service: &Service, wanted: &[(ServiceName, ServerName, AdminState)]) -> ServiceStatus {
        let admin = |server: &ServerName| {
            let found = wanted.iter().find(|(of, name, _)| *of == service.name && name == server);
            found.map_or(AdminState::Ready, |(_, _, admin)| *admin)
        };
        ServiceStatus {
            name: service.name.clone(),
            mode: service.mode,
            listen: service.listen.iter().map(|listen| listen.at).collect(),
            connections: 0,
            requests: 0,
            errors: 0,
            fallback: false,
            servers: service
                .servers
                .iter()
                .map(|server| ServerStatus {
                    name: server.name.clone(),
                    at: server.at,
                    weight: server.weight,
                    health: HealthState::Unknown,
                    admin: admin(&server.name),
                    since: wall_ms(),
                    reason: "no balancer runs here".to_owned(),
                    connections: 0,
                    requests: 0,
                    failures: 0,
                })
                .collect(),
        }
    }
}

/// The servers of this name; in one service, or in all that have it.
fn find_servers(
    cluster: &ClusterFile,
    server: &str,
    service: Option<&str>,
) -> Result<Vec<(ServiceName, ServerName)>, Refusal> {
    if let Some(wanted) = service
        && !cluster.services.iter().any(|service| &*service.name == wanted)
    {
        let there = listed("service", cluster.services.iter().map(|service| &*service.name));
        return Err(Refusal::Unknown(format!("there is no service {wanted:?}; {there}")));
    }
    let services = || cluster.services.iter().filter(|one| service.is_none_or(|wanted| &*one.name == wanted));
    let found: Vec<_> = services()
        .flat_map(|service| service.servers.iter().map(move |server| (&service.name, &server.name)))
        .filter(|(_, name)| &***name == server)
        .map(|(service, name)| (service.clone(), name.clone()))
        .collect();
    if found.is_empty() {
        let names: BTreeSet<&str> =
            services().flat_map(|service| service.servers.iter().map(|server| &*server.name)).collect();
        let there = listed("server", names.into_iter());
        let place = service.map_or_else(String::new, |service| format!(" in the service {service:?}"));
        return Err(Refusal::Unknown(format!("there is no server {server:?}{place}; {there}")));
    }
    Ok(found)
}

/// `has the group "web"`, `has the groups "web", "db"`, `has no group`.
pub(crate) fn listed<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    match names.as_slice() {
        [] => format!("has no {what}"),
        [one] => format!("has the {what} {one}"),
        many => format!("has the {what}s {}", many.join(", ")),
    }
}

/// The word of an administrative state, as in JSON.
pub(crate) fn admin_word(admin: AdminState) -> &'static str {
    match admin {
        AdminState::Ready => "ready",
        AdminState::Drain => "drain",
        AdminState::Stop => "stop",
    }
}
