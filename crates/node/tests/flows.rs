//! Flows through the kernel: two directors, a client and servers in network namespaces, with the rules in real nftables.
//! Directors are only kernels here: the address is moved by hand, so that nothing but the rules is looked at.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests fail by panicking")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "clients and servers of a test wait")]

#[path = "flows/field.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod field;
#[path = "flows/traffic.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod traffic;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use field::{Field, SERVERS, front};
use relevo_proto::flows::{Front, Key, Member, Rules, Slots, slot_of};
use traffic::{Traffic, ask, ask_by_datagram, greet};

fn slots(at: impl Fn(u8) -> SocketAddr, servers: &[u8]) -> Slots {
    let member = |server: &u8| Member { at: at(*server), share: 16, takes_new: true };
    Slots::new(&servers.iter().map(member).collect::<Vec<_>>())
}

/// Every client port goes where the table that is computed here says: the kernel's hash is understood.
#[test]
fn lab_the_kernel_chooses_as_computed() {
    let field = Field::new("hash");
    field.serve();
    for (v4, udp, key) in [
        (true, false, Key::Connection),
        (false, false, Key::Connection),
        (true, true, Key::Connection),
        (false, true, Key::Connection),
        (true, false, Key::Source),
        (false, false, Key::Source),
    ] {
        let table = slots(|server| field::server(server, v4), &SERVERS);
        field.install("d1", &[front(v4, udp, key)], &table, v4);
        let to = field::front_at(v4);
        for port in 40_000..40_040_u16 {
            let client = SocketAddr::new(field::client(v4), port);
            let asked =
                field.enter("c", move || if udp { ask_by_datagram(client, to) } else { ask(client, to) });
            let slot = slot_of(client, key, table.len());
            assert_eq!(Some(asked.unwrap()), table.candidates(slot)[0].map(|at| at.ip()), "{client} {key:?}");
        }
        field.remove("d1");
    }
}

/// Downloads and kept connections go on when another kernel, which has seen none of them, gets the address while the
/// table changes; and when they come back later.
#[test]
fn lab_flows_live_on_at_another_director() {
    for v4 in [true, false] {
        let field = Field::new(if v4 { "move4" } else { "move6" });
        field.serve();
        let fronts = [front(v4, false, Key::Connection)];
        let at = |server| field::server(server, v4);
        let (few, all) = (slots(at, &[1, 2]), slots(at, &[1, 2, 3]));
        for director in ["d1", "d2"] {
            field.install(director, &fronts, &few, v4);
        }
        let traffic = Traffic::start(&field, v4, 40, 40);
        traffic.wait_for_bytes(Duration::from_secs(20));
        // A server comes: a third of the slots belong to it now, and no pin is there.
        field.install("d2", &fronts, &all, v4);
        field.move_to("d2", "d1");
        traffic.run_for(Duration::from_secs(4));
        let heals = field.counter("d2", "heals_shop");
        // One goes, and the first director still has its pins.
        field.install("d1", &fronts, &slots(at, &[1, 2, 3]), v4);
        field.move_to("d1", "d2");
        traffic.run_for(Duration::from_secs(3));
        let told = traffic.finish();
        println!("v4 {v4}: {told:?}, {heals} resets were dropped");
        assert_eq!((told.lost, told.wrong), (0, 0), "{told:?}");
        assert!(heals > 0, "some flows had to be found");
        assert!(told.longest < Duration::from_secs(3), "{told:?}");
    }
}

/// What a server ends is over for its client, also at a director that had to find the flow.
#[test]
fn lab_a_reset_of_the_owner_gets_through() {
    let field = Field::new("reset");
    field.serve();
    let table = slots(|server| field::server(server, true), &[1, 2, 3]);
    for director in ["d1", "d2"] {
        field.install(director, &[front(true, false, Key::Connection)], &table, true);
    }
    for moved in [false, true] {
        if moved {
            field.move_to("d2", "d1");
        }
        let to = field::front_at(true);
        let reset = field.enter("c", move || traffic::ask_for_reset(to));
        assert!(reset, "moved {moved}");
    }
    // The one that has the flow is no candidate any more: when all have been asked, the client is told.
    let (client, to) = (SocketAddr::new(field::client(true), 45_000), field::front_at(true));
    let fronts = [front(true, false, Key::Connection)];
    field.install("d2", &fronts, &slots(|server| field::server(server, true), &[3]), true);
    let kept = field.enter("c", move || traffic::keep(client, to));
    field.install_anew("d2", &fronts, &slots(|server| field::server(server, true), &[1, 2]));
    assert!(
        traffic::until_told(kept, Duration::from_secs(20)),
        "the client is told that nobody has its connection"
    );
}

