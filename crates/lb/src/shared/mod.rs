//! Connections of HTTP/2 to servers (RFC 9113), which requests share: one stream for each.
//!
//! ```text
//!   engine ──lines of HTTP/1.1──► Stream::send ──► Up ──► h2 ──► Wire ◄─► server
//!          ◄─────────────── Stream::poll_read ◄── Down ◄──
//! ```
//! For the engine a stream is a connection to a server: it writes a request of HTTP/1.1 and reads an answer of HTTP/1.1, so
//! that whatever holds for such servers holds for these. A stream is for one request.
//!
//! - `Link` is a connection; a task of its own reads and writes. `Links` are those of one server in one worker. A new one
//!   is made when all others have as many streams as the server allows, or `MOST_STREAMS`.
//! - A server that says that it has not processed a request (RFC 9113 section 8.7) gets it again on another connection, as
//!   far as its body is still known.
//! - What a client does not read holds the window of its own stream only: that of the connection has room for all streams.

mod down;
mod find;
mod head;
mod link;
mod links;
pub mod replay;
mod stream;
mod up;
pub(crate) mod websocket;

pub(crate) use find::find;
pub(crate) use link::Link;
pub(crate) use links::Links;
pub(crate) use stream::Stream;

/// Most streams at a time on one connection.
const MOST_STREAMS: usize = 100;
/// Bytes that a server may send on one stream before the client has taken them.
const STREAM_WINDOW: u32 = 128 * 1024;
/// The same on all streams together: nobody waits for another one's client.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS as u32;
/// Bytes of one request that wait within the `h2` crate.
const SEND_BUFFER: usize = 128 * 1024;
/// Most bytes of an answer's head, counted as RFC 9113 section 6.5.2 does. The engine has limits of its own.
const LARGEST_HEAD: u32 = 256 * 1024;
/// Longest rest of a connection without a stream, in milliseconds.
const LONGEST_REST: u64 = 60_000;

/// What a request may not be, as an error of this kind: it cannot be said in HTTP/2.
pub(crate) const UNSPEAKABLE: std::io::ErrorKind = std::io::ErrorKind::InvalidInput;
/// The server takes no WebSockets over HTTP/2, and nothing else is spoken with it.
pub(crate) const NO_WEBSOCKETS: std::io::ErrorKind = std::io::ErrorKind::Unsupported;
