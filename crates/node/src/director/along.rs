//! Routes and rules of policy routing that move along with a group's addresses.
//!
//! They are put on after the addresses and taken off before them, by the same thread in the same pass. The kernel keeps no
//! lease for them: a director that is killed leaves them behind until it is started again. That harms nobody: packets that
//! were to go through them are answered by another machine.

use std::net::IpAddr;
use std::time::Duration;

use relevo_model::GroupName;
use relevo_model::NodeName;
use relevo_model::Time;
use relevo_model::cluster::{self, ClusterFile, MovingPolicy, MovingRoute, RouteInterface};
use relevo_net::paths::{Of, Path, Policy};
use relevo_net::route::Route;
use tracing::{info, warn};

/// How often what should be there is looked at: the kernel removes routes whose interface was down for a moment.
const AGAIN: Duration = Duration::from_secs(1);

/// The metric that IPv6 routes have without one.
const METRIC6: u32 = 1024;

/// Where a route's interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Where the kernel finds the next router.
    Anywhere,
    /// By its name.
    Name(String),
    /// The one with our own address.
    Own(IpAddr, Option<String>),
    /// This node is not on the network.
    Nowhere(String),
}

/// What moves along, as the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Setup {
    routes: Vec<(MovingRoute, Place)>,
    policies: Vec<Policy>,
}

/// What moves along, at work.
#[derive(Debug, Default)]
pub(super) struct Along {
    setup: Setup,
    /// Whether it is to be there.
    held: bool,
    /// When it was put there last.
    last: Option<Time>,
    /// What is there, by us.
    paths: Vec<Path>,
    /// The operator knows what cannot be put on.
    told: Vec<String>,
}

impl Setup {
    /// What a group has on a node.
    pub(super) fn new(cluster: &ClusterFile, node: &NodeName, along: &cluster::Along) -> Self {
        let place = |route: &MovingRoute| match &route.interface {
            None => Place::Anywhere,
            Some(RouteInterface::Name(name)) => Place::Name(name.clone()),
            Some(RouteInterface::Network(network)) => {
                match cluster.node(node).and_then(|node| node.address_on(network)) {
                    Some(own) => Place::Own(own.ip.into(), own.interface.clone()),
                    None => Place::Nowhere(format!("{node} is not on network {network}")),
                }
            }
        };
        let speaks_v6 = cluster.networks.iter().any(|network| network.subnet6.is_some());
        Self {
            routes: along.routes.iter().map(|route| (route.clone(), place(route))).collect(),
            policies: along.policies.iter().flat_map(|wanted| policies(wanted, speaks_v6)).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.policies.is_empty()
    }
}

/// A rule as the kernel has it: one that names neither source nor destination is for each family that the cluster has.
fn policies(policy: &MovingPolicy, speaks_v6: bool) -> Vec<Policy> {
    let MovingPolicy { from, to, interface, table, priority } = policy.clone();
    // What is every source is not said: the kernel does not tell it either.
    let [from_there, to_there] = [from, to].map(|net| net.filter(|net| net.prefix_len() > 0));
    let families = match from.or(to) {
        Some(net) => vec![net.addr().is_ipv4()],
        None if speaks_v6 => vec![true, false],
        None => vec![true],
    };
    let rule = |is_ipv4| Policy {
        is_ipv4,
        from: from_there,
        to: to_there,
        interface: interface.clone(),
        table,
        priority,
    };
    families.into_iter().map(rule).collect()
}

impl Along {
    /// Nothing is there yet.
    pub(super) fn new(setup: Setup) -> Self {
        Self { setup, ..Self::default() }
    }

