//! Flows that are silent for longer than they are remembered, that are half closed, and that end.

use std::time::Duration;

use crate::field::{self, Field, front};
use crate::{client, port_of, slots, traffic, until, world};
use relevo_proto::flows::{Front, Key};

/// Remembered for a second only.
fn forgetful() -> Front {
    Front { idle: Duration::from_secs(1), ..front(true, false, Key::Connection) }
}

fn is_forgotten(field: &Field, from: std::net::SocketAddr) {
    until("the pin ends", || {
        field.pin("d1", from).is_none() && field.count("d1", "map", "begun_shop", true) == 0
    });
}

/// A flow that was silent for longer than its pin is found when its client speaks, also when its slot is another's now.
#[test]
fn lab_silence_longer_than_the_pin_ends_nothing() {
    let field = world("idle");
    let to = field::front_at(true);
    let all = slots(true, &[1, 2, 3]);
    for (server, moved) in [(1, false), (2, true)] {
        let from = client(port_of(&all, server, true), true);
        field.install_anew("d1", &[forgetful()], &slots(true, &[1]));
        let mut kept = field.enter("c", move || traffic::keep(from, to));
        is_forgotten(&field, from);
        if moved {
            field.install("d1", &[forgetful()], &all, true);
        }
        let guessed = field.counter("d1", "guesses_shop");
        assert!(traffic::answers(&mut kept, Duration::from_secs(5)), "moved {moved}");
        assert!(field.counter("d1", "guesses_shop") > guessed, "it was guessed");
        assert_eq!(field.counter("d1", "heals_shop") > 0, moved);
        assert!(traffic::answers(&mut kept, Duration::from_secs(5)));
    }
}

/// Connections of which one side has ended go on the other way, for longer than the pin, and at another director.
#[test]
fn lab_half_closed_connections_go_on() {
    let field = world("half");
    let to = field::front_at(true);
    let all = slots(true, &[1, 2, 3]);
    let from = [0, 1, 2, 3].map(|more| client(port_of(&all, 2, true) + more, true));
    field.install("d1", &[forgetful()], &slots(true, &[1]), true);
    field.install("d2", &[forgetful()], &all, true);
    for (moves, clients) in [(false, [from[0], from[1]]), (true, [from[2], from[3]])] {
        let [waits, speaks] = clients;
        let mut by_server = field.enter("c", move || traffic::ended_by_server(speaks, to));
        is_forgotten(&field, speaks);
        let by_client = field.enter("c", move || traffic::ended_by_client(waits, to));
        if moves {
            field.move_to("d2", "d1");
        } else {
            field.install("d1", &[forgetful()], &all, true);
        }
        assert!(traffic::is_heard(&mut by_server, Duration::from_secs(8)), "moves {moves}");
        assert!(traffic::is_answered(by_client), "moves {moves}");
        assert!(traffic::is_heard(&mut by_server, Duration::from_secs(8)), "moves {moves}");
        if !moves {
            field.install("d1", &[forgetful()], &slots(true, &[1]), true);
        }
    }
}

/// A client's reset gets to its server, and to that one's alone.
#[test]
fn lab_a_reset_of_the_client_gets_through() {
    let field = world("gone");
    let to = field::front_at(true);
    let all = slots(true, &[1, 2, 3]);
    let fronts = [front(true, false, Key::Connection)];
    for director in ["d1", "d2"] {
        field.install(director, &fronts, &all, true);
    }
    let ports = [1, 2, 3].map(|server| port_of(&all, server, true));
    let kept = ports.map(|port| field.enter("c", move || traffic::keep(client(port, true), to)));
    let has = |server: usize| {
        let left = field.inside(&format!("s{}", server + 1), "ss -Htan state established");
        left.contains(&format!(":{}", ports[server]))
    };
    assert!((0..3).all(has));
    let [first, second, mut third] = kept;
    traffic::reset(first);
    until("the first server knows", || !has(0));
    assert!(has(1) && has(2), "the others go on");
    // One that has not seen the flow.
    field.move_to("d2", "d1");
    traffic::reset(second);
    until("the second server knows", || !has(1));
    assert!(traffic::answers(&mut third, Duration::from_secs(5)));
}
