//! Small servers and clients for the tests, on real sockets of the loopback with ports that the kernel chose.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use relevo_lb::{Engine, Health, ServerSnapshot, Settings};
use relevo_model::ClusterFile;
use relevo_model::cluster::{Check, CheckKind, Listen, Mode, Pool, PoolTimeouts, Server, Service, Timeouts};

/// Nothing in these tests takes so long unless it never comes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Waits until it is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Looks how long a machine needs from one request to the next: connections to servers rest for 4 s at most.
pub(crate) struct Pace {
    last: Instant,
    longest: Duration,
}

impl Pace {
    pub(crate) fn start() -> Self {
        Self { last: Instant::now(), longest: Duration::ZERO }
    }

    /// A request was answered.
    pub(crate) fn step(&mut self) {
        self.longest = self.longest.max(self.last.elapsed());
        self.last = Instant::now();
    }

    /// Whether no connection can have rested for too long.
    pub(crate) fn was_quick(&self) -> bool {
        self.longest < Duration::from_secs(3)
    }
}

/// An address of the loopback that no other process of these tests uses, so that none of them takes a port that a server here has
/// given up: it is to be refused, or to be there again.
pub(crate) fn own_ip() -> Ipv4Addr {
    // 22 bits are all that a process id has on Linux.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high & 63, middle, low)
}

/// An address where nobody listens, and nobody will.
pub(crate) fn dead() -> SocketAddrV4 {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddrV4::new(own_ip(), 0).into()).unwrap();
    let at = v4(socket.local_addr().unwrap().as_socket().unwrap());
    // As long as it is bound, no other one can be.
    std::mem::forget(socket);
    at
}

/// A server whose connections are each handled by a function.
pub(crate) struct Origin {
    pub(crate) at: SocketAddrV4,
    accepted: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Origin {
    /// Answers every request with its name.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::answering(move |request| answer(name, request))
    }

    /// Answers every request with the head that it got.
    pub(crate) fn mirror() -> Self {
        Self::answering(|request| with_length(&request.head))
    }

    /// Three of them, called by their numbers.
    pub(crate) fn three() -> [Self; 3] {
        ["one", "two", "three"].map(Self::named)
    }

    /// Answers every request with these bytes.
    pub(crate) fn answering(answer: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::with(move |peer| {
            while let Some(request) = peer.request() {
                if peer.write(&answer(&request)).is_err() {
                    break;
                }
            }
        })
    }

    /// Handles every connection so.
    pub(crate) fn with(handle: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        Self::on(SocketAddrV4::new(own_ip(), 0), handle)
    }

    /// The same on a port that is known.
    pub(crate) fn on(at: SocketAddrV4, handle: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let SocketAddr::V4(at) = listener.local_addr().unwrap() else { panic!("not IPv4") };
        let accepted = Arc::new(AtomicUsize::new(0));
        let stopped = Arc::new(AtomicBool::new(false));
        let streams = Arc::new(Mutex::new(Vec::new()));
        let (counter, stop, all) = (Arc::clone(&accepted), Arc::clone(&stopped), Arc::clone(&streams));
        let handle = Arc::new(handle);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                stream.set_nodelay(true).unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                all.lock().unwrap().push(stream.try_clone().unwrap());
                let handle = Arc::clone(&handle);
                std::thread::spawn(move || {
                    let mut peer = Peer(BufReader::new(stream));
                    handle(&mut peer);
                    // The registered copy would keep it open.
                    let _ = peer.0.get_ref().shutdown(std::net::Shutdown::Both);
                });
            }
        });
        Self { at, accepted, stopped, streams, thread: Some(thread) }
    }

    /// Connections accepted since the start.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Closes all connections that it has now; goes on listening.
    pub(crate) fn close_connections(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Dies: listener and connections are gone.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.at);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.close_connections();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.end();
    }
}

/// An answer with a length.
pub(crate) fn with_length(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn answer(name: &str, request: &Received) -> Vec<u8> {
    match request.line().split(' ').next() {
        Some("HEAD") => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", name.len()).into_bytes(),
        _ => with_length(name),
    }
}

/// A request as a server sees it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Lines behind the last chunk.
    pub(crate) trailers: String,
}

impl Received {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or("")
    }
}

/// The client as a server sees it.
pub(crate) struct Peer(BufReader<TcpStream>);

impl Peer {
    /// The next request with its body; `None`: no more come.
    pub(crate) fn request(&mut self) -> Option<Received> {
        let head = self.head()?;
        self.body(head)
    }

    /// What belongs to a head that was read.
    pub(crate) fn body(&mut self, head: String) -> Option<Received> {
        let (body, trailers) = read_body(&mut self.0, &head, false).ok()?;
        Some(Received { head, body, trailers })
    }

    /// Reads and forgets what comes, up to the end.
    pub(crate) fn drain(&mut self) {
        let _ = io::copy(&mut self.0, &mut io::sink());
    }

    /// The next head alone.
    pub(crate) fn head(&mut self) -> Option<String> {
        read_head(&mut self.0).ok().filter(|head| !head.is_empty())
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }
}

fn read_head(from: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from.read_line(&mut head)? == 0 {
            break;
        }
    }
    Ok(head)
}

