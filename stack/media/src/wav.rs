//! RIFF WAVE: sound of 16 bits, or of G.711.
//!
//! `[RIFF | length 32 | WAVE]` and chunks of `[name | length 32 | contents | padded to an even length]`, little-endian.

use std::io::{Read, Seek, SeekFrom, Write};

use crate::{ReadError, WriteError, read_array, read_bytes, skip};

/// How samples are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WavEncoding {
    /// Signed 16 bits, little-endian. L16 in RTP is big-endian (RFC 3551 §4.5.11).
    Pcm16,
    /// G.711 A-law, a byte each.
    ALaw,
    /// G.711 µ-law, a byte each.
    MuLaw,
}

impl WavEncoding {
    /// The format tag: `WAVE_FORMAT_PCM`, `_ALAW`, `_MULAW`.
    const fn tag(self) -> u16 {
        match self {
            Self::Pcm16 => 1,
            Self::ALaw => 6,
            Self::MuLaw => 7,
        }
    }

    const fn bytes(self) -> u16 {
        match self {
            Self::Pcm16 => 2,
            Self::ALaw | Self::MuLaw => 1,
        }
    }
}

/// What the sound of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WavFormat {
    /// How samples are encoded.
    pub encoding: WavEncoding,
    /// Channels, interleaved; at least 1.
    pub channels: u16,
    /// In Hz; at least 1.
    pub sample_rate_hz: u32,
}

impl WavFormat {
    /// Bytes of one sample of all channels; at least 1, and at most 65535.
    fn block_bytes(&self) -> Option<u16> {
        self.channels.checked_mul(self.encoding.bytes()).filter(|bytes| *bytes > 0 && self.sample_rate_hz > 0)
    }
}

/// `WAVE_FORMAT_EXTENSIBLE`: the tag stands in the first bytes of a GUID.
const EXTENSIBLE: u16 = 0xfffe;

/// A length that was not known when it was written.
const UNKNOWN: u32 = u32::MAX;

/// Reads a file from its beginning.
#[derive(Debug)]
pub struct WavReader<R> {
    source: R,
    format: WavFormat,
    block_bytes: usize,
    /// Bytes of sound that are left; `None` up to the end of the file.
    left: Option<u64>,
}

impl<R: Read> WavReader<R> {
    /// Reads up to the sound. Chunks in front of it other than the format are passed over.
    ///
    /// # Errors
    /// [`ReadError::Malformed`] when it is no WAVE file or its format makes no sense, [`ReadError::Unsupported`] for
    /// other encodings, [`ReadError::Truncated`], [`ReadError::Io`].
    pub fn new(mut source: R) -> Result<Self, ReadError> {
        let [r0, r1, r2, r3, _, _, _, _, wave @ ..] = read_array::<12>(&mut source)?;
        if [r0, r1, r2, r3] != *b"RIFF" || wave != *b"WAVE" {
            return Err(ReadError::Malformed);
        }
        let mut format = None;
        loop {
            let [n0, n1, n2, n3, len @ ..] = read_array::<8>(&mut source)?;
            let len = u32::from_le_bytes(len);
            match &[n0, n1, n2, n3] {
                b"fmt " => format = Some(read_format(&mut source, len)?),
                b"data" => {
                    let format: WavFormat = format.ok_or(ReadError::Malformed)?;
                    let block_bytes = format.block_bytes().ok_or(ReadError::Malformed)?.into();
                    // Zero too is what a writer leaves that cannot go back.
                    let left = (len != UNKNOWN && len != 0).then_some(len.into());
                    return Ok(Self { source, format, block_bytes, left });
                }
                _ => skip(&mut source, u64::from(len) + u64::from(len % 2))?,
            }
        }
    }

    /// What the sound is.
    #[must_use]
    pub const fn format(&self) -> &WavFormat {
        &self.format
    }

