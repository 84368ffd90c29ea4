//! Key derivation (RFC 3711 §4.3) with a derivation rate of zero: each session key is made once.

use tombolo_crypto::{AeadAlgorithm, CryptoError, CryptoProvider};
use zeroize::Zeroizing;

use crate::Profile;
use crate::cipher::{Cipher, SALT_LEN};

/// Why a context cannot be made of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The master key or salt does not have the length of the profile.
    #[error("master key or salt of the wrong length")]
    Length,
    /// The provider does not have the profile's algorithms.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// Which of the two protocols a key is for: the first of its three labels (RFC 3711 §4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Rtp = 0,
    Rtcp = 3,
}

const AUTH_KEY_LEN: usize = 20;

/// The session cipher of one protocol.
pub(crate) fn derive(
    provider: &CryptoProvider,
    profile: Profile,
    key: &[u8],
    salt: &[u8],
    protocol: Protocol,
) -> Result<Cipher, KeyError> {
    if key.len() != profile.key_len() || salt.len() != profile.salt_len() {
        return Err(KeyError::Length);
    }
    let generator = (provider.aes_ctr)(key)?;
    let first_label = protocol as u8;
    let fill = |label: u8, out: &mut [u8]| {
        // A salt of 12 bytes counts as one of 14 with zeros behind (RFC 7714 §11).
        let mut iv = [0; 16];
        iv[..salt.len()].copy_from_slice(salt);
        iv[7] ^= first_label + label;
        generator.apply_keystream(&iv, out);
    };
    let mut cipher_key = Zeroizing::new([0; 16]);
    let mut session_salt = Zeroizing::new([0; SALT_LEN]);
    fill(0, &mut cipher_key[..]);
    fill(2, &mut session_salt[..profile.salt_len()]);
    match profile {
        Profile::Aes128CmHmacSha1_80 => {
            let mut auth_key = Zeroizing::new([0; AUTH_KEY_LEN]);
            fill(1, &mut auth_key[..]);
            let (ctr, mac) = ((provider.aes_ctr)(&cipher_key[..])?, (provider.hmac_sha1)(&auth_key[..]));
            Ok(Cipher::cm(ctr, mac, &session_salt))
        }
        Profile::AeadAes128Gcm => {
            let aead = (provider.aead)(AeadAlgorithm::Aes128Gcm, &cipher_key[..])?;
            Ok(Cipher::gcm(aead, &session_salt))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    }

    /// RFC 3711 appendix B.3, seen through what the derived keys do.
    #[test]
    fn rfc_3711_key_derivation_vector() {
        for provider in [tombolo_crypto::ring::provider(), tombolo_crypto::rust_crypto::provider()] {
            let (key, salt) = (hex("E1F97A0D3E018BE0D64FA32C06DE4139"), hex("0EC675AD498AFEEBB6960B3AABE6"));
            let derived =
                derive(&provider, Profile::Aes128CmHmacSha1_80, &key, &salt, Protocol::Rtp).unwrap();
            let ctr = (provider.aes_ctr)(&hex("C61E7A93744F39EE10734AFE3FF7A087")).unwrap();
            let mac = (provider.hmac_sha1)(&hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
            let mut session_salt = [0; SALT_LEN];
            session_salt.copy_from_slice(&hex("30CBBC08863D8C85D49DB34A9AE1"));
            let listed = Cipher::cm(ctr, mac, &session_salt);
            let seal = |cipher: &Cipher| {
                let mut buf = [7; 60];
                cipher.seal_rtp(&mut buf, 50, 12, 0xcafe, 0x1_2345);
                buf
            };
            assert_eq!(seal(&derived), seal(&listed));
        }
    }

    /// SRTP-03: another profile's key material is refused.
    #[test]
    fn wrong_lengths_are_refused() {
        let provider = CryptoProvider::default();
        for (profile, key, salt) in [
            (Profile::Aes128CmHmacSha1_80, 16, 12),
            (Profile::AeadAes128Gcm, 16, 14),
            (Profile::AeadAes128Gcm, 32, 12),
            (Profile::Aes128CmHmacSha1_80, 0, 14),
        ] {
            let made = derive(&provider, profile, &vec![0; key], &vec![0; salt], Protocol::Rtp);
            assert_eq!(made.unwrap_err(), KeyError::Length);
        }
    }

    /// RTP and RTCP, and each master key, have keys of their own.
    #[test]
    fn the_protocols_have_different_keys() {
        let provider = CryptoProvider::default();
        for profile in Profile::ALL {
            let seal = |master: u8, protocol| {
                let key = vec![master; profile.key_len()];
                let salt = vec![5; profile.salt_len()];
                let mut buf = [7; 80];
                derive(&provider, profile, &key, &salt, protocol).unwrap().seal_rtp(&mut buf, 50, 12, 1, 1);
                buf
            };
            let rtp = seal(1, Protocol::Rtp);
            assert_ne!(rtp, seal(1, Protocol::Rtcp));
            assert_ne!(rtp, seal(2, Protocol::Rtp));
            assert_eq!(rtp, seal(1, Protocol::Rtp));
        }
    }
}
