//! The handshake messages so far (RFC 6347 §4.2.6).
//!
//! The bytes are kept, not a running hash: the hash is known only after ServerHello, and a
//! [`tombolo_crypto::Signer`] hashes by itself. They go when the handshake is over.

use tombolo_crypto::{CryptoError, CryptoProvider, Digest, HashAlgorithm};

use crate::fragment::Fragment;

/// All messages of both sides, each as if it had come in one fragment.
#[derive(Debug, Default)]
pub(crate) struct Transcript(Vec<u8>);

impl Transcript {
    pub(crate) fn add(&mut self, message: &Fragment<'_>) {
        self.0.extend_from_slice(&message.header());
        self.0.extend_from_slice(message.bytes);
    }

    /// Starts anew: a ClientHello without cookie and its HelloVerifyRequest do not count.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn hash(
        &self,
        provider: &CryptoProvider,
        algorithm: HashAlgorithm,
    ) -> Result<Digest, CryptoError> {
        let mut hash = (provider.hash)(algorithm)?;
        hash.update(&self.0);
        Ok(hash.finish())
    }
}
