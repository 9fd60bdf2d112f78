//! The forms of the kernel's path: usual, direct, with another source; each over IPv4 and IPv6, by TCP and UDP, with real
//! nginx and curl. Directors are only kernels here: nothing but the rules is looked at.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests fail by panicking")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "clients and servers of a test wait")]

#[path = "modes/rig.rs"]
mod rig;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use relevo_net::nft::Nft;
use relevo_proto::flows::{TABLE, strict_filters};
use rig::{Mode, Rig, vip, wait_until};
use socket2::SockRef;

/// A port at which servers do what a letter says, and one at which nobody answers.
const LETTERS: u16 = 90;
const NOBODY: u16 = 91;

const SERVICES: [(&str, u16, bool); 4] =
    [("web", 80, false), ("letters", LETTERS, false), ("names", LETTERS, true), ("nobody", NOBODY, true)];

#[test]
fn lab_the_usual_form_over_ipv4() {
    everything("nat", Mode::Nat, true);
}

#[test]
fn lab_the_usual_form_over_ipv6() {
    everything("nat", Mode::Nat, false);
}

#[test]
fn lab_the_direct_form_over_ipv4() {
    everything("direct", Mode::Direct, true);
}

#[test]
fn lab_the_direct_form_over_ipv6() {
    everything("direct", Mode::Direct, false);
}

#[test]
fn lab_the_form_with_another_source_over_ipv4() {
    everything("source", Mode::Source, true);
}

#[test]
fn lab_the_form_with_another_source_over_ipv6() {
    everything("source", Mode::Source, false);
}

fn everything(name: &str, mode: Mode, v4: bool) {
    let mut rig = Rig::new(name, mode, v4);
    rig.serve_pages();
    rig.on_servers(serve, LETTERS);
    for director in ["d1", "d2"] {
        rig.install(director, &SERVICES, &[1, 2]);
    }
    both_servers_answer(&rig);
    chats_live_on(&rig);
    too_big_gets_back(&rig);
    ends_are_told(&rig);
    datagrams(&rig);
    if mode != Mode::Source {
        // There the director does not know whose a server's packet is before the client has spoken.
        flows_live_on(&rig);
    }
    flows_are_found(&rig);
    beside_a_filter(&rig);
}

fn both_servers_answer(rig: &Rig) {
    let seen: BTreeSet<String> = (0..24).map(|_| rig.curl("/who").unwrap()).collect();
    assert_eq!(seen.len(), 2, "{seen:?}");
    // A director's own questions, as checks ask them, are no flows.
    assert!(rig.ask_from_director());
    let table = if rig.v4 { "ip" } else { "ip6" };
    let pins = rig.inside("d1", &format!("nft list map {table} {TABLE} pin_web"));
    assert!(!pins.contains("10.9.0.1 ."), "{pins}");
    assert!(pins.matches("timeout").count() <= 26, "{pins}");
}

/// The servers' network has packets of 9000 bytes, the outer one of 1500, the client's of 1300: all of that must be told.
fn too_big_gets_back(rig: &Rig) {
    assert!(rig.is_whole(rig.download("/big", 0)), "a large download comes through a narrow way");
    let told = rig.counter("d1", "errors_web");
    println!("{:?} v4 {}: {told} errors about packets of the service", rig.mode, rig.v4);
    assert!(told > 0, "the narrow way was told through the director");
}

fn front(rig: &Rig, port: u16) -> SocketAddr {
    SocketAddr::new(vip(rig.v4), port)
}

