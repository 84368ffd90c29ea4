//! The same codecs and kinds in the words of the stack and of signaling.

use tombolo::Codec;
use tombolo_signaling::{CodecName, MediaKind};

/// A codec of the stack as signaling names it; none where signaling has no name for it.
pub(super) fn codec_name(codec: Codec) -> Option<CodecName> {
    match codec {
        Codec::Opus => Some(CodecName::Opus),
        Codec::Vp8 => Some(CodecName::Vp8),
        Codec::H264 => Some(CodecName::H264),
        _ => None,
    }
}

/// A codec of signaling as the stack names it; none where the stack does not have it.
pub(super) fn codec(name: CodecName) -> Option<Codec> {
    match name {
        CodecName::Opus => Some(Codec::Opus),
        CodecName::Vp8 => Some(Codec::Vp8),
        CodecName::H264 => Some(Codec::H264),
        _ => None,
    }
}

/// A kind of media as signaling names it.
pub(super) fn kind(kind: tombolo::MediaKind) -> MediaKind {
    match kind {
        tombolo::MediaKind::Audio => MediaKind::Audio,
        tombolo::MediaKind::Video => MediaKind::Video,
    }
}