/// A body without its framing, and its trailers.
fn read_body(from: &mut impl BufRead, head: &str, until_close: bool) -> io::Result<(Vec<u8>, String)> {
    let mut body = Vec::new();
    if field(head, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let size = line.trim().split(';').next().unwrap_or("");
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            if size == 0 {
                return Ok((body, read_trailers(from)?));
            }
            let mut chunk = vec![0; size + 2];
            from.read_exact(&mut chunk)?;
            body.extend_from_slice(&chunk[..size]);
        }
    }
    match field(head, "content-length") {
        Some(length) => {
            body.resize(length.parse().map_err(io::Error::other)?, 0);
            from.read_exact(&mut body)?;
        }
        None if until_close => drop(from.read_to_end(&mut body)?),
        None => {}
    }
    Ok((body, String::new()))
}

fn read_trailers(from: &mut impl BufRead) -> io::Result<String> {
    let mut lines = String::new();
    loop {
        let start = lines.len();
        match from.read_line(&mut lines)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            2 if lines.ends_with("\r\n") => {
                lines.truncate(start);
                return Ok(lines);
            }
            _ => {}
        }
    }
}

/// A header field's value.
pub(crate) fn field(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// A client of the balancer.
pub(crate) struct Client(BufReader<TcpStream>);

/// An answer as a client sees it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    /// Lines behind the last chunk.
    pub(crate) trailers: String,
}

impl Client {
    pub(crate) fn connect(at: impl Into<SocketAddr>) -> Self {
        let stream = TcpStream::connect(at.into()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// The next answer; an error if it is cut.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        self.answer_to("GET")
    }

    pub(crate) fn answer_to(&mut self, method: &str) -> io::Result<Answer> {
        let head = read_head(&mut self.0)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status: u16 = status.ok_or_else(|| io::Error::other(format!("no answer: {head:?}")))?;
        let bodiless = method == "HEAD" || status < 200 || status == 204 || status == 304;
        let (body, trailers) =
            if bodiless { Default::default() } else { read_body(&mut self.0, &head, true)? };
        Ok(Answer { status, head, body: String::from_utf8_lossy(&body).into_owned(), trailers })
    }

    /// Sends a plain GET and returns the answer.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")?;
        self.answer()
    }

    /// So many bytes as they come.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The next byte; `None`: the balancer has closed.
    pub(crate) fn next_byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        matches!(self.0.read(&mut byte), Ok(1)).then_some(byte[0])
    }

    /// Whether the balancer has closed.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0) | Err(_))
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.0.get_mut()
    }
}

/// A service with its pool.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    pub(crate) service: Service,
    pub(crate) pool: Pool,
}

impl std::ops::Deref for Front {
    type Target = Service;
    fn deref(&self) -> &Service {
        &self.service
    }
}

impl std::ops::DerefMut for Front {
    fn deref_mut(&mut self) -> &mut Service {
        &mut self.service
    }
}

/// A service of these servers, without checks.
pub(crate) fn service(servers: &[SocketAddrV4]) -> Front {
    let server = |(number, at): (usize, &SocketAddrV4)| {
        Server::new(format!("server{}", number + 1).as_str().into(), (*at).into())
    };
    let mut pool = Pool::new("web".into());
    pool.check = Check {
        kind: CheckKind::None,
        interval: Duration::from_millis(500),
        // Nothing that comes is late, however busy the machine is.
        timeout: Duration::from_secs(10),
        fall: 2,
        ..Check::default()
    };
    pool.timeouts = PoolTimeouts { connect: LONG, server: LONG, queue: LONG };
    pool.servers = servers.iter().enumerate().map(server).collect();
    let mut service = Service::new("web".into(), Mode::Http, "web".into());
    service.listen = vec![Listen::plain(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))];
    service.timeouts = Timeouts { client: LONG, request: LONG, keep_alive: LONG, tunnel: None };
    service.limits.connections = 1000;
    Front { service, pool }
}

/// The smallest cluster, with these services.
pub(crate) fn cluster(fronts: impl IntoIterator<Item = Front>) -> ClusterFile {
    let text = "name = \"loop\"\n[network.lan]\nsubnet = \"192.168.99.0/24\"\n\
        [node.lb1]\nroles = [\"director\"]\naddress.lan = \"192.168.99.1\"\n\
        [address.front]\nnetwork = \"lan\"\nip = \"192.168.99.200\"\n";
    let reading = relevo_model::read(text);
    let mut cluster = reading.cluster.unwrap_or_else(|| panic!("{:?}", reading.diagnostics));
    for Front { service, pool } in fronts {
        cluster.services.push(service);
        cluster.pools.push(pool);
    }
    cluster
}

/// A running engine with one service.
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) at: SocketAddrV4,
}

impl Rig {
    pub(crate) fn start(front: Front) -> Self {
        Self::run(&cluster([front]))
    }

    /// All services of a cluster; clients come to the first.
    pub(crate) fn run(cluster: &ClusterFile) -> Self {
        let settings = Settings { workers: 2, ..Settings::default() };
        let engine = Engine::start(settings, cluster).unwrap();
        let at = v4(engine.snapshot().services[0].listen[0]);
        Self { engine, at }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.at)
    }

    /// One request on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.client().get(path).unwrap()
    }

    /// The bodies of so many requests.
    pub(crate) fn bodies(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.get("/").body).collect()
    }

    pub(crate) fn server(&self, number: usize) -> ServerSnapshot {
        self.engine.snapshot().pools[0].servers[number - 1].clone()
    }

    pub(crate) fn wait_health(&self, number: usize, health: Health) {
        wait_until(&format!("server {number} is {health:?}"), || self.server(number).health == health);
    }
}

/// An address that is IPv4's.
pub(crate) fn v4(at: SocketAddr) -> SocketAddrV4 {
    let SocketAddr::V4(at) = at else { panic!("{at} is not IPv4") };
    at
}
