use p256::elliptic_curve::ecdh::EphemeralSecret;
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize, Generate as _, PublicKey};

use crate::{CryptoError, KeyExchange, KeyExchangeGroup, RandomSource, SharedSecret};

struct X25519 {
    secret: x25519_dalek::EphemeralSecret,
    share: [u8; 32],
}

impl KeyExchange for X25519 {
    fn public_share(&self) -> &[u8] {
        &self.share
    }

    fn agree(self: Box<Self>, peer_share: &[u8]) -> Result<SharedSecret, CryptoError> {
        let peer: [u8; 32] = peer_share.try_into().map_err(|_| CryptoError::Malformed)?;
        let shared = self.secret.diffie_hellman(&x25519_dalek::PublicKey::from(peer));
        if !shared.was_contributory() {
            return Err(CryptoError::Malformed);
        }
        Ok(SharedSecret::new(shared.as_bytes().to_vec()))
    }
}

/// A NIST curve.
struct Nist<C: CurveArithmetic> {
    secret: EphemeralSecret<C>,
    share: Vec<u8>,
}

impl<C> Nist<C>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    fn generate(random: RandomSource<'_>) -> Self {
        let secret = EphemeralSecret::<C>::generate_from_rng(random);
        let share = secret.public_key().to_sec1_point(false).as_bytes().to_vec();
        Self { secret, share }
    }
}

impl<C> KeyExchange for Nist<C>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
    EphemeralSecret<C>: Send + Sync,
{
    fn public_share(&self) -> &[u8] {
        &self.share
    }

    fn agree(self: Box<Self>, peer_share: &[u8]) -> Result<SharedSecret, CryptoError> {
        // RFC 8422 §5.1.2: uncompressed is the only point format.
        if peer_share.len() != self.share.len() || peer_share[0] != 4 {
            return Err(CryptoError::Malformed);
        }
        let peer = PublicKey::<C>::from_sec1_bytes(peer_share).map_err(|_| CryptoError::Malformed)?;
        Ok(SharedSecret::new(self.secret.diffie_hellman(&peer).raw_secret_bytes().to_vec()))
    }
}

pub(super) fn key_exchange(
    group: KeyExchangeGroup,
    random: RandomSource<'_>,
) -> Result<Box<dyn KeyExchange>, CryptoError> {
    Ok(match group {
        KeyExchangeGroup::X25519 => {
            let secret = x25519_dalek::EphemeralSecret::random_from_rng(random);
            let share = x25519_dalek::PublicKey::from(&secret).to_bytes();
            Box::new(X25519 { secret, share })
        }
        KeyExchangeGroup::Secp256r1 => Box::new(Nist::<p256::NistP256>::generate(random)),
        KeyExchangeGroup::Secp384r1 => Box::new(Nist::<p384::NistP384>::generate(random)),
        KeyExchangeGroup::X25519MlKem768 => return crate::hybrid::initiate(key_exchange, random),
    })
}

#[cfg(test)]
mod tests {
    use tombolo_net::Seed;
    use x25519_dalek::{PublicKey, StaticSecret};

    use super::*;
    use crate::conformance::{array, hex};

    #[test]
    fn x25519_of_rfc_7748_section_6_1() {
        let bob = StaticSecret::from(array::<32>(
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        ));
        let bob_share = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
        assert_eq!(PublicKey::from(&bob).to_bytes()[..], hex(bob_share));
        let alice_share = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
        let shared = bob.diffie_hellman(&PublicKey::from(array::<32>(alice_share)));
        let secret = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
        assert_eq!(shared.as_bytes()[..], hex(secret));
    }

    #[test]
    fn the_same_seed_gives_the_same_shares() {
        for group in crate::rust_crypto::provider().groups.iter().copied() {
            let share = |seed| {
                let exchange = key_exchange(group, &mut Seed::from_number(seed).rng()).unwrap();
                exchange.public_share().to_vec()
            };
            assert_eq!(share(1), share(1));
            assert_ne!(share(1), share(2));
        }
    }
}
