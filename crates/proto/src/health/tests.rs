//! Stories of checks: rise, fall, the first result, and what traffic says.

use std::time::Duration;

use proptest::prelude::*;
use relevo_model::Time;
use relevo_model::cluster::OnError;

use super::{Input, Output, ProbeResult, Server, Settings, State};

const SETTINGS: Settings = Settings {
    interval: Duration::from_secs(1),
    fast_interval: Duration::from_millis(250),
    down_interval: Duration::from_secs(1),
    rise: 2,
    fall: 3,
    place: 0,
};

fn good() -> ProbeResult {
    ProbeResult::Good("GET / answered 200".to_owned())
}

fn leaving() -> ProbeResult {
    ProbeResult::Leaving("GET / answered 404".to_owned())
}

fn bad() -> ProbeResult {
    ProbeResult::Bad("connection refused".to_owned())
}

/// Waits for the next probe and answers it; returns when it was started, and the changes.
fn probe(server: &mut Server, result: ProbeResult) -> (Time, Vec<(State, State, String)>) {
    let at = server.poll_timeout().expect("a probe is planned");
    server.handle_timeout(at);
    let number = match server.poll_output() {
        Some(Output::Probe { number }) => number,
        other => panic!("no probe but {other:?}"),
    };
    server.handle_input(at, Input::Probed { number, result });
    let mut changes = Vec::new();
    while let Some(output) = server.poll_output() {
        match output {
            Output::Changed { from, to, leaving: _, reason } => changes.push((from, to, reason)),
            Output::Probe { .. } => panic!("two probes at once"),
        }
    }
    (at, changes)
}

#[test]
fn the_first_result_decides() {
    for (result, state) in [(good(), State::Up), (bad(), State::Down)] {
        let mut server = Server::new(SETTINGS, Time::ZERO);
        assert_eq!(server.state(), State::Unknown);
        let (_, changes) = probe(&mut server, result);
        assert_eq!(changes.len(), 1);
        assert_eq!(server.state(), state);
    }
}

#[test]
fn it_falls_after_fall_bad_probes_in_a_row_and_keeps_the_evidence() {
    let mut server = Server::new(SETTINGS, Time::ZERO);
    probe(&mut server, good());
    for result in [bad(), bad(), good(), bad(), bad()] {
        assert_eq!(probe(&mut server, result).1, []);
        assert_eq!(server.state(), State::Up);
    }
    let (at, changes) = probe(&mut server, ProbeResult::TimedOut(Duration::from_millis(500)));
    assert_eq!(changes, [(State::Up, State::Down, "no answer within 500 ms".to_owned())]);
    assert_eq!((server.reason(), server.since()), ("no answer within 500 ms", at));
}

#[test]
fn it_rises_after_rise_good_probes_in_a_row() {
    let mut server = Server::new(SETTINGS, Time::ZERO);
    probe(&mut server, bad());
    assert_eq!(probe(&mut server, good()).1, []);
    assert_eq!(probe(&mut server, bad()).1, []);
    assert_eq!(probe(&mut server, good()).1, []);
    assert_eq!(probe(&mut server, good()).1.len(), 1);
    assert_eq!(server.state(), State::Up);
}

#[test]
fn probes_come_every_interval_and_faster_while_in_doubt() {
    let mut server = Server::new(SETTINGS, Time::ZERO);
    let times: Vec<u64> = [good(), good(), bad(), bad(), good(), good()]
        .into_iter()
        .map(|result| probe(&mut server, result).0.as_millis())
        .collect();
    assert_eq!(times, [0, 1000, 2000, 2250, 2500, 3000]);
}

#[test]
fn a_server_that_is_down_has_a_rhythm_of_its_own() {
    let settings = Settings {
        fast_interval: Duration::from_millis(500),
        down_interval: Duration::from_secs(5),
        ..SETTINGS
    };
    let mut server = Server::new(settings, Time::ZERO);
    let times: Vec<u64> = [bad(), bad(), bad(), good(), bad(), bad(), good(), good(), good()]
        .into_iter()
        .map(|result| probe(&mut server, result).0.as_millis())
        .collect();
    assert_eq!(times, [0, 5000, 10_000, 15_000, 15_500, 20_000, 25_000, 25_500, 26_000]);
}