    /// The next `samples` of every channel, interleaved and encoded as the file has them; fewer at the end, `None`
    /// behind it.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] when the file ends before what it announces or within a sample,
    /// [`ReadError::TooLarge`] when so many samples have more than [`crate::MAX_FRAME_BYTES`], [`ReadError::Io`].
    pub fn next_samples(&mut self, samples: usize) -> Result<Option<Vec<u8>>, ReadError> {
        let wanted = samples.checked_mul(self.block_bytes).ok_or(ReadError::TooLarge)?;
        let len = self.left.map_or(wanted, |left| usize::try_from(left).unwrap_or(wanted).min(wanted));
        if len > crate::MAX_FRAME_BYTES {
            return Err(ReadError::TooLarge);
        }
        let mut bytes = Vec::new();
        (&mut self.source).take(len as u64).read_to_end(&mut bytes)?;
        if let Some(left) = &mut self.left {
            if bytes.len() < len {
                return Err(ReadError::Truncated);
            }
            *left -= len as u64;
        }
        if !bytes.len().is_multiple_of(self.block_bytes) {
            return Err(ReadError::Truncated);
        }
        Ok((!bytes.is_empty()).then_some(bytes))
    }
}

fn read_format(source: &mut impl Read, len: u32) -> Result<WavFormat, ReadError> {
    // An extensible format has 40 bytes; nothing has many more.
    if !(16..=1024).contains(&len) {
        return Err(ReadError::Malformed);
    }
    let bytes = read_bytes(source, (len + len % 2) as usize)?;
    let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let tag = match short(0) {
        EXTENSIBLE if len >= 26 => short(24),
        tag => tag,
    };
    let encoding = match (tag, short(14)) {
        (1, 16) => WavEncoding::Pcm16,
        (6, 8) => WavEncoding::ALaw,
        (7, 8) => WavEncoding::MuLaw,
        _ => return Err(ReadError::Unsupported),
    };
    let sample_rate_hz = u32::from(short(4)) | u32::from(short(6)) << 16;
    let format = WavFormat { encoding, channels: short(2), sample_rate_hz };
    if format.block_bytes() == Some(short(12)) { Ok(format) } else { Err(ReadError::Malformed) }
}

/// Writes a file. Sound goes out with its call; the lengths in front of it are filled in at the end, where the sink can
/// go back, and else say that they are not known.
#[derive(Debug)]
pub struct WavWriter<W> {
    sink: W,
    format: WavFormat,
    block_bytes: u16,
    data_bytes: u64,
}

impl<W: Write> WavWriter<W> {
    /// Writes what stands in front of the sound.
    ///
    /// # Errors
    /// [`WriteError::Unfit`] when there is no channel or no rate, or a sample of all channels has more than 65535
    /// bytes; [`WriteError::Io`].
    pub fn new(sink: W, format: WavFormat) -> Result<Self, WriteError> {
        let block_bytes = format.block_bytes().ok_or(WriteError::Unfit)?;
        let mut writer = Self { sink, format, block_bytes, data_bytes: 0 };
        writer.sink.write_all(&writer.header(UNKNOWN))?;
        Ok(writer)
    }

    /// Writes samples of all channels, interleaved and encoded as the format says.
    ///
    /// # Errors
    /// [`WriteError::Unfit`] for a part of a sample, [`WriteError::Io`].
    pub fn write(&mut self, samples: &[u8]) -> Result<(), WriteError> {
        if !samples.len().is_multiple_of(self.block_bytes.into()) {
            return Err(WriteError::Unfit);
        }
        self.sink.write_all(samples)?;
        self.data_bytes += samples.len() as u64;
        Ok(())
    }

