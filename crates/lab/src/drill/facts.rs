//! What a drill must know of a cluster before it starts: whom to ask, where from, and who may answer.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use relevo_model::cluster::{Address, CheckKind, Client, ClusterFile, Group, Mode, Pool, Role, Service};
use relevo_model::{NetworkName, NodeName, SwitchName};

/// The part of a cluster that drills play on: the first service on a virtual address that speaks in clear; HTTP services
/// that keep clients by a cookie first, then HTTP, then TCP.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Where the service is asked.
    pub target: SocketAddr,
    /// The network of the asked address.
    pub network: NetworkName,
    /// The group of addresses that moves.
    pub group: Group,
    /// All addresses of the group, the asked one among them.
    pub addresses: Vec<IpAddr>,
    /// The service that is asked.
    pub service: Service,
    /// Whether it is of mode `tcp` and takes the kernel's path.
    pub by_kernel: bool,
    /// Who answers it.
    pub pool: Pool,
    /// The directors of the group, highest priority first.
    pub directors: Vec<NodeName>,
    /// The service's servers that are nodes of the lab.
    pub servers: Vec<NodeName>,
    /// Clients on the asked network, in the file's order; at least one.
    pub clients: Vec<Client>,
    /// The directors have a channel to each other.
    pub peers: bool,
    /// All servers are the lab's own, which have downloads.
    pub downloads: bool,
}

impl Facts {
    /// Reads them from a cluster file, for the service that is asked first.
    ///
    /// # Errors
    /// In words: there is no virtual address, no service on one, or no client on its network.
    pub fn new(cluster: &ClusterFile) -> Result<Self, String> {
        let mut all = Self::all(cluster, None)?;
        Ok(all.swap_remove(0))
    }

    /// Reads them for each service that can be asked, at least one: in clear, at a virtual address; with `only`, for that
    /// service.
    ///
    /// # Errors
    /// As [`Facts::new`]; and there is no such service.
    pub fn all(cluster: &ClusterFile, only: Option<&str>) -> Result<Vec<Self>, String> {
        let mut services: Vec<_> = cluster.services.iter().collect();
        services.retain(|service| service.mode != Mode::Udp);
        services.sort_by_key(|service| {
            let has_cookie = cluster.pool_of(service).is_some_and(|pool| pool.cookie.is_some());
            (service.mode != Mode::Http, service.mode == Mode::Http && !has_cookie)
        });
        let can_be_asked = |service: &&Service| place(cluster, service).is_some();
        services.retain(can_be_asked);
        if let Some(only) = only {
            let names: Vec<String> = services.iter().map(|service| service.name.to_string()).collect();
            services.retain(|service| service.name.as_str() == only);
            if services.is_empty() {
                let list = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return Err(format!("no service that drills can ask is called {only}; there are: {list}"));
            }
        }
        if services.is_empty() {
            return Err("no service listens on a virtual address: there is nothing to ask".to_owned());
        }
        let (facts, problems): (Vec<_>, Vec<_>) =
            services.into_iter().map(|service| Self::of(cluster, service)).partition(Result::is_ok);
        match problems.into_iter().find_map(Result::err) {
            Some(problem) if facts.is_empty() => Err(problem),
            Some(_) | None => Ok(facts.into_iter().filter_map(Result::ok).collect()),
        }
    }

    fn of(cluster: &ClusterFile, service: &Service) -> Result<Self, String> {
        let (target, address) =
            place(cluster, service).ok_or("the service listens on no virtual address in clear")?;
        let pool = cluster.pool_of(service).ok_or("the asked service has no servers")?;
        let group = cluster.group(&address.group).ok_or("the asked address is in no group")?;
        let clients: Vec<_> =
            cluster.lab.clients.iter().filter(|client| client.network == address.network).cloned().collect();
        if clients.is_empty() {
            return Err(format!(
                "no client is on network {}, where {} is: add [lab.client.NAME]",
                address.network, address.ip
            ));
        }
        let runs =
            |name: &NodeName| cluster.lab.runs.iter().any(|run| run.node == *name && run.command.is_some());
        let nodes: Vec<_> = pool.servers.iter().map(|server| server.node.as_ref()).collect();
        let is_server = |name: &&NodeName| cluster.node(name).is_some_and(|node| node.is(Role::Server));
        let number = cluster.services.iter().position(|one| one.name == service.name);
        let kernel = number.and_then(|number| cluster.kernel_paths().into_iter().nth(number));
        Ok(Self {
            by_kernel: service.mode == Mode::Tcp && kernel.is_some_and(|path| path.is_ok()),
            target,
            network: address.network.clone(),
            addresses: cluster.addresses_of(&group.name).map(|address| address.ip).collect(),
            directors: group.priorities.iter().map(|(name, _)| name.clone()).collect(),
            servers: pool.servers.iter().filter_map(|s| s.node.as_ref()).filter(is_server).cloned().collect(),
            group: group.clone(),
            service: service.clone(),
            pool: pool.clone(),
            clients,
            peers: cluster.peers.is_some(),
            downloads: nodes.iter().all(|node| node.is_some_and(|node| !runs(node))),
        })
    }

    /// What the protocol itself needs to notice that the active director is gone: `Active_Down_Interval` of the
    /// lowest priority in the group (RFC 9568 section 6.1: three adverts, or `missed`, plus the skew time).
    pub fn active_down(&self) -> Duration {
        let lowest = self.group.priorities.iter().map(|(_, priority)| *priority).min().unwrap_or(100);
        let skew = self.group.advert * (256 - u32::from(lowest)) / 256;
        self.group.advert * u32::from(self.group.missed) + skew
    }

    /// How long the checks need at most to bring a server back: `rise` good ones, begun up to one interval late.
    pub fn rise_time(&self) -> Duration {
        let check = &self.pool.check;
        if check.kind == CheckKind::None { Duration::ZERO } else { check.interval * (check.rise + 1) }
    }

    /// The switch that a node is plugged into on the asked network.
    pub fn switch_of<'a>(&self, cluster: &'a ClusterFile, node: &str) -> Option<&'a SwitchName> {
        cluster
            .lab
            .plugs
            .iter()
            .find(|plug| plug.node.as_str() == node && plug.network == self.network)
            .map(|plug| &plug.switch)
    }
}

/// Where a service is asked in clear, and the virtual address there.
fn place<'a>(cluster: &'a ClusterFile, service: &Service) -> Option<(SocketAddr, &'a Address)> {
    let mut clear = service.listen.iter().filter(|listen| !listen.tls && !listen.proxy_protocol);
    clear.find_map(|listen| {
        let address = cluster.addresses.iter().find(|address| address.ip == listen.at.ip())?;
        Some((listen.at, address))
    })
}
