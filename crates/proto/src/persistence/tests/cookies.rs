//! Cookies in each mode.

use std::time::Duration;

use proptest::prelude::*;
use relevo_model::cluster::{Cookie, CookieMode, SameSite};

use super::{head, request};
use crate::persistence::{Answer, Cookies, Visit};

const NOW: u64 = 0x6500_0000;

fn config(mode: CookieMode) -> Cookie {
    Cookie {
        name: "SID".to_owned(),
        mode,
        indirect: false,
        nocache: false,
        postonly: false,
        preserve: false,
        httponly: false,
        secure: false,
        samesite: None,
        domain: None,
        max_idle: None,
        max_life: None,
    }
}

fn cookies(config: &Cookie) -> Cookies {
    Cookies::new(config, ["w1", "w2", "w3"])
}

fn insert() -> Cookie {
    config(CookieMode::Insert)
}

/// The head that the server gets.
fn stripped(config: &Cookie, fields: &[&str]) -> Vec<u8> {
    let mut head = request(fields);
    cookies(config).strip(&mut head);
    head
}

/// The head that the client gets from a server, for a request with these fields.
fn answered(config: &Cookie, request_fields: &[&str], server: u16, fields: &[&str]) -> Vec<u8> {
    let cookies = cookies(config);
    let visit = cookies.visit(&request(request_fields), NOW);
    let mut out = b"before".to_vec();
    out.extend_from_slice(&answer(fields));
    cookies.edit(&mut out, 6, &Answer { visit, server, is_post: false, now: NOW });
    out.split_off(6)
}

fn answer(fields: &[&str]) -> Vec<u8> {
    head("HTTP/1.1 200 OK", fields)
}

#[track_caller]
fn same(found: &[u8], expected: &[u8]) {
    assert_eq!(String::from_utf8_lossy(found), String::from_utf8_lossy(expected));
}

#[test]
fn a_new_client_gets_a_cookie_and_comes_back_with_it() {
    same(&answered(&insert(), &[], 1, &["A: b"]), &answer(&["A: b", "Set-Cookie: SID=w2; path=/"]));
    let visit = cookies(&insert()).visit(&request(&["Cookie: x=y; SID=w2"]), NOW);
    assert_eq!(visit.server, Some(1));
    // It has it: nothing to say.
    same(&answered(&insert(), &["Cookie: SID=w2"], 1, &["A: b"]), &answer(&["A: b"]));
    // Its server was gone.
    let other = answer(&["Set-Cookie: SID=w3; path=/"]);
    same(&answered(&insert(), &["Cookie: SID=w2"], 2, &[]), &other);
    same(&answered(&insert(), &["Cookie: SID=unknown"], 2, &[]), &other);
    // The fallback has none.
    same(&answered(&insert(), &[], 3, &[]), &answer(&[]));
}

#[test]
fn attributes_are_written_as_they_are_wanted() {
    let config = Cookie {
        httponly: true,
        secure: true,
        nocache: true,
        samesite: Some(SameSite::Lax),
        domain: Some("example.org".to_owned()),
        ..insert()
    };
    let cookie = "Set-Cookie: SID=w1; path=/; domain=example.org; HttpOnly; Secure; SameSite=Lax";
    same(&answered(&config, &[], 0, &[]), &answer(&[cookie, "Cache-Control: private"]));
    same(&answered(&config, &["Cookie: SID=w1"], 0, &[]), &answer(&[]));
}

#[test]
fn postonly_sets_it_in_answers_to_post() {
    let cookies = cookies(&Cookie { postonly: true, ..insert() });
    for (is_post, expected) in [(false, answer(&[])), (true, answer(&["Set-Cookie: SID=w1; path=/"]))] {
        let mut out = answer(&[]);
        cookies.edit(&mut out, 0, &Answer { visit: Visit::default(), server: 0, is_post, now: NOW });
        same(&out, &expected);
    }
}

