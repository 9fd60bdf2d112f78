//! The control API: HTTP and JSON over a local socket, what it says, who serves it and who asks.
//!
//! Only this room knows the API's words on the wire. It does not know where the answers come from: the
//! node hands in something that implements [`server::Control`].

pub mod types;
