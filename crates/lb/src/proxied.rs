//! Clients that come through another proxy: each connection begins with a PROXY header that tells who they are.
//!
//! The header is looked at before it is taken, so that nothing behind it is read: TLS and the engines begin with a
//! connection as any other. Who sends none, or too late, or a wrong one, is closed without a word and counted as an error.

use std::future::poll_fn;
use std::io::{self, Read};
use std::net::TcpStream as StdStream;
use std::os::fd::BorrowedFd;
use std::task::Poll;

use relevo_model::cluster::ProxyVersion;
use relevo_proto::proxy_protocol::{self, Ends, Header, LARGEST, NotProxy};
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::local::Presence;
use crate::slot::Signal;
use crate::strangers::{self, Arrival};

/// What was found.
enum Found {
    Header(Header),
    /// A part, which was taken.
    Part,
    /// Nothing new.
    Nothing,
}

/// Takes the header off a connection that was just accepted. Without ends, it speaks for itself, and its own ends count.
///
/// # Errors
/// The connection must be closed; it was counted.
pub(crate) async fn read(
    presence: &Presence,
    stream: StdStream,
    arrival: Arrival,
) -> io::Result<(StdStream, Option<Ends>)> {
    presence.set_deadline(presence.local.frontend.config.timeouts.request);
    let mut taken = Vec::new();
    let result = take(presence, stream, &mut taken).await;
    if let Err(error) = &result {
        // Who looks whether the port is open sends nothing.
        if !taken.is_empty() || error.kind() != io::ErrorKind::UnexpectedEof {
            presence.local.counters().errors.add();
        }
        strangers::header_ended(presence, arrival, error, !taken.is_empty());
        tracing::debug!(service = %presence.local.frontend.config.name, %error, "no PROXY header from a client");
    }
    result
}

async fn take(
    presence: &Presence,
    mut stream: StdStream,
    taken: &mut Vec<u8>,
) -> io::Result<(StdStream, Option<Ends>)> {
    loop {
        match look(presence, &stream, taken)? {
            Found::Header(header) => return Ok((stream, header.ends)),
            Found::Part => {}
            Found::Nothing => {
                // Seldom: the header mostly comes with the connection.
                let waiting = TcpStream::from_std(stream)?;
                poll_fn(|cx| {
                    presence.slot.set_waker(cx.waker());
                    match presence.slot.take_signal() {
                        Signal::Timeout => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                        Signal::Cut => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
                        // Who has said nothing is let go; who has begun is served.
                        Signal::Closing if presence.is_closing() && taken.is_empty() => {
                            match waiting.poll_read_ready(cx) {
                                Poll::Pending => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
                                ready @ Poll::Ready(_) => ready,
                            }
                        }
                        Signal::None | Signal::Closing | Signal::ServerDown => waiting.poll_read_ready(cx),
                    }
                })
                .await?;
                stream = waiting.into_std()?;
            }
        }
    }
}

/// Looks at what is there, and takes of it what belongs to the header.
fn look(presence: &Presence, stream: &StdStream, taken: &mut Vec<u8>) -> io::Result<Found> {
    let mut scratch = presence.local.worker.scratch.borrow_mut();
    let space = scratch.get_mut(..LARGEST).unwrap_or_default();
    let count = match stream.peek(space) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => count,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    let before = taken.len();
    let parsed = if before == 0 {
        Header::parse(space.get(..count).unwrap_or_default())
    } else {
        taken.extend_from_slice(space.get(..count).unwrap_or_default());
        Header::parse(taken)
    };
    let header = parsed.map_err(|wrong| {
        let kind =
            if wrong == NotProxy::NONE { io::ErrorKind::InvalidInput } else { io::ErrorKind::InvalidData };
        io::Error::new(kind, wrong.0)
    })?;
    let part = header.map_or(count, |header| header.length - before);
    // It has just been seen there.
    let mut reader = stream;
    reader.read_exact(space.get_mut(..part).unwrap_or_default())?;
    if before == 0 && header.is_none() {
        taken.extend_from_slice(space.get(..part).unwrap_or_default());
    }
    Ok(header.map_or(Found::Part, Found::Header))
}

/// Begins a connection to a server with the header. `more`: bytes of ours follow at once.
pub(crate) fn introduce(
    stream: BorrowedFd<'_>,
    version: ProxyVersion,
    ends: Option<Ends>,
    more: bool,
) -> io::Result<()> {
    use nix::libc::{MSG_MORE, MSG_NOSIGNAL};
    let mut header = Vec::with_capacity(128);
    proxy_protocol::write(version, ends, &mut header);
    let flags = if more { MSG_NOSIGNAL | MSG_MORE } else { MSG_NOSIGNAL };
    // The buffer of a new connection has room for it.
    match SockRef::from(&stream).send_with_flags(&header, flags)? {
        count if count == header.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}
