//! Stories of two sessions, and packets that are wrong.

use std::time::Duration;

use proptest::prelude::*;
use relevo_model::Time;

use super::*;

fn ms(ms: u64) -> Time {
    Time::from_millis(ms)
}

fn session(discriminator: u32, multiplier: u8) -> Session {
    let interval = Duration::from_millis(10);
    Session::new(Settings { discriminator, interval, multiplier }, ms(0))
}

/// Outputs, packets apart.
fn drain(session: &mut Session) -> (Vec<[u8; 24]>, Vec<Output>) {
    let (mut packets, mut rest) = (Vec::new(), Vec::new());
    while let Some(output) = session.poll_output() {
        match output {
            Output::Send(bytes) => packets.push(bytes),
            Output::Up | Output::Down { .. } => rest.push(output),
        }
    }
    (packets, rest)
}

/// Plays two from `from` to `until`, each of which is heard or not.
fn play(
    a: &mut Session,
    b: &mut Session,
    from: u64,
    until: u64,
    heard: [bool; 2],
) -> [Vec<(u64, Output)>; 2] {
    let mut told = [Vec::new(), Vec::new()];
    for now in from..until {
        for turn in 0..2 {
            let (me, you) = if turn == 0 { (&mut *a, &mut *b) } else { (&mut *b, &mut *a) };
            if me.poll_timeout() <= ms(now) {
                me.handle_timeout(ms(now), now * 7 + turn);
            }
            let (packets, rest) = drain(me);
            told[usize::try_from(turn).unwrap()].extend(rest.into_iter().map(|output| (now, output)));
            if heard[usize::try_from(turn).unwrap()] {
                for bytes in packets {
                    you.handle_packet(ms(now), 255, &bytes, now).unwrap();
                }
            }
        }
    }
    told
}

fn up() -> (Session, Session) {
    let (mut a, mut b) = (session(1, 5), session(2, 5));
    let told = play(&mut a, &mut b, 0, 1000, [true; 2]);
    assert_eq!((told[0].len(), told[1].len()), (1, 1));
    assert_eq!((a.state().0, b.state().0), (SessionState::Up, SessionState::Up));
    (a, b)
}

#[test]
fn two_meet_and_confirm_their_pace() {
    let (mut a, mut b) = up();
    assert_eq!(a.detection_time(), Some(Duration::from_millis(50)));
    let mut count = 0;
    for now in 1000..2000 {
        for me in [&mut a, &mut b] {
            me.handle_timeout(ms(now), now);
        }
        let (from_a, _) = drain(&mut a);
        let (from_b, _) = drain(&mut b);
        count += from_a.len();
        for bytes in from_a {
            let packet = Packet::decode(255, &bytes).unwrap();
            assert!(!packet.poll && !packet.is_final, "the poll was answered");
            assert_eq!(packet.transmit, Duration::from_millis(10));
            b.handle_packet(ms(now), 255, &bytes, now).unwrap();
        }
        for bytes in from_b {
            a.handle_packet(ms(now), 255, &bytes, now).unwrap();
        }
    }
    assert!((100..=134).contains(&count), "{count}: three quarters to all of the interval");
}

#[test]
fn silence_is_noticed_in_the_detection_time() {
    let (mut a, mut b) = up();
    let told = play(&mut a, &mut b, 1000, 1100, [false, true]);
    let down = Output::Down { silent: true, diagnostic: Diagnostic::TimeExpired };
    assert_eq!(told[1].len(), 1, "{told:?}");
    assert!((1038..=1051).contains(&told[1][0].0) && told[1][0].1 == down, "{told:?}");
    // The other one is told that it is not heard. That is no silence.
    assert_eq!(told[0].len(), 1);
    assert_eq!(told[0][0].1, Output::Down { silent: false, diagnostic: Diagnostic::NeighborDown });
    let told = play(&mut a, &mut b, 1100, 4000, [true; 2]);
    assert_eq!((told[0].len(), told[1].len()), (1, 1), "and Up again");
}

#[test]
fn a_planned_stop_is_no_loss() {
    let (mut a, mut b) = up();
    a.stop(ms(1000));
    let (packets, _) = drain(&mut a);
    assert_eq!(Packet::decode(255, &packets[0]).unwrap().state, SessionState::AdminDown);
    b.handle_packet(ms(1000), 255, &packets[0], 0).unwrap();
    let (_, told) = drain(&mut b);
    assert_eq!(told, [Output::Down { silent: false, diagnostic: Diagnostic::NeighborDown }]);
    let (answer, _) = {
        b.handle_timeout(ms(1000), 0);
        drain(&mut b)
    };
    assert_eq!(a.handle_packet(ms(1001), 255, &answer[0], 0), Err(DropReason::Stopped));
}

