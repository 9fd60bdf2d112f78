//! Clients that ask for much and take nothing: what they make us hold is bounded, and given back.
//!
//! Alone in its process: the allocator counts the bytes of all threads but this test's own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use relevo_lb::{Engine, Settings};

static LIVE: AtomicI64 = AtomicI64::new(0);
static MOST: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// The test's own threads.
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

fn count(bytes: usize, sign: i64) {
    if !IS_OURS.try_with(Cell::get).unwrap_or(true) {
        let change = sign * i64::try_from(bytes).unwrap_or(0);
        let live = LIVE.fetch_add(change, Ordering::SeqCst) + change;
        MOST.fetch_max(live, Ordering::SeqCst);
    }
}

#[allow(unsafe_code, reason = "a global allocator can be written in no other way")]
// SAFETY: every call is passed on to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: i64 = 1024 * 1024;
const CLIENTS: u64 = 4;
const STREAMS: u64 = 100;

#[test]
fn clients_of_http2_that_take_nothing_hold_little() {
    IS_OURS.set(true);
    // They give no room in HTTP/2; or all that there is, and none in TCP.
    for room in [0, i32::MAX.cast_unsigned()] {
        hold_little(room, 3, b"\r\n", b"x");
    }
    // The smallest chunks that there are.
    hold_little(0, 1, b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n");
}

fn hold_little(room: u32, rounds: usize, fields: &'static [u8], piece: &'static [u8]) {
    let text = format!(
        "name = \"loop\"\n[network.lan]\nsubnet = \"192.168.99.0/24\"\n\
        [node.lb1]\nroles = [\"director\"]\naddress.lan = \"192.168.99.1\"\n\
        [service.web]\nlisten = \"127.0.0.1:1\"\nmode = \"http\"\nh2c = true\ncheck = \"none\"\n\
        timeout.client = \"2s\"\nservers = [\"{}\"]\n",
        endless(fields, piece)
    );
    let reading = relevo_model::read(&text);
    let mut cluster = reading.cluster.unwrap_or_else(|| panic!("{:?}", reading.diagnostics));
    cluster.services[0].listen[0].at.set_port(0);
    let engine = Engine::start(Settings { workers: 1, ..Settings::default() }, &cluster).unwrap();
    let at = engine.snapshot().services[0].listen[0];
    let mut after = Vec::new();
    let mut asked = 0;
    for round in 0..rounds {
        let before = LIVE.load(Ordering::SeqCst);
        MOST.store(before, Ordering::SeqCst);
        let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| greedy(at, room)).collect();
        asked += CLIENTS * STREAMS;
        wait_until("all have asked", || engine.snapshot().services[0].requests == asked);
        // Whoever takes nothing has its streams reset, or is cut, and its servers are free again.
        wait_until("all were given up", || engine.snapshot().pools[0].servers[0].connections == 0);
        let most = (MOST.load(Ordering::SeqCst) - before) / CLIENTS.cast_signed();
        assert!(most < 5 * MIB, "room {room}, {piece:?}, round {round}: {most} bytes for a client");
        drop(clients);
        wait_until("all are gone", || engine.snapshot().services[0].connections == 0);
        after.push(LIVE.load(Ordering::SeqCst));
    }
    // What the first round needed once, as room for connections, is there for the others.
    assert!(after[rounds - 1] - after[0] < MIB, "it grows from round to round: {after:?}");
}

/// A client that asks for endless answers, and reads nothing of them. `room`: what it gives each of them, and all, in HTTP/2.
fn greedy(at: SocketAddr, room: u32) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 section 6.5.2).
    bytes.extend_from_slice(b"\0\0\x06\x04\0\0\0\0\0\0\x04");
    bytes.extend_from_slice(&room.to_be_bytes());
    if room > 65_535 {
        // WINDOW_UPDATE of the connection, which begins with 65535.
        bytes.extend_from_slice(b"\0\0\x04\x08\0\0\0\0\0");
        bytes.extend_from_slice(&(room - 65_535).to_be_bytes());
    }
    for stream in 0..u8::try_from(STREAMS).unwrap() {
        // :method GET, :scheme http, :path /, :authority a.
        bytes.extend_from_slice(b"\0\0\x06\x01\x05\0\0\0");
        bytes.extend_from_slice(&[2 * stream + 1, 0x82, 0x86, 0x84, 0x41, 1, b'a']);
    }
    stream.write_all(&bytes).unwrap();
    stream
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A server whose answers have no end: these fields, then this again and again.
fn endless(fields: &'static [u8], piece: &'static [u8]) -> SocketAddrV4 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let SocketAddr::V4(at) = listener.local_addr().unwrap() else { panic!("not IPv4") };
    std::thread::spawn(move || {
        IS_OURS.set(true);
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                IS_OURS.set(true);
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(&[b"HTTP/1.1 200 OK\r\n", fields].concat());
                let pieces = piece.repeat(16 * 1024 / piece.len());
                while stream.write_all(&pieces).is_ok() {}
            });
        }
    });
    at
}
