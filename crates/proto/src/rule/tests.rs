//! The language as its users see it: rules, a request, what is decided.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use relevo_model::cluster::{
    self, Action, BasicAuth, Condition, Deny, HeaderEdit, NameTest, Pattern, RateKey, RateLimit, Redirect,
    Return, Rewrite, SourceNet, User, Users,
};

use super::*;

fn pattern(text: &str) -> Pattern {
    match text.strip_prefix('~') {
        Some(expression) => Pattern::Regex(expression.to_owned()),
        None if text.contains('*') => Pattern::Glob(text.to_owned()),
        None => Pattern::Exact(text.to_owned()),
    }
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| pattern(text)).collect()
}

/// `None`: not there.
fn test(name: &str, values: Option<&[&str]>) -> Vec<NameTest> {
    vec![NameTest { name: name.to_owned(), patterns: values.map(patterns) }]
}

fn path(text: &str) -> Condition {
    Condition { path: patterns(&[text]), ..Condition::default() }
}

fn rule(line: usize, when: Condition, actions: Vec<Action>) -> cluster::Rule {
    cluster::Rule { line, when, unless: None, actions }
}

fn pool(name: &str) -> Action {
    Action::Pool(name.into())
}

const FORBIDDEN: Action = Action::Deny(Deny { status: 403, after: Duration::ZERO });

fn compile(rules: &[cluster::Rule]) -> Rules {
    let anna = User { name: "anna".to_owned(), hash: String::new() };
    Rules::new(rules, &[Users { name: "staff".into(), users: vec![anna] }]).unwrap()
}

/// A request, with `name: value` lines.
struct Sent<'a> {
    method: &'a str,
    host: &'a str,
    target: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    source: IpAddr,
    tls: bool,
    tls_name: &'a str,
}

fn get(target: &str) -> Sent<'_> {
    Sent {
        method: "GET",
        host: "shop.example.org",
        target,
        headers: Vec::new(),
        source: IpAddr::from([192, 0, 2, 7]),
        tls: false,
        tls_name: "",
    }
}

impl Sent<'_> {
    fn with<T>(&self, ask: impl FnOnce(&Request<'_>) -> T) -> T {
        /// A slice that is the size of a pointer to it.
        struct Lines<'a>(&'a [(&'a str, &'a str)]);
        impl Headers for Lines<'_> {
            fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
                self.0.any(name, test)
            }
        }
        ask(&Request {
            method: self.method.as_bytes(),
            host: self.host.as_bytes(),
            target: self.target.as_bytes(),
            headers: &Lines(&self.headers),
            source: self.source,
            tls: self.tls,
            tls_name: self.tls_name.as_bytes(),
            id: 0xab,
        })
    }

    fn holds(&self, when: &Condition) -> bool {
        let rules = compile(&[rule(1, when.clone(), vec![pool("x")])]);
        self.with(|request| {
            matches!(rules.step(&mut Course::default(), request), Step::Done(Verdict::Pool(0)))
        })
    }
}

#[test]
fn hosts_are_compared_without_port_dot_and_case() {
    for (host, wanted, holds) in [
        ("shop.example.org", "shop.example.org", true),
        ("SHOP.example.org:8080", "shop.Example.org", true),
        ("shop.example.org.", "shop.example.org", true),
        ("shop.example.org.:80", "*.example.org", true),
        ("a.b.example.org", "*.example.org", true),
        ("example.org", "*.example.org", false),
        ("xexample.org", "~^(www\\.)?example\\.org$", false),
        ("WWW.example.org", "~^(www\\.)?example\\.org$", true),
        ("[2001:DB8::1]:80", "[2001:db8::1]", true),
        ("[2001:db8:0::0:1]", "[2001:db8::1]", true),
        ("shop.example.org:", "shop.example.org", true),
        ("", "*", true),
        ("", "a", false),
    ] {
        let when = Condition { host: patterns(&[wanted]), ..Condition::default() };
        assert_eq!(Sent { host, ..get("/") }.holds(&when), holds, "{host} {wanted}");
    }
}

