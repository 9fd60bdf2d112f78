//! Questions by ICMP (RFC 792): does somebody answer, how large a packet gets there whole, what does his clock say.
//!
//! For a person who waits: each question blocks until its answer or its time is over.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use socket2::{Domain, Protocol, Socket, Type};

use crate::Error;

/// A raw socket for questions.
#[derive(Debug)]
pub struct Icmp {
    socket: Socket,
    id: u16,
    sequence: u16,
}

/// What came of an echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// It came back whole after this time.
    Back(Duration),
    /// Somebody, maybe our own kernel, says that it is too large for the way.
    TooLarge,
    /// Nothing came.
    Nothing,
}

const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const ECHO: u8 = 8;
const TIMESTAMP: u8 = 13;
const TIMESTAMP_REPLY: u8 = 14;
/// Header of IPv4 without options, and of an echo.
const HEADERS: usize = 28;

impl Icmp {
    /// Opens the socket. What it sends is never fragmented.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_RAW`.
    pub fn open() -> Result<Self, Error> {
        let open = || -> io::Result<Socket> {
            let socket = Socket::new(Domain::IPV4, Type::RAW.cloexec(), Some(Protocol::ICMPV4))?;
            // Not even where the kernel believes that it knows a smaller MTU.
            set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::PROBE)?;
            Ok(socket)
        };
        let socket = open().map_err(|source| Error::kernel("open a raw ICMP socket", source))?;
        let id = u16::try_from(std::process::id() & 0xffff).unwrap_or(1);
        Ok(Self { socket, id, sequence: 0 })
    }

    /// Sends an echo that makes a packet of `bytes`, IP header included (28 to 65,535), and waits at most so long.
    pub fn echo(&mut self, to: Ipv4Addr, bytes: usize, wait: Duration) -> Echo {
        let mut message = self.message(ECHO);
        message.resize(bytes.clamp(HEADERS, 65_535) - 20, 0x55);
        let begun = Instant::now();
        if let Err(error) = self.send(to, &mut message) {
            let too_large = error.raw_os_error() == Some(nix::libc::EMSGSIZE);
            return if too_large { Echo::TooLarge } else { Echo::Nothing };
        }
        let sequence = self.sequence;
        self.wait(to, wait, |kind, code, rest| match kind {
            ECHO_REPLY if rest.starts_with(&sequence.to_be_bytes()) => Some(Echo::Back(begun.elapsed())),
            // Fragmentation needed and DF set.
            UNREACHABLE if code == 4 => Some(Echo::TooLarge),
            _ => None,
        })
        .unwrap_or(Echo::Nothing)
    }

    /// How much somebody's clock is ahead of `now` (milliseconds since midnight UT), by his answer; the way there and back
    /// is taken for the error of it. `None`: he does not answer such questions.
    pub fn clock(&mut self, to: Ipv4Addr, now: impl Fn() -> u32, wait: Duration) -> Option<(i64, Duration)> {
        let mut message = self.message(TIMESTAMP);
        message.extend([0; 12]);
        let begun = Instant::now();
        self.send(to, &mut message).ok()?;
        let sequence = self.sequence;
        let theirs = self.wait(to, wait, |kind, _, rest| {
            // Sequence, originate, receive, transmit.
            let transmit = rest.get(10..14).and_then(<[u8]>::first_chunk::<4>)?;
            let is_ours = kind == TIMESTAMP_REPLY && rest.starts_with(&sequence.to_be_bytes());
            is_ours.then(|| u32::from_be_bytes(*transmit))
        })?;
        // The highest bit says that the answer is in other units.
        if theirs & 0x8000_0000 != 0 {
            return None;
        }
        let day = 86_400_000;
        let ahead = (i64::from(theirs) - i64::from(now()) + day + day / 2).rem_euclid(day) - day / 2;
        Some((ahead, begun.elapsed()))
    }

    fn message(&mut self, kind: u8) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = vec![kind, 0, 0, 0];
        message.extend(self.id.to_be_bytes());
        message.extend(self.sequence.to_be_bytes());
        message
    }

    fn send(&self, to: Ipv4Addr, message: &mut [u8]) -> io::Result<()> {
        let sum = checksum(message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        self.socket.send_to(message, &SocketAddrV4::new(to, 0).into()).map(drop)
    }

    /// Looks at what comes: type, code and what is behind our own identifier.
    fn wait<T>(
        &self,
        from: Ipv4Addr,
        wait: Duration,
        look: impl Fn(u8, u8, &[u8]) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + wait;
        let mut packet = vec![0; 65_535];
        loop {
            let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.socket.set_read_timeout(Some(left)).ok()?;
            let Ok(length) = (&self.socket).read(&mut packet) else { continue };
            let Some((source, message)) = message_of(&packet[..length]) else { continue };
            let [kind, code, _, _, first, second, rest @ ..] = message else { continue };
            let found = match *kind {
                // It carries the head of what was sent: the destination, then the echo's own header.
                UNREACHABLE => rest
                    .get(2..)
                    .filter(|inner| inner.get(16..20) == Some(&from.octets()[..]))
                    .and_then(|_| look(*kind, *code, &[])),
                _ if source == from && [*first, *second] == self.id.to_be_bytes() => look(*kind, *code, rest),
                _ => None,
            };
            if found.is_some() {
                return found;
            }
        }
    }
}

/// Sender and ICMP message of an IPv4 packet.
fn message_of(packet: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let source: [u8; 4] = *packet.get(12..16)?.first_chunk()?;
    Some((Ipv4Addr::from(source), packet.get(header..)?))
}

/// RFC 1071.
fn checksum(message: &[u8]) -> u16 {
    let words = message.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(u16::try_from(sum).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_message_with_its_checksum_is_zero() {
        let mut message = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1, 0x55, 0x55, 0x55];
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        assert_eq!(checksum(&message), 0);
    }

    #[test]
    fn whatever_comes_is_read_without_a_panic() {
        for length in 0..40 {
            for first in [0x45, 0x4f, 0x00, 0xff] {
                let mut packet = vec![0xff; length];
                if let Some(byte) = packet.first_mut() {
                    *byte = first;
                }
                let _ = message_of(&packet);
            }
        }
    }
}
