//! What a service may have together: a cache, compression, passwords, cookies; by HTTP/1.1 and HTTP/2, in clear and over TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use relevo_model::cluster::{
    Action, BasicAuth, Cache, Coding, Compression, Condition, Cookie, CookieMode, Listen, Pattern, Rule,
    User, Users,
};

use crate::compression::{expanded, text};
use crate::persistence::insert;
use crate::rig::{Answer, Front, Origin, Received, Rig, cluster, field, service};
use crate::rules::HASH;
use crate::tls_rig::{Authority, server_tls};

/// The ways to ask: HTTP/1.1 and HTTP/2, in clear and over TLS.
const WAYS: [(&str, &str); 4] = [
    ("http", "--http1.1"),
    ("http", "--http2-prior-knowledge"),
    ("https", "--http1.1"),
    ("https", "--http2"),
];

/// A service that is asked in four ways, and the server behind it.
struct Scene {
    rig: Rig,
    /// In clear, and over TLS.
    at: [SocketAddr; 2],
    authority: Authority,
    asked: Arc<AtomicUsize>,
    _origins: Vec<Origin>,
}

impl Scene {
    /// Servers that answer so, each with its number; counted together.
    fn new(
        servers: usize,
        answer: fn(usize, &Received) -> String,
        change: impl FnOnce(&mut Front),
        users: Vec<Users>,
    ) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let origin = |number| {
            let count = Arc::clone(&asked);
            Origin::answering(move |request| {
                count.fetch_add(1, Ordering::SeqCst);
                answer(number, request).into_bytes()
            })
        };
        let origins: Vec<Origin> = (1..=servers).map(origin).collect();
        let authority = Authority::new();
        let chain = authority.issue("a.pem", &["a.example"]);
        let mut front = service(&origins.iter().map(|origin| origin.at).collect::<Vec<_>>());
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        front.listen = vec![Listen::plain(at), Listen { tls: true, ..Listen::plain(at) }];
        front.service.tls = Some(server_tls(&[&chain]));
        front.h2c = true;
        front.cache = Some(Cache { size: 1 << 22, object: 1 << 20, age: Duration::from_secs(600) });
        change(&mut front);
        let mut cluster = cluster([front]);
        cluster.users = users;
        let rig = Rig::run(&cluster);
        let at = rig.engine.snapshot().services[0].listen[..2].try_into().unwrap();
        Self { rig, at, authority, asked, _origins: origins }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// What curl gets; the body as it came.
    fn ask(&self, way: (&str, &str), path: &str, options: &[&str]) -> (String, Vec<u8>) {
        let at = self.at[usize::from(way.0 == "https")];
        let body = self.authority.folder.0.join("body");
        let _ = std::fs::remove_file(&body);
        let mut command = curl(&self.authority.file, way, at, path);
        let output = command.args(["-D", "-", "-o"]).arg(&body).args(options).output().unwrap();
        assert!(output.status.success(), "{way:?} {path}: {}", String::from_utf8_lossy(&output.stderr));
        // Of HTTP/2, names are in small letters.
        let head = String::from_utf8_lossy(&output.stdout).into_owned();
        (head, std::fs::read(&body).unwrap_or_default())
    }
}

