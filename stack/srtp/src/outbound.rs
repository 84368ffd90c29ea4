//! [`OutboundContext`]: protects what this side sends.

use tombolo_crypto::CryptoProvider;

use crate::cipher::Cipher;
use crate::kdf::{self, KeyError, Protocol};
use crate::layout::{INDEX_LEN, MAX_RTCP_INDEX, RTCP_CLEAR_LEN, RtpLayout, estimate_index, rtcp_ssrc};
use crate::replay::Seen;
use crate::sources::{Refused, Sources};
use crate::{Config, Profile};

/// Why a packet is not protected. The packet and the state are as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ProtectError {
    /// The buffer has no room for what protection adds, see [`crate::MAX_OVERHEAD`].
    #[error("no room for the tag")]
    NoRoom,
    /// This is no RTP or RTCP packet.
    #[error("not an RTP or RTCP packet")]
    Malformed,
    /// The source has sent this sequence number, or one so much later that nobody knows.
    #[error("sequence number used before")]
    IndexUsed,
    /// The source has sent all the indices that there are, or the key has protected all the packets that it may.
    #[error("the key is used up")]
    Lifetime,
    /// There are as many sources as may be.
    #[error("too many sources")]
    TooManySources,
}

impl From<Refused> for ProtectError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Seen(Seen::Already | Seen::TooOld) => Self::IndexUsed,
            Refused::TooManySources => Self::TooManySources,
            Refused::Lifetime => Self::Lifetime,
        }
    }
}

/// The sending side of an SRTP session under one master key.
#[derive(Debug)]
pub struct OutboundContext {
    rtp_cipher: Cipher,
    rtcp_cipher: Cipher,
    rtp: Sources,
    rtcp: Sources,
}

impl OutboundContext {
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

    /// Protects the RTP packet in the first `len` bytes of `buf` in place and returns its new length.
    ///
    /// Packets of a source may come out of order within the replay window; each sequence number once. The first
    /// sequence number of a source should be below 2^15, so that the peer guesses the rollover counter right even when it
    /// misses the first packets (RFC 3711 §3.3.1).
    ///
    /// # Errors
    /// [`ProtectError`]; buffer and state are as before.
    pub fn protect_rtp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, ProtectError> {
        let layout = buf.get(..len).and_then(RtpLayout::parse).ok_or(ProtectError::Malformed)?;
        let protected_len = len + self.rtp_cipher.tag_len();
        if protected_len > buf.len() {
            return Err(ProtectError::NoRoom);
        }
        let RtpLayout { header_len, seq, ssrc } = layout;
        let highest = self.rtp.highest(ssrc);
        let index = estimate_index(highest, seq).ok_or(match highest {
            Some(highest) if highest > u64::from(u16::MAX) => ProtectError::Lifetime,
            _ => ProtectError::IndexUsed,
        })?;
        let fresh = self.rtp.check(ssrc, index)?;
        self.rtp_cipher.seal_rtp(buf, len, header_len, ssrc, index);
        self.rtp.note(fresh);
        Ok(protected_len)
    }

    /// Protects the RTCP packet (compound or reduced size) in the first `len` bytes of `buf` in place and returns its
    /// new length.
    ///
    /// # Errors
    /// [`ProtectError`]; buffer and state are as before.
    pub fn protect_rtcp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, ProtectError> {
        let packet = buf.get(..len).filter(|packet| packet.len() >= RTCP_CLEAR_LEN);
        let ssrc = packet.and_then(rtcp_ssrc).ok_or(ProtectError::Malformed)?;
        let protected_len = len + self.rtcp_cipher.tag_len() + INDEX_LEN;
        if protected_len > buf.len() {
            return Err(ProtectError::NoRoom);
        }
        let index = self.rtcp.highest(ssrc).map_or(0, |highest| highest + 1);
        let wire_index = u32::try_from(index).ok().filter(|&index| index <= MAX_RTCP_INDEX);
        let wire_index = wire_index.ok_or(ProtectError::Lifetime)?;
        let fresh = self.rtcp.check(ssrc, index)?;
        self.rtcp_cipher.seal_rtcp(buf, len, ssrc, wire_index);
        self.rtcp.note(fresh);
        Ok(protected_len)
    }

    /// How many sources have sent, of RTP or RTCP, whichever is more. Sources are never forgotten: a source that
    /// came back could repeat an index.
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
