//! What a connection tells its owner.

use std::time::Instant;

use bytes::Bytes;
use tombolo_net::{Bitrate, ExtSeqNo, FiveTuple, NtpTime, RtpTime, Ssrc};
use tombolo_rtp::ext::AudioLevel;
use tombolo_rtp::{Mid, Rid};

use crate::codec::{Codec, MediaKind};
use crate::transceiver::TransceiverId;

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The connection's state changed.
    ConnectionStateChanged(ConnectionState),
    /// A path has passed an authenticated connectivity check: datagrams on it belong to this connection. For the
    /// table of a port that many connections share.
    PathAuthenticated(FiveTuple),
    /// A transceiver starts to receive.
    Track {
        /// Which.
        transceiver: TransceiverId,
        /// Its section.
        mid: Option<Mid>,
        /// Sound or pictures.
        kind: MediaKind,
        /// The simulcast streams that may come; empty for one stream without a rid.
        rids: Vec<Rid>,
        /// The media streams that the peer puts the track in.
        streams: Vec<String>,
    },
    /// A transceiver no longer receives.
    TrackEnded {
        /// Which.
        transceiver: TransceiverId,
    },
    /// An RTP packet, in order of arrival; retransmissions are undone.
    Rtp(ReceivedPacket),
    /// Packets of a stream will not come any more.
    Lost {
        /// The transceiver.
        transceiver: TransceiverId,
        /// The layer.
        rid: Option<Rid>,
        /// The first packet that was given up.
        first: ExtSeqNo,
        /// The last one; some between may have arrived.
        last: ExtSeqNo,
    },
    /// The peer's sender report for one of its streams.
    SenderReport(ReceivedSenderReport),
    /// The peer said goodbye to one of its streams (RTCP BYE).
    StreamEnded {
        /// The transceiver.
        transceiver: TransceiverId,
        /// The layer.
        rid: Option<Rid>,
        /// The stream.
        ssrc: Ssrc,
    },
    /// The peer asks for a keyframe of what this side sends; repeats are merged.
    KeyframeRequested {
        /// The transceiver.
        transceiver: TransceiverId,
        /// The layer.
        rid: Option<Rid>,
    },
    /// What the way to the peer carries, where that is estimated
    /// ([`ConfigBuilder::bandwidth_estimation`](crate::ConfigBuilder::bandwidth_estimation)). Told when the transport is up, and when it
    /// changed by a twentieth, or by a hundredth and nothing was told for a second.
    AvailableBitrate {
        /// The estimate: bytes of RTP with headers, repetitions included.
        estimate: Bitrate,
        /// What encoders should make of it together, in bytes of payload: headers and repetitions are taken off, and the limits of
        /// the peer's description (`b=TIAS`, `b=AS`) are kept where each sent section has one.
        target: Bitrate,
    },
    /// The connection has failed for good. The last event.
    Failed(FailReason),
    /// The connection was closed by either side. The last event.
    Closed,
}

/// The state of a connection (W3C `RTCPeerConnectionState`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// Nothing was negotiated yet.
    #[default]
    New,
    /// ICE checks or the DTLS handshake are under way.
    Connecting,
    /// Media can flow.
    Connected,
    /// The peer does not answer at the moment.
    Disconnected,
    /// Ended by a failure.
    Failed,
    /// Ended by a close.
    Closed,
}

/// Why a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FailReason {
    /// No path passed a check, or the peer's consent expired.
    #[error("no path to the peer")]
    Ice,
    /// The DTLS handshake failed.
    #[error("the DTLS handshake failed")]
    Dtls,
    /// The peer's certificate is not the one that its description announced.
    #[error("the peer's certificate does not match its fingerprint")]
    Fingerprint,
    /// The peer did not agree on an SRTP protection profile.
    #[error("no common SRTP profile")]
    Srtp,
}

/// An RTP packet of a peer's stream.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedPacket {
    /// The transceiver it belongs to.
    pub transceiver: TransceiverId,
    /// The layer, where the peer sends several.
    pub rid: Option<Rid>,
    /// The codec of its payload type.
    pub codec: Codec,
    /// The stream.
    pub ssrc: Ssrc,
    /// The sequence number, without wraps.
    pub seq: ExtSeqNo,
    /// The timestamp, in ticks of the codec's clock.
    pub timestamp: RtpTime,
    /// The marker bit.
    pub marker: bool,
    /// The payload, without padding; never empty.
    pub payload: Bytes,
    /// When it arrived; for a retransmission, when that arrived.
    pub arrival: Instant,
    /// Whether it came by retransmission.
    pub retransmitted: bool,
    /// Whether it was lost and recovered: computed from repair packets (FlexFEC) or sent again with a later one (RED). Then it has no audio level.
    pub recovered: bool,
    /// The audio level that the peer measured (RFC 6464).
    pub audio_level: Option<AudioLevel>,
}

/// A sender report: the tie between a stream's timestamps and its sender's wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedSenderReport {
    /// The transceiver.
    pub transceiver: TransceiverId,
    /// The layer.
    pub rid: Option<Rid>,
    /// The stream.
    pub ssrc: Ssrc,
    /// The sender's wall clock.
    pub ntp: NtpTime,
    /// The same moment in the stream's timestamps.
    pub timestamp: RtpTime,
    /// When the report arrived.
    pub arrival: Instant,
}
