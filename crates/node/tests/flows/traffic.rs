//! Clients and servers: each connection begins with a letter that says what it is for.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use crate::field::{Field, front_at};

/// Bytes of a download's block.
const BLOCK: usize = 8192;

/// Listens by TCP and UDP in the namespace of the calling thread, on threads of its own.
pub(crate) fn serve(at: SocketAddr) {
    let listener = TcpListener::bind(at).unwrap();
    let datagrams = UdpSocket::bind(at).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || work(stream, at));
        }
    });
    std::thread::spawn(move || {
        let mut bytes = [0; 65_536];
        while let Ok((_, from)) = datagrams.recv_from(&mut bytes) {
            let _ = datagrams.send_to(at.ip().to_string().as_bytes(), from);
        }
    });
}

fn work(mut stream: TcpStream, at: SocketAddr) {
    let mut letter = [0];
    if stream.read_exact(&mut letter).is_err() {
        return;
    }
    let _ = match letter[0] {
        b'w' => stream.write_all(at.ip().to_string().as_bytes()),
        b's' => std::io::copy(&mut stream, &mut std::io::sink()).map(drop),
        b'r' => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
        b'h' => answer_the_end(&mut stream),
        b'c' => end_and_listen(&mut stream),
        b'd' => (0_u64..).try_for_each(|number| {
            std::thread::sleep(Duration::from_millis(20));
            stream.write_all(&block(number))
        }),
        _ => echo(&mut stream),
    };
}

/// Bytes that came after the server had ended its own side.
static HEARD: AtomicU64 = AtomicU64::new(0);

/// Blocks of an answer to what has ended.
const ANSWER: u64 = 20;

/// The client ends its side first, and the server has much to say then.
fn answer_the_end(stream: &mut TcpStream) -> std::io::Result<()> {
    std::io::copy(stream, &mut std::io::sink())?;
    (0..ANSWER).try_for_each(|number| {
        std::thread::sleep(Duration::from_millis(100));
        stream.write_all(&block(number))
    })
}

/// The server ends its side first.
fn end_and_listen(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let mut bytes = [0; 64];
    loop {
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            count => drop(HEARD.fetch_add(count as u64, Ordering::Relaxed)),
        }
    }
}

/// A connection whose client has ended its side.
pub(crate) fn ended_by_client(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let mut stream = connect(Some(from), to).unwrap();
    stream.write_all(b"h").unwrap();
    stream.write_all(&block(7)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream
}

/// Whether all of the answer comes to it.
pub(crate) fn is_answered(mut stream: TcpStream) -> bool {
    let mut all = Vec::new();
    let read = stream.read_to_end(&mut all);
    read.is_ok() && all == (0..ANSWER).flat_map(block).collect::<Vec<_>>()
}

/// A connection whose server has ended its side.
pub(crate) fn ended_by_server(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let mut stream = connect(Some(from), to).unwrap();
    stream.write_all(b"c").unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the server has ended its side");
    stream
}

/// Whether a server whose side has ended hears another byte within a time.
pub(crate) fn is_heard(stream: &mut TcpStream, within: Duration) -> bool {
    let before = HEARD.load(Ordering::Relaxed);
    let until = Instant::now() + within;
    if stream.write_all(b"x").is_err() {
        return false;
    }
    while HEARD.load(Ordering::Relaxed) == before && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    HEARD.load(Ordering::Relaxed) > before
}

/// Ends a connection with a reset.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

fn echo(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut bytes = [0; 64];
    loop {
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            count => stream.write_all(&bytes[..count])?,
        }
    }
}

/// What a download has at a place.
fn block(number: u64) -> Vec<u8> {
    let words =
        (0..BLOCK as u64 / 8).map(|word| (number * 1_000_003 + word).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    words.flat_map(u64::to_le_bytes).collect()
}

fn connect(from: Option<SocketAddr>, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if let Some(from) = from {
        socket.bind(&from.into())?;
    }
    socket.connect_timeout(&to.into(), Duration::from_secs(10))?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// The server that a client at `from` gets. The connection is reset, so that the port is free again.
pub(crate) fn ask(from: SocketAddr, to: SocketAddr) -> std::io::Result<IpAddr> {
    let mut stream = connect(Some(from), to)?;
    stream.write_all(b"w")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    text.parse().map_err(std::io::Error::other)
}

/// The same, but the connection ends in good order: the server, which ends it first, remembers it for a minute.
pub(crate) fn visit(from: SocketAddr, to: SocketAddr) -> std::io::Result<IpAddr> {
    let mut stream = connect(Some(from), to)?;
    stream.write_all(b"w")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    text.parse().map_err(std::io::Error::other)
}

/// A download that has begun.
pub(crate) fn load(to: SocketAddr) -> TcpStream {
    let mut stream = connect(None, to).unwrap();
    stream.write_all(b"d").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream
}

/// Whether something still comes.
pub(crate) fn reads(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; BLOCK]), Ok(1..))
}