#[test]
fn probes_of_many_servers_are_spread_and_the_first_ones_come_soon() {
    let settings = Settings { interval: Duration::from_secs(10), ..SETTINGS };
    let mut all: Vec<Server> =
        (0..1000).map(|place| Server::new(Settings { place, ..settings }, Time::ZERO)).collect();
    let mut round =
        || -> Vec<u64> { all.iter_mut().map(|server| probe(server, good()).0.as_millis()).collect() };
    assert!(round().into_iter().all(|at| at < 1000));
    round();
    let mut times = round();
    times.sort_unstable();
    let most = times.iter().map(|start| times.iter().filter(|at| (*start..start + 500).contains(at)).count());
    assert!(most.max().unwrap() <= 60, "in a twentieth of the interval a twentieth, and a little");
}

fn traffic(then: OnError) -> Input {
    Input::TrafficBad { then, reason: "10 failures in a row".to_owned() }
}

#[test]
fn observed_traffic_counts_as_the_operator_wants() {
    for (then, before, up_after) in [
        (OnError::Fastinter, 0, true),
        (OnError::Fastinter, 2, true),
        (OnError::FailCheck, 0, true),
        (OnError::FailCheck, 1, true),
        (OnError::FailCheck, 2, false),
        (OnError::SuddenDeath, 0, true),
        (OnError::SuddenDeath, 1, true),
        (OnError::SuddenDeath, 2, false),
        (OnError::MarkDown, 0, false),
    ] {
        let mut server = Server::new(SETTINGS, Time::ZERO);
        probe(&mut server, good());
        let mut last = Time::ZERO;
        for _ in 0..before {
            last = probe(&mut server, bad()).0;
        }
        let now = last + Duration::from_millis(100);
        server.handle_input(now, traffic(then));
        assert_eq!(server.state() == State::Up, up_after, "{then:?} after {before}");
        assert_eq!(server.poll_timeout(), Some(last + Duration::from_millis(250)), "{then:?}: soon");
        if !up_after {
            assert_eq!(server.reason(), "10 failures in a row");
            while server.poll_output().is_some() {}
            // Its checks bring it back.
            probe(&mut server, good());
            probe(&mut server, good());
            assert_eq!(server.state(), State::Up);
        }
    }
    // One more bad probe after a sudden death; three after none.
    for (then, needed) in [(OnError::SuddenDeath, 1), (OnError::Fastinter, 3)] {
        let mut server = Server::new(SETTINGS, Time::ZERO);
        probe(&mut server, good());
        server.handle_input(Time::ZERO, traffic(then));
        let bad_ones = (1..).find(|_| !probe(&mut server, bad()).1.is_empty());
        assert_eq!(bad_ones, Some(needed), "{then:?}");
    }
}

#[test]
fn observed_traffic_does_not_decide_about_who_is_unknown_or_paused() {
    for then in [OnError::Fastinter, OnError::FailCheck, OnError::SuddenDeath] {
        let mut server = Server::new(SETTINGS, Time::ZERO);
        server.handle_input(Time::ZERO, traffic(then));
        assert_eq!(server.state(), State::Unknown, "{then:?}");
    }
    let mut server = Server::new(SETTINGS, Time::ZERO);
    server.handle_input(Time::ZERO, Input::Pause("maintenance".to_owned()));
    server.handle_input(Time::ZERO, traffic(OnError::MarkDown));
    assert_eq!(server.state(), State::Unknown);
}

#[test]
fn failed_traffic_brings_the_next_probe_forward_but_decides_nothing() {
    let mut server = Server::new(SETTINGS, Time::ZERO);
    probe(&mut server, good());
    for millis in 300..400 {
        server.handle_input(Time::from_millis(millis), Input::TrafficFailed);
    }
    assert_eq!(server.state(), State::Up);
    assert_eq!(server.poll_timeout(), Some(Time::from_millis(300)));
    let (at, _) = probe(&mut server, bad());
    // Still not more often than four times an interval.
    server.handle_input(at, Input::TrafficFailed);
    assert_eq!(server.poll_timeout(), Some(Time::from_millis(550)));
}

