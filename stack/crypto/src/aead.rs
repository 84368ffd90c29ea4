//! Authenticated encryption with associated data.

use crate::AuthError;

/// Bytes of the nonce of every [`AeadKey`].
pub const NONCE_LEN: usize = 12;
/// Bytes of the tag of every [`AeadKey`].
pub const TAG_LEN: usize = 16;

/// An AEAD with a 12-byte nonce and a 16-byte tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AeadAlgorithm {
    /// AES-128-GCM: 16-byte key.
    Aes128Gcm,
    /// AES-256-GCM: 32-byte key.
    Aes256Gcm,
    /// ChaCha20-Poly1305: 32-byte key.
    ChaCha20Poly1305,
}

impl AeadAlgorithm {
    /// Bytes of the key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }
}

/// A keyed AEAD. Nothing is allocated per call and the key schedule is made once.
pub trait AeadKey: Send + Sync {
    /// Encrypts `in_out` in place and returns the tag. `in_out` is shorter than 2³⁶ − 31 bytes, which every
    /// datagram is.
    fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], in_out: &mut [u8]) -> [u8; TAG_LEN];

    /// Decrypts `in_out`, which is `[ciphertext | 16-byte tag]`, in place. The plaintext is the prefix of the
    /// returned length. On an error the contents of `in_out` are unspecified.
    ///
    /// # Errors
    /// [`AuthError`] when the tag does not fit.
    fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<usize, AuthError>;
}
