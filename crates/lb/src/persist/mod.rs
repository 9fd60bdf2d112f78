//! Who gets one request or connection: the server that its client belongs to, else the one that the pool's algorithm
//! says; and how the client is told. What that means is decided in [`relevo_proto::persistence`] and
//! [`relevo_proto::balance`].

mod pick;
mod table;

pub(crate) use pick::{Mark, Next, Pick};
pub(crate) use table::AffinityTable;
