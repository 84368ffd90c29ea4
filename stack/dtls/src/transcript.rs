//! The handshake messages so far (RFC 6347 §4.2.6; RFC 8446 §4.4.1, RFC 9147 §5.2).
//!
//! In 1.2 the bytes are kept, not a running hash: the hash is known only after ServerHello, and a
//! [`tombolo_crypto::Signer`] hashes by itself. They go when the handshake is over. In 1.3 they are hashed as they come,
//! without the fields that DTLS adds to a handshake header.

use std::fmt;

use tombolo_crypto::{CryptoError, CryptoProvider, Digest, HashAlgorithm, HashContext};

use crate::codec::put_u24;
use crate::fragment::{Fragment, HEADER_LEN, HandshakeType};

/// All messages of both sides, each as if it had come in one fragment.
#[derive(Default)]
pub(crate) struct Transcript {
    /// What is not hashed yet, in the form of 1.2.
    bytes: Vec<u8>,
    /// In 1.3.
    running: Option<Box<dyn HashContext>>,
}

impl Transcript {
    pub(crate) fn add(&mut self, message: &Fragment<'_>) {
        match &mut self.running {
            None => {
                self.bytes.extend_from_slice(&message.header());
                self.bytes.extend_from_slice(message.bytes);
            }
            Some(hash) => update(&mut **hash, message.msg_type, message.bytes),
        }
    }

    /// Starts anew: a ClientHello without cookie and its HelloVerifyRequest do not count.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The messages in the form of 1.2.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The version is 1.3 and the hash is known: of what was added so far, which is one ClientHello at most, and of what
    /// will be.
    pub(crate) fn start_1_3(
        &mut self,
        provider: &CryptoProvider,
        algorithm: HashAlgorithm,
    ) -> Result<(), CryptoError> {
        let mut hash = (provider.hash)(algorithm)?;
        if let Some((header, body)) = self.bytes.split_at_checked(HEADER_LEN) {
            update(&mut *hash, HandshakeType(header[0]), body);
        }
        self.bytes = Vec::new();
        self.running = Some(hash);
        Ok(())
    }

    /// Replaces the first hello by its hash, before a HelloRetryRequest is added. Needs [`Transcript::start_1_3`].
    pub(crate) fn retry(
        &mut self,
        provider: &CryptoProvider,
        algorithm: HashAlgorithm,
    ) -> Result<(), CryptoError> {
        let first = self.hash(provider, algorithm)?;
        self.start_retried(provider, algorithm, &first)
    }

    /// Starts with the hash of a first hello, before a HelloRetryRequest is added.
    pub(crate) fn start_retried(
        &mut self,
        provider: &CryptoProvider,
        algorithm: HashAlgorithm,
        first: &[u8],
    ) -> Result<(), CryptoError> {
        let mut hash = (provider.hash)(algorithm)?;
        update(&mut *hash, HandshakeType::MESSAGE_HASH, first);
        self.running = Some(hash);
        Ok(())
    }

    pub(crate) fn hash(
        &self,
        provider: &CryptoProvider,
        algorithm: HashAlgorithm,
    ) -> Result<Digest, CryptoError> {
        if let Some(running) = &self.running {
            return Ok(running.finish());
        }
        let mut hash = (provider.hash)(algorithm)?;
        hash.update(&self.bytes);
        Ok(hash.finish())
    }
}

/// Adds a message with the header of TLS: type and length.
fn update(hash: &mut dyn HashContext, msg_type: HandshakeType, body: &[u8]) {
    let mut header = Vec::with_capacity(4);
    header.push(msg_type.0);
    put_u24(&mut header, body.len());
    hash.update(&header);
    hash.update(body);
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, runs) = (self.bytes.len(), self.running.is_some());
        f.debug_struct("Transcript").field("bytes", &bytes).field("running", &runs).finish()
    }
}
