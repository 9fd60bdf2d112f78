//! How the routers of a run speak: IPv4, IPv6 or both, to the multicast group or one by one, signed or not.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use relevo_model::cluster::{HmacMode, Unicast, VrrpVersion};
use relevo_proto::vrrp::Settings;
use relevo_proto::vrrp::sign::{Key, Signing};

use crate::random::Random;

/// Draws it, for all nodes alike but for their keys: a rotation may be under way.
pub fn draw(random: &mut Random, settings: &mut [Settings]) {
    let family = random.pick(&["4", "4", "6", "mixed"]);
    let unicast = random.chance(30).then_some(Unicast { ttl: 255, min_ttl: 255, check_source: true });
    let (signed, rotating) = (random.chance(40), random.chance(30));
    // Not all directors sign yet.
    let introduced = random.chance(30);
    for (node, settings) in settings.iter_mut().enumerate() {
        settings.unicast = unicast;
        if settings.version == VrrpVersion::V3 {
            for (net, router) in settings.routers.iter_mut().enumerate() {
                if family == "6" || (family == "mixed" && net == 0) {
                    let peers = router.peers.iter_mut().map(|peer| &mut peer.source);
                    peers.chain(&mut router.addresses).chain([&mut router.source]).for_each(into_v6);
                }
            }
        }
        if signed {
            let key = |id: u8| Key { id, secret: vec![id; 32] };
            let first = if rotating && node == 0 { 2 } else { 1 };
            let mode = match (introduced, node) {
                (false, _) => HmacMode::Enforce,
                (true, 0) => HmacMode::ReceiveOnly,
                (true, _) => HmacMode::Permissive,
            };
            let wall = Duration::from_secs(1_700_000_000);
            settings.signing = Some(Signing { keys: vec![key(first), key(3 - first)], mode, wall });
        }
    }
}

/// The order of addresses stays the same: it decides ties.
fn into_v6(ip: &mut IpAddr) {
    if let IpAddr::V4(v4) = *ip {
        let [.., net, host] = v4.octets();
        *ip = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, u16::from(net), u16::from(host)));
    }
}
