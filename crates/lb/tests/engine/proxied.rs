//! The PROXY protocol, both ways.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use relevo_lb::Health;
use relevo_model::cluster::{CheckKind, Mode, ProxyVersion};

use crate::rig::{Front, Origin, Peer, Rig, field, service, wait_until, with_length};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Tells whom the balancer names as the client.
fn teller() -> Origin {
    Origin::answering(|request| with_length(&field(&request.head, "x-forwarded-for").unwrap_or_default()))
}

fn proxied(origin: &Origin) -> Front {
    let mut front = service(&[origin.at]);
    front.service.listen[0].proxy_protocol = true;
    front
}

fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, addresses].concat()
}

#[test]
fn the_client_is_whom_the_header_names() {
    let origin = teller();
    let rig = Rig::start(proxied(&origin));
    let v4 = [192, 0, 2, 9, 198, 51, 100, 7, 0xc7, 0x38, 1, 0xbb];
    let mut v6 = [0; 36];
    (v6[0], v6[1], v6[15]) = (0x20, 1, 9);
    let cases: [(Vec<u8>, &str); 7] = [
        (b"PROXY TCP4 192.0.2.9 198.51.100.7 51000 443\r\n".to_vec(), "192.0.2.9"),
        (b"PROXY TCP6 2001:db8::9 ::1 51000 443\r\n".to_vec(), "2001:db8::9"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2(0x21, 0x11, &v4), "192.0.2.9"),
        (v2(0x21, 0x11, &[&v4[..], &[2, 0, 1, b'a']].concat()), "192.0.2.9"),
        (v2(0x21, 0x21, &v6), "2001::9"),
        (v2(0x20, 0, &[]), "127.0.0.1"),
    ];
    for (header, expected) in cases {
        let mut client = rig.client();
        client.send([&header, REQUEST.as_bytes()].concat());
        assert_eq!(client.answer().unwrap().body, expected);
        // For the whole connection.
        assert_eq!(client.get("/").unwrap().body, expected);
        let mut slow = rig.client();
        for byte in [&header[..], REQUEST.as_bytes()].concat() {
            slow.send([byte]);
            slow.stream().flush().unwrap();
        }
        assert_eq!(slow.answer().unwrap().body, expected);
    }
    assert_eq!(rig.engine.snapshot().services[0].errors, 0);
}

#[test]
fn who_is_not_introduced_is_closed_and_counted() {
    let origin = teller();
    let mut front = proxied(&origin);
    front.timeouts.request = Duration::from_millis(200);
    let rig = Rig::start(front);
    for (errors, nothing) in
        (1..).zip([REQUEST, "PROXY TCP4 192.0.2.9\r\n", "PROXY TCP4 192.0.2.9 198.51.100.7 5"])
    {
        let mut client = rig.client();
        client.send(nothing);
        assert!(client.is_closed(), "{nothing:?}");
        wait_until("it is counted", || rig.engine.snapshot().services[0].errors == errors);
    }
    let mut silent = rig.client();
    assert!(silent.is_closed());
    wait_until("it is counted", || rig.engine.snapshot().services[0].errors == 4);
    // Somebody who looks whether the port is open.
    drop(rig.client());
    wait_until("all are gone", || rig.engine.snapshot().services[0].connections == 0);
    assert_eq!(rig.engine.snapshot().services[0].errors, 4);
    assert_eq!(origin.accepted(), 0);
}

#[test]
fn in_mode_tcp_the_server_gets_what_follows() {
    let origin = Origin::with(|peer| {
        let mut all = [0; 100];
        let count = peer.read(&mut all).unwrap();
        let _ = peer.write(&all[..count]);
    });
    let mut front = proxied(&origin);
    front.mode = Mode::Tcp;
    let rig = Rig::start(front);
    let mut client = rig.client();
    client.send("PROXY TCP4 192.0.2.9 198.51.100.7 51000 443\r\nhello");
    client.stream().shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    client.stream().read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "hello");
}

/// A line that ends in CRLF, or the 28 bytes of a header of version 2 for IPv4.
fn header_of(peer: &mut Peer, version: ProxyVersion) -> Vec<u8> {
    let mut header = Vec::new();
    let mut byte = [0];
    let whole = |header: &[u8]| match version {
        ProxyVersion::V1 => header.ends_with(b"\r\n"),
        ProxyVersion::V2 => header.len() >= 16 && header.len() == 16 + usize::from(header[15]),
    };
    while !whole(&header) && peer.read(&mut byte).is_ok_and(|count| count == 1) {
        header.push(byte[0]);
    }
    header
}

