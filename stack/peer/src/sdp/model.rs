//! The typed model: what a description says, each thing with the line it stands on.
//!
//! The same types are read from a peer's text and written into our own; what we make ourselves has line 0.

/// A value and the line it stands on, counted from 1; 0 for what did not come from a text.
#[derive(Clone, Copy, Debug, Default)]
pub struct At<T> {
    /// The line.
    pub line: u32,
    /// The value.
    pub value: T,
}

impl<T> At<T> {
    /// A value that did not come from a text.
    pub const fn new(value: T) -> Self {
        Self { line: 0, value }
    }
}

/// Lines are where something stands, not what it says.
impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for At<T> {}

/// A whole description (RFC 8866).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sdp {
    /// `o=`.
    pub origin: Origin,
    /// `a=group` lines.
    pub groups: Vec<At<Group>>,
    /// ICE and DTLS attributes of the session, which sections without their own inherit.
    pub transport: TransportAttributes,
    /// `a=ice-lite`.
    pub ice_lite: Option<At<()>>,
    /// `a=extmap-allow-mixed` at session level (RFC 8285 §6).
    pub extmap_allow_mixed: bool,
    /// The `m=` sections.
    pub media: Vec<Media>,
}

impl Sdp {
    /// The first BUNDLE group (RFC 9143), if there is one.
    #[must_use]
    pub fn bundle(&self) -> Option<&At<Group>> {
        self.groups.iter().find(|group| group.value.semantics == "BUNDLE")
    }

    /// The section with this mid.
    #[must_use]
    pub fn media_with_mid(&self, mid: &str) -> Option<&Media> {
        self.media.iter().find(|media| media.mid.as_ref().is_some_and(|own| own.value == mid))
    }
}

/// `o=` (RFC 8866 §5.2): the numbers are kept as text, since peers write more than 64 bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The user name.
    pub username: String,
    /// The session id.
    pub session_id: String,
    /// The session version.
    pub version: String,
}

/// `a=group` (RFC 5888).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// `BUNDLE`, `LS`, ….
    pub semantics: String,
    /// The mids it names.
    pub mids: Vec<String>,
}

/// Attributes of ICE and DTLS, which may stand at either level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportAttributes {
    /// `a=ice-ufrag`, 4–256 characters.
    pub ice_ufrag: Option<At<String>>,
    /// `a=ice-pwd`, 22–256 characters.
    pub ice_pwd: Option<At<String>>,
    /// `a=ice-options`, the tokens.
    pub ice_options: Vec<String>,
    /// `a=ice-mismatch`.
    pub ice_mismatch: Option<At<()>>,
    /// `a=fingerprint`, all of them.
    pub fingerprints: Vec<At<FingerprintLine>>,
    /// `a=setup`.
    pub setup: Option<At<Setup>>,
    /// `a=tls-id` (RFC 8842).
    pub tls_id: Option<At<String>>,
}

/// `a=fingerprint` (RFC 8122 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FingerprintLine {
    /// The hash function's name, lower case.
    pub algorithm: String,
    /// The hash, 1–64 bytes.
    pub bytes: Vec<u8>,
}

/// `a=setup` (RFC 4145 §4, RFC 8842 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setup {
    /// Is the DTLS client.
    Active,
    /// Is the DTLS server.
    Passive,
    /// Leaves the choice to the answerer.
    ActPass,
}

/// The media type of an `m=` line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SectionKind {
    /// `audio`.
    Audio,
    /// `video`.
    Video,
    /// `application`.
    Application,
    /// Anything else.
    #[default]
    Other,
}

