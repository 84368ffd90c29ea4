//! Hash functions.

use std::fmt;
use std::ops::Deref;

use zeroize::Zeroize;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlgorithm {
    /// Bytes of the output.
    #[must_use]
    pub const fn output_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// The output of a hash or an HMAC, up to 64 bytes, without an allocation. As it may be key material, it is
/// wiped when dropped and `Debug` does not show it.
#[derive(Clone)]
pub struct Digest {
    bytes: [u8; 64],
    len: u8,
}

impl Digest {
    /// Wraps an output of a backend. Bytes past the 64th, which no supported algorithm has, are cut off.
    #[must_use]
    pub fn new(output: &[u8]) -> Self {
        let output = &output[..output.len().min(64)];
        let mut bytes = [0; 64];
        bytes[..output.len()].copy_from_slice(output);
        Self { bytes, len: output.len() as u8 }
    }
}

impl Deref for Digest {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Digest {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({} bytes)", self.len)
    }
}

/// A running hash, cloneable so that a transcript can be read at several places.
pub trait HashContext: Send + Sync {
    /// Adds bytes.
    fn update(&mut self, data: &[u8]);
    /// The hash of what was added so far; the context goes on.
    fn finish(&self) -> Digest;
    /// A copy with the same state.
    fn fork(&self) -> Box<dyn HashContext>;
}
