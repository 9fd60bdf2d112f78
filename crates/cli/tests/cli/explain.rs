//! `relevo explain request`: the whole text, for each way that a request can go.

use crate::harness::{Folder, Node, Ran, relevo};

const CLUSTER: &str = r#"name = "loop"
[network.lan]
subnet = "192.168.99.0/24"
[node.lb1]
roles = ["director"]
address.lan = "192.168.99.1"

[service.web]
listen = "127.0.0.1:8000"
mode = "http"
pool = "pages"
[[service.web.rule]]
when = { path = "/admin/*" }
unless = { source = "10.0.0.0/8" }
deny = 403
[[service.web.rule]]
when = { tls = false, host = "old.example.org" }
redirect = { to = "https://new.example.org{uri}", status = 308 }
[[service.web.rule]]
when = { header = { X-Debug = true } }
set_header = { X-From = "{source}" }
[[service.web.rule]]
when = { path = ["/static/*", "~\\.png$"], method = ["GET", "HEAD"] }
rate_limit = { requests = 10, period = "1s" }
strip_prefix = "/static"
delete_response_header = ["Server"]
pool = "static"

[pool.pages]
cookie = "SRV"
check = "none"
[pool.pages.server.a]
at = "192.168.99.21:80"
[pool.pages.server.b]
at = "192.168.99.22:80"
weight = 2

[pool.static]
balance = "uri"
servers = ["192.168.99.31:80", "192.168.99.32:80"]

[service.mail]
listen = "127.0.0.1:8025"
servers = ["192.168.99.21:25"]
"#;

/// Explains a request to the service `web`.
fn explain(args: &[&str]) -> Ran {
    let folder = Folder::new();
    let file = folder.write("cluster.toml", CLUSTER);
    let mut all = vec!["explain", "request", "--service", "web"];
    all.extend(args);
    let file = file.to_string_lossy().into_owned();
    all.push(&file);
    relevo(all)
}

#[track_caller]
fn says(args: &[&str], text: &str) {
    let ran = explain(args);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out, text.trim_start_matches('\n'));
}

#[test]
fn a_rule_that_chooses_a_pool() {
    says(
        &["GET http://www.example.org/static/a.png?x=1", "-H", "X-Debug: 1", "--source", "192.0.2.7"],
        r#"
web: GET http://www.example.org/static/a.png?x=1 from 192.0.2.7, without TLS

  LINE  RULE     WHY
  12    no       the path /static/a.png is not "/admin/*"
  16    no       the host www.example.org is not "old.example.org"
  19    matches  there is a header X-Debug; changes one header of the request
  22    matches  the path /static/a.png is "/static/*" or "~\\.png$", and the method is GET; counts the request, and refuses it beyond the rate; changes one header of the answer; gives the server another path

The rule in line 22: the pool static answers.

The server gets:
  GET /a.png?x=1 HTTP/1.1
  X-Debug: 1
  Host: www.example.org
  X-From: 192.0.2.7
  X-Forwarded-For: 192.0.2.7
  X-Forwarded-Proto: http

What is changed in the answer:
  the server's Server is left out

  SERVER         IT          WHY
  192.168.99.31  may get it  192.168.99.31:80, weight 1, health not known
  192.168.99.32  gets it     192.168.99.32:80, weight 1, health not known

Balance uri: its key belongs to this server, as long as the same ones can work, if it is up.
"#,
    );
}

#[test]
fn no_rule_and_a_cookie() {
    says(
        &["http://www.example.org/admin/x", "--source", "10.1.2.3", "-H", "Cookie: SRV=b"],
        r#"
web: GET http://www.example.org/admin/x from 10.1.2.3, without TLS

  LINE  RULE  WHY
  12    no    its `unless` holds: the source 10.1.2.3 is in 10.0.0.0/8
  16    no    the host www.example.org is not "old.example.org"
  19    no    there is no header X-Debug
  22    no    the path /admin/x is not "/static/*" or "~\\.png$"

No rule decides: the service's pool pages answers.

  SERVER  IT          WHY
  a       may get it  192.168.99.21:80, weight 1, health not known
  b       gets it     192.168.99.22:80, weight 2, health not known

Its cookie SRV names this server, which gets it, if it is up.
"#,
    );
}

