//! The hang `legacy` container: `[timestamp | codec payload]`, the timestamp in microseconds as a QUIC
//! variable-length integer (RFC 9000 §16).

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The largest value of a variable-length integer.
const VARINT_MAX: u64 = (1 << 62) - 1;

/// Puts the timestamp in front of a payload.
pub(super) fn wrap(media_time_us: u64, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + payload.len());
    let value = media_time_us.min(VARINT_MAX);
    match value {
        0..=0x3f => out.put_u8(value as u8),
        0x40..=0x3fff => out.put_u16(0x4000 | value as u16),
        0x4000..=0x3fff_ffff => out.put_u32(0x8000_0000 | value as u32),
        _ => out.put_u64(0xc000_0000_0000_0000 | value),
    }
    out.extend_from_slice(payload);
    out.freeze()
}

/// Takes the timestamp off; `None` when the frame is too short to have one.
pub(super) fn unwrap(mut frame: Bytes) -> Option<(u64, Bytes)> {
    let length = 1_usize << (frame.first()? >> 6);
    if frame.len() < length {
        return None;
    }
    let value = frame.get_uint(length);
    let mask = u64::MAX >> (64 - 8 * length as u32 + 2);
    Some((value & mask, frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9000 §A.1.
    #[test]
    fn the_examples_of_rfc_9000_are_read() {
        let read = |bytes: &[u8]| unwrap(Bytes::copy_from_slice(bytes)).expect("a timestamp").0;
        assert_eq!(read(&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]), 151_288_809_941_952_652);
        assert_eq!(read(&[0x9d, 0x7f, 0x3e, 0x7d]), 494_878_333);
        assert_eq!(read(&[0x7b, 0xbd]), 15_293);
        assert_eq!(read(&[0x25]), 37);
        assert_eq!(read(&[0x40, 0x25]), 37);
    }

    #[test]
    fn every_length_survives_and_the_payload_with_it() {
        for time in [0, 0x3f, 0x40, 0x3fff, 0x4000, 0x3fff_ffff, 0x4000_0000, VARINT_MAX] {
            assert_eq!(unwrap(wrap(time, b"payload")), Some((time, Bytes::from_static(b"payload"))));
        }
        assert_eq!(unwrap(wrap(u64::MAX, b"")), Some((VARINT_MAX, Bytes::new())));
    }

    #[test]
    fn a_frame_shorter_than_its_timestamp_is_none() {
        for bytes in [&[][..], &[0x40], &[0x80, 0, 0], &[0xc0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(unwrap(Bytes::copy_from_slice(bytes)), None);
        }
    }
}
