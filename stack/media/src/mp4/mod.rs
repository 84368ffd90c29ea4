//! Fragmented MP4 (ISO/IEC 14496-12 §8.8) for recording: what was written before a crash can be played.
//!
//! `[ftyp | moov]` once, and then `[moof | mdat]` for each fragment. A fragment begins with a keyframe of video, and
//! ends after [`MAX_FRAGMENT`] at the latest.
//!
//! Left out: what real-time media does not have (frames that are shown in another order than they are decoded), and an
//! index for seeking, which players make by themselves.

mod track;

pub use track::TrackFormat;

use std::io::Write;
use std::time::Duration;

use mp4_atom::{
    Encode as _, FourCC, Ftyp, Mfhd, Moof, Moov, Mvex, Mvhd, Tfdt, Tfhd, Traf, Trex, Trun, TrunEntry,
    TrunSamples,
};

use crate::{MAX_FRAME_BYTES, WriteError};

/// Most of a stream that one fragment holds: what a crash can lose.
pub const MAX_FRAGMENT: Duration = Duration::from_secs(1);

/// Bytes after which a fragment is written, however short it is.
const MAX_PENDING_BYTES: usize = MAX_FRAME_BYTES / 2;

/// Sample flags (§8.8.3.1): depends on no other frame; depends on others and begins nothing.
const SYNC: u32 = 0x0200_0000;
const NON_SYNC: u32 = 0x0101_0000;

/// Ticks per second of the file as a whole, which counts nothing in a fragmented one.
const MOVIE_CLOCK_HZ: u32 = 1000;

/// One frame of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample<'a> {
    /// When it is shown, in ticks of [`TrackFormat::clock_hz`] since the beginning of the recording.
    pub time: u64,
    /// Whether it can be decoded without an earlier one. Always so for sound.
    pub is_keyframe: bool,
    /// The frame: H.264 and H.265 in byte stream form, an AV1 temporal unit in the low-overhead format, one Opus packet, and
    /// else what the encoder made.
    pub data: &'a [u8],
}

/// A frame that is not written yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    time: u64,
    is_keyframe: bool,
    len: u32,
}

#[derive(Debug)]
struct Track {
    format: TrackFormat,
    pending: Vec<Pending>,
    /// The pending frames, one behind the other.
    data: Vec<u8>,
    /// How long the last frame is shown if none follows.
    last_duration: u32,
}

impl Track {
    /// The frames whose duration is known: all but the last, which the next fragment begins with.
    fn complete(&self, ends: bool) -> usize {
        if ends { self.pending.len() } else { self.pending.len().saturating_sub(1) }
    }

    fn duration(&self, at: usize) -> u32 {
        // Times go upwards by what 32 bits hold: `write` sees to it.
        let next = self.pending.get(at + 1);
        next.map_or(self.last_duration, |next| (next.time - self.pending[at].time) as u32)
    }

    fn bytes_of(&self, frames: usize) -> usize {
        self.pending[..frames].iter().map(|pending| pending.len as usize).sum()
    }
}

/// Writes a file with one or several tracks.
#[derive(Debug)]
pub struct FragmentedMp4Writer<W> {
    sink: W,
    tracks: Vec<Track>,
    sequence_number: u32,
}