#[test]
fn an_own_stall_is_not_the_neighbours_silence() {
    for stall in [25, 45, 60, 200, 5_000, 3_600_000] {
        let (mut a, mut b) = up();
        // b sleeps; a speaks on, and nothing is kept for b.
        b.handle_timeout(ms(1000), 1);
        drain(&mut b);
        b.handle_timeout(ms(1000 + stall), 1);
        let (_, told) = drain(&mut b);
        assert_eq!(told, [], "{stall} ms asleep");
        // It is heard again within the time that it still has.
        drain(&mut a);
        let mut fresh = session(1, 5);
        fresh.handle_timeout(ms(1000 + stall), 1);
        let told = play(&mut a, &mut b, 1000 + stall, 1002 + stall, [true; 2]);
        assert!(told[1].is_empty(), "{stall} ms: {told:?}");
    }
    // Who is always a little late still notices.
    let (_, mut b) = up();
    let mut now = 1000;
    while b.state().0 == SessionState::Up {
        now += 24;
        b.handle_timeout(ms(now), 1);
        assert!(now < 2000, "it notices");
    }
}

#[test]
fn what_is_wrong_is_dropped_with_its_reason() {
    let (mut a, mut b) = up();
    b.handle_timeout(ms(1010), 0);
    let (packets, _) = drain(&mut b);
    let right = packets[0];
    let change = |at: usize, value: u8| {
        let mut bytes = right;
        bytes[at] = value;
        bytes
    };
    for (ttl, bytes, reason) in [
        (254, right, DropReason::Ttl(254)),
        (255, change(0, 0x40), DropReason::Version(2)),
        (255, change(3, 23), DropReason::Length(24)),
        (255, change(3, 25), DropReason::Length(24)),
        (255, change(1, right[1] | 4), DropReason::Authenticated),
        (255, change(1, right[1] | 1), DropReason::Field("the multipoint bit")),
        (255, change(1, right[1] | 0x30), DropReason::Field("poll and final together")),
        (255, change(2, 0), DropReason::Field("the detect multiplier")),
        (255, change(7, 0), DropReason::Field("the sender's discriminator")),
        (255, change(11, 0), DropReason::Field("the receiver's discriminator")),
        (255, change(11, 9), DropReason::Session(9)),
    ] {
        assert_eq!(a.handle_packet(ms(1010), ttl, &bytes, 0), Err(reason));
    }
    assert_eq!(a.handle_packet(ms(1010), 255, &right[..23], 0), Err(DropReason::Length(23)));
    assert_eq!(a.handle_packet(ms(1010), 255, &right, 0), Ok(()));
}

#[test]
fn a_packet_is_written_as_rfc_5880_draws_it() {
    let packet = Packet {
        diagnostic: Diagnostic::TimeExpired,
        state: SessionState::Up,
        poll: true,
        is_final: false,
        demand: false,
        multiplier: 5,
        own: 1,
        other: 2,
        transmit: Duration::from_millis(10),
        receive: Duration::from_millis(20),
    };
    let text: String = packet.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text, "21e00518000000010000000200002710".to_owned() + "00004e2000000000");
    assert_eq!(Packet::decode(255, &packet.encode()), Ok(packet));
}

proptest! {
    #[test]
    fn no_story_panics(steps in proptest::collection::vec((0_u64..100, any::<[u8; 24]>(), any::<bool>()), 0..100)) {
        let mut session = session(1, 3);
        let mut now = 0;
        for (pause, mut bytes, right) in steps {
            now += pause;
            if right {
                // Past the checks.
                bytes[0] = bytes[0] & 0x1f | 0x20;
                bytes[1] &= 0xc0;
                bytes[3] = 24;
                bytes[8..12].copy_from_slice(&[0, 0, 0, 1]);
            }
            let _ = session.handle_packet(ms(now), 255, &bytes, now);
            if session.poll_timeout() <= ms(now) {
                session.handle_timeout(ms(now), now);
            }
            drain(&mut session);
            prop_assert!(session.poll_timeout() >= ms(now.saturating_sub(1)));
        }
    }
}
