//! The key schedule of DTLS 1.3 (RFC 8446 §7, with the labels of RFC 9147 §5.9).
//!
//! ```text
//! 0 -> Early Secret -> Handshake Secret (with the shared secret) -> Main Secret
//!                       |- c hs traffic, s hs traffic                |- c ap traffic, s ap traffic, exp master
//! traffic secret -> key, iv, sn, finished; the next traffic secret
//! ```

use tombolo_crypto::{CryptoError, CryptoProvider, Digest, NONCE_LEN};
use zeroize::Zeroizing;

use crate::cipher::Cipher;
use crate::key_log::LoggedSecret;
use crate::suite::CipherSuite;

/// HKDF (RFC 5869) with the labels of a protocol.
#[derive(Clone, Copy)]
struct Hkdf {
    provider: CryptoProvider,
    suite: CipherSuite,
    /// What each label starts with.
    prefix: &'static [u8],
}

impl Hkdf {
    const fn new(provider: CryptoProvider, suite: CipherSuite) -> Self {
        Self { provider, suite, prefix: b"dtls13" }
    }

    fn extract(&self, salt: &[u8], input: &[u8]) -> Result<Digest, CryptoError> {
        (self.provider.hmac)(self.suite.hash(), salt, &[input])
    }

    /// HKDF-Expand-Label, RFC 8446 §7.1.
    fn expand(&self, secret: &[u8], label: &[u8], context: &[u8], out: &mut [u8]) -> Result<(), CryptoError> {
        let length = (out.len() as u16).to_be_bytes();
        let label_len = [(self.prefix.len() + label.len()) as u8];
        let context_len = [context.len() as u8];
        let mut before = Digest::new(&[]);
        for (number, chunk) in (1_u8..).zip(out.chunks_mut(self.suite.hash().output_len())) {
            let counter = [number];
            let parts =
                [&before[..], &length, &label_len, self.prefix, label, &context_len, context, &counter];
            before = (self.provider.hmac)(self.suite.hash(), secret, &parts)?;
            chunk.copy_from_slice(&before[..chunk.len()]);
        }
        Ok(())
    }

    /// HKDF-Expand-Label with as many bytes as the hash has: Derive-Secret, with the hash of the transcript.
    fn derive(&self, secret: &[u8], label: &[u8], transcript_hash: &[u8]) -> Result<Digest, CryptoError> {
        let mut out = Zeroizing::new([0; 64]);
        let out = &mut out[..self.suite.hash().output_len()];
        self.expand(secret, label, transcript_hash, out)?;
        Ok(Digest::new(out))
    }

    fn hash_of_nothing(&self) -> Result<Digest, CryptoError> {
        Ok((self.provider.hash)(self.suite.hash())?.finish())
    }

    fn zeros(&self) -> &'static [u8] {
        &[0; 64][..self.suite.hash().output_len()]
    }
}

/// A secret that one direction's keys come from, in one epoch.
#[derive(Clone)]
pub(crate) struct TrafficSecret {
    hkdf: Hkdf,
    secret: Digest,
}

impl TrafficSecret {
    /// The line of the key log.
    pub(crate) fn logged<'a>(&'a self, label: &'a str, client_random: &'a [u8; 32]) -> LoggedSecret<'a> {
        LoggedSecret::new(label, client_random, &self.secret)
    }

    /// The record protection with this secret.
    pub(crate) fn cipher(&self) -> Result<Cipher, CryptoError> {
        let Hkdf { provider, suite, .. } = self.hkdf;
        let mut bytes = Zeroizing::new([0; 32]);
        let bytes = &mut bytes[..suite.aead().key_len()];
        self.hkdf.expand(&self.secret, b"key", &[], bytes)?;
        let key = (provider.aead)(suite.aead(), bytes)?;
        self.hkdf.expand(&self.secret, b"sn", &[], bytes)?;
        let mask = (provider.mask)(suite.aead(), bytes)?;
        let mut iv = [0; NONCE_LEN];
        self.hkdf.expand(&self.secret, b"iv", &[], &mut iv)?;
        Ok(Cipher::new_1_3(key, iv, mask))
    }

    /// The secret of the next epoch (RFC 8446 §7.2).
    pub(crate) fn next(&self) -> Result<Self, CryptoError> {
        Ok(Self { hkdf: self.hkdf, secret: self.hkdf.derive(&self.secret, b"traffic upd", &[])? })
    }

    /// The contents of a Finished message after the handshake messages of this hash (RFC 8446 §4.4.4).
    pub(crate) fn verify_data(&self, transcript_hash: &[u8]) -> Result<Digest, CryptoError> {
        let key = self.hkdf.derive(&self.secret, b"finished", &[])?;
        (self.hkdf.provider.hmac)(self.hkdf.suite.hash(), &key, &[transcript_hash])
    }
}

