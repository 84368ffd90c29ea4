use ring::agreement::{self, EphemeralPrivateKey, PublicKey, UnparsedPublicKey};
use ring::rand::SystemRandom;

use crate::{CryptoError, KeyExchange, KeyExchangeGroup, RandomSource, SharedSecret};

struct Exchange {
    secret: EphemeralPrivateKey,
    share: PublicKey,
}

impl KeyExchange for Exchange {
    fn public_share(&self) -> &[u8] {
        self.share.as_ref()
    }

    fn agree(self: Box<Self>, peer_share: &[u8]) -> Result<SharedSecret, CryptoError> {
        let peer = UnparsedPublicKey::new(self.secret.algorithm(), peer_share);
        agreement::agree_ephemeral(self.secret, &peer, |secret| SharedSecret::new(secret.to_vec()))
            .map_err(|_| CryptoError::Malformed)
    }
}

pub(super) fn key_exchange(
    group: KeyExchangeGroup,
    random: RandomSource<'_>,
) -> Result<Box<dyn KeyExchange>, CryptoError> {
    let algorithm = match group {
        KeyExchangeGroup::X25519 => &agreement::X25519,
        KeyExchangeGroup::Secp256r1 => &agreement::ECDH_P256,
        KeyExchangeGroup::Secp384r1 => &agreement::ECDH_P384,
        KeyExchangeGroup::X25519MlKem768 => return crate::hybrid::initiate(key_exchange, random),
    };
    let no_randomness = |_| CryptoError::NoRandomness;
    let secret = EphemeralPrivateKey::generate(algorithm, &SystemRandom::new()).map_err(no_randomness)?;
    let share = secret.compute_public_key().map_err(no_randomness)?;
    Ok(Box::new(Exchange { secret, share }))
}
