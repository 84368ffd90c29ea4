//! What a track is, in the words of the file: sample entries and headers.

use mp4_atom::{
    Audio, Avc3, Avcc, Codec, Dinf, Dops, Dref, DrefEntry, FourCC, Hdlr, Mdhd, Mdia, Minf, Opus, Smhd, Stbl,
    Stsd, Tkhd, Trak, Url, Visual, Vmhd, Vp08, Vp09, VpcC,
};
use tombolo_rtp::codec::annex_b::{nal_type, nal_units, type_of};
use tombolo_rtp::codec::{Sps, opus};

use crate::WriteError;

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
            Self::H264 { .. } => {
                for nal in nal_units(frame) {
                    out.extend_from_slice(&(nal.len() as u32).to_be_bytes());
                    out.extend_from_slice(nal);
                }
            }
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
        let (width, height) = match self {
            Self::Vp8 { width, height } | Self::Vp9 { width, height, .. } => (*width, *height),
            Self::H264 { sps, .. } => {
                let sps = Sps::parse(sps).map_err(|_| WriteError::Unfit)?;
                let pixels = |pixels: u32| u16::try_from(pixels).map_err(|_| WriteError::Unfit);
                (pixels(sps.width)?, pixels(sps.height)?)
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
