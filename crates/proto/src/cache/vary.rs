//! Which answer is whose: the URI, and the fields of the request that `Vary` names (RFC 9111 section 4.1).

use crate::head::{elements, field, fields_start, lines_from, path_and_query};

/// The names in `Vary`, in lower case, with what the request has in these fields.
pub type Selection = Vec<(Vec<u8>, Vec<u8>)>;

/// What a URI's answers are found by. Hosts do not care for case (RFC 9110 section 4.2.3).
pub fn key(tls: bool, request: &[u8]) -> Vec<u8> {
    let scheme: &[u8] = if tls { b"https://" } else { b"http://" };
    let host = field(request, b"host").unwrap_or_default().to_ascii_lowercase();
    [scheme, &host, path_and_query(request)].concat()
}

/// What another request must have in common with this one.
pub fn selection(request: &[u8], answer: &[u8]) -> Selection {
    let mut names: Vec<Vec<u8>> = elements(answer, "vary").map(<[u8]>::to_ascii_lowercase).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| (values(request, &name), name))
        .map(|(values, name)| (name, values))
        .collect()
}

/// Whether a request has the same.
pub fn matches(selection: &Selection, request: &[u8]) -> bool {
    selection.iter().all(|(name, wanted)| values(request, name) == *wanted)
}

/// All values of a name; a field that is not there differs from an empty one.
fn values(request: &[u8], name: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for line in lines_from(request, fields_start(request)).filter(|line| line.is(request, name)) {
        all.push(b',');
        all.extend_from_slice(line.value(request));
    }
    all
}
