//! Certificates by a verifier instead of fingerprints, and clients without certificate.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tombolo_crypto::CryptoProvider;
use tombolo_dtls::{
    AlertDescription, Certificate, CertificateVerifier, Config, ConfigBuilder, FailReason, PeerError,
    ProtocolVersion, Role, ShownChain, WebPkiVerifier,
};
use tombolo_net::Epoch;
use tombolo_netsim::Pair;

use crate::matrix::{KINDS, Kind, key_pair};
use crate::peer::{Peer, config, connect, for_both_versions, strangers, talk};

const DAY: Duration = Duration::from_secs(86400);

/// An authority, one that it certifies, and today.
struct Authority {
    der: Vec<u8>,
    intermediate: Issuer<'static, KeyPair>,
    intermediate_der: Vec<u8>,
}

fn today() -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * 20_000
}

fn params(names: &[&str], not_after: SystemTime) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.not_before = (today() - DAY * 10).into();
    params.not_after = not_after.into();
    params
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = params(&[], today() + DAY * 10);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

impl Authority {
    fn new(kind: Kind, name: &str) -> Self {
        let (root_key, key) = (key_pair(kind), key_pair(kind));
        let root_params = authority_params(&format!("{name}'s root"));
        let root = root_params.self_signed(&root_key).expect("root");
        let root_issuer = Issuer::new(root_params, root_key);
        let intermediate_params = authority_params(&format!("{name}'s intermediate"));
        let intermediate = intermediate_params.signed_by(&key, &root_issuer).expect("intermediate");
        Self {
            der: root.der().to_vec(),
            intermediate_der: intermediate.der().to_vec(),
            intermediate: Issuer::new(intermediate_params, key),
        }
    }

    fn certify(&self, name: &str, usage: ExtendedKeyUsagePurpose, not_after: SystemTime) -> Certificate {
        let key = key_pair(Kind::P256);
        let mut params = params(&[name], not_after);
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.intermediate).expect("certificate");
        let provider = CryptoProvider::default();
        let certificate = Certificate::from_der(&provider, certificate.der().to_vec(), &key.serialize_der());
        certificate.expect("a good key").with_intermediates(vec![self.intermediate_der.clone()])
    }

    fn verifier(&self) -> Arc<dyn CertificateVerifier> {
        let epoch = Epoch { instant: tombolo_netsim::start(), system: today() };
        Arc::new(WebPkiVerifier::new(std::slice::from_ref(&self.der), epoch).expect("an authority"))
    }
}

const SERVER: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ServerAuth;
const CLIENT: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ClientAuth;

fn build(builder: ConfigBuilder, version: ProtocolVersion) -> Config {
    builder.versions(version, version).build().expect("settings")
}

fn failed(pair: &mut Pair<Peer, Peer>, alert: AlertDescription) {
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.a.failure(), Some(FailReason::Peer(PeerError::Rejected(alert))));
    assert_eq!(pair.b.failure(), Some(FailReason::PeerAlert(alert)));
}

/// Both sides by a chain, of authorities with keys of each kind.
fn chains_are_accepted(version: ProtocolVersion) {
    for kind in KINDS {
        let authority = Authority::new(kind, "one");
        let end = today() + DAY;
        let client = Config::builder(authority.certify("client", CLIENT, end));
        let client = client.verifier(authority.verifier()).server_name("server.example");
        let server = Config::builder(authority.certify("server.example", SERVER, end));
        let server = server.verifier(authority.verifier());
        let mut pair = strangers(build(client, version), build(server, version), 1);
        connect(&mut pair);
        talk(&mut pair);
    }
}

/// Another name, an old certificate, one for another purpose, another authority, no intermediate: each with its alert.
fn chains_that_do_not_pass(version: ProtocolVersion) {
    let (authority, other) = (Authority::new(Kind::P256, "one"), Authority::new(Kind::P256, "another"));
    let (end, past) = (today() + DAY, today() - DAY);
    let good = authority.certify("server.example", SERVER, end);
    let bare = good.clone().with_intermediates(Vec::new());
    let cases = [
        (authority.certify("other.example", SERVER, end), AlertDescription::BAD_CERTIFICATE),
        (authority.certify("server.example", SERVER, past), AlertDescription::CERTIFICATE_EXPIRED),
        (authority.certify("server.example", CLIENT, end), AlertDescription::BAD_CERTIFICATE),
        (other.certify("server.example", SERVER, end), AlertDescription::UNKNOWN_CA),
        (bare, AlertDescription::UNKNOWN_CA),
    ];
    for (certificate, alert) in cases {
        let client = config(version, 1).verifier(authority.verifier()).server_name("server.example");
        let client = client.provider(CryptoProvider::default());
        let server = Config::builder(certificate).anonymous_clients();
        let mut pair = strangers(build(client, version), build(server, version), 1);
        failed(&mut pair, alert);
    }
}

/// A client that is not asked, and one that is but has no business here.
#[derive(Debug)]
struct Nobody;

impl CertificateVerifier for Nobody {
    fn verify(&self, chain: &ShownChain<'_>, _now: Instant) -> Result<(), AlertDescription> {
        assert_eq!((chain.of, chain.name, chain.certificates.len()), (Role::Server, None, 1));
        Err(AlertDescription::CERTIFICATE_REVOKED)
    }
}

#[derive(Debug)]
struct Anybody;

impl CertificateVerifier for Anybody {
    fn verify(&self, _chain: &ShownChain<'_>, _now: Instant) -> Result<(), AlertDescription> {
        Ok(())
    }
}

fn a_verifier_of_ones_own(version: ProtocolVersion) {
    let server = || build(config(version, 2).anonymous_clients(), version);
    let mut pair = strangers(build(config(version, 1).verifier(Arc::new(Nobody)), version), server(), 1);
    failed(&mut pair, AlertDescription::CERTIFICATE_REVOKED);
    let mut pair = strangers(build(config(version, 1).verifier(Arc::new(Anybody)), version), server(), 1);
    connect(&mut pair);
    talk(&mut pair);
    assert_eq!(pair.b.connection.remote_certificate(), None);
    // Without fingerprints and without a verifier a client trusts nobody.
    let mut pair = strangers(build(config(version, 1), version), server(), 1);
    pair.run_for(Duration::from_secs(5));
    assert!(!pair.a.is_connected() && pair.a.received().is_empty());
}

/// A verifier does not make up for a fingerprint that does not fit.
fn fingerprints_count_beside_a_verifier(version: ProtocolVersion) {
    let client = build(config(version, 1).verifier(Arc::new(Anybody)), version);
    let server = build(config(version, 2).anonymous_clients(), version);
    let wrong = client.certificate().fingerprint(tombolo_crypto::HashAlgorithm::Sha256).expect("SHA-256");
    let mut pair = strangers(client, server, 1);
    let now = pair.now();
    pair.a.connection.set_remote_fingerprints(now, vec![wrong]);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.a.failure(), Some(FailReason::Peer(PeerError::FingerprintMismatch)));
}

for_both_versions!(
    chains_are_accepted,
    chains_that_do_not_pass,
    a_verifier_of_ones_own,
    fingerprints_count_beside_a_verifier,
);
