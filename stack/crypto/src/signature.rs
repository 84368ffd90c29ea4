//! Signatures.

use crate::CryptoError;

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
    /// The raw public key, as it stands in the BIT STRING of a SubjectPublicKeyInfo.
    fn public_key(&self) -> &[u8];
    /// The signature over `message` (hashed inside), encoded as TLS wants it.
    ///
    /// # Errors
    /// Whatever the key holder reports.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError>;
}
