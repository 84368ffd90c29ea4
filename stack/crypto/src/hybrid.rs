//! X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem §4): ML-KEM-768 of RustCrypto beside the X25519 of a backend.
//!
//! ```text
//! initiator's share  [ encapsulation key 1184 | X25519 32 ]
//! responder's share  [ ciphertext 1088        | X25519 32 ]
//! secret             [ ML-KEM 32              | X25519 32 ]
//! ```
//!
//! The randomness of ML-KEM comes from the [`RandomSource`] with every backend.

use ml_kem::kem::{Decapsulate as _, Encapsulate as _, Kem as _, KeyExport as _, TryKeyInit as _};
use ml_kem::{DecapsulationKey768, EncapsulationKey768, MlKem768};
use zeroize::Zeroize as _;

use crate::{
    CryptoError, CryptoProvider, KeyExchange, KeyExchangeGroup, KeyExchangeResponse, Made, RandomSource,
    SharedSecret,
};

const X25519_LEN: usize = 32;

struct Hybrid {
    kem: DecapsulationKey768,
    x25519: Box<dyn KeyExchange>,
    share: Vec<u8>,
}

impl KeyExchange for Hybrid {
    fn public_share(&self) -> &[u8] {
        &self.share
    }

    fn agree(self: Box<Self>, peer_share: &[u8]) -> Result<SharedSecret, CryptoError> {
        let (ciphertext, share) = split(peer_share)?;
        let mut kem_secret = self.kem.decapsulate_slice(ciphertext).map_err(|_| CryptoError::Malformed)?;
        let secret = join(&kem_secret, &self.x25519.agree(share)?);
        kem_secret.zeroize();
        Ok(secret)
    }
}

/// The initiator's side, with this backend's X25519.
pub(crate) fn initiate(
    x25519: fn(KeyExchangeGroup, RandomSource<'_>) -> Made<dyn KeyExchange>,
    random: RandomSource<'_>,
) -> Result<Box<dyn KeyExchange>, CryptoError> {
    let (kem, encapsulation_key) = MlKem768::generate_keypair_from_rng(random);
    let x25519 = x25519(KeyExchangeGroup::X25519, random)?;
    let mut share = encapsulation_key.to_bytes().to_vec();
    share.extend_from_slice(x25519.public_share());
    Ok(Box::new(Hybrid { kem, x25519, share }))
}

/// The responder's side.
pub(crate) fn respond(
    provider: &CryptoProvider,
    peer_share: &[u8],
    random: RandomSource<'_>,
) -> Result<KeyExchangeResponse, CryptoError> {
    if !provider.groups.contains(&KeyExchangeGroup::X25519MlKem768) {
        return Err(CryptoError::Unsupported);
    }
    let (encapsulation_key, x25519_share) = split(peer_share)?;
    let encapsulation_key =
        EncapsulationKey768::new_from_slice(encapsulation_key).map_err(|_| CryptoError::Malformed)?;
    let ours = (provider.key_exchange)(KeyExchangeGroup::X25519, random)?;
    let (ciphertext, mut kem_secret) = encapsulation_key.encapsulate_with_rng(random);
    let mut share = ciphertext.to_vec();
    share.extend_from_slice(ours.public_share());
    let secret = join(&kem_secret, &ours.agree(x25519_share)?);
    kem_secret.zeroize();
    Ok(KeyExchangeResponse { share, secret })
}

fn split(share: &[u8]) -> Result<(&[u8], &[u8]), CryptoError> {
    let at = share.len().checked_sub(X25519_LEN).ok_or(CryptoError::Malformed)?;
    Ok(share.split_at(at))
}

fn join(kem_secret: &[u8], x25519_secret: &[u8]) -> SharedSecret {
    let mut secret = SharedSecret::new(Vec::with_capacity(kem_secret.len() + x25519_secret.len()));
    secret.extend_from_slice(kem_secret);
    secret.extend_from_slice(x25519_secret);
    secret
}
