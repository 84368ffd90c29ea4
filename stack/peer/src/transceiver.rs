//! [`Transceiver`]: one media section, its direction and what was agreed on for it.

use tombolo_net::{Bitrate, Ssrc};
use tombolo_rtp::ext::{ExtensionKind, ExtensionMap};
use tombolo_rtp::{Mid, Rid};

use crate::codec::{MediaKind, NegotiatedCodec};
use crate::sdp::Direction;

/// Names a transceiver of one connection; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransceiverId(pub u32);

/// What a new transceiver starts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransceiverInit {
    /// The simulcast streams to send, at most three. Empty: one stream without a rid.
    pub send_rids: Vec<Rid>,
    /// The media stream (`a=msid`) that its track belongs to; tracks of one stream are played in step. Default:
    /// one of its own.
    pub stream_id: Option<String>,
}

/// An encoding that is sent: its SSRCs. They are drawn once and kept for the transceiver's life, so that no SRTP
/// index is ever used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Its rid, where several are sent.
    pub rid: Option<Rid>,
    /// The SSRC of its packets.
    pub ssrc: Ssrc,
    /// The SSRC of its retransmissions.
    pub rtx_ssrc: Ssrc,
    /// The SSRC of its repair packets.
    pub fec_ssrc: Ssrc,
}

impl Encoding {
    /// All of its SSRCs.
    pub(crate) const fn ssrcs(&self) -> [Ssrc; 3] {
        [self.ssrc, self.rtx_ssrc, self.fec_ssrc]
    }
}

/// One media section.
#[derive(Clone, Debug, PartialEq)]
pub struct Transceiver {
    pub(crate) id: TransceiverId,
    pub(crate) kind: MediaKind,
    pub(crate) mid: Option<Mid>,
    pub(crate) section: Option<usize>,
    pub(crate) direction: Direction,
    pub(crate) current: Option<Direction>,
    pub(crate) stopped: bool,
    pub(crate) encodings: Vec<Encoding>,
    pub(crate) stream_id: String,
    pub(crate) track_id: String,
    pub(crate) cname: String,
    pub(crate) negotiated: Option<NegotiatedMedia>,
}

impl Transceiver {
    /// Its name in calls and events.
    #[must_use]
    pub const fn id(&self) -> TransceiverId {
        self.id
    }

    /// Sound or pictures.
    #[must_use]
    pub const fn kind(&self) -> MediaKind {
        self.kind
    }

    /// Its mid, once a description has given it one.
    #[must_use]
    pub const fn mid(&self) -> Option<Mid> {
        self.mid
    }

    /// The direction that this side wants.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// The direction that was agreed on, from this side's view; `None` before the first negotiation.
    #[must_use]
    pub const fn current_direction(&self) -> Option<Direction> {
        self.current
    }

    /// Whether it has ended for good.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// What it sends with.
    #[must_use]
    pub fn encodings(&self) -> &[Encoding] {
        &self.encodings
    }

    /// What was agreed on, if the section was accepted.
    #[must_use]
    pub const fn negotiated(&self) -> Option<&NegotiatedMedia> {
        self.negotiated.as_ref()
    }
}

/// What two sides agreed on for a section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NegotiatedMedia {
    /// The codecs, preferred first; at least one.
    pub codecs: Vec<NegotiatedCodec>,
    /// The payload type of FlexFEC, where both have it.
    pub flexfec: Option<u8>,
    /// RED around Opus, where both have it.
    pub red: Option<NegotiatedRed>,
    /// Header extensions by id.
    pub extensions: ExtensionMap,
    /// The simulcast streams that the peer may send, in the peer's order; empty for one stream without a rid.
    pub receive_rids: Vec<Rid>,
    /// The simulcast streams that this side may send; empty for one stream without a rid.
    pub send_rids: Vec<Rid>,
    /// Whether RTCP may be of reduced size (RFC 5506).
    pub reduced_size: bool,
    /// What the peer said of its SSRCs, at most [`MAX_SIGNALLED_SSRCS`].
    pub remote_ssrcs: Vec<SignalledSsrc>,
    /// The media streams of the peer's track.
    pub remote_streams: Vec<String>,
    /// The peer's limit on what it wants to receive in this section (`b=TIAS`, else `b=AS`).
    pub max_bitrate: Option<Bitrate>,
}

impl NegotiatedMedia {
    /// Whether packets of `codec` carry a transport-wide number: both the extension and its feedback were negotiated.
    pub(crate) fn numbers_packets(&self, codec: &NegotiatedCodec) -> bool {
        codec.feedback.transport_cc && self.extensions.id(ExtensionKind::TransportSeq).is_some()
    }

    /// Whether packets of this payload type belong here.
    pub(crate) fn has_payload_type(&self, number: u8) -> bool {
        let media =
            |codec: &NegotiatedCodec| codec.payload_type == number || codec.rtx_payload_type == Some(number);
        self.codecs.iter().any(media) || self.repair_payload_types().any(|repair| repair == number)
    }

    /// Whether congestion control feedback (RFC 8888) was agreed on, which is so for all codecs or for none.
    pub(crate) fn has_ccfb(&self) -> bool {
        self.codecs.first().is_some_and(|codec| codec.feedback.ccfb)
    }

    pub(crate) fn settle_feedback(&mut self, prefers_ccfb: bool) {
        let has_ccfb = self.codecs.iter().all(|codec| codec.feedback.ccfb);
        for codec in &mut self.codecs {
            codec.feedback.ccfb &= has_ccfb;
            codec.feedback = codec.feedback.settled(prefers_ccfb);
        }
    }

    /// The payload types of FlexFEC and RED.
    pub(crate) fn repair_payload_types(&self) -> impl Iterator<Item = u8> + use<> {
        self.flexfec.into_iter().chain(self.red.map(|red| red.payload_type))
    }
}

/// Redundant sound (RFC 2198) as two sides agreed on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NegotiatedRed {
    /// Its payload type.
    pub payload_type: u8,
    /// The payload type of the frames within: that of Opus.
    pub frames: u8,
    /// Whether it stands before Opus: what browsers take for a wish that they send it.
    pub is_first: bool,
}

/// The most SSRCs that are taken from one section's `a=ssrc` lines.
pub const MAX_SIGNALLED_SSRCS: usize = 16;

/// An SSRC that the peer announced (RFC 5576).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalledSsrc {
    /// The SSRC.
    pub ssrc: Ssrc,
    /// The SSRC whose packets it retransmits, for the second member of an FID group.
    pub repairs: Option<Ssrc>,
    /// The SSRC whose packets it protects, for the second member of an FEC-FR group (RFC 5956 §4.3).
    pub protects: Option<Ssrc>,
}
