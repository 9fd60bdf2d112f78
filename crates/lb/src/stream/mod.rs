//! Both sides of the balancer: the connection to a client and the one to a server, whatever carries their bytes.
//!
//! Data is tried first and waited for second: right after `accept` and `connect` the kernel is asked directly,
//! before the event loop has said anything. Writes go straight to the kernel; only what it does not take waits.
//! A client that asks once, at once, and is answered at once never meets the event loop at all; and who takes what it is
//! given is never watched for writing: [`Late`].

mod client;
mod late;
mod outbox;
pub(crate) mod pipe;
mod secure;
mod server;
mod socket;
mod splice;

use std::io;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

pub(crate) use client::{Client, Greeting};
pub(crate) use late::Late;
pub(crate) use server::ServerStream;
pub(crate) use socket::queued;
pub(crate) use splice::{Broken, Carried, Tube, Tubes};

/// What both sides can do, for those who carry bytes either way.
pub(crate) trait Stream {
    /// Reads into `buffer`; 0: the peer has ended its side.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Sends the parts now as far as they are taken, and keeps the rest. `last`: the connection will be closed at once,
    /// and the end travels with the bytes.
    fn send(&mut self, parts: [&[u8]; 2], last: bool) -> io::Result<()>;

    /// Whether nothing that was sent waits here.
    fn is_flushed(&self) -> bool;

    /// Bytes that were sent and wait here.
    fn unsent(&self) -> usize;

    /// Goes on sending; ready when all is sent.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends this side; the peer may still send.
    fn end(&mut self);

    /// Whether it is a TCP connection of its own with nothing around it: then bytes may go past this process.
    fn is_plain(&self) -> bool;

    /// This TCP connection itself, registered with the event loop for all.
    fn tcp(&mut self) -> Option<&TcpStream>;
}
