//! Counters of the WebRTC legs, for metrics.

use std::collections::BTreeMap;

/// A snapshot of the legs. Gauges count what is; the others count since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Peer connections (gauge).
    pub legs: usize,
    /// Peer connections that are up (gauge).
    pub connected: usize,
    /// Peer connections that failed.
    pub failed: u64,
    /// Datagrams dropped, by reason.
    pub drops: BTreeMap<&'static str, u64>,
}
