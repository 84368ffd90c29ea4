//! Crypto providers for the Tombolo stack.
//!
//! A [`CryptoProvider`] is a plain struct of the primitives that DTLS and SRTP need. Protocol crates are given one
//! in their config and never name a backend. Every backend passes the one suite of [`conformance`].
//!
//! | backend | AEAD, hashes, HMAC-SHA2 | agreement | signatures | AES-CM, HMAC-SHA1 | randomness |
//! |---|---|---|---|---|---|
//! | [`ring`] (default) | ring | ring: X25519, P-256, P-384 | ring: P-256, P-384, Ed25519, RSA | RustCrypto | the operating system's |
//! | [`rust_crypto`] | RustCrypto | dalek, RustCrypto | RustCrypto: P-256, P-384, RFC 6979 | RustCrypto | the [`RandomSource`] alone |
//!
//! ML-KEM-768, for X25519MLKEM768, is RustCrypto's with both, and draws from the [`RandomSource`].
//!
//! The mixture of the default is the quickest one measured: ring has the faster GCM and public-key operations, but
//! no AES in counter mode, and its HMAC-SHA1 does not use the CPU's SHA instructions.
//!
//! Build with `lto = "thin"` or more: the AES of RustCrypto is not inlined without, and AES-CM takes twice as long.

mod aead;
mod cm;
pub mod conformance;
mod error;
mod hash;
mod hmac_sha1;
mod hybrid;
mod key_exchange;
mod mask;
mod provider;
pub mod ring;
pub mod rust_crypto;
mod signature;

pub use aead::{AeadAlgorithm, AeadKey, NONCE_LEN, TAG_LEN};
pub use cm::{CM_IV_LEN, CM_LANES, CmHmacKey, CmJob, CtrKey, seal_batch};
pub use error::{AuthError, CryptoError};
pub use hash::{Digest, HashAlgorithm, HashContext};
pub use hmac_sha1::HmacSha1;
pub use key_exchange::{KeyExchange, KeyExchangeGroup, KeyExchangeResponse, SharedSecret};
pub use mask::{MASK_LEN, MASK_SAMPLE_LEN, MaskKey};
pub use provider::{CryptoProvider, HmacFn, Made, RandomSource, VerifyFn};
pub use signature::{SignatureScheme, Signer};
