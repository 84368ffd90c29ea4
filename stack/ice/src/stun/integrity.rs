//! MESSAGE-INTEGRITY with a short-term credential, and FINGERPRINT (RFC 8489 §14.5, §14.7).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;

/// The value of MESSAGE-INTEGRITY in bytes.
pub(super) const INTEGRITY_BYTES: usize = 20;
/// What FINGERPRINT's checksum is XORed with.
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// An HMAC-SHA1 key, expanded once. For a short-term credential it is the password (RFC 8489 §9.1.1); ICE passwords
/// are ASCII, so OpaqueString preparation changes nothing. `Debug` does not show it.
#[derive(Clone)]
pub struct IntegrityKey(Hmac<Sha1>);

impl IntegrityKey {
    /// From the bytes of the key, of any length.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        // HMAC takes a key of any length, so the empty fallback is never used.
        Self(Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default())))
    }

    /// The HMAC of a message up to, not including, its MESSAGE-INTEGRITY attribute, with the length field set as
    /// though that attribute were the last one.
    pub(super) fn sign(&self, before: &[u8]) -> [u8; INTEGRITY_BYTES] {
        let mut mac = self.0.clone();
        update_with_length(before, INTEGRITY_BYTES, |bytes| mac.update(bytes));
        mac.finalize().into_bytes().into()
    }

    pub(super) fn verify(&self, before: &[u8], tag: &[u8]) -> bool {
        self.sign(before).ct_eq(tag).into()
    }
}

impl fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntegrityKey(..)")
    }
}

/// The checksum of a message up to, not including, its FINGERPRINT attribute.
pub(super) fn fingerprint(before: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    update_with_length(before, 4, |bytes| crc.update(bytes));
    crc.finalize() ^ FINGERPRINT_XOR
}

/// Feeds `before` with the length that the message has when one attribute of `value_bytes` follows.
fn update_with_length(before: &[u8], value_bytes: usize, mut update: impl FnMut(&[u8])) {
    let length = (before.len() - super::HEADER_BYTES + 4 + value_bytes) as u16;
    update(&before[..2]);
    update(&length.to_be_bytes());
    update(&before[4..]);
}