    /// Puts on what is not there, at most once a second.
    pub(super) fn hold(&mut self, route: &mut Route, now: Time, group: &GroupName) {
        if self.setup.is_empty() || self.last.is_some_and(|last| now.since(last) < AGAIN) {
            return;
        }
        let is_first = !std::mem::replace(&mut self.held, true);
        self.last = Some(now);
        let mut troubles = Vec::new();
        for (wanted, place) in &self.setup.routes {
            let path = match path(route, wanted, place) {
                Ok(path) => path,
                Err(why) => {
                    troubles.push(format!("the route to {}: {why}", wanted.to));
                    continue;
                }
            };
            match route.add_path(&path) {
                Ok(true) => {
                    self.paths.retain(|other| *other != path);
                    self.paths.push(path);
                }
                // It is there: ours from before, or somebody else's.
                Ok(false) if is_first && !self.paths.contains(&path) => {
                    troubles.push(format!("the route to {} is there already, and not ours", path.to));
                }
                Ok(false) => {}
                Err(error) => troubles.push(super::chain(&error)),
            }
        }
        for policy in &self.setup.policies {
            if let Err(error) = route.add_policy(policy) {
                troubles.push(super::chain(&error));
            }
        }
        for trouble in &troubles {
            if !self.told.contains(trouble) {
                warn!(%group, "{trouble}");
            }
        }
        if !troubles.is_empty() || !is_first {
            self.told = troubles;
        }
    }

    /// Takes off what is there.
    pub(super) fn release(&mut self, route: &mut Route, group: &GroupName) {
        if self.setup.is_empty() || !std::mem::take(&mut self.held) {
            return;
        }
        self.last = None;
        for policy in &self.setup.policies {
            if let Err(error) = route.remove_policy(policy) {
                warn!(%group, error = super::chain(&error), "rule not removed");
            }
        }
        for path in std::mem::take(&mut self.paths) {
            if let Err(error) = route.remove_path(&path) {
                warn!(%group, error = super::chain(&error), "route not removed");
            }
        }
    }

    /// A former process of this node has put them on, and they shall stay.
    pub(super) fn adopt(&mut self, route: &mut Route) {
        let wanted = self.setup.routes.iter().filter_map(|(wanted, place)| path(route, wanted, place).ok());
        self.paths = wanted.collect();
        self.held = !self.setup.is_empty();
    }

