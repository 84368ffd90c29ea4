//! Encryption of header extensions: of chosen values (RFC 6904), and of all (RFC 9335).

use std::fmt;

use tombolo_crypto::CtrKey;
use zeroize::Zeroizing;

use crate::cipher::{SALT_LEN, cm_iv};
use crate::config::{Cryptex, ExtensionSet};
use crate::layout::{EXTENSION_HEADER_LEN, RTP_FIXED_LEN, RtpLayout};

/// The one-byte form of extensions (RFC 8285 §4.2), and how cryptex marks it.
const ONE_BYTE: u16 = 0xbede;
pub(crate) const CRYPTEX_ONE_BYTE: u16 = 0xc0de;
/// The two-byte form (RFC 8285 §4.3), whose lowest four bits are the application's, and how cryptex marks it with these
/// bits zero.
const TWO_BYTE: u16 = 0x1000;
const CRYPTEX_TWO_BYTE: u16 = 0xc2de;
const APPBITS: u16 = 0x000f;

/// The longest extension that RFC 6904 is done with, in bytes: the mask stands on the stack.
pub(crate) const MAX_MASKED_LEN: usize = 1024;

/// How a packet's extension and sources are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marked {
    /// Not as a whole.
    No,
    /// They are encrypted, and the extension has this value when they are not.
    Cryptex(u16),
    /// They are in the clear where they must not be.
    Forbidden,
}

/// What a receiver makes of the value in front of the extension (RFC 9335 §5.2).
pub(crate) const fn received(cryptex: Cryptex, layout: &RtpLayout) -> Marked {
    match (cryptex, layout.extension) {
        (Cryptex::Off, _) => Marked::No,
        (_, Some(CRYPTEX_ONE_BYTE)) => Marked::Cryptex(ONE_BYTE),
        (_, Some(CRYPTEX_TWO_BYTE)) => Marked::Cryptex(TWO_BYTE),
        (Cryptex::Required, Some(_)) => Marked::Forbidden,
        (Cryptex::Required, None) if layout.csrc_len > 0 => Marked::Forbidden,
        _ => Marked::No,
    }
}

/// What a sender does with a packet (RFC 9335 §5.1): the value that marks it, when it has anything to encrypt.
pub(crate) const fn sent(cryptex: Cryptex, layout: &RtpLayout) -> Marked {
    match (cryptex, layout.extension) {
        (Cryptex::Off, _) => Marked::No,
        (_, None) if layout.csrc_len == 0 => Marked::No,
        (_, None | Some(ONE_BYTE)) => Marked::Cryptex(CRYPTEX_ONE_BYTE),
        (_, Some(TWO_BYTE)) => Marked::Cryptex(CRYPTEX_TWO_BYTE),
        (_, Some(_)) => Marked::Forbidden,
    }
}

/// Bytes that stay in the clear with cryptex, once the extension's header stands in front of the sources.
pub(crate) const CRYPTEX_CLEAR_LEN: usize = RTP_FIXED_LEN + EXTENSION_HEADER_LEN;

