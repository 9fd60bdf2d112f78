//! Sockets of connections to servers that have ended, to be connected again.
//!
//! ```text
//!  connected ──both sides have ended──► kept ──our end is acknowledged──► disconnected ──► connected
//! ```
//! Making a socket, its options and its descriptor, and taking all of it down again, costs the kernel more than to disconnect
//! one (connect(2), `AF_UNSPEC`), which is then as good as a new one. Only what has ended in good order on both sides comes
//! here: the kernel forgets such a connection when the server has acknowledged our end, which on the same machine it has by
//! now. Nothing that waits here is registered with the event loop.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

use crate::stream::queued;

/// Most sockets that wait, in one worker, of each family.
const KEPT: usize = 32;

/// A worker's.
#[derive(Debug, Default)]
pub(crate) struct Spent {
    v4: VecDeque<TcpStream>,
    v6: VecDeque<TcpStream>,
}

/// A new socket for a connection to a server.
pub(crate) fn socket(at: SocketAddr) -> io::Result<TcpStream> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP)).map(TcpStream::from)?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

impl Spent {
    /// Keeps the socket of a connection to this address, on which both sides have said their end.
    pub(crate) fn put(&mut self, at: SocketAddr, socket: TcpStream) {
        let kept = self.of(at);
        // If the oldest does not become free, its server is gone: the kernel goes on alone with what is closed.
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(socket);
    }

    /// A socket that can be connected to this address.
    pub(crate) fn take(&mut self, at: SocketAddr) -> Option<TcpStream> {
        let kept = self.of(at);
        // The end counts as a byte until it is acknowledged; to disconnect before that would take it back.
        if queued(kept.front()?.as_fd()) != Some(0) {
            return None;
        }
        let socket = kept.pop_front()?;
        rustix::net::connect_unspec(&socket).ok()?;
        Some(socket)
    }

    fn of(&mut self, at: SocketAddr) -> &mut VecDeque<TcpStream> {
        if at.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener};

    use super::*;

    fn pair(listener: &TcpListener, socket: TcpStream) -> (TcpStream, TcpStream) {
        let at = listener.local_addr().unwrap();
        assert_eq!(rustix::net::connect(&socket, &at), Err(rustix::io::Errno::INPROGRESS));
        let (peer, from) = listener.accept().unwrap();
        assert_eq!(socket.local_addr().unwrap(), from);
        (socket, peer)
    }

    fn listeners(at: &str) -> [TcpListener; 2] {
        [(); 2].map(|()| TcpListener::bind(at).unwrap())
    }

    fn text(mut stream: &TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_socket_is_as_new_for_the_next_server_and_the_last_one_sees_a_plain_end() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let servers = listeners(local);
            let at = servers[0].local_addr().unwrap();
            let mut spent = Spent::default();
            assert!(spent.take(at).is_none());
            let mut socket = socket(at).unwrap();
            for round in 0..6 {
                let (mut here, mut there) = pair(&servers[round / 2 % 2], socket);
                here.write_all(b"asked").unwrap();
                there.write_all(b"answered").unwrap();
                there.shutdown(Shutdown::Write).unwrap();
                here.set_nonblocking(false).unwrap();
                assert_eq!(text(&here), "answered");
                here.set_nonblocking(true).unwrap();
                here.shutdown(Shutdown::Write).unwrap();
                spent.put(at, here);
                socket = spent.take(at).expect("it is free");
                assert!(spent.take(at).is_none());
                assert!(socket.nodelay().unwrap());
                assert_eq!(text(&there), "asked", "and no reset");
            }
        }
    }

    #[test]
    fn a_socket_whose_last_bytes_are_not_acknowledged_stays() {
        let [server, other] = listeners("127.0.0.1:0");
        let at = server.local_addr().unwrap();
        let (mut here, there) = pair(&server, socket(at).unwrap());
        while here.write(&[0; 65536]).is_ok() {}
        there.shutdown(Shutdown::Write).unwrap();
        here.shutdown(Shutdown::Write).unwrap();
        let mut spent = Spent::default();
        spent.put(at, here);
        assert!(spent.take(at).is_none());
        assert!(spent.take("[::1]:80".parse().unwrap()).is_none(), "of another family");
        // Others do not wait for it for ever.
        for _ in 0..KEPT {
            let (here, there) = pair(&other, socket(at).unwrap());
            there.shutdown(Shutdown::Write).unwrap();
            here.shutdown(Shutdown::Write).unwrap();
            spent.put(at, here);
        }
        assert_eq!(spent.v4.len(), KEPT);
        assert!(spent.take(at).is_some());
    }
}
