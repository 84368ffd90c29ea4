//! [`InboundContext`]: opens what the peer sends.

use tombolo_crypto::{AuthError, CryptoProvider};
use tombolo_net::Ssrc;

use crate::Config;
use crate::cipher::RtpPacket;
use crate::header::{self, CRYPTEX_CLEAR_LEN, MAX_MASKED_LEN, Marked};
use crate::keys::{KeyError, MasterKey, SessionKeys};
use crate::layout::{ENCRYPTED, INDEX_LEN, RTCP_CLEAR_LEN, RtpLayout, estimate_index, rtcp_ssrc};
use crate::replay::Seen;
use crate::sources::{Refused, Sources};

/// The most master keys of one context.
pub const MAX_KEYS: usize = 8;

/// Why a packet is dropped. The state is as before; after [`UnprotectError::Auth`] the packet's bytes are unspecified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum UnprotectError {
    /// This is no SRTP or SRTCP packet, or too short for one.
    #[error("not an SRTP or SRTCP packet")]
    Malformed,
    /// There is no master key with the packet's MKI.
    #[error("unknown MKI")]
    UnknownKey,
    /// Header extension or CSRCs are in the clear, which [`crate::Cryptex::Required`] forbids.
    #[error("header extension or sources in the clear")]
    ClearHeader,
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
        }
    }
}

impl From<AuthError> for UnprotectError {
    fn from(AuthError: AuthError) -> Self {
        Self::Auth
    }
}

/// The receiving side of an SRTP session.
#[derive(Debug)]
pub struct InboundContext {
    config: Config,
    /// Of one profile, with MKIs of one length; without MKI just one. Never empty.
    keys: Vec<SessionKeys>,
    rtp: Sources,
    rtcp: Sources,
}

impl InboundContext {
    /// Derives the session keys.
    ///
    /// # Errors
    /// [`KeyError`] when the lengths are not the profile's, or the provider lacks its algorithms.
    pub fn new(provider: &CryptoProvider, master: &MasterKey<'_>, config: &Config) -> Result<Self, KeyError> {
        Ok(Self::with_keys(SessionKeys::derive(provider, master, config)?, config))
    }

    pub(crate) fn with_keys(keys: SessionKeys, config: &Config) -> Self {
        let sources = || Sources::new(config.replay_window_packets, config.max_sources);
        Self { config: config.clone(), keys: vec![keys], rtp: sources(), rtcp: sources() }
    }

    /// Takes packets under another master key too, which its MKI tells from the others. What is known of the sources
    /// holds for all keys: their indices go on (RFC 3711 §3.3.1, §3.4).
    ///
    /// # Errors
    /// [`KeyError`]; the keys are as before. At most [`MAX_KEYS`] of them, of one profile, with MKIs of one length.
    pub fn add_key(&mut self, provider: &CryptoProvider, master: &MasterKey<'_>) -> Result<(), KeyError> {
        let key = SessionKeys::derive(provider, master, &self.config)?;
        let first = &self.keys[0];
        let apart = !key.mki.is_empty() && self.keys.iter().all(|known| known.mki != key.mki);
        if !apart || key.mki.len() != first.mki.len() || key.profile != first.profile {
            return Err(KeyError::Mki);
        }
        if self.keys.len() >= MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        self.keys.push(key);
        Ok(())
    }

    /// Forgets the master key with this MKI, but never the only one. Whether there was one to forget.
    pub fn remove_key(&mut self, mki: &[u8]) -> bool {
        let at = self.keys.iter().position(|key| key.mki == mki).filter(|_| self.keys.len() > 1);
        at.map(|at| self.keys.remove(at)).is_some()
    }

    /// Takes packets under this master key only, of any profile. The sources stay known, as with [`Self::add_key`].
    ///
    /// # Errors
    /// [`KeyError`]; the keys are as before.
    pub fn rekey(&mut self, provider: &CryptoProvider, master: &MasterKey<'_>) -> Result<(), KeyError> {
        self.keys = vec![SessionKeys::derive(provider, master, &self.config)?];
        Ok(())
    }

