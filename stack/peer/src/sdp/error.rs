//! Why a description is refused, and at which line.

/// A description that is refused. Nothing of it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct SdpError {
    /// The line that is wrong, counted from 1. Where something is missing it is the `m=` line of the section that
    /// lacks it; 0 when no line of the text is to blame (the wrong signaling state, for example).
    pub line: u32,
    /// What is wrong with it.
    pub reason: SdpReason,
}

impl SdpError {
    pub(crate) const fn new(line: u32, reason: SdpReason) -> Self {
        Self { line, reason }
    }
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SdpReason {
    /// More than [`MAX_SDP_BYTES`](super::MAX_SDP_BYTES).
    #[error("the description is too long")]
    TooLong,
    /// More than [`MAX_MEDIA_SECTIONS`](super::MAX_MEDIA_SECTIONS).
    #[error("too many media sections")]
    TooManyMediaSections,
    /// Not of the form `x=value`.
    #[error("not a line of the form x=value")]
    NotALine,
    /// The first line is not `v=0`.
    #[error("a description starts with v=0")]
    Version,
    /// `o=` is missing or does not have six fields.
    #[error("malformed or missing o= line")]
    Origin,
    /// A malformed `m=` line.
    #[error("malformed m= line")]
    MediaLine,
    /// A malformed `b=` line.
    #[error("malformed b= line")]
    Bandwidth,
    /// A malformed `a=mid`, or one longer than the 16 bytes that a header extension carries.
    #[error("malformed a=mid")]
    Mid,
    /// Two media sections with the same `a=mid`.
    #[error("another section has the same a=mid")]
    DuplicateMid,
    /// A malformed `a=group`.
    #[error("malformed a=group")]
    Group,
    /// A mid stands in two bundle groups (RFC 9143 §5).
    #[error("a section stands in two bundle groups")]
    MidInTwoGroups,
    /// A bundle group of an answer names a section that the offer's group does not.
    #[error("the bundle group names a section that was not offered in it")]
    BundleNotOffered,
    /// An ICE user fragment of other than 4 to 256 ice-chars (RFC 8839 §5.4).
    #[error("malformed a=ice-ufrag")]
    IceUfrag,
    /// An ICE password of other than 22 to 256 ice-chars.
    #[error("malformed a=ice-pwd")]
    IcePwd,
    /// No ICE credentials in an accepted section, or one without the other.
    #[error("ICE credentials are missing")]
    IceCredentialsMissing,
    /// Only one of user fragment and password changed (RFC 8839 §4.4.1.1.1).
    #[error("an ICE restart changes both the user fragment and the password")]
    IceHalfRestart,
    /// An answer with new ICE credentials to an offer without, or the other way round (RFC 8839 §4.4.2).
    #[error("an answer changes ice-ufrag and ice-pwd exactly when its offer does")]
    IceRestart,
    /// `a=ice-lite` appeared or went without new credentials (RFC 8839 §4.4.1.1.1).
    #[error("a=ice-lite changes only with an ICE restart")]
    IceLiteChanged,
    /// The peer saw `a=ice-mismatch` (RFC 8839 §4.3.3): there is no ICE with it.
    #[error("the peer reports an ICE mismatch")]
    IceMismatch,
    /// A malformed `a=candidate`.
    #[error("malformed a=candidate")]
    Candidate,
    /// A malformed `a=fingerprint`.
    #[error("malformed a=fingerprint")]
    Fingerprint,
    /// No fingerprint: media would not be protected.
    #[error("a=fingerprint is missing")]
    FingerprintMissing,
    /// Only fingerprints of hash functions that are too weak or unknown.
    #[error("no fingerprint with a usable hash function")]
    FingerprintHash,
    /// The fingerprints changed on a live connection without an ICE restart.
    #[error("the fingerprint changes only with a new DTLS association")]
    FingerprintChanged,
    /// A malformed `a=setup`, or `holdconn`, which DTLS does not have.
    #[error("a=setup must be active, passive or actpass")]
    Setup,
    /// No `a=setup` where one is required.
    #[error("a=setup is missing")]
    SetupMissing,
    /// `a=setup:actpass` in an answer, or a role that does not fit the offered one.
    #[error("the answer's a=setup does not fit the offer's")]
    SetupAnswer,
    /// The DTLS role changed on a live connection.
    #[error("the DTLS role cannot change on a live association")]
    SetupChanged,
    /// `a=tls-id` changed on a live connection without an ICE restart.
    #[error("a=tls-id changes only with a new DTLS association")]
    TlsIdChanged,
    /// A malformed `a=tls-id`.
    #[error("malformed a=tls-id")]
    TlsId,
    /// `a=rtcp-mux` is missing: RTCP on a port of its own is not supported.
    #[error("a=rtcp-mux is missing")]
    RtcpMuxMissing,
    /// `a=rtcp-mux-only` without `a=rtcp-mux` (RFC 8858 §4.2).
    #[error("a=rtcp-mux-only without a=rtcp-mux")]
    RtcpMuxOnly,
    /// A malformed `a=rtpmap`.
    #[error("malformed a=rtpmap")]
    RtpMap,
    /// One payload type is mapped twice, to different codecs.
    #[error("the payload type is already mapped to another codec")]
    PayloadTypeConflict,
    /// A malformed `a=fmtp`.
    #[error("malformed a=fmtp")]
    Fmtp,
    /// A malformed `a=rtcp-fb`.
    #[error("malformed a=rtcp-fb")]
    RtcpFeedback,
    /// A malformed `a=extmap`.
    #[error("malformed a=extmap")]
    Extmap,
    /// One header-extension id is mapped twice, to different extensions (RFC 8285 §5).
    #[error("the header-extension id is already mapped")]
    ExtmapConflict,
    /// An answer maps a header extension that was not offered so.
    #[error("the header extension was not offered with this id")]
    ExtmapNotOffered,
    /// A malformed `a=rid`.
    #[error("malformed a=rid")]
    Rid,
    /// A malformed `a=simulcast`.
    #[error("malformed a=simulcast")]
    Simulcast,
    /// `a=simulcast` names a stream that no `a=rid` describes (RFC 9429 §5.8.3).
    #[error("a=simulcast names a stream without a=rid")]
    SimulcastRidMissing,
    /// An answer has simulcast streams that were not offered.
    #[error("the simulcast stream was not offered")]
    SimulcastNotOffered,
    /// A malformed `a=ssrc`.
    #[error("malformed a=ssrc")]
    Ssrc,
    /// A malformed `a=ssrc-group`.
    #[error("malformed a=ssrc-group")]
    SsrcGroup,
    /// A malformed `a=sctp-port` or `a=max-message-size`.
    #[error("malformed SCTP attribute")]
    Sctp,
    /// An answer, or a later offer, does not have the media sections of the offer in their order.
    #[error("the media sections do not match those of the offer")]
    MediaSectionMismatch,
    /// An answer uses another protocol than the offer.
    #[error("the protocol differs from the offered one")]
    ProtocolMismatch,
    /// An answer accepts a payload type that was not offered.
    #[error("the payload type was not offered")]
    CodecNotOffered,
    /// An answer's direction does not fit the offered one.
    #[error("the direction does not fit the offered one")]
    DirectionMismatch,
    /// An answer accepts a section outside the bundle: only one transport is supported.
    #[error("the section is accepted outside the bundle group")]
    NotBundled,
    /// The description's type does not fit the signaling state (RFC 9429 §4.1.10).
    #[error("a description of this type does not fit the signaling state")]
    WrongState,
    /// A local description other than the one that was created last.
    #[error("not the description that was created last")]
    NotCreatedHere,
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
}
