//! IVF: frames of one video stream with their times.
//!
//! `[DKIF | version 16 | header length 16 | codec 4 bytes | width 16 | height 16 | rate 32 | scale 32 | frames 32 | 0 32]`
//! and for each frame `[length 32 | time 64 | frame]`, all little-endian.

use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

use crate::{MAX_FRAME_BYTES, ReadError, WriteError, read_array, read_array_or_end, read_bytes, skip};

const SIGNATURE: [u8; 4] = *b"DKIF";
const HEADER_LEN: u16 = 32;
/// Where the number of frames stands.
const FRAMES_AT: u64 = 24;

/// What stands at the beginning of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IvfHeader {
    /// Which codec: `VP80`, `VP90` or `AV01`.
    pub codec: [u8; 4],
    /// Of the first picture, in pixels.
    pub width: u16,
    /// Of the first picture, in pixels.
    pub height: u16,
    /// Times count in units of `scale / rate` seconds. Neither is zero.
    pub rate: u32,
    /// See [`IvfHeader::rate`].
    pub scale: u32,
    /// How many frames there are; zero when that was not known, and never to be relied upon.
    pub frames: u32,
}

impl IvfHeader {
    /// A stream whose times are RTP timestamps of 90 kHz.
    #[must_use]
    pub const fn with_rtp_clock(codec: [u8; 4], width: u16, height: u16) -> Self {
        Self { codec, width, height, rate: 90_000, scale: 1, frames: 0 }
    }

    /// When a frame with this time is shown, since the time zero.
    #[must_use]
    pub fn presentation(&self, time: u64) -> Duration {
        let nanos = u128::from(time) * u128::from(self.scale) * 1_000_000_000 / u128::from(self.rate);
        u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IvfFrame {
    /// In units of the header's clock.
    pub time: u64,
    /// The frame as the encoder made it.
    pub data: Vec<u8>,
}

/// Reads a file from its beginning.
#[derive(Debug)]
pub struct IvfReader<R> {
    source: R,
    header: IvfHeader,
}

impl<R: Read> IvfReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`ReadError::Malformed`] when it is no IVF file of version 0 or its clock has a zero, [`ReadError::Truncated`],
    /// [`ReadError::Io`].
    pub fn new(mut source: R) -> Result<Self, ReadError> {
        let bytes: [u8; HEADER_LEN as usize] = read_array(&mut source)?;
        let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let long = |at: usize| u32::from(short(at)) | u32::from(short(at + 2)) << 16;
        let header = IvfHeader {
            codec: [bytes[8], bytes[9], bytes[10], bytes[11]],
            width: short(12),
            height: short(14),
            rate: long(16),
            scale: long(20),
            frames: long(24),
        };
        let header_len = short(6);
        if bytes[..4] != SIGNATURE
            || short(4) != 0
            || header_len < HEADER_LEN
            || header.rate == 0
            || header.scale == 0
        {
            return Err(ReadError::Malformed);
        }
        skip(&mut source, u64::from(header_len - HEADER_LEN))?;
        Ok(Self { source, header })
    }

    /// What stood at the beginning.
    #[must_use]
    pub const fn header(&self) -> &IvfHeader {
        &self.header
    }

    /// The next frame, or `None` at the end of the file.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] when the file ends within a frame, [`ReadError::TooLarge`], [`ReadError::Io`].
    pub fn next_frame(&mut self) -> Result<Option<IvfFrame>, ReadError> {
        let Some([l0, l1, l2, l3, time @ ..]) = read_array_or_end::<12>(&mut self.source)? else {
            return Ok(None);
        };
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let data = read_bytes(&mut self.source, len as usize)?;
        Ok(Some(IvfFrame { time: u64::from_le_bytes(time), data }))
    }
}

/// Writes a file. Each frame goes out whole with its call.
#[derive(Debug)]
pub struct IvfWriter<W> {
    sink: W,
    frames: u32,
}

