//! What a client or a request is known by, out of a head that was written for the server.

use std::net::IpAddr;

use relevo_model::cluster::{AffinityKey, HashKey};

use super::cookie::cookie;
use crate::balance::hash;
use crate::head::{field, path, path_and_query, query_parameter};

/// The hash that chooses a server; `None`: there is no such key. `head`: none in mode `tcp`.
pub fn hash_key(key: &HashKey, source: IpAddr, head: Option<&[u8]>) -> Option<u64> {
    let found = match (key, head) {
        (HashKey::Source, _) => return Some(with_octets(source, hash)),
        (HashKey::Uri { query: false }, Some(head)) => Some(path(head)),
        (HashKey::Uri { query: true }, Some(head)) => Some(path_and_query(head)),
        (HashKey::Header(name), Some(head)) => field(head, name.as_bytes()),
        (HashKey::UrlParam(name), Some(head)) => query_parameter(head, name.as_bytes()),
        (HashKey::Cookie(name), Some(head)) => cookie(head, name.as_bytes()),
        (_, None) => None,
    };
    found.filter(|value| !value.is_empty()).map(hash)
}

/// The key of an affinity table; `None`: the client shows none.
pub fn affinity_key(key: &AffinityKey, source: IpAddr, head: Option<&[u8]>) -> Option<super::Key> {
    let found = match (key, head) {
        (AffinityKey::Source, _) => return Some(super::Key::source(source)),
        (AffinityKey::Header(name), Some(head)) => field(head, name.as_bytes()),
        (AffinityKey::Cookie(name), Some(head)) => cookie(head, name.as_bytes()),
        (_, None) => None,
    };
    found.filter(|value| !value.is_empty()).map(super::Key::text)
}

fn with_octets<T>(source: IpAddr, then: impl FnOnce(&[u8]) -> T) -> T {
    match source.to_canonical() {
        IpAddr::V4(source) => then(&source.octets()),
        IpAddr::V6(source) => then(&source.octets()),
    }
}
