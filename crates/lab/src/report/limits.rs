//! What a drill allows. Only the figures that mean something for a drill have a limit.

use serde::Serialize;

/// The largest values with which a drill passes. `None`: not limited, left out of the JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Longest gap of any run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_ms: Option<u64>,
    /// Median over the runs of the longest gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_median_ms: Option<u64>,
    /// New connections without a good answer, in any run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// New connections that were not even refused while the fault lasted: silence until the deadline, in any run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hung: Option<u64>,
    /// Kept connections that broke, in any run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<u64>,
    /// From the fault until another director has the address, in any run; a run without takeover fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub takeover_ms: Option<u64>,
    /// Longest time that two directors had an address at once, in any run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub two_holders_ms: Option<u64>,
    /// Longest gap after the fault was undone, in any run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo_gap_ms: Option<u64>,
    /// How often the address may move after the fault was undone, in any run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo_moves: Option<u64>,
    /// From the undoing of the fault to the first good answer, in any run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back_ms: Option<u64>,
    /// Of a thousand connections that were there for long, to servers that lived: those that were lost, or whose content was
    /// wrong, in all runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flows_lost_per_mille: Option<u64>,
    /// Longest that the client of one that was lost waited until it knew, in any run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dark_ms: Option<u64>,
    /// Longest that one of them waited for the next bytes, in any run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_ms: Option<u64>,
    /// Longest that one of them waited beyond the takeover of its run and the retransmission that is due then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall_after_takeover_ms: Option<u64>,
}
