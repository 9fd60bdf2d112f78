//! Rules: every action as clients and servers see it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use relevo_model::ClusterFile;
use relevo_model::cluster::{
    Action, BasicAuth, Condition, Deny, HeaderEdit, Mode, NameTest, Pattern, RateKey, RateLimit, Redirect,
    Return, Rewrite, Rule, SourceNet, User, Users,
};

use crate::rig::{Answer, Client, Front, LONG, Origin, Received, Rig, cluster, field, service, wait_until};

fn rule(when: Condition, actions: Vec<Action>) -> Rule {
    Rule { line: 7, when, unless: None, actions }
}

fn path(text: &str) -> Condition {
    let pattern =
        if text.contains('*') { Pattern::Glob(text.to_owned()) } else { Pattern::Exact(text.to_owned()) };
    Condition { path: vec![pattern], ..Condition::default() }
}

fn always(actions: Vec<Action>) -> Rule {
    rule(Condition::default(), actions)
}

/// A service of one server with these rules.
fn front(server: &Origin, rules: Vec<Rule>) -> Front {
    let mut front = service(&[server.at]);
    front.rules = rules;
    front
}

fn rig(server: &Origin, rules: Vec<Rule>) -> Rig {
    Rig::start(front(server, rules))
}

fn ask(rig: &Rig, request: &str) -> Answer {
    let mut client = rig.client();
    client.send(request);
    client.answer().unwrap()
}

/// The first line of the head that the server got.
fn line(answer: &Answer) -> &str {
    answer.body.lines().next().unwrap_or("")
}

#[test]
fn a_rule_chooses_the_pool() {
    let (web, other) = (Origin::named("web"), Origin::named("static"));
    let mut cluster =
        cluster([front(&web, vec![rule(path("/static/*"), vec![Action::Pool("static".into())])])]);
    let mut pool = service(&[other.at]).pool;
    pool.name = "static".into();
    cluster.pools.insert(0, pool);
    let rig = Rig::run(&cluster);
    let mut client = rig.client();
    for (target, name) in [("/", "web"), ("/static/a", "static"), ("/b", "web"), ("/static/../b", "400 ")] {
        let answer = client.get(target).unwrap();
        assert!(answer.body.starts_with(name), "{target} {answer:?}");
    }
    // A rule whose pool is not there is refused, and nothing changes.
    cluster.services[0].rules = vec![always(vec![Action::Pool("nowhere".into())])];
    assert!(rig.engine.apply(&cluster).unwrap_err().to_string().contains("there is no pool nowhere"));
    // From now on the connection that is there follows other rules.
    cluster.services[0].rules = vec![always(vec![Action::Pool("static".into())])];
    rig.engine.apply(&cluster).unwrap();
    assert_eq!(client.get("/").unwrap().body, "static");
}

