//! SRTP and SRTCP (RFC 3711, RFC 7714), in place and without allocation per packet.
//!
//! One [`OutboundContext`] protects what this side sends, one [`InboundContext`] opens what the peer sends; each has
//! its own master key, as DTLS-SRTP exports them (RFC 5764 §4.2). All sources of a direction share the context.
//!
//! | profile | packet |
//! |---|---|
//! | [`Profile::Aes128CmHmacSha1_80`] | RTP `[header \| ciphertext \| tag 10]`, RTCP `[8 bytes \| ciphertext \| E index 32 \| tag 10]` |
//! | [`Profile::AeadAes128Gcm`] | RTP `[header \| ciphertext \| tag 16]`, RTCP `[8 bytes \| ciphertext \| tag 16 \| E index 32]` |
//!
//! - Nothing is known of a source before its first authenticated packet: forged packets cost no memory. The
//!   number of sources is bounded ([`Config::max_sources`]).
//! - Rollover counter and replay window move only after authentication (RFC 3711 §3.3.1).
//! - A key stream is never used twice: the sender refuses an index that it has used (RFC 3711 §9.1).
//! - At the end of a key's life both directions stop ([`Config::rtp_lifetime_packets`]).
//!
//! Left out: MKI, key derivation rates other than zero, and the NULL cipher, which WebRTC forbids (RFC 8827 §6.5).

mod cipher;
mod inbound;
mod kdf;
mod layout;
mod outbound;
mod replay;
mod sources;

pub use inbound::{InboundContext, UnprotectError};
pub use kdf::KeyError;
pub use outbound::{OutboundContext, ProtectError};

/// Most bytes that protection adds to a packet, of either kind and with either profile: tail room that a buffer
/// must have.
pub const MAX_OVERHEAD: usize = cipher::GCM_TAG_LEN + layout::INDEX_LEN;

/// A protection profile (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// `SRTP_AES128_CM_HMAC_SHA1_80`, 0x0001.
    Aes128CmHmacSha1_80,
    /// `SRTP_AEAD_AES_128_GCM`, 0x0007.
    AeadAes128Gcm,
}

impl Profile {
    /// In the order of preference: the AEAD costs a third of the other.
    pub const ALL: [Self; 2] = [Self::AeadAes128Gcm, Self::Aes128CmHmacSha1_80];

    /// The profile that `use_srtp` calls by this number.
    #[must_use]
    pub fn from_dtls_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.dtls_id() == id)
    }

    /// The number in the DTLS extension `use_srtp`.
    #[must_use]
    pub const fn dtls_id(self) -> u16 {
        match self {
            Self::Aes128CmHmacSha1_80 => 0x0001,
            Self::AeadAes128Gcm => 0x0007,
        }
    }

    /// Bytes of the master key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        16
    }

    /// Bytes of the master salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        match self {
            Self::Aes128CmHmacSha1_80 => 14,
            Self::AeadAes128Gcm => 12,
        }
    }

    /// Bytes that protection adds to an RTP packet.
    #[must_use]
    pub const fn rtp_overhead(self) -> usize {
        match self {
            Self::Aes128CmHmacSha1_80 => cipher::CM_TAG_LEN,
            Self::AeadAes128Gcm => cipher::GCM_TAG_LEN,
        }
    }

    /// Bytes that protection adds to an RTCP packet.
    #[must_use]
    pub const fn rtcp_overhead(self) -> usize {
        self.rtp_overhead() + layout::INDEX_LEN
    }
}

/// Bounds of a context.
#[derive(Clone, Debug)]
pub struct Config {
    replay_window_packets: usize,
    max_sources: usize,
    rtp_lifetime_packets: u64,
    rtcp_lifetime_packets: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            replay_window_packets: 1024,
            max_sources: 256,
            rtp_lifetime_packets: layout::MAX_RTP_INDEX + 1,
            rtcp_lifetime_packets: u64::from(layout::MAX_RTCP_INDEX) + 1,
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
    /// about 200 bytes.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SRTP-03: the lengths are those of the selected profile.
    #[test]
    fn profiles_have_their_numbers_and_lengths() {
        for profile in Profile::ALL {
            assert_eq!(Profile::from_dtls_id(profile.dtls_id()), Some(profile));
            assert!(profile.rtcp_overhead() <= MAX_OVERHEAD);
        }
        let cm = Profile::Aes128CmHmacSha1_80;
        assert_eq!((cm.key_len(), cm.salt_len(), cm.rtp_overhead(), cm.rtcp_overhead()), (16, 14, 10, 14));
        let gcm = Profile::AeadAes128Gcm;
        assert_eq!(
            (gcm.key_len(), gcm.salt_len(), gcm.rtp_overhead(), gcm.rtcp_overhead()),
            (16, 12, 16, 20)
        );
    }

    /// SRTP-02: the NULL profiles (0x0005, 0x0006) have no name here.
    #[test]
    fn null_profiles_do_not_exist() {
        let known: Vec<_> = (0..=u16::MAX).filter(|&id| Profile::from_dtls_id(id).is_some()).collect();
        assert_eq!(known, [1, 7]);
    }
}
