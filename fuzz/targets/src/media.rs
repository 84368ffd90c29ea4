//! Media files.

use std::io::Cursor;

use tombolo_media::ReadError;
use tombolo_media::annex_b::{AnnexBReader, NalCodec};
use tombolo_media::ivf::{IvfReader, IvfWriter};
use tombolo_media::ogg::{OggOpusReader, OggOpusWriter};
use tombolo_media::wav::{WavReader, WavWriter};

/// Any bytes as an IVF file: what is read is written, and read again it is the same.
pub fn ivf(data: &[u8]) {
    let Ok(mut reader) = IvfReader::new(data) else { return };
    let mut writer = IvfWriter::new(Vec::new(), reader.header()).expect("a header that was read");
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = reader.next_frame() {
        writer.write(frame.time, &frame.data).expect("a frame that was read");
        frames.push(frame);
    }
    let file = writer.finish().expect("memory");
    let mut again = IvfReader::new(&file[..]).expect("what was written");
    assert_eq!(again.header(), reader.header());
    for frame in frames {
        assert_eq!(again.next_frame().expect("what was written"), Some(frame));
    }
    assert!(matches!(again.next_frame(), Ok(None)));
}

/// Any bytes as an Ogg/Opus file, whose pages get their checksums first, or a fuzzer would not come past them: what is
/// read is written, and read again it is the same.
pub fn ogg_opus(data: &[u8]) {
    let mut data = data.to_vec();
    let mut at = 0;
    while let Some(len) = page_len(&data[at..]) {
        let page = &mut data[at..at + len];
        page[22..26].fill(0);
        let sum = checksum(page).to_le_bytes();
        page[22..26].copy_from_slice(&sum);
        at += len;
    }
    let Ok(mut reader) = OggOpusReader::new(&data[..]) else { return };
    let mut writer = OggOpusWriter::new(Vec::new(), reader.head(), 1).expect("a header that was read");
    let (mut packets, mut position) = (Vec::new(), 0);
    while let Ok(Some(packet)) = reader.next_packet() {
        assert_eq!(packet.start, position);
        assert!(packet.trimmed <= packet.samples);
        position += u64::from(packet.samples);
        writer.write(&packet.data).expect("a packet that was read");
        packets.push(packet.data);
    }
    let file = writer.finish().expect("memory");
    let mut again = OggOpusReader::new(&file[..]).expect("what was written");
    assert_eq!(again.head(), reader.head());
    for packet in packets {
        assert_eq!(again.next_packet().expect("what was written").map(|again| again.data), Some(packet));
    }
    assert!(matches!(again.next_packet(), Ok(None)));
}

/// The length of the page at the front, when all of it is there (RFC 3533 §6).
fn page_len(data: &[u8]) -> Option<usize> {
    let segments = usize::from(*data.get(26)?);
    let body: usize = data.get(27..27 + segments)?.iter().map(|len| usize::from(*len)).sum();
    let len = 27 + segments + body;
    (data.len() >= len).then_some(len)
}

/// The checksum of a page, bit by bit.
fn checksum(page: &[u8]) -> u32 {
    page.iter().fold(0, |sum, byte| {
        let start = sum ^ u32::from(*byte) << 24;
        (0..8).fold(start, |sum, _| sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    })
}

/// Any bytes as a byte stream of either codec: units do not depend on what stands behind them, nor on how they come.
pub fn byte_stream(data: &[u8]) {
    for codec in [NalCodec::H264, NalCodec::H265] {
        let units = |data: &[u8]| {
            let mut reader = AnnexBReader::new(data, codec);
            std::iter::from_fn(|| reader.next_unit().expect("small units")).collect::<Vec<_>>()
        };
        let whole = units(data);
        assert!(whole.iter().all(|unit| unit.starts_with(&[0, 0, 0, 1]) && unit.len() > 4));
        // Start codes of three bytes become such of four.
        assert!(whole.iter().map(Vec::len).sum::<usize>() <= data.len() * 2);
        assert_eq!(units(&whole.concat()), whole);
    }
}

/// Any bytes as a WAVE file: what is read is written, and read again it is the same.
pub fn wav(data: &[u8]) {
    let Ok(mut reader) = WavReader::new(data) else { return };
    let format = *reader.format();
    let mut writer = WavWriter::new(Cursor::new(Vec::new()), format).expect("a format that was read");
    let mut sound = Vec::new();
    loop {
        match reader.next_samples(7) {
            Ok(Some(samples)) => {
                writer.write(&samples).expect("whole samples");
                sound.extend(samples);
            }
            Ok(None) | Err(ReadError::Truncated) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let file = writer.finish_sized().expect("memory").into_inner();
    let mut again = WavReader::new(&file[..]).expect("what was written");
    assert_eq!(*again.format(), format);
    let read = again.next_samples(data.len()).expect("what was written").unwrap_or_default();
    assert_eq!(read, sound);
}
