//! Ephemeral Diffie-Hellman.

use zeroize::Zeroizing;

use crate::CryptoError;

/// A shared secret as the group's curve gives it, wiped when dropped.
pub type SharedSecret = Zeroizing<Vec<u8>>;

/// A group for ephemeral key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyExchangeGroup {
    /// X25519 (RFC 7748): 32-byte shares.
    X25519,
    /// NIST P-256: 65-byte uncompressed points.
    Secp256r1,
}

/// An ephemeral private key, good for one agreement.
pub trait KeyExchange: Send + Sync {
    /// The public share, as it stands on the wire.
    fn public_share(&self) -> &[u8];

    /// The shared secret with the peer's share.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] when the share is no valid point or gives the all-zero secret.
    fn agree(self: Box<Self>, peer_share: &[u8]) -> Result<SharedSecret, CryptoError>;
}