#[test]
fn redirects_keep_the_connection() {
    let server = Origin::mirror();
    let redirect = Redirect { to: "https://{host}{uri}".to_owned(), status: 301 };
    let rig = rig(&server, vec![rule(path("/old*"), vec![Action::Redirect(redirect)])]);
    let mut client = rig.client();
    // Three in one packet.
    client.send(
        "GET /old?a=b HTTP/1.1\r\nHost: Shop.example:80\r\n\r\nHEAD /old/%0d%0aX:y HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /new HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (301, ""));
    assert_eq!(field(&answer.head, "location").as_deref(), Some("https://Shop.example/old?a=b"));
    let answer = client.answer_to("HEAD").unwrap();
    assert_eq!(field(&answer.head, "location").as_deref(), Some("https://a/old/%0d%0aX:y"));
    assert_eq!(line(&client.answer().unwrap()), "GET /new HTTP/1.1");
    assert_eq!(server.accepted(), 1);
}

#[test]
fn answers_of_the_balancer_are_as_written() {
    let server = Origin::mirror();
    let answer = |status, body: &str| {
        let (content_type, body) = ("text/x-test".to_owned(), body.to_owned());
        Action::Return(Return { status, content_type, body })
    };
    let cors = Action::Response(vec![
        HeaderEdit::Set("Access-Control-Allow-Origin".to_owned(), "*".to_owned()),
        HeaderEdit::Set("Content-Type".to_owned(), "text/plain".to_owned()),
    ]);
    let rig = rig(
        &server,
        vec![
            rule(path("/ok"), vec![answer(200, "fine")]),
            rule(path("/none"), vec![answer(204, "")]),
            rule(path("/cors"), vec![cors, answer(299, "x")]),
        ],
    );
    let mut client = rig.client();
    let got = client.get("/ok").unwrap();
    assert_eq!((got.status, got.body.as_str()), (200, "fine"));
    assert_eq!(field(&got.head, "content-type").as_deref(), Some("text/x-test"));
    client.send("HEAD /ok HTTP/1.1\r\nHost: a\r\n\r\n");
    let got = client.answer_to("HEAD").unwrap();
    assert_eq!(field(&got.head, "content-length").as_deref(), Some("4"));
    let got = client.get("/none").unwrap();
    assert_eq!((got.status, field(&got.head, "content-length")), (204, None));
    let got = client.get("/cors").unwrap();
    assert_eq!((got.status, field(&got.head, "access-control-allow-origin").as_deref()), (299, Some("*")));
    assert_eq!(got.head.matches("Content-Type").count(), 1, "{got:?}");
    assert_eq!(server.accepted(), 0);
}

#[test]
fn refusals_come_at_once_late_or_not_at_all() {
    let server = Origin::mirror();
    let deny = |status, after| Action::Deny(Deny { status, after });
    let late = Duration::from_millis(300);
    let rig = rig(
        &server,
        vec![
            rule(path("/no"), vec![deny(403, Duration::ZERO)]),
            rule(path("/late"), vec![deny(500, late)]),
            rule(path("/silent"), vec![deny(0, Duration::ZERO)]),
        ],
    );
    let mut client = rig.client();
    let answer = client.get("/no").unwrap();
    assert_eq!((answer.status, answer.body.contains("403 Forbidden: ")), (403, true));
    let start = Instant::now();
    let answer = client.get("/late").unwrap();
    // Who is held back on purpose is not told so.
    assert_eq!((answer.status, answer.body.contains("rule")), (500, false), "{answer:?}");
    assert!(start.elapsed() >= late, "{:?}", start.elapsed());
    client.send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().unwrap_err().to_string(), "no answer: \"\"");
    // A request whose body was not read ends the connection, and the answer arrives.
    let answer = ask(&rig, "POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nstart");
    assert_eq!((answer.status, field(&answer.head, "connection").as_deref()), (403, Some("close")));
}

