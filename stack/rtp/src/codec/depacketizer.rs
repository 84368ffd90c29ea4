//! [`Depacketizer`]: the pieces of a frame, all there, to the frame; the part of an [`super::Assembler`] that differs
//! from codec to codec.

use bytes::{Bytes, BytesMut};

use super::av1::TemporalUnits;
use super::h264::H264;
use super::h265::H265;
use super::nal::AccessUnits;
use super::{Codec, PayloadKind};

/// A packet of a frame.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) kind: PayloadKind,
    pub(super) payload: Bytes,
}

/// What the pieces of one timestamp make up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined {
    Frame(JoinedFrame),
    /// Nothing to show, and nothing wrong.
    Nothing,
    /// Malformed, or something is missing.
    Broken,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct JoinedFrame {
    pub(super) keyframe: bool,
    /// Refers to frames before the last keyframe: of H.265 only.
    pub(super) leading: bool,
    pub(super) discardable: bool,
    pub(super) temporal_id: Option<u8>,
    /// The highest in the picture.
    pub(super) spatial_id: Option<u8>,
    pub(super) data: Bytes,
}

/// What a codec keeps from frame to frame.
#[derive(Debug)]
pub(super) enum Depacketizer {
    /// The pieces follow each other: VP8 and VP9.
    Concatenated,
    Av1(TemporalUnits),
    H264(AccessUnits<H264>),
    H265(AccessUnits<H265>),
    /// Each packet is a frame.
    Whole,
}

impl Depacketizer {
    pub(super) fn new(codec: Codec) -> Self {
        match codec {
            Codec::Vp8 | Codec::Vp9 => Self::Concatenated,
            Codec::Av1 => Self::Av1(TemporalUnits::default()),
            Codec::H264 => Self::H264(AccessUnits::default()),
            Codec::H265 => Self::H265(AccessUnits::default()),
            Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::L16 { .. } => Self::Whole,
        }
    }

    /// Keeps an H.264 or H.265 parameter set that came by another way.
    pub(super) fn add_parameter_set(&mut self, unit: &[u8]) {
        match self {
            Self::H264(units) => units.add_parameter_set(unit),
            Self::H265(units) => units.add_parameter_set(unit),
            Self::Concatenated | Self::Av1(_) | Self::Whole => {}
        }
    }

    /// Joins the pieces of one timestamp, in order. None of them is empty.
    pub(super) fn join(&mut self, pieces: &[Piece]) -> Joined {
        match self {
            Self::Concatenated => concatenate(pieces),
            Self::Av1(units) => units.assemble(pieces),
            Self::H264(units) => units.assemble(pieces),
            Self::H265(units) => units.assemble(pieces),
            Self::Whole => match pieces {
                [only] if only.kind.valid => Joined::Frame(JoinedFrame {
                    keyframe: true,
                    data: only.payload.clone(),
                    ..JoinedFrame::default()
                }),
                [_, ..] => Joined::Broken,
                [] => Joined::Nothing,
            },
        }
    }
}

/// The frames of the layers one after the other, the lowest first, each from its first piece to its last.
fn concatenate(pieces: &[Piece]) -> Joined {
    let Some(first) = pieces.first() else { return Joined::Nothing };
    let mut open = Some(false);
    let mut layer = None;
    let mut discardable = true;
    let mut len = 0;
    for Piece { kind, payload } in pieces {
        if !kind.valid || open == Some(kind.layer_begins) {
            return Joined::Broken;
        }
        if kind.layer_begins {
            if layer.is_some_and(|lower| lower >= kind.spatial_id) {
                return Joined::Broken;
            }
            layer = Some(kind.spatial_id);
            discardable &= kind.discardable;
        }
        open = kind.layer_ends.map(|ends| !ends);
        len += payload.len() - usize::from(kind.header_len);
    }
    if open == Some(true) {
        return Joined::Broken;
    }
    let data = if let [only] = pieces {
        only.payload.slice(usize::from(only.kind.header_len)..)
    } else {
        let mut data = BytesMut::with_capacity(len);
        for Piece { kind, payload } in pieces {
            data.extend_from_slice(&payload[usize::from(kind.header_len)..]);
        }
        data.freeze()
    };
    Joined::Frame(JoinedFrame {
        keyframe: first.kind.keyframe,
        leading: false,
        discardable,
        temporal_id: first.kind.temporal_id,
        spatial_id: layer.flatten(),
        data,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn pieces(codec: Codec, payloads: &[Bytes]) -> Vec<Piece> {
        let piece =
            |payload: &Bytes| Piece { kind: PayloadKind::of(codec, payload), payload: payload.clone() };
        payloads.iter().map(piece).collect()
    }

    /// The one frame of these payloads, without any earlier ones.
    pub(in super::super) fn join(codec: Codec, payloads: &[Bytes]) -> Option<JoinedFrame> {
        match Depacketizer::new(codec).join(&pieces(codec, payloads)) {
            Joined::Frame(frame) => Some(frame),
            _ => None,
        }
    }
}
