//! Which way a service's packets take: through the kernel alone, or through the userspace engine. Only what the cluster
//! file says; whether a machine's kernel permits it is not known here.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{
    Balance, ClusterFile, Family, Gateway, Hash, HashKey, LogChoice, LogTarget, Mode, Network, OnMarkedDown,
    Pool, Role, Service,
};

/// Which way the packets of a service of mode `tcp` or `udp` take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// The kernel's, where it can and may and where the file says that servers answer through the director; else the
    /// userspace engine's.
    #[default]
    Auto,
    /// The kernel's: connections live on when their director dies.
    Kernel,
    /// The userspace engine's.
    Userspace,
}

/// How the kernel's way leads to servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forward {
    /// Addresses and ports are translated, there and back.
    #[default]
    Nat,
    /// Packets are led to a server as they are; it has the service's address too, and answers clients by itself.
    Direct,
}

impl Service {
    /// How the kernel's way leads to its servers, in words: `nat`, `direct` or `nat, source NAME`.
    pub fn form(&self) -> String {
        match (self.forward, &self.source) {
            (Forward::Direct, _) => "direct".to_owned(),
            (Forward::Nat, Some(source)) => format!("nat, source {source}"),
            (Forward::Nat, None) if self.synproxy.is_some() => "nat, synproxy".to_owned(),
            (Forward::Nat, None) => "nat".to_owned(),
        }
    }
}

/// Client connections that a service has unless the file says another number.
const DEFAULT_CONNECTIONS: usize = 10_000;

impl ClusterFile {
    /// For each service, in the file's order: `Ok` if its packets shall take the kernel's way, or why not, in words.
    pub fn kernel_paths(&self) -> Vec<Result<(), String>> {
        let mut taken: BTreeSet<(bool, SocketAddr)> = BTreeSet::new();
        let one = |service: &Service| {
            match service.path {
                _ if service.mode == Mode::Http => return Err("its mode is http".to_owned()),
                Path::Userspace => return Err("the cluster file says so".to_owned()),
                Path::Auto | Path::Kernel => {}
            }
            let pool = self.pool_of(service).ok_or_else(|| "it has no pool".to_owned())?;
            if let Some(why) = self.obstacle(service, pool) {
                return Err(why);
            }
            if service.path == Path::Auto
                && service.forward == Forward::Nat
                && service.source.is_none()
                && let Some(why) = self.answers_elsewhere(service, pool)
            {
                return Err(why);
            }
            if service.forward == Forward::Direct {
                // Answers do not come through: nothing is to be told apart by them.
                return Ok(());
            }
            let udp = service.mode == Mode::Udp;
            let places = pool.servers.iter().map(|server| (udp, server.at));
            if let Some((_, at)) = places.clone().find(|place| taken.contains(place)) {
                return Err(format!("another service that takes the kernel's path has the server {at}"));
            }
            taken.extend(places);
            Ok(())
        };
        self.services.iter().map(one).collect()
    }

    /// The addresses of services that a node answers clients for by itself (`forward = "direct"`): a server has them on its
    /// loopback.
    pub fn answered_by(&self, node: &str) -> BTreeSet<IpAddr> {
        let runs_on = |service: &Service| {
            let own = self.node(node).map_or(&[][..], |node| &node.addresses);
            let servers = self.pool_of(service).map_or(&[][..], |pool| &pool.servers);
            servers.iter().any(|server| own.iter().any(|address| address.has(server.at.ip())))
        };
        let paths = self.services.iter().zip(self.kernel_paths());
        let direct = paths.filter(|(service, path)| service.forward == Forward::Direct && path.is_ok());
        let there = direct.map(|(service, _)| service).filter(|service| runs_on(service));
        there.flat_map(|service| &service.listen).map(|listen| listen.at.ip()).collect()
    }

    /// What of a service the kernel cannot do.
    fn obstacle(&self, service: &Service, pool: &Pool) -> Option<String> {
        self.obstacle_of_service(service)
            .or_else(|| self.obstacle_of_pool(pool))
            .or_else(|| {
                let v4 = service.listen.first()?.at.is_ipv4();
                let other = pool.servers.iter().find(|server| server.at.is_ipv4() != v4)?;
                Some(format!("server {} is of another address family than `listen`", other.name))
            })
            .or_else(|| self.obstacle_to_direct(service, pool))
            .or_else(|| self.obstacle_to_source(service, pool))
    }

    /// Why servers need not, and cannot, see an address of the director's.
    fn obstacle_to_source(&self, service: &Service, pool: &Pool) -> Option<String> {
        service.source.as_ref()?;
        let family = Family::of(service.listen.first()?.at.ip());
        let hides = |gateway: &Gateway| gateway.way(family).is_some_and(|way| way.source.is_some());
        let mut networks = pool.servers.iter().filter_map(|server| self.network_of(server.at.ip()));
        let through = networks.find_map(|network| {
            self.gateways.iter().find(|gateway| gateway.from == network.name && hides(gateway))
        })?;
        Some(format!(
            "it has `source`, and the director is the router of its servers ([gateway] from network {})",
            through.from
        ))
    }

