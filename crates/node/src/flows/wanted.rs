//! What rules a cluster file wants, with what is known of the servers. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use relevo_lb::Share;
use relevo_model::ClusterFile;
use relevo_model::cluster::{Balance, Forward, Mode, Pool, Service};
use relevo_proto::flows::{Form, Front, Key, Member, Slots, Synproxy};

/// A flow that is silent is remembered at least as long: an idle client is not worth guessing.
const LEAST_IDLE: Duration = Duration::from_secs(300);

/// The service as the rules see it.
pub(super) fn front(cluster: &ClusterFile, service: &Service, pool: &Pool) -> Option<Front> {
    let at = service.listen.first()?.at;
    let servers: Vec<SocketAddr> = pool.servers.iter().map(|server| server.at).collect();
    let mut inside: Vec<IpNet> = servers.iter().map(|server| network_of(cluster, server.ip())).collect();
    inside.sort_unstable();
    inside.dedup();
    Some(Front {
        name: service.name.to_string(),
        udp: service.mode == Mode::Udp,
        at,
        pool: pool.name.to_string(),
        key: key(pool),
        inside,
        idle: idle(service, pool),
        servers,
        form: form(cluster, service),
        cut: Vec::new(),
        synproxy: service.synproxy.map(|one| Synproxy { mss: one.mss, wscale: one.wscale }),
        closing: false,
    })
}

fn form(cluster: &ClusterFile, service: &Service) -> Form {
    let source = service.source.as_ref();
    let address = cluster.addresses.iter().find(|address| Some(&address.name) == source);
    match (service.forward, address) {
        (Forward::Direct, _) => Form::Direct,
        (Forward::Nat, Some(address)) => Form::Source(address.ip),
        (Forward::Nat, None) => Form::Nat,
    }
}

/// The slots of a pool.
pub(super) fn slots(shares: &[Share]) -> Slots {
    let members: Vec<Member> = shares
        .iter()
        .filter(|share| share.open || share.keeps)
        .map(|share| Member { at: share.at, share: share.share, takes_new: share.open })
        .collect();
    Slots::among(&members, shares.len())
}

fn key(pool: &Pool) -> Key {
    match pool.balance {
        Balance::Hash(_) => Key::Source,
        Balance::RoundRobin | Balance::StaticRr | Balance::LeastConn | Balance::First | Balance::Random => {
            Key::Connection
        }
    }
}

fn idle(service: &Service, pool: &Pool) -> Duration {
    let silence = match service.mode {
        Mode::Udp => return service.timeouts.client,
        Mode::Tcp | Mode::Http => service.timeouts.client.max(pool.timeouts.server),
    };
    service.timeouts.tunnel.unwrap_or(silence).max(LEAST_IDLE)
}

/// The network that an address is on; the address alone where the file has none.
fn network_of(cluster: &ClusterFile, ip: IpAddr) -> IpNet {
    let v4 = cluster.networks.iter().map(|network| IpNet::from(network.subnet));
    let v6 = cluster.networks.iter().filter_map(|network| network.subnet6.map(IpNet::from));
    v4.chain(v6).find(|net| net.contains(&ip)).unwrap_or_else(|| IpNet::from(ip))
}

/// Pools by name.
pub(super) type Pools = BTreeMap<String, Slots>;
