//! `synproxy`: servers hear only of clients that answer, and what it costs.

use std::time::Duration;

use relevo_proto::flows::{Front, Key, Synproxy};

use crate::field::{self, SERVERS, front};
use crate::traffic::{self, Traffic, ask};
use crate::{client, port_of, served_meanwhile, slots, syns, until, world};

fn proxied(v4: bool) -> Front {
    let synproxy = Some(Synproxy { mss: if v4 { 1460 } else { 1440 }, wscale: 7 });
    Front { synproxy, ..front(v4, false, Key::Connection) }
}

/// Of a flood no server hears anything, and nothing is remembered of it here.
#[test]
fn lab_synproxy_keeps_a_flood_from_servers() {
    for v4 in [true, false] {
        let field = world(if v4 { "proxy4" } else { "proxy6" });
        field.install("d1", &[proxied(v4)], &slots(v4, &SERVERS), v4);
        let traffic = Traffic::start(&field, v4, 20, 20);
        traffic.wait_for_bytes(Duration::from_secs(20));
        let opened = || -> u64 {
            let of = |server: &u8| {
                let text = field.inside(&format!("s{server}"), "cat /proc/net/snmp");
                let line = text.lines().filter(|line| line.starts_with("Tcp:")).nth(1).unwrap().to_owned();
                line.split_whitespace().nth(6).unwrap().parse::<u64>().unwrap()
            };
            SERVERS.iter().map(of).sum()
        };
        let before = opened();
        let flood = syns(&field, 20_000, v4);
        let mut waiting = 0;
        for server in SERVERS {
            waiting += field.inside(&format!("s{server}"), "ss -Htan state syn-recv").lines().count();
        }
        let (count, longest) = served_meanwhile(&field, &flood, v4);
        let (sent, took) = flood.join().unwrap();
        let told = traffic.finish();
        let opened = opened() - before;
        let begun = field.count("d1", "map", "begun_shop", v4);
        let (seen, acks) = (field.counter("d1", "syns_shop"), field.counter("d1", "acks_shop"));
        println!(
            "v4 {v4}: {sent} SYNs in {took:?}, {seen} answered here, {acks} went on, {opened} at servers, {waiting} half open, {count} clients, longest {longest:?}, {begun} begun, {told:?}"
        );
        assert!(sent >= 19_000 && seen >= 19_000, "{sent} {seen}");
        assert_eq!((opened, waiting), (u64::from(count), 0), "servers hear of clients alone");
        assert!(begun <= usize::from(count) + 40, "{begun}");
        assert_eq!((told.lost, told.wrong), (0, 0), "{told:?}");
    }
}

/// What a connection can be is the same: it is refused, reset, half closed, begun again from the same port; it is silent.
#[test]
fn lab_synproxy_carries_whole_connections() {
    for v4 in [true, false] {
        let field = world(if v4 { "whole4" } else { "whole6" });
        let to = field::front_at(v4);
        let all = slots(v4, &SERVERS);
        field.install("d1", &[Front { idle: Duration::from_secs(1), ..proxied(v4) }], &all, v4);
        let [port, other] = [1, 2].map(|server| port_of(&all, server, v4));
        for _ in 0..3 {
            let asked = field.enter("c", move || ask(client(port, v4), to)).unwrap();
            assert_eq!(asked, field::server(1, v4).ip());
        }
        assert!(field.enter("c", move || traffic::ask_for_reset(to)), "v4 {v4}");
        let mut kept = field.enter("c", move || traffic::keep(client(port, v4), to));
        let mut by_server = field.enter("c", move || traffic::ended_by_server(client(other, v4), to));
        let by_client = field.enter("c", move || traffic::ended_by_client(client(45_000, v4), to));
        assert!(traffic::is_answered(by_client), "v4 {v4}");
        until("pins end", || field.count("d1", "map", "pin_shop", v4) == 0);
        assert!(traffic::answers(&mut kept, Duration::from_secs(5)), "v4 {v4}");
        assert!(traffic::is_heard(&mut by_server, Duration::from_secs(5)), "v4 {v4}");
        let has = || field.inside("s1", "ss -Htan state established").lines().count() > 0;
        assert!(has());
        traffic::reset(kept);
        until("the server knows", || !has());
        let traffic = Traffic::start(&field, v4, 20, 20);
        traffic.wait_for_bytes(Duration::from_secs(20));
        let told = traffic.finish();
        assert_eq!((told.lost, told.wrong), (0, 0), "{told:?}");
        assert_eq!(field.counter("d1", "lost_shop"), 0);
    }
}

/// Many at once: none of them waits for a server's second answer, and connection tracking knows all of them for established.
#[test]
fn lab_synproxy_hands_over_at_once() {
    let field = world("hands");
    field.install("d1", &[proxied(true)], &slots(true, &SERVERS), true);
    let to = field::front_at(true);
    let several = |part: u16| {
        field.enter("c", move || {
            let one = move |number: u16| {
                let from = client(20_000 + part * 100 + number, true);
                (ask(from, to).unwrap(), traffic::silent(from.port() + 10_000, to))
            };
            std::thread::spawn(move || (0..40).map(one).collect::<Vec<_>>())
        })
    };
    let clients: Vec<_> = (0..20).map(several).collect();
    let kept: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let again: u64 = SERVERS
        .iter()
        .map(|server| {
            let text = field.inside(&format!("s{server}"), "cat /proc/net/netstat");
            let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
            let place = lines[0].iter().position(|name| *name == "TCPSynRetrans").unwrap();
            lines[1][place].parse::<u64>().unwrap()
        })
        .sum();
    let table = field.inside("d1", "cat /proc/net/nf_conntrack");
    let half = table.lines().filter(|line| line.contains("SYN_")).count();
    println!("{} connections, {again} SYN-ACKs sent again, {half} half open", kept.len());
    assert_eq!((kept.len(), again, half), (800, 0, 0));
}

/// Another director cannot go on with such a connection. It says so soon, and serves new ones.
#[test]
fn lab_synproxy_ends_connections_when_the_director_changes() {
    for v4 in [true, false] {
        let field = world(if v4 { "over4" } else { "over6" });
        let to = field::front_at(v4);
        for director in ["d1", "d2"] {
            field.install(director, &[proxied(v4)], &slots(v4, &SERVERS), v4);
        }
        // The directors of this test have one kernel, whose cookies fit at both as long as little was said: a download is far.
        let mut load = field.enter("c", move || traffic::load(to));
        assert!((0..20).all(|_| traffic::reads(&mut load)));
        field.move_to("d2", "d1");
        assert!(traffic::until_told(load, Duration::from_secs(10)), "the client is told");
        assert!(field.counter("d2", "strays") > 0);
        assert!(field.counter("d2", "lost_shop") > 0);
        assert!(field.enter("c", move || ask(client(40_000, v4), to)).is_ok(), "a new one is served");
    }
}