#[test]
fn a_late_result_of_a_paused_check_is_ignored() {
    let mut server = Server::new(SETTINGS, Time::ZERO);
    server.handle_timeout(Time::ZERO);
    assert_eq!(server.poll_output(), Some(Output::Probe { number: 1 }));
    server.handle_input(Time::ZERO, Input::Pause("in maintenance, not checked".to_owned()));
    server.handle_input(Time::ZERO, Input::Probed { number: 1, result: good() });
    assert_eq!((server.state(), server.poll_timeout()), (State::Unknown, None));
    let unknown = |reason: &str| {
        Some(Output::Changed {
            from: State::Unknown,
            to: State::Unknown,
            leaving: false,
            reason: reason.to_owned(),
        })
    };
    assert_eq!(server.poll_output(), unknown("in maintenance, not checked"));
    server.handle_input(Time::from_millis(70), Input::Resume);
    assert_eq!(server.poll_output(), unknown("not checked yet"));
    assert_eq!(probe(&mut server, good()).0, Time::from_millis(70));
    assert_eq!(server.state(), State::Up);
}

#[test]
fn the_evidence_is_the_latest() {
    let mut server = Server::new(SETTINGS, Time::ZERO);
    let (at, _) = probe(&mut server, bad());
    let answers = ProbeResult::Bad("GET / answered 500".to_owned());
    let (_, changes) = probe(&mut server, answers.clone());
    assert_eq!(changes, [(State::Down, State::Down, "GET / answered 500".to_owned())]);
    assert_eq!(probe(&mut server, answers).1, []);
    assert_eq!((server.reason(), server.since()), ("GET / answered 500", at), "down since the first");
}

#[test]
fn a_probe_that_was_not_made_says_nothing() {
    let mut server = Server::new(SETTINGS, Time::ZERO);
    let not_asked = || ProbeResult::NotAsked("no sockets are left".to_owned());
    assert_eq!(probe(&mut server, not_asked()).1.len(), 1, "it is said why nothing is known");
    assert_eq!(probe(&mut server, not_asked()).1, []);
    assert_eq!((server.state(), server.reason()), (State::Unknown, "no sockets are left"));
    probe(&mut server, good());
    for _ in 0..10 {
        assert_eq!(probe(&mut server, not_asked()).1, []);
    }
    // Nor does it break a row.
    assert_eq!(probe(&mut server, bad()).1, []);
    assert_eq!(probe(&mut server, not_asked()).1, []);
    assert_eq!(probe(&mut server, bad()).1, []);
    assert_eq!(probe(&mut server, bad()).1.len(), 1);
}

/// Nobody should be served by it, so that what traffic says of it is old.
#[test]
fn failures_seen_in_traffic_break_no_row_of_a_server_that_is_down() {
    let mut server = Server::new(Settings { rise: 2, fall: 1, ..SETTINGS }, Time::ZERO);
    probe(&mut server, bad());
    let (now, _) = probe(&mut server, good());
    assert_eq!(server.state(), State::Down);
    for then in [OnError::Fastinter, OnError::FailCheck, OnError::SuddenDeath, OnError::MarkDown] {
        server.handle_input(now, traffic(then));
    }
    probe(&mut server, good());
    assert_eq!(server.state(), State::Up);
}

#[test]
fn who_is_up_may_leave_and_come_back_at_once() {
    let mut server = Server::new(SETTINGS, Time::ZERO);
    let mut step = |result: ProbeResult| {
        let (_, changes) = probe(&mut server, result);
        (changes.len(), server.state(), server.is_leaving())
    };
    assert_eq!(step(leaving()), (1, State::Up, true), "its first answer");
    assert_eq!(step(leaving()), (0, State::Up, true));
    assert_eq!(step(good()), (1, State::Up, false), "one good answer is enough, as in HAProxy");
    assert_eq!(step(leaving()), (1, State::Up, true));
    // Bad ones take it down as they would otherwise; between them it goes on to leave.
    assert_eq!(step(bad()), (0, State::Up, true));
    assert_eq!(step(leaving()), (0, State::Up, true), "this breaks the row");
    assert_eq!(
        [step(bad()), step(bad()), step(bad())].map(|step| step.1),
        [State::Up, State::Up, State::Down]
    );
    // Down, it does not come up by that.
    for _ in 0..3 {
        let (_, state, is_leaving) = step(leaving());
        assert_eq!((state, is_leaving), (State::Down, false));
    }
    assert_eq!([step(good()), step(good())].map(|step| step.1), [State::Down, State::Up]);
}

