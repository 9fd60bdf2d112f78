//! The status in `docs/reference/api.md` has the fields that a node's status has, and no other ones.

#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

use relevo_api::types::Status;
use serde_json::Value;

#[test]
fn the_documents_status_is_one() {
    let document = include_str!("../../../docs/reference/api.md");
    let block = document.split("\n```json\n").nth(1).unwrap().split("\n```").next().unwrap();
    let told: Value = serde_json::from_str(block).unwrap();
    let status: Status = serde_json::from_value(told.clone()).unwrap();
    let is = serde_json::to_value(&status).unwrap();
    assert_eq!(serde_json::to_string_pretty(&is).unwrap(), serde_json::to_string_pretty(&told).unwrap());
}
