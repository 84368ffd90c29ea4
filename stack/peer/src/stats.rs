//! Counters of a connection.

use std::time::Duration;

use tombolo_interceptors::stats::{Inbound, Outbound, RemoteOutbound};
use tombolo_net::{Bitrate, FiveTuple, Ssrc};
use tombolo_rtp::Rid;

use crate::transceiver::TransceiverId;

/// Why a datagram or packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DropReason {
    /// The first byte belongs to no protocol of this connection (RFC 7983 §7).
    Unclassified,
    /// It came on a path that has not passed an authenticated connectivity check.
    UnauthenticatedPath,
    /// Media before the DTLS handshake was done and the certificate checked.
    NoKeys,
    /// The SRTP authentication tag is wrong, the packet was replayed, or it is too old.
    Unprotect,
    /// Not RTP or RTCP as it should be.
    Malformed,
    /// A MID that no section has.
    UnknownMid,
    /// A RID that the section does not have.
    UnknownRid,
    /// No section can be told to be the packet's.
    UnknownSsrc,
    /// A payload type that was not negotiated.
    UnknownPayloadType,
    /// A retransmission of a stream that is not known, or of nothing.
    UnknownRepair,
    /// More streams than are kept.
    TooManyStreams,
    /// The packet had arrived before, or comes too late.
    Duplicate,
    /// The connection has ended.
    Ended,
    /// An interceptor of the connection's user dropped it.
    Intercepted,
    /// A packet that waited for its turn to leave, and whose stream was gone then.
    Unsendable,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Unclassified,
        Self::UnauthenticatedPath,
        Self::NoKeys,
        Self::Unprotect,
        Self::Malformed,
        Self::UnknownMid,
        Self::UnknownRid,
        Self::UnknownSsrc,
        Self::UnknownPayloadType,
        Self::UnknownRepair,
        Self::TooManyStreams,
        Self::Duplicate,
        Self::Ended,
        Self::Intercepted,
        Self::Unsendable,
    ];
}

/// How often each reason applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    counts: [u64; DropReason::ALL.len()],
}

impl Drops {
    /// How many were dropped for this reason.
    #[must_use]
    pub const fn count(&self, reason: DropReason) -> u64 {
        self.counts[reason as usize]
    }

    /// How many were dropped in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn add(&mut self, reason: DropReason) {
        self.counts[reason as usize] += 1;
        tracing::trace!(?reason, "dropped");
    }
}

/// The counters of a connection at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// The path that media takes.
    pub path: Option<FiveTuple>,
    /// Whether the default destination of the peer's last description is none of its candidates (RFC 8839 §4.2.5). It
    /// fails nothing: addresses are taken from candidates alone.
    pub ice_mismatch: bool,
    /// How often that path changed (`selectedCandidatePairChanges`).
    pub path_changes: u64,
    /// What ICE counted: checks, responses, consent (`RTCIceCandidatePairStats`, of all pairs together), and its round trip.
    pub ice: tombolo_ice::Stats,
    /// How media is protected (`srtpCipher`), once keys are agreed on.
    pub srtp_profile: Option<tombolo_srtp::Profile>,
    /// The round trip, smoothed: of RTCP reports where this side sends media, else of connectivity checks where it
    /// sends those.
    pub round_trip: Option<Duration>,
    /// Datagrams that were sent, of all protocols.
    pub datagrams_sent: u64,
    /// Their bytes of UDP payload.
    pub bytes_sent: u64,
    /// Datagrams that came in, of all protocols.
    pub datagrams_received: u64,
    /// Their bytes of UDP payload.
    pub bytes_received: u64,
    /// What was dropped.
    pub drops: Drops,
    /// The share of sent packets that transport-wide feedback tells as missing, 0 to 1, smoothed.
    pub send_loss: f64,
    /// What arrived at the peer over the last half second, by transport-wide feedback.
    pub delivered: Option<Bitrate>,
    /// What the way to the peer carries (`availableOutgoingBitrate`), where that is estimated.
    pub available_outgoing_bitrate: Option<Bitrate>,
    /// What of it encoders should make together, in bytes of payload.
    pub target_bitrate: Option<Bitrate>,
    /// Bytes that wait for their time to leave.
    pub pacer_bytes: usize,
    /// The peer's receiver estimate (REMB), where it sends one.
    pub remote_estimate: Option<Bitrate>,
    /// Sources of the peer whose packets SRTP keeps count of. It forgets those that end.
    pub srtp_sources: usize,
    /// Received streams.
    pub inbound: Vec<InboundStats>,
    /// Sent streams.
    pub outbound: Vec<OutboundStats>,
}

/// A received stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InboundStats {
    /// The transceiver.
    pub transceiver: TransceiverId,
    /// The layer.
    pub rid: Option<Rid>,
    /// The stream.
    pub ssrc: Ssrc,
    /// Its counters.
    pub counters: Inbound,
    /// What the peer's sender reports tell of it.
    pub remote: RemoteOutbound,
}

/// A sent stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutboundStats {
    /// The transceiver.
    pub transceiver: TransceiverId,
    /// The encoding.
    pub rid: Option<Rid>,
    /// The stream.
    pub ssrc: Ssrc,
    /// Its counters.
    pub counters: Outbound,
}
