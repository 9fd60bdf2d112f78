//! Asks the kernel by a socket of netlink(7), for those families that no library of ours knows. What is asked and answered is
//! the asker's business; what is around it is here.

use std::io;

use netlink_sys::{Socket, SocketAddr};

const ERROR: u16 = 2;
const DONE: u16 = 3;
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// A socket of one family.
pub(crate) struct Netlink {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens it; `family` as in `NETLINK_SOCK_DIAG`.
    pub(crate) fn open(family: isize) -> io::Result<Self> {
        let mut socket = Socket::new(family)?;
        socket.set_rx_buf_sz(RECEIVE_BUFFER_BYTES)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, buffer: vec![0; 64 * 1024] })
    }

    /// Sends a request, and gives every message of the answer away: its kind, and what is in it.
    pub(crate) fn exchange(&mut self, request: &[u8], mut answer: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.socket.send(request, 0)?;
        loop {
            let length = match self.socket.recv(&mut &mut self.buffer[..], 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let mut rest = self.buffer.get(..length).unwrap_or_default();
            while let Some((kind, payload, next)) = message(rest) {
                rest = next;
                match kind {
                    DONE => return Ok(()),
                    ERROR => {
                        let code = payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                        return if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) };
                    }
                    _ => answer(kind, payload),
                }
            }
        }
    }
}

/// A request: `struct nlmsghdr`, and what is in it. Its sequence number and sender are zero.
pub(crate) fn request(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + payload.len());
    bytes.extend(u32::try_from(16 + payload.len()).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((REQUEST | flags).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(payload);
    bytes
}

const REQUEST: u16 = 1;
/// All entries are wanted.
pub(crate) const DUMP: u16 = 0x300;
/// An answer is wanted where nothing else answers.
pub(crate) const ACK: u16 = 4;

/// The first message: its kind, what is in it, and what is behind it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let payload = bytes.get(16..length)?;
    Some((kind, payload, bytes.get((length + 3) & !3..).unwrap_or(&[])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_back() {
        let bytes = [request(20, DUMP, b"abcde"), vec![0; 3], request(7, ACK, b"")].concat();
        let (kind, payload, rest) = message(&bytes).unwrap();
        assert_eq!((kind, payload), (20, &b"abcde"[..]));
        assert_eq!(message(rest), Some((7, &b""[..], &b""[..])));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(0u8.., 0..120)) {
            let _ = message(&bytes);
        }
    }
}