#[test]
fn maintenance_forgets_that_it_leaves_and_another_way_to_check_does_not() {
    let mut server = Server::new(SETTINGS, Time::ZERO);
    let (now, _) = probe(&mut server, leaving());
    let resumed = Server::resume(SETTINGS, server.state(), true, now, server.reason().to_owned(), now);
    assert!(resumed.is_leaving());
    server.handle_input(now, Input::Pause("in maintenance, not checked".to_owned()));
    assert!(!server.is_leaving());
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Timeout,
    Result(Answer, bool),
    Traffic,
    Observed(OnError),
    Pause,
    Resume,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Good,
    Leaving,
    Bad,
}

fn answer() -> impl Strategy<Value = Answer> {
    prop::sample::select(vec![
        Answer::Good,
        Answer::Good,
        Answer::Leaving,
        Answer::Bad,
        Answer::Bad,
        Answer::Bad,
    ])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u64..700).prop_map(Step::Wait),
        Just(Step::Timeout),
        (answer(), any::<bool>()).prop_map(|(answer, current)| Step::Result(answer, current)),
        Just(Step::Traffic),
        prop::sample::select(vec![OnError::Fastinter, OnError::FailCheck, OnError::SuddenDeath])
            .prop_map(Step::Observed),
        Just(Step::Pause),
        Just(Step::Resume),
    ]
}

proptest! {
    #[test]
    fn it_changes_only_on_enough_results_in_a_row(
        steps in prop::collection::vec(step(), 0..200),
        rise in 1_u32..4,
        fall in 1_u32..4,
    ) {
        let mut server = Server::new(Settings { rise, fall, ..SETTINGS }, Time::ZERO);
        let (mut now, mut current, mut row, mut last_start) = (Time::ZERO, None, (true, 0), None);
        for step in steps {
            let before = server.state();
            let mut may = false;
            match step {
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::Timeout => server.handle_timeout(now),
                Step::Traffic => server.handle_input(now, Input::TrafficFailed),
                Step::Observed(then) => {
                    // It counts as bad probes would, where one may; else it says nothing.
                    may = then != OnError::Fastinter && before == State::Up;
                    if may {
                        let more = row.1 * u32::from(!row.0) + 1;
                        row = (false, if then == OnError::SuddenDeath { fall } else { more });
                    }
                    server.handle_input(now, traffic(then));
                }
                Step::Resume => server.handle_input(now, Input::Resume),
                Step::Pause => {
                    (current, last_start, may, row) = (None, None, true, (true, 0));
                    server.handle_input(now, Input::Pause("in maintenance, not checked".to_owned()));
                }
                Step::Result(answer, is_current) => {
                    let is_good = answer == Answer::Good || answer == Answer::Leaving && before != State::Down;
                    let number = if is_current { current.unwrap_or(0) } else { 0 };
                    if current.is_some() && is_current {
                        current = None;
                        row = if row.0 == is_good { (is_good, row.1 + 1) } else { (is_good, 1) };
                        may = row.1 >= match before {
                            State::Unknown => 1,
                            State::Up => fall,
                            State::Down => rise,
                        };
                    }
                    let result = match answer {
                        Answer::Good => good(),
                        Answer::Leaving => leaving(),
                        Answer::Bad => bad(),
                    };
                    server.handle_input(now, Input::Probed { number, result });
                }
            }
            prop_assert!(may || server.state() == before);
            prop_assert!(!server.is_leaving() || server.state() == State::Up);
            while let Some(output) = server.poll_output() {
                if let Output::Probe { number } = output {
                    prop_assert!(current.is_none(), "one probe at a time");
                    if let Some(last) = last_start {
                        prop_assert!(now.since(last) >= SETTINGS.interval / 4, "not too often");
                    }
                    (current, last_start) = (Some(number), Some(now));
                }
            }
        }
    }
}
