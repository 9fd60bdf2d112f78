//! `relevo affinity`: who belongs to whom, as an operator asks a node that runs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use crate::harness::{LOOP, Node, RELEVO, Ran, command, finish, free_port};
use crate::upgrade::origin;

fn relevo(node: &Node, args: &[&str]) -> Ran {
    let mut command = command(RELEVO.as_ref());
    command.args(args).arg("--run-dir").arg(node.run_dir());
    finish(command)
}

fn get(port: u16, user: &str) {
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn clients_are_shown_and_forgotten() {
    let (one, two) = (origin(), origin());
    let ports = [free_port(), free_port()];
    let text = format!(
        r#"{LOOP}[service.shop]
listen = "127.0.0.1:{}"
mode = "http"
check = "none"
affinity = {{ by = "header:X-User", size = 1000, expire = "10m" }}
[service.shop.server.a]
at = "{one}"
[service.shop.server.b]
at = "{two}"
[service.plain]
listen = "127.0.0.1:{}"
mode = "http"
check = "none"
affinity = "source"
servers = ["{one}"]
[service.none]
listen = "127.0.0.2:{}"
mode = "http"
check = "none"
servers = ["{two}"]
"#,
        ports[0], ports[1], ports[1]
    );
    let mut node = Node::of(&text);
    node.start();
    for user in ["anna", "bert", "carl"] {
        get(ports[0], user);
    }
    get(ports[1], "-");
    let shown = relevo(&node, &["affinity", "show", "--json"]).json();
    assert_eq!(shown.as_array().unwrap().len(), 2, "{shown}");
    assert_eq!((&shown[0]["pool"], &shown[0]["by"]), (&json!("shop"), &json!("header X-User")));
    assert_eq!((&shown[0]["known"], &shown[0]["size"]), (&json!(3), &json!(1000)));
    let anna = shown[0]["clients"].as_array().unwrap().iter().find(|one| one["key"] == "anna").unwrap();
    assert!(anna["left_ms"].as_u64().unwrap() > 500_000, "{anna}");
    let of_anna = anna["server"].as_str().unwrap();
    let words = relevo(&node, &["affinity", "show", "--service", "plain"]);
    assert!(
        words.out.contains("plain: by source, 1 of at most") && words.out.contains("127.0.0.1"),
        "{words:?}"
    );
    assert!(!words.out.contains("anna"), "{words:?}");
    let few = relevo(&node, &["affinity", "show", "--pool", "shop", "--most", "1"]);
    assert!(few.out.contains("and 2 more: --most 3"), "{few:?}");

    let cleared = relevo(&node, &["affinity", "clear", "--key", "anna", "--json"]).json();
    assert_eq!(cleared, json!({ "pools": [["shop", 1], ["plain", 0]] }));
    let left = relevo(&node, &["affinity", "show", "--key", "anna", "--json"]).json();
    assert_eq!((&left[0]["known"], &left[0]["found"]), (&json!(2), &json!(0)), "{left}");
    get(ports[0], "anna");
    let by_server = relevo(&node, &["affinity", "clear", "--service", "shop", "--server", of_anna]);
    assert_eq!(by_server.code, 0, "{by_server:?}");
    let cleared = relevo(&node, &["affinity", "clear", "--all"]);
    assert!(cleared.out.contains("plain: 1 client forgotten"), "{cleared:?}");
    let shown = relevo(&node, &["affinity", "show", "--json"]).json();
    assert_eq!((&shown[0]["known"], &shown[1]["known"]), (&json!(0), &json!(0)));

    relevo(&node, &["affinity", "clear"]).refused(2, &["--all"]);
    relevo(&node, &["affinity", "show", "--pool", "none"]).refused(2, &["affinity table", "\"shop\""]);
    relevo(&node, &["affinity", "show", "--service", "x"]).refused(2, &["no service \"x\""]);
}