/// An `m=` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// The line of the `m=`.
    pub line: At<()>,
    /// The media type.
    pub kind: SectionKind,
    /// The media type as written.
    pub kind_name: String,
    /// The port; 0 is a rejected or bundle-only section.
    pub port: u16,
    /// `UDP/TLS/RTP/SAVPF` and the like.
    pub protocol: String,
    /// The formats: payload types for RTP.
    pub formats: Vec<String>,
    /// The address of `c=`, of this section or inherited from the session.
    pub connection: Option<String>,
    /// `b=AS`, in kilobits per second.
    pub bandwidth_as: Option<u64>,
    /// `b=TIAS`, in bits per second (RFC 3890).
    pub bandwidth_tias: Option<u64>,
    /// `a=mid`.
    pub mid: Option<At<String>>,
    /// The direction; absent means sendrecv (RFC 3264).
    pub direction: Direction,
    /// ICE and DTLS attributes of this section alone.
    pub transport: TransportAttributes,
    /// `a=rtcp-mux`.
    pub rtcp_mux: Option<At<()>>,
    /// `a=rtcp-mux-only` (RFC 8858).
    pub rtcp_mux_only: Option<At<()>>,
    /// `a=rtcp-rsize` (RFC 5506).
    pub rtcp_rsize: bool,
    /// `a=bundle-only` (RFC 9143 §6).
    pub bundle_only: bool,
    /// `a=rtpmap`.
    pub rtpmaps: Vec<At<RtpMap>>,
    /// `a=fmtp`: payload type and parameters as written.
    pub fmtps: Vec<At<(u8, String)>>,
    /// `a=rtcp-fb`; a payload type of `None` is the wildcard.
    pub feedback: Vec<At<(Option<u8>, String)>>,
    /// `a=extmap`, the encrypted ones (RFC 6904) left out.
    pub extmaps: Vec<At<Extmap>>,
    /// `a=extmap-allow-mixed` at media level.
    pub extmap_allow_mixed: bool,
    /// `a=rid` (RFC 8851), duplicates left out.
    pub rids: Vec<At<RidLine>>,
    /// `a=simulcast` (RFC 8853).
    pub simulcast: Option<At<Simulcast>>,
    /// `a=ssrc` (RFC 5576): the SSRC, the attribute and its value.
    pub ssrcs: Vec<At<SsrcAttribute>>,
    /// `a=ssrc-group` lines.
    pub ssrc_groups: Vec<At<SsrcGroup>>,
    /// `a=msid` (RFC 8830): stream and, where written, track.
    pub msids: Vec<(String, Option<String>)>,
    /// `a=candidate`: the whole value, from `candidate:` on.
    pub candidates: Vec<At<String>>,
    /// `a=end-of-candidates`.
    pub end_of_candidates: bool,
    /// `a=sctp-port` (RFC 8841).
    pub sctp_port: Option<u16>,
    /// `a=max-message-size` in bytes (RFC 8841); 0 means any.
    pub max_message_size: Option<u64>,
}

impl Media {
    /// Whether the section is rejected: port 0, and not because its address stands elsewhere in the bundle.
    #[must_use]
    pub const fn is_rejected(&self) -> bool {
        self.port == 0 && !self.bundle_only
    }

    /// Whether it is sound or pictures over RTP, under any profile.
    #[must_use]
    pub fn is_rtp(&self) -> bool {
        matches!(self.kind, SectionKind::Audio | SectionKind::Video) && self.protocol.contains("RTP/")
    }

    /// The mid, or nothing.
    #[must_use]
    pub fn mid_str(&self) -> Option<&str> {
        self.mid.as_ref().map(|mid| mid.value.as_str())
    }
}

/// A direction attribute, from the view of who wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// Only from the writer.
    SendOnly,
    /// Only to the writer.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl Direction {
    /// From its two halves.
    #[must_use]
    pub const fn new(send: bool, recv: bool) -> Self {
        match (send, recv) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the writer sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer receives.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same as the other side sees it.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What both allow.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "sendrecv" => Some(Self::SendRecv),
            "sendonly" => Some(Self::SendOnly),
            "recvonly" => Some(Self::RecvOnly),
            "inactive" => Some(Self::Inactive),
            _ => None,
        }
    }

    /// As SDP writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// `a=rtpmap` (RFC 8866 §6.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpMap {
    /// The payload type, 0–127.
    pub payload_type: u8,
    /// The encoding name as written.
    pub name: String,
    /// The clock rate in Hz.
    pub clock_rate: u32,
    /// Audio channels; 1 where nothing is written.
    pub channels: u8,
}

/// `a=extmap` (RFC 8285 §8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extmap {
    /// The id, 0–255 (those above are ignored when read).
    pub id: u8,
    /// The direction; absent means as the section.
    pub direction: Option<Direction>,
    /// The URI.
    pub uri: String,
}

/// `a=rid` (RFC 8851).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RidLine {
    /// The id, 1–16 characters of `A-Za-z0-9_-`.
    pub id: String,
    /// Whether the writer sends it; else it receives it.
    pub send: bool,
    /// The restrictions as written, `pt=…` included.
    pub restrictions: String,
}

/// `a=simulcast` (RFC 8853): per direction the streams, each with its alternatives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simulcast {
    /// What the writer sends.
    pub send: Vec<Vec<SimulcastRid>>,
    /// What the writer receives.
    pub recv: Vec<Vec<SimulcastRid>>,
}

/// One id in `a=simulcast`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulcastRid {
    /// The rid.
    pub id: String,
    /// Whether it starts paused (`~`).
    pub paused: bool,
}

/// `a=ssrc` (RFC 5576 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsrcAttribute {
    /// The SSRC.
    pub ssrc: u32,
    /// The attribute's name; may be empty.
    pub name: String,
    /// The attribute's value; may be empty.
    pub value: String,
}

/// `a=ssrc-group` (RFC 5576 §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsrcGroup {
    /// `FID`, `SIM`, ….
    pub semantics: String,
    /// The SSRCs.
    pub ssrcs: Vec<u32>,
}
