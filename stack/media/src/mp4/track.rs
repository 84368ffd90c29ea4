//! What a track is, in the words of the file: sample entries and headers.

use mp4_atom::{
    Audio, Av01, Av1c, Avc3, Avcc, Codec, Dinf, Dops, Dref, DrefEntry, FourCC, Hdlr, Hev1, HvcCArray, Hvcc,
    Mdhd, Mdia, Minf, Opus, Smhd, Stbl, Stsd, Tkhd, Trak, Url, Visual, Vmhd, Vp08, Vp09, VpcC,
};
use tombolo_rtp::codec::annex_b::{nal_type, nal_units, type_of};
use tombolo_rtp::codec::h265::unit_type;
use tombolo_rtp::codec::{Av1Sequence, H265Sps, Sps, av1, h265, opus};

use crate::WriteError;

/// The OBU that parts temporal units.
const AV1_DELIMITER: [u8; 2] = [0x12, 0];

/// What a track holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrackFormat {
    /// VP8, of pictures of this size in pixels.
    Vp8 {
        /// 1 to 16383.
        width: u16,
        /// 1 to 16383.
        height: u16,
    },
    /// VP9, of pictures of this size in pixels.
    Vp9 {
        /// At least 1.
        width: u16,
        /// At least 1.
        height: u16,
        /// 0 to 3. 0 is what all decoders have.
        profile: u8,
        /// Bits of a colour component: 8 in profile 0, else 8, 10 or 12.
        bit_depth: u8,
    },
    /// H.264 with its parameter sets in the stream, so that they may change.
    H264 {
        /// The first sequence parameter set, a NAL unit without start code.
        sps: Vec<u8>,
        /// The first picture parameter set, likewise.
        pps: Vec<u8>,
    },
    /// H.265 with its parameter sets in the stream, so that they may change.
    H265 {
        /// The first video parameter set, a NAL unit without start code.
        vps: Vec<u8>,
        /// The first sequence parameter set, likewise.
        sps: Vec<u8>,
        /// The first picture parameter set, likewise.
        pps: Vec<u8>,
    },
    /// AV1 with its sequence header in the stream too.
    Av1 {
        /// The payload of the first sequence header OBU.
        sequence_header: Vec<u8>,
    },
    /// Opus.
    Opus {
        /// 1 or 2.
        channels: u8,
        /// Samples at 48 kHz that the player throws away at the beginning.
        pre_skip: u16,
    },
}

impl TrackFormat {
    /// The format of the stream that begins with this access unit in byte stream form, if it has both parameter sets.
    #[must_use]
    pub fn h264_of(unit: &[u8]) -> Option<Self> {
        let first = |kind| nal_units(unit).find(|nal| type_of(nal) == kind).map(<[u8]>::to_vec);
        Some(Self::H264 { sps: first(nal_type::SPS)?, pps: first(nal_type::PPS)? })
    }

    /// The format of the stream that begins with this access unit in byte stream form, if it has all three parameter sets.
    #[must_use]
    pub fn h265_of(unit: &[u8]) -> Option<Self> {
        let first = |kind| nal_units(unit).find(|nal| h265::type_of(nal) == Some(kind)).map(<[u8]>::to_vec);
        Some(Self::H265 {
            vps: first(unit_type::VPS)?,
            sps: first(unit_type::SPS)?,
            pps: first(unit_type::PPS)?,
        })
    }

    /// The format of the stream that begins with this temporal unit in the low-overhead format, if it has a sequence header.
    #[must_use]
    pub fn av1_of(unit: &[u8]) -> Option<Self> {
        Some(Self::Av1 { sequence_header: av1::sequence_header_of(unit)?.to_vec() })
    }

    /// The clock that the times of the track's frames count, in Hz: that of RTP.
    #[must_use]
    pub const fn clock_hz(&self) -> u32 {
        match self {
            Self::Opus { .. } => 48_000,
            _ => 90_000,
        }
    }

    pub(super) const fn is_video(&self) -> bool {
        !matches!(self, Self::Opus { .. })
    }