#[test]
fn a_tarpit_has_few_places() {
    let server = Origin::mirror();
    let mut front = front(&server, vec![always(vec![Action::Deny(Deny { status: 500, after: LONG })])]);
    front.limits.connections = 20;
    let rig = Rig::start(front);
    let mut held: Vec<Client> = (0..3).map(|_| rig.client()).collect();
    for client in &mut held {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    // Two are held; the third is refused at once.
    let mut answered = 0;
    wait_until("one is answered", || {
        answered = held.iter_mut().map(has_bytes).filter(|has| *has).count();
        answered == 1
    });
}

#[test]
fn who_leaves_a_tarpit_gives_its_place_back_at_once() {
    let server = Origin::mirror();
    let mut front = front(&server, vec![always(vec![Action::Deny(Deny { status: 500, after: LONG * 10 })])]);
    front.limits.connections = 10;
    let rig = Rig::start(front);
    // There is one place: without it, the refusal comes at once.
    for _ in 0..2 {
        let mut held = rig.client();
        held.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_until("it is held", || rig.engine.snapshot().services[0].requests > 0 && !has_bytes(&mut held));
        drop(held);
        wait_until("it is gone", || rig.engine.snapshot().services[0].connections == 0);
    }
}

fn has_bytes(client: &mut Client) -> bool {
    let stream = client.stream();
    stream.set_nonblocking(true).unwrap();
    let has = matches!(stream.peek(&mut [0]), Ok(1..));
    stream.set_nonblocking(false).unwrap();
    has
}

#[test]
fn headers_are_changed_on_the_way_there_and_back() {
    let server = Origin::answering(|request: &Received| {
        let body = &request.head;
        format!(
            "HTTP/1.1 200 OK\r\nServer: secret\r\nX-Keep: 1\r\nX-Old: a\r\nx-old: b\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    });
    let set = |name: &str, value: &str| HeaderEdit::Set(name.to_owned(), value.to_owned());
    let add = |name: &str, value: &str| HeaderEdit::Add(name.to_owned(), value.to_owned());
    let delete = |name: &str| HeaderEdit::Delete(name.to_owned());
    let there = vec![
        set("Host", "inner.example"),
        set("X-Real-IP", "{source}"),
        add("X-Way", "{method} {host}"),
        delete("cookie"),
        set("X-Id", "{request_id}"),
    ];
    let back = vec![delete("server"), set("X-Old", "{path}"), add("X-Keep", "2")];
    let rig = rig(&server, vec![always(vec![Action::Request(there), Action::Response(back)])]);
    let mut client = rig.client();
    let mut ids = Vec::new();
    for _ in 0..2 {
        client
            .send("GET /p HTTP/1.1\r\nHost: outer:80\r\nCookie: a\r\nx-real-ip: 1.2.3.4\r\nX-Way: a\r\n\r\n");
        let answer = client.answer().unwrap();
        let got = &answer.body;
        assert_eq!(field(got, "host").as_deref(), Some("inner.example"));
        assert_eq!(got.to_ascii_lowercase().matches("\nhost:").count(), 1, "{got}");
        assert_eq!(field(got, "x-real-ip").as_deref(), Some("127.0.0.1"));
        assert_eq!(got.to_ascii_lowercase().matches("x-real-ip").count(), 1, "{got}");
        assert!(got.contains("X-Way: a\r\n") && got.contains("X-Way: GET outer\r\n"), "{got}");
        assert_eq!((field(got, "cookie"), field(got, "x-forwarded-for").is_some()), (None, true));
        ids.push(field(got, "x-id").unwrap());
        assert_eq!(field(&answer.head, "server"), None);
        assert_eq!(answer.head.to_ascii_lowercase().matches("x-old:").count(), 1, "{}", answer.head);
        assert_eq!(field(&answer.head, "x-old").as_deref(), Some("/p"));
        assert_eq!(answer.head.matches("X-Keep").count(), 2);
    }
    assert!(ids[0].len() == 32 && ids[0] != ids[1], "{ids:?}");
}

#[test]
fn the_server_gets_another_path_and_the_same_query() {
    let server = Origin::mirror();
    let prefix = Rewrite::Prefix("/old".to_owned(), String::new());
    let regex = Rewrite::Regex("^/user/([0-9]+)$".to_owned(), "/u?id=$1".to_owned());
    let rig = rig(
        &server,
        vec![
            rule(path("/old*"), vec![Action::Rewrite(prefix)]),
            always(vec![Action::Rewrite(regex)]),
            rule(path("/whole"), vec![Action::Rewrite(Rewrite::Path("/new{path}".to_owned()))]),
        ],
    );
    let mut client = rig.client();
    for (target, got) in [
        ("/old/a?b=c?d", "/a?b=c?d"),
        ("/old", "/"),
        ("/older", "/older"),
        ("/user/17?x", "/u%3Fid=17?x"),
        ("/whole", "/new/whole"),
        ("/other?/old", "/other?/old"),
        ("http://test/old/x", "/x"),
        ("http://test?q", "/?q"),
    ] {
        assert_eq!(line(&client.get(target).unwrap()), format!("GET {got} HTTP/1.1"), "{target}");
    }
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let server = Origin::mirror();
    let limit = |by| {
        let period = Duration::from_secs(100);
        Action::Rate(RateLimit { requests: 3, period, by, status: 429, size: 1000 })
    };
    let rules = vec![
        rule(path("/source"), vec![limit(RateKey::Source)]),
        rule(path("/key"), vec![limit(RateKey::Header("X-Key".to_owned()))]),
    ];
    let mut cluster = cluster([front(&server, rules)]);
    let rig = Rig::run(&cluster);
    // On several connections, so on several workers.
    let statuses = |count: usize| (0..count).map(|_| rig.get("/source").status).collect::<Vec<_>>();
    assert_eq!(statuses(4), [200, 200, 200, 429]);
    let answer = rig.get("/source");
    let wait: u64 = field(&answer.head, "retry-after").unwrap().parse().unwrap();
    assert!((1..=200).contains(&wait), "{wait}");
    // Another rule in front changes nothing about what was counted.
    cluster.services[0]
        .rules
        .insert(0, rule(path("/x"), vec![Action::Deny(Deny { status: 403, after: Duration::ZERO })]));
    rig.engine.apply(&cluster).unwrap();
    assert_eq!(statuses(1), [429]);
    let key = |key: &str| ask(&rig, &format!("GET /key HTTP/1.1\r\nHost: a\r\nX-Key: {key}\r\n\r\n")).status;
    assert_eq!([key("a"), key("a"), key("a"), key("a"), key("b")], [200, 200, 200, 429, 200]);
    assert_eq!(rig.get("/key").status, 200, "who has no key is not counted");
}

/// `openssl passwd -6 -salt abcdefgh geheim`
pub(crate) const HASH: &str =
    "$6$abcdefgh$msgktWxVAbjjh3X7lA5LaM7dS/ZfABJL6T4qcRsnjcOTj0kptUvZcrvrXIoO5fgPA9xz6UnF2To2Y7jGc/IZY/";

fn guarded(server: &Origin) -> ClusterFile {
    let auth = BasicAuth { users: "staff".into(), realm: "The \"staff\"".to_owned() };
    let set = HeaderEdit::Set("X-In".to_owned(), "1".to_owned());
    let mut cluster = cluster([front(
        server,
        vec![rule(path("/in*"), vec![Action::Auth(auth), Action::Request(vec![set])])],
    )]);
    let anna = User { name: "anna".to_owned(), hash: HASH.to_owned() };
    cluster.users.push(Users { name: "staff".into(), users: vec![anna] });
    cluster
}

#[test]
fn a_password_is_asked_for_and_then_remembered() {
    let server = Origin::mirror();
    let rig = Rig::run(&guarded(&server));
    let mut client = rig.client();
    let answer = client.get("/in").unwrap();
    assert_eq!(answer.status, 401);
    let wanted = "Basic realm=\"The \\\"staff\\\"\", charset=\"UTF-8\"";
    assert_eq!(field(&answer.head, "www-authenticate").as_deref(), Some(wanted));
    let mut with = |credentials: &str, more: &str| {
        client.send(format!("POST /in HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {credentials}\r\n{more}"));
        client.answer().unwrap()
    };
    let body = "Content-Length: 4\r\n\r\nbody";
    // anna:geheim, twice; then anna:falsch.
    for _ in 0..2 {
        let answer = with("YW5uYTpnZWhlaW0=", body);
        assert_eq!((answer.status, field(&answer.body, "x-in").as_deref()), (200, Some("1")), "{answer:?}");
    }
    let answer = with("YW5uYTpmYWxzY2g=", "\r\n");
    assert_eq!((answer.status, answer.body.contains("401 Unauthorized")), (401, true));
    assert_eq!(client.get("/out").unwrap().status, 200);
}

#[test]
fn guessing_is_slowed_down_and_harms_nobody() {
    let server = Origin::mirror();
    let rig = Rig::run(&guarded(&server));
    let basic = |credentials: &str| {
        ask(&rig, &format!("GET /in HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {credentials}\r\n\r\n"))
            .status
    };
    // On both workers, so that both remember.
    wait_until("both workers know anna", || (0..20).all(|_| basic("YW5uYTpnZWhlaW0=") == 200));
    wait_until("guesses are refused", || basic("YW5uYTpmYWxzY2g=") == 429);
    // Who is known goes on; so do those who need no password.
    assert_eq!(basic("YW5uYTpnZWhlaW0="), 200);
    assert_eq!(rig.get("/out").status, 200);
}

#[test]
fn conditions_see_the_request() {
    let server = Origin::mirror();
    let deny = |status| vec![Action::Deny(Deny { status, after: Duration::ZERO })];
    let header = NameTest { name: "X-Bad".to_owned(), patterns: Some(Vec::new()) };
    let net = |first: [u8; 4], prefix| SourceNet { first: first.into(), prefix };
    let rig = rig(
        &server,
        vec![
            rule(Condition { source: vec![net([10, 0, 0, 0], 8)], ..Condition::default() }, deny(410)),
            rule(Condition { header: vec![header], ..Condition::default() }, deny(411)),
            rule(Condition { method: vec!["PATCH".to_owned()], ..Condition::default() }, deny(412)),
            rule(
                Condition { host: vec![Pattern::Exact("bad.example".to_owned())], ..Condition::default() },
                deny(413),
            ),
            rule(Condition { tls: Some(true), ..Condition::default() }, deny(414)),
            rule(Condition { source: vec![net([127, 0, 0, 0], 8)], ..path("/here") }, deny(415)),
        ],
    );
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: a\r\nx-bad: 0\r\n\r\n", 411),
        ("PATCH / HTTP/1.1\r\nHost: a\r\n\r\n", 412),
        ("GET / HTTP/1.1\r\nHost: BAD.example.:81\r\n\r\n", 413),
        ("GET http://bad.example/ HTTP/1.0\r\n\r\n", 413),
        ("GET /%68ere HTTP/1.1\r\nHost: a\r\n\r\n", 415),
        ("GET //here HTTP/1.1\r\nHost: a\r\n\r\n", 415),
        ("GET /x/%2e%2e/here HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ] {
        assert_eq!(ask(&rig, request).status, status, "{request}");
    }
}

#[test]
fn in_mode_tcp_the_tls_name_and_the_source_choose() {
    // Says its name, then repeats what it gets.
    let echo = |name: &'static str| {
        Origin::with(move |peer| {
            let _ = peer.write(name.as_bytes());
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = peer.read(&mut buffer) {
                if peer.write(&buffer[..count]).is_err() {
                    return;
                }
            }
        })
    };
    let (plain, secure) = (echo("plain"), echo("secure"));
    let tls_name =
        |name: &str| Condition { tls_name: vec![Pattern::Glob(name.to_owned())], ..Condition::default() };
    let mut front = front(
        &plain,
        vec![
            rule(tls_name("*.secure.example"), vec![Action::Pool("secure".into())]),
            rule(tls_name("no.example*"), vec![Action::Deny(Deny { status: 403, after: Duration::ZERO })]),
        ],
    );
    front.mode = Mode::Tcp;
    let mut cluster = cluster([front]);
    let mut pool = service(&[secure.at]).pool;
    pool.name = "secure".into();
    cluster.pools.push(pool);
    let rig = Rig::run(&cluster);
    for (bytes, said) in [
        (hello("A.Secure.Example"), Some("secure")),
        (hello("other.example"), Some("plain")),
        (b"not TLS".to_vec(), Some("plain")),
        (hello("no.example"), None),
    ] {
        let mut stream = TcpStream::connect(rig.at).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        // In two packets.
        let (first, second) = bytes.split_at(4);
        stream.write_all(first).unwrap();
        std::thread::yield_now();
        let _ = stream.write_all(second);
        match said {
            Some(name) => {
                let mut got = vec![0; name.len() + bytes.len()];
                stream.read_exact(&mut got).unwrap();
                assert_eq!(got, [name.as_bytes(), &bytes[..]].concat(), "all that was sent arrives");
            }
            None => assert!(!matches!(stream.read(&mut [0]), Ok(1..))),
        }
    }
}

/// A ClientHello that asks for this name.
fn hello(name: &str) -> Vec<u8> {
    let vector = |length: usize, data: &[u8]| {
        let mut out = data.len().to_be_bytes()[8 - length..].to_vec();
        out.extend_from_slice(data);
        out
    };
    let names = vector(2, &[&[0][..], &vector(2, name.as_bytes())].concat());
    let extensions = [&[0, 0][..], &vector(2, &names)].concat();
    let body =
        [&[3, 3][..], &[7; 32], &[0], &vector(2, &[0x13, 1]), &vector(1, &[0]), &vector(2, &extensions)]
            .concat();
    [&[22, 3, 1][..], &vector(2, &[&[1][..], &vector(3, &body)].concat())].concat()
}

#[test]
fn a_service_whose_rules_answer_everything_has_no_servers() {
    let mut front = service(&[]);
    let redirect = Redirect { to: "https://{host}{uri}".to_owned(), status: 301 };
    front.rules = vec![always(vec![Action::Redirect(redirect)])];
    let rig = Rig::start(front);
    let answer = ask(&rig, "GET /a?b HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(
        (answer.status, field(&answer.head, "location").as_deref()),
        (301, Some("https://shop.example/a?b"))
    );
}