/// A port of the client whose slot has this server first.
fn port_of(table: &Slots, server: SocketAddr) -> u16 {
    let of = |port: u16| slot_of(SocketAddr::new(field::client(true), port), Key::Connection, table.len());
    (46_000..).find(|port| table.candidates(of(*port))[0] == Some(server)).unwrap()
}

/// A server that has just ended another connection of the same client and port acknowledges whatever it gets, and never
/// resets: the flow's own server must be found all the same. Both when the client speaks next and when the server does.
#[test]
fn lab_a_server_that_remembers_another_connection_does_not_hold_a_flow_up() {
    let field = Field::new("wait");
    field.serve();
    let at = |server| field::server(server, true);
    let all = slots(at, &SERVERS);
    let port = port_of(&all, at(2));
    let (client, to) = (SocketAddr::new(field::client(true), port), field::front_at(true));
    let fronts = [front(true, false, Key::Connection)];
    field.install("d2", &fronts, &all, true);
    field.install("d1", &fronts, &slots(at, &[2]), true);
    let visited = field.enter("c", move || traffic::visit(client, to));
    assert_eq!(visited.unwrap(), at(2).ip());
    assert!(field.inside("s2", "ss -Htan state time-wait").contains(&format!(":{port}")), "it remembers");
    field.install_anew("d1", &fronts, &slots(at, &[1]));
    let mut kept = field.enter("c", move || traffic::keep(client, to));
    // Asked one after the other, server 2 stays the one that is asked.
    let plain = Rules::without_copies(&fronts, &[("shop".to_owned(), all.clone())].into());
    field.remove("d2");
    field.install_text("d2", &plain);
    field.move_to("d2", "d1");
    assert!(
        !traffic::answers(&mut kept, Duration::from_secs(2)),
        "server 2 acknowledges, and does not reset"
    );
    field.install_anew("d2", &fronts, &all);
    assert!(traffic::answers(&mut kept, Duration::from_secs(5)), "server 1 is asked as well");
    assert_eq!(field.pin("d2", client), Some(at(1).ip().to_string()));
    assert!(field.counter("d2", "copies_shop") > 0);
}

