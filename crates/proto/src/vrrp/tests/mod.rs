//! Stories for the machine: what goes in, what comes out, section by section of RFC 9568.

mod adopt;
mod health;
mod parting;
mod planned;
mod told;

use std::net::Ipv4Addr;
use std::time::Duration;

use relevo_model::Time;
use relevo_model::cluster::{Announce, Multicast, VrrpVersion};

use super::{Advert, DropReason, Envelope, Group, Input, Output, RouterSettings, Settings, State};

const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
const LOW: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const HIGH: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
/// Active_Down at priority 100 and adverts every 100 ms: 3 * 100 + (256 - 100) * 100 / 256 = 360.9 ms.
const DOWN: u64 = 361;

struct Bench {
    group: Group,
    now: Time,
    settings: Settings,
}

fn settings(nets: u8, preempt: bool) -> Settings {
    Settings {
        routers: (0..nets)
            .map(|net| RouterSettings {
                vrid: 51 + net,
                source: on(OWN, net).into(),
                addresses: vec![Ipv4Addr::new(10, 0, net, 254).into()],
                peers: Vec::new(),
            })
            .collect(),
        priority: 100,
        healthy: 100,
        advert: Duration::from_millis(100),
        preempt,
        preempt_delay: Duration::ZERO,
        version: VrrpVersion::V3,
        password: None,
        unicast: None,
        signing: None,
        announce: Announce::default(),
        missed: 3,
        multicast: Multicast::default(),
    }
}

fn on(host: Ipv4Addr, net: u8) -> Ipv4Addr {
    let [a, b, _, d] = host.octets();
    Ipv4Addr::new(a, b, net, d)
}

/// Outputs in short: `send 100@0` is an advert of priority 100 on router 0.
fn short(output: &Output) -> String {
    match output {
        Output::Send { router, bytes, .. } => format!("send {}@{router}", bytes[2]),
        Output::Hold { valid } => format!("hold {}", valid.as_secs()),
        Output::Release => String::from("release"),
        Output::Announce => String::from("announce"),
        Output::Changed { from, to, .. } => format!("{from}>{to}"),
        Output::Rival { source, priority } => format!("rival {source} {priority}"),
        Output::Dropped { router, reason, .. } => format!("dropped@{router} {reason:?}"),
        Output::Finished => String::from("finished"),
    }
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let now = Time::from_millis(1_000);
        Self { group: Group::new(settings.clone(), now), now, settings }
    }

    /// All links up: listening.
    fn listening(settings: Settings) -> Self {
        let mut bench = Self::new(settings);
        for router in 0..bench.settings.routers.len() {
            bench.input(Input::Link { router, up: true });
        }
        assert_eq!(bench.state(), State::Backup);
        bench
    }

    fn active(settings: Settings) -> Self {
        let mut bench = Self::listening(settings);
        bench.pass(DOWN);
        assert_eq!(bench.state(), State::Active);
        bench
    }

    fn drain(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.group.poll_output()).map(|output| short(&output)).collect()
    }

    fn input(&mut self, input: Input<'_>) -> Vec<String> {
        self.group.handle_input(self.now, input);
        self.drain()
    }

    /// An advert as a peer sends it.
    fn hear(&mut self, router: usize, from: Ipv4Addr, priority: u8) -> Vec<String> {
        self.hear_every(router, from, priority, self.settings.advert)
    }

    fn hear_every(&mut self, router: usize, from: Ipv4Addr, priority: u8, interval: Duration) -> Vec<String> {
        let ours = &self.settings.routers[router];
        let source = on(from, u8::try_from(router).unwrap());
        let advert = Advert {
            version: self.settings.version,
            vrid: ours.vrid,
            priority,
            interval,
            addresses: ours.addresses.clone(),
            password: None,
        };
        let bytes = advert.encode(source);
        self.input(Input::Packet { router, envelope: Envelope::multicast(source.into()), bytes: &bytes })
    }

    /// Lets time pass, waking the machine when it asks for it.
    fn pass(&mut self, ms: u64) -> Vec<String> {
        let until = self.now + Duration::from_millis(ms);
        let mut out = Vec::new();
        while let Some(due) = self.group.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.group.handle_timeout(self.now);
            out.extend(self.drain());
        }
        self.now = until;
        out
    }

    /// Lets time pass without the machine being run.
    fn sleep(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn state(&self) -> State {
        self.group.status().state
    }

    /// How long from now until it becomes active, in milliseconds.
    fn takes_over_in(mut self) -> u64 {
        let start = self.now;
        while self.state() != State::Active {
            self.now = self.group.poll_timeout().expect("it listens");
            assert!(self.now.since(start) < Duration::from_secs(60), "it never takes over");
            self.group.handle_timeout(self.now);
        }
        self.now.since(start).as_millis().try_into().unwrap()
    }
}