fn ends_are_told(rig: &Rig) {
    let to = front(rig, LETTERS);
    // Half-closed: the client has said all, and the server begins only then.
    let got = rig.enter("far", move || {
        let mut stream = connect(to);
        stream.write_all(b"h").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).map(|_| all.len())
    });
    assert_eq!(got.unwrap(), 300_000);
    // Reset by the server.
    let reset = rig.enter("far", move || {
        let mut stream = connect(to);
        stream.write_all(b"r").unwrap();
        stream.read(&mut [0]).map_err(|error| error.kind())
    });
    assert_eq!(reset, Err(ErrorKind::ConnectionReset));
    // Reset by the client: no server has the connection any more.
    let count = |rig: &Rig| {
        let lines = |space| rig.inside(space, &format!("ss -Htn state established sport = :{LETTERS}"));
        lines("s1").lines().count() + lines("s2").lines().count()
    };
    let before = count(rig);
    let stream = rig.enter("far", move || {
        let mut stream = connect(to);
        stream.write_all(b"e").unwrap();
        stream
    });
    wait_until("the server has it", || count(rig) == before + 1);
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    wait_until("the reset got to the server", || count(rig) == before);
}

fn datagrams(rig: &Rig) {
    let (to, nobody) = (front(rig, LETTERS), front(rig, NOBODY));
    let answer = move |to: SocketAddr, length: usize| {
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0)).unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        socket.send(&vec![b'x'; length]).unwrap();
        let mut bytes = [0; 2000];
        socket.recv(&mut bytes).map_err(|error| error.kind())
    };
    for length in [3, 1000] {
        assert_eq!(rig.enter("far", move || answer(to, length)), Ok(length));
    }
    assert_eq!(
        rig.enter("far", move || answer(nobody, 3)),
        Err(ErrorKind::ConnectionRefused),
        "that nobody is there is told"
    );
    let before = rig.counter("d1", "fragments");
    let pieces = || rig.enter("far", move || answer(to, 1900));
    if rig.mode == Mode::Source {
        // A server may have to hear first how narrow the way is.
        let got = (0..6).any(|_| pieces() == Ok(1900));
        assert!(got, "connection tracking puts pieces together");
    } else {
        let pieces = pieces();
        assert!(pieces.is_err(), "pieces of datagrams do not get through");
        assert!(rig.counter("d1", "fragments") > before);
    }
}

/// Connections on which clients speak go on at a director that has seen none of them; but for the direct form also where
/// the table has changed meanwhile.
fn chats_live_on(rig: &Rig) {
    let to = front(rig, LETTERS);
    let servers: &[u8] = if rig.mode == Mode::Direct { &[1, 2] } else { &[1] };
    rig.install("d1", &SERVICES, servers);
    let chat = |stream: &mut TcpStream| {
        let mut letter = [0];
        stream.write_all(b"x").and_then(|()| stream.read_exact(&mut letter)).is_ok() && letter == *b"x"
    };
    let all: Vec<TcpStream> = (0..24)
        .map(|_| {
            rig.enter("far", move || {
                let mut stream = connect(to);
                stream.write_all(b"c").unwrap();
                assert!(chat(&mut stream), "before");
                stream
            })
        })
        .collect();
    rig.move_to("d2", "d1");
    // At the same time: each that has to be found waits for its own packets to be sent again.
    let chats: Vec<_> =
        all.into_iter().map(|mut stream| std::thread::spawn(move || chat(&mut stream))).collect();
    let alive = chats.into_iter().map(|chat| chat.join().unwrap()).filter(|alive| *alive).count();
    println!("{:?} v4 {}: {alive} of 24 chats go on after a takeover", rig.mode, rig.v4);
    assert_eq!(alive, 24);
    if rig.mode != Mode::Direct {
        assert!(rig.counter("d2", "heals_letters") > 0, "some had to be found");
    }
    rig.install("d1", &SERVICES, &[1, 2]);
    rig.move_to("d1", "d2");
}

