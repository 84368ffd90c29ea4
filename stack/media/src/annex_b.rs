//! H.264 and H.265 byte streams: access units (ITU-T H.264 and H.265, Annex B).
//!
//! A new access unit begins with a delimiter, a parameter set or a prefix SEI message behind a slice, or with the first
//! slice of a picture (H.264 §7.4.1.2.3, H.265 §7.4.2.4.4).
//!
//! Left out: the comparison of slice headers by which a first slice is found that does not hold the first macroblock;
//! encoders for real time do not make such. Layers of H.265 above the base belong to the unit of the base.

use std::io::{Read, Write};

use tombolo_rtp::codec::annex_b::START_CODE;

use crate::{MAX_FRAME_BYTES, ReadError, WriteError};

/// Which byte stream it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalCodec {
    /// ITU-T H.264.
    H264,
    /// ITU-T H.265.
    H265,
}

/// What a NAL unit is in the order of an access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Stands only in front of slices.
    Begins,
    /// The first slice of a picture.
    FirstSlice,
    /// Another slice.
    Slice,
    /// May stand anywhere.
    Other,
}

impl NalCodec {
    fn role(self, nal: &[u8]) -> Role {
        let slice = |is_first: bool| if is_first { Role::FirstSlice } else { Role::Slice };
        match (self, nal) {
            (Self::H264, [header, rest @ ..]) => match header & 0x1f {
                // first_mb_in_slice is zero when the Exp-Golomb code is the single bit 1.
                1 | 2 | 5 => slice(rest.first().is_some_and(|byte| byte & 0x80 != 0)),
                3 | 4 => Role::Slice,
                6..=9 | 14..=18 => Role::Begins,
                _ => Role::Other,
            },
            (Self::H265, [h0, h1, rest @ ..]) => {
                let layer = (h0 & 1) << 5 | h1 >> 3;
                match h0 >> 1 & 0x3f {
                    _ if layer > 0 => Role::Other,
                    // first_slice_segment_in_pic_flag.
                    0..32 => slice(rest.first().is_some_and(|byte| byte & 0x80 != 0)),
                    32..=35 | 39 | 41..=44 | 48..=55 => Role::Begins,
                    _ => Role::Other,
                }
            }
            _ => Role::Other,
        }
    }
}

/// Reads access units.
#[derive(Debug)]
pub struct AnnexBReader<R> {
    source: R,
    codec: NalCodec,
    buffer: Vec<u8>,
    /// Where in the buffer begins what is not told yet; behind a start code once `synced`.
    start: usize,
    /// From here on a start code is to be looked for.
    scanned: usize,
    synced: bool,
    at_end: bool,
    unit: Vec<u8>,
    unit_has_slice: bool,
}

impl<R: Read> AnnexBReader<R> {
    /// Begins at the start of the stream. Bytes in front of the first start code are passed over.
    pub const fn new(source: R, codec: NalCodec) -> Self {
        Self {
            source,
            codec,
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            synced: false,
            at_end: false,
            unit: Vec::new(),
            unit_has_slice: false,
        }
    }

    /// The next access unit, each NAL unit behind a start code of four bytes; `None` at the end. The last one may have
    /// no slice.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`] when a NAL unit or an access unit is larger than [`MAX_FRAME_BYTES`],
    /// [`ReadError::Io`].
    pub fn next_unit(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        while let Some(end) = self.find_nal()? {
            let nal = trim(&self.buffer[self.start..end]);
            let role = self.codec.role(nal);
            let begins = match role {
                Role::Begins | Role::FirstSlice => self.unit_has_slice,
                Role::Slice | Role::Other => false,
            };
            let done = begins.then(|| std::mem::take(&mut self.unit));
            if self.unit.len() + START_CODE.len() + nal.len() > MAX_FRAME_BYTES {
                return Err(ReadError::TooLarge);
            }
            if !nal.is_empty() {
                self.unit.extend_from_slice(&START_CODE);
                self.unit.extend_from_slice(nal);
            }
            self.unit_has_slice =
                matches!(role, Role::FirstSlice | Role::Slice) || (self.unit_has_slice && !begins);
            (self.start, self.scanned, self.synced) = (end, end, false);
            if done.is_some() {
                return Ok(done);
            }
        }
        Ok(Some(std::mem::take(&mut self.unit)).filter(|unit| !unit.is_empty()))
    }

    /// Where in the buffer the NAL unit at `start` ends; `None` at the end of the stream.
    fn find_nal(&mut self) -> Result<Option<usize>, ReadError> {
        loop {
            let found = self.buffer[self.scanned..].windows(3).position(|three| three == [0, 0, 1]);
            match found.map(|at| self.scanned + at) {
                Some(at) if self.synced => return Ok(Some(at)),
                Some(at) => (self.start, self.scanned, self.synced) = (at + 3, at + 3, true),
                None if self.at_end => return Ok(self.synced.then_some(self.buffer.len())),
                None => {
                    // A start code may be cut in two.
                    self.scanned = self.buffer.len().saturating_sub(2).max(self.start);
                    if !self.synced {
                        self.start = self.scanned;
                    }
                    self.fill()?;
                }
            }
        }
    }

    fn fill(&mut self) -> Result<(), ReadError> {
        const STEP: u64 = 64 << 10;
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        if self.buffer.len() > MAX_FRAME_BYTES {
            return Err(ReadError::TooLarge);
        }
        let read = (&mut self.source).take(STEP).read_to_end(&mut self.buffer)?;
        self.at_end = (read as u64) < STEP;
        Ok(())
    }
}

/// Without the zeros that may stand behind a NAL unit.
fn trim(nal: &[u8]) -> &[u8] {
    &nal[..nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)]
}

