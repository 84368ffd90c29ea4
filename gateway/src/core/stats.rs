//! Counters of the core, for metrics.

/// A snapshot of the core. Gauges count what is; the others count since the core was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Channels (gauge).
    pub channels: usize,
    /// Participants and observers (gauge).
    pub participants: usize,
    /// Published tracks (gauge).
    pub tracks: usize,
    /// Subscriptions (gauge).
    pub subscriptions: usize,
    /// Layers whose packets are assembled to frames right now (gauge).
    pub assemblers: usize,
    /// Layers whose frames are cut into packets right now (gauge).
    pub packetizers: usize,
    /// Bytes held in kept groups (gauge).
    pub kept_bytes: usize,
    /// Packets from publishers.
    pub packets_in: u64,
    /// Packets of padding alone from publishers.
    pub padding_in: u64,
    /// Frames from publishers.
    pub frames_in: u64,
    /// Payload bytes from publishers.
    pub bytes_in: u64,
    /// Packets to subscribers.
    pub packets_out: u64,
    /// Frames to subscribers.
    pub frames_out: u64,
    /// Payload bytes to subscribers.
    pub bytes_out: u64,
    /// Packets dropped because their number was seen or is too old.
    pub dropped_duplicates: u64,
    /// Packets and frames dropped because they name a track or a layer that is not there, or in the other form.
    pub dropped_unknown: u64,
    /// Frames dropped because they are too large, or depend on one that was lost.
    pub dropped_frames: u64,
    /// Frames of sound that were too late to become packets.
    pub dropped_late: u64,
    /// Wishes for a keyframe, from joiners, feedback and gaps.
    pub keyframes_wanted: u64,
    /// Keyframe requests that went to publishers.
    pub keyframes_asked: u64,
    /// Keyframes that came.
    pub keyframes_in: u64,
    /// Losses that no retransmission repaired in time, and outages.
    pub gaps: u64,
    /// Times that a kept group was sent to a joiner or in answer to a keyframe request.
    pub kept_groups_sent: u64,
    /// Times that a slow receiver dropped to the next group.
    pub resyncs: u64,
    /// Sender reports that say nothing: without a wall clock, or older than one that came before.
    pub rejected_sender_reports: u64,
}