#[test]
fn servers_are_told_who_the_client_is() {
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let origin = Origin::with(move |peer| {
            let header = header_of(peer, version);
            while let Some(request) = peer.request() {
                let told = match version {
                    ProxyVersion::V1 => String::from_utf8_lossy(&header).trim().to_owned(),
                    ProxyVersion::V2 => format!("{:?}", &header[12..]),
                };
                let _ = peer.write(&with_length(&format!("{told} {}", request.line())));
            }
        });
        let mut front = service(&[origin.at]);
        front.pool.proxy_protocol = Some(version);
        let rig = Rig::start(front);
        let port = rig.at.port();
        let mut clients = [rig.client(), rig.client()];
        for client in &mut clients {
            for _ in 0..2 {
                let own = client.stream().local_addr().unwrap().port();
                let expected = match version {
                    ProxyVersion::V1 => format!("PROXY TCP4 127.0.0.1 127.0.0.1 {own} {port} GET / HTTP/1.1"),
                    ProxyVersion::V2 => {
                        let [own, port] = [own, port].map(u16::to_be_bytes);
                        let told =
                            [0x21, 0x11, 0, 12, 127, 0, 0, 1, 127, 0, 0, 1, own[0], own[1], port[0], port[1]];
                        format!("{told:?} GET / HTTP/1.1")
                    }
                };
                assert_eq!(client.get("/").unwrap().body, expected);
            }
        }
        assert_eq!(origin.accepted(), 4, "a connection is for one client's request alone");
    }
}

#[test]
fn a_server_that_speaks_first_hears_the_header_first() {
    let origin = Origin::with(|peer| {
        let header = header_of(peer, ProxyVersion::V1);
        let _ = peer.write(&[b"220 ", &header[..]].concat());
    });
    let mut front = proxied(&origin);
    front.mode = Mode::Tcp;
    front.pool.proxy_protocol = Some(ProxyVersion::V1);
    let rig = Rig::start(front);
    let mut client = rig.client();
    client.send("PROXY TCP6 2001:db8::9 2001:db8::1 51000 25\r\n");
    let mut heard = String::new();
    client.stream().read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "220 PROXY TCP6 2001:db8::9 2001:db8::1 51000 25\r\n");
}

#[test]
fn checks_say_that_they_speak_for_themselves() {
    let origin = Origin::with(|peer| {
        if header_of(peer, ProxyVersion::V2)[12..] == [0x20, 0, 0, 0] && peer.request().is_some() {
            let _ = peer.write(&with_length("fine"));
        }
    });
    let mut front = service(&[origin.at]);
    front.pool.proxy_protocol = Some(ProxyVersion::V2);
    front.pool.check.kind = CheckKind::Http(relevo_model::cluster::HttpCheck::get("/"));
    let rig = Rig::start(front);
    rig.wait_health(1, Health::Up);
}

/// Debian's HAProxy, ended when dropped.
struct Haproxy(std::process::Child, std::path::PathBuf);

impl Haproxy {
    fn run(port: u16, frontend: &str) -> Self {
        let path = std::env::temp_dir().join(format!("relevo-proxied-{}-{port}.cfg", std::process::id()));
        let text = format!(
            "defaults\n mode http\n timeout client 9s\n timeout server 9s\n timeout connect 9s\n{frontend}"
        );
        std::fs::write(&path, text).unwrap();
        let child = std::process::Command::new("haproxy").args(["-db", "-f"]).arg(&path).spawn().unwrap();
        wait_until("haproxy listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self(child, path)
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_file(&self.1);
    }
}

/// What a client at 127.0.0.2 gets.
fn curl(port: u16) -> String {
    let url = format!("http://127.0.0.1:{port}/");
    let curl =
        std::process::Command::new("curl").args(["-sS", "--interface", "127.0.0.2", &url]).output().unwrap();
    String::from_utf8_lossy(&curl.stdout).into_owned()
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Real HAProxy on either side; a test of `main.rs`.
pub(crate) fn haproxy_is_understood_and_understands() {
    let origin = teller();
    let rig = Rig::start(proxied(&origin));
    for send in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority"] {
        let (port, to) = (free_port(), rig.at);
        let front =
            format!("frontend f\n bind 127.0.0.1:{port}\n unique-id-format %ci\n default_backend b\n");
        let _haproxy = Haproxy::run(port, &format!("{front}backend b\n server s {to} {send}\n"));
        assert_eq!(curl(port), "127.0.0.2", "{send}");
    }
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let port = free_port();
        let answer = "http-request return content-type text/plain lf-string \"%[src] %[dst_port]\"";
        // Not our own header, to see that it listens: it closes.
        let _haproxy =
            Haproxy::run(port, &format!("frontend f\n bind 127.0.0.1:{port} accept-proxy\n {answer}\n"));
        let mut front = service(&[format!("127.0.0.1:{port}").parse().unwrap()]);
        front.pool.proxy_protocol = Some(version);
        let rig = Rig::start(front);
        assert_eq!(curl(rig.at.port()), format!("127.0.0.2 {}", rig.at.port()), "{version:?}");
    }
}
