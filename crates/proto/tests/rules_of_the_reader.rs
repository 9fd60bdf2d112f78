//! What the cluster file's reader takes, the machines take too: nobody learns of a wrong rule only when it is loaded.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;

use proptest::prelude::*;
use relevo_proto::password::ensure_hash;
use relevo_proto::rule::Rules;

const EXAMPLES: [&str; 2] =
    [include_str!("../../../examples/s2.toml"), include_str!("../../../examples/shop.toml")];

const BASE: &str = r#"name = "shop"
network.lan.subnet = "10.1.0.0/24"
node.lb1 = { roles = ["director"], address.lan = "10.1.0.11" }
node.web1 = { roles = ["server"], address.lan = "10.1.0.21" }
address.front = { network = "lan", ip = "10.1.0.200" }
[service.web]
mode = "http"
listen = "front:80"
servers = ["web1:80"]
"#;

/// Compiles all rules of a file, if the reader takes it; whether it does.
fn compiled(text: &str) -> bool {
    let Some(cluster) = relevo_model::read(text).cluster else { return false };
    for service in &cluster.services {
        let rules = Rules::new(&service.rules, &cluster.users);
        assert!(rules.is_ok(), "{rules:?}\n{text}");
    }
    for user in cluster.users.iter().flat_map(|list| &list.users) {
        assert_eq!(ensure_hash(&user.hash), Ok(()), "{text}");
    }
    true
}

#[test]
fn examples_can_be_loaded() {
    assert!(EXAMPLES.into_iter().all(compiled));
}

/// Text as TOML writes it.
fn quoted(text: &str) -> String {
    let mut out = "\"".to_owned();
    for char in text.chars() {
        match char {
            '"' | '\\' => write!(out, "\\{char}").unwrap(),
            control if control.is_control() => write!(out, "\\u{:04X}", u32::from(control)).unwrap(),
            plain => out.push(plain),
        }
    }
    out + "\""
}

/// Texts that are near to what rules are made of.
fn text() -> impl Strategy<Value = String> {
    let parts = [
        "/", "a", "A", "*", "~", "^", "$", "$1", "(", ")", "[", "]", "\\", "{", "}", "{{", "{host}", "{uri}",
        "{nobody}", "?", "#", "=", ":", "https://", " ", "\r\n", "\u{e9}", "{2,9}", "{99}", "\\w", "\\pL",
        "Host", "TE", "X-A", "%2f", ";", "\"", ".", "+", "(?i)", "|", "\0",
    ];
    proptest::collection::vec(proptest::sample::select(parts.to_vec()), 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn what_the_reader_takes_can_be_loaded(a in text(), b in text(), key in 0..17_usize) {
        let (a, b) = (quoted(&a), quoted(&b));
        let actions = [
            format!("redirect = {a}"),
            format!("redirect = {{ to = {a}, status = 307 }}"),
            format!("return = {{ type = {a}, body = {b} }}"),
            format!("set_header = {{ {a} = {b} }}"),
            format!("add_header = {{ {a} = {b} }}"),
            format!("delete_header = [{a}, {b}]"),
            format!("set_response_header = {{ {a} = {b} }}"),
            format!("path = {a}"),
            format!("strip_prefix = {a}"),
            format!("replace_prefix = {{ {a} = {b} }}"),
            format!("replace_path = {{ {a} = {b} }}"),
            format!("rate_limit = {{ requests = 1, by = {a} }}"),
            format!("deny = 403\nwhen = {{ path = {a}, host = {b} }}"),
            format!("deny = 403\nwhen = {{ header = {{ X-A = {a} }}, query = {{ {b} = {a} }} }}"),
            format!("deny = 403\nwhen = {{ cookie = {{ {a} = {b} }}, method = {b} }}"),
            format!("deny = 403\nunless = {{ tls_name = [{a}, {b}] }}"),
            format!("set_header = {{ X-A = {a} }}\nreplace_path = {{ \"^(/)\" = {b} }}"),
        ];
        compiled(&format!("{BASE}\n[[service.web.rule]]\n{}\n", actions[key]));
    }
}
