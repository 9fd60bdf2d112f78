//! What a group watches, and what moves along with it.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

use super::{ClusterFile, Group, Pool};
use crate::name::{NetworkName, NodeName, PoolName, ServiceName, TrackerName};

/// The weight that puts any priority at the end: a director with it holds the addresses only if nobody better is there.
pub const LAST: i16 = -253;

/// The longest delay of a tracker that is not written.
const MOST_DELAY: Duration = Duration::from_secs(30);

/// Something that is watched on each director, `[group.NAME.track.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tracker {
    /// Its name.
    pub name: TrackerName,
    /// What is looked at.
    pub what: Watched,
    /// What it does to the priority, -253 to 253: a negative one is added while the tracker is down, a positive one
    /// while it is up. `None`: the group gives way while it is down. A number in a watched file is multiplied by it.
    pub weight: Option<i16>,
    /// Down counts as up, and up as down.
    pub reverse: bool,
    /// Time between two looks of those that must look.
    pub interval: Duration,
    /// How long a script or a ping may take.
    pub timeout: Duration,
    /// Good looks in a row until it is up.
    pub rise: u32,
    /// Bad looks in a row until it is down.
    pub fall: u32,
    /// How long it must have been good before it is up.
    pub up_delay: Duration,
    /// How long it must have been bad before it is down.
    pub down_delay: Duration,
    /// What it is before the first look.
    pub at_start: AtStart,
}

/// What a tracker looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Watched {
    /// An interface by its name: it is there, up, and has a carrier.
    Interface(String),
    /// The node's own interface on a network: the same.
    Link(NetworkName),
    /// A process by its name or by its program's path: at least one runs.
    Process(String),
    /// A file: it is there; if it begins with a whole number, that counts.
    File(PathBuf),
    /// A program and its arguments: it ends with 0.
    Script(Vec<String>),
    /// A route to this destination is in the main table.
    Route(IpNet),
    /// An address answers to ping.
    Ping(IpAddr),
    /// A link-local address on a network answers to ping.
    PingOn(Ipv6Addr, NetworkName),
    /// A service of the own balancer has a server.
    Service(ServiceName),
    /// A pool of the own balancer has a server.
    Pool(PoolName),
    /// The BFD session with another director of the group.
    Bfd(NodeName),
}

/// What a tracker is before it has looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AtStart {
    /// It neither lowers nor raises.
    #[default]
    Unknown,
    /// Up.
    Up,
    /// Down.
    Down,
}

/// What moves along with a group's addresses, and who is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Along {
    /// Routes that the active director has, `[[group.NAME.route]]`.
    pub routes: Vec<MovingRoute>,
    /// Rules of policy routing that the active director has, `[[group.NAME.policy]]`.
    pub policies: Vec<MovingPolicy>,
    /// Programs with their arguments that are run at each change of state; the group, its state and its priority are
    /// added.
    pub notify: Vec<Vec<String>>,
}

/// A route of the active director.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MovingRoute {
    /// Where it leads to; prefix length 0 is the default route.
    pub to: IpNet,
    /// The next router; `None`: whoever is on the interface.
    pub via: Option<IpAddr>,
    /// The interface.
    pub interface: Option<RouteInterface>,
    /// The routing table; 254 is `main`.
    pub table: u32,
    /// Its metric; the lowest wins.
    pub metric: u32,
    /// The address that packets of our own get.
    pub source: Option<IpAddr>,
}

/// The interface of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteInterface {
    /// By its name.
    Name(String),
    /// The node's own on a network.
    Network(NetworkName),
}

/// A rule of policy routing of the active director.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MovingPolicy {
    /// Packets from here; `None`: from anywhere.
    pub from: Option<IpNet>,
    /// Packets to here; `None`: to anywhere.
    pub to: Option<IpNet>,
    /// Packets that came in on this interface; `None`: on any.
    pub interface: Option<String>,
    /// The routing table that they use.
    pub table: u32,
    /// Its place among the rules; the lowest is asked first.
    pub priority: u32,
}

/// The routing table that is used when nothing else is said.
pub const MAIN_TABLE: u32 = 254;

impl Watched {
    /// The key that it has in the cluster file.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Interface(_) => "interface",
            Self::Link(_) => "link",
            Self::Process(_) => "process",
            Self::File(_) => "file",
            Self::Script(_) => "script",
            Self::Route(_) => "route",
            Self::Ping(_) | Self::PingOn(..) => "ping",
            Self::Service(_) => "service",
            Self::Pool(_) => "pool",
            Self::Bfd(_) => "bfd",
        }
    }
}

impl Tracker {
    /// A tracker of a service with the defaults: without any server here, another director is better. `down_delay`: how long
    /// others may need to see that there is no server at all.
    pub fn of_service(name: TrackerName, service: ServiceName, down_delay: Duration) -> Self {
        Self {
            name,
            what: Watched::Service(service),
            weight: Some(LAST),
            reverse: false,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            rise: 1,
            fall: 1,
            up_delay: Duration::ZERO,
            down_delay,
            at_start: AtStart::Unknown,
        }
    }
}

impl ClusterFile {
    /// All that a group watches: what the file says, and each service on its addresses that the file watches nowhere.
    pub fn trackers_of(&self, group: &Group) -> Vec<Tracker> {
        let mut trackers = group.trackers.clone();
        if !group.track_services {
            return trackers;
        }
        for service in &self.services {
            let is_ours = |listen: &super::Listen| {
                self.addresses_of(&group.name).any(|address| address.ip == listen.at.ip())
            };
            let is_watched = |tracker: &Tracker| match &tracker.what {
                Watched::Service(name) => *name == service.name,
                Watched::Pool(name) => *name == service.pool,
                Watched::Interface(_)
                | Watched::Link(_)
                | Watched::Process(_)
                | Watched::File(_)
                | Watched::Script(_)
                | Watched::Route(_)
                | Watched::Ping(_)
                | Watched::PingOn(..)
                | Watched::Bfd(_) => false,
            };
            if service.listen.iter().any(is_ours) && !trackers.iter().any(is_watched) {
                let mut name = service.name.to_string();
                while trackers.iter().any(|tracker| *tracker.name == *name) {
                    name.push_str(".service");
                }
                // Traffic may have told this director at once what another one's checks need all this time for.
                let noticed = |pool: &Pool| pool.check.interval * pool.check.fall + pool.check.timeout;
                let delay = self.pool_of(service).map_or(Duration::ZERO, noticed);
                let name = TrackerName::new(&name);
                trackers.push(Tracker::of_service(name, service.name.clone(), delay.min(MOST_DELAY)));
            }
        }
        trackers
    }
}

impl Group {
    /// The priority of a node when nothing is wrong there; `None` if it is not of this group.
    pub fn healthy_priority_of(&self, node: &str) -> Option<u8> {
        let raised: i32 = self
            .trackers
            .iter()
            .filter(|tracker| !matches!(tracker.what, Watched::File(_)))
            .filter_map(|tracker| tracker.weight)
            .map(|weight| i32::from(weight.max(0)))
            .sum();
        let priority = i32::from(self.priority_of(node)?) + raised;
        Some(u8::try_from(priority.clamp(1, 254)).unwrap_or(254))
    }
}
