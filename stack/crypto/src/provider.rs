//! The struct that a protocol crate is configured with.

use std::fmt;

use zeroize::Zeroizing;

use crate::{
    AeadAlgorithm, AeadKey, AuthError, CmHmacKey, CryptoError, CtrKey, Digest, HashAlgorithm, HashContext,
    KeyExchange, KeyExchangeGroup, MaskKey, SignatureScheme, Signer,
};

/// A source of randomness that is passed to the operations that need some.
pub type RandomSource<'a> = &'a mut tombolo_net::Rng;

/// What a constructor of a provider returns.
pub type Made<T> = Result<Box<T>, CryptoError>;

/// A one-shot HMAC.
pub type HmacFn = fn(HashAlgorithm, key: &[u8], parts: &[&[u8]]) -> Result<Digest, CryptoError>;

/// The verification of a signature.
pub type VerifyFn =
    fn(SignatureScheme, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), AuthError>;

/// The primitives of one backend, as plain functions. `Copy`, so a config holds it by value.
///
/// The default is [`crate::ring::provider`].
#[derive(Clone, Copy)]
pub struct CryptoProvider {
    /// The backend's name, for logs and figures.
    pub name: &'static str,
    /// Keys an AEAD. The key has the length of the algorithm.
    pub aead: fn(AeadAlgorithm, key: &[u8]) -> Made<dyn AeadKey>,
    /// The AEADs that `aead` and `mask` know.
    pub aeads: &'static [AeadAlgorithm],
    /// Keys the masks that go with an AEAD. The key has the length of the algorithm.
    pub mask: fn(AeadAlgorithm, key: &[u8]) -> Made<dyn MaskKey>,
    /// Keys AES-CM: 16 or 32 bytes.
    pub aes_cm: fn(key: &[u8]) -> Made<dyn CtrKey>,
    /// Keys AES-CM, with 16 or 32 bytes, and HMAC-SHA1, with any number.
    pub aes_cm_hmac_sha1: fn(key: &[u8], auth_key: &[u8]) -> Made<dyn CmHmacKey>,
    /// Starts a hash.
    pub hash: fn(HashAlgorithm) -> Made<dyn HashContext>,
    /// One-shot HMAC over the concatenation of the parts, for TLS PRFs.
    pub hmac: HmacFn,
    /// An ephemeral key pair. Backends whose library insists on the operating system's randomness ignore the source.
    pub key_exchange: fn(KeyExchangeGroup, RandomSource<'_>) -> Made<dyn KeyExchange>,
    /// The groups that `key_exchange` knows, in order of preference.
    pub groups: &'static [KeyExchangeGroup],
    /// A fresh P-256 signing key as PKCS#8. The same remark on the source.
    pub generate_key: fn(RandomSource<'_>) -> Result<Zeroizing<Vec<u8>>, CryptoError>,
    /// A signer from a PKCS#8 private key: P-256 at least.
    pub signer: fn(pkcs8_der: &[u8]) -> Made<dyn Signer>,
    /// Verifies `signature` over `message` with the raw public key of a certificate: the contents of the
    /// SubjectPublicKeyInfo's BIT STRING (an uncompressed point, an RSAPublicKey, or 32 bytes for Ed25519).
    pub verify: VerifyFn,
    /// The schemes that `verify` knows, in order of preference.
    pub verifies: &'static [SignatureScheme],
}

impl Default for CryptoProvider {
    fn default() -> Self {
        crate::ring::provider()
    }
}

impl fmt::Debug for CryptoProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CryptoProvider({})", self.name)
    }
}
