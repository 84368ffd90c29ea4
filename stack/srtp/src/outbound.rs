//! [`OutboundContext`]: protects what this side sends.

use tombolo_crypto::CryptoProvider;

use crate::Config;
use crate::cipher::RtpPacket;
use crate::header::{self, CRYPTEX_CLEAR_LEN, MAX_MASKED_LEN, Marked};
use crate::keys::{KeyError, MasterKey, SessionKeys};
use crate::layout::{
    EXTENSION_HEADER_LEN, INDEX_LEN, MAX_RTCP_INDEX, RTCP_CLEAR_LEN, RtpLayout, estimate_index, rtcp_ssrc,
};
use crate::replay::Seen;
use crate::sources::{Refused, Sources};

/// Why a packet is not protected. The packet and the state are as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ProtectError {
    /// The buffer has no room for what protection adds, see [`OutboundContext::overhead`].
    #[error("no room for the tag")]
    NoRoom,
    /// This is no RTP or RTCP packet.
    #[error("not an RTP or RTCP packet")]
    Malformed,
    /// The header extension is of a kind, or of a length, that cannot be encrypted as the configuration asks.
    #[error("the header extension cannot be encrypted")]
    Extension,
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
        }
    }
}

/// The sending side of an SRTP session.
#[derive(Debug)]
pub struct OutboundContext {
    config: Config,
    pub(crate) keys: SessionKeys,
    rtp: Sources,
    rtcp: Sources,
}

impl OutboundContext {
    /// Derives the session keys.
    ///
    /// # Errors
    /// [`KeyError`] when the lengths are not the profile's, or the provider lacks its algorithms.
    pub fn new(provider: &CryptoProvider, master: &MasterKey<'_>, config: &Config) -> Result<Self, KeyError> {
        Ok(Self::with_keys(SessionKeys::derive(provider, master, config)?, config))
    }

    pub(crate) fn with_keys(keys: SessionKeys, config: &Config) -> Self {
        let sources = || Sources::new(config.replay_window_packets, config.max_sources);
        Self { config: config.clone(), keys, rtp: sources(), rtcp: sources() }
    }

    /// Goes on under another master key. Indices go on too (RFC 3711 §3.3.1, §3.4), and the count of packets starts anew.
    ///
    /// # Errors
    /// [`KeyError`]; the old key stays.
    pub fn rekey(&mut self, provider: &CryptoProvider, master: &MasterKey<'_>) -> Result<(), KeyError> {
        self.keys = SessionKeys::derive(provider, master, &self.config)?;
        Ok(())
    }

    /// Most bytes that protection adds to a packet, of either kind: tail room that a buffer must have. With an MKI more
    /// than [`crate::MAX_OVERHEAD`].
    #[must_use]
    pub const fn overhead(&self) -> usize {
        crate::MAX_OVERHEAD + self.keys.mki.len()
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
        let packet = self.prepare_rtp(buf, len)?;
        self.keys.rtp.seal_rtp(buf, &packet, &self.keys.mki);
        Ok(self.protected_len(&packet))
    }

    /// Checks a packet and notes it, and does to its header what is to be done before it is sealed, which cannot fail
    /// any more.
    pub(crate) fn prepare_rtp(&mut self, buf: &mut [u8], len: usize) -> Result<RtpPacket, ProtectError> {
        let layout = buf.get(..len).and_then(RtpLayout::parse).ok_or(ProtectError::Malformed)?;
        let marked = header::sent(self.config.cryptex, &layout);
        if marked == Marked::Forbidden {
            return Err(ProtectError::Extension);
        }
        if self.keys.header.is_some() && layout.header_len - layout.extension_at() > MAX_MASKED_LEN {
            return Err(ProtectError::Extension);
        }
        let inserted = match marked {
            Marked::Cryptex(_) if layout.extension.is_none() => EXTENSION_HEADER_LEN,
            _ => 0,
        };
        let added = inserted + self.keys.rtp.tag_len() + self.keys.mki.len();
        if len + added > buf.len() {
            return Err(ProtectError::NoRoom);
        }
        let place = self.rtp.find(layout.ssrc);
        let highest = self.rtp.highest(place);
        let index = estimate_index(highest, layout.seq).ok_or(match highest {
            Some(highest) if highest > u64::from(u16::MAX) => ProtectError::Lifetime,
            _ => ProtectError::IndexUsed,
        })?;
        self.rtp.check(place, index)?;
        self.keys.rtp_left = self.keys.rtp_left.checked_sub(1).ok_or(ProtectError::Lifetime)?;
        self.rtp.note(place, index);

        let mut packet =
            RtpPacket { len, clear_len: layout.header_len, csrc_len: 0, ssrc: layout.ssrc, index };
        if let Marked::Cryptex(value) = marked {
            if inserted > 0 {
                header::insert_extension(buf, len, &layout);
            }
            header::mark(buf, &layout, value);
            packet.len += inserted;
            (packet.clear_len, packet.csrc_len) = (CRYPTEX_CLEAR_LEN, layout.csrc_len);
        } else if let Some(header) = &self.keys.header {
            header.apply(buf, &layout, index);
        }
        Ok(packet)
    }

    /// The length of a packet that is sealed.
    pub(crate) const fn protected_len(&self, packet: &RtpPacket) -> usize {
        packet.len + self.keys.rtp.tag_len() + self.keys.mki.len()
    }

    /// Protects the RTCP packet (compound or reduced size) in the first `len` bytes of `buf` in place and returns its
    /// new length.
    ///
    /// # Errors
    /// [`ProtectError`]; buffer and state are as before.
    pub fn protect_rtcp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, ProtectError> {
        let packet = buf.get(..len).filter(|packet| packet.len() >= RTCP_CLEAR_LEN);
        let ssrc = packet.and_then(rtcp_ssrc).ok_or(ProtectError::Malformed)?;
        let keys = &mut self.keys;
        let protected_len = len + keys.rtcp.tag_len() + INDEX_LEN + keys.mki.len();
        if protected_len > buf.len() {
            return Err(ProtectError::NoRoom);
        }
        let place = self.rtcp.find(ssrc);
        let index = self.rtcp.highest(place).map_or(0, |highest| highest + 1);
        let wire_index = u32::try_from(index).ok().filter(|&index| index <= MAX_RTCP_INDEX);
        let wire_index = wire_index.ok_or(ProtectError::Lifetime)?;
        self.rtcp.check(place, index)?;
        keys.rtcp_left = keys.rtcp_left.checked_sub(1).ok_or(ProtectError::Lifetime)?;
        self.rtcp.note(place, index);
        keys.rtcp.seal_rtcp(buf, len, ssrc, wire_index, &keys.mki);
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
        self.rtp.note(self.rtp.find(ssrc), index);
    }
}