#[test]
fn a_servers_own_cookie_of_this_name_goes_unless_it_is_preserved() {
    let own = ["A: b", "set-cookie: SID=mine; path=/x", "Set-Cookie: other=1", "Set-Cookie: SID=again"];
    let replaced = answer(&["A: b", "Set-Cookie: other=1", "Set-Cookie: SID=w1; path=/"]);
    same(&answered(&insert(), &[], 0, &own), &replaced);
    same(&answered(&insert(), &["Cookie: SID=w1"], 0, &own), &answer(&["A: b", "Set-Cookie: other=1"]));
    same(&answered(&Cookie { preserve: true, ..insert() }, &[], 0, &own), &answer(&own));
}

#[test]
fn indirect_hides_the_cookie_from_the_server() {
    let config = Cookie { indirect: true, ..insert() };
    let cases: [(&[&str], &[&str]); 9] = [
        (&["Cookie: SID=w1"], &[]),
        (&["A: b", "Cookie: SID=w1", "C: d"], &["A: b", "C: d"]),
        (&["Cookie: SID=w1; a=b"], &["Cookie: a=b"]),
        (&["Cookie: a=b; SID=w1"], &["Cookie: a=b"]),
        (&["Cookie: a=b; SID=w1; c=d"], &["Cookie: a=b; c=d"]),
        (&["Cookie: a=b;SID=w1;c=d"], &["Cookie: a=b;c=d"]),
        (&["Cookie: SID=w1; SID=w2; a=b; SID=w3"], &["Cookie: a=b"]),
        (&["Cookie: SID=w1", "Cookie: a=b", "Cookie: SID=w1;"], &["Cookie: a=b"]),
        (&["Cookie: XSID=w1; sid=w2"], &["Cookie: XSID=w1; sid=w2"]),
    ];
    for (fields, expected) in cases {
        same(&stripped(&config, fields), &request(expected));
        same(&stripped(&insert(), fields), &request(fields));
        same(&stripped(&self::config(CookieMode::Rewrite), fields), &request(fields));
    }
}

#[test]
fn rewrite_replaces_the_servers_value() {
    let config = Cookie { nocache: true, ..config(CookieMode::Rewrite) };
    same(
        &answered(&config, &[], 1, &["Set-Cookie: SID=x; path=/; Secure", "Set-Cookie: B=c"]),
        &answer(&["Set-Cookie: SID=w2; path=/; Secure", "Set-Cookie: B=c", "Cache-Control: private"]),
    );
    same(&answered(&config, &[], 1, &["Set-Cookie: B=c"]), &answer(&["Set-Cookie: B=c"]));
    assert_eq!(cookies(&config).visit(&request(&["Cookie: SID=w2"]), NOW).server, Some(1));
}

#[test]
fn prefix_puts_the_server_before_the_value_and_takes_it_away_again() {
    let config = config(CookieMode::Prefix);
    same(
        &answered(&config, &[], 1, &["Set-Cookie: a=b", "Set-Cookie: SID=abc~d; HttpOnly"]),
        &answer(&["Set-Cookie: a=b", "Set-Cookie: SID=w2~abc~d; HttpOnly"]),
    );
    let fields = ["Cookie: a=b; SID=w2~abc~d; c=d"];
    assert_eq!(cookies(&config).visit(&request(&fields), NOW).server, Some(1));
    same(&stripped(&config, &fields), &request(&["Cookie: a=b; SID=abc~d; c=d"]));
    // That server is no more, or the value was never ours.
    for (own, plain) in [("Cookie: SID=w9~abc", "Cookie: SID=abc"), ("Cookie: SID=abc", "Cookie: SID=abc")] {
        assert_eq!(cookies(&config).visit(&request(&[own]), NOW).server, None);
        same(&stripped(&config, &[own]), &request(&[plain]));
    }
}