/// The secrets of epoch 2.
pub(crate) struct HandshakeSecrets {
    pub(crate) client: TrafficSecret,
    pub(crate) server: TrafficSecret,
    main: Digest,
    client_random: [u8; 32],
}

impl HandshakeSecrets {
    /// `transcript_hash` covers the messages up to ServerHello.
    pub(crate) fn derive(
        provider: &CryptoProvider,
        suite: CipherSuite,
        shared_secret: &[u8],
        transcript_hash: &[u8],
        client_random: [u8; 32],
    ) -> Result<Self, CryptoError> {
        Self::derive_with(Hkdf::new(*provider, suite), shared_secret, transcript_hash, client_random)
    }

    fn derive_with(
        hkdf: Hkdf,
        shared_secret: &[u8],
        transcript_hash: &[u8],
        client_random: [u8; 32],
    ) -> Result<Self, CryptoError> {
        let nothing = hkdf.hash_of_nothing()?;
        let early = hkdf.extract(hkdf.zeros(), hkdf.zeros())?;
        let handshake = hkdf.extract(&hkdf.derive(&early, b"derived", &nothing)?, shared_secret)?;
        let main = hkdf.extract(&hkdf.derive(&handshake, b"derived", &nothing)?, hkdf.zeros())?;
        let traffic = |label: &[u8]| -> Result<TrafficSecret, CryptoError> {
            Ok(TrafficSecret { hkdf, secret: hkdf.derive(&handshake, label, transcript_hash)? })
        };
        Ok(Self { client: traffic(b"c hs traffic")?, server: traffic(b"s hs traffic")?, main, client_random })
    }

    /// The secrets from epoch 3 on. `transcript_hash` covers the messages up to the server's Finished.
    pub(crate) fn application(&self, transcript_hash: &[u8]) -> Result<ApplicationSecrets, CryptoError> {
        let hkdf = self.client.hkdf;
        let traffic = |label: &[u8]| -> Result<TrafficSecret, CryptoError> {
            Ok(TrafficSecret { hkdf, secret: hkdf.derive(&self.main, label, transcript_hash)? })
        };
        let exporter = hkdf.derive(&self.main, b"exp master", transcript_hash)?;
        Ok(ApplicationSecrets {
            client: traffic(b"c ap traffic")?,
            server: traffic(b"s ap traffic")?,
            exporter: Exporter { hkdf, secret: exporter },
            client_random: self.client_random,
        })
    }
}

/// The secrets from epoch 3 on.
pub(crate) struct ApplicationSecrets {
    pub(crate) client: TrafficSecret,
    pub(crate) server: TrafficSecret,
    pub(crate) exporter: Exporter,
    /// By which the key log knows the connection.
    pub(crate) client_random: [u8; 32],
}

/// The exporter of RFC 8446 §7.5.
pub(crate) struct Exporter {
    hkdf: Hkdf,
    secret: Digest,
}

impl Exporter {
    /// The line of the key log.
    pub(crate) fn logged<'a>(&'a self, client_random: &'a [u8; 32]) -> LoggedSecret<'a> {
        LoggedSecret::new("EXPORTER_SECRET", client_random, &self.secret)
    }

