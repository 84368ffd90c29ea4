//! The key schedule of TLS 1.2: PRF (RFC 5246 §5), extended master secret (RFC 7627 §4), key block (RFC 5246 §6.3),
//! Finished (§7.4.9) and exporter (RFC 5705 §4). That of 1.3 is in `schedule.rs`.

use tombolo_crypto::{CryptoError, CryptoProvider, HashAlgorithm};
use zeroize::Zeroizing;

use crate::cipher::{Cipher, iv_len_1_2};
use crate::key_log::LoggedSecret;
use crate::suite::CipherSuite;

/// Bytes of `verify_data`.
pub(crate) const VERIFY_DATA_LEN: usize = 12;
const MASTER_LEN: usize = 48;

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

    /// The line of the key log.
    pub(crate) fn logged(&self) -> LoggedSecret<'_> {
        LoggedSecret::new("CLIENT_RANDOM", &self.client_random, &self.master[..])
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
        let (key_len, iv_len) = (aead.key_len(), iv_len_1_2(aead));
        let mut block = Zeroizing::new(vec![0; 2 * (key_len + iv_len)]);
        self.prf(b"key expansion", [&self.server_random, &self.client_random], &mut block)?;
        let (keys, ivs) = block.split_at(2 * key_len);
        let cipher = |at: usize| -> Result<Cipher, CryptoError> {
            let key = (self.provider.aead)(aead, &keys[at * key_len..(at + 1) * key_len])?;
            Ok(Cipher::new_1_2(aead, key, &ivs[at * iv_len..(at + 1) * iv_len]))
        };
        Ok((cipher(0)?, cipher(1)?))
    }

    /// The exporter. Without a context, and with an empty one, the results differ.
    pub(crate) fn export(
        &self,
        label: &[u8],
        context: Option<&[u8]>,
        out: &mut [u8],
    ) -> Result<(), CryptoError> {
        let mut seed = [self.client_random, self.server_random].concat();
        if let Some(context) = context {
            seed.extend_from_slice(&(context.len() as u16).to_be_bytes());
            seed.extend_from_slice(context);
        }
        self.prf(label, [&seed, &[]], out)
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
