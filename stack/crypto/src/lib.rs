//! Crypto providers for the Tombolo stack.
//!
//! A [`CryptoProvider`] is a plain struct of the primitives that DTLS and SRTP need. Protocol crates are given one
//! in their config and never name a backend. Every backend passes the one suite of [`conformance`].
//!
//! | backend | AEAD, hashes, HMAC-SHA2 | agreement | signatures | AES-CTR, HMAC-SHA1 | randomness |
//! |---|---|---|---|---|---|
//! | [`ring`] (default) | ring | ring: X25519, P-256 | ring: P-256, Ed25519; verifies P-384 and RSA too | RustCrypto | the operating system's |
//! | [`rust_crypto`] | RustCrypto, no ChaCha20-Poly1305 | dalek, RustCrypto | RustCrypto: P-256, RFC 6979 | RustCrypto | the [`RandomSource`] alone |
//!
//! The mixture of the default is the quickest one measured: ring has the faster GCM and public-key operations, but
//! no AES-CTR, and its HMAC-SHA1 does not use the CPU's SHA instructions.

mod aead;
pub mod conformance;
mod error;
mod hash;
mod key_exchange;
mod mac;
mod provider;
pub mod ring;
pub mod rust_crypto;
mod signature;
mod stream;

pub use aead::{AeadAlgorithm, AeadKey, NONCE_LEN, TAG_LEN};
pub use error::{AuthError, CryptoError};
pub use hash::{Digest, HashAlgorithm, HashContext};
pub use key_exchange::{KeyExchange, KeyExchangeGroup, SharedSecret};
pub use mac::MacKey;
pub use provider::{CryptoProvider, HmacFn, Made, RandomSource, VerifyFn};
pub use signature::{SignatureScheme, Signer};
pub use stream::CtrKey;
