//! A keep-alive request on a warm connection allocates nothing, on the worker's side.
//!
//! The allocator counts for workers alone: other threads may allocate at any time, as those that begin do, and the one that
//! checks servers when it gets round to a new configuration.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use relevo_lb::{Engine, Settings};
use relevo_model::ClusterFile;
use relevo_model::cluster::{
    Action, Affinity, AffinityKey, Balance, Condition, Cookie, CookieMode, Hash, HashKey, HashMethod,
    NameTest, Pattern, Return, Rule,
};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Whether it is counted now. Threads look for their names only then, when they have them.
static COUNTS: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether the thread is a worker; `None`: it has not looked.
    static IS_WORKER: Cell<Option<bool>> = const { Cell::new(None) };
}

struct Counting;

fn count() {
    if !COUNTS.load(Ordering::SeqCst) {
        return;
    }
    // A thread that ends has lost the place.
    let is_worker = IS_WORKER.try_with(|known| {
        known.get().unwrap_or_else(|| {
            // Should looking allocate, that is not counted.
            known.set(Some(false));
            let found = is_worker();
            known.set(Some(found));
            found
        })
    });
    if is_worker.unwrap_or(false) {
        COUNT.fetch_add(1, Ordering::SeqCst);
    }
}

fn is_worker() -> bool {
    let mut name = [0; 16];
    let read = std::fs::File::open("/proc/thread-self/comm").and_then(|mut file| file.read(&mut name));
    read.is_ok() && name.starts_with(b"worker-")
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
    // The count counts: answers of rules are made anew each time.
    let said = Return { status: 200, content_type: "text/plain".to_owned(), body: "hello".to_owned() };
    cluster.services[0].rules =
        vec![Rule { line: 1, when: Condition::default(), unless: None, actions: vec![Action::Return(said)] }];
    assert!(allocations(&cluster) >= 1000);
}

/// Allocations of the engine in 1000 requests on a warm connection.
fn allocations(cluster: &ClusterFile) -> u64 {
    let engine = Engine::start(Settings { workers: 1, ..Settings::default() }, cluster).unwrap();
    let at = engine.snapshot().services[0].listen[0];
    let connect = || {
        let client = TcpStream::connect(at).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client
    };
    // A connection meets the event loop, which needs memory for it, when it has nothing to read for the first time. On a quick
    // machine the next request of this client is always there before its worker reads again. So the client pauses, until the
    // one worker had the time to answer another one.
    let mut client = connect();
    ask(&mut client, 100);
    ask(&mut connect(), 1);
    ask(&mut client, 1);
    let before = COUNT.load(Ordering::SeqCst);
    COUNTS.store(true, Ordering::SeqCst);
    ask(&mut client, 1000);
    COUNTS.store(false, Ordering::SeqCst);
    let count = COUNT.load(Ordering::SeqCst) - before;
    drop(engine);
    count
}

/// So many requests, each after the answer to the one before.
fn ask(client: &mut TcpStream, requests: usize) {
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
}

/// A server that answers each read with the same.
fn origin() -> SocketAddrV4 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let SocketAddr::V4(at) = listener.local_addr().unwrap() else { panic!("not IPv4") };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
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