/// What the operator cuts is over at once for the client, and for the server.
#[test]
fn lab_what_is_cut_is_reset_on_both_sides() {
    let field = Field::new("cut");
    field.serve();
    let at = |server| field::server(server, true);
    let (to, both) = (field::front_at(true), slots(at, &[1, 2]));
    let clients = [1, 2].map(|server| SocketAddr::new(field::client(true), port_of(&both, at(server))));
    field.install("d1", &[front(true, false, Key::Connection)], &both, true);
    let [mut cut, mut stays] = clients.map(|client| field.enter("c", move || traffic::keep(client, to)));
    let fronts = [Front { cut: vec![at(1)], ..front(true, false, Key::Connection) }];
    field.install("d1", &fronts, &slots(at, &[2]), true);
    assert!(traffic::answers(&mut stays, Duration::from_secs(5)), "server 2 was not cut");
    let told = cut.write_all(b"x").and_then(|()| cut.read(&mut [0]));
    assert_eq!(told.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
    // A download speaks at the server's side.
    let until = Instant::now() + Duration::from_secs(10);
    let left = || field.inside("s1", "ss -Htn state established");
    field.install("d1", &[front(true, false, Key::Connection)], &slots(at, &[1]), true);
    let mut load = field.enter("c", move || traffic::load(to));
    let port = format!(":{}", load.local_addr().unwrap().port());
    assert!(left().contains(&port), "it runs: {}", left());
    field.install("d1", &fronts, &slots(at, &[2]), true);
    while traffic::reads(&mut load) && Instant::now() < until {}
    while left().contains(&port) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(Instant::now() < until, "both sides know: {}", left());
}

/// An upload is pinned by an acknowledgement that only its own server can make.
#[test]
fn lab_an_upload_is_pinned_before_the_server_says_anything() {
    let field = Field::new("upload");
    field.serve();
    let at = |server| field::server(server, true);
    let all = slots(at, &SERVERS);
    let client = SocketAddr::new(field::client(true), port_of(&all, at(2)));
    let (to, fronts) = (field::front_at(true), [front(true, false, Key::Connection)]);
    field.install("d2", &fronts, &all, true);
    field.install("d1", &fronts, &slots(at, &[1]), true);
    let stream = field.enter("c", move || traffic::tell(client, to));
    field.move_to("d2", "d1");
    let until = Instant::now() + Duration::from_secs(10);
    while field.pin("d2", client).is_none() && Instant::now() < until {
        (&stream).write_all(b"x").unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(field.pin("d2", client), Some(at(1).ip().to_string()));
}

/// A client whose server the file does not have any more is told so, instead of waiting.
#[test]
fn lab_a_client_of_a_server_that_is_gone_is_told() {
    let field = Field::new("gone");
    field.serve();
    let at = |server| field::server(server, true);
    let (client, to) = (SocketAddr::new(field::client(true), 47_000), field::front_at(true));
    field.install("d1", &[front(true, false, Key::Connection)], &slots(at, &[1]), true);
    let kept = field.enter("c", move || traffic::keep(client, to));
    let without = Front { servers: vec![at(2), at(3)], ..front(true, false, Key::Connection) };
    field.install("d1", &[without], &slots(at, &[2, 3]), true);
    assert!(traffic::until_told(kept, Duration::from_secs(20)));
}

/// Datagrams of one client and port go to another server when theirs is not well, and to the director when there is none.
#[test]
fn lab_datagrams_leave_a_server_that_is_not_well() {
    let field = Field::new("leave");
    field.serve();
    for v4 in [true, false] {
        let at = |server| field::server(server, v4);
        let (client, to) = (SocketAddr::new(field::client(v4), 48_000), field::front_at(v4));
        let ask = || field.enter("c", move || ask_by_datagram(client, to)).ok();
        field.enter("d1", move || traffic::serve(to));
        let fronts = [front(v4, true, Key::Connection)];
        for servers in [&[1][..], &[2, 3], &[3], &[1, 3]] {
            let table = slots(at, servers);
            field.install("d1", &fronts, &table, v4);
            let got = ask().map(|ip| servers.iter().any(|server| at(*server).ip() == ip));
            assert_eq!(got, Some(true), "{servers:?}");
        }
        let stays = ask();
        field.install("d1", &fronts, &slots(at, &SERVERS), v4);
        assert_eq!(ask(), stays, "who is well keeps what it has");
        field.install("d1", &fronts, &slots(at, &[]), v4);
        assert_eq!(ask(), Some(to.ip()), "the userspace engine");
        field.remove("d1");
    }
}

/// The kernel of these tests makes copies of packets, and says so.
#[test]
fn lab_the_kernel_says_that_it_makes_copies() {
    let field = Field::new("copies");
    let look = || relevo_net::nft::Nft::new().check(&Rules::with_copies_alone());
    field.enter("d1", look).unwrap();
    let tables = field.inside("d1", "nft list tables");
    assert!(!tables.contains("look"), "nothing is left: {tables}");
}

/// Where the kernel makes no copies, servers are asked one after the other.
#[test]
fn lab_flows_are_found_without_copies() {
    let field = Field::new("plain");
    field.serve();
    let at = |server| field::server(server, true);
    let all = slots(at, &SERVERS);
    let (client, to) = (SocketAddr::new(field::client(true), port_of(&all, at(2))), field::front_at(true));
    let fronts = [front(true, false, Key::Connection)];
    field.install_text("d2", &Rules::without_copies(&fronts, &[("shop".to_owned(), all)].into()));
    field.install("d1", &fronts, &slots(at, &[1]), true);
    let mut kept = field.enter("c", move || traffic::keep(client, to));
    field.move_to("d2", "d1");
    assert!(traffic::answers(&mut kept, Duration::from_secs(8)));
    assert!(field.counter("d2", "heals_shop") > 0);
}

/// Pieces of datagrams are counted, and nothing of them gets to the director's own programs.
#[test]
fn lab_pieces_are_refused_and_counted() {
    let field = Field::new("pieces");
    field.serve();
    let table = slots(|server| field::server(server, true), &SERVERS);
    field.install("d1", &[front(true, true, Key::Connection)], &table, true);
    let (client, to) = (SocketAddr::new(field::client(true), 41_000), field::front_at(true));
    let answer = field.enter("c", move || greet(client, to, 4000));
    assert_eq!(answer, None);
    assert!(field.counter("d1", "fragments") > 0);
    let answer = field.enter("c", move || greet(client, to, 400));
    assert!(matches!(answer, Some(IpAddr::V4(_))));
}
