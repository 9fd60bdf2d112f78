//! HTTP/1.1 between a client and a server: strict framing (RFC 9112), rewriting, keep-alive on both sides.
//!
//! The parsers take bytes and give values or a refusal; they are public for the fuzz targets. The rest of
//! the engine drives them from sockets.

mod answer;
pub mod body;
pub mod chunked;
pub(crate) mod coder;
pub(crate) mod connection;
mod decide;
pub(crate) mod exchange;
pub mod fields;
mod framing;
pub(crate) mod hop;
mod kept;
pub(crate) mod linger;
mod obey;
mod own;
mod parked;
pub mod refusal;
pub mod request;
mod request_line;
pub mod response;
pub(crate) mod talk;
#[cfg(test)]
mod tests;
pub(crate) mod trailers;