#[test]
fn refusals_and_redirects() {
    says(
        &["POST https://www.example.org//%61dmin/x"],
        r#"
web: POST https://www.example.org//%61dmin/x from 127.0.0.1, over TLS for www.example.org

  LINE  RULE     WHY
  12    matches  the path //admin/x (also read as /admin/x) is "/admin/*"

The rule in line 12: it is refused with 403.
"#,
    );
    says(
        &["http://old.example.org:8000/a?b"],
        r#"
web: GET http://old.example.org:8000/a?b from 127.0.0.1, without TLS

  LINE  RULE     WHY
  12    no       the path /a is not "/admin/*"
  16    matches  the host old.example.org is "old.example.org", and it does not come over TLS

The rule in line 16: the client is sent to https://new.example.org/a?b with 308.
"#,
    );
    says(
        &["http://www.example.org/a/../admin/x"],
        r#"
web: GET http://www.example.org/a/../admin/x from 127.0.0.1, without TLS

It is refused with 400 before any rule: the path has a segment . or .. or a byte 0, and could be read in several ways.
"#,
    );
    says(
        &["TRACE http://www.example.org/"],
        r#"
web: TRACE http://www.example.org/ from 127.0.0.1, without TLS

It is refused with 405 Method Not Allowed before any rule: TRACE would show the request's credentials.
"#,
    );
}

#[test]
fn json_says_the_same() {
    let ran = explain(&["--json", "http://www.example.org/a.png"]);
    let value = ran.json();
    assert_eq!(value["service"], "web");
    assert_eq!(value["decided"], 22);
    assert_eq!(value["pool"], "static");
    assert_eq!(value["rules"][3]["matched"], true);
    assert_eq!(value["candidates"][0]["name"], "192.168.99.31");
    assert_eq!(value["status"], serde_json::Value::Null);
}

#[test]
fn wrong_wishes_are_told() {
    explain(&["/path"]).refused(2, &["\"/path\" is not a request", "GET http://"]);
    explain(&["http://a/", "-H", "Cookie"]).refused(2, &["\"Cookie\" is not a header"]);
    explain(&["http://a/", "--source", "home"]).refused(2, &["--source"]);
    let folder = Folder::new();
    let file = folder.write("cluster.toml", CLUSTER).to_string_lossy().into_owned();
    relevo(["explain", "request", "http://a/", &file])
        .refused(2, &["say which service, with --service", "web, mail"]);
    relevo(["explain", "request", "--service", "wep", "http://a/", &file])
        .refused(2, &["there is no service wep", "web, mail"]);
}

#[test]
fn a_running_node_knows_its_servers() {
    let node = Node::running();
    assert_eq!(node.ask(&["server", "drain", "b", "--pool", "web"]).code, 0);
    let ran = node.ask(&["explain", "request", "--service", "web", "http://a/"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("There are no rules: the service's pool web answers."), "{ran:?}");
    assert!(ran.out.contains("drained by the operator"), "{ran:?}");
    assert!(ran.out.ends_with("It is the only one that may get it.\n"), "{ran:?}");
    let value = node.ask(&["explain", "request", "--json", "--service", "web", "http://a/"]).json();
    assert_eq!(value["server"], "a");
    assert_eq!(node.ask(&["server", "weight", "a", "0", "--pool", "web"]).code, 0);
    let ran = node.ask(&["explain", "request", "--service", "web", "http://a/"]);
    assert!(ran.out.contains("weight 0 (the file says 1)"), "{ran:?}");
    assert!(ran.out.ends_with("No server may get it: 503.\n"), "{ran:?}");
    assert_eq!(ran.err, "");
    node.change("weight = 1\n", "weight = 2\n");
    let ran = node.ask(&["explain", "request", "--service", "web", "http://a/"]);
    assert!(ran.code == 0 && ran.err.contains("has changed since the node read it"), "{ran:?}");
    // It counts as little elsewhere.
    assert!(node.ask(&["status"]).out.contains("0 of 2 servers work"));
}

#[test]
fn whether_the_service_works_is_asked_before_any_rule() {
    let folder = Folder::new();
    let text = CLUSTER.replacen("mode = \"http\"", "mode = \"http\"\nmonitor = \"/alive\"", 1);
    let file = folder.write("cluster.toml", text).to_string_lossy().into_owned();
    let ask = |what: &str| relevo(["explain", "request", "--service", "web", what, &file]).out;
    let said = ask("GET http://a/alive?x");
    assert!(said.contains("/alive asks how the service is (monitor): the balancer answers"), "{said}");
    assert!(!said.contains("pages"), "{said}");
    assert!(ask("POST http://a/alive").contains("pool pages answers"));
}

#[test]
fn what_is_no_request_is_told() {
    let folder = Folder::new();
    let text = crate::harness::cluster(crate::harness::free_port()).replace("[service.shop]", "[service.names]\nlisten = \"127.0.0.3:53\"\nmode = \"udp\"\ncheck = \"none\"\nservers = [\"127.0.0.1:4\"]\n[service.shop]");
    let file = folder.write("cluster.toml", text);
    let file = file.to_str().unwrap();
    let ask =
        |service: &str, request: &str| relevo(["explain", "request", "--service", service, request, file]);
    ask("web", "get http://a/b").refused(2, &["get is not a method", "'GET http://a/b'"]);
    ask("names", "GET http://a/b").refused(2, &["mode udp", "datagrams", "pool names"]);
}
