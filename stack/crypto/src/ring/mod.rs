//! The default backend: ring, with RustCrypto for what ring does not have or does slowly.
//!
//! AEAD, X25519, P-256 and P-384, signatures, SHA-2 and HMAC-SHA2 are ring's; AES-CM, HMAC-SHA1 and ML-KEM are
//! RustCrypto's.
//! ring takes its randomness from the operating system, so shares on curves and ECDSA signatures do not follow the
//! [`crate::RandomSource`].

mod aead;
mod hash;
mod key_exchange;
mod mask;
mod signature;

use crate::{AeadAlgorithm, CryptoProvider, KeyExchangeGroup, SignatureScheme, rust_crypto};

/// The provider of this backend.
#[must_use]
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        name: "ring",
        aead: aead::aead,
        aeads: &[AeadAlgorithm::Aes128Gcm, AeadAlgorithm::Aes256Gcm, AeadAlgorithm::ChaCha20Poly1305],
        mask: mask::mask,
        aes_cm: rust_crypto::aes_cm,
        aes_cm_hmac_sha1: rust_crypto::aes_cm_hmac_sha1,
        hash: hash::hash,
        hmac: hash::hmac,
        key_exchange: key_exchange::key_exchange,
        groups: &[
            KeyExchangeGroup::X25519MlKem768,
            KeyExchangeGroup::X25519,
            KeyExchangeGroup::Secp256r1,
            KeyExchangeGroup::Secp384r1,
        ],
        generate_key: signature::generate_key,
        signer: signature::signer,
        verify: signature::verify,
        verifies: &[
            SignatureScheme::EcdsaSecp256r1Sha256,
            SignatureScheme::EcdsaSecp384r1Sha384,
            SignatureScheme::Ed25519,
            SignatureScheme::RsaPssRsaeSha256,
            SignatureScheme::RsaPkcs1Sha256,
            SignatureScheme::EcdsaSecp256r1Sha384,
            SignatureScheme::EcdsaSecp384r1Sha256,
        ],
    }
}