/// Writes the value in front of the extension.
pub(crate) fn mark(packet: &mut [u8], layout: &RtpLayout, value: u16) {
    let at = layout.extension_at();
    packet[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

/// Puts an empty extension behind the sources of a packet of `len` bytes that has none (RFC 9335 §5.1); the caller has
/// made sure that there is room for its 4 bytes.
pub(crate) fn insert_extension(buf: &mut [u8], len: usize, layout: &RtpLayout) {
    let at = layout.extension_at();
    buf.copy_within(at..len, at + EXTENSION_HEADER_LEN);
    buf[at..at + EXTENSION_HEADER_LEN].fill(0);
    buf[0] |= 0x10;
}

/// The session key of RFC 6904 and the extensions that it is for.
pub(crate) struct HeaderCipher {
    key: Box<dyn CtrKey>,
    salt: Zeroizing<[u8; SALT_LEN]>,
    ids: ExtensionSet,
}

impl HeaderCipher {
    pub(crate) fn new(key: Box<dyn CtrKey>, salt: &[u8; SALT_LEN], ids: ExtensionSet) -> Self {
        Self { key, salt: Zeroizing::new(*salt), ids }
    }

    /// Encrypts or decrypts the chosen values of an extension of at most [`MAX_MASKED_LEN`] bytes.
    pub(crate) fn apply(&self, packet: &mut [u8], layout: &RtpLayout, index: u64) {
        let Some(kind) = layout.extension else { return };
        let data = &mut packet[layout.extension_at() + EXTENSION_HEADER_LEN..layout.header_len];
        let mut stream = [0; MAX_MASKED_LEN];
        let Some(stream) = stream.get_mut(..data.len()) else { return };
        self.key.apply_keystream(&cm_iv(&self.salt, layout.ssrc, index), stream);
        for_each_value(kind, data, |id, value, at| {
            if self.ids.contains(id) {
                value.iter_mut().zip(&stream[at..]).for_each(|(byte, key)| *byte ^= key);
            }
        });
    }
}

impl fmt::Debug for HeaderCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderCipher(..)")
    }
}

/// The elements of an extension in either form of RFC 8285: id, value, and where in `data` the value begins. Ends at
/// what ends the parsing (§4.2) and at an element that does not fit.
fn for_each_value(kind: u16, data: &mut [u8], mut each: impl FnMut(u8, &mut [u8], usize)) {
    let one_byte = kind == ONE_BYTE;
    if !one_byte && kind & !APPBITS != TWO_BYTE {
        return;
    }
    let mut at = 0;
    while let Some(&first) = data.get(at) {
        if first == 0 {
            at += 1;
            continue;
        }
        let (id, len, start) = if one_byte {
            (first >> 4, usize::from(first & 0x0f) + 1, at + 1)
        } else {
            // An id of zero is padding, also here, and has no length.
            let Some(&len) = data.get(at + 1) else { return };
            (first, usize::from(len), at + 2)
        };
        if one_byte && (id == 0 || id == 15) {
            return;
        }
        let Some(value) = data.get_mut(start..start + len) else { return };
        each(id, value, start);
        at = start + len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(kind: u16, data: &[u8]) -> Vec<(u8, Vec<u8>, usize)> {
        let mut found = Vec::new();
        for_each_value(kind, &mut data.to_vec(), |id, value, at| found.push((id, value.to_vec(), at)));
        found
    }

    #[test]
    fn both_forms_are_walked_and_padding_is_skipped() {
        let one = [0x00, 0x11, 1, 2, 0x00, 0x20, 3, 0x00];
        assert_eq!(values(ONE_BYTE, &one), [(1, vec![1, 2], 2), (2, vec![3], 6)]);
        let two = [0x00, 0x01, 0x02, 1, 2, 0x00, 0xf0, 0x00, 0x02, 0x01, 9];
        assert_eq!(values(TWO_BYTE | 5, &two), [(1, vec![1, 2], 3), (0xf0, vec![], 8), (2, vec![9], 10)]);
        assert_eq!(values(0x1234, &two), []);
    }

    /// RTP-08: id 0 with a length, and id 15, end the walk; an element that does not fit does too.
    #[test]
    fn ids_0_and_15_end_the_walk() {
        for end in [[0x03, 0x20, 9, 9], [0xf0, 9, 0x20, 9], [0x2f, 9, 9, 9]] {
            let data = [&[0x10, 7][..], &end].concat();
            assert_eq!(values(ONE_BYTE, &data), [(1, vec![7], 1)], "{end:02x?}");
        }
        assert_eq!(values(TWO_BYTE, &[1, 1, 7, 2, 9, 9]), [(1, vec![7], 2)]);
        assert_eq!(values(TWO_BYTE, &[1, 1, 7, 2]), [(1, vec![7], 2)]);
    }
}
