//! The reference says what the reader does: it is written from the same tables, and its defaults and ranges hold.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its files, and fails by panicking"
)]

use relevo_model::reference;

#[test]
fn the_document_is_written_from_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/cluster-file.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let right =
        "docs/reference/cluster-file.md is old: cargo run -q -- reference > docs/reference/cluster-file.md";
    assert!(written == reference::markdown(), "{right}");
}
