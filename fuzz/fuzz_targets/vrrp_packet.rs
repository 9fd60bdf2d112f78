//! Any bytes as a VRRP packet, and any story of packets and times into a group.
//!
//! The first byte chooses: bit 0 the version (0: 3, 1: 2), bit 1 preemption, bit 2 unicast, bit 3 its strictness, bit 4 signatures. The rest is a list of steps: one byte for the
//! kind, then what it needs. A packet's checksum is put right for one kind of step, so that the mutator gets past it.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use relevo_model::Time;
use relevo_model::cluster::{Announce, HmacMode, Multicast, Unicast, VrrpVersion};
use relevo_proto::vrrp::sign::{Key, Signing};
use relevo_proto::vrrp::{Advert, CLAIM, Envelope, Group, Input, Output, Peer, RouterSettings, Settings};

const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const VIRTUAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 254));

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let (version, advert) = match choice & 1 {
        0 => (VrrpVersion::V3, Duration::from_millis(100)),
        _ => (VrrpVersion::V2, Duration::from_secs(1)),
    };
    decode(version, rest);
    decode(version, &right_checksum(version, rest));
    decode6(rest);
    let _ = relevo_proto::vrrp::sign::keys(&String::from_utf8_lossy(rest));
    let peers = vec![Peer { source: PEER, priority: 100 }];
    let router =
        |vrid| RouterSettings { vrid, source: OWN, addresses: vec![VIRTUAL], peers: peers.clone() };
    let settings = Settings {
        routers: vec![router(1), router(2)],
        priority: 100,
        healthy: 100,
        advert,
        preempt: choice & 2 != 0,
        preempt_delay: Duration::from_millis(500),
        version,
        password: None,
        unicast: (choice & 4 != 0).then_some(Unicast { ttl: 255, min_ttl: 255, check_source: choice & 8 != 0 }),
        signing: (choice & 16 != 0).then(signing),
        announce: Announce::default(),
        missed: 3,
        multicast: Multicast::default(),
    };
    play(settings, rest);
});

/// What can be read is written as it was, reserved bits and the rest of an unused password apart.
fn decode(version: VrrpVersion, bytes: &[u8]) {
    if let Ok(advert) = Advert::decode(version, PEER, bytes) {
        let again = advert.encode(PEER);
        assert_eq!(Advert::decode(version, PEER, &again), Ok(advert));
        assert_eq!(again.len(), bytes.len());
    }
}

/// Any bytes of an IPv6 router.
fn decode6(bytes: &[u8]) {
    let source: IpAddr = "fe80::1".parse().unwrap();
    if let Ok(advert) = Advert::decode(VrrpVersion::V3, source, bytes) {
        assert_eq!(Advert::decode(VrrpVersion::V3, source, &advert.encode(source)), Ok(advert));
    }
}

fn signing() -> Signing {
    let keys = vec![Key { id: 1, secret: vec![7; 32] }];
    Signing { keys, mode: HmacMode::Permissive, wall: Duration::from_secs(1_700_000_000) }
}

fn play(settings: Settings, mut steps: &[u8]) {
    let mut now = Time::from_millis(1);
    let mut group = Group::new(settings.clone(), now);
    for router in 0..2 {
        group.handle_input(now, Input::Link { router, up: true });
    }
    let mut holding = false;
    while let Some((kind, rest)) = steps.split_first() {
        let router = usize::from(kind >> 7);
        let (taken, rest) = rest.split_at(rest.len().min(match kind & 7 {
            0 | 1 | 6 => 1,
            2 => 3,
            3 | 4 => 12,
            _ => 0,
        }));
        let first = taken.first().copied().unwrap_or(0);
        steps = rest;
        match kind & 7 {
            0 => {
                now += Duration::from_millis(u64::from(first) * u64::from(first));
                group.handle_timeout(now);
            }
            1 => {
                for _ in 0..first {
                    now = now.max(group.poll_timeout().unwrap_or(now));
                    group.handle_timeout(now);
                    drain(&mut group, &settings, &mut holding);
                }
            }
            2 => {
                let advert = Advert {
                    version: settings.version,
                    vrid: settings.routers[router].vrid,
                    priority: first,
                    interval: settings.advert,
                    addresses: vec![VIRTUAL],
                    password: None,
                };
                let source = IpAddr::from([10, 0, 0, taken.get(1).copied().unwrap_or(0)]);
                let ttl = if taken.get(2) == Some(&0) { 1 } else { 255 };
                let bytes = advert.encode(source);
                let envelope = Envelope { ttl, ..Envelope::multicast(source) };
                group.handle_input(now, Input::Packet { router, envelope, bytes: &bytes });
            }
            3 => group.handle_input(now, Input::Packet { router, envelope: Envelope::multicast(PEER), bytes: taken }),
            4 => {
                let bytes = right_checksum(settings.version, taken);
                group.handle_input(now, Input::Packet { router, envelope: Envelope::multicast(PEER), bytes: &bytes });
            }
            5 => group.handle_input(now, if kind & 8 == 0 { Input::Claim } else { Input::Resign }),
            6 => group.handle_input(now, Input::Link { router: usize::from(first >> 1), up: first & 1 == 1 }),
            _ => group.handle_input(now, Input::Shutdown),
        }
        drain(&mut group, &settings, &mut holding);
    }
}

fn drain(group: &mut Group, settings: &Settings, holding: &mut bool) {
    while let Some(output) = group.poll_output() {
        match output {
            Output::Send { router, to, bytes } => {
                let source = settings.routers[router].source;
                let sent = Advert::decode_from(settings.version, source, to, &bytes);
                let (advert, trailer) = sent.expect("what it sends can be read");
                assert_eq!(trailer.is_some(), settings.signing.is_some());
                let priority = advert.priority;
                assert!(*holding || priority == 0 || priority == CLAIM, "sent {priority} without holding");
            }
            Output::Hold { .. } => *holding = true,
            Output::Release => *holding = false,
            Output::Announce => assert!(*holding),
            Output::Changed { .. } | Output::Dropped { .. } | Output::Rival { .. } | Output::Finished => {}
        }
    }
}

/// The packet with the checksum that RFC 9568 section 5.2.8 wants, worked out here a second time.
fn right_checksum(version: VrrpVersion, packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    if bytes.len() < 8 {
        return bytes;
    }
    bytes[6..8].fill(0);
    let mut all = Vec::new();
    if version == VrrpVersion::V3 {
        all.extend([10, 0, 0, 1]);
        all.extend([224, 0, 0, 18, 0, 112]);
        all.extend((bytes.len() as u16).to_be_bytes());
    }
    all.extend(&bytes);
    let mut sum = 0_u32;
    for pair in all.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    bytes[6..8].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    bytes
}
