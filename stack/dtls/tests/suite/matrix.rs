//! Every key exchange with every kind of certificate on either side, and every cipher suite, in both versions.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tombolo_crypto::{CryptoError, CryptoProvider, KeyExchangeGroup, SignatureScheme, Signer};
use tombolo_dtls::{Certificate, CipherSuite, Config, ConfigBuilder, ProtocolVersion};

use crate::peer::{connect, for_both_versions, pair_of, talk};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::P256, Kind::P384, Kind::Ed25519, Kind::Rsa];

/// Keys of RSA are made beforehand: ring makes none.
const RSA: &[u8] = include_bytes!("../data/rsa-2048.pk8");

pub(crate) fn key_pair(kind: Kind) -> KeyPair {
    let made = match kind {
        Kind::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        Kind::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        Kind::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
        Kind::Rsa => KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(RSA), &PKCS_RSA_SHA256),
    };
    made.expect("key")
}

fn self_signed(kind: Kind) -> (Vec<u8>, Vec<u8>) {
    let key = key_pair(kind);
    let certificate = CertificateParams::default().self_signed(&key).expect("certificate");
    (certificate.der().to_vec(), key.serialize_der())
}

/// A certificate for each of [`KINDS`].
static CERTIFICATES: LazyLock<Vec<Certificate>> = LazyLock::new(|| {
    let load = |kind| {
        let (der, pkcs8) = self_signed(kind);
        Certificate::from_der(&CryptoProvider::default(), der, &pkcs8).expect("a good key")
    };
    KINDS.into_iter().map(load).collect()
});

fn of_kind(kind: Kind) -> ConfigBuilder {
    let at = KINDS.iter().position(|known| *known == kind).expect("one of them");
    Config::builder(CERTIFICATES[at].clone())
}

/// Every group with every pair of kinds.
fn every_key_exchange_with_every_kind_of_certificate(version: ProtocolVersion) {
    let mut handshakes = 0;
    for group in CryptoProvider::default().groups {
        if version == ProtocolVersion::Dtls12 && !group.is_symmetric() {
            continue;
        }
        for client in KINDS {
            for server in KINDS {
                let build = |kind| {
                    let builder = of_kind(kind).versions(version, version).groups(vec![*group]);
                    builder.build().expect("settings")
                };
                let mut pair = pair_of(build(client), build(server), 1);
                connect(&mut pair);
                let parameters = pair.a.connection.parameters().expect("connected").clone();
                assert_eq!(
                    (parameters.version, parameters.group),
                    (version, *group),
                    "{client:?} {server:?}"
                );
                handshakes += 1;
            }
        }
    }
    let groups = if version == ProtocolVersion::Dtls12 { 3 } else { 4 };
    assert_eq!(handshakes, groups * 16);
}

/// Every suite of the version with the certificates that it goes with.
fn every_cipher_suite(version: ProtocolVersion) {
    let mut taken = Vec::new();
    for suite in CipherSuite::ALL.into_iter().filter(|suite| suite.version() == version) {
        for kind in KINDS {
            let build = |kind| {
                let builder = of_kind(kind).versions(version, version).cipher_suites(vec![suite]);
                builder.groups(vec![KeyExchangeGroup::X25519]).build().expect("settings")
            };
            let mut pair = pair_of(build(Kind::P256), build(kind), 1);
            let is_rsa = format!("{suite:?}").contains("Rsa");
            if version == ProtocolVersion::Dtls12 && is_rsa != (kind == Kind::Rsa) {
                assert!(pair.run_until(|client, server| {
                    client.failure().is_some() && server.failure().is_some()
                }));
                continue;
            }
            connect(&mut pair);
            talk(&mut pair);
            assert_eq!(pair.b.connection.parameters().map(|parameters| parameters.cipher_suite), Some(suite));
            taken.push(suite);
        }
    }
    // Three suites with four kinds; in 1.2 three with RSA and three with the others.
    assert_eq!(taken.len(), 12);
}

/// A key that is held elsewhere, as in an HSM: it is asked to sign, and never shown.
struct Elsewhere {
    inner: Box<dyn Signer>,
    signatures: Arc<AtomicUsize>,
}

impl Signer for Elsewhere {
    fn schemes(&self) -> &[SignatureScheme] {
        self.inner.schemes()
    }

    fn public_key(&self) -> &[u8] {
        self.inner.public_key()
    }

    fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.signatures.fetch_add(1, Ordering::Relaxed);
        self.inner.sign(scheme, message)
    }
}

fn a_key_that_is_held_elsewhere_signs(version: ProtocolVersion) {
    for kind in KINDS {
        let provider = CryptoProvider::default();
        let (der, pkcs8) = self_signed(kind);
        let signatures = Arc::new(AtomicUsize::new(0));
        let inner = (provider.signer)(&pkcs8).expect("a good key");
        let signer = Box::new(Elsewhere { inner, signatures: Arc::clone(&signatures) });
        let certificate = Certificate::with_signer(&provider, der, signer).expect("they belong together");
        let server = Config::builder(certificate).versions(version, version).build().expect("settings");
        let client = of_kind(kind).versions(version, version).build().expect("settings");
        let mut pair = pair_of(client, server, 1);
        connect(&mut pair);
        assert_eq!(signatures.load(Ordering::Relaxed), 1, "{kind:?}");
    }
}

for_both_versions!(
    every_key_exchange_with_every_kind_of_certificate,
    every_cipher_suite,
    a_key_that_is_held_elsewhere_signs,
);
