//! What the routers of a run are told.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use relevo_model::cluster::{Announce, Multicast, VrrpVersion};
use relevo_proto::vrrp::{Peer, RouterSettings, Settings};

use super::NODES;
use crate::random::Random;

pub(super) fn draw_settings(random: &mut Random, nets: usize) -> Vec<Settings> {
    let ms = Duration::from_millis;
    let (version, advert) = random.pick(&[
        (VrrpVersion::V3, ms(100)),
        (VrrpVersion::V3, ms(100)),
        (VrrpVersion::V3, ms(50)),
        (VrrpVersion::V3, ms(1000)),
        (VrrpVersion::V2, ms(1000)),
    ]);
    let preempt = random.chance(40);
    let priorities: [u8; NODES] =
        random.pick(&[[150, 100, 90], [90, 100, 150], [100, 100, 100], [254, 100, 1], [110, 90, 110]]);
    let octet = |number: usize| u8::try_from(number).unwrap_or(0);
    let source = |node: usize, net: usize| {
        IpAddr::V4(Ipv4Addr::new(10, 0, octet(net), octet(if net == 0 { 1 + node } else { 9 - node })))
    };
    let peers = |own: usize, net: usize| {
        let others = (0..NODES).filter(|node| *node != own);
        others.map(|node| Peer { source: source(node, net), priority: priorities[node] }).collect()
    };
    (0..NODES)
        .map(|node| Settings {
            routers: (0..nets)
                .map(|net| RouterSettings {
                    vrid: 51 + octet(net),
                    // Addresses compare the other way round on the second network.
                    source: source(node, net),
                    addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 0, octet(net), 254))],
                    peers: peers(node, net),
                })
                .collect(),
            priority: priorities[node],
            healthy: priorities[node],
            advert,
            preempt,
            preempt_delay: Duration::ZERO,
            version,
            password: None,
            unicast: None,
            signing: None,
            announce: Announce::default(),
            missed: 3,
            multicast: Multicast::default(),
        })
        .collect()
}