/// A connection on which the server never says anything.
pub(crate) fn tell(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let mut stream = connect(Some(from), to).unwrap();
    stream.write_all(b"s1").unwrap();
    stream
}

/// Whether a kept connection answers within a time.
pub(crate) fn answers(stream: &mut TcpStream, within: Duration) -> bool {
    stream.set_read_timeout(Some(within)).unwrap();
    stream.write_all(b"x").and_then(|()| stream.read_exact(&mut [0])).is_ok()
}

/// The same by a datagram.
pub(crate) fn ask_by_datagram(from: SocketAddr, to: SocketAddr) -> std::io::Result<IpAddr> {
    greet(from, to, 5).ok_or_else(|| std::io::Error::other("no answer"))
}

/// Who answers a datagram of this length.
pub(crate) fn greet(from: SocketAddr, to: SocketAddr, length: usize) -> Option<IpAddr> {
    let socket = UdpSocket::bind(from).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    socket.send_to(&vec![0; length], to).ok()?;
    let mut bytes = [0; 64];
    let (count, source) = socket.recv_from(&mut bytes).ok()?;
    assert_eq!(source, to, "the answer comes from where it was asked");
    std::str::from_utf8(&bytes[..count]).ok()?.parse().ok()
}

/// A connection on which nobody has said anything.
pub(crate) fn silent(port: u16, to: SocketAddr) -> TcpStream {
    connect(Some(SocketAddr::new(crate::field::client(to.is_ipv4()), port)), to).unwrap()
}

/// Whether a connection that the server resets is reset here.
pub(crate) fn ask_for_reset(to: SocketAddr) -> bool {
    let mut stream = connect(None, to).unwrap();
    stream.write_all(b"r").unwrap();
    let error = stream.read(&mut [0]).map_err(|error| error.kind());
    error == Err(std::io::ErrorKind::ConnectionReset)
}

/// A connection that is there.
pub(crate) fn keep(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let mut stream = connect(Some(from), to).unwrap();
    stream.write_all(b"e1").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream
}

/// Whether a client that goes on sending is told that its connection is over.
pub(crate) fn until_told(mut stream: TcpStream, within: Duration) -> bool {
    let until = Instant::now() + within;
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    while Instant::now() < until {
        if stream.write_all(b"x").is_err() {
            return true;
        }
        match stream.read(&mut [0; 64]) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return true,
            Ok(_) | Err(_) => {}
        }
    }
    false
}

/// Downloads and kept connections that run.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Told>>,
}

/// How they fared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) lost: u32,
    pub(crate) wrong: u32,
    pub(crate) longest: Duration,
}

impl Traffic {
    pub(crate) fn start(field: &Field, v4: bool, downloads: usize, kept: usize) -> Self {
        let (stop, bytes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let to = front_at(v4);
        let mut clients = Vec::new();
        for number in 0..downloads + kept {
            let (stop, bytes) = (Arc::clone(&stop), Arc::clone(&bytes));
            let client = field.enter("c", move || {
                let stream = connect(None, to).unwrap();
                std::thread::spawn(move || match number < downloads {
                    true => download(stream, &stop, &bytes),
                    false => chat(stream, &stop),
                })
            });
            clients.push(client);
        }
        Self { stop, bytes, clients }
    }

    pub(crate) fn wait_for_bytes(&self, within: Duration) {
        let until = Instant::now() + within;
        while self.bytes.load(Ordering::Relaxed) < 4_000_000 {
            assert!(Instant::now() < until, "downloads run");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets them run for a while: what is looked at is what happens meanwhile.
    pub(crate) fn run_for(&self, time: Duration) {
        std::thread::sleep(time);
    }

    pub(crate) fn finish(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().fold(Told::default(), |sum, client| {
            let one = client.join().unwrap();
            Told {
                lost: sum.lost + one.lost,
                wrong: sum.wrong + one.wrong,
                longest: sum.longest.max(one.longest),
            }
        })
    }
}

fn download(mut stream: TcpStream, stop: &AtomicBool, bytes: &AtomicU64) -> Told {
    let mut told = Told::default();
    let _ = stream.write_all(b"d");
    let mut there = vec![0; BLOCK];
    for number in 0_u64.. {
        let begun = Instant::now();
        if stream.read_exact(&mut there).is_err() {
            told.lost = 1;
            break;
        }
        told.longest = told.longest.max(begun.elapsed());
        if there != block(number) {
            told.wrong = 1;
            break;
        }
        bytes.fetch_add(BLOCK as u64, Ordering::Relaxed);
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
    told
}

fn chat(mut stream: TcpStream, stop: &AtomicBool) -> Told {
    let mut told = Told::default();
    let _ = stream.write_all(b"e");
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let mut letter = [0];
        if stream.write_all(b"x").and_then(|()| stream.read_exact(&mut letter)).is_err() {
            told.lost = 1;
            break;
        }
        told.wrong |= u32::from(letter != *b"x");
        told.longest = told.longest.max(begun.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
    told
}