#[test]
fn conditions_hold_as_written() {
    let base = Condition::default;
    let none = &[][..];
    let with = |name, value| Sent { headers: vec![(name, value)], ..get("/") };
    let cases = [
        (get("/"), base(), true),
        (get("/"), Condition { method: vec!["GET".to_owned(), "HEAD".to_owned()], ..base() }, true),
        (get("/"), Condition { method: vec!["get".to_owned()], ..base() }, false),
        (get("/a?x"), path("/a"), true),
        (get("?x"), path("/"), true),
        (get("/A"), path("/a"), false),
        (get("/%61"), path("/a"), true),
        (with("x-debug", ""), Condition { header: test("X-Debug", Some(none)), ..base() }, true),
        (get("/"), Condition { header: test("X-Debug", Some(none)), ..base() }, false),
        (with("X-Debug", "1"), Condition { header: test("x-debug", None), ..base() }, false),
        (get("/"), Condition { header: test("x-debug", None), ..base() }, true),
        (
            with("User-Agent", "a curl/8"),
            Condition { header: test("user-agent", Some(&["*curl*"])), ..base() },
            true,
        ),
        (with("A", "1, 2"), Condition { header: test("a", Some(&["2"])), ..base() }, false),
        (
            Sent { headers: vec![("A", "1"), ("a", "2")], ..get("/") },
            Condition { header: test("A", Some(&["2"])), ..base() },
            true,
        ),
        (get("/?a=1&b=2"), Condition { query: test("b", Some(&["2"])), ..base() }, true),
        (get("/?a=1&a=2"), Condition { query: test("a", Some(&["2"])), ..base() }, true),
        (get("/?%61=x%2By+z"), Condition { query: test("a", Some(&["x+y z"])), ..base() }, true),
        (get("/?a"), Condition { query: test("a", Some(none)), ..base() }, true),
        (get("/?b=a"), Condition { query: test("a", None), ..base() }, true),
        (with("Cookie", "x=0; beta=1"), Condition { cookie: test("beta", Some(&["1"])), ..base() }, true),
        (with("Cookie", "xbeta=1"), Condition { cookie: test("beta", Some(none)), ..base() }, false),
        (with("Cookie", "BETA=1"), Condition { cookie: test("beta", None), ..base() }, true),
        (get("/"), Condition { tls: Some(true), ..base() }, false),
        (get("/"), Condition { tls: Some(false), ..base() }, true),
        (
            Sent { tls: true, tls_name: "a.example", ..get("/") },
            Condition { tls_name: patterns(&["*.EXAMPLE"]), ..base() },
            true,
        ),
        (get("/"), Condition { tls_name: patterns(&["a"]), ..base() }, false),
    ];
    for (sent, when, holds) in cases {
        assert_eq!(sent.holds(&when), holds, "{} {:?} {when:?}", sent.target, sent.headers);
    }
}

#[test]
fn networks_are_compared_by_their_prefix() {
    for (first, prefix, holds) in [
        ("192.0.2.0", 24, true),
        ("192.0.2.7", 32, true),
        ("192.0.2.6", 32, false),
        ("10.0.0.0", 8, false),
        ("0.0.0.0", 0, true),
    ] {
        let source = vec![SourceNet { first: first.parse().unwrap(), prefix }];
        assert_eq!(get("/").holds(&Condition { source, ..Condition::default() }), holds, "{first}/{prefix}");
    }
    for (first, prefix, client, holds) in [
        ("2001:db8:7::", 48, "2001:db8:7:1::9", true),
        ("2001:db8:7::", 48, "2001:db8:8::9", false),
        ("2001:db8:7::9", 128, "2001:db8:7::9", true),
        ("::", 0, "2001:db8:7::9", true),
        ("::", 0, "192.0.2.7", false),
        ("0.0.0.0", 0, "2001:db8:7::9", false),
        ("192.0.2.0", 24, "::ffff:192.0.2.7", true),
    ] {
        let source = vec![SourceNet { first: first.parse().unwrap(), prefix }];
        let mut asked = get("/");
        asked.source = client.parse().unwrap();
        let found = asked.holds(&Condition { source, ..Condition::default() });
        assert_eq!(found, holds, "{client} in {first}/{prefix}");
    }
}

fn verdict(rules: &Rules, target: &str) -> String {
    get(target).with(|request| match rules.step(&mut Course::default(), request) {
        Step::Done(Verdict::Pool(number)) => rules.pools()[number].to_string(),
        Step::Done(Verdict::Default) => "default".to_owned(),
        Step::Done(Verdict::Deny(_)) => "denied".to_owned(),
        Step::Done(Verdict::Doubtful(_)) => "doubtful".to_owned(),
        Step::Auth { .. } => "auth".to_owned(),
        other @ (Step::Rate { .. } | Step::Done(_)) => format!("{other:?}"),
    })
}

