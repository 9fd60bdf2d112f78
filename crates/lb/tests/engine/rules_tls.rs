//! Rules for clients that speak TLS, by HTTP/1.1 and by HTTP/2.

use std::time::Duration;

use relevo_model::cluster::{
    Action, Condition, Deny, HeaderEdit, Pattern, RateKey, RateLimit, Redirect, Return, Rewrite, Rule,
};

use crate::rig::{Origin, Rig, service};
use crate::tls_rig::{Authority, curl, server_tls, with_tls};

fn path(text: &str) -> Condition {
    Condition { path: vec![Pattern::Exact(text.to_owned())], ..Condition::default() }
}

#[test]
fn every_action_is_the_same_by_either_protocol() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["shop.example.org", "other.example.org"]);
    let origin = Origin::mirror();
    let mut front = with_tls(service(&[origin.at]), server_tls(&[&chain]));
    front.hsts = Some(Duration::from_secs(365 * 24 * 3600));
    let rule = |when, actions| Rule { line: 1, when, unless: None, actions };
    let text = |status, body: &str| {
        Action::Return(Return { status, content_type: "text/plain".to_owned(), body: body.to_owned() })
    };
    let named = Condition { tls_name: vec![Pattern::Exact("shop.example.org".to_owned())], ..path("/name") };
    let rate = RateLimit {
        requests: 1,
        period: Duration::from_secs(1000),
        by: RateKey::Header("X-Key".to_owned()),
        status: 429,
        size: 10,
    };
    front.rules = vec![
        rule(Condition { tls: Some(false), ..Condition::default() }, vec![text(200, "in clear")]),
        rule(named, vec![text(200, "named")]),
        rule(path("/no"), vec![Action::Deny(Deny { status: 403, after: Duration::ZERO })]),
        rule(path("/late"), vec![Action::Deny(Deny { status: 503, after: Duration::from_millis(10) })]),
        rule(path("/silent"), vec![Action::Deny(Deny { status: 0, after: Duration::ZERO })]),
        rule(path("/to"), vec![Action::Redirect(Redirect { to: "/there?{query}".to_owned(), status: 307 })]),
        rule(path("/rate"), vec![Action::Rate(rate)]),
        rule(
            path("/edit"),
            vec![
                Action::Request(vec![HeaderEdit::Set("X-Name".to_owned(), "{tls_name}".to_owned())]),
                Action::Response(vec![HeaderEdit::Add("X-Back".to_owned(), "{method}".to_owned())]),
                Action::Rewrite(Rewrite::Path("/edited".to_owned())),
            ],
        ),
    ];
    let rig = Rig::start(front);
    for protocol in ["--http1.1", "--http2"] {
        let ask = |name: &str, path: &str, more: &[&str]| {
            let options = [&["-i", protocol][..], more].concat();
            curl(&authority.file, name, rig.at, path, &options)
        };
        let shop = |path: &str| ask("shop.example.org", path, &[]).out.to_ascii_lowercase();
        for (path, status, said) in [
            ("/name", "200", "named"),
            ("/no", "403", "403 forbidden: a rule"),
            ("/late", "503", "503 service unavailable: the request could not"),
            ("/to?a=b", "307", "location: /there?a=b"),
            ("/edit", "200", "x-back: get"),
            ("/edit", "200", "get /edited http/1.1"),
            ("/edit", "200", "x-name: shop.example.org"),
            ("/plain", "200", "get /plain http/1.1"),
            ("/a/%2e%2e/b", "400", "could be read in several ways"),
        ] {
            let got = shop(path);
            let first = got.lines().next().unwrap_or("");
            assert!(first.contains(status) && got.contains(said), "{protocol} {path}: {got}");
            let hsts = got.matches("strict-transport-security: max-age=31536000").count();
            assert_eq!(hsts, 1, "{protocol} {path}: {got}");
        }
        assert!(ask("other.example.org", "/name", &[]).out.contains("GET /name"), "{protocol}");
        assert!(!ask("shop.example.org", "/silent", &[]).good, "{protocol}");
        let key = format!("X-Key: {protocol}");
        let upload = ask("shop.example.org", "/no", &["--data-binary", "some body"]);
        assert!(upload.out.contains("403"), "{protocol}: {upload:?}");
        let rate = || ask("shop.example.org", "/rate", &["-H", &key]).out.to_ascii_lowercase();
        assert!(rate().contains("get /rate"), "{protocol}");
        let refused = rate();
        assert!(refused.contains(" 429") && refused.contains("retry-after: "), "{protocol}: {refused}");
    }
}
