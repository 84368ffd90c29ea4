//! Record protection: DTLS 1.2 (RFC 5288, RFC 7905) and 1.3 (RFC 9147 §4.2, RFC 8446 §5.2, §5.3).
//!
//! | | nonce | associated data | body |
//! |---|---|---|---|
//! | 1.2, AES-GCM | `[ salt 4 \| epoch 2 \| sequence 6 ]` | `[ epoch 2 \| sequence 6 \| type 1 \| version 2 \| length 2 ]` | `[ explicit nonce 8 \| ciphertext \| tag 16 ]` |
//! | 1.2, ChaCha20-Poly1305 | iv XOR `[ 0 4 \| epoch 2 \| sequence 6 ]` | the same | `[ ciphertext \| tag 16 ]` |
//! | 1.3 | iv XOR `[ 0 4 \| sequence 8 ]` | the header, its sequence number not masked | `[ ciphertext of content and type \| tag 16 ]` |
//!
//! No nonce is ever random, and none comes twice under one key: sequence numbers only grow, and a new epoch of 1.3 has
//! a new key.

use tombolo_crypto::{AeadAlgorithm, AeadKey, MASK_SAMPLE_LEN, MaskKey, NONCE_LEN, TAG_LEN};

/// Bytes of the nonce that stand in a record of 1.2 with AES-GCM.
pub(crate) const EXPLICIT_NONCE_LEN: usize = 8;
/// Bytes of the nonce that is not sent with AES-GCM in 1.2.
const SALT_LEN: usize = 4;

/// One direction's record protection in one epoch.
pub(crate) struct Cipher {
    key: Box<dyn AeadKey>,
    iv: [u8; NONCE_LEN],
    kind: Kind,
}

enum Kind {
    /// 1.2 with AES-GCM. The nonce is the first [`SALT_LEN`] bytes of the IV and what the record carries.
    Explicit,
    /// 1.2 with ChaCha20-Poly1305.
    Implicit,
    /// 1.3, with the key that masks record numbers.
    Masked(Box<dyn MaskKey>),
}

/// Bytes of IV that a key block of 1.2 has for this AEAD.
pub(crate) const fn iv_len_1_2(algorithm: AeadAlgorithm) -> usize {
    match algorithm {
        AeadAlgorithm::ChaCha20Poly1305 => NONCE_LEN,
        _ => SALT_LEN,
    }
}

impl Cipher {
    /// For 1.2, with [`iv_len_1_2`] bytes of IV.
    pub(crate) fn new_1_2(algorithm: AeadAlgorithm, key: Box<dyn AeadKey>, iv_bytes: &[u8]) -> Self {
        let mut iv = [0; NONCE_LEN];
        iv[..iv_bytes.len()].copy_from_slice(iv_bytes);
        let kind = if iv_len_1_2(algorithm) == NONCE_LEN { Kind::Implicit } else { Kind::Explicit };
        Self { key, iv, kind }
    }

    /// For 1.3.
    pub(crate) fn new_1_3(key: Box<dyn AeadKey>, iv: [u8; NONCE_LEN], mask: Box<dyn MaskKey>) -> Self {
        Self { key, iv, kind: Kind::Masked(mask) }
    }

    /// The key of masks: there is one in 1.3 alone.
    pub(crate) fn mask_key(&self) -> Option<&dyn MaskKey> {
        match &self.kind {
            Kind::Masked(key) => Some(&**key),
            Kind::Explicit | Kind::Implicit => None,
        }
    }

    /// Bytes of nonce in front of the ciphertext.
    pub(crate) const fn explicit_len(&self) -> usize {
        if matches!(self.kind, Kind::Explicit) { EXPLICIT_NONCE_LEN } else { 0 }
    }

    /// The nonce from the number that is part of it: in 1.2 epoch and sequence number, as sent or as counted.
    fn nonce(&self, number: u64) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        for (byte, mixed) in nonce[SALT_LEN..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= mixed;
        }
        nonce
    }

    /// Encrypts what stands in `out` from `start` on, and appends the tag.
    pub(crate) fn seal(&self, number: u64, aad: &[u8], out: &mut Vec<u8>, start: usize) {
        let tag = self.key.seal_in_place(&self.nonce(number), aad, &mut out[start..]);
        out.extend_from_slice(&tag);
    }

    /// Decrypts `[ciphertext | tag]` in place. `None`: it does not authenticate.
    pub(crate) fn open<'a>(&self, number: u64, aad: &[u8], sealed: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let len = self.key.open_in_place(&self.nonce(number), aad, sealed).ok()?;
        Some(&mut sealed[..len])
    }
}

/// The mask of a record number, from the start of its ciphertext. `None`: the ciphertext is too short, which no
/// genuine one is.
pub(crate) fn mask(key: &dyn MaskKey, ciphertext: &[u8]) -> Option<[u8; 2]> {
    let sample: &[u8; MASK_SAMPLE_LEN] = ciphertext.first_chunk()?;
    let [first, second, ..] = key.mask(sample);
    Some([first, second])
}

/// The length of the text that is sealed in `sealed_len` bytes.
pub(crate) const fn text_len(sealed_len: usize) -> Option<usize> {
    sealed_len.checked_sub(TAG_LEN)
}