/// Writes access units one behind the other.
#[derive(Debug)]
pub struct AnnexBWriter<W> {
    sink: W,
}

impl<W: Write> AnnexBWriter<W> {
    /// Begins a stream.
    pub const fn new(sink: W) -> Self {
        Self { sink }
    }

    /// Writes an access unit in byte stream form.
    ///
    /// # Errors
    /// [`WriteError::Unfit`] when it does not begin with a start code, [`WriteError::Io`].
    pub fn write(&mut self, unit: &[u8]) -> Result<(), WriteError> {
        if !unit.starts_with(&START_CODE) && !unit.starts_with(&START_CODE[1..]) {
            return Err(WriteError::Unfit);
        }
        Ok(self.sink.write_all(unit)?)
    }

    /// Ends the stream and gives back the sink.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use proptest::prelude::*;

    use super::*;

    fn stream(nals: &[&[u8]]) -> Vec<u8> {
        nals.iter().flat_map(|nal| START_CODE.iter().chain(*nal)).copied().collect()
    }

    fn units(codec: NalCodec, source: impl Read) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut reader = AnnexBReader::new(source, codec);
        let mut all = Vec::new();
        while let Some(unit) = reader.next_unit()? {
            all.push(unit);
        }
        Ok(all)
    }

    /// Gives a few bytes with each call.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(self.0.len()).min(out.len());
            out[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    /// Delimiter, sets, a picture of two slices; a picture without anything in front; SEI, and a picture.
    #[test]
    fn h264_units_begin_where_the_standard_says() {
        let first: &[&[u8]] = &[&[9, 0xf0], &[0x67, 1], &[0x68, 2], &[0x65, 0x88], &[0x65, 0x40]];
        let second: &[&[u8]] = &[&[0x41, 0x9a], &[0x41, 0x22], &[0x0c, 0xff]];
        let third: &[&[u8]] = &[&[6, 5, 1], &[0x41, 0x9b]];
        let all = [stream(first), stream(second), stream(third)];
        assert_eq!(units(NalCodec::H264, &all.concat()[..]).unwrap(), all);
    }

    #[test]
    fn h265_units_begin_where_the_standard_says() {
        let first: &[&[u8]] =
            &[&[0x40, 1, 9], &[0x42, 1, 9], &[0x44, 1, 9], &[0x26, 1, 0xaf], &[0x26, 1, 0x2f]];
        // A slice of an upper layer, and a suffix SEI message.
        let second: &[&[u8]] = &[&[0x02, 1, 0xd0], &[0x02, 9, 0xd0], &[0x50, 1, 1]];
        let third: &[&[u8]] = &[&[0x4e, 1, 1], &[0x02, 1, 0xd1]];
        let all = [stream(first), stream(second), stream(third)];
        assert_eq!(units(NalCodec::H265, &all.concat()[..]).unwrap(), all);
    }

    #[test]
    fn start_codes_of_both_lengths_and_zeros_are_understood() {
        let data =
            [9, 9, 0, 0, 1, 0x65, 0x88, 0, 0, 0, 0, 0, 1, 0x41, 0x9a, 0, 0, 1, 0, 0, 1, 0x41, 0x80, 7, 0];
        let all = units(NalCodec::H264, &data[..]).unwrap();
        assert_eq!(all, [stream(&[&[0x65, 0x88]]), stream(&[&[0x41, 0x9a]]), stream(&[&[0x41, 0x80, 7]])]);
        for nothing in [&[][..], &[1, 2, 3], &[0, 0, 1], &[0, 0, 0, 0]] {
            assert_eq!(units(NalCodec::H264, nothing).unwrap(), Vec::<Vec<u8>>::new());
        }
    }

    #[test]
    fn a_stream_without_start_codes_takes_no_memory_and_one_unit_has_a_bound() {
        let noise = io::repeat(7).take(3 * MAX_FRAME_BYTES as u64);
        assert!(units(NalCodec::H264, noise).unwrap().is_empty());
        let endless = io::Cursor::new([0, 0, 1, 0x65]).chain(io::repeat(7));
        assert!(matches!(units(NalCodec::H264, endless), Err(ReadError::TooLarge)));
        let parts = [&[0, 0, 1, 0x0c][..], &[7; 1 << 20]].concat().repeat(17);
        assert!(matches!(units(NalCodec::H264, &parts[..]), Err(ReadError::TooLarge)));
    }

    #[test]
    fn only_byte_streams_are_written() {
        let mut writer = AnnexBWriter::new(Vec::new());
        writer.write(&[0, 0, 1, 0x65]).unwrap();
        writer.write(&[0, 0, 0, 1, 0x41]).unwrap();
        assert!(matches!(writer.write(&[0, 0, 5, 0x65, 1]), Err(WriteError::Unfit)));
        assert_eq!(writer.finish().unwrap(), [0, 0, 1, 0x65, 0, 0, 0, 1, 0x41]);
    }

    proptest! {
        /// The units are the same however the source cuts them, and nothing is lost.
        #[test]
        fn reads_of_any_size_give_the_same(
            nals in proptest::collection::vec((prop_oneof![Just(9u8), Just(0x65), Just(0x41), Just(0x67), any::<u8>()],
                proptest::collection::vec(1u8.., 1..40)), 0..12),
            step in 1usize..9,
        ) {
            let nals: Vec<Vec<u8>> = nals.into_iter().map(|(first, rest)| [vec![first.max(1)], rest].concat()).collect();
            let data = stream(&nals.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let whole = units(NalCodec::H264, &data[..]).unwrap();
            prop_assert_eq!(&whole.concat(), &data);
            prop_assert_eq!(units(NalCodec::H264, Slow(&data, step)).unwrap(), whole);
        }
    }
}
