//! Ogg with one Opus stream (RFC 3533, RFC 7845).
//!
//! `[page of OpusHead | pages of OpusTags | pages of packets]`. The granule position of a page counts the samples at
//! 48 kHz up to the end of its last packet, those included that are skipped at the beginning.
//!
//! Left out: channel mappings other than family 0 (mono and stereo, all that RFC 7587 has), several streams one after
//! the other, and the comments, which are passed over.

mod page;

use std::io::{Read, Write};
use std::time::Duration;

use tombolo_rtp::codec::opus;

use crate::{MAX_FRAME_BYTES, ReadError, WriteError};
use page::{MAX_SEGMENTS, NO_GRANULE, Page};

/// Granule positions per second.
const RATE: u64 = 48_000;

/// A page is written when it holds this many samples: one second, which RFC 7845 §6 recommends as the most.
const PAGE_SAMPLES: u64 = RATE;

/// A frame of 20 ms of CELT without data: the decoder conceals (RFC 6716 §3.1, §4.4).
const LOST_FRAME: u8 = 0xf8;
const LOST_FRAME_SAMPLES: u64 = RATE / 50;
const STEREO: u8 = 0x04;

/// The identification header (RFC 7845 §5.1), of channel mapping family 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusHead {
    /// 1 or 2.
    pub channels: u8,
    /// Samples at 48 kHz that the player throws away at the beginning: 3840 when nothing better is known.
    pub pre_skip: u16,
    /// The rate before encoding in Hz, for information; 0 when unknown.
    pub input_sample_rate: u32,
    /// To be applied when playing, in units of 1/256 dB.
    pub output_gain: i16,
}

impl OpusHead {
    const SIGNATURE: [u8; 8] = *b"OpusHead";

    /// What a recording of RTP has: 48 kHz, nothing skipped.
    #[must_use]
    pub const fn of_rtp(channels: u8) -> Self {
        Self { channels, pre_skip: 0, input_sample_rate: 48_000, output_gain: 0 }
    }

    fn parse(packet: &[u8]) -> Result<Self, ReadError> {
        let Some((signature, &[version, channels, p0, p1, r0, r1, r2, r3, g0, g1, family, ..])) =
            packet.split_first_chunk::<8>()
        else {
            return Err(ReadError::Malformed);
        };
        // Versions up to 15 are compatible (§5.1).
        if *signature != Self::SIGNATURE || version > 15 || channels == 0 {
            return Err(ReadError::Malformed);
        }
        if family != 0 {
            return Err(ReadError::Unsupported);
        }
        if channels > 2 {
            return Err(ReadError::Malformed);
        }
        Ok(Self {
            channels,
            pre_skip: u16::from_le_bytes([p0, p1]),
            input_sample_rate: u32::from_le_bytes([r0, r1, r2, r3]),
            output_gain: i16::from_le_bytes([g0, g1]),
        })
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Self::SIGNATURE.to_vec();
        bytes.extend([1, self.channels]);
        bytes.extend(self.pre_skip.to_le_bytes());
        bytes.extend(self.input_sample_rate.to_le_bytes());
        bytes.extend(self.output_gain.to_le_bytes());
        bytes.push(0);
        bytes
    }
}

/// How many samples at 48 kHz a packet has.
fn samples_of(packet: &[u8]) -> Option<u64> {
    opus::duration(packet).map(|duration| duration.as_micros() as u64 * RATE / 1_000_000)
}

/// One packet of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpusPacket {
    /// The packet as the encoder made it.
    pub data: Vec<u8>,
    /// Where it begins, in samples at 48 kHz since the first packet.
    pub start: u64,
    /// How many samples it has.
    pub samples: u32,
    /// How many samples at its end are not to be played: only the last packets have some (§4.4).
    pub trimmed: u32,
}

/// Reads a file from its beginning. Pages of other streams are passed over.
#[derive(Debug)]
pub struct OggOpusReader<R> {
    source: R,
    head: OpusHead,
    serial: u32,
    /// Packets of the page that was read last, in reverse.
    ready: Vec<OpusPacket>,
    /// The beginning of a packet that goes on on the next page.
    partial: Vec<u8>,
    /// Samples so far.
    position: u64,
    /// The granule position at which the first packet begins: not zero in a file that was cut out of another.
    origin: Option<u64>,
    ended: bool,
}