#[test]
fn startup_listens_a_full_active_down_then_holds_sends_and_announces() {
    // RFC 9568 section 6.4.1 and 6.4.2
    let mut bench = Bench::new(settings(1, false));
    assert_eq!(bench.pass(5_000), [""; 0], "nothing before the link is known");
    assert_eq!(bench.input(Input::Link { router: 0, up: true }), ["init>backup"]);
    assert_eq!(bench.pass(DOWN - 1), [""; 0]);
    assert_eq!(bench.pass(1), ["hold 1", "send 100@0", "announce", "backup>active"]);
    assert_eq!(bench.pass(100), ["send 100@0"]);
    let next = ["announce", "send 100@0", "hold 1"];
    assert_eq!(bench.pass(150), next, "156 ms after the takeover");
}

#[test]
fn active_down_timer_of_section_6_4_2() {
    let ms = Duration::from_millis;
    for (preempt, priority, interval, want, why) in [
        (false, 150, 100, 360, "higher: Active_Down with our skew"),
        (false, 50, 100, 360, "lower, sticky: it is the active"),
        (true, 50, 100, 60, "lower, preempting: discarded, the timer from the start goes on"),
        (true, 100, 100, 360, "equal: it is the active"),
        (false, 150, 200, 721, "the interval is learned: 3 * 200 + 156 * 200 / 256"),
        (false, 0, 100, 60, "priority 0 does not shorten the first listening"),
    ] {
        let mut bench = Bench::listening(settings(1, preempt));
        bench.pass(300);
        bench.hear_every(0, LOW, priority, ms(interval));
        assert_eq!(bench.takes_over_in(), want, "{why}");
    }
}

#[test]
fn so_many_adverts_must_be_missing() {
    // The skew is that of one interval, whatever their number: 60.9 ms; they are waited for after the last one heard, and at the start.
    for (missed, want) in [(1, 160), (3, 360), (8, 860), (0, 160), (255, 10_060)] {
        let bench = Bench::listening(Settings { missed, ..settings(1, false) });
        assert_eq!(bench.takes_over_in(), want, "missed = {missed}, at the start");
        let mut bench = Bench::listening(Settings { missed, ..settings(1, false) });
        for _ in 0..5 {
            bench.pass(100);
            bench.hear(0, LOW, 150);
        }
        assert_eq!(bench.takes_over_in(), want, "missed = {missed}");
    }
}

#[test]
fn adverts_go_to_the_multicast_group_of_the_settings() {
    let multicast = Multicast { v4: [224, 0, 0, 118].into(), ..Multicast::default() };
    let mut bench = Bench::new(Settings { multicast, ..settings(1, false) });
    bench.group.handle_input(bench.now, Input::Link { router: 0, up: true });
    bench.group.handle_input(bench.now, Input::Claim);
    let mut groups = std::collections::BTreeSet::new();
    for _ in 0..20 {
        bench.now = bench.group.poll_timeout().expect("it listens, then it is active");
        bench.group.handle_timeout(bench.now);
        while let Some(output) = bench.group.poll_output() {
            if let Output::Send { to, bytes, .. } = output {
                groups.insert(to);
                let source = on(OWN, 0).into();
                Advert::decode_from(VrrpVersion::V3, source, to, &bytes)
                    .expect("its checksum is of that group");
            }
        }
    }
    assert_eq!(groups.into_iter().collect::<Vec<_>>(), [std::net::IpAddr::from([224, 0, 0, 118])]);
}

#[test]
fn priority_0_of_the_active_one_leaves_only_the_skew() {
    // RFC 9568 section 6.4.2: Active_Down_Timer = Skew_Time = 60.9 ms
    let mut bench = Bench::listening(settings(1, false));
    for _ in 0..10 {
        bench.pass(100);
        bench.hear(0, LOW, 150);
    }
    bench.hear(0, LOW, 0);
    assert_eq!(bench.takes_over_in(), 60);
}

