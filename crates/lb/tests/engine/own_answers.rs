//! What the balancer answers by itself: the operator's error pages, and how the service is.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use relevo_lb::{Admin, ApplyError};
use relevo_model::cluster::{
    Action, Condition, Deny, ErrorPage, LogChoice, LogFormat, LogTarget, RateKey, RateLimit, Rule,
};

use crate::http2::{self, connect, run};
use crate::rig::{Front, Origin, Rig, cluster, field, service, wait_until};

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("relevo-own-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn page(status: u16, file: PathBuf) -> ErrorPage {
    ErrorPage { status, file }
}

fn rule(path: &str, action: Action) -> Rule {
    let path = vec![relevo_model::cluster::Pattern::Exact(path.to_owned())];
    Rule { line: 1, when: Condition { path, ..Condition::default() }, unless: None, actions: vec![action] }
}

/// A service without any server.
fn nobody() -> Front {
    let mut front = service(&[]);
    front.h2c = true;
    front
}

#[test]
fn errors_have_the_operators_pages() {
    let folder = Folder::new("pages");
    let mut front = nobody();
    let text = "<h1>We are back soon: ä</h1>";
    front.error_pages = vec![page(503, folder.file("503.html", text)), page(400, folder.file("400", ""))];
    let rig = Rig::start(front);
    let mut client = rig.client();
    let answer = client.get("/").unwrap();
    assert_eq!((answer.status, &answer.body[..]), (503, text));
    assert_eq!(field(&answer.head, "content-type").as_deref(), Some("text/html"));
    assert_eq!(field(&answer.head, "content-length"), Some(text.len().to_string()));
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer_to("HEAD").unwrap();
    assert_eq!(field(&answer.head, "content-length"), Some(text.len().to_string()));
    // Nothing of the page has followed.
    assert_eq!(client.get("/").unwrap().body, text);
    client.send("HEAD / HTTP/1.1\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, &answer.body[..]), (400, ""));
    // Others speak a sentence as before.
    let mut client = rig.client();
    client.send("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 405);
    assert!(answer.body.starts_with("405 Method Not Allowed"), "{}", answer.body);
    let (status, body) = run(async {
        let (mut send, _) = connect(rig.at).await;
        http2::get(&mut send, "/").await.unwrap()
    });
    assert_eq!((status, &body[..]), (503, text.as_bytes()));
}

#[test]
fn refusals_of_rules_have_pages_too() {
    let origin = Origin::named("one");
    let folder = Folder::new("rules");
    let mut front = service(&[origin.at]);
    let limit = RateLimit {
        requests: 1,
        period: Duration::from_secs(3600),
        by: RateKey::Source,
        status: 429,
        size: 10,
    };
    let deny = |after| Action::Deny(Deny { status: 403, after });
    front.rules = vec![
        rule("/no", deny(Duration::ZERO)),
        rule("/slow", deny(Duration::from_millis(1))),
        rule("/rare", Action::Rate(limit)),
    ];
    front.error_pages = vec![
        page(403, folder.file("403.html", "<p>no</p>")),
        page(429, folder.file("429.html", "<p>later</p>")),
    ];
    let rig = Rig::start(front);
    let mut client = rig.client();
    for path in ["/no", "/slow"] {
        let answer = client.get(path).unwrap();
        assert_eq!((answer.status, &answer.body[..]), (403, "<p>no</p>"));
        assert_eq!(answer.head.matches("Content-Type").count(), 1, "{}", answer.head);
        assert_eq!(field(&answer.head, "content-type").as_deref(), Some("text/html"));
    }
    assert_eq!(client.get("/rare").unwrap().body, "one");
    let answer = client.get("/rare").unwrap();
    assert_eq!((answer.status, &answer.body[..]), (429, "<p>later</p>"));
    assert!(field(&answer.head, "retry-after").is_some(), "{}", answer.head);
}

#[test]
fn a_page_that_cannot_be_used_is_named_and_nothing_changes() {
    let origin = Origin::named("one");
    let folder = Folder::new("wrong");
    let mut front = service(&[origin.at]);
    front.error_pages = vec![page(503, folder.file("largest", vec![b'x'; 64 * 1024]))];
    let rig = Rig::start(front.clone());
    let wrong = [folder.0.join("missing"), folder.file("large", vec![b'x'; 64 * 1024 + 1]), folder.0.clone()];
    for (file, why) in wrong.into_iter().zip(["No such file", "larger than 64 KiB", "not a file"]) {
        let mut next = front.clone();
        next.pool.servers.clear();
        next.error_pages.push(page(502, file.clone()));
        let error = rig.engine.apply(&cluster([next])).unwrap_err();
        assert!(matches!(error, ApplyError::ErrorPage { .. }), "{error:?}");
        let text = format!("{error}: {}", error.source().unwrap());
        assert!(text.contains("service web") && text.contains(&file.display().to_string()), "{text}");
        assert!(text.contains(why), "{text}");
        assert_eq!(rig.get("/").body, "one", "the former configuration goes on");
    }
    // Another text is there after the configuration was loaded again, not before.
    let mut next = front.clone();
    next.pool.servers.clear();
    let file = folder.file("text", "before");
    next.error_pages = vec![page(503, file)];
    rig.engine.apply(&cluster([next.clone()])).unwrap();
    folder.file("text", "after");
    assert_eq!(rig.get("/").body, "before");
    rig.engine.apply(&cluster([next])).unwrap();
    assert_eq!(rig.get("/").body, "after");
}

#[test]
fn the_monitors_path_tells_whether_the_service_works_and_is_no_request() {
    let folder = Folder::new("monitor");
    let origin = Origin::named("one");
    let mut front = service(&[origin.at]);
    front.h2c = true;
    front.monitor = Some("/alive".to_owned());
    front.log.what = LogChoice::All;
    front.rules = vec![rule("/alive", Action::Deny(Deny { status: 403, after: Duration::ZERO }))];
    front.error_pages = vec![page(503, folder.file("503.html", "<p>down</p>"))];
    let mut file = cluster([front]);
    let log = folder.0.join("access.log");
    file.log.target = LogTarget::File(log.clone());
    file.log.format = LogFormat::Haproxy;
    let rig = Rig::run(&file);
    let mut client = rig.client();
    for path in ["/alive", "/alive?x=1"] {
        let answer = client.get(path).unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, "OK\n"));
    }
    client.send("HEAD /alive HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer_to("HEAD").unwrap().status, 200);
    let status = run(async {
        let (mut send, _) = connect(rig.at).await;
        http2::get(&mut send, "/alive").await.unwrap().0
    });
    assert_eq!(status, 200);
    rig.engine.set_admin(None, "server1", Admin::Maint, false);
    let answer = client.get("/alive").unwrap();
    assert_eq!((answer.status, &answer.body[..]), (503, "no server can work\n"));
    rig.engine.set_admin(None, "server1", Admin::Ready, false);
    assert_eq!(client.get("/alive").unwrap().status, 200);
    // Others are requests.
    assert_eq!(client.get("/aliver").unwrap().body, "one");
    client.send("POST /alive HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 403);
    wait_until("both are logged", || std::fs::read_to_string(&log).unwrap().lines().count() == 2);
    let service = &rig.engine.snapshot().services[0];
    assert_eq!((service.requests, service.errors, service.figures.denied), (2, 0, 1));
    assert_eq!(service.figures.statuses.iter().sum::<u64>(), 2);
    assert!(!std::fs::read_to_string(&log).unwrap().contains("GET /alive "));
}
