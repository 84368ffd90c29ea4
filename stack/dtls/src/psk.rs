//! Keys that both sides have known before, in DTLS 1.2 (RFC 4279, RFC 5489, RFC 8442): for peers that are no browsers.
//!
//! The secret of a connection comes of such a key and of a fresh key exchange together (ECDHE_PSK): whoever learns the key
//! later cannot read what was said before. There are no certificates; each side proves the key with its Finished.
//!
//! Left out: key exchange by the key alone (RFC 4279 §2), which has no such secrecy, and DTLS 1.3.

use std::fmt;

use tombolo_crypto::SharedSecret;
use zeroize::Zeroizing;

use crate::codec::put_vec16;

/// The longest identity, in bytes.
pub(crate) const MAX_IDENTITY_LEN: usize = 1024;

/// The keys that there are, by identity.
pub trait PreSharedKeys: fmt::Debug + Send + Sync {
    /// What a server tells clients so that they find an identity (RFC 4279 §5.2). Default: nothing.
    fn hint(&self) -> Vec<u8> {
        Vec::new()
    }

    /// The identity that a client takes for a server with this hint, which may be empty: 1024 bytes at most. `None`: there is
    /// none, and the connection ends.
    fn identity(&self, hint: &[u8]) -> Option<Vec<u8>>;

    /// The key of an identity; RFC 4279 §5.3 wants 64 bytes to be possible, and 65535 are. `None`: it is not known. A server
    /// goes on with a random key then, so that nobody learns from it who is known. Called while a datagram is handled: it should
    /// not block.
    fn key(&self, identity: &[u8]) -> Option<Vec<u8>>;
}

/// One key with its identity. Wiped when dropped.
#[derive(Clone)]
pub struct PreSharedKey {
    identity: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl PreSharedKey {
    /// The key of an identity. It should be random: a password can be guessed by whoever has seen a handshake.
    #[must_use]
    pub fn new(identity: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self { identity: identity.into(), key: Zeroizing::new(key.into()) }
    }
}

impl PreSharedKeys for PreSharedKey {
    fn identity(&self, _hint: &[u8]) -> Option<Vec<u8>> {
        Some(self.identity.clone())
    }

    fn key(&self, identity: &[u8]) -> Option<Vec<u8>> {
        (identity == self.identity).then(|| self.key.to_vec())
    }
}

impl fmt::Debug for PreSharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreSharedKey").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// The premaster secret of the exchange's secret and the key (RFC 5489 §2). `key` has less than 64 KiB.
pub(crate) fn premaster(exchanged: &[u8], key: &[u8]) -> SharedSecret {
    let mut secret = Zeroizing::new(Vec::with_capacity(exchanged.len() + key.len() + 4));
    put_vec16(&mut secret, |out| out.extend_from_slice(exchanged));
    put_vec16(&mut secret, |out| out.extend_from_slice(key));
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_has_both_with_their_lengths() {
        assert_eq!(premaster(b"shared", b"key")[..], b"\0\x06shared\0\x03key"[..]);
    }

    #[test]
    fn keys_are_not_shown() {
        let key = PreSharedKey::new("name", *b"\x01\x02");
        assert_eq!(format!("{key:?}"), "PreSharedKey { identity: [110, 97, 109, 101], .. }");
        assert_eq!((key.key(b"name"), key.key(b"other")), (Some(vec![1, 2]), None));
    }
}
