//! [`Profile`]: what a key exchange agrees on.

use tombolo_crypto::AeadAlgorithm;

use crate::cipher;
use crate::layout;

/// A protection profile (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// `SRTP_AES128_CM_HMAC_SHA1_80`, 0x0001.
    Aes128CmHmacSha1_80,
    /// `SRTP_AES128_CM_HMAC_SHA1_32`, 0x0002: a tag of 4 bytes on RTP, of 10 on RTCP.
    Aes128CmHmacSha1_32,
    /// `SRTP_AEAD_AES_128_GCM`, 0x0007.
    AeadAes128Gcm,
    /// `SRTP_AEAD_AES_256_GCM`, 0x0008.
    AeadAes256Gcm,
}

impl Profile {
    /// In the order of preference: an AEAD costs a third of the others, and of those the longer tag is the safer.
    pub const ALL: [Self; 4] =
        [Self::AeadAes128Gcm, Self::AeadAes256Gcm, Self::Aes128CmHmacSha1_80, Self::Aes128CmHmacSha1_32];

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
            Self::Aes128CmHmacSha1_32 => 0x0002,
            Self::AeadAes128Gcm => 0x0007,
            Self::AeadAes256Gcm => 0x0008,
        }
    }

    /// Bytes of the master key, and of the cipher's session key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm => 32,
            Self::Aes128CmHmacSha1_80 | Self::Aes128CmHmacSha1_32 | Self::AeadAes128Gcm => 16,
        }
    }

    /// Bytes of the master salt, and of the session salt.
    #[must_use]
    pub const fn salt_len(self) -> usize {
        match self.aead() {
            None => 14,
            Some(_) => 12,
        }
    }

    /// Bytes that protection adds to an RTP packet, besides MKI and cryptex.
    #[must_use]
    pub const fn rtp_overhead(self) -> usize {
        match self {
            Self::Aes128CmHmacSha1_80 => cipher::CM_TAG_LEN,
            Self::Aes128CmHmacSha1_32 => cipher::CM_SHORT_TAG_LEN,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => cipher::GCM_TAG_LEN,
        }
    }

    /// Bytes that protection adds to an RTCP packet, besides the MKI.
    #[must_use]
    pub const fn rtcp_overhead(self) -> usize {
        match self.aead() {
            None => cipher::CM_TAG_LEN + layout::INDEX_LEN,
            Some(_) => cipher::GCM_TAG_LEN + layout::INDEX_LEN,
        }
    }

    pub(crate) const fn aead(self) -> Option<AeadAlgorithm> {
        match self {
            Self::Aes128CmHmacSha1_80 | Self::Aes128CmHmacSha1_32 => None,
            Self::AeadAes128Gcm => Some(AeadAlgorithm::Aes128Gcm),
            Self::AeadAes256Gcm => Some(AeadAlgorithm::Aes256Gcm),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_OVERHEAD;

    /// SRTP-03: the lengths are those of the selected profile.
    #[test]
    fn profiles_have_their_numbers_and_lengths() {
        for profile in Profile::ALL {
            assert_eq!(Profile::from_dtls_id(profile.dtls_id()), Some(profile));
            assert!(profile.rtcp_overhead() <= MAX_OVERHEAD);
        }
        let lengths = |profile: Profile| {
            (profile.key_len(), profile.salt_len(), profile.rtp_overhead(), profile.rtcp_overhead())
        };
        assert_eq!(lengths(Profile::Aes128CmHmacSha1_80), (16, 14, 10, 14));
        assert_eq!(lengths(Profile::Aes128CmHmacSha1_32), (16, 14, 4, 14));
        assert_eq!(lengths(Profile::AeadAes128Gcm), (16, 12, 16, 20));
        assert_eq!(lengths(Profile::AeadAes256Gcm), (32, 12, 16, 20));
    }

    /// SRTP-02: the NULL profiles (0x0005, 0x0006) have no name here.
    #[test]
    fn null_profiles_do_not_exist() {
        let known: Vec<_> = (0..=u16::MAX).filter(|&id| Profile::from_dtls_id(id).is_some()).collect();
        assert_eq!(known, [1, 2, 7, 8]);
    }
}
