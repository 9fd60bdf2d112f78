//! Servers whose HTTP/2 is wrong: the client gets an error or a whole answer, never anything made up, and others are served.

use std::net::Shutdown;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relevo_model::cluster::Protocol;

use crate::rig::{Answer, Client, Origin, Rig, cluster, service, v4};

/// RFC 9113 section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A field that stands as it is (RFC 7541 section 6.2.2).
fn plain(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;
/// END_STREAM and END_HEADERS.
const ALL: u8 = 5;
/// END_HEADERS.
const WHOLE: u8 = 4;

/// A server that says what stands in `script`, whatever it is asked.
struct Scene {
    script: Arc<Mutex<Vec<u8>>>,
    _origins: [Origin; 2],
    rig: Rig,
}

impl Scene {
    fn new() -> Self {
        let script = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&script);
        let bad = Origin::with(move |peer| {
            let _ = peer.read(&mut [0; 4096]);
            let bytes = said.lock().unwrap().clone();
            let _ = peer.write(&bytes);
            let _ = peer.stream().shutdown(Shutdown::Write);
            peer.drain();
        });
        let good = Origin::named("good");
        let mut front = service(&[bad.at]);
        front.pool.protocols = vec![Protocol::H2];
        front.pool.timeouts.server = Duration::from_secs(2);
        let mut other = service(&[good.at]);
        (other.service.name, other.service.pool, other.pool.name) = ("b".into(), "b".into(), "b".into());
        let rig = Rig::run(&cluster([front, other]));
        Self { script, _origins: [bad, good], rig }
    }

    /// What a client gets; `None`: its answer was cut.
    fn ask(&self, frames: &[Vec<u8>]) -> Option<Answer> {
        *self.script.lock().unwrap() = frames.concat();
        let answer = self.rig.client().get("/").ok();
        if let Some(answer) = &answer {
            assert!(matches!(answer.status, 200 | 502 | 503 | 504), "{}", answer.head);
            assert!(!answer.head.to_ascii_lowercase().contains("evil"), "{}", answer.head);
        }
        answer
    }

    fn serves_others(&self) {
        let at = v4(self.rig.engine.snapshot().services[1].listen[0]);
        assert_eq!(Client::connect(at).get("/").unwrap().body, "good");
    }
}

fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

#[test]
fn wrong_frames_are_no_answers() {
    let scene = Scene::new();
    let right = scene.ask(&[settings(), frame(HEADERS, WHOLE, 1, &[0x88]), frame(DATA, 1, 1, b"right")]);
    assert_eq!(right.map(|answer| (answer.status, answer.body)), Some((200, "right".to_owned())));
    let head = |fields: &[Vec<u8>]| frame(HEADERS, ALL, 1, &[&[0x88][..], &fields.concat()].concat());
    for (what, frames) in [
        ("HTTP/1.1", vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()]),
        ("nothing", vec![]),
        ("SETTINGS of 5 bytes", vec![frame(SETTINGS, 0, 0, &[0; 5])]),
        ("SETTINGS of a stream", vec![frame(SETTINGS, 0, 1, &[])]),
        ("a frame that is too large", vec![settings(), frame(HEADERS, ALL, 1, &[0x88; 20_000])]),
        ("DATA before HEADERS", vec![settings(), frame(DATA, 1, 1, b"early")]),
        ("HEADERS of nobody", vec![settings(), frame(HEADERS, ALL, 3, &[0x88])]),
        ("HEADERS of an even stream", vec![settings(), frame(HEADERS, ALL, 2, &[0x88])]),
        ("PUSH_PROMISE", vec![settings(), frame(PROMISE, 4, 1, &[0, 0, 0, 2, 0x82])]),
        (
            "HEADERS that are interrupted",
            vec![settings(), frame(HEADERS, 1, 1, &[0x88]), frame(PING, 0, 0, &[0; 8])],
        ),
        ("CONTINUATION of nothing", vec![settings(), frame(CONTINUATION, 4, 1, &[0x88])]),
        ("HPACK that is none", vec![settings(), frame(HEADERS, ALL, 1, &[0xff; 20])]),
        ("no status", vec![settings(), frame(HEADERS, ALL, 1, &plain("a", "b"))]),
        ("a status that is none", vec![settings(), frame(HEADERS, ALL, 1, &plain(":status", "abc"))]),
        ("101", vec![settings(), frame(HEADERS, ALL, 1, &plain(":status", "101"))]),
        ("a reset", vec![settings(), frame(RESET, 0, 1, &[0, 0, 0, 2])]),
        ("a reset of nobody", vec![settings(), frame(RESET, 0, 7, &[0, 0, 0, 2])]),
        ("GOAWAY", vec![settings(), frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 2])]),
        ("a window of more than all", vec![settings(), frame(WINDOW, 0, 0, &[0x7f, 0xff, 0xff, 0xff])]),
        ("a line's end in a value", vec![settings(), head(&[plain("x", "a\r\nEvil: b")])]),
        ("a line's end in a name", vec![settings(), head(&[plain("x\r\nevil", "b")])]),
        ("a name in capitals", vec![settings(), head(&[plain("EVIL", "b")])]),
    ] {
        let answer = scene.ask(&frames);
        assert!(answer.as_ref().is_some_and(|answer| answer.status == 502), "{what}: {answer:?}");
        scene.serves_others();
    }
}

