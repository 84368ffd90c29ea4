//! [`Config`]: the bounds of a context, and how it treats header extensions.

use crate::layout;

/// Whether header extensions and CSRCs are encrypted as a whole (RFC 9335).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cryptex {
    /// Never: the two values that mark such a packet mean nothing.
    #[default]
    Off,
    /// A sender does it with each packet that has any. A receiver takes packets with and without.
    On,
    /// The same for a sender. A receiver refuses packets with extensions or CSRCs in the clear.
    Required,
}

/// Bounds and options of a context.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) replay_window_packets: usize,
    pub(crate) max_sources: usize,
    pub(crate) rtp_lifetime_packets: u64,
    pub(crate) rtcp_lifetime_packets: u64,
    pub(crate) cryptex: Cryptex,
    pub(crate) encrypted_extensions: ExtensionSet,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            replay_window_packets: 1024,
            max_sources: 256,
            rtp_lifetime_packets: layout::MAX_RTP_INDEX + 1,
            rtcp_lifetime_packets: u64::from(layout::MAX_RTCP_INDEX) + 1,
            cryptex: Cryptex::Off,
            encrypted_extensions: ExtensionSet::default(),
        }
    }
}

impl Config {
    /// How far behind the newest packet of its source a packet may come. Default 1024; at least 64 (RFC 3711
    /// §3.3.2), at most 32768, rounded up to a multiple of 64.
    #[must_use]
    pub fn replay_window_packets(mut self, packets: usize) -> Self {
        self.replay_window_packets = packets.clamp(64, 32_768).next_multiple_of(64);
        self
    }

    /// Most sources of a direction, of RTP and of RTCP each. Default 256. With the default window a source takes
    /// about 300 bytes.
    #[must_use]
    pub const fn max_sources(mut self, sources: usize) -> Self {
        self.max_sources = sources;
        self
    }

    /// How many RTP packets a master key may protect, over all sources. Default and most 2^48 (RFC 3711 §9.2).
    #[must_use]
    pub fn rtp_lifetime_packets(mut self, packets: u64) -> Self {
        self.rtp_lifetime_packets = packets.min(layout::MAX_RTP_INDEX + 1);
        self
    }

    /// How many RTCP packets a master key may protect, over all sources. Default and most 2^31 (RFC 3711 §9.2).
    #[must_use]
    pub fn rtcp_lifetime_packets(mut self, packets: u64) -> Self {
        self.rtcp_lifetime_packets = packets.min(u64::from(layout::MAX_RTCP_INDEX) + 1);
        self
    }

    /// Whether header extensions and CSRCs are encrypted as a whole (RFC 9335). Default off: a sender may only do it
    /// when the peer has said that it takes it (§4).
    #[must_use]
    pub const fn cryptex(mut self, cryptex: Cryptex) -> Self {
        self.cryptex = cryptex;
        self
    }

    /// The ids of the header extensions whose values are encrypted (RFC 6904), as both sides have negotiated them.
    /// Default none. A packet that is protected by [`Cryptex`] is left to that (RFC 9335 §4).
    #[must_use]
    pub fn encrypted_extensions(mut self, ids: &[u8]) -> Self {
        self.encrypted_extensions = ExtensionSet::default();
        for &id in ids {
            self.encrypted_extensions.0[usize::from(id / 64)] |= 1 << (id % 64);
        }
        self
    }
}

/// Ids of header extensions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ExtensionSet([u64; 4]);

impl ExtensionSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    pub(crate) const fn contains(&self, id: u8) -> bool {
        self.0[(id / 64) as usize] >> (id % 64) & 1 != 0
    }
}
