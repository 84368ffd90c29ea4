//! [`MasterKey`], and the session keys that are derived of it (RFC 3711 §4.3) with a derivation rate of zero: each
//! once.

use std::fmt;

use tombolo_crypto::{CryptoError, CryptoProvider, CtrKey};
use zeroize::Zeroizing;

use crate::cipher::{CM_TAG_LEN, Cipher, SALT_LEN};
use crate::config::ExtensionSet;
use crate::header::HeaderCipher;
use crate::{Config, Profile};

/// The longest MKI, in bytes: what `use_srtp` can say (RFC 5764 §4.1.1).
pub const MAX_MKI_LEN: usize = 255;

/// Why a context cannot be made of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The master key or salt does not have the length of the profile.
    #[error("master key or salt of the wrong length")]
    Length,
    /// The MKI is longer than [`MAX_MKI_LEN`], or does not tell the key from those that the context has: it is taken, or
    /// of another length, or there is none; or the profile is another one.
    #[error("no MKI that tells this key from the others")]
    Mki,
    /// The context has as many keys as may be.
    #[error("too many master keys")]
    TooMany,
    /// The provider does not have the profile's algorithms.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

/// A master key and salt, as a key exchange gives them.
#[derive(Clone, Copy)]
pub struct MasterKey<'a> {
    profile: Profile,
    key: &'a [u8],
    salt: &'a [u8],
    mki: &'a [u8],
}

impl<'a> MasterKey<'a> {
    /// A key without MKI. [`Profile::key_len`] and [`Profile::salt_len`] tell the lengths.
    #[must_use]
    pub const fn new(profile: Profile, key: &'a [u8], salt: &'a [u8]) -> Self {
        Self { profile, key, salt, mki: &[] }
    }

    /// The identifier that stands in each packet under this key (RFC 3711 §3.1), of at most [`MAX_MKI_LEN`] bytes.
    #[must_use]
    pub const fn with_mki(mut self, mki: &'a [u8]) -> Self {
        self.mki = mki;
        self
    }
}

/// Shows the profile and the MKI only.
impl fmt::Debug for MasterKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey")
            .field("profile", &self.profile)
            .field("mki", &self.mki)
            .finish_non_exhaustive()
    }
}

/// The labels of the session keys (RFC 3711 §4.3.2, RFC 6904 §3.2).
mod label {
    /// The cipher's key; the MAC's and the salt follow.
    pub(super) const RTP: u8 = 0;
    /// The same of RTCP.
    pub(super) const RTCP: u8 = 3;
    /// The key for header extensions; the salt follows.
    pub(super) const HEADER: u8 = 6;
}

const AUTH_KEY_LEN: usize = 20;

/// What is derived of one master key, and how much of it is used up.
#[derive(Debug)]
pub(crate) struct SessionKeys {
    pub(crate) profile: Profile,
    pub(crate) mki: Vec<u8>,
    pub(crate) rtp: Cipher,
    pub(crate) rtcp: Cipher,
    pub(crate) header: Option<HeaderCipher>,
    /// How many packets the key may still protect.
    pub(crate) rtp_left: u64,
    pub(crate) rtcp_left: u64,
}

impl SessionKeys {
    pub(crate) fn derive(
        provider: &CryptoProvider,
        master: &MasterKey<'_>,
        config: &Config,
    ) -> Result<Self, KeyError> {
        let profile = master.profile;
        if master.key.len() != profile.key_len() || master.salt.len() != profile.salt_len() {
            return Err(KeyError::Length);
        }
        if master.mki.len() > MAX_MKI_LEN {
            return Err(KeyError::Mki);
        }
        let derivation = Derivation { generator: (provider.aes_cm)(master.key)?, profile, salt: master.salt };
        Ok(Self {
            profile,
            mki: master.mki.to_vec(),
            rtp: derivation.cipher(provider, label::RTP, profile.rtp_overhead())?,
            rtcp: derivation.cipher(provider, label::RTCP, CM_TAG_LEN)?,
            header: derivation.header(provider, config.encrypted_extensions)?,
            rtp_left: config.rtp_lifetime_packets,
            rtcp_left: config.rtcp_lifetime_packets,
        })
    }
}

struct Derivation<'a> {
    generator: Box<dyn CtrKey>,
    profile: Profile,
    salt: &'a [u8],
}

