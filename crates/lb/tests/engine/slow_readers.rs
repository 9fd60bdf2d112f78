//! A client that reads slowly, but reads: it is not cut for that, however long it takes in all.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::rig::{LONG, Origin, Rig, service, with_length};

const SIZE: usize = 1024 * 1024;
/// Requests at a time: together more than the kernel takes.
const STREAMS: u8 = 40;
/// The longest time in which a client may take nothing.
const PATIENCE: Duration = Duration::from_secs(3);
/// For so long it reads slowly.
const SLOW: Duration = Duration::from_secs(8);

/// Reads until `is_all`, slowly at first. `None`: this machine was too slow to say anything.
fn read_slowly(stream: &mut TcpStream, mut is_all: impl FnMut(&[u8]) -> bool) -> Option<Vec<u8>> {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let (mut all, mut part) = (Vec::new(), vec![0; 256 * 1024]);
    let (start, mut last) = (Instant::now(), Instant::now());
    let mut longest = Duration::ZERO;
    while !is_all(&all) {
        let is_slow = start.elapsed() < SLOW;
        let most = if is_slow { 24 * 1024 } else { part.len() };
        match stream.read(&mut part[..most]) {
            Ok(count @ 1..) => all.extend_from_slice(&part[..count]),
            // The kernel tells that there is room when a third of it, more than a megabyte, is free.
            _ if longest > PATIENCE / 4 || (all.len() as u128) < 800 * start.elapsed().as_millis() => {
                return None;
            }
            end => panic!("{end:?} after {} bytes and {:?}", all.len(), start.elapsed()),
        }
        longest = longest.max(last.elapsed());
        last = Instant::now();
        if is_slow {
            sleep(Duration::from_millis(20));
        }
    }
    Some(all)
}

#[test]
fn of_many_answers_over_http2_gets_all_of_them() {
    let origin = Origin::answering(|_| with_length(&"x".repeat(SIZE)));
    let mut front = service(&[origin.at]);
    front.h2c = true;
    front.timeouts.client = PATIENCE;
    let rig = Rig::start(front);
    // All the room that there is in HTTP/2: SETTINGS_INITIAL_WINDOW_SIZE, and WINDOW_UPDATE of the connection.
    let mut ask = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff".to_vec();
    ask.extend_from_slice(b"\0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0");
    for stream in 0..STREAMS {
        // :method GET, :scheme http, :path /, :authority a.
        ask.extend_from_slice(&[0, 0, 6, 1, 5, 0, 0, 0, 2 * stream + 1, 0x82, 0x86, 0x84, 0x41, 1, b'a']);
    }
    for _ in 0..5 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        socket.connect(&rig.at.into()).unwrap();
        let mut client = TcpStream::from(socket);
        client.write_all(&ask).unwrap();
        let (mut seen, mut ended) = (0, 0);
        let is_all = |bytes: &[u8]| {
            while let Some((head, rest)) = bytes.get(seen..).and_then(<[u8]>::split_first_chunk::<9>) {
                let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                if rest.len() < length {
                    break;
                }
                seen += 9 + length;
                assert_ne!(head[3], 3, "a stream is reset");
                // DATA with END_STREAM comes last.
                ended += u8::from(head[3] == 0 && head[4] & 1 == 1);
            }
            ended == STREAMS
        };
        if let Some(all) = read_slowly(&mut client, is_all) {
            assert!(all.len() > usize::from(STREAMS) * SIZE);
            return;
        }
    }
}

/// The event loop hears of room only when a third of what the kernel keeps is free, which takes this client far longer than its
/// time: that it reads is seen all the same.
#[test]
fn of_one_long_answer_gets_all_of_it() {
    const LONG_ANSWER: usize = 16 * SIZE;
    let origin = Origin::answering(|_| with_length(&"x".repeat(LONG_ANSWER)));
    let mut front = service(&[origin.at]);
    front.timeouts.client = PATIENCE;
    let rig = Rig::start(front);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    socket.connect(&rig.at.into()).unwrap();
    let mut client = TcpStream::from(socket);
    client.set_read_timeout(Some(LONG)).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let (start, mut read, mut part) = (Instant::now(), 0, vec![0; 256 * 1024]);
    loop {
        let is_slow = start.elapsed() < SLOW;
        let most = if is_slow { 8 * 1024 } else { part.len() };
        match client.read(&mut part[..most]) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) => panic!("{error} after {read} bytes and {:?}", start.elapsed()),
        }
        if is_slow {
            sleep(Duration::from_millis(100));
        }
    }
    assert!(read > LONG_ANSWER, "{read}");
}