fn curl(ca: &Path, way: (&str, &str), at: SocketAddr, path: &str) -> Command {
    let mut command = Command::new("curl");
    let (scheme, version) = way;
    command
        .args(["-sS", "--max-time", "20", version, "--resolve"])
        .arg(format!("a.example:{}:{}", at.port(), at.ip()))
        .arg("--cacert")
        .arg(ca)
        .arg(format!("{scheme}://a.example:{}{path}", at.port()));
    command
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

const LENGTH: usize = 200_000;

fn large(_: usize, _: &Received) -> String {
    let body = text(LENGTH);
    format!(
        "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=600\r\nContent-Type: text/plain\r\n\
         Content-Length: {LENGTH}\r\n\r\n{body}"
    )
}

fn compress(codings: &[Coding]) -> Compression {
    Compression { codings: codings.to_vec(), types: vec!["text/*".to_owned()], least: 64 }
}

#[test]
fn answers_are_kept_and_compressed_by_every_protocol() {
    let all = [Coding::Zstd, Coding::Br, Coding::Gzip];
    let scene = Scene::new(1, large, |front| front.compression = Some(compress(&all)), Vec::new());
    let wanted = text(LENGTH);
    for (number, way) in WAYS.into_iter().enumerate() {
        for coding in ["gzip", "br", "zstd", "identity"] {
            let accept = format!("Accept-Encoding: {coding}");
            let (head, body) = scene.ask(way, "/x", &["-H", &accept]);
            assert_eq!(status(&head), "200", "{way:?} {coding}: {head}");
            assert_eq!(field(&head, "vary").as_deref(), Some("Accept-Encoding"), "{way:?} {coding}");
            if coding == "identity" {
                assert!(body == wanted.as_bytes(), "{way:?}");
                continue;
            }
            assert_eq!(field(&head, "content-encoding").as_deref(), Some(coding), "{way:?} {head}");
            assert!(body.len() < LENGTH / 2 && expanded(coding, &body) == wanted, "{way:?} {coding}");
        }
        // Clear and TLS are two sites.
        assert_eq!(scene.asked(), 1 + number / 2, "{way:?}");
    }
    assert_eq!(scene.rig.engine.snapshot().services[0].requests, 16);
}

/// Real curl, which asks for what it can expand and expands it; a test of `main.rs`.
pub(crate) fn curl_expands_every_coding() {
    for (coding, name) in [(Coding::Gzip, "gzip"), (Coding::Br, "br"), (Coding::Zstd, "zstd")] {
        let scene = Scene::new(1, large, |front| front.compression = Some(compress(&[coding])), Vec::new());
        for way in WAYS {
            for round in ["from the server", "kept"] {
                let (head, body) = scene.ask(way, "/x", &["--compressed"]);
                assert_eq!(field(&head, "content-encoding").as_deref(), Some(name), "{way:?} {round}");
                assert!(body == text(LENGTH).as_bytes(), "{way:?} {name} {round}: {} bytes", body.len());
            }
        }
    }
}

#[test]
fn a_password_is_asked_for_before_a_kept_answer_is_given() {
    let answer = |_: usize, _: &Received| {
        "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=600\r\nContent-Length: 6\r\n\r\nsecret".to_owned()
    };
    let auth = BasicAuth { users: "staff".into(), realm: "staff".to_owned() };
    let guard = Rule {
        line: 1,
        when: Condition { path: vec![Pattern::Glob("/in*".to_owned())], ..Condition::default() },
        unless: None,
        actions: vec![Action::Auth(auth)],
    };
    let anna = User { name: "anna".to_owned(), hash: HASH.to_owned() };
    let users = vec![Users { name: "staff".into(), users: vec![anna] }];
    let scene = Scene::new(1, answer, |front| front.rules = vec![guard], users);
    for (number, way) in WAYS.into_iter().enumerate() {
        for _ in 0..2 {
            let (head, body) = scene.ask(way, "/in", &["-u", "anna:geheim"]);
            assert_eq!((status(&head), &body[..]), ("200", &b"secret"[..]), "{way:?}");
        }
        assert_eq!(scene.asked(), 1 + number / 2, "{way:?}: it is kept");
        for options in [&[][..], &["-u", "anna:wrong"], &["-u", "bert:geheim"]] {
            let (head, body) = scene.ask(way, "/in", options);
            assert_eq!(status(&head), "401", "{way:?} {options:?}");
            assert!(!String::from_utf8_lossy(&body).contains("secret"), "{way:?} {options:?}");
        }
        assert_eq!(scene.asked(), 1 + number / 2, "{way:?}: nobody asked the server");
    }
}

#[test]
fn the_cookie_of_one_client_is_never_given_to_another() {
    let answer = |number: usize, request: &Received| {
        // A server's own cookie, where it is asked for one.
        let own = if request.line().contains("/own") { "Set-Cookie: SRV=session\r\n" } else { "" };
        let body = format!("server {number}");
        format!(
            "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=600\r\n{own}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for mode in [CookieMode::Insert, CookieMode::Rewrite, CookieMode::Prefix] {
        let cookie = Cookie { mode, indirect: mode == CookieMode::Insert, ..insert() };
        let scene = Scene::new(2, answer, |front| front.pool.cookie = Some(cookie), Vec::new());
        for (number, way) in WAYS.into_iter().enumerate() {
            // The first one is bound; its cookie is not kept with the answer.
            let (first, kept) = scene.ask(way, "/x", &[]);
            assert_eq!(
                field(&first, "set-cookie").is_some(),
                mode == CookieMode::Insert && number % 2 == 0,
                "{mode:?} {way:?} {first}"
            );
            for options in [&[][..], &["-b", "SRV=server1"], &["-b", "SRV=server2"], &["-b", "SRV=nobody"]] {
                let (head, body) = scene.ask(way, "/x", options);
                assert_eq!(field(&head, "set-cookie"), None, "{mode:?} {way:?} {options:?}: {head}");
                assert!(field(&head, "age").is_some(), "{mode:?} {way:?}: it is the kept one: {head}");
                assert_eq!(body, kept, "{mode:?} {way:?}");
            }
            assert_eq!(scene.asked(), 1 + number / 2, "{mode:?} {way:?}");
        }
        // What sets a cookie of the server's own is not kept at all.
        let before = scene.asked();
        for count in 1..=4 {
            let (head, _) = scene.ask(WAYS[0], "/own", &[]);
            assert!(field(&head, "set-cookie").is_some(), "{mode:?} {head}");
            assert_eq!(scene.asked(), before + count, "{mode:?}");
        }
    }
}

/// Requests on one connection of HTTP/1.1: what one is given for its cookie, the next does not see.
#[test]
fn clients_behind_one_connection_are_apart_too() {
    let answer = |number: usize, _: &Received| {
        let body = format!("server {number}");
        format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let cookie = Cookie { nocache: false, ..insert() };
    let scene = Scene::new(2, answer, |front| front.pool.cookie = Some(cookie), Vec::new());
    let mut client = scene.rig.client();
    let bound: Answer = client.get("/a").unwrap();
    assert!(field(&bound.head, "set-cookie").is_some());
    for _ in 0..3 {
        let kept = client.get("/a").unwrap();
        assert_eq!((field(&kept.head, "set-cookie"), &kept.body), (None, &bound.body));
    }
}