#[test]
fn bodies_that_are_not_as_long_as_they_said_are_cut() {
    let scene = Scene::new();
    let head = frame(HEADERS, WHOLE, 1, &[&[0x88][..], &plain("content-length", "5")].concat());
    for body in [&b"four"[..], b"sixsix"] {
        let answer = scene.ask(&[settings(), head.clone(), frame(DATA, 1, 1, body)]);
        assert!(answer.as_ref().is_none_or(|answer| answer.status == 502), "{answer:?}");
    }
    // The connection ends in the middle of it.
    assert!(
        scene.ask(&[settings(), frame(HEADERS, WHOLE, 1, &[0x88]), frame(DATA, 0, 1, b"half")]).is_none()
    );
    scene.serves_others();
}

#[test]
fn floods_harm_nobody_else() {
    let scene = Scene::new();
    let many = |frame: Vec<u8>| frame.repeat(20_000);
    for frames in [
        many(frame(PING, 0, 0, &[0; 8])),
        many(settings()),
        [frame(HEADERS, 1, 1, &[0x88]), many(frame(CONTINUATION, 0, 1, &[0]))].concat(),
        [frame(HEADERS, WHOLE, 1, &[0x88]), many(frame(DATA, 0, 1, &[]))].concat(),
        many(frame(WINDOW, 0, 0, &[0, 0, 0, 1])),
        many(frame(RESET, 0, 1, &[0, 0, 0, 8])),
    ] {
        scene.ask(&[settings(), frames]);
        scene.serves_others();
    }
}

#[test]
fn whatever_the_frames_are_others_are_served() {
    let scene = Scene::new();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed >> 33).unwrap() % below
    };
    for round in 0..150 {
        let mut frames = if round % 4 == 0 { Vec::new() } else { vec![settings()] };
        for _ in 0..=random(6) {
            let kind = u8::try_from(random(11)).unwrap();
            let flags = [0, 1, 4, 5, 8, 32, 255][random(7)];
            let stream = [0, 1, 1, 1, 2, 3][random(6)];
            let mut payload: Vec<u8> = (0..random(40)).map(|_| u8::try_from(random(256)).unwrap()).collect();
            if kind == HEADERS && random(2) == 0 {
                payload.splice(0..0, [0x88]);
            }
            frames.push(frame(kind, flags, stream, &payload));
        }
        scene.ask(&frames);
    }
    scene.serves_others();
}
