//! Signatures.

use crate::CryptoError;

/// A signature scheme as TLS names it (RFC 8446 §4.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureScheme {
    /// ECDSA on P-256 with SHA-256; signatures are ASN.1 DER.
    EcdsaSecp256r1Sha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaSecp384r1Sha384,
    /// ECDSA on P-256 with SHA-384: in TLS 1.2, where a scheme names the hash and leaves the curve open.
    EcdsaSecp256r1Sha384,
    /// ECDSA on P-384 with SHA-256. TLS 1.2 only, too.
    EcdsaSecp384r1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-256. TLS 1.2 only.
    RsaPkcs1Sha256,
    /// RSASSA-PSS with SHA-256, its MGF1 with the same hash, and a key of the kind rsaEncryption.
    RsaPssRsaeSha256,
    /// Ed25519.
    Ed25519,
}

/// A private key that signs handshakes. An HSM can implement it.
pub trait Signer: Send + Sync {
    /// The schemes that [`Signer::sign`] knows, the preferred one first. At least one.
    fn schemes(&self) -> &[SignatureScheme];
    /// The raw public key, as it stands in the BIT STRING of a SubjectPublicKeyInfo.
    fn public_key(&self) -> &[u8];
    /// The signature over `message` (hashed inside), encoded as TLS wants it.
    ///
    /// # Errors
    /// [`CryptoError::Unsupported`] for another scheme; else whatever the key holder reports.
    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, CryptoError>;
}