#[test]
fn a_guard_is_not_passed_by_writing_the_path_otherwise() {
    let guard = compile(&[rule(1, path("/admin/*"), vec![FORBIDDEN])]);
    for target in [
        "/admin/x",
        "//admin/x",
        "/admin//x",
        "/%61dmin/x",
        "/%41dmin/../admin/x",
        "/a/../admin/x",
        "/a/%2e%2e/admin/x",
        "/admin%2fx",
        "/admin%2Fx",
        "\\admin\\x",
        "/admin;v=1/x",
        "/;/admin/x",
        "/./admin/x",
        "/a/..;/admin/x",
    ] {
        assert!(matches!(verdict(&guard, target).as_str(), "denied" | "doubtful"), "{target}");
    }
    assert_eq!(verdict(&guard, "/administration"), "default");
}

#[test]
fn what_lets_through_wants_no_doubt() {
    let open = Condition { path: patterns(&["/public/*"]), ..Condition::default() };
    let auth = Action::Auth(BasicAuth { users: "staff".into(), realm: "Staff".to_owned() });
    let by_pool = compile(&[
        rule(1, open.clone(), vec![pool("open")]),
        rule(2, Condition::default(), vec![auth.clone()]),
    ]);
    let by_unless = compile(&[cluster::Rule {
        unless: Some(open),
        ..rule(1, Condition::default(), vec![auth, pool("open")])
    }]);
    for target in
        ["/public/../secret", "/public/%2e%2e/secret", "/public%2Fx", "/public;/x", "/public\\x", "/secret"]
    {
        for rules in [&by_pool, &by_unless] {
            assert!(matches!(verdict(rules, target).as_str(), "auth" | "doubtful"), "{target}");
        }
    }
    assert_eq!(verdict(&by_pool, "/public/x"), "open");
    assert_eq!(verdict(&by_unless, "/public/x"), "default");
    // A path that means the same in every reading of a rule is no doubt.
    assert_eq!(verdict(&by_pool, "/public/a//b;c"), "open");
}

#[test]
fn rules_that_do_not_look_at_paths_let_every_path_be() {
    let rules = compile(&[rule(1, Condition::default(), vec![pool("a")])]);
    assert_eq!(verdict(&rules, "/a/../b"), "a");
}

#[test]
fn the_first_last_action_decides_and_others_go_on() {
    let rate = |requests| {
        Action::Rate(RateLimit {
            requests,
            period: Duration::from_secs(1),
            by: RateKey::Source,
            status: 429,
            size: 10,
        })
    };
    let rules = compile(&[
        rule(1, path("/no"), vec![FORBIDDEN]),
        rule(
            2,
            Condition::default(),
            vec![rate(1), Action::Request(vec![HeaderEdit::Delete("A".to_owned())])],
        ),
        rule(3, path("/a"), vec![rate(2), pool("a")]),
        rule(4, Condition::default(), vec![pool("b")]),
        rule(5, Condition::default(), vec![FORBIDDEN]),
    ]);
    assert_eq!(rules.limits().len(), 2);
    get("/a").with(|request| {
        let mut course = Course::default();
        for (limit, line) in [(0, 2), (1, 3)] {
            let Step::Rate { limit: asked, key } = rules.step(&mut course, request) else { panic!("a rate") };
            assert_eq!(
                (asked, key, course.line()),
                (limit, Key::Source(Ipv4Addr::new(192, 0, 2, 7).into()), Some(line))
            );
        }
        assert!(matches!(rules.step(&mut course, request), Step::Done(Verdict::Pool(0))));
        assert_eq!((course.line(), course.has_changes()), (Some(3), true));
        course.restart();
        assert_eq!(course, Course::default());
    });
    assert_eq!(verdict(&rules, "/no"), "denied");
}

#[test]
fn a_rate_by_header_sees_all_its_lines_and_ignores_who_has_none() {
    let limit = RateLimit {
        requests: 1,
        period: Duration::from_secs(1),
        by: RateKey::Header("X-Key".to_owned()),
        status: 429,
        size: 10,
    };
    let rules = compile(&[rule(1, Condition::default(), vec![Action::Rate(limit)])]);
    let key = |headers| {
        Sent { headers, ..get("/") }.with(|request| match rules.step(&mut Course::default(), request) {
            Step::Rate { key, .. } => Some(key),
            Step::Auth { .. } | Step::Done(_) => None,
        })
    };
    assert_eq!(key(vec![]), None);
    assert_eq!(key(vec![("x-key", "a"), ("X-Key", "b")]), Some(Key::Header(b"a\nb\n".to_vec())));
}