    /// What of a service cannot be forwarded directly.
    fn obstacle_to_direct(&self, service: &Service, pool: &Pool) -> Option<String> {
        let listen = service.listen.first().filter(|_| service.forward == Forward::Direct)?;
        pool.servers.iter().find_map(|server| {
            let name = &server.name;
            if server.at.port() != listen.at.port() {
                let (own, wanted) = (server.at.port(), listen.at.port());
                Some(format!(
                    "server {name} has port {own} and `listen` port {wanted}, and forward = \"direct\" translates no ports"
                ))
            } else if self.network_of(server.at.ip()).is_none() {
                Some(format!(
                    "server {name} is on no network of the file, and forward = \"direct\" reaches only neighbours"
                ))
            } else {
                None
            }
        })
    }

    fn obstacle_of_service(&self, service: &Service) -> Option<String> {
        let why = match service.listen.as_slice() {
            [] => "it listens nowhere",
            [listen] if listen.tls => "it speaks TLS",
            [listen] if listen.proxy_protocol => "its clients begin with the PROXY protocol",
            [listen] if !self.is_virtual(listen.at.ip()) => {
                "it listens at an address that is not a virtual one"
            }
            [_] => "",
            [_, _, ..] => "it listens at several places, and an answer would not tell which one",
        };
        if !why.is_empty() {
            return Some(why.to_owned());
        }
        let logged = self.log.target != LogTarget::None && service.log.what != LogChoice::None;
        let obstacles = [
            (!service.rules.is_empty(), "it has rules"),
            (service.limits.connections != DEFAULT_CONNECTIONS, "it has `max_connections`"),
            (service.limits.connections_per_source.is_some(), "it has `connections_per_source`"),
            (logged, "its connections are logged (`log = \"none\"` in the service changes that)"),
        ];
        obstacles.into_iter().find(|(is, _)| *is).map(|(_, why)| why.to_owned())
    }

    fn obstacle_of_pool(&self, pool: &Pool) -> Option<String> {
        let balance = match &pool.balance {
            Balance::RoundRobin | Balance::StaticRr | Balance::Random => None,
            Balance::Hash(Hash { key: HashKey::Source, bound: None, .. }) => None,
            Balance::Hash(Hash { bound: Some(_), .. }) => Some("its `balance` has a bound"),
            Balance::LeastConn => Some("its `balance` is leastconn"),
            Balance::First => Some("its `balance` is first"),
            Balance::Hash(_) => Some("its `balance` looks into requests"),
        };
        let obstacles = [
            (pool.affinity.is_some(), "its pool has `affinity`"),
            (pool.observe.is_some(), "its pool has `observe`"),
            (pool.on_marked_down == OnMarkedDown::ShutdownSessions, "its pool has `on_marked_down`"),
            (pool.max_queue.is_some(), "its pool has `max_queue`"),
            (pool.tls.is_some(), "its pool has `server_tls`"),
            (pool.proxy_protocol.is_some(), "its pool has `send_proxy`"),
            (pool.servers.is_empty(), "its pool has no server"),
        ];
        let first = balance.or_else(|| obstacles.into_iter().find(|(is, _)| *is).map(|(_, why)| why));
        if let Some(why) = first {
            return Some(why.to_owned());
        }
        pool.servers.iter().enumerate().find_map(|(place, server)| {
            let at = server.at;
            let twin = pool.servers.iter().take(place).any(|other| other.at.ip() == at.ip());
            if server.max_connections.is_some() {
                Some(format!("server {} has `max_connections`", server.name))
            } else if twin {
                Some(format!("several of its servers are at {}", at.ip()))
            } else if at.ip().is_loopback() || self.is_directors(at.ip()) {
                Some(format!("server {} runs on a director", server.name))
            } else {
                None
            }
        })
    }

    /// Why it is not known that servers answer through the director that holds the service's address.
    fn answers_elsewhere(&self, service: &Service, pool: &Pool) -> Option<String> {
        let front = service.listen.first()?.at.ip();
        let group = &self.addresses.iter().find(|address| address.ip == front)?.group;
        let mut servers = pool.servers.iter();
        let lost = servers.find(|server| {
            let Some(network) = self.network_of(server.at.ip()) else { return true };
            let family = Family::of(server.at.ip());
            let leads = |it: &&Gateway| it.group == *group && it.way(family).is_some();
            !self.gateways.iter().filter(leads).any(|gateway| gateway.from == network.name)
        })?;
        Some(format!(
            "the file does not say that server {} answers through the director that has {front} ([gateway])",
            lost.name
        ))
    }

    /// The network that an address is on, if the file has it.
    fn network_of(&self, ip: IpAddr) -> Option<&Network> {
        self.networks.iter().find(|network| network.contains(ip))
    }

    fn is_virtual(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|address| address.ip == ip)
    }

    fn is_directors(&self, ip: IpAddr) -> bool {
        let directors = self.nodes.iter().filter(|node| node.is(Role::Director));
        let mut own = directors.flat_map(|node| &node.addresses);
        own.any(|address| address.has(ip)) || self.is_virtual(ip)
    }
}