impl Derivation<'_> {
    fn fill(&self, label: u8, out: &mut [u8]) {
        // A salt of 12 bytes counts as one of 14 with zeros behind (RFC 7714 §11).
        let mut iv = [0; SALT_LEN];
        iv[..self.salt.len()].copy_from_slice(self.salt);
        iv[7] ^= label;
        self.generator.apply_keystream(&iv, out);
    }

    fn key(&self, label: u8) -> Zeroizing<Vec<u8>> {
        let mut key = Zeroizing::new(vec![0; self.profile.key_len()]);
        self.fill(label, &mut key);
        key
    }

    fn salt(&self, label: u8) -> Zeroizing<[u8; SALT_LEN]> {
        let mut salt = Zeroizing::new([0; SALT_LEN]);
        self.fill(label, &mut salt[..self.profile.salt_len()]);
        salt
    }

    fn cipher(&self, provider: &CryptoProvider, first: u8, cm_tag_len: usize) -> Result<Cipher, KeyError> {
        let (key, salt) = (self.key(first), self.salt(first + 2));
        Ok(match self.profile.aead() {
            None => {
                let mut auth_key = Zeroizing::new([0; AUTH_KEY_LEN]);
                self.fill(first + 1, &mut auth_key[..]);
                Cipher::cm((provider.aes_cm_hmac_sha1)(&key, &auth_key[..])?, &salt, cm_tag_len)
            }
            Some(algorithm) => Cipher::gcm((provider.aead)(algorithm, &key)?, &salt),
        })
    }

    fn header(&self, provider: &CryptoProvider, ids: ExtensionSet) -> Result<Option<HeaderCipher>, KeyError> {
        if ids.is_empty() {
            return Ok(None);
        }
        let key = (provider.aes_cm)(&self.key(label::HEADER))?;
        Ok(Some(HeaderCipher::new(key, &self.salt(label::HEADER + 1), ids)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::RtpPacket;
    use crate::cipher::tests::hex;

    fn seal(cipher: &Cipher) -> Vec<u8> {
        let mut buf = vec![7; 80];
        let packet = RtpPacket { len: 50, clear_len: 12, csrc_len: 0, ssrc: 0xcafe, index: 0x1_2345 };
        cipher.seal_rtp(&mut buf, &packet, &[]);
        buf
    }

    /// RFC 3711 §B.3, and RFC 6904 §A.1 for the header's: the keys are there, and do what the listed ones do.
    #[test]
    fn rfc_3711_and_6904_key_derivation_vectors() {
        for provider in [tombolo_crypto::ring::provider(), tombolo_crypto::rust_crypto::provider()] {
            let (key, salt) = (hex("E1F97A0D3E018BE0D64FA32C06DE4139"), hex("0EC675AD498AFEEBB6960B3AABE6"));
            let profile = Profile::Aes128CmHmacSha1_80;
            let generator = (provider.aes_cm)(&key).unwrap();
            let derivation = Derivation { generator, profile, salt: &salt };
            assert_eq!(derivation.key(label::RTP)[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));
            assert_eq!(derivation.salt(label::RTP + 2)[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
            assert_eq!(derivation.key(label::HEADER)[..], hex("549752054D6FB708622C4A2E596A1B93"));
            assert_eq!(derivation.salt(label::HEADER + 1)[..], hex("AB01818174C40D39A3781F7C2D27"));

            let auth_key = hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4");
            let cm = (provider.aes_cm_hmac_sha1)(&derivation.key(label::RTP), &auth_key).unwrap();
            let listed = Cipher::cm(cm, &derivation.salt(label::RTP + 2), CM_TAG_LEN);
            let master = MasterKey::new(profile, &key, &salt);
            let derived = SessionKeys::derive(&provider, &master, &Config::default()).unwrap();
            assert_eq!(seal(&derived.rtp), seal(&listed));
        }
    }

    /// SRTP-03: another profile's key material is refused.
    #[test]
    fn wrong_lengths_are_refused() {
        let provider = CryptoProvider::default();
        for (profile, key, salt) in [
            (Profile::Aes128CmHmacSha1_80, 16, 12),
            (Profile::Aes128CmHmacSha1_32, 32, 14),
            (Profile::AeadAes128Gcm, 16, 14),
            (Profile::AeadAes128Gcm, 32, 12),
            (Profile::AeadAes256Gcm, 16, 12),
            (Profile::Aes128CmHmacSha1_80, 0, 14),
        ] {
            let (key, salt) = (vec![0; key], vec![0; salt]);
            let made =
                SessionKeys::derive(&provider, &MasterKey::new(profile, &key, &salt), &Config::default());
            assert_eq!(made.unwrap_err(), KeyError::Length);
        }
        let master = MasterKey::new(Profile::AeadAes128Gcm, &[0; 16], &[0; 12]);
        let made = SessionKeys::derive(&provider, &master.with_mki(&[0; 256]), &Config::default());
        assert_eq!(made.unwrap_err(), KeyError::Mki);
    }

    /// RTP and RTCP, and each master key, have keys of their own.
    #[test]
    fn the_protocols_have_different_keys() {
        let provider = CryptoProvider::default();
        for profile in Profile::ALL {
            let derive = |master: u8| {
                let (key, salt) = (vec![master; profile.key_len()], vec![5; profile.salt_len()]);
                let master = MasterKey::new(profile, &key, &salt);
                SessionKeys::derive(&provider, &master, &Config::default()).unwrap()
            };
            let keys = derive(1);
            assert_ne!(seal(&keys.rtp), seal(&keys.rtcp));
            assert_ne!(seal(&keys.rtp), seal(&derive(2).rtp));
            assert_eq!(seal(&keys.rtp), seal(&derive(1).rtp));
        }
    }

    /// The keys are not shown.
    #[test]
    fn keys_are_not_printed() {
        let master = MasterKey::new(Profile::AeadAes128Gcm, &[0xab; 16], &[0xcd; 12]).with_mki(&[1]);
        let shown = format!("{master:?}");
        assert!(shown.contains("AeadAes128Gcm") && !shown.contains("171") && !shown.contains("205"));
    }
}