impl<W: Write> FragmentedMp4Writer<W> {
    /// Writes the header. Tracks are told apart by their place in `tracks`.
    ///
    /// # Errors
    /// [`WriteError::Unfit`] for no track, and for formats with values out of range or with parameter sets that cannot
    /// be read; [`WriteError::Io`].
    pub fn new(mut sink: W, tracks: Vec<TrackFormat>) -> Result<Self, WriteError> {
        if tracks.is_empty() {
            return Err(WriteError::Unfit);
        }
        let ids = || 1_u32..;
        let moov = Moov {
            mvhd: Mvhd {
                timescale: MOVIE_CLOCK_HZ,
                rate: 1.into(),
                volume: 1.into(),
                next_track_id: tracks.len() as u32 + 1,
                ..Mvhd::default()
            },
            mvex: Some(Mvex {
                mehd: None,
                trex: ids()
                    .zip(&tracks)
                    .map(|(track_id, _)| Trex {
                        track_id,
                        default_sample_description_index: 1,
                        ..Trex::default()
                    })
                    .collect(),
            }),
            trak: ids().zip(&tracks).map(|(id, format)| format.track(id)).collect::<Result<_, _>>()?,
            ..Moov::default()
        };
        let ftyp = Ftyp {
            major_brand: FourCC::new(b"iso6"),
            minor_version: 0,
            compatible_brands: [b"iso6", b"mp41"].map(FourCC::new).to_vec(),
        };
        let mut header = Vec::new();
        ftyp.encode(&mut header).and_then(|()| moov.encode(&mut header)).map_err(|_| WriteError::Unfit)?;
        sink.write_all(&header)?;
        let tracks = tracks.into_iter().map(|format| Track {
            format,
            pending: Vec::new(),
            data: Vec::new(),
            last_duration: 0,
        });
        Ok(Self { sink, tracks: tracks.collect(), sequence_number: 0 })
    }

    /// Adds a frame to a track. The file gets it with its fragment.
    ///
    /// # Errors
    /// [`WriteError::Unfit`] for a track that is not there, an empty frame and one above [`MAX_FRAME_BYTES`];
    /// [`WriteError::Order`] when it is not later than the frame before it in the track, or later by more than 32 bits
    /// can tell; [`WriteError::Io`].
    pub fn write(&mut self, track: usize, sample: Sample<'_>) -> Result<(), WriteError> {
        let own = self.tracks.get_mut(track).ok_or(WriteError::Unfit)?;
        if sample.data.is_empty() || sample.data.len() > MAX_FRAME_BYTES {
            return Err(WriteError::Unfit);
        }
        let duration = match own.pending.last() {
            Some(last) => {
                let step = sample.time.checked_sub(last.time).and_then(|step| u32::try_from(step).ok());
                step.filter(|step| *step > 0).ok_or(WriteError::Order)?
            }
            None => own.format.usual_duration(sample.data),
        };
        let start = own.data.len();
        own.format.write_frame(sample.data, &mut own.data);
        let len = (own.data.len() - start) as u32;
        if len == 0 {
            // A byte stream without NAL units.
            return Err(WriteError::Unfit);
        }
        own.last_duration = duration;
        own.pending.push(Pending { time: sample.time, is_keyframe: sample.is_keyframe, len });
        let first = own.pending[0].time;
        let span = (u128::from(sample.time - first) * 1000) / u128::from(own.format.clock_hz());
        let is_cut = own.format.is_video() && sample.is_keyframe && own.pending.len() > 1;
        let bytes: usize = self.tracks.iter().map(|track| track.data.len()).sum();
        if is_cut || span >= MAX_FRAGMENT.as_millis() || bytes > MAX_PENDING_BYTES {
            self.write_fragment(false)?;
        }
        Ok(())
    }