impl<W: Write> IvfWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// [`WriteError::Unfit`] when the clock has a zero, [`WriteError::Io`].
    pub fn new(mut sink: W, header: &IvfHeader) -> Result<Self, WriteError> {
        if header.rate == 0 || header.scale == 0 {
            return Err(WriteError::Unfit);
        }
        let mut bytes = Vec::with_capacity(HEADER_LEN.into());
        bytes.extend(SIGNATURE);
        bytes.extend(0_u16.to_le_bytes());
        bytes.extend(HEADER_LEN.to_le_bytes());
        bytes.extend(header.codec);
        bytes.extend(header.width.to_le_bytes());
        bytes.extend(header.height.to_le_bytes());
        for word in [header.rate, header.scale, header.frames, 0] {
            bytes.extend(word.to_le_bytes());
        }
        sink.write_all(&bytes)?;
        Ok(Self { sink, frames: 0 })
    }

    /// Writes a frame.
    ///
    /// # Errors
    /// [`WriteError::Unfit`] above [`MAX_FRAME_BYTES`], [`WriteError::Io`].
    pub fn write(&mut self, time: u64, data: &[u8]) -> Result<(), WriteError> {
        if data.len() > MAX_FRAME_BYTES {
            return Err(WriteError::Unfit);
        }
        self.sink.write_all(&(data.len() as u32).to_le_bytes())?;
        self.sink.write_all(&time.to_le_bytes())?;
        self.sink.write_all(data)?;
        self.frames = self.frames.saturating_add(1);
        Ok(())
    }

    /// Ends the file and gives back the sink. The header says as many frames as it was told.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.sink.flush()?;
        Ok(self.sink)
    }

    /// The same, with the number of frames put into the header. The header must stand at the sink's beginning.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn finish_counted(mut self) -> Result<W, WriteError>
    where
        W: Seek,
    {
        self.sink.seek(SeekFrom::Start(FRAMES_AT))?;
        self.sink.write_all(&self.frames.to_le_bytes())?;
        self.sink.seek(SeekFrom::End(0))?;
        self.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    const HEADER: IvfHeader = IvfHeader::with_rtp_clock(*b"VP80", 640, 360);

    fn file(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut writer = IvfWriter::new(Cursor::new(Vec::new()), &HEADER).unwrap();
        for (time, data) in frames {
            writer.write(*time, data).unwrap();
        }
        writer.finish_counted().unwrap().into_inner()
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let mut expected = b"DKIF\0\0\x20\0VP80\x80\x02\x68\x01".to_vec();
        expected.extend([0x90, 0x5f, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([2, 0, 0, 0, 0xb8, 0x0b, 0, 0, 0, 0, 0, 0, 7, 8]);
        assert_eq!(file(&[(3000, vec![7, 8])]), expected);
    }

    #[test]
    fn times_are_of_the_headers_clock() {
        assert_eq!(HEADER.presentation(45_000), Duration::from_millis(500));
        assert_eq!(IvfHeader { rate: 1, ..HEADER }.presentation(u64::MAX), Duration::MAX);
    }

    #[test]
    fn what_is_no_good_file_is_refused() {
        let good = file(&[(0, vec![1; 10])]);
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            IvfReader::new(Cursor::new(bad)).map(|_| ())
        };
        assert!(matches!(with(0, b'X'), Err(ReadError::Malformed)));
        assert!(matches!(with(4, 1), Err(ReadError::Malformed)));
        assert!(matches!(with(6, 31), Err(ReadError::Malformed)));
        assert!(matches!(with(20, 0), Err(ReadError::Malformed)));
        assert!(matches!(with(7, 1), Err(ReadError::Truncated)));
        for cut in 0..good.len() {
            let result = IvfReader::new(&good[..cut]).and_then(|mut reader| reader.next_frame());
            let ends = matches!(result, Ok(None)) && cut == 32;
            assert!(ends || matches!(result, Err(ReadError::Truncated)), "{cut}");
        }
        let zero = IvfHeader { rate: 0, ..HEADER };
        assert!(matches!(IvfWriter::new(Vec::new(), &zero), Err(WriteError::Unfit)));
    }

    /// A frame of 4 GB that is not there takes no memory.
    #[test]
    fn lengths_are_not_believed() {
        let mut bad = file(&[]);
        bad.extend([0xff; 12]);
        let mut reader = IvfReader::new(Cursor::new(&bad)).unwrap();
        assert!(matches!(reader.next_frame(), Err(ReadError::TooLarge)));
        bad[32..36].copy_from_slice(&(MAX_FRAME_BYTES as u32).to_le_bytes());
        let mut reader = IvfReader::new(Cursor::new(&bad)).unwrap();
        assert!(matches!(reader.next_frame(), Err(ReadError::Truncated)));
    }

    #[test]
    fn a_longer_header_is_stepped_over() {
        let mut long = file(&[(9, vec![1])]);
        long[6] = 35;
        long.splice(32..32, [0xaa; 3]);
        let mut reader = IvfReader::new(Cursor::new(long)).unwrap();
        assert_eq!(reader.header().frames, 1);
        assert_eq!(reader.next_frame().unwrap(), Some(IvfFrame { time: 9, data: vec![1] }));
    }

    proptest! {
        #[test]
        fn files_round_trip(frames in proptest::collection::vec((any::<u64>(), proptest::collection::vec(any::<u8>(), 0..50)), 0..10)) {
            let mut reader = IvfReader::new(Cursor::new(file(&frames))).unwrap();
            prop_assert_eq!(*reader.header(), IvfHeader { frames: frames.len() as u32, ..HEADER });
            for (time, data) in frames {
                prop_assert_eq!(reader.next_frame().unwrap(), Some(IvfFrame { time, data }));
            }
            prop_assert_eq!(reader.next_frame().unwrap(), None);
        }
    }
}
