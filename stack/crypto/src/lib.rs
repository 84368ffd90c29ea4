//! Crypto providers for the Tombolo stack.
//!
//! A [`CryptoProvider`] is a plain struct of the primitives that DTLS and SRTP need. Protocol crates are given one
//! in their config and never name a backend. Every backend passes the one conformance suite of this crate.

/// The authentication tag, MAC or signature does not fit the data. Says nothing more on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed")]
pub struct AuthError;

/// What a backend cannot make of the caller's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    /// A key, share or signature has the wrong length or encoding, or is not a valid point.
    #[error("malformed key, share or signature")]
    Malformed,
    /// The backend does not have this algorithm.
    #[error("algorithm not supported by this provider")]
    Unsupported,
    /// The operating system gave no randomness.
    #[error("no randomness")]
    NoRandomness,
}

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

/// A keyed AEAD. Nothing is allocated per call and the key schedule is made once.
pub trait AeadKey: Send + Sync {
    /// Encrypts `in_out` in place and returns the tag.
    fn seal_in_place(&self, nonce: &[u8; 12], aad: &[u8], in_out: &mut [u8]) -> [u8; 16];

    /// Decrypts `in_out`, which is `[ciphertext | 16-byte tag]`, in place. The plaintext is the prefix of the
    /// returned length. On an error the contents of `in_out` are unspecified.
    ///
    /// # Errors
    /// [`AuthError`] when the tag does not fit.
    fn open_in_place(&self, nonce: &[u8; 12], aad: &[u8], in_out: &mut [u8]) -> Result<usize, AuthError>;
}

/// A keyed block cipher in counter mode (AES-CTR with a 128-bit big-endian counter).
pub trait CtrKey: Send + Sync {
    /// XORs the key stream that starts at counter block `iv` onto `in_out`.
    fn apply_keystream(&self, iv: &[u8; 16], in_out: &mut [u8]);
}

/// A keyed HMAC-SHA1.
pub trait MacKey: Send + Sync {
    /// The MAC over the concatenation of `parts`.
    fn sign(&self, parts: &[&[u8]]) -> [u8; 20];
}

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

/// A running hash, cloneable so that a transcript can be read at several places.
pub trait HashContext: Send + Sync {
    /// Adds bytes.
    fn update(&mut self, data: &[u8]);
    /// The hash of what was added so far; the context goes on.
    fn finish(&self) -> Vec<u8>;
    /// A copy with the same state.
    fn fork(&self) -> Box<dyn HashContext>;
}

/// A group for ephemeral key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyExchangeGroup {
    /// X25519 (RFC 7748): 32-byte shares.
    X25519,
    /// NIST P-256: 65-byte uncompressed points.
    Secp256r1,
}

/// An ephemeral private key, good for one agreement.
pub trait KeyExchange: Send + Sync {
    /// The public share, as it stands on the wire.
    fn public_share(&self) -> &[u8];

    /// The shared secret with the peer's share.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] when the share is no valid point or gives the all-zero secret.
    fn agree(self: Box<Self>, peer_share: &[u8]) -> Result<Vec<u8>, CryptoError>;
}

/// A signature scheme as TLS names it (RFC 8446 §4.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureScheme {
    /// ECDSA on P-256 with SHA-256; signatures are ASN.1 DER.
    EcdsaSecp256r1Sha256,
    /// ECDSA on P-384 with SHA-384 (verification only is enough).
    EcdsaSecp384r1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (verification only is enough).
    RsaPkcs1Sha256,
    /// Ed25519.
    Ed25519,
}

/// A private key that signs handshakes. An HSM can implement it.
pub trait Signer: Send + Sync {
    /// The scheme that [`Signer::sign`] uses.
    fn scheme(&self) -> SignatureScheme;
    /// The signature over `message` (hashed inside), encoded as TLS wants it.
    ///
    /// # Errors
    /// Whatever the key holder reports.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError>;
}

/// A source of randomness that is passed to the operations that need some.
pub type RandomSource<'a> = &'a mut tombolo_net::Rng;

/// The primitives of one backend, as plain functions. `Copy`, so a config holds it by value.
#[derive(Clone, Copy)]
pub struct CryptoProvider {
    /// The backend's name, for logs and figures.
    pub name: &'static str,
    /// Keys an AEAD. The key has the length of the algorithm.
    pub aead: fn(AeadAlgorithm, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError>,
    /// Keys AES-CTR: 16 or 32 bytes.
    pub aes_ctr: fn(key: &[u8]) -> Result<Box<dyn CtrKey>, CryptoError>,
    /// Keys HMAC-SHA1: any length.
    pub hmac_sha1: fn(key: &[u8]) -> Box<dyn MacKey>,
    /// Starts a hash.
    pub hash: fn(HashAlgorithm) -> Result<Box<dyn HashContext>, CryptoError>,
    /// One-shot HMAC over the concatenation of the parts, for TLS PRFs.
    pub hmac: fn(HashAlgorithm, key: &[u8], parts: &[&[u8]]) -> Result<Vec<u8>, CryptoError>,
    /// An ephemeral key pair. Backends whose library insists on the operating system's randomness ignore the source.
    pub key_exchange: fn(KeyExchangeGroup, RandomSource<'_>) -> Result<Box<dyn KeyExchange>, CryptoError>,
    /// A signer from a PKCS#8 private key.
    pub signer: fn(pkcs8_der: &[u8]) -> Result<Box<dyn Signer>, CryptoError>,
    /// Verifies `signature` over `message` with the raw public key of a certificate: the contents of the
    /// SubjectPublicKeyInfo's BIT STRING (an uncompressed point, an RSAPublicKey, or 32 bytes for Ed25519).
    pub verify:
        fn(SignatureScheme, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), AuthError>,
}