    /// Ends the file and gives back the sink. The last frame of each track is taken to be as long as the one before it.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.write_fragment(true)?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    fn write_fragment(&mut self, ends: bool) -> Result<(), WriteError> {
        if self.tracks.iter().all(|track| track.complete(ends) == 0) {
            return Ok(());
        }
        self.sequence_number = self.sequence_number.wrapping_add(1);
        // How long the atom is does not depend on the offsets in it, which count from its beginning.
        let mut moof = Vec::new();
        self.fragment(ends, 0).encode(&mut moof).map_err(|_| WriteError::Unfit)?;
        let data_at = moof.len() + 8;
        moof.clear();
        self.fragment(ends, data_at).encode(&mut moof).map_err(|_| WriteError::Unfit)?;
        let payload: usize = self.tracks.iter().map(|track| track.bytes_of(track.complete(ends))).sum();
        self.sink.write_all(&moof)?;
        self.sink.write_all(&(payload as u32 + 8).to_be_bytes())?;
        self.sink.write_all(b"mdat")?;
        for track in &mut self.tracks {
            let frames = track.complete(ends);
            let bytes = track.bytes_of(frames);
            self.sink.write_all(&track.data[..bytes])?;
            track.data.drain(..bytes);
            track.pending.drain(..frames);
        }
        Ok(())
    }

    /// The fragment of all complete frames, whose data begins at `data_at` bytes behind the beginning of the atom.
    fn fragment(&self, ends: bool, data_at: usize) -> Moof {
        let mut traf = Vec::new();
        let mut at = data_at;
        for (track, track_id) in self.tracks.iter().zip(1..) {
            let frames = track.complete(ends);
            if frames == 0 {
                continue;
            }
            let entries = track.pending[..frames].iter().enumerate().map(|(at, pending)| TrunEntry {
                duration: Some(track.duration(at)),
                size: Some(pending.len),
                flags: Some(if pending.is_keyframe { SYNC } else { NON_SYNC }),
                cts: None,
            });
            let samples = TrunSamples::Explicit(entries.collect());
            traf.push(Traf {
                tfhd: Tfhd { track_id, default_base_is_moof: true, ..Tfhd::default() },
                tfdt: Some(Tfdt { base_media_decode_time: track.pending[0].time }),
                trun: vec![Trun { data_offset: i32::try_from(at).ok(), samples }],
                ..Traf::default()
            });
            at += track.bytes_of(frames);
        }
        Moof { mfhd: Mfhd { sequence_number: self.sequence_number }, traf }
    }
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Any, ReadFrom as _};

    use super::*;

    const VP8: TrackFormat = TrackFormat::Vp8 { width: 640, height: 360 };
    const OPUS: TrackFormat = TrackFormat::Opus { channels: 2, pre_skip: 0 };

    fn sample(time: u64, is_keyframe: bool, data: &[u8]) -> Sample<'_> {
        Sample { time, is_keyframe, data }
    }

    /// Duration, whether it is a keyframe, and contents.
    type Frame = (u32, bool, Vec<u8>);

    /// The frames of a track in a fragment, with its id and the time of the first one.
    type Part = (u32, u64, Vec<Frame>);

    /// The fragments of a file.
    fn fragments(mut file: &[u8]) -> Vec<Vec<Part>> {
        let whole = file;
        let mut all = Vec::new();
        while !file.is_empty() {
            let at = whole.len() - file.len();
            match Any::read_from(&mut file).unwrap() {
                Any::Moof(moof) => {
                    all.push(moof.traf.iter().map(|traf| track_of(&whole[at..], traf)).collect())
                }
                Any::Ftyp(_) | Any::Moov(_) | Any::Mdat(_) => {}
                other => panic!("{other:?}"),
            }
        }
        all
    }

    fn track_of(moof: &[u8], traf: &Traf) -> Part {
        let mut at = traf.trun[0].data_offset.unwrap() as usize;
        let mut frames = Vec::new();
        for entry in traf.trun[0].samples.iter() {
            let len = entry.size.unwrap() as usize;
            let is_keyframe = entry.flags == Some(SYNC);
            frames.push((entry.duration.unwrap(), is_keyframe, moof[at..at + len].to_vec()));
            at += len;
        }
        (traf.tfhd.track_id, traf.tfdt.as_ref().unwrap().base_media_decode_time, frames)
    }

    /// A keyframe ends the fragment of all tracks; the last frame of each waits for what follows it.
    #[test]
    fn a_fragment_begins_with_a_keyframe() {
        let mut writer = FragmentedMp4Writer::new(Vec::new(), vec![VP8, OPUS]).unwrap();
        writer.write(0, sample(90, true, b"key")).unwrap();
        writer.write(1, sample(10, true, &[0xfc, 1])).unwrap();
        writer.write(0, sample(3090, false, b"delta")).unwrap();
        writer.write(1, sample(970, true, &[0xfc, 2])).unwrap();
        writer.write(0, sample(5090, true, b"again")).unwrap();
        let file = writer.finish().unwrap();
        let video = |frames: Vec<(u32, bool, &[u8])>| {
            frames.into_iter().map(|(duration, key, data)| (duration, key, data.to_vec())).collect::<Vec<_>>()
        };
        let expected = vec![
            vec![
                (1, 90, video(vec![(3000, true, b"key"), (2000, false, b"delta")])),
                (2, 10, video(vec![(960, true, &[0xfc, 1])])),
            ],
            vec![
                (1, 5090, video(vec![(2000, true, b"again")])),
                (2, 970, video(vec![(960, true, &[0xfc, 2])])),
            ],
        ];
        assert_eq!(fragments(&file), expected);
    }

    #[test]
    fn a_fragment_is_at_most_a_second() {
        let mut writer = FragmentedMp4Writer::new(Vec::new(), vec![OPUS]).unwrap();
        for n in 0..120 {
            writer.write(0, sample(n * 960, true, &[0xfc, 1])).unwrap();
        }
        let counts: Vec<_> =
            fragments(&writer.finish().unwrap()).iter().map(|tracks| tracks[0].2.len()).collect();
        assert_eq!(counts, [50, 50, 20]);
    }

    /// A crash loses what was not written, and what was is whole.
    #[test]
    fn memory_has_a_bound() {
        let mut writer = FragmentedMp4Writer::new(Vec::new(), vec![VP8]).unwrap();
        let frame = vec![7; 3 << 20];
        for n in 0..8 {
            writer.write(0, sample(n, n == 0, &frame)).unwrap();
        }
        assert!(writer.tracks[0].data.len() <= MAX_PENDING_BYTES);
        assert_eq!(fragments(&writer.sink).iter().map(|tracks| tracks[0].2.len()).sum::<usize>(), 6);
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let format = |format: TrackFormat| FragmentedMp4Writer::new(Vec::new(), vec![format]).map(|_| ());
        assert!(matches!(FragmentedMp4Writer::new(Vec::new(), vec![]), Err(WriteError::Unfit)));
        assert!(matches!(format(TrackFormat::Vp8 { width: 0, height: 1 }), Err(WriteError::Unfit)));
        assert!(matches!(format(TrackFormat::Opus { channels: 3, pre_skip: 0 }), Err(WriteError::Unfit)));
        let no_sets = TrackFormat::H264 { sps: vec![0x67], pps: vec![0x68] };
        assert!(matches!(format(no_sets), Err(WriteError::Unfit)));
        let no_sets = TrackFormat::H265 { vps: vec![0x40, 1], sps: vec![0x42, 1], pps: vec![0x44, 1] };
        assert!(matches!(format(no_sets), Err(WriteError::Unfit)));
        assert!(matches!(format(TrackFormat::Av1 { sequence_header: vec![0] }), Err(WriteError::Unfit)));
        assert_eq!(TrackFormat::h264_of(&[0, 0, 1, 0x65, 1]), None);
        assert_eq!(TrackFormat::h265_of(&[0, 0, 1, 0x26, 1]), None);
        assert_eq!(TrackFormat::av1_of(&[0x32, 1, 0x10]), None);
        let mut writer = FragmentedMp4Writer::new(Vec::new(), vec![VP8]).unwrap();
        assert!(matches!(writer.write(1, sample(0, true, b"x")), Err(WriteError::Unfit)));
        assert!(matches!(writer.write(0, sample(0, true, b"")), Err(WriteError::Unfit)));
        writer.write(0, sample(5, true, b"x")).unwrap();
        assert!(matches!(writer.write(0, sample(5, true, b"x")), Err(WriteError::Order)));
        assert!(matches!(writer.write(0, sample(4, true, b"x")), Err(WriteError::Order)));
        assert!(matches!(writer.write(0, sample(1 << 33, true, b"x")), Err(WriteError::Order)));
        writer.write(0, sample(6, false, b"x")).unwrap();
        assert_eq!(fragments(&writer.finish().unwrap())[0][0].2.len(), 2);
    }
}
