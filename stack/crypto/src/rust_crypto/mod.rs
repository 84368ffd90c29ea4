//! The pure-Rust backend: RustCrypto and dalek.
//!
//! It needs no C compiler and takes all its randomness from the [`crate::RandomSource`]; signatures are those of
//! RFC 6979. The same seed gives the same handshake, byte for byte. It leaves out RSA and Ed25519.

mod aead;
mod hash;
mod key_exchange;
mod mask;
mod signature;
mod symmetric;

pub(crate) use symmetric::{aes_cm, aes_cm_hmac_sha1};

use crate::{AeadAlgorithm, CryptoProvider, KeyExchangeGroup, SignatureScheme};

/// The provider of this backend.
#[must_use]
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        name: "rust_crypto",
        aead: aead::aead,
        aeads: &[AeadAlgorithm::Aes128Gcm, AeadAlgorithm::Aes256Gcm, AeadAlgorithm::ChaCha20Poly1305],
        mask: mask::mask,
        aes_cm,
        aes_cm_hmac_sha1,
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
        verifies: &[SignatureScheme::EcdsaSecp256r1Sha256, SignatureScheme::EcdsaSecp384r1Sha384],
    }
}