    /// How long a frame is shown that nothing follows.
    pub(super) fn usual_duration(&self, frame: &[u8]) -> u32 {
        match self {
            Self::Opus { .. } => {
                let micros = opus::duration(frame).map_or(20_000, |duration| duration.as_micros());
                (micros * 48 / 1000) as u32
            }
            _ => self.clock_hz() / 30,
        }
    }

    /// Appends a frame as the file has it.
    pub(super) fn write_frame(&self, frame: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::H264 { .. } | Self::H265 { .. } => {
                for nal in nal_units(frame) {
                    out.extend_from_slice(&(nal.len() as u32).to_be_bytes());
                    out.extend_from_slice(nal);
                }
            }
            // The file parts the units (AV1 Codec ISO Media File Format Binding §2.4).
            Self::Av1 { .. } => out.extend_from_slice(frame.strip_prefix(&AV1_DELIMITER).unwrap_or(frame)),
            _ => out.extend_from_slice(frame),
        }
    }

    fn codec(&self) -> Result<Codec, WriteError> {
        let visual =
            |width: u16, height: u16| Visual { data_reference_index: 1, width, height, ..Visual::default() };
        let codec = match self {
            Self::Vp8 { width, height } => Vp08 {
                visual: visual(*width, *height),
                vpcc: VpcC::default(),
                btrt: None,
                colr: None,
                pasp: None,
                spatial: None,
            }
            .into(),
            Self::Vp9 { width, height, profile, bit_depth } => Vp09 {
                visual: visual(*width, *height),
                vpcc: VpcC { profile: *profile, bit_depth: *bit_depth, ..VpcC::default() },
                btrt: None,
                colr: None,
                pasp: None,
                spatial: None,
            }
            .into(),
            Self::H264 { sps, pps } => {
                let (width, height) = self.picture()?;
                let avcc = Avcc::new(sps, pps).map_err(|_| WriteError::Unfit)?;
                Avc3 { visual: visual(width, height), avcc, ..Avc3::default() }.into()
            }
            Self::H265 { vps, sps, pps } => {
                let (width, height) = self.picture()?;
                let hvcc = hvcc(vps, sps, pps)?;
                Hev1 { visual: visual(width, height), hvcc, ..Hev1::default() }.into()
            }
            Self::Av1 { sequence_header } => {
                let (width, height) = self.picture()?;
                let av1c = av1c(sequence_header)?;
                Av01 { visual: visual(width, height), av1c, ..Av01::default() }.into()
            }
            Self::Opus { channels, pre_skip } => {
                let audio = Audio {
                    data_reference_index: 1,
                    channel_count: (*channels).into(),
                    sample_size: 16,
                    sample_rate: 48_000_u16.into(),
                };
                let dops = Dops {
                    output_channel_count: *channels,
                    pre_skip: *pre_skip,
                    input_sample_rate: 48_000,
                    output_gain: 0,
                    channel_mapping: None,
                };
                Opus { audio, dops, btrt: None }.into()
            }
        };
        Ok(codec)
    }

    /// The size of the pictures, zero for sound.
    fn picture(&self) -> Result<(u16, u16), WriteError> {
        let pixels = |pixels: u32| u16::try_from(pixels).map_err(|_| WriteError::Unfit);
        let (width, height) = match self {
            Self::Vp8 { width, height } | Self::Vp9 { width, height, .. } => (*width, *height),
            Self::H264 { sps, .. } => {
                let sps = Sps::parse(sps).map_err(|_| WriteError::Unfit)?;
                (pixels(sps.width)?, pixels(sps.height)?)
            }
            Self::H265 { sps, .. } => {
                let sps = H265Sps::parse(sps).map_err(|_| WriteError::Unfit)?;
                (pixels(sps.width)?, pixels(sps.height)?)
            }
            Self::Av1 { sequence_header } => {
                let sequence = Av1Sequence::parse(sequence_header).map_err(|_| WriteError::Unfit)?;
                (pixels(sequence.max_width)?, pixels(sequence.max_height)?)
            }
            Self::Opus { channels, .. } => {
                return if (1..=2).contains(channels) { Ok((0, 0)) } else { Err(WriteError::Unfit) };
            }
        };
        if width > 0 && height > 0 { Ok((width, height)) } else { Err(WriteError::Unfit) }
    }

    /// The track's part of the file's header.
    pub(super) fn track(&self, track_id: u32) -> Result<Trak, WriteError> {
        let (width, height) = self.picture()?;
        let (handler, name, volume) =
            if self.is_video() { (b"vide", "video", 0) } else { (b"soun", "audio", 1) };
        // The frames are in this same file.
        let dinf = Dinf { dref: Dref { entries: vec![DrefEntry::Url(Url { location: String::new() })] } };
        Ok(Trak {
            tkhd: Tkhd {
                track_id,
                enabled: true,
                in_movie: true,
                volume: volume.into(),
                width: width.into(),
                height: height.into(),
                ..Tkhd::default()
            },
            mdia: Mdia {
                mdhd: Mdhd { timescale: self.clock_hz(), language: "und".to_owned(), ..Mdhd::default() },
                hdlr: Hdlr { handler: FourCC::new(handler), name: name.to_owned() },
                minf: Minf {
                    vmhd: self.is_video().then(Vmhd::default),
                    smhd: (!self.is_video()).then(Smhd::default),
                    dinf,
                    stbl: Stbl { stsd: Stsd { codecs: vec![self.codec()?] }, ..Stbl::default() },
                    ..Minf::default()
                },
            },
            ..Trak::default()
        })
    }
}

