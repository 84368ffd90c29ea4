//! Ephemeral key exchange: Diffie-Hellman, and Diffie-Hellman together with a KEM.

use zeroize::Zeroizing;

use crate::{CryptoError, CryptoProvider, RandomSource};

/// A shared secret as the group gives it, wiped when dropped.
pub type SharedSecret = Zeroizing<Vec<u8>>;

/// A group for ephemeral key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyExchangeGroup {
    /// X25519 (RFC 7748): 32-byte shares.
    X25519,
    /// NIST P-256: 65-byte uncompressed points.
    Secp256r1,
    /// NIST P-384: 97-byte uncompressed points.
    Secp384r1,
    /// ML-KEM-768 (FIPS 203) and X25519 together (draft-ietf-tls-ecdhe-mlkem): safe while one of the two is. The
    /// initiator's share has 1216 bytes, the responder's 1120.
    X25519MlKem768,
}

impl KeyExchangeGroup {
    /// Whether both sides' shares are of one kind and may be made before the other's is known, as TLS 1.2 needs it.
    #[must_use]
    pub const fn is_symmetric(self) -> bool {
        !matches!(self, Self::X25519MlKem768)
    }
}

/// An ephemeral private key, good for one agreement: the side that speaks first.
pub trait KeyExchange: Send + Sync {
    /// The public share, as it stands on the wire.
    fn public_share(&self) -> &[u8];

    /// The shared secret with the peer's share.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] when the share is not valid or gives the all-zero secret.
    fn agree(self: Box<Self>, peer_share: &[u8]) -> Result<SharedSecret, CryptoError>;
}

/// The answer to a share: our own share and the secret.
pub struct KeyExchangeResponse {
    /// What the peer needs to come to the same secret.
    pub share: Vec<u8>,
    /// The shared secret.
    pub secret: SharedSecret,
}

impl CryptoProvider {
    /// Answers the share of a side that spoke first. The group may be one that is not symmetric.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] when the share is not valid, [`CryptoError::Unsupported`] when the provider lacks
    /// the group.
    pub fn respond(
        &self,
        group: KeyExchangeGroup,
        peer_share: &[u8],
        random: RandomSource<'_>,
    ) -> Result<KeyExchangeResponse, CryptoError> {
        if group == KeyExchangeGroup::X25519MlKem768 {
            return crate::hybrid::respond(self, peer_share, random);
        }
        let ours = (self.key_exchange)(group, random)?;
        let share = ours.public_share().to_vec();
        Ok(KeyExchangeResponse { share, secret: ours.agree(peer_share)? })
    }
}