    /// Ends the file and gives back the sink.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn finish(mut self) -> Result<W, WriteError> {
        if self.data_bytes % 2 == 1 {
            self.sink.write_all(&[0])?;
        }
        self.sink.flush()?;
        Ok(self.sink)
    }

    /// The same, with the lengths filled in, as far as 32 bits can tell them. The file must stand at the sink's
    /// beginning.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn finish_sized(mut self) -> Result<W, WriteError>
    where
        W: Seek,
    {
        let header = self.header(u32::try_from(self.data_bytes).unwrap_or(UNKNOWN));
        self.sink.seek(SeekFrom::Start(0))?;
        self.sink.write_all(&header)?;
        self.sink.seek(SeekFrom::End(0))?;
        self.finish()
    }

    /// What stands in front of `data_bytes` of sound; always of the same length.
    fn header(&self, data_bytes: u32) -> Vec<u8> {
        let WavFormat { encoding, channels, sample_rate_hz } = self.format;
        let block_bytes = u32::from(self.block_bytes);
        let mut chunks = b"WAVE".to_vec();
        let is_pcm = encoding == WavEncoding::Pcm16;
        chunks.extend(b"fmt ");
        chunks.extend(if is_pcm { 16_u32 } else { 18 }.to_le_bytes());
        chunks.extend(encoding.tag().to_le_bytes());
        chunks.extend(channels.to_le_bytes());
        chunks.extend(sample_rate_hz.to_le_bytes());
        chunks.extend(sample_rate_hz.wrapping_mul(block_bytes).to_le_bytes());
        chunks.extend(self.block_bytes.to_le_bytes());
        chunks.extend((encoding.bytes() * 8).to_le_bytes());
        if !is_pcm {
            // No extension, and the number of samples, which other formats than PCM must tell; zero is unknown.
            let samples = if data_bytes == UNKNOWN { 0 } else { data_bytes / block_bytes };
            chunks.extend(0_u16.to_le_bytes());
            chunks.extend(b"fact");
            chunks.extend(4_u32.to_le_bytes());
            chunks.extend(samples.to_le_bytes());
        }
        chunks.extend(b"data");
        chunks.extend(data_bytes.to_le_bytes());
        let riff_bytes = data_bytes.saturating_add(data_bytes % 2).saturating_add(chunks.len() as u32);
        let mut header = b"RIFF".to_vec();
        header.extend(riff_bytes.to_le_bytes());
        header.extend(chunks);
        header
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    const STEREO: WavFormat = WavFormat { encoding: WavEncoding::Pcm16, channels: 2, sample_rate_hz: 48_000 };
    const PHONE: WavFormat = WavFormat { encoding: WavEncoding::MuLaw, channels: 1, sample_rate_hz: 8000 };

    fn file(format: WavFormat, sound: &[u8]) -> Vec<u8> {
        let mut writer = WavWriter::new(Cursor::new(Vec::new()), format).unwrap();
        writer.write(sound).unwrap();
        writer.finish_sized().unwrap().into_inner()
    }

    fn refused(file: &[u8]) -> ReadError {
        match WavReader::new(file).and_then(|mut reader| reader.next_samples(1000)) {
            Err(error) => error,
            Ok(read) => panic!("{read:?}"),
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let mut pcm = b"RIFF\x28\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0".to_vec();
        pcm.extend([0x80, 0xbb, 0, 0, 0, 0xee, 2, 0, 4, 0, 16, 0]);
        pcm.extend(b"data\x04\0\0\0abcd");
        assert_eq!(file(STEREO, b"abcd"), pcm);
        let mut phone = b"RIFF\x36\0\0\0WAVEfmt \x12\0\0\0\x07\0\x01\0".to_vec();
        phone.extend([0x40, 0x1f, 0, 0, 0x40, 0x1f, 0, 0, 1, 0, 8, 0, 0, 0]);
        phone.extend(b"fact\x04\0\0\0\x03\0\0\0data\x03\0\0\0abc\0");
        assert_eq!(file(PHONE, b"abc"), phone);
    }

    /// What a pipe gets: lengths that are not known, which reads up to the end.
    #[test]
    fn a_file_without_lengths_is_read_to_its_end() {
        let mut writer = WavWriter::new(Vec::new(), STEREO).unwrap();
        writer.write(b"12345678").unwrap();
        let mut file = writer.finish().unwrap();
        for len in [[0xff; 4], [0; 4]] {
            file[40..44].copy_from_slice(&len);
            let mut reader = WavReader::new(&file[..]).unwrap();
            assert_eq!(reader.next_samples(1).unwrap().unwrap(), b"1234");
            assert_eq!(reader.next_samples(9).unwrap().unwrap(), b"5678");
            assert_eq!(reader.next_samples(9).unwrap(), None);
        }
        file.push(b'x');
        let mut reader = WavReader::new(&file[..]).unwrap();
        assert!(matches!(reader.next_samples(9), Err(ReadError::Truncated)), "half a sample");
    }

    /// Other chunks, one of them of an odd length, and an extensible format.
    #[test]
    fn other_chunks_are_passed_over() {
        let plain = file(STEREO, b"abcd");
        let mut long = plain[..12].to_vec();
        long.extend(b"LIST\x03\0\0\0xyz\0fmt \x28\0\0\0");
        long.extend([0xfe, 0xff]);
        long.extend(&plain[22..36]);
        long.extend([22, 0, 16, 0, 3, 0, 0, 0, 1, 0]);
        long.extend([0; 14]);
        long.extend(&plain[36..]);
        long.extend(b"more");
        let mut reader = WavReader::new(&long[..]).unwrap();
        assert_eq!(*reader.format(), STEREO);
        assert_eq!(reader.next_samples(1000).unwrap().unwrap(), b"abcd");
        assert_eq!(reader.next_samples(1000).unwrap(), None);
    }

    #[test]
    fn what_is_no_good_file_is_refused() {
        let good = file(STEREO, b"abcd");
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            refused(&bad)
        };
        assert!(matches!(with(0, b'X'), ReadError::Malformed));
        assert!(matches!(with(16, 15), ReadError::Malformed), "a short format");
        assert!(matches!(with(20, 3), ReadError::Unsupported), "floating point");
        assert!(matches!(with(34, 24), ReadError::Unsupported), "24 bits");
        assert!(matches!(with(22, 0), ReadError::Malformed), "no channel");
        assert!(matches!(with(32, 3), ReadError::Malformed), "blocks that do not fit");
        assert!(matches!(with(12, b'x'), ReadError::Malformed), "no format");
        assert!(matches!(with(40, 5), ReadError::Truncated));
        assert!(matches!(with(40, 2), ReadError::Truncated), "half a sample");
        for cut in 0..good.len() {
            assert!(matches!(refused(&good[..cut]), ReadError::Truncated), "{cut}");
        }
        let mut reader = WavReader::new(&good[..]).unwrap();
        assert!(matches!(reader.next_samples(usize::MAX), Err(ReadError::TooLarge)));
        let silent = WavFormat { channels: 0, ..STEREO };
        assert!(matches!(WavWriter::new(Vec::new(), silent), Err(WriteError::Unfit)));
        let mut writer = WavWriter::new(Vec::new(), STEREO).unwrap();
        assert!(matches!(writer.write(b"abc"), Err(WriteError::Unfit)));
    }

    proptest! {
        #[test]
        fn sound_round_trips(
            encoding in prop_oneof![Just(WavEncoding::Pcm16), Just(WavEncoding::ALaw), Just(WavEncoding::MuLaw)],
            channels in 1u16..9, sample_rate_hz in 1u32.., samples in 1usize..60, step in 1usize..20,
        ) {
            let format = WavFormat { encoding, channels, sample_rate_hz };
            let bytes = samples * usize::from(format.block_bytes().unwrap());
            let sound: Vec<u8> = (0..bytes).map(|n| n as u8).collect();
            let file = file(format, &sound);
            prop_assert_eq!(file.len() % 2, 0);
            let mut reader = WavReader::new(&file[..]).unwrap();
            prop_assert_eq!(*reader.format(), format);
            let mut read = Vec::new();
            while let Some(part) = reader.next_samples(step).unwrap() {
                read.extend(part);
            }
            prop_assert_eq!(read, sound);
        }
    }
}