/// Downloads go on at a director that has seen none of them.
fn flows_live_on(rig: &Rig) {
    let all: Vec<_> = (0..12).map(|number| rig.download("/slow", number)).collect();
    let begun = |file: &std::path::Path| std::fs::metadata(file).map(|file| file.len()).unwrap_or(0);
    wait_until("all have begun", || all.iter().all(|(_, file)| begun(file) > 1 << 20));
    rig.move_to("d2", "d1");
    let whole = all.into_iter().map(|one| rig.is_whole(one)).filter(|whole| *whole).count();
    println!("{:?} v4 {}: {whole} of 12 downloads are whole after a takeover", rig.mode, rig.v4);
    assert_eq!(whole, 12);
    assert!(rig.counter("d2", "guesses_web") > 0, "they came to the other director");
    rig.move_to("d1", "d2");
}

/// Downloads go on also where the table has changed when the other director gets them.
fn flows_are_found(rig: &Rig) {
    if rig.mode != Mode::Nat {
        // Direct: resets of servers go straight to clients, and nobody can find the right one. Source: see the chats.
        return;
    }
    rig.install("d1", &SERVICES, &[1]);
    let all: Vec<_> = (0..12).map(|number| rig.download("/slow", number)).collect();
    let begun = |file: &std::path::Path| std::fs::metadata(file).map(|file| file.len()).unwrap_or(0);
    wait_until("all have begun", || all.iter().all(|(_, file)| begun(file) > 1 << 20));
    rig.move_to("d2", "d1");
    let whole = all.into_iter().map(|one| rig.is_whole(one)).filter(|whole| *whole).count();
    println!(
        "{:?} v4 {}: {whole} of 12 downloads are whole after a takeover with another table",
        rig.mode, rig.v4
    );
    assert_eq!(whole, 12);
    rig.install("d1", &SERVICES, &[1, 2]);
    rig.move_to("d1", "d2");
}

/// A firewall of the user's that lets through what is established: the usual form needs a word more, the direct one does not
/// pass it, and what is tracked must be let in.
fn beside_a_filter(rig: &Rig) {
    let filter = |more: &str| {
        let text = format!(
            "table inet user\ndelete table inet user\ntable inet user {{ chain fw {{ type filter hook forward priority filter; policy accept;\n\
             meta l4proto {{ icmp, ipv6-icmp }} accept\nct state established,related accept\n{more}\ncounter drop\n}}\n}}\n"
        );
        rig.enter("d1", move || Nft::new().run(&text)).unwrap();
        let ruleset = rig.inside("d1", "nft -t list ruleset");
        (rig.curl("/who"), strict_filters(&ruleset, &[TABLE]))
    };
    let (got, strict) = filter("");
    assert_eq!(strict, ["chain fw of table inet user"]);
    assert_eq!(got.is_ok(), rig.mode == Mode::Direct, "{got:?}");
    let more = if rig.mode == Mode::Source { "ct state new accept" } else { "ct state untracked accept" };
    let (got, strict) = filter(more);
    assert!(got.is_ok(), "{got:?}");
    assert_eq!(strict.is_empty(), rig.mode != Mode::Source, "{strict:?}");
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(10)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Does what the first letter says, by TCP; by UDP it sends back what came.
fn serve(at: SocketAddr) {
    let listener = TcpListener::bind(at).unwrap();
    let datagrams = UdpSocket::bind(at).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || work(stream));
        }
    });
    std::thread::spawn(move || {
        let mut bytes = [0; 65_536];
        while let Ok((count, from)) = datagrams.recv_from(&mut bytes) {
            let _ = datagrams.send_to(&bytes[..count], from);
        }
    });
}

fn echo(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut letter = [0];
    loop {
        stream.read_exact(&mut letter)?;
        stream.write_all(&letter)?;
    }
}

fn work(mut stream: TcpStream) {
    let mut letter = [0];
    if stream.read_exact(&mut letter).is_err() {
        return;
    }
    let _ = match letter[0] {
        b'r' => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
        b'c' => echo(&mut stream),
        b'h' => stream.read_to_end(&mut Vec::new()).and_then(|_| stream.write_all(&vec![b'x'; 300_000])),
        _ => stream.read_to_end(&mut Vec::new()).map(drop),
    };
}