impl<R: Read> OggOpusReader<R> {
    /// Reads the two headers.
    ///
    /// # Errors
    /// [`ReadError::Malformed`] when it is no Ogg file or has no Opus stream, [`ReadError::Unsupported`] for surround
    /// sound, [`ReadError::Truncated`], [`ReadError::TooLarge`], [`ReadError::Io`].
    pub fn new(mut source: R) -> Result<Self, ReadError> {
        // The first pages of all streams come first (RFC 3533 §4).
        let (head, serial) = loop {
            let page = Page::read(&mut source)?.ok_or(ReadError::Truncated)?;
            if !page.begins_stream {
                return Err(ReadError::Malformed);
            }
            if page.body.starts_with(&OpusHead::SIGNATURE) {
                break (OpusHead::parse(&page.body)?, page.serial);
            }
        };
        let mut reader = Self {
            source,
            head,
            serial,
            ready: Vec::new(),
            partial: Vec::new(),
            position: 0,
            origin: None,
            ended: false,
        };
        reader.read_tags()?;
        Ok(reader)
    }

    /// The identification header.
    #[must_use]
    pub const fn head(&self) -> &OpusHead {
        &self.head
    }

    /// The next packet, or `None` at the end of the stream.
    ///
    /// # Errors
    /// [`ReadError::Malformed`] for a page whose checksum is wrong and for packets that are no Opus,
    /// [`ReadError::Truncated`] when the file ends within a page or a packet, [`ReadError::TooLarge`],
    /// [`ReadError::Io`].
    pub fn next_packet(&mut self) -> Result<Option<OpusPacket>, ReadError> {
        while self.ready.is_empty() {
            if self.ended {
                return Ok(None);
            }
            match self.next_page()? {
                Some(page) => self.take(&page)?,
                None if self.partial.is_empty() => self.ended = true,
                None => return Err(ReadError::Truncated),
            }
        }
        Ok(self.ready.pop())
    }

    /// The next page of the stream.
    fn next_page(&mut self) -> Result<Option<Page>, ReadError> {
        loop {
            match Page::read(&mut self.source)? {
                Some(page) if page.serial != self.serial => {}
                page => return Ok(page),
            }
        }
    }

    /// Passes over the comments, which end their page (§3).
    fn read_tags(&mut self) -> Result<(), ReadError> {
        let mut len = 0;
        loop {
            let page = self.next_page()?.ok_or(ReadError::Truncated)?;
            if len == 0 && !page.body.starts_with(b"OpusTags") {
                return Err(ReadError::Malformed);
            }
            len += page.body.len();
            if len > MAX_FRAME_BYTES {
                return Err(ReadError::TooLarge);
            }
            if page.pieces().any(|(_, ends)| ends) {
                return Ok(());
            }
        }
    }

    fn take(&mut self, page: &Page) -> Result<(), ReadError> {
        // What began on a page that is missing, and what should go on and does not, cannot be used.
        if page.continued == self.partial.is_empty() {
            return Err(ReadError::Malformed);
        }
        let first = self.position;
        for (piece, ends) in page.pieces() {
            if self.partial.len() + piece.len() > MAX_FRAME_BYTES {
                return Err(ReadError::TooLarge);
            }
            self.partial.extend_from_slice(piece);
            if ends {
                let data = std::mem::take(&mut self.partial);
                let samples = samples_of(&data).ok_or(ReadError::Malformed)?;
                self.ready.push(OpusPacket {
                    data,
                    start: self.position,
                    samples: samples as u32,
                    trimmed: 0,
                });
                self.position += samples;
            }
        }
        if page.granule != NO_GRANULE && !self.ready.is_empty() {
            self.place(page, self.position - first);
        }
        self.ended = page.ends_stream;
        self.ready.reverse();
        Ok(())
    }

