//! The bounds and delays of the core.

use std::time::Duration;

/// The bounds and delays of a [`Core`](super::Core). Every setter's default and unit stand in its doc.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) max_channels: usize,
    pub(super) max_participants: usize,
    pub(super) max_tracks: usize,
    pub(super) max_layers: usize,
    pub(super) max_subscriptions: usize,
    pub(super) max_payload_bytes: usize,
    pub(super) max_frame_bytes: usize,
    pub(super) keyframe_interval_min: Duration,
    pub(super) keyframe_interval_max: Duration,
    pub(super) keyframe_share_percent: u32,
    pub(super) keyframe_repeat: Duration,
    pub(super) group_age: Duration,
    pub(super) group_bytes: usize,
    pub(super) kept_age: Duration,
    pub(super) kept_bytes: usize,
    pub(super) live_edge: Duration,
    pub(super) late: Duration,
    pub(super) outage: Duration,
    pub(super) outage_packets: u64,
    pub(super) loss_wait: Duration,
    pub(super) pause_after: Duration,
    pub(super) layer_active: Duration,
    pub(super) resync_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_channels: 10_000,
            max_participants: 500,
            max_tracks: 16,
            max_layers: 4,
            max_subscriptions: 512,
            max_payload_bytes: 1160,
            max_frame_bytes: 4 << 20,
            keyframe_interval_min: Duration::from_millis(250),
            keyframe_interval_max: Duration::from_secs(1),
            keyframe_share_percent: 25,
            keyframe_repeat: Duration::from_millis(200),
            group_age: Duration::from_secs(8),
            group_bytes: 4 << 20,
            kept_age: Duration::from_secs(12),
            kept_bytes: 3 << 20,
            live_edge: Duration::from_secs(1),
            late: Duration::from_millis(300),
            outage: Duration::from_millis(500),
            outage_packets: 128,
            loss_wait: Duration::from_millis(200),
            pause_after: Duration::from_secs(5),
            layer_active: Duration::from_secs(2),
            resync_interval: Duration::from_secs(2),
        }
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {
        impl Config {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(mut self, value: $type) -> Self {
                    self.$name = value;
                    self
                }
            )*
        }
    };
}

setters! {
    /// Most channels at once. Default 10,000.
    max_channels: usize;
    /// Most participants of one channel, and most observers of it. Default 500 of each.
    max_participants: usize;
    /// Most tracks that one participant publishes. Default 16.
    max_tracks: usize;
    /// Most layers of one track. Default 4.
    max_layers: usize;
    /// Most subscriptions of one participant. Default 512.
    max_subscriptions: usize;
    /// Largest RTP payload that frames are cut into, in bytes. Default 1160: with header, extensions and tag it
    /// stays below the 1200 bytes that every path carries.
    max_payload_bytes: usize;
    /// Largest frame that is taken in either form, in bytes. Default 4 MiB.
    max_frame_bytes: usize;
    /// Shortest time between two keyframes that are asked of one layer. Default 250 ms.
    keyframe_interval_min: Duration;
    /// Longest such time, however much a keyframe costs: nobody joins later than this. Default 1 s.
    keyframe_interval_max: Duration;
    /// The part of a layer's bit rate that asked keyframes may take, in percent. Default 25.
    keyframe_share_percent: u32;
    /// Time until an unanswered keyframe request is repeated; it doubles up to five times this. Default 200 ms.
    keyframe_repeat: Duration;
    /// Longest group of pictures that frame subscribers of a publisher that can be asked get. Default 8 s.
    group_age: Duration;
    /// Largest such group, in bytes. Default 4 MiB.
    group_bytes: usize;
    /// Longest group that is kept of a publisher that cannot be asked for a keyframe. Default 12 s.
    kept_age: Duration;
    /// Largest such group, in bytes. Default 3 MiB.
    kept_bytes: usize;
    /// How old the newest frame of a kept group may be when it is shown to a joiner as live. Default 1 s.
    live_edge: Duration;
    /// How much later than usual a frame may come. No joiner starts with a later one, and after it, until frames are live
    /// again, packets are made of no sound, and of pictures with the times of their arrival. Default 300 ms.
    late: Duration;
    /// A silence of this length followed by a hole in the sequence numbers is an outage. Default 500 ms.
    outage: Duration;
    /// A hole of more packets than this is an outage, however short. Default 128.
    outage_packets: u64;
    /// How long frame assembly waits for a lost packet to be retransmitted. Default 200 ms.
    loss_wait: Duration;
    /// How long nobody wants a layer before its publisher is told. Default 5 s.
    pause_after: Duration;
    /// A layer without a packet for this long is not chosen automatically. Default 2 s.
    layer_active: Duration;
    /// Shortest time between two restarts of one slow receiver that cost the publisher a keyframe, and between
    /// two sendings of the kept group to one subscriber. Default 2 s.
    resync_interval: Duration;
}
