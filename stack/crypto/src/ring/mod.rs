//! The default backend: ring, with RustCrypto for what ring does not have or does slowly.
//!
//! AEAD, X25519 and P-256, signatures, SHA-2 and HMAC-SHA2 are ring's; AES-CM and HMAC-SHA1 are RustCrypto's.
//! ring takes its randomness from the operating system, so key shares and ECDSA signatures do not follow the
//! [`crate::RandomSource`].

mod aead;
mod hash;
mod key_exchange;
mod signature;

use crate::{CryptoProvider, SignatureScheme, rust_crypto};

/// The provider of this backend.
#[must_use]
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        name: "ring",
        aead: aead::aead,
        aes_cm: rust_crypto::aes_cm,
        aes_cm_hmac_sha1: rust_crypto::aes_cm_hmac_sha1,
        hash: hash::hash,
        hmac: hash::hmac,
        key_exchange: key_exchange::key_exchange,
        generate_key: signature::generate_key,
        signer: signature::signer,
        verify: signature::verify,
        verifies: &[
            SignatureScheme::EcdsaSecp256r1Sha256,
            SignatureScheme::EcdsaSecp384r1Sha384,
            SignatureScheme::Ed25519,
            SignatureScheme::RsaPkcs1Sha256,
        ],
    }
}
