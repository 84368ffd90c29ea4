//! [`InboundContext`]: opens what the peer sends.

use tombolo_crypto::CryptoProvider;
use tombolo_net::Ssrc;

use crate::cipher::{BadTag, Cipher};
use crate::kdf::{self, KeyError, Protocol};
use crate::layout::{ENCRYPTED, INDEX_LEN, RTCP_CLEAR_LEN, RtpLayout, estimate_index, rtcp_ssrc};
use crate::replay::Seen;
use crate::sources::{Refused, Sources};
use crate::{Config, Profile};

/// Why a packet is dropped. The state is as before; after [`UnprotectError::Auth`] the packet's bytes are unspecified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum UnprotectError {
    /// This is no SRTP or SRTCP packet, or too short for one.
    #[error("not an SRTP or SRTCP packet")]
    Malformed,
    /// The tag does not fit: forged, damaged, in the clear, or under another key.
    #[error("authentication failed")]
    Auth,
    /// The index was seen before.
    #[error("replayed")]
    Replayed,
    /// The index is behind the replay window.
    #[error("too old")]
    TooOld,
    /// The key has protected all the packets that it may.
    #[error("the key is used up")]
    Lifetime,
    /// There are as many sources as may be.
    #[error("too many sources")]
    TooManySources,
}

impl From<Refused> for UnprotectError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Seen(Seen::Already) => Self::Replayed,
            Refused::Seen(Seen::TooOld) => Self::TooOld,
            Refused::TooManySources => Self::TooManySources,
            Refused::Lifetime => Self::Lifetime,
        }
    }
}

impl From<BadTag> for UnprotectError {
    fn from(BadTag: BadTag) -> Self {
        Self::Auth
    }
}

/// The receiving side of an SRTP session under one master key.
#[derive(Debug)]
pub struct InboundContext {
    rtp_cipher: Cipher,
    rtcp_cipher: Cipher,
    rtp: Sources,
    rtcp: Sources,
}

impl InboundContext {
    /// Derives the session keys.
    ///
    /// # Errors
    /// [`KeyError`] when the lengths are not the profile's, or the provider lacks its algorithms.
    pub fn new(
        provider: &CryptoProvider,
        profile: Profile,
        key: &[u8],
        salt: &[u8],
        config: &Config,
    ) -> Result<Self, KeyError> {
        Ok(Self::with_ciphers(
            kdf::derive(provider, profile, key, salt, Protocol::Rtp)?,
            kdf::derive(provider, profile, key, salt, Protocol::Rtcp)?,
            config,
        ))
    }

    pub(crate) const fn with_ciphers(rtp_cipher: Cipher, rtcp_cipher: Cipher, config: &Config) -> Self {
        let Config { replay_window_packets: window, max_sources, .. } = *config;
        Self {
            rtp_cipher,
            rtcp_cipher,
            rtp: Sources::new(window, max_sources, config.rtp_lifetime_packets),
            rtcp: Sources::new(window, max_sources, config.rtcp_lifetime_packets),
        }
    }

    /// Opens an SRTP packet in place. The RTP packet is the prefix of the returned length.
    ///
    /// # Errors
    /// [`UnprotectError`]; the state is as before.
    pub fn unprotect_rtp(&mut self, buf: &mut [u8]) -> Result<usize, UnprotectError> {
        let RtpLayout { header_len, seq, ssrc } = RtpLayout::parse(buf).ok_or(UnprotectError::Malformed)?;
        if buf.len() < header_len + self.rtp_cipher.tag_len() {
            return Err(UnprotectError::Malformed);
        }
        let highest = self.rtp.highest(ssrc);
        let index = estimate_index(highest, seq).ok_or(match highest {
            Some(highest) if highest > u64::from(u16::MAX) => UnprotectError::Lifetime,
            _ => UnprotectError::TooOld,
        })?;
        let fresh = self.rtp.check(ssrc, index)?;
        let len = self.rtp_cipher.open_rtp(buf, header_len, ssrc, index)?;
        self.rtp.note(fresh);
        Ok(len)
    }

    /// Opens an SRTCP packet in place. The RTCP packet is the prefix of the returned length. A packet that is
    /// authenticated but not encrypted (E flag zero) is taken as it is.
    ///
    /// # Errors
    /// [`UnprotectError`]; the state is as before.
    pub fn unprotect_rtcp(&mut self, buf: &mut [u8]) -> Result<usize, UnprotectError> {
        if buf.len() < RTCP_CLEAR_LEN + self.rtcp_cipher.tag_len() + INDEX_LEN {
            return Err(UnprotectError::Malformed);
        }
        let ssrc = rtcp_ssrc(buf).ok_or(UnprotectError::Malformed)?;
        let word = self.rtcp_cipher.rtcp_word(buf);
        let fresh = self.rtcp.check(ssrc, u64::from(word & !ENCRYPTED))?;
        let len = self.rtcp_cipher.open_rtcp(buf, ssrc, word)?;
        self.rtcp.note(fresh);
        Ok(len)
    }

    /// Forgets a source that has left, so that another one has room. Its old packets could be replayed then: only for
    /// sources whose packets nobody takes any more.
    pub fn remove_source(&mut self, ssrc: Ssrc) {
        self.rtp.remove(ssrc.0);
        self.rtcp.remove(ssrc.0);
    }

    /// How many sources are known, of RTP or RTCP, whichever is more.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.rtp.len().max(self.rtcp.len())
    }

    /// As if the source's last packet had had this index.
    #[cfg(test)]
    pub(crate) fn start_at(&mut self, ssrc: u32, index: u64) {
        let fresh = self.rtp.check(ssrc, index).expect("a fresh index");
        self.rtp.note(fresh);
    }
}
