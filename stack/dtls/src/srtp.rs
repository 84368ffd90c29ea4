//! Keys for SRTP (RFC 5764 §4.1.2, §4.2; RFC 7714 §14.2).

use std::fmt;

use zeroize::Zeroizing;

/// An SRTP protection profile: the IANA code point of use_srtp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SrtpProfileId(pub u16);

impl SrtpProfileId {
    /// SRTP_AES128_CM_HMAC_SHA1_80.
    pub const AES128_CM_HMAC_SHA1_80: Self = Self(0x0001);
    /// SRTP_AES128_CM_HMAC_SHA1_32.
    pub const AES128_CM_HMAC_SHA1_32: Self = Self(0x0002);
    /// SRTP_AEAD_AES_128_GCM.
    pub const AEAD_AES_128_GCM: Self = Self(0x0007);
    /// SRTP_AEAD_AES_256_GCM.
    pub const AEAD_AES_256_GCM: Self = Self(0x0008);

    /// Bytes of the master key and of the master salt, for the profiles that are known here.
    #[must_use]
    pub const fn key_and_salt_len(self) -> Option<(usize, usize)> {
        match self {
            Self::AES128_CM_HMAC_SHA1_80 | Self::AES128_CM_HMAC_SHA1_32 => Some((16, 14)),
            Self::AEAD_AES_128_GCM => Some((16, 12)),
            Self::AEAD_AES_256_GCM => Some((32, 12)),
            _ => None,
        }
    }
}

/// The SRTP master keys and salts of an association. Wiped when dropped; `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKeys {
    /// The profile that was negotiated.
    pub profile: SrtpProfileId,
    /// Protects what this side sends.
    pub local_key: Zeroizing<Vec<u8>>,
    /// The salt that goes with it.
    pub local_salt: Zeroizing<Vec<u8>>,
    /// Protects what the peer sends.
    pub remote_key: Zeroizing<Vec<u8>>,
    /// The salt that goes with it.
    pub remote_salt: Zeroizing<Vec<u8>>,
}

impl SrtpKeys {
    /// Cuts exported keying material: client key, server key, client salt, server salt.
    pub(crate) fn from_material(
        profile: SrtpProfileId,
        key_len: usize,
        salt_len: usize,
        material: &[u8],
        is_client: bool,
    ) -> Self {
        let (keys, salts) = material.split_at(2 * key_len);
        let (client_key, server_key) = keys.split_at(key_len);
        let (client_salt, server_salt) = salts.split_at(salt_len);
        let own = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        let client = (own(client_key), own(client_salt));
        let server = (own(server_key), own(server_salt));
        let (local, remote) = if is_client { (client, server) } else { (server, client) };
        Self { profile, local_key: local.0, local_salt: local.1, remote_key: remote.0, remote_salt: remote.1 }
    }
}

impl fmt::Debug for SrtpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpKeys").field("profile", &self.profile).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SRTP-06: client key, server key, client salt, server salt.
    #[test]
    fn exported_bytes_are_cut_in_the_order_of_the_rfc() {
        for profile in [
            SrtpProfileId::AES128_CM_HMAC_SHA1_80,
            SrtpProfileId::AES128_CM_HMAC_SHA1_32,
            SrtpProfileId::AEAD_AES_128_GCM,
            SrtpProfileId::AEAD_AES_256_GCM,
        ] {
            let (key, salt) = profile.key_and_salt_len().unwrap();
            let material: Vec<u8> = (0..2 * (key + salt)).map(|at| at as u8).collect();
            let client = SrtpKeys::from_material(profile, key, salt, &material, true);
            assert_eq!(client.local_key[..], material[..key]);
            assert_eq!(client.remote_key[..], material[key..2 * key]);
            assert_eq!(client.local_salt[..], material[2 * key..2 * key + salt]);
            assert_eq!(client.remote_salt[..], material[2 * key + salt..]);
            let server = SrtpKeys::from_material(profile, key, salt, &material, false);
            assert_eq!((&server.local_key, &server.local_salt), (&client.remote_key, &client.remote_salt));
            assert_eq!((&server.remote_key, &server.remote_salt), (&client.local_key, &client.local_salt));
            assert!(!format!("{client:?}").contains("key"));
        }
    }
}