    /// Finds out where the stream begins, and what of its end is not to be played.
    fn place(&mut self, page: &Page, samples: u64) {
        // The first page tells where the stream begins, unless it is the last too: then it may be cut (§4.4, §4.5).
        let begins = if page.ends_stream { 0 } else { page.granule.saturating_sub(samples) };
        let origin = *self.origin.get_or_insert(begins);
        if page.ends_stream {
            let end = page.granule.saturating_sub(origin);
            for packet in &mut self.ready {
                let over = (packet.start + u64::from(packet.samples)).saturating_sub(end);
                packet.trimmed = over.min(packet.samples.into()) as u32;
            }
        }
    }
}

/// Writes a file. At most one second stays in memory, so what is lost when the writer is lost is not more.
#[derive(Debug)]
pub struct OggOpusWriter<W> {
    sink: W,
    /// What is not written yet; never empty once a packet came, since the last page of the file must be told so.
    page: Page,
    /// The granule position at which the page begins, and up to which packets came.
    page_start: u64,
    position: u64,
    stereo: bool,
}

impl<W: Write> OggOpusWriter<W> {
    /// Writes the headers. `serial` is any number that other streams of the file do not have.
    ///
    /// # Errors
    /// [`WriteError::Unfit`] for other than one or two channels, [`WriteError::Io`].
    pub fn new(mut sink: W, head: &OpusHead, serial: u32) -> Result<Self, WriteError> {
        if !(1..=2).contains(&head.channels) {
            return Err(WriteError::Unfit);
        }
        let mut first = Page { begins_stream: true, serial, ..Page::default() };
        first.push(&head.to_bytes());
        first.write(&mut sink)?;
        let vendor = b"tombolo";
        let mut tags = b"OpusTags".to_vec();
        tags.extend((vendor.len() as u32).to_le_bytes());
        tags.extend(vendor);
        tags.extend(0_u32.to_le_bytes());
        let mut second = Page { serial, sequence: 1, ..Page::default() };
        second.push(&tags);
        second.write(&mut sink)?;
        let page = Page { serial, sequence: 2, granule: NO_GRANULE, ..Page::default() };
        Ok(Self { sink, page, page_start: 0, position: 0, stereo: head.channels == 2 })
    }

    /// Writes a packet behind the one before it.
    ///
    /// # Errors
    /// [`WriteError::Unfit`] for what is no Opus packet or larger than [`MAX_FRAME_BYTES`], [`WriteError::Io`].
    pub fn write(&mut self, packet: &[u8]) -> Result<(), WriteError> {
        let samples =
            samples_of(packet).filter(|_| packet.len() <= MAX_FRAME_BYTES).ok_or(WriteError::Unfit)?;
        let needed = packet.len() / 255 + 1;
        let is_full = self.page.segments.len() + needed > MAX_SEGMENTS
            || self.position + samples - self.page_start > PAGE_SAMPLES;
        if is_full && !self.page.segments.is_empty() {
            self.flush_page(false)?;
        }
        let mut rest = Some(packet);
        while let Some(bytes) = rest {
            rest = self.page.push(bytes);
            if rest.is_some() {
                self.flush_page(true)?;
            }
        }
        self.position += samples;
        self.page.granule = self.position;
        Ok(())
    }

