//! Any bytes as a request, an answer and a chunked body: taken or refused, never a panic; and what we write for a
//! server must be understood there as we understood what we read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relevo_lb::http::chunked::Chunked;
use relevo_lb::http::fields::{Fields, MOST_FIELDS};
use relevo_lb::http::refusal::Status;
use relevo_lb::http::request::{Additions, Method, Request, Version};
use relevo_lb::http::response::{Manner, Response};
use relevo_model::cluster::{Cookie, CookieMode};
use relevo_proto::persistence::{Answer, Cookies};

const LIMIT: usize = 4096;

/// Lines that we add at most. A head that has no room for them is a good one, but can be refused by whoever gets it.
const ADDED: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    let mut fields = Fields::new();
    let mut out = Vec::new();
    if let Ok(Some(request)) = Request::parse(bytes, LIMIT, &mut fields) {
        let additions = Additions { lines: b"X-Forwarded-For: 192.0.2.1\r\n", host: b"default", ..Additions::default() };
        request.write(bytes, fields.list(), additions, &mut out);
        let has_room = fields.list().len() + ADDED <= MOST_FIELDS;
        let again = request_again(&out, &mut fields, has_room);
        assert!(again.is_none_or(|again| again.length == out.len() && again.version == Version::V11));
        let meaning = |request: Request| (request.body, request.method, request.websocket);
        assert!(again.is_none_or(|again| meaning(again) == meaning(request)));
        for cookies in cookies() {
            let mut out = out.clone();
            cookies.visit(&out, 1 << 30);
            cookies.strip(&mut out);
            let again = request_again(&out, &mut fields, has_room);
            assert!(again.is_none_or(|again| again.length == out.len() && meaning(again) == meaning(request)));
        }
        // A shorter piece of it was not refused, and not taken either.
        for end in [request.length / 2, request.length - 1] {
            assert_eq!(Request::parse(&bytes[..end], LIMIT, &mut fields), Ok(None));
        }
        chunks(&bytes[request.length..]);
    }
    if let Ok(Some(response)) = Response::parse(bytes, LIMIT, Method::Safe, &mut fields) {
        out.clear();
        let manner = Manner { version: Version::V11, close: false, changes: None };
        let has_room = fields.list().len() + ADDED <= MOST_FIELDS;
        response.write(bytes, fields.list(), manner, &mut out);
        let same = |again: Response, out: &[u8]| {
            (again.status, again.body, again.length) == (response.status, response.body, out.len())
        };
        let again = response_again(&out, &mut fields, has_room);
        assert!(again.is_none_or(|again| same(again, &out)));
        for cookies in cookies() {
            let mut out = out.clone();
            let answer = Answer { visit: Default::default(), server: 0, is_post: false, now: 1 << 30 };
            cookies.edit(&mut out, 0, &answer);
            let again = response_again(&out, &mut fields, has_room);
            assert!(again.is_none_or(|again| same(again, &out)));
        }
    }
    chunks(bytes);
});

/// A head that we wrote, as its reader understands it; `None`: it had no room for our lines, and has too many now.
fn request_again(bytes: &[u8], fields: &mut Fields, has_room: bool) -> Option<Request> {
    match Request::parse(bytes, 4 * LIMIT, fields) {
        Ok(again) => Some(again.expect("a whole head")),
        Err(refusal) => {
            assert!(!has_room && refusal.status == Status::HeadTooLarge, "{refusal:?}");
            None
        }
    }
}

/// The same of an answer.
fn response_again(bytes: &[u8], fields: &mut Fields, has_room: bool) -> Option<Response> {
    match Response::parse(bytes, 4 * LIMIT, Method::Safe, fields) {
        Ok(again) => Some(again.expect("a whole head")),
        Err(broken) => {
            assert!(!has_room, "{broken:?}");
            None
        }
    }
}

/// Persistence in each mode: it must not change what a head means.
fn cookies() -> [Cookies; 3] {
    [CookieMode::Insert, CookieMode::Rewrite, CookieMode::Prefix].map(|mode| {
        let config = Cookie {
            name: "a".to_owned(),
            mode,
            indirect: true,
            nocache: true,
            postonly: false,
            preserve: false,
            httponly: true,
            secure: false,
            samesite: None,
            domain: None,
            max_idle: Some(std::time::Duration::from_secs(60)),
            max_life: None,
        };
        Cookies::new(&config, ["b", "c"])
    })
}

/// Chunks mean the same however they are cut.
fn chunks(bytes: &[u8]) {
    let decode = |pieces: usize| {
        let (mut chunked, mut data, mut used) = (Chunked::new(), Vec::new(), 0);
        for piece in bytes.chunks(pieces.max(1)) {
            used += chunked.feed(piece, |part| data.extend_from_slice(part)).map_err(|_| ())?;
        }
        Ok::<_, ()>((chunked.is_done(), data, used))
    };
    assert_eq!(decode(bytes.len()), decode(1));
}