#[test]
fn priority_0_of_another_is_not_believed() {
    let mut bench = Bench::listening(settings(1, false));
    for _ in 0..10 {
        bench.pass(100);
        bench.hear(0, LOW, 150);
    }
    bench.hear(0, HIGH, 0);
    assert_eq!(bench.takes_over_in(), 360);
}

#[test]
fn active_against_adverts_of_section_6_4_3() {
    for (from, priority, want) in [
        (LOW, 101, &["send 100@0", "release", "active>backup"][..]),
        (HIGH, 100, &["send 100@0", "release", "active>backup"]),
        (LOW, 100, &["send 100@0", "rival 10.0.0.1 100"]),
        (HIGH, 99, &["send 100@0", "rival 10.0.0.9 99"]),
        (LOW, 0, &["send 100@0"]),
        (LOW, 255, &["send 100@0", "release", "active>backup"]),
        (LOW, 254, &["release", "send 0@0", "active>backup"]),
    ] {
        let mut bench = Bench::active(settings(1, false));
        bench.pass(30);
        assert_eq!(bench.hear(0, from, priority), want, "{priority} from {from}");
    }
}

#[test]
fn who_wins_announces_again() {
    let mut bench = Bench::active(settings(1, false));
    let out = bench.pass(5_000);
    assert_eq!(out.iter().filter(|word| *word == "announce").count(), 4, "156, 625, 1406, 2500 ms");
    bench.hear(0, LOW, 90);
    let out = bench.pass(5_000);
    assert_eq!(out.iter().filter(|word| *word == "announce").count(), 5, "the series anew");
}

#[test]
fn actives_do_not_shout_at_the_speed_of_the_wire() {
    let mut bench = Bench::active(settings(1, false));
    bench.pass(30);
    let sent: usize = (0..1_000).map(|_| bench.hear(0, LOW, 90).len()).sum();
    assert_eq!(sent, 2, "one advert, and the rival is told once");
}

#[test]
fn version_2_skews_in_seconds_and_wants_our_interval() {
    let version_2 =
        Settings { version: VrrpVersion::V2, advert: Duration::from_secs(1), ..settings(1, false) };
    // RFC 3768 section 6.1: 3 * 1 + (256 - 100) / 256 s
    assert_eq!(Bench::listening(version_2.clone()).takes_over_in(), 3_609);
    let mut bench = Bench::listening(version_2);
    let out = bench.hear_every(0, LOW, 150, Duration::from_secs(2));
    assert_eq!(out, ["dropped@0 Interval(2000)"]);
    assert_eq!(bench.group.status().dropped, 1);
}

#[test]
fn drops_are_told_but_not_those_of_other_routers() {
    let mut bench = Bench::listening(settings(1, false));
    let short =
        bench.input(Input::Packet { router: 0, envelope: Envelope::multicast(LOW.into()), bytes: &[0x31] });
    assert_eq!(short, ["dropped@0 TooShort(1)"]);
    let advert = Advert {
        version: VrrpVersion::V3,
        vrid: 99,
        priority: 200,
        interval: Duration::from_millis(100),
        addresses: vec![HIGH.into()],
        password: None,
    };
    let out = bench.input(Input::Packet {
        router: 0,
        envelope: Envelope::multicast(LOW.into()),
        bytes: &advert.encode(LOW),
    });
    assert_eq!(out, [""; 0]);
    assert_eq!(bench.group.status().dropped, 1);
    let out = bench.input(Input::Packet { router: 7, envelope: Envelope::multicast(LOW.into()), bytes: &[] });
    assert_eq!(out, [""; 0], "no such router");
    assert_eq!(DropReason::Ttl { got: 1, least: 255 }.to_string(), "TTL is 1, must be 255");
}

#[test]
fn a_group_takes_over_when_all_its_routers_may() {
    let mut bench = Bench::listening(settings(2, false));
    for _ in 0..10 {
        bench.pass(100);
        bench.hear(1, LOW, 150);
    }
    assert_eq!(bench.state(), State::Backup, "heard on the second network");
    let out = bench.pass(DOWN);
    assert_eq!(out, ["hold 1", "send 100@0", "send 100@1", "announce", "backup>active"]);
    let out = bench.hear(1, LOW, 150);
    assert_eq!(
        out,
        ["send 100@0", "send 100@1", "release", "active>backup"],
        "a loss on one is a loss of all"
    );
}

