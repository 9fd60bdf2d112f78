//! Any packets and any times into a VRRP group: it never panics (its invariants are checked at every entry), never sends
//! more than a few packets for one, and never advertises itself while it does not hold the addresses.
//!
//! The fuzz target `vrrp_packet` is the long form of this.

use std::net::Ipv4Addr;
use std::time::Duration;

use proptest::prelude::*;
use relevo_model::Time;
use relevo_model::cluster::{Announce, Multicast, VrrpVersion};
use relevo_proto::vrrp::{Advert, CLAIM, Envelope, Group, Input, Output, Peer, RouterSettings, Settings};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    OnTime,
    Noise { router: usize, ttl: u8, bytes: Vec<u8> },
    Advert { router: usize, host: u8, priority: u8, interval_cs: u32 },
    Link { router: usize, up: bool },
    Priority(u8),
    Trouble(bool),
    Resign,
    Claim,
    Shutdown,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u64..2_000).prop_map(Step::Pass),
        8 => Just(Step::OnTime),
        1 => (0_usize..3, any::<u8>(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(router, ttl, bytes)| Step::Noise { router, ttl, bytes }),
        6 => (0_usize..2, 1_u8..4, prop_oneof![Just(0_u8), Just(254), any::<u8>()], 1_u32..300)
            .prop_map(|(router, host, priority, interval_cs)| Step::Advert { router, host, priority, interval_cs }),
        1 => (0_usize..3, prop::bool::weighted(0.7)).prop_map(|(router, up)| Step::Link { router, up }),
        1 => any::<u8>().prop_map(Step::Priority),
        1 => prop::bool::weighted(0.3).prop_map(Step::Trouble),
        1 => Just(Step::Resign),
        1 => Just(Step::Claim),
        1 => prop::bool::weighted(0.1).prop_map(|end| if end { Step::Shutdown } else { Step::OnTime }),
    ]
}

fn source(router: usize, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, u8::try_from(router).unwrap_or(9), host)
}

fn settings(version: VrrpVersion, preempt: bool) -> Settings {
    let advert = match version {
        VrrpVersion::V2 => Duration::from_secs(1),
        VrrpVersion::V3 => Duration::from_millis(100),
    };
    let routers = (0..2)
        .map(|router| RouterSettings {
            vrid: 1,
            source: source(router, 2).into(),
            addresses: vec![source(router, 254).into()],
            peers: vec![Peer { source: source(router, 1).into(), priority: 100 }],
        })
        .collect();
    let preempt_delay = Duration::from_millis(500);
    Settings {
        routers,
        priority: 100,
        healthy: 110,
        advert,
        preempt,
        preempt_delay,
        version,
        password: None,
        unicast: None,
        signing: None,
        announce: Announce::default(),
        missed: 3,
        multicast: Multicast::default(),
    }
}

fn play(settings: &Settings, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut now = Time::from_millis(5);
    let mut group = Group::new(settings.clone(), now);
    for router in 0..2 {
        group.handle_input(now, Input::Link { router, up: true });
    }
    let (mut holding, mut finished) = (false, false);
    for step in steps {
        match step {
            Step::Pass(ms) => {
                now += Duration::from_millis(ms);
                group.handle_timeout(now);
            }
            Step::OnTime => {
                now = group.poll_timeout().unwrap_or(now);
                group.handle_timeout(now);
                prop_assert!(group.poll_timeout().is_none_or(|next| next > now), "asks for the past");
            }
            Step::Noise { router, ttl, bytes } => {
                group.handle_input(
                    now,
                    Input::Packet {
                        router,
                        envelope: Envelope { ttl, ..Envelope::multicast(source(router, 1).into()) },
                        bytes: &bytes,
                    },
                );
            }
            Step::Advert { router, host, priority, interval_cs } => {
                let interval = match settings.version {
                    VrrpVersion::V2 => settings.advert,
                    VrrpVersion::V3 => Duration::from_millis(10) * interval_cs,
                };
                let addresses = settings.routers[router].addresses.clone();
                let advert = Advert {
                    version: settings.version,
                    vrid: 1,
                    priority,
                    interval,
                    addresses,
                    password: None,
                };
                let source = source(router, host);
                let bytes = advert.encode(source);
                group.handle_input(
                    now,
                    Input::Packet { router, envelope: Envelope::multicast(source.into()), bytes: &bytes },
                );
            }
            Step::Link { router, up } => group.handle_input(now, Input::Link { router, up }),
            Step::Priority(priority) => group.handle_input(now, Input::Priority(priority)),
            Step::Trouble(is) => group.handle_input(now, Input::Trouble(is.then_some("a tracker"))),
            Step::Resign => group.handle_input(now, Input::Resign),
            Step::Claim => group.handle_input(now, Input::Claim),
            Step::Shutdown => group.handle_input(now, Input::Shutdown),
        }
        let mut sent = 0;
        while let Some(output) = group.poll_output() {
            prop_assert!(!finished, "{output:?} after Finished");
            match output {
                Output::Send { router, bytes, .. } => {
                    sent += 1;
                    let advert = Advert::decode(settings.version, settings.routers[router].source, &bytes);
                    let priority = advert.expect("what it sends can be read").priority;
                    prop_assert!(
                        holding || priority == 0 || priority == CLAIM,
                        "sent {priority} without holding"
                    );
                }
                Output::Hold { valid } => {
                    holding = true;
                    prop_assert!(valid >= Duration::from_secs(1) && valid.subsec_nanos() == 0);
                }
                Output::Release => holding = false,
                Output::Finished => finished = true,
                Output::Announce => prop_assert!(holding),
                Output::Changed { .. } | Output::Rival { .. } | Output::Dropped { .. } => {}
            }
        }
        prop_assert!(sent <= 4, "{sent} packets for one event");
    }
    prop_assert!(!(holding && finished));
    Ok(())
}

proptest! {
    #[test]
    fn any_story_is_survived(v3: bool, preempt: bool, steps in prop::collection::vec(step(), 0..200)) {
        let version = if v3 { VrrpVersion::V3 } else { VrrpVersion::V2 };
        play(&settings(version, preempt), steps)?;
    }
}