    /// Fills a gap of lost packets, in steps of 20 ms: the player conceals them. What is left over of `gap` is not
    /// filled; the time that is filled is returned.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn write_gap(&mut self, gap: Duration) -> Result<Duration, WriteError> {
        let samples = u64::try_from(gap.as_micros() * u128::from(RATE) / 1_000_000).unwrap_or(u64::MAX);
        let frames = samples / LOST_FRAME_SAMPLES;
        let frame = [LOST_FRAME | if self.stereo { STEREO } else { 0 }];
        for _ in 0..frames {
            self.write(&frame)?;
        }
        Ok(Duration::from_millis(frames * 20))
    }

    /// How much sound was written.
    #[must_use]
    pub const fn written(&self) -> Duration {
        Duration::from_micros(self.position * 1_000_000 / RATE)
    }

    /// Ends the stream and gives back the sink.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.page.ends_stream = true;
        self.page.granule = self.position;
        self.page.write(&mut self.sink)?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    /// Writes the page and begins another one, with the rest of a packet or with a new one.
    fn flush_page(&mut self, continues: bool) -> Result<(), WriteError> {
        self.page.write(&mut self.sink)?;
        self.page_start = self.position;
        self.page = Page {
            continued: continues,
            granule: NO_GRANULE,
            serial: self.page.serial,
            sequence: self.page.sequence.wrapping_add(1),
            ..Page::default()
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 20 ms with this many bytes.
    fn packet(len: usize) -> Vec<u8> {
        let mut data = vec![7; len.max(1)];
        data[0] = 0xfc;
        data
    }

    fn file(packets: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = OggOpusWriter::new(Vec::new(), &OpusHead::of_rtp(2), 5).unwrap();
        for packet in packets {
            writer.write(packet).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(file: &[u8]) -> Result<Vec<OpusPacket>, ReadError> {
        let mut reader = OggOpusReader::new(file)?;
        let mut all = Vec::new();
        while let Some(packet) = reader.next_packet()? {
            all.push(packet);
        }
        Ok(all)
    }

    fn pages(mut file: &[u8]) -> Vec<Page> {
        std::iter::from_fn(|| Page::read(&mut file).unwrap()).collect()
    }

    fn joined(pages: &[Page]) -> Vec<u8> {
        let mut file = Vec::new();
        pages.iter().for_each(|page| page.write(&mut file).unwrap());
        file
    }

    /// RFC 7845 §5.1, byte by byte, and the order of the headers.
    #[test]
    fn the_headers_are_those_of_the_rfc() {
        let head = OpusHead { channels: 1, pre_skip: 312, input_sample_rate: 44_100, output_gain: -256 };
        let file = OggOpusWriter::new(Vec::new(), &head, 9).and_then(OggOpusWriter::finish).unwrap();
        let pages = pages(&file);
        assert_eq!(pages[0].body, *b"OpusHead\x01\x01\x38\x01\x44\xac\0\0\x00\xff\0");
        assert!(pages[0].begins_stream && pages[0].granule == 0);
        assert_eq!(pages[1].body, *b"OpusTags\x07\0\0\0tombolo\0\0\0\0");
        assert!(pages[2].ends_stream && pages.len() == 3);
        assert_eq!(*OggOpusReader::new(&file[..]).unwrap().head(), head);
        assert_eq!(read(&file).unwrap(), []);
    }

    #[test]
    fn a_page_has_at_most_a_second_and_tells_its_end() {
        let file = file(&vec![packet(100); 120]);
        let pages = pages(&file);
        let granules: Vec<_> = pages.iter().skip(2).map(|page| page.granule).collect();
        assert_eq!(granules, [48_000, 96_000, 115_200]);
        assert!(pages.iter().enumerate().all(|(at, page)| page.sequence == at as u32 && page.serial == 5));
        assert_eq!(pages.iter().filter(|page| page.ends_stream).count(), 1);
        let packets = read(&file).unwrap();
        assert_eq!(packets.len(), 120);
        assert_eq!((packets[119].start, packets[119].samples, packets[119].trimmed), (119 * 960, 960, 0));
    }

    #[test]
    fn a_gap_is_concealed() {
        let mut writer = OggOpusWriter::new(Vec::new(), &OpusHead::of_rtp(2), 5).unwrap();
        writer.write(&packet(10)).unwrap();
        assert_eq!(writer.write_gap(Duration::from_millis(59)).unwrap(), Duration::from_millis(40));
        writer.write(&packet(10)).unwrap();
        assert_eq!(writer.written(), Duration::from_millis(80));
        let packets = read(&writer.finish().unwrap()).unwrap();
        assert_eq!(packets.iter().map(|packet| packet.data.len()).collect::<Vec<_>>(), [10, 1, 1, 10]);
        assert_eq!(packets[1].data, [0xfc]);
    }

    /// §4.4 and §4.5: a file that was cut out of another, and the end that is not played.
    #[test]
    fn beginning_and_end_follow_the_granule_positions() {
        let mut all = pages(&file(&vec![packet(20); 120]));
        for page in &mut all[2..] {
            page.granule += 10_000;
        }
        all[4].granule -= 1000;
        let packets = read(&joined(&all)).unwrap();
        assert_eq!((packets[0].start, packets[119].start), (0, 119 * 960));
        let trimmed: Vec<_> = packets.iter().map(|packet| packet.trimmed).filter(|over| *over > 0).collect();
        assert_eq!(trimmed, [40, 960]);
    }

    #[test]
    fn pages_of_other_streams_are_passed_over() {
        let mut all = pages(&file(&[packet(3)]));
        let mut other = Page { begins_stream: true, serial: 77, ..Page::default() };
        other.push(b"something else");
        all.insert(0, other.clone());
        other.begins_stream = false;
        all.insert(3, other);
        assert_eq!(read(&joined(&all)).unwrap().len(), 1);
    }

    #[test]
    fn files_that_do_not_add_up_are_refused() {
        let good = pages(&file(&vec![packet(300); 120]));
        let bad = |change: &dyn Fn(&mut Vec<Page>)| {
            let mut pages = good.clone();
            change(&mut pages);
            read(&joined(&pages))
        };
        assert!(matches!(bad(&|pages| drop(pages.remove(0))), Err(ReadError::Malformed)));
        assert!(matches!(bad(&|pages| drop(pages.remove(1))), Err(ReadError::Malformed)));
        assert!(matches!(bad(&|pages| pages.truncate(1)), Err(ReadError::Truncated)));
        assert!(matches!(bad(&|pages| pages[3].continued = true), Err(ReadError::Malformed)));
        assert!(matches!(bad(&|pages| pages[0].body[8] = 16), Err(ReadError::Malformed)));
        assert!(matches!(bad(&|pages| pages[0].body[18] = 1), Err(ReadError::Unsupported)));
        assert!(matches!(bad(&|pages| pages[0].body[9] = 3), Err(ReadError::Malformed)));
        // An empty packet is no Opus.
        assert!(matches!(bad(&|pages| pages[2].segments.push(0)), Err(ReadError::Malformed)));
    }

    /// A packet without end does not take memory without end.
    #[test]
    fn a_packet_has_a_bound() {
        let mut file = joined(&pages(&file(&[]))[..2]);
        let mut page = Page { granule: NO_GRANULE, serial: 5, ..Page::default() };
        page.push(&vec![0xfc; 255 * 256]);
        for _ in 0..MAX_FRAME_BYTES / (255 * 255) + 1 {
            page.write(&mut file).unwrap();
            page.continued = true;
        }
        assert!(matches!(read(&file), Err(ReadError::TooLarge)));
    }

    #[test]
    fn what_is_no_opus_is_not_written() {
        assert!(matches!(OggOpusWriter::new(Vec::new(), &OpusHead::of_rtp(3), 1), Err(WriteError::Unfit)));
        let mut writer = OggOpusWriter::new(Vec::new(), &OpusHead::of_rtp(1), 1).unwrap();
        assert!(matches!(writer.write(&[]), Err(WriteError::Unfit)));
        assert!(matches!(writer.write(&[0xff]), Err(WriteError::Unfit)));
    }

    proptest! {
        /// Packets of all sizes, those among them that end exactly with a segment or do not fit a page.
        #[test]
        fn packets_round_trip(sizes in proptest::collection::vec(prop_oneof![
            8 => 1usize..600, 1 => (1usize..4).prop_map(|n| n * 255), 1 => 64_000usize..67_000,
        ], 0..30)) {
            let packets: Vec<_> = sizes.into_iter().map(packet).collect();
            let read = read(&file(&packets)).unwrap();
            prop_assert_eq!(read.iter().map(|packet| &packet.data).collect::<Vec<_>>(), packets.iter().collect::<Vec<_>>());
            prop_assert!(read.iter().enumerate().all(|(at, packet)| packet.start == at as u64 * 960));
        }
    }
}
