//! HMAC-SHA1, as SRTP has it.

/// A keyed HMAC-SHA1. Nothing is allocated per call; each call starts from a copy of the keyed state.
pub trait MacKey: Send + Sync {
    /// The MAC over the concatenation of `parts`.
    fn sign(&self, parts: &[&[u8]]) -> [u8; 20];
}
