//! A keep-alive request on a warm connection allocates nothing, on the worker's side.
//!
//! Alone in its process: the allocator counts for all threads but this test's own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use relevo_lb::{Engine, Settings};
use relevo_model::ClusterFile;
use relevo_model::cluster::{
    Action, Affinity, AffinityKey, Balance, Condition, Cookie, CookieMode, Hash, HashKey, HashMethod,
    NameTest, Pattern, Rule,
};

static COUNT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The test's own threads: its clients and servers may allocate.
    static IS_OURS: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

fn count() {
    if !IS_OURS.try_with(Cell::get).unwrap_or(true) {
        COUNT.fetch_add(1, Ordering::SeqCst);
    }
}

#[allow(unsafe_code, reason = "a global allocator can be written in no other way")]
// SAFETY: every call is passed on to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello";
const REQUEST: &[u8] =
    b"GET /x HTTP/1.1\r\nHost: test\r\nUser-Agent: test\r\nAccept: */*\r\nCookie: a=b; SRV=x; c=d\r\n\r\n";

#[test]
fn a_warm_request_allocates_nothing() {
    IS_OURS.set(true);
    let origins: Vec<SocketAddrV4> = (0..3).map(|_| origin()).collect();
    let text = format!(
        "name = \"loop\"\n[network.lan]\nsubnet = \"192.168.99.0/24\"\n\
        [node.lb1]\nroles = [\"director\"]\naddress.lan = \"192.168.99.1\"\n\
        [service.web]\nlisten = \"127.0.0.1:1\"\nmode = \"http\"\ncheck = \"none\"\nservers = {:?}\n",
        origins.iter().map(ToString::to_string).collect::<Vec<_>>()
    );
    let reading = relevo_model::read(&text);
    let mut cluster = reading.cluster.unwrap_or_else(|| panic!("{:?}", reading.diagnostics));
    cluster.services[0].listen[0].at.set_port(0);
    assert_eq!(allocations(&cluster), 0, "in 1000 requests");
    // All that looks at the head: its key, its client, its cookie, which is taken out.
    let pool = &mut cluster.pools[0];
    let key = HashKey::Header("User-Agent".to_owned());
    pool.balance = Balance::Hash(Hash { key, method: HashMethod::Consistent, bound: Some(1000) });
    pool.affinity = Some(Affinity { key: AffinityKey::Source, size: 100, expire: Duration::from_secs(60) });
    pool.cookie = Some(Cookie {
        name: "SRV".to_owned(),
        mode: CookieMode::Insert,
        indirect: true,
        nocache: true,
        postonly: false,
        preserve: false,
        httponly: true,
        secure: false,
        samesite: None,
        domain: None,
        max_idle: Some(Duration::from_secs(60)),
        max_life: None,
    });
    assert_eq!(allocations(&cluster), 0, "in 1000 requests of bound clients");
    // Rules that only choose a pool cost nothing either.
    let rule = |host: &str, path: &str| Rule {
        line: 1,
        when: Condition {
            host: vec![Pattern::Glob(host.to_owned())],
            path: vec![Pattern::Glob("/y*".to_owned()), Pattern::Regex(path.to_owned())],
            method: vec!["GET".to_owned()],
            header: vec![NameTest { name: "user-agent".to_owned(), patterns: Some(Vec::new()) }],
            query: vec![NameTest { name: "page".to_owned(), patterns: None }],
            cookie: vec![NameTest { name: "beta".to_owned(), patterns: None }],
            ..Condition::default()
        },
        unless: None,
        actions: vec![Action::Pool("web".into())],
    };
    cluster.services[0].rules = vec![rule("other*", "^/x"), rule("*", "^/z"), rule("te*t", "^/x$")];
    assert_eq!(allocations(&cluster), 0, "in 1000 requests with rules");
}

/// Allocations of the engine in 1000 requests on a warm connection.
fn allocations(cluster: &ClusterFile) -> u64 {
    let engine = Engine::start(Settings { workers: 1, ..Settings::default() }, cluster).unwrap();
    let mut client = TcpStream::connect(engine.snapshot().services[0].listen[0]).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut ask = |requests: usize| {
        let mut answer = [0; 512];
        for _ in 0..requests {
            client.write_all(REQUEST).unwrap();
            let mut got = 0;
            while !answer[..got].ends_with(b"hello") {
                let count = client.read(&mut answer[got..]).unwrap();
                assert!(count > 0, "closed");
                got += count;
            }
        }
    };
    ask(100);
    let before = COUNT.load(Ordering::SeqCst);
    ask(1000);
    let count = COUNT.load(Ordering::SeqCst) - before;
    drop(engine);
    count
}

/// A server that answers each read with the same.
fn origin() -> SocketAddrV4 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let SocketAddr::V4(at) = listener.local_addr().unwrap() else { panic!("not IPv4") };
    std::thread::spawn(move || {
        IS_OURS.set(true);
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                IS_OURS.set(true);
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
                    if stream.write_all(ANSWER).is_err() {
                        break;
                    }
                }
            });
        }
    });
    at
}
