//! What others do to flows of the kernel's path: floods, resets, silence, full tables. Real nftables and kernels in network
//! namespaces, as in `flows.rs`. Floods are bounded, and stay inside.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests fail by panicking")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "clients and servers of a test wait")]

#[path = "flows/field.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod field;
#[path = "flows/forge.rs"]
mod forge;
#[path = "floods/silence.rs"]
mod silence;
#[path = "floods/synproxy.rs"]
mod synproxy;
#[path = "flows/traffic.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod traffic;

use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use field::{Field, SERVERS, front};
use forge::{RST, SYN, send, stranger};
use relevo_proto::flows::{Front, Key, Member, Rules, Slots, slot_of};
use traffic::{Traffic, ask};

fn slots(v4: bool, servers: &[u8]) -> Slots {
    let member = |server: &u8| Member { at: field::server(*server, v4), share: 16, takes_new: true };
    Slots::new(&servers.iter().map(member).collect::<Vec<_>>())
}

fn rules(fronts: &[Front], slots: Slots) -> Rules {
    Rules::new(fronts, &[("shop".to_owned(), slots)].into())
}

/// A world with servers, whose directors know the way to strangers: they are at the client's.
fn world(name: &str) -> Field {
    let field = Field::new(name);
    field.serve();
    for director in ["d1", "d2"] {
        field.inside(director, "ip route add 198.18.0.0/15 via 192.0.2.7");
        field.inside(director, "ip -6 route add fd00:12::/32 via fd00:1::7");
    }
    field
}

fn client(port: u16, v4: bool) -> SocketAddr {
    SocketAddr::new(field::client(v4), port)
}

/// Connections that are there.
fn kept(field: &Field, ports: std::ops::Range<u16>, v4: bool) -> Vec<TcpStream> {
    let to = field::front_at(v4);
    ports.map(|port| field.enter("c", move || traffic::keep(client(port, v4), to))).collect()
}