/// What decoders of H.265 are set up with (ISO/IEC 14496-15 §8.3.3.1).
fn hvcc(vps: &[u8], sps: &[u8], pps: &[u8]) -> Result<Hvcc, WriteError> {
    let read = H265Sps::parse(sps).map_err(|_| WriteError::Unfit)?;
    let array = |nal_unit_type, unit: &[u8]| HvcCArray {
        completeness: false,
        nal_unit_type,
        nalus: vec![unit.to_vec()],
    };
    Ok(Hvcc {
        general_profile_space: read.profile_space,
        general_tier_flag: read.high_tier,
        general_profile_idc: read.profile,
        general_profile_compatibility_flags: read.compatibility.to_be_bytes(),
        general_constraint_indicator_flags: read.constraints,
        general_level_idc: read.level,
        chroma_format_idc: read.chroma_format,
        bit_depth_luma_minus8: read.luma_bits - 8,
        bit_depth_chroma_minus8: read.chroma_bits - 8,
        num_temporal_layers: read.temporal_layers,
        temporal_id_nested: read.temporal_nesting,
        length_size_minus_one: 3,
        arrays: vec![array(unit_type::VPS, vps), array(unit_type::SPS, sps), array(unit_type::PPS, pps)],
        ..Hvcc::new()
    })
}

/// What decoders of AV1 are set up with (AV1 Codec ISO Media File Format Binding §2.3).
fn av1c(sequence_header: &[u8]) -> Result<Av1c, WriteError> {
    /// The header of a sequence header OBU with its size, which has one byte.
    const OBU_HEADER: u8 = 0x0a;
    let read = Av1Sequence::parse(sequence_header).map_err(|_| WriteError::Unfit)?;
    let len = u8::try_from(sequence_header.len()).ok().filter(|&len| len < 0x80).ok_or(WriteError::Unfit)?;
    let [chroma_subsampling_x, chroma_subsampling_y] = read.chroma_halved;
    Ok(Av1c {
        seq_profile: read.profile,
        seq_level_idx_0: read.level,
        seq_tier_0: read.high_tier,
        high_bitdepth: read.bit_depth > 8,
        twelve_bit: read.bit_depth == 12,
        monochrome: read.monochrome,
        chroma_subsampling_x,
        chroma_subsampling_y,
        chroma_sample_position: read.chroma_position,
        initial_presentation_delay: None,
        config_obus: [&[OBU_HEADER, len], sequence_header].concat(),
    })
}
