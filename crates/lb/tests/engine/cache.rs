//! Kept answers: asked once, given often, never to those who must not have them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use relevo_model::cluster::{Cache, Coding, Compression};

use crate::rig::{Answer, Client, Front, Origin, Received, Rig, cluster, field, service, wait_until};

struct Scene {
    rig: Rig,
    asked: Arc<AtomicUsize>,
    front: Front,
    _origin: Origin,
}

impl Scene {
    /// A service with a cache, before a server that answers so; the answer's number is its body's end.
    fn new(answer: impl Fn(&Received) -> String + Send + Sync + 'static) -> Self {
        Self::with(answer, |_| {})
    }

    fn with(
        answer: impl Fn(&Received) -> String + Send + Sync + 'static,
        change: impl FnOnce(&mut Front),
    ) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let origin = Origin::answering(move |request| {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let head = answer(request);
            if head.starts_with("304") {
                return format!("HTTP/1.1 {head}\r\n").into_bytes();
            }
            let body = format!("answer {number}");
            let body = if request.line().starts_with("HEAD") { "" } else { &body };
            format!("HTTP/1.1 {head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        });
        let mut front = service(&[origin.at]);
        front.cache = Some(Cache { size: 1 << 20, object: 1 << 16, age: Duration::from_secs(600) });
        change(&mut front);
        Self { rig: Rig::start(front.clone()), asked, front, _origin: origin }
    }

    fn ask(&self, fields: &str) -> Answer {
        self.send("GET", fields)
    }

    fn send(&self, method: &str, fields: &str) -> Answer {
        let mut client: Client = self.rig.client();
        client.send(format!("{method} /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        client.answer_to(method).unwrap()
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn fresh(_: &Received) -> String {
    "200 OK\r\nCache-Control: max-age=600\r\nETag: \"a\"\r\n".to_owned()
}

#[test]
fn one_answer_serves_many() {
    let scene = Scene::new(fresh);
    assert_eq!(field(&scene.ask("").head, "age"), None);
    for _ in 0..10 {
        let answer = scene.ask("");
        assert_eq!(answer.body, "answer 1");
        assert!(field(&answer.head, "age").is_some());
    }
    let head = scene.send("HEAD", "");
    assert_eq!(field(&head.head, "content-length").as_deref(), Some("8"));
    let known = scene.ask("If-None-Match: W/\"a\"\r\n");
    assert_eq!((known.status, known.body.as_str()), (304, ""));
    assert_eq!(scene.asked(), 1);
    // On one connection, with requests that follow.
    let mut client = scene.rig.client();
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().unwrap().body, "answer 1");
    assert_eq!(client.answer().unwrap().body, "answer 1");
    assert_eq!(client.get("/y").unwrap().body, "answer 2");
}

#[test]
fn what_must_not_be_kept_is_not() {
    for fields in [
        "",
        "Cache-Control: no-store\r\n",
        "Cache-Control: max-age=9\r\nSet-Cookie: a=b\r\n",
        "Vary: *\r\nETag: \"a\"\r\n",
    ] {
        let scene = Scene::new(move |_| format!("200 OK\r\n{fields}"));
        assert_eq!(scene.ask("").body, "answer 1");
        assert_eq!(scene.ask("").body, "answer 2", "{fields}");
    }
    let scene = Scene::new(fresh);
    // Section 3.5: of one who is known by name, and for one.
    assert_eq!(scene.ask("Authorization: Basic eDp5\r\n").body, "answer 1");
    assert_eq!(scene.ask("").body, "answer 2");
    assert_eq!(scene.ask("Authorization: Basic eDp5\r\n").body, "answer 3");
    assert_eq!(scene.ask("Range: bytes=0-1\r\n").body, "answer 4");
    assert_eq!(scene.ask("Cache-Control: no-store\r\n").body, "answer 5");
    assert_eq!(scene.ask("").body, "answer 2");
}

#[test]
fn variants_are_kept_apart() {
    let scene = Scene::new(|_| "200 OK\r\nCache-Control: max-age=9\r\nVary: Accept-Language\r\n".to_owned());
    assert_eq!(scene.ask("Accept-Language: en\r\n").body, "answer 1");
    assert_eq!(scene.ask("Accept-Language: de\r\n").body, "answer 2");
    assert_eq!(scene.ask("Accept-Language: en\r\n").body, "answer 1");
    assert_eq!(scene.ask("Accept-Language: de\r\n").body, "answer 2");
}

#[test]
fn stale_answers_are_asked_about() {
    let scene = Scene::new(|request| {
        if field(&request.head, "if-none-match").as_deref() == Some("\"a\"") {
            "304 Not Modified\r\nCache-Control: max-age=0\r\nX-New: yes\r\n".to_owned()
        } else {
            "200 OK\r\nCache-Control: max-age=0\r\nETag: \"a\"\r\n".to_owned()
        }
    });
    assert_eq!(scene.ask("").body, "answer 1");
    for count in 2..5 {
        let answer = scene.ask("");
        assert_eq!((answer.status, answer.body.as_str()), (200, "answer 1"));
        assert_eq!(field(&answer.head, "x-new").as_deref(), Some("yes"));
        assert_eq!(scene.asked(), count);
    }
}

#[test]
fn answers_grow_old() {
    let scene = Scene::new(|_| "200 OK\r\nCache-Control: max-age=1\r\n".to_owned());
    assert_eq!(scene.ask("").body, "answer 1");
    wait_until("it is asked for again", || scene.ask("").body == "answer 2");
    let scene = Scene::with(fresh, |front| {
        front.cache = Some(Cache { size: 1 << 20, object: 1 << 16, age: Duration::from_millis(300) });
    });
    assert_eq!(scene.ask("").body, "answer 1");
    wait_until("the operator's bound holds", || scene.ask("").body == "answer 2");
}

#[test]
fn changes_and_requests_for_news_are_honoured() {
    let scene = Scene::new(fresh);
    assert_eq!(scene.ask("").body, "answer 1");
    scene.send("POST", "Content-Length: 0\r\n");
    assert_eq!(scene.ask("").body, "answer 3");
    assert_eq!(scene.ask("Cache-Control: no-cache\r\n").body, "answer 4");
    assert_eq!(scene.ask("").body, "answer 4");
    let mut client = scene.rig.client();
    client.send("GET /other HTTP/1.1\r\nHost: a\r\nCache-Control: only-if-cached\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 504);
    assert_eq!(scene.asked(), 4);
}

#[test]
fn a_service_that_is_changed_begins_anew() {
    let mut scene = Scene::new(fresh);
    assert_eq!(scene.ask("").body, "answer 1");
    scene.rig.engine.apply(&cluster([scene.front.clone()])).unwrap();
    assert_eq!(scene.ask("").body, "answer 1");
    scene.front.hsts = Some(Duration::from_secs(1));
    scene.rig.engine.apply(&cluster([scene.front.clone()])).unwrap();
    assert_eq!(scene.ask("").body, "answer 2");
}

#[test]
fn kept_answers_are_compressed_on_the_way_out() {
    let scene = Scene::with(
        |_| "200 OK\r\nCache-Control: max-age=600\r\nContent-Type: text/plain\r\n".to_owned(),
        |front| {
            front.compression =
                Some(Compression { codings: vec![Coding::Gzip], types: vec!["text/*".to_owned()], least: 1 });
        },
    );
    let accept = "Accept-Encoding: gzip\r\n";
    for _ in 0..2 {
        assert_eq!(field(&scene.ask(accept).head, "content-encoding").as_deref(), Some("gzip"));
        assert_eq!(scene.ask("").body, "answer 1");
    }
    assert_eq!(scene.asked(), 1);
}

#[test]
fn what_is_too_large_is_not_kept() {
    let scene = Scene::with(fresh, |front| {
        front.cache = Some(Cache { size: 1 << 20, object: 4, age: Duration::from_secs(600) });
    });
    assert_eq!(scene.ask("").body, "answer 1");
    assert_eq!(scene.ask("").body, "answer 2");
}
