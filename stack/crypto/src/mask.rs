//! Masks for record numbers (RFC 9147 §4.2.3, the same construction as RFC 9001 §5.4).

/// Bytes of ciphertext that a mask is made from.
pub const MASK_SAMPLE_LEN: usize = 16;
/// Bytes of a mask.
pub const MASK_LEN: usize = 5;

/// A key that turns a sample of ciphertext into a mask: AES in ECB mode, or the ChaCha20 block function, as fits the
/// AEAD. Nothing is allocated per call.
pub trait MaskKey: Send + Sync {
    /// The first bytes of the mask for this sample.
    fn mask(&self, sample: &[u8; MASK_SAMPLE_LEN]) -> [u8; MASK_LEN];
}