#[test]
fn one_link_down_is_a_fault_of_all() {
    let mut bench = Bench::active(settings(2, false));
    let out = bench.input(Input::Link { router: 0, up: false });
    assert_eq!(out, ["release", "send 0@1", "active>fault"]);
    assert_eq!(bench.pass(5_000), [""; 0]);
    assert_eq!(bench.hear(1, LOW, 0), [""; 0]);
    assert_eq!(bench.input(Input::Link { router: 0, up: true }), ["fault>backup"]);
    assert_eq!(bench.takes_over_in(), 360, "listens in full");
}

#[test]
fn ties_on_several_networks_are_decided_by_the_first() {
    // The rival is lower on the first network and higher on the second.
    let mut bench = Bench::active(settings(2, false));
    bench.pass(30);
    assert_eq!(bench.hear(1, HIGH, 100), [""; 0], "waits for the first network");
    assert_eq!(bench.hear(0, LOW, 100), ["send 100@0", "rival 10.0.0.1 100"]);
    bench.pass(250);
    bench.hear(0, LOW, 100);
    assert_eq!(bench.hear(1, HIGH, 100), [""; 0]);
    assert_eq!(bench.state(), State::Active);
    // Where the first network does not hear it, the second decides after two intervals.
    let mut bench = Bench::active(settings(2, false));
    bench.hear(1, HIGH, 100);
    bench.pass(100);
    bench.hear(1, HIGH, 100);
    bench.pass(100);
    assert_eq!(bench.hear(1, HIGH, 100), ["send 100@0", "send 100@1", "release", "active>backup"]);
}

#[test]
fn a_stalled_active_releases_before_it_says_anything() {
    for (slept, want) in [
        (DOWN - 1, &["send 100@0", "hold 1", "announce"][..]),
        (DOWN, &["release", "active>backup"]),
        (3_600_000, &["release", "active>backup"]),
    ] {
        let mut bench = Bench::active(settings(1, false));
        bench.sleep(slept);
        bench.group.handle_timeout(bench.now);
        assert_eq!(bench.drain(), want, "slept {slept} ms");
    }
    // The same when a packet or a command comes first.
    let mut bench = Bench::active(settings(1, false));
    bench.sleep(1_000);
    assert_eq!(bench.hear(0, LOW, 90), ["release", "active>backup"]);
    let mut bench = Bench::active(settings(1, false));
    bench.sleep(1_000);
    assert_eq!(bench.input(Input::Claim), ["release", "active>backup"]);
    assert!(bench.group.status().reason.starts_with("stalled"), "{}", bench.group.status().reason);
    assert_eq!(bench.takes_over_in(), 360, "and listens in full, claim or not");
}

#[test]
fn a_backup_does_not_count_the_time_it_slept() {
    let mut bench = Bench::listening(settings(1, false));
    bench.sleep(10_000);
    bench.group.handle_timeout(bench.now);
    assert_eq!(bench.drain(), [""; 0], "slept long: as newly started");
    assert_eq!(bench.takes_over_in(), 360);
    let mut bench = Bench::listening(settings(1, false));
    bench.pass(100);
    bench.sleep(300);
    bench.group.handle_timeout(bench.now);
    assert_eq!(bench.takes_over_in(), 160, "of 300 ms asleep one interval counts");
}

#[test]
fn a_machine_that_is_always_late_still_takes_over() {
    let mut bench = Bench::listening(settings(1, false));
    let wakes = (1..100).find(|_| {
        bench.sleep(350);
        bench.group.handle_timeout(bench.now);
        bench.state() == State::Active
    });
    assert_eq!(wakes, Some(4));
}

#[test]
fn time_that_goes_back_is_harmless() {
    let mut bench = Bench::active(settings(1, false));
    bench.now = Time::ZERO;
    bench.group.handle_timeout(bench.now);
    assert_eq!(bench.hear(0, LOW, 90), ["send 100@0", "rival 10.0.0.1 90"]);
    assert_eq!(bench.state(), State::Active);
}

#[test]
fn wrong_settings_are_cut_to_what_is_possible() {
    for (priority, want) in [(0, 1), (255, 254), (100, 100)] {
        let group = Group::new(Settings { priority, ..settings(1, false) }, Time::ZERO);
        assert_eq!(group.status().priority, want);
    }
}