fn location(to: &str, target: &str) -> String {
    let redirect = Redirect { to: to.to_owned(), status: 302 };
    let rules = compile(&[rule(1, Condition::default(), vec![Action::Redirect(redirect)])]);
    get(target).with(|request| match rules.step(&mut Course::default(), request) {
        Step::Done(Verdict::Redirect { to, status: 302 }) => String::from_utf8(to).unwrap(),
        other @ (Step::Rate { .. } | Step::Auth { .. } | Step::Done(_)) => panic!("{other:?}"),
    })
}

#[test]
fn redirects_are_filled_in_and_stay_one_line_on_one_host() {
    assert_eq!(location("https://{host}{uri}", "/a?b=c"), "https://shop.example.org/a?b=c");
    assert_eq!(
        location("https://{host}{path}?{query}&s={source}", "/a"),
        "https://shop.example.org/a?&s=192.0.2.7"
    );
    assert_eq!(location("/x/{{{method}}{request_id}", "/"), format!("/x/{{GET}}{:032x}", 0xab));
    assert_eq!(location("{uri}", "//evil.example/"), "/evil.example/");
    assert_eq!(location("{path}", "/\\evil.example"), "/%5Cevil.example");
    assert_eq!(location("//cdn.example{path}", "/a"), "//cdn.example/a");
    assert_eq!(location("/{path}", "/a"), "/a");
    assert_eq!(location("/café", "/\r\nX: y"), "/caf%C3%A9");
    assert_eq!(location("{path}", "/a\r\nX: y\x7f"), "/a%0D%0AX:%20y%7F");
}

fn changed(edits: &[HeaderEdit]) -> (Vec<String>, String) {
    let rules = compile(&[rule(
        1,
        Condition::default(),
        vec![Action::Request(edits.to_vec()), Action::Response(edits.to_vec())],
    )]);
    get("/a\r\nb").with(|request| {
        let (mut course, mut changes, mut again) =
            (Course::default(), Changes::default(), Changes::default());
        rules.step(&mut course, request);
        assert_eq!(rules.change_request(&course, request, &mut changes), None);
        rules.change_response(&course, request, &mut again);
        assert_eq!(changes, again);
        (changes.left_out, String::from_utf8(changes.lines).unwrap())
    })
}

#[test]
fn header_edits_are_done_in_order() {
    let set = |name: &str, value: &str| HeaderEdit::Set(name.to_owned(), value.to_owned());
    let add = |name: &str, value: &str| HeaderEdit::Add(name.to_owned(), value.to_owned());
    let delete = |name: &str| HeaderEdit::Delete(name.to_owned());
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        changed(&[set("X-A", "1"), add("x-a", "2")]),
        (names(&["X-A"]), "X-A: 1\r\nx-a: 2\r\n".to_owned())
    );
    assert_eq!(changed(&[add("X-A", "1"), set("x-a", "2")]), (names(&["x-a"]), "x-a: 2\r\n".to_owned()));
    assert_eq!(
        changed(&[add("X-A", "1"), add("B", ""), delete("x-a")]),
        (names(&["x-a"]), "B: \r\n".to_owned())
    );
    assert_eq!(changed(&[add("P", "{path} {source}")]), (vec![], "P: /a%0D%0Ab 192.0.2.7\r\n".to_owned()));
}

fn rewritten(rewrites: &[Rewrite], target: &str) -> Option<String> {
    let actions = rewrites.iter().cloned().map(Action::Rewrite).collect();
    let rules = compile(&[rule(1, Condition::default(), actions)]);
    get(target).with(|request| {
        let mut course = Course::default();
        rules.step(&mut course, request);
        let path = rules.change_request(&course, request, &mut Changes::default());
        path.map(|path| String::from_utf8(path).unwrap())
    })
}