    /// Whether a route is one of those that are there.
    fn has(&self, path: &Path) -> bool {
        // The kernel fills in what was not said.
        self.paths.iter().any(|own| {
            (own.to, own.table, own.metric) == (path.to, path.table, path.metric)
                && own.via == path.via
                && own.index.is_none_or(|index| path.index == Some(index))
        })
    }
}

/// Removes what an earlier process left: routes and rules that are ours by their protocol number, but for those of groups that
/// go on.
pub(super) fn remove_leftovers(route: &mut Route, going_on: &[&Along]) {
    for is_ipv4 in [true, false] {
        for path in route.paths(is_ipv4, Of::Ours).unwrap_or_default() {
            if !going_on.iter().any(|along| along.has(&path)) {
                let removed = route.remove_path(&path);
                told(removed, &format!("the route to {}", path.to));
            }
        }
        for policy in route.policies(is_ipv4).unwrap_or_default() {
            if !going_on.iter().any(|along| along.held && along.setup.policies.contains(&policy)) {
                let removed = route.remove_policy(&policy);
                told(removed, &format!("the rule {}", policy.priority));
            }
        }
    }
}

fn told(removed: Result<bool, relevo_net::Error>, what: &str) {
    match removed {
        Ok(_) => info!("removed {what}, left by an earlier process"),
        Err(error) => warn!(error = super::chain(&error), "{what} stays, left by an earlier process"),
    }
}

/// A route as the kernel wants it, or why it cannot be.
fn path(route: &mut Route, wanted: &MovingRoute, place: &Place) -> Result<Path, String> {
    let index = match place {
        Place::Anywhere => None,
        Place::Name(name) => {
            let index = nix::net::if_::if_nametoindex(name.as_str());
            Some(index.map_err(|_| format!("there is no interface {name}"))?)
        }
        Place::Own(IpAddr::V4(ip), name) => {
            let found = route.interface(*ip, name.as_deref());
            Some(found.map_err(|error| error.to_string())?.link.index)
        }
        Place::Own(IpAddr::V6(ip), _) => return Err(format!("no interface is looked for by {ip}")),
        Place::Nowhere(why) => return Err(why.clone()),
    };
    let MovingRoute { to, via, table, metric, source, .. } = wanted.clone();
    // What the kernel makes of none (`IP6_RT_PRIO_USER`): what is there is compared with this.
    let metric = if metric == 0 && to.addr().is_ipv6() { METRIC6 } else { metric };
    Ok(Path { to, via, index, table, metric, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cluster whose group has routes and policies of both families.
    fn setup() -> Setup {
        let text = "name = \"six\"\nnetwork.lan.subnet = [\"10.7.0.0/24\", \"fd00:7::/64\"]\n\
            node.a = { roles = [\"director\"], address.lan = [\"10.7.0.1\", \"fd00:7::1\"] }\n\
            [address.front]\nnetwork = \"lan\"\nip = \"10.7.0.9\"\n[group.main]\nvrid = 51\n\
            [[group.main.route]]\nto = \"fd00:99::/64\"\nvia = \"fd00:7::2\"\n\
            [[group.main.route]]\nto = \"::/0\"\ninterface = \"six0\"\ntable = 77\nmetric = 7\n\
            [[group.main.route]]\nto = \"10.99.0.0/24\"\nvia = \"10.7.0.2\"\n\
            [[group.main.policy]]\nfrom = \"fd00:99::/64\"\ntable = 77\npriority = 701\n\
            [[group.main.policy]]\nfrom = \"::/0\"\ninterface = \"six0\"\ntable = 77\npriority = 702\n\
            [[group.main.policy]]\ninterface = \"six0\"\ntable = 77\npriority = 703\n";
        let reading = relevo_model::read(text);
        let cluster = reading.cluster.unwrap_or_else(|| panic!("{:#?}", reading.diagnostics));
        Setup::new(&cluster, &NodeName::new("a"), &cluster.groups[0].along)
    }

    #[test]
    fn a_policy_that_names_an_interface_alone_is_for_each_family() {
        let families: Vec<(u32, bool)> =
            setup().policies.iter().map(|policy| (policy.priority, policy.is_ipv4)).collect();
        assert_eq!(families, [(701, false), (702, false), (703, true), (703, false)]);
    }

    #[test]
    fn lab_what_goes_on_is_known_again_and_what_is_left_is_removed_in_both_families() {
        let alone = || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
                .expect("a network namespace of our own");
            let ip = |words: &str| {
                let output = std::process::Command::new("ip").args(words.split(' ')).output().unwrap();
                assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
                String::from_utf8(output.stdout).unwrap()
            };
            for words in [
                "link add six0 type veth peer name six1",
                "link set six0 up",
                "link set six1 up",
                "address add 10.7.0.1/24 dev six0",
                "address add fd00:7::1/64 dev six0 nodad",
            ] {
                ip(words);
            }
            let rules = |words: &str| {
                let all = ip(words);
                let ours = all.lines().filter(|line| line.contains("proto 112"));
                ours.map(|line| format!("{line}\n")).collect::<String>()
            };
            let look = || {
                [
                    ip("-4 route show table all proto 112"),
                    ip("-6 route show table all proto 112"),
                    rules("-4 rule show"),
                    rules("-6 rule show"),
                ]
            };
            let (mut route, group) = (Route::open().unwrap(), GroupName::new("main"));
            let mut first = Along::new(setup());
            first.hold(&mut route, Time::ZERO, &group);
            assert!(first.told.is_empty(), "{:?}", first.told);
            let held = look();
            let [v4, v6, rules4, rules6] = &held;
            assert!(v4.contains("10.99.0.0/24 via 10.7.0.2"), "{v4}");
            assert!(
                v6.contains("fd00:99::/64 via fd00:7::2") && v6.contains("default dev six0 table 77"),
                "{v6}"
            );
            assert_eq!((rules4.lines().count(), rules6.lines().count()), (1, 3), "{rules4}{rules6}");
            // The process goes on as another one.
            let mut next = Along::new(setup());
            next.adopt(&mut route);
            remove_leftovers(&mut route, &[&next]);
            assert_eq!(look(), held, "an upgrade leaves them alone");
            next.release(&mut route, &group);
            assert_eq!(look(), [const { String::new() }; 4]);
            // Nobody goes on.
            Along::new(setup()).hold(&mut route, Time::ZERO, &group);
            assert_eq!(look(), held);
            remove_leftovers(&mut route, &[]);
            assert_eq!(look(), [const { String::new() }; 4]);
        };
        std::thread::spawn(alone).join().unwrap();
    }
}