fn all_answer(streams: &mut [TcpStream]) -> bool {
    streams.iter_mut().all(|stream| traffic::answers(stream, Duration::from_secs(8)))
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// SYNs of strangers, sent beside what the test does; how many, and how long it took.
fn syns(field: &Field, count: u32, v4: bool) -> JoinHandle<(usize, Duration)> {
    let to = field::front_at(v4);
    field.enter("c", move || {
        std::thread::spawn(move || {
            let begun = Instant::now();
            let sent = send(to, (0..count).map(|number| (stranger(number, v4), SYN, number * 977)));
            (sent, begun.elapsed())
        })
    })
}

/// Clients one after the other as long as a flood lasts, 40 at least: how many, and the longest one's time.
fn served_meanwhile(field: &Field, flood: &JoinHandle<(usize, Duration)>, v4: bool) -> (u16, Duration) {
    let (to, mut longest, mut count) = (field::front_at(v4), Duration::ZERO, 0);
    while count < 40 || (!flood.is_finished() && count < 2000) {
        let begun = Instant::now();
        let from = client(20_000 + count, v4);
        field.enter("c", move || ask(from, to)).expect("a client is served");
        longest = longest.max(begun.elapsed());
        count += 1;
    }
    (count, longest)
}

/// SYNs that nobody goes on with fill a table of their own. What is pinned stays pinned, and clients are served.
#[test]
fn lab_a_flood_of_syns_fills_no_pins() {
    for v4 in [true, false] {
        let field = world(if v4 { "syns4" } else { "syns6" });
        let fronts = [front(v4, false, Key::Connection)];
        // It shall be full soon.
        field.install_small("d1", &rules(&fronts, slots(v4, &SERVERS)), "begun_shop", 1000);
        let mut streams = kept(&field, 40_000..40_020, v4);
        let traffic = Traffic::start(&field, v4, 10, 10);
        let flood = syns(&field, 20_000, v4);
        let (count, longest) = served_meanwhile(&field, &flood, v4);
        let (sent, took) = flood.join().unwrap();
        let begun = field.count("d1", "map", "begun_shop", v4);
        let pins = field.count("d1", "map", "pin_shop", v4);
        let told = traffic.finish();
        println!(
            "v4 {v4}: {sent} SYNs in {took:?}, {count} clients, longest {longest:?}; {begun} begun, {pins} pins, {told:?}"
        );
        assert!(sent >= 19_000, "{sent}");
        assert!((900..=1000).contains(&begun), "{begun}");
        assert!(pins >= 40 && pins <= usize::from(count) + 40, "{pins} pins, {count} clients");
        assert_eq!((told.lost, told.wrong), (0, 0), "{told:?}");
        assert!(field.counter("d1", "guesses_shop") > 0, "who has not been remembered is found");
        // Nobody of them moves with the table.
        field.install("d1", &fronts, &slots(v4, &[3]), v4);
        assert!(all_answer(&mut streams));
    }
}

/// Resets that somebody makes up, with strangers' addresses and with those of established flows, end nothing.
#[test]
fn lab_a_flood_of_resets_ends_nothing() {
    let field = world("resets");
    let fronts = [front(true, false, Key::Connection)];
    field.install_small("d1", &rules(&fronts, slots(true, &SERVERS)), "asked_shop", 1000);
    let mut streams = kept(&field, 40_000..40_020, true);
    let traffic = Traffic::start(&field, true, 10, 10);
    let to = field::front_at(true);
    let sent = field.enter("c", move || {
        let strangers = (0..20_000).map(|number| (stranger(number, true), RST, number * 977));
        let own = (0..4000_u32).map(|number| {
            let port = 40_000 + u16::try_from(number % 20).unwrap();
            (client(port, true), RST, number.wrapping_mul(0x9e37_79b9))
        });
        send(to, strangers.chain(own))
    });
    // And some that seem to come from servers: to clients with flows and to others.
    let from_servers = field.enter("s2", move || {
        (0..4000_u16)
            .filter(|number| {
                let to = client(40_000 + number % 2000, true);
                let from = field::server(1 + u8::try_from(number % 3).unwrap(), true);
                send(to, std::iter::once((from, RST, u32::from(*number) * 1_000_003))) == 1
            })
            .count()
    });
    let told = traffic.finish();
    let (asked, tried) =
        (field.count("d1", "set", "asked_shop", true), field.count("d1", "set", "tried_shop", true));
    let counted = ["guesses_shop", "heals_shop", "stale_shop"].map(|name| field.counter("d1", name));
    println!(
        "{sent} and {from_servers} resets; asked {asked}, tried {tried}; guesses, heals, stale {counted:?}; {told:?}"
    );
    assert!(sent >= 23_000 && from_servers >= 3900, "{sent} {from_servers}");
    assert_eq!((told.lost, told.wrong), (0, 0), "{told:?}");
    assert!(all_answer(&mut streams));
    assert!(asked <= 1000 && tried <= 65_536, "{asked} {tried}");
    assert!(counted[0] >= 19_000 && counted[1] > 0 && counted[2] > 0, "{counted:?}");
}

/// When no more flows can be remembered, all are carried all the same, also when the table changes.
#[test]
fn lab_a_full_table_of_pins_loses_nothing() {
    let field = world("full");
    let fronts = [front(true, false, Key::Connection)];
    field.install_small("d1", &rules(&fronts, slots(true, &[1, 2])), "pin_shop", 4);
    let mut streams = kept(&field, 40_000..40_030, true);
    assert_eq!(field.count("d1", "map", "pin_shop", true), 4);
    assert!(all_answer(&mut streams));
    // What has just begun is remembered for half a minute beside the pins: it shall not help here.
    field.inside("d1", "nft flush map ip relevo_flows begun_shop");
    field.install("d1", &fronts, &slots(true, &SERVERS), true);
    assert!(all_answer(&mut streams));
    assert!(field.counter("d1", "heals_shop") > 0, "some had to be found");
    let to = field::front_at(true);
    assert!(field.enter("c", move || ask(client(41_000, true), to)).is_ok());
    assert_eq!(field.count("d1", "map", "pin_shop", true), 4);
}

/// A port of the client whose slot has this server first.
fn port_of(table: &Slots, server: u8, v4: bool) -> u16 {
    let of = |port: u16| slot_of(client(port, v4), Key::Connection, table.len());
    (46_000..).find(|port| table.candidates(of(*port))[0] == Some(field::server(server, v4))).unwrap()
}