    /// Opens an SRTP packet in place. The RTP packet is the prefix of the returned length.
    ///
    /// # Errors
    /// [`UnprotectError`]; the state is as before.
    pub fn unprotect_rtp(&mut self, buf: &mut [u8]) -> Result<usize, UnprotectError> {
        let layout = RtpLayout::parse(buf).ok_or(UnprotectError::Malformed)?;
        let mki_len = self.keys[0].mki.len();
        let len = buf.len().checked_sub(self.keys[0].rtp.tag_len() + mki_len);
        let len = len.filter(|&len| len >= layout.header_len).ok_or(UnprotectError::Malformed)?;
        let key = key_of(&mut self.keys, |key| key.rtp.mki(buf, mki_len))?;
        if key.header.is_some() && layout.header_len - layout.extension_at() > MAX_MASKED_LEN {
            return Err(UnprotectError::Malformed);
        }
        let marked = header::received(self.config.cryptex, &layout);
        let (clear_len, csrc_len) = match marked {
            Marked::No => (layout.header_len, 0),
            Marked::Cryptex(_) => (CRYPTEX_CLEAR_LEN, layout.csrc_len),
            Marked::Forbidden => return Err(UnprotectError::ClearHeader),
        };
        let place = self.rtp.find(layout.ssrc);
        let highest = self.rtp.highest(place);
        let index = estimate_index(highest, layout.seq).ok_or(match highest {
            Some(highest) if highest > u64::from(u16::MAX) => UnprotectError::Lifetime,
            _ => UnprotectError::TooOld,
        })?;
        self.rtp.check(place, index)?;
        let left = key.rtp_left.checked_sub(1).ok_or(UnprotectError::Lifetime)?;
        let packet = RtpPacket { len, clear_len, csrc_len, ssrc: layout.ssrc, index };
        key.rtp.open_rtp(buf, &packet, mki_len)?;
        key.rtp_left = left;
        self.rtp.note(place, index);
        if let Marked::Cryptex(value) = marked {
            header::mark(buf, &layout, value);
        } else if let Some(header) = &key.header {
            header.apply(buf, &layout, index);
        }
        Ok(len)
    }

    /// Opens an SRTCP packet in place. The RTCP packet is the prefix of the returned length. A packet that is
    /// authenticated but not encrypted (E flag zero) is taken as it is.
    ///
    /// # Errors
    /// [`UnprotectError`]; the state is as before.
    pub fn unprotect_rtcp(&mut self, buf: &mut [u8]) -> Result<usize, UnprotectError> {
        let mki_len = self.keys[0].mki.len();
        if buf.len() < RTCP_CLEAR_LEN + self.keys[0].rtcp.tag_len() + INDEX_LEN + mki_len {
            return Err(UnprotectError::Malformed);
        }
        let ssrc = rtcp_ssrc(buf).ok_or(UnprotectError::Malformed)?;
        let key = key_of(&mut self.keys, |key| key.rtcp.mki(buf, mki_len))?;
        let word = key.rtcp.rtcp_word(buf, mki_len);
        let index = u64::from(word & !ENCRYPTED);
        let place = self.rtcp.find(ssrc);
        self.rtcp.check(place, index)?;
        let left = key.rtcp_left.checked_sub(1).ok_or(UnprotectError::Lifetime)?;
        let len = key.rtcp.open_rtcp(buf, ssrc, word, mki_len)?;
        key.rtcp_left = left;
        self.rtcp.note(place, index);
        Ok(len)
    }

    /// Forgets a source that has left, so that another one has room: all but its highest index, so that no packet of it
    /// can be replayed, and so that it can come back. Also those are bounded: of as many sources as may be known at a
    /// time, the latest.
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
        self.rtp.note(self.rtp.find(ssrc), index);
    }
}

/// The key whose MKI stands in the packet: that of all keys is at the same place.
fn key_of<'a, 'b>(
    keys: &'a mut [SessionKeys],
    mki: impl FnOnce(&SessionKeys) -> &'b [u8],
) -> Result<&'a mut SessionKeys, UnprotectError> {
    // Without MKI there is one key, and nothing to compare. A comparison of empty slices is not free: `memcmp` may do a masked
    // load from where nothing is, which takes a CPU a third of the time of a short packet.
    if keys[0].mki.is_empty() {
        return Ok(&mut keys[0]);
    }
    let mki = mki(&keys[0]);
    keys.iter_mut().find(|key| key.mki == mki).ok_or(UnprotectError::UnknownKey)
}
