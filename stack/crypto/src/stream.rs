//! AES in counter mode.

/// A keyed block cipher in counter mode (AES-CTR with a 128-bit big-endian counter). Nothing is allocated per call
/// and the key schedule is made once.
pub trait CtrKey: Send + Sync {
    /// XORs the key stream that starts at counter block `iv` onto `in_out`.
    fn apply_keystream(&self, iv: &[u8; 16], in_out: &mut [u8]);
}
