//! The picture id that the descriptors of VP8 (RFC 7741 §4.2) and VP9 (RFC 9628 §4.2) share: `[M=0 | 7 bits]` or `[M=1 | 15 bits]`.

use crate::DecodeError;

/// Where a picture id stands in its payload, and how wide it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PictureIdField {
    at: u8,
    pub(super) is_long: bool,
}

impl PictureIdField {
    /// Reads the picture id at `at` of `payload`, which is in its first 255 bytes.
    pub(super) fn read(payload: &[u8], at: usize) -> Result<(Self, u16), DecodeError> {
        let byte = |at: usize| payload.get(at).copied().ok_or(DecodeError::Truncated);
        let high = byte(at)?;
        let field = Self { at: at as u8, is_long: high & 0x80 != 0 };
        let mut id = u16::from(high & 0x7f);
        if field.is_long {
            id = id << 8 | u16::from(byte(at + 1)?);
        }
        Ok((field, id))
    }

    /// Bytes of the field.
    pub(super) const fn len(self) -> usize {
        if self.is_long { 2 } else { 1 }
    }

    /// Puts another picture id into a payload with this field, in the same width.
    pub(super) fn write(self, payload: &mut [u8], picture_id: u16) {
        let at = usize::from(self.at);
        if self.is_long {
            payload[at..at + 2].copy_from_slice(&(picture_id | 0x8000).to_be_bytes());
        } else {
            payload[at] = picture_id as u8 & 0x7f;
        }
    }
}
