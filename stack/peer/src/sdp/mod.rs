//! Session descriptions (RFC 8866) as WebRTC peers make them: text to a typed model and back.
//!
//! The model is our own: every refusal must name the line that is wrong, and the published `sdp` crate keeps no line
//! numbers, refuses what deployed peers write (a missing final newline, lines out of order) and leaves
//! attributes as strings, so that a wrapper would hold all that is here.
//!
//! Left out: `a=crypto` (SDES is never used, RFC 8827 §6.5), capability negotiation, times and repeat times.
//!
//! | module | what |
//! |---|---|
//! | `line` | numbered lines, size bound |
//! | `parse` | the session part; which line goes where |
//! | `transport_attributes`, `media_attributes` | attribute values |
//! | `model` | the types |
//! | `write` | text out |
//! | `fragment` | trickle fragments (RFC 8840 §9) |

mod error;
mod fragment;
mod line;
mod media_attributes;
mod model;
mod parse;
mod transport_attributes;
mod write;

use std::fmt;

pub use error::{SdpError, SdpReason};
pub use fragment::{Fragment, FragmentMedia};
pub use line::MAX_SDP_BYTES;
pub use model::{
    At, Direction, Extmap, FingerprintLine, Group, Media, Origin, RidLine, RtpMap, Sdp, SectionKind, Setup,
    Simulcast, SimulcastRid, SsrcAttribute, SsrcGroup, TransportAttributes,
};
pub use parse::MAX_MEDIA_SECTIONS;

/// What a description is for (RFC 9429 §4.1.8).
///
/// Provisional answers are left out: they only serve to forking signaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SdpType {
    /// Proposes.
    Offer,
    /// Accepts or rejects each part of an offer.
    Answer,
    /// Withdraws an offer that was not answered; has no text.
    Rollback,
}

/// A typed description, of this side or of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDescription {
    kind: SdpType,
    sdp: Sdp,
}

impl SessionDescription {
    /// Reads an offer.
    ///
    /// # Errors
    /// The line that is wrong, and why.
    pub fn offer(text: &str) -> Result<Self, SdpError> {
        Self::parse(SdpType::Offer, text)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// The line that is wrong, and why.
    pub fn answer(text: &str) -> Result<Self, SdpError> {
        Self::parse(SdpType::Answer, text)
    }

    /// The description that withdraws a pending offer.
    #[must_use]
    pub fn rollback() -> Self {
        Self { kind: SdpType::Rollback, sdp: Sdp::default() }
    }

    /// Reads a description. The text of a rollback is ignored.
    ///
    /// # Errors
    /// The line that is wrong, and why.
    pub fn parse(kind: SdpType, text: &str) -> Result<Self, SdpError> {
        if kind == SdpType::Rollback {
            return Ok(Self::rollback());
        }
        Ok(Self { kind, sdp: parse::parse(text)? })
    }

    pub(crate) const fn new(kind: SdpType, sdp: Sdp) -> Self {
        Self { kind, sdp }
    }

    /// What it is for.
    #[must_use]
    pub const fn kind(&self) -> SdpType {
        self.kind
    }

    /// What it says.
    #[must_use]
    pub const fn sdp(&self) -> &Sdp {
        &self.sdp
    }

    pub(crate) fn into_sdp(self) -> Sdp {
        self.sdp
    }
}

/// The text, with CRLF line ends.
impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sdp.fmt(f)
    }
}

#[cfg(test)]
mod tests;
