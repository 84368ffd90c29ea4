//! The key schedule of TLS 1.2: PRF (RFC 5246 §5), extended master secret (RFC 7627 §4), key block (RFC 5246 §6.3),
//! Finished (§7.4.9) and exporter (RFC 5705 §4).

use tombolo_crypto::{CryptoError, CryptoProvider, HashAlgorithm};
use zeroize::Zeroizing;

use crate::record::Cipher;
use crate::srtp::{SrtpKeys, SrtpProfileId};
use crate::suite::CipherSuite;

/// Bytes of `verify_data`.
pub(crate) const VERIFY_DATA_LEN: usize = 12;
const MASTER_LEN: usize = 48;
const SALT_LEN: usize = 4;

/// Fills `out` with PRF(secret, label, seeds).
fn prf(
    provider: &CryptoProvider,
    hash: HashAlgorithm,
    secret: &[u8],
    label: &[u8],
    seeds: [&[u8]; 2],
    out: &mut [u8],
) -> Result<(), CryptoError> {
    let [one, two] = seeds;
    let mut a = (provider.hmac)(hash, secret, &[label, one, two])?;
    for chunk in out.chunks_mut(hash.output_len()) {
        let block = (provider.hmac)(hash, secret, &[&a, label, one, two])?;
        chunk.copy_from_slice(&block[..chunk.len()]);
        a = (provider.hmac)(hash, secret, &[&a])?;
    }
    Ok(())
}

/// Whose Finished, or whose keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
}

/// The master secret and what goes with it. Wiped when dropped.
pub(crate) struct Secrets {
    provider: CryptoProvider,
    suite: CipherSuite,
    master: Zeroizing<[u8; MASTER_LEN]>,
    client_random: [u8; 32],
    server_random: [u8; 32],
}

impl Secrets {
    /// Derives the extended master secret. `session_hash` covers the handshake up to ClientKeyExchange.
    pub(crate) fn derive(
        provider: &CryptoProvider,
        suite: CipherSuite,
        premaster: &[u8],
        session_hash: &[u8],
        client_random: [u8; 32],
        server_random: [u8; 32],
    ) -> Result<Self, CryptoError> {
        let mut master = Zeroizing::new([0; MASTER_LEN]);
        let label = b"extended master secret";
        prf(provider, suite.hash(), premaster, label, [session_hash, &[]], &mut master[..])?;
        Ok(Self { provider: *provider, suite, master, client_random, server_random })
    }

    fn prf(&self, label: &[u8], seeds: [&[u8]; 2], out: &mut [u8]) -> Result<(), CryptoError> {
        prf(&self.provider, self.suite.hash(), &self.master[..], label, seeds, out)
    }

    /// The contents of a Finished message after the handshake messages of this hash.
    pub(crate) fn verify_data(
        &self,
        sender: Sender,
        handshake_hash: &[u8],
    ) -> Result<[u8; VERIFY_DATA_LEN], CryptoError> {
        let label: &[u8] = match sender {
            Sender::Client => b"client finished",
            Sender::Server => b"server finished",
        };
        let mut out = [0; VERIFY_DATA_LEN];
        self.prf(label, [handshake_hash, &[]], &mut out)?;
        Ok(out)
    }

    /// The record ciphers: what the client writes with, what the server writes with.
    pub(crate) fn ciphers(&self) -> Result<(Cipher, Cipher), CryptoError> {
        let aead = self.suite.aead();
        let key_len = aead.key_len();
        let mut block = Zeroizing::new(vec![0; 2 * (key_len + SALT_LEN)]);
        self.prf(b"key expansion", [&self.server_random, &self.client_random], &mut block)?;
        let (keys, salts) = block.split_at(2 * key_len);
        let cipher = |at: usize| -> Result<Cipher, CryptoError> {
            let key = (self.provider.aead)(aead, &keys[at * key_len..(at + 1) * key_len])?;
            let mut salt = [0; SALT_LEN];
            salt.copy_from_slice(&salts[at * SALT_LEN..(at + 1) * SALT_LEN]);
            Ok(Cipher::new(key, salt))
        };
        Ok((cipher(0)?, cipher(1)?))
    }

    /// The exporter with the label of RFC 5764, cut into keys. `None`: the profile's lengths are not known.
    pub(crate) fn export_srtp(
        &self,
        profile: SrtpProfileId,
        is_client: bool,
    ) -> Result<Option<SrtpKeys>, CryptoError> {
        let Some((key_len, salt_len)) = profile.key_and_salt_len() else { return Ok(None) };
        let mut material = Zeroizing::new(vec![0; 2 * (key_len + salt_len)]);
        self.prf(b"EXTRACTOR-dtls_srtp", [&self.client_random, &self.server_random], &mut material)?;
        Ok(Some(SrtpKeys::from_material(profile, key_len, salt_len, &material, is_client)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digits: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(digit).collect()
    }

    /// The P_SHA256 vector that the TLS working group's list has (2009-10, "TLS 1.2 PRF test vectors").
    #[test]
    fn the_prf_gives_the_published_vector() {
        let expected = "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a\
            6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab\
            4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701\
            87347b66";
        for provider in [tombolo_crypto::ring::provider(), tombolo_crypto::rust_crypto::provider()] {
            let mut out = [0; 100];
            let seed = hex("a0ba9f936cda311827a6f796ffd5198c");
            let secret = hex("9bbe436ba940f017b17652849a71db35");
            let seeds = [&seed[..5], &seed[5..]];
            prf(&provider, HashAlgorithm::Sha256, &secret, b"test label", seeds, &mut out).unwrap();
            assert_eq!(out[..], hex(expected));
        }
    }
}
