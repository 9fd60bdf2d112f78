//! A day of CPU stalls: a busy machine holds processes up for moments of any length, and nobody takes over for that.
//!
//! The active one stalls for less than its Active_Down interval (longer, and another must take over); a backup for as long as
//! it likes. Adverts wait in its socket meanwhile, or are lost when that is full. Time goes from event to event.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use relevo_model::Time;
use relevo_model::cluster::{Announce, Multicast, VrrpVersion};
use relevo_proto::bfd::{self, Session, SessionState};
use relevo_proto::vrrp::{Envelope, Group, Input, Output, RouterSettings, Settings, State};
use relevo_sim::random::Random;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Adverts that wait for a process.
const SOCKET: usize = 200;

fn group(index: u8) -> Group {
    let settings = Settings {
        routers: vec![RouterSettings {
            vrid: 51,
            source: IpAddr::V4(Ipv4Addr::new(10, 0, 0, index)),
            addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 254))],
            peers: Vec::new(),
        }],
        priority: if index == 1 { 150 } else { 100 },
        healthy: if index == 1 { 150 } else { 100 },
        advert: Duration::from_millis(100),
        preempt: false,
        preempt_delay: Duration::ZERO,
        version: VrrpVersion::V3,
        password: None,
        unicast: None,
        signing: None,
        announce: Announce::default(),
        missed: 3,
        multicast: Multicast::default(),
    };
    let mut group = Group::new(settings, Time::ZERO);
    group.handle_input(Time::ZERO, Input::Link { router: 0, up: true });
    group
}

fn adverts(group: &mut Group) -> Vec<Vec<u8>> {
    let outputs = std::iter::from_fn(|| group.poll_output());
    let adverts = outputs.filter_map(|output| match output {
        Output::Send { bytes, .. } => Some(bytes),
        Output::Hold { .. }
        | Output::Release
        | Output::Announce
        | Output::Rival { .. }
        | Output::Changed { .. }
        | Output::Dropped { .. }
        | Output::Finished => None,
    });
    adverts.collect()
}

/// When a process runs again that wants to run at `due`: mostly at once, sometimes much later.
fn awake(random: &mut Random, due: Time, longest: u64) -> Time {
    let late = match random.index(100) {
        0 => random.between(0, longest),
        1..=9 => random.between(0, longest.min(20_000)),
        _ => random.between(0, 500),
    };
    due + Duration::from_micros(late)
}

#[test]
fn a_day_of_stalls_moves_nothing() {
    let mut random = Random::new(11);
    let (mut active, mut backup) = (group(1), group(2));
    let mut now = Time::ZERO;
    while active.status().state != State::Active {
        now = active.poll_timeout().unwrap();
        active.handle_timeout(now);
    }
    let end = now + DAY;
    let mut inbox: Vec<(Time, Vec<u8>)> = Vec::new();
    let first = adverts(&mut active);
    inbox.extend(first.into_iter().map(|bytes| (now, bytes)));
    // The backup has just started, and may be asleep for up to five seconds at a time.
    let mut active_at = awake(&mut random, active.poll_timeout().unwrap(), 190_000);
    let mut backup_at = now + Duration::from_millis(1);
    let mut longest = Duration::ZERO;
    while now < end {
        if active_at <= backup_at {
            now = active_at;
            active.handle_timeout(now);
            for bytes in adverts(&mut active) {
                if inbox.len() < SOCKET {
                    inbox.push((now + Duration::from_micros(100), bytes));
                }
                // It wakes the backup, unless that is asleep.
                if backup.poll_timeout().is_some_and(|due| backup_at <= due) {
                    backup_at =
                        backup_at.min(awake(&mut random, now + Duration::from_micros(100), 5_000_000));
                }
            }
            active_at = awake(&mut random, active.poll_timeout().unwrap(), 190_000);
        } else {
            longest = longest.max(backup_at.since(now));
            now = backup_at;
            let (there, later) = inbox.into_iter().partition(|(at, _)| *at <= now);
            inbox = later;
            let there: Vec<(Time, Vec<u8>)> = there;
            for (_, bytes) in &there {
                let envelope = Envelope::multicast(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
                backup.handle_input(now, Input::Packet { router: 0, envelope, bytes });
            }
            backup.handle_timeout(now);
            assert_eq!(backup.status().state, State::Backup, "at {now}: {}", backup.status().reason);
            adverts(&mut backup);
            backup_at = awake(&mut random, backup.poll_timeout().unwrap().max(now), 5_000_000);
        }
        assert_eq!(active.status().state, State::Active, "at {now}: {}", active.status().reason);
    }
    assert_eq!(active.status().transitions, 2, "to listen, and to be active");
}

#[test]
fn bfd_does_not_take_its_own_stalls_for_silence() {
    let mut random = Random::new(12);
    let settings =
        |discriminator| bfd::Settings { discriminator, interval: Duration::from_millis(10), multiplier: 5 };
    let mut sessions = [Session::new(settings(1), Time::ZERO), Session::new(settings(2), Time::ZERO)];
    let mut inbox: Vec<[u8; 24]> = Vec::new();
    let (mut asleep_until, mut stalls) = (0, 0);
    for ms in 0..600_000_u64 {
        let now = Time::from_millis(ms);
        let [neighbour, watcher] = &mut sessions;
        if neighbour.poll_timeout() <= now {
            neighbour.handle_timeout(now, random.bits());
        }
        while let Some(output) = neighbour.poll_output() {
            match output {
                bfd::Output::Send(bytes) if inbox.len() < SOCKET => inbox.push(bytes),
                // The neighbour notices a long stall: that is its task.
                bfd::Output::Send(_) | bfd::Output::Up | bfd::Output::Down { .. } => {}
            }
        }
        if ms < asleep_until {
            continue;
        }
        for bytes in inbox.drain(..) {
            // Some are of a session that is over meanwhile.
            let _ = watcher.handle_packet(now, 255, &bytes, random.bits());
        }
        if watcher.poll_timeout() <= now {
            watcher.handle_timeout(now, random.bits());
        }
        while let Some(output) = watcher.poll_output() {
            match output {
                bfd::Output::Send(bytes) => {
                    let _ = neighbour.handle_packet(now, 255, &bytes, random.bits());
                }
                bfd::Output::Up => {}
                bfd::Output::Down { silent, .. } => assert!(!silent, "at {now}, after {stalls} stalls"),
            }
        }
        if watcher.state().0 == SessionState::Up && random.chance(1) {
            stalls += 1;
            asleep_until = ms + random.between(5, 1_500);
        }
    }
    assert!(stalls > 100, "{stalls}");
}