#[test]
fn paths_are_rewritten() {
    let prefix = |from: &str, to: &str| Rewrite::Prefix(from.to_owned(), to.to_owned());
    let regex = |from: &str, to: &str| Rewrite::Regex(from.to_owned(), to.to_owned());
    for (rewrites, target, path) in [
        (vec![prefix("/old", "")], "/old/a?q", Some("/a")),
        (vec![prefix("/old", "")], "/old", Some("/")),
        (vec![prefix("/old", "")], "/older", None),
        (vec![prefix("/old", "")], "/%6Fld/a", Some("/a")),
        (vec![prefix("/old", "")], "/old//evil.example", Some("/evil.example")),
        (vec![prefix("/old/", "/new/")], "/old/a", Some("/new/a")),
        (vec![prefix("/", "/app/")], "/a", Some("/app/a")),
        (vec![prefix("/old", "/")], "/old/a", Some("/a")),
        (vec![regex("^/a(.*)", "/b$1")], "/ax", Some("/bx")),
        (vec![regex("x", "?#")], "/x", Some("/%3F%23")),
        (vec![regex("[0-9]+", "n")], "/1/2", Some("/n/2")),
        (vec![regex("z", "n")], "/a", None),
        (vec![Rewrite::Path("/new{path}".to_owned())], "/a%20b?q", Some("/new/a%20b")),
        (vec![Rewrite::Path("{query}".to_owned())], "/a?x?y", Some("/x%3Fy")),
        (vec![prefix("/a", "/b"), prefix("/b", "/c")], "/a/x", Some("/c/x")),
        (vec![prefix("/a", "/b"), prefix("/a", "/c")], "/a/x", Some("/b/x")),
    ] {
        assert_eq!(rewritten(&rewrites, target).as_deref(), path, "{rewrites:?} {target}");
    }
}

#[test]
fn rules_that_cannot_be_used_are_told_with_their_line() {
    let set =
        |name: &str, value: &str| Action::Request(vec![HeaderEdit::Set(name.to_owned(), value.to_owned())]);
    let redirect = |to: &str, status| Action::Redirect(Redirect { to: to.to_owned(), status });
    let wrong = [
        (set("A b", ""), "is not the name of a header"),
        (set("Content-Length", "1"), "the balancer's own"),
        (set("X", "a\r\nb"), "control character"),
        (set("X", "{nonsense}"), "no placeholder {nonsense}"),
        (set("X", "{host"), "without }"),
        (Action::Request(vec![HeaderEdit::Delete("Host".to_owned())]), "one Host"),
        (redirect("/", 200), "not the status of a redirect"),
        (
            Action::Return(Return { status: 99, content_type: String::new(), body: String::new() }),
            "not the status",
        ),
        (Action::Deny(Deny { status: 200, after: Duration::ZERO }), "not the status"),
        (Action::Rewrite(Rewrite::Path("/a?b".to_owned())), "no ?"),
        (Action::Rewrite(Rewrite::Regex("(".to_owned(), String::new())), "unclosed group"),
        (Action::Auth(BasicAuth { users: "nobody".into(), realm: String::new() }), "no users nobody"),
    ];
    for (action, words) in wrong {
        let error = Rules::new(&[rule(17, Condition::default(), vec![action])], &[]).unwrap_err();
        assert_eq!(error.line, 17);
        assert!(
            error.to_string().starts_with("the rule in line 17: ") && error.reason.contains(words),
            "{error}"
        );
    }
    let error = Rules::new(&[rule(3, path("~("), vec![pool("a")])], &[]).unwrap_err();
    assert!(error.reason.contains("unclosed group"), "{error}");
}

#[test]
fn a_trace_says_why() {
    let shop = Condition { host: patterns(&["shop.example.org", "*.shop.example.org"]), ..path("/static/*") };
    let rules = compile(&[
        rule(10, Condition { method: vec!["POST".to_owned()], ..Condition::default() }, vec![FORBIDDEN]),
        rule(13, Condition { header: test("X-Debug", Some(&[])), ..Condition::default() }, vec![FORBIDDEN]),
        rule(16, Condition::default(), vec![Action::Request(vec![HeaderEdit::Delete("A".to_owned())])]),
        cluster::Rule { unless: Some(path("*.jpg")), ..rule(19, shop.clone(), vec![pool("static")]) },
        rule(22, shop, vec![pool("images")]),
        rule(25, Condition::default(), vec![pool("never")]),
    ]);
    let said = get("/static/a.jpg").with(|request| {
        let outcome = trace(&rules, request, &mut Course::default());
        assert_eq!((outcome.decided, &outcome.verdict), (Some(22), &Verdict::Pool(1)));
        let line =
            |tried: &Tried| format!("{} {} {}", tried.line, if tried.matched { "+" } else { "-" }, tried.why);
        outcome.tried.iter().map(line).collect::<Vec<_>>()
    });
    assert_eq!(
        said,
        [
            "10 - the method is GET, not POST",
            "13 - there is no header X-Debug",
            "16 + it has no conditions",
            "19 - its `unless` holds: the path /static/a.jpg is \"*.jpg\"",
            "22 + the host shop.example.org is \"shop.example.org\" or \"*.shop.example.org\", and the path /static/a.jpg is \
             \"/static/*\"",
        ]
    );
}