#[test]
fn a_cookie_that_was_not_used_for_long_is_void() {
    let config = Cookie { max_idle: Some(Duration::from_secs(1600)), ..insert() };
    same(&answered(&config, &[], 0, &[]), &answer(&["Set-Cookie: SID=w1|65000000; path=/"]));
    let at = |age: i64| format!("Cookie: SID=w1|{:x}", NOW.saturating_add_signed(-age));
    let visit = |age| cookies(&config).visit(&request(&[&at(age)]), NOW).server;
    assert_eq!(
        [visit(0), visit(1600), visit(1601), visit(-86_400), visit(-86_401)],
        [Some(0), Some(0), None, Some(0), None]
    );
    // Not renewed with each answer, but long before it is void.
    same(&answered(&config, &[&at(99)], 0, &[]), &answer(&[]));
    same(&answered(&config, &[&at(100)], 0, &[]), &answer(&["Set-Cookie: SID=w1|65000000; path=/"]));
    // One without a date is good, and gets one.
    for fields in ["Cookie: SID=w1", "Cookie: SID=w1|", "Cookie: SID=w1|nonsense|x|y"] {
        same(&answered(&config, &[fields], 0, &[]), &answer(&["Set-Cookie: SID=w1|65000000; path=/"]));
    }
}

#[test]
fn a_cookie_that_is_too_old_is_void_however_often_it_is_used() {
    let config = Cookie { max_life: Some(Duration::from_secs(100)), ..insert() };
    same(&answered(&config, &[], 0, &[]), &answer(&["Set-Cookie: SID=w1||65000000; path=/"]));
    let at = |age: u64| format!("Cookie: SID=w1||{:x}", NOW - age);
    same(&answered(&config, &[&at(100)], 0, &[]), &answer(&[]));
    assert_eq!(cookies(&config).visit(&request(&[&at(101)]), NOW).server, None);
    // A renewed one keeps its first date; one for another server does not.
    let both = Cookie { max_idle: Some(Duration::from_secs(16)), ..config };
    let fields = format!("Cookie: SID=w1|{:x}|{:x}", NOW - 5, NOW - 50);
    let renewed = format!("Set-Cookie: SID=w1|{NOW:x}|{:x}; path=/", NOW - 50);
    same(&answered(&both, &[&fields], 0, &[]), &answer(&[&renewed]));
    let other = format!("Set-Cookie: SID=w2|{NOW:x}|{NOW:x}; path=/");
    same(&answered(&both, &[&fields], 1, &[]), &answer(&[&other]));
}

#[test]
fn of_two_servers_with_one_value_the_first_counts() {
    let cookies = Cookies::new(&insert(), ["same", "other", "same"]);
    assert_eq!(cookies.visit(&request(&["Cookie: SID=same"]), NOW).server, Some(0));
}

proptest! {
    #[test]
    fn what_is_not_ours_stays(
        pairs in prop::collection::vec(("[a-zA-Z]{1,3}", "[a-z0-9\"=~|]{0,6}"), 0..6),
        at in 0_usize..7,
        spaces in "[ ]{0,3}",
    ) {
        let line = |pairs: &[(String, String)]| {
            let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("Cookie: {}", pairs.join(&format!(";{spaces}")))
        };
        let others: Vec<_> = pairs.into_iter().filter(|(name, _)| name != "SID").collect();
        let mut with = others.clone();
        with.insert(at.min(others.len()), ("SID".to_owned(), "w1".to_owned()));
        let expected = if others.is_empty() { request(&["A: b"]) } else { request(&["A: b", &line(&others)]) };
        let config = Cookie { indirect: true, ..insert() };
        same(&stripped(&config, &["A: b", &line(&with)]), &expected);
    }

    #[test]
    fn anything_may_come(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "(Set-)?Cookie: ?[SID=w1~|; \"]{0,30}") {
        for mode in [CookieMode::Insert, CookieMode::Rewrite, CookieMode::Prefix] {
            let config = Cookie { indirect: true, max_idle: Some(Duration::MAX), max_life: Some(Duration::ZERO), ..config(mode) };
            let cookies = cookies(&config);
            for start in [bytes.clone(), request(&[&text]), text.clone().into_bytes()] {
                let visit = cookies.visit(&start, NOW);
                let mut head = start.clone();
                cookies.strip(&mut head);
                cookies.edit(&mut head, 0, &Answer { visit, server: 0, is_post: false, now: NOW });
            }
        }
    }
}
