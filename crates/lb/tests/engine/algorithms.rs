//! Who gets which request by each word of `balance`.

use std::sync::{Arc, Barrier};

use relevo_lb::{Admin, Health};
use relevo_model::cluster::{Balance, CheckKind, Hash, HashKey, HashMethod};

use crate::rig::{Front, Origin, Rig, service, wait_until, with_length};

fn rig(servers: &[Origin; 3], change: impl FnOnce(&mut Front)) -> Rig {
    let mut front = service(&servers.each_ref().map(|server| server.at));
    change(&mut front);
    let rig = Rig::start(front);
    for number in 1..=3 {
        rig.wait_health(number, Health::Up);
    }
    rig
}

/// The server of a request with this first line's target and these field lines.
fn ask(rig: &Rig, target: &str, fields: &str) -> String {
    let mut client = rig.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
    client.answer().unwrap().body
}

#[test]
fn one_key_has_one_server_by_each_method() {
    let servers = Origin::three();
    let by_key = [
        (HashKey::Uri { query: false }, 0),
        (HashKey::Uri { query: true }, 1),
        (HashKey::Header("X-User".to_owned()), 2),
        (HashKey::UrlParam("user".to_owned()), 3),
        (HashKey::Cookie("user".to_owned()), 4),
    ];
    let methods = [HashMethod::Consistent, HashMethod::Maglev, HashMethod::MapBased];
    for (method, (key, which)) in methods.into_iter().cycle().zip(by_key) {
        let hash = Hash { key, method, bound: None };
        let rig = rig(&servers, |front| front.pool.balance = Balance::Hash(hash));
        let of = |user: usize| match which {
            0 => ask(&rig, &format!("/{user}"), ""),
            1 => ask(&rig, &format!("/?{user}"), ""),
            2 => ask(&rig, "/", &format!("x-user: {user}\r\n")),
            3 => ask(&rig, &format!("/x?a=b&user={user}&c"), ""),
            _ => ask(&rig, "/", &format!("Cookie: a=b; user={user}\r\n")),
        };
        let owners: Vec<String> = (0..20).map(of).collect();
        for (user, owner) in owners.iter().enumerate() {
            assert_eq!(&of(user), owner);
        }
        let used = ["one", "two", "three"].iter().filter(|name| owners.iter().any(|owner| owner == *name));
        assert_eq!(used.count(), 3, "{owners:?}");
        // One goes: with a ring, only its own keys do.
        rig.engine.set_admin(None, "server1", Admin::Drain, false);
        let moved = owners.iter().enumerate().filter(|(user, owner)| of(*user) != **owner && *owner != "one");
        if method == HashMethod::Consistent {
            assert_eq!(moved.count(), 0);
        }
    }
}

#[test]
fn requests_without_the_key_go_in_turn_and_a_source_has_one_server() {
    let servers = Origin::three();
    let hash = |key| Balance::Hash(Hash { key, method: HashMethod::Consistent, bound: None });
    let rig = rig(&servers, |front| front.pool.balance = hash(HashKey::Header("X-User".to_owned())));
    assert_eq!(rig.bodies(3), ["one", "two", "three"]);
    let rig = self::rig(&servers, |front| front.pool.balance = hash(HashKey::Source));
    let bodies = rig.bodies(6);
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
}

#[test]
fn the_first_server_gets_all_until_it_has_enough() {
    let gate = Arc::new(Barrier::new(2));
    let waiting = Arc::clone(&gate);
    let first = Origin::answering(move |request| {
        if request.line().contains("/wait") {
            waiting.wait();
        }
        with_length("first")
    });
    let servers = [first, Origin::named("two"), Origin::named("three")];
    let rig = rig(&servers, |front| {
        front.pool.balance = Balance::First;
        front.pool.servers[0].max_connections = Some(1);
    });
    let idle = || wait_until("it is idle", || rig.server(1).connections == 0);
    assert_eq!(rig.get("/").body, "first");
    idle();
    assert_eq!(rig.get("/").body, "first");
    idle();
    let mut busy = rig.client();
    busy.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_until("it works on the request", || rig.server(1).connections == 1);
    assert_eq!(rig.bodies(3), ["two"; 3]);
    gate.wait();
    assert_eq!(busy.answer().unwrap().body, "first");
    idle();
    assert_eq!(rig.get("/").body, "first");
}

#[test]
fn two_draws_reach_everyone() {
    let servers = Origin::three();
    let rig = rig(&servers, |front| front.pool.balance = Balance::Random);
    let bodies = rig.bodies(60);
    for name in ["one", "two", "three"] {
        assert!(bodies.iter().any(|body| body == name), "{bodies:?}");
    }
}

#[test]
fn backups_work_while_nobody_else_can() {
    let servers = Origin::three();
    let rig = rig(&servers, |front| {
        front.pool.servers[1].backup = true;
        front.pool.servers[2].backup = true;
        front.pool.check.kind = CheckKind::Connect;
    });
    assert_eq!(rig.bodies(3), ["one"; 3]);
    let [one, _two, _three] = servers;
    one.kill();
    // At once, and when the checks know it.
    assert_eq!(rig.bodies(2), ["two"; 2]);
    rig.wait_health(1, Health::Down);
    assert_eq!(rig.bodies(2), ["two"; 2]);
    rig.engine.set_admin(None, "server2", Admin::Drain, false);
    assert_eq!(rig.bodies(2), ["three"; 2]);
}