    /// Fills `out`, of less than 64 KiB.
    pub(crate) fn export(&self, label: &[u8], context: &[u8], out: &mut [u8]) -> Result<(), CryptoError> {
        let secret = self.hkdf.derive(&self.secret, label, &self.hkdf.hash_of_nothing()?)?;
        let mut hash = (self.hkdf.provider.hash)(self.hkdf.suite.hash())?;
        hash.update(context);
        self.hkdf.expand(&secret, b"exporter", &hash.finish(), out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::ProtocolVersion;

    fn hex(digits: &str) -> Vec<u8> {
        let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
        let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
        digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }

    /// RFC 8448 §3, which is TLS: all differs from DTLS in the prefix of the labels alone.
    fn tls() -> Hkdf {
        let suite = CipherSuite::Aes128GcmSha256;
        Hkdf { prefix: b"tls13 ", ..Hkdf::new(CryptoProvider::default(), suite) }
    }

    #[test]
    fn the_secrets_of_rfc_8448_section_3() {
        let shared = hex("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d");
        let hello_hash = hex("860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8");
        let finished_hash = hex("9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13");
        let handshake = HandshakeSecrets::derive_with(tls(), &shared, &hello_hash, [0; 32]).unwrap();
        let application = handshake.application(&finished_hash).unwrap();
        let expected = [
            (&handshake.client.secret, "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21"),
            (&handshake.server.secret, "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38"),
            (&application.client.secret, "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"),
            (&application.server.secret, "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"),
            (
                &application.exporter.secret,
                "fe22f881176eda18eb8f44529e6792c50c9a3f89452f68d8ae311b4309d3cf50",
            ),
        ];
        for (secret, digits) in expected {
            assert_eq!(secret[..], hex(digits));
        }
        let mut key = [0; 16];
        tls().expand(&handshake.server.secret, b"key", &[], &mut key).unwrap();
        assert_eq!(key[..], hex("3fce516009c21727d0f2e4e86ee403bc"));
        let mut iv = [0; 12];
        tls().expand(&handshake.server.secret, b"iv", &[], &mut iv).unwrap();
        assert_eq!(iv[..], hex("5d313eb2671276ee13000b30"));
        let client_finished = handshake.client.verify_data(&finished_hash).unwrap();
        let digits = "a8ec436d677634ae525ac1fcebe11a039ec17694fac6e98527b642f2edd5ce61";
        assert_eq!(client_finished[..], hex(digits));
    }

    /// Every AEAD and hash: what one side seals, the other opens; the next secret is another one.
    #[test]
    fn both_sides_have_the_same_keys_in_every_epoch() {
        for suite in CipherSuite::ALL.into_iter().filter(|suite| suite.version() == ProtocolVersion::Dtls13) {
            let hash = vec![5; suite.hash().output_len()];
            let derive = || {
                let provider = CryptoProvider::default();
                HandshakeSecrets::derive(&provider, suite, b"shared", &hash, [0; 32])
                    .unwrap()
                    .application(&hash)
                    .unwrap()
            };
            let (ours, theirs) = (derive(), derive());
            let (mut own, mut other) = (ours.client, theirs.client);
            let mut seen = Vec::new();
            for _ in 0..3 {
                let mut data = b"text".to_vec();
                own.cipher().unwrap().seal(7, b"header", &mut data, 0);
                assert!(!seen.contains(&data));
                seen.push(data.clone());
                let opened = other.cipher().unwrap().open(7, b"header", &mut data).map(|text| text.to_vec());
                assert_eq!(opened, Some(b"text".to_vec()));
                (own, other) = (own.next().unwrap(), other.next().unwrap());
            }
            let mut exported = [[0; 100]; 3];
            ours.exporter.export(b"EXPORTER-test", b"", &mut exported[0]).unwrap();
            theirs.exporter.export(b"EXPORTER-test", b"", &mut exported[1]).unwrap();
            theirs.exporter.export(b"EXPORTER-test", b"context", &mut exported[2]).unwrap();
            assert_eq!(exported[0], exported[1]);
            assert_ne!(exported[0], exported[2]);
        }
    }
}
