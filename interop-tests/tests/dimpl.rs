//! DTLS with the crate `dimpl`, both roles and both versions, in one process: handshake, the same keys for SRTP, data both
//! ways, and some loss.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use dimpl::{Config as TheirConfig, Dtls, DtlsCertificate, NamedGroup, Output};
use tombolo_crypto::{CryptoProvider, HashAlgorithm, KeyExchangeGroup};
use tombolo_dtls::{
    Certificate, CipherSuite, Config, Connection, Event, Fingerprint, Parameters, ProtocolVersion, Role,
    SrtpKeys,
};
use tombolo_net::{FiveTuple, Seed};

const V12: ProtocolVersion = ProtocolVersion::Dtls12;
const V13: ProtocolVersion = ProtocolVersion::Dtls13;

fn path() -> FiveTuple {
    let address: SocketAddr = ([192, 0, 2, 1], 1).into();
    FiveTuple::udp(address, address)
}

/// A certificate and its key, as both sides want them.
fn certificate(seed: u64) -> (Certificate, DtlsCertificate) {
    let provider = tombolo_crypto::rust_crypto::provider();
    let from = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * 20_000);
    let seed = Seed::from_number(seed);
    let until = from + Duration::from_secs(86_400 * 30);
    let ours = Certificate::self_signed(&provider, &seed, from, until).expect("a certificate");
    // The key is the first thing that is drawn from the seed.
    let private_key = (provider.generate_key)(&mut seed.rng()).expect("a key").to_vec();
    let theirs = DtlsCertificate { certificate: ours.der().to_vec(), private_key };
    (ours, theirs)
}

/// What differs between calls.
struct Case {
    role: Role,
    versions: (ProtocolVersion, ProtocolVersion),
    suites: Vec<CipherSuite>,
    groups: Vec<KeyExchangeGroup>,
    their_groups: Vec<NamedGroup>,
    /// Whether dimpl, as the server, wants a cookie back first.
    cookie: bool,
    mtu: usize,
    /// Datagrams that are lost, counted over both directions.
    lost: Vec<usize>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            role: Role::Client,
            versions: (V12, V13),
            suites: CipherSuite::ALL.to_vec(),
            groups: CryptoProvider::default().groups.to_vec(),
            their_groups: vec![NamedGroup::X25519, NamedGroup::Secp256r1, NamedGroup::Secp384r1],
            cookie: false,
            mtu: 1200,
            lost: Vec::new(),
        }
    }
}

/// Our connection and theirs, and what each has told.
struct Call {
    ours: Connection,
    theirs: Dtls,
    now: Instant,
    their_timeout: Option<Instant>,
    keys: Option<SrtpKeys>,
    their_keys: Option<Vec<u8>>,
    they_are_connected: bool,
    received: Vec<Vec<u8>>,
    they_received: Vec<Vec<u8>>,
    lost: Vec<usize>,
    sent: usize,
}

impl Call {
    fn new(case: &Case) -> Self {
        let now = tombolo_netsim::start();
        let (certificate, _) = self::certificate(1);
        let (their_certificate, their_key) = self::certificate(2);
        let config = Config::builder(certificate)
            .versions(case.versions.0, case.versions.1)
            .cipher_suites(case.suites.clone())
            .groups(case.groups.clone())
            .mtu(case.mtu)
            .build()
            .expect("settings");
        let mut ours = Connection::new(Arc::new(config), case.role, &Seed::from_number(3), now);
        ours.set_path(path());
        ours.set_remote_fingerprints(
            now,
            vec![their_certificate.fingerprint(HashAlgorithm::Sha256).expect("SHA-256")],
        );
        let their_config = TheirConfig::builder()
            .with_crypto_provider(dimpl::crypto::rust_crypto::default_provider())
            .use_server_cookie(case.cookie)
            .kx_groups(&case.their_groups)
            .mtu(case.mtu)
            .build()
            .expect("settings");
        let their_config = Arc::new(their_config);
        let mut theirs = match (case.role, case.versions.1) {
            (Role::Client, _) => Dtls::new_auto(their_config, their_key, now),
            (Role::Server, V12) => Dtls::new_12(their_config, their_key, now),
            (Role::Server, _) => Dtls::new_13(their_config, their_key, now),
        };
        theirs.set_active(case.role == Role::Server);
        theirs.handle_timeout(now).expect("a start");
        Self {
            ours,
            theirs,
            now,
            their_timeout: None,
            keys: None,
            their_keys: None,
            they_are_connected: false,
            received: Vec::new(),
            they_received: Vec::new(),
            lost: case.lost.clone(),
            sent: 0,
        }
    }

    fn passes(&mut self) -> bool {
        self.sent += 1;
        !self.lost.contains(&(self.sent - 1))
    }

    /// Carries what both have to say; `false`: nothing.
    fn carry(&mut self) -> bool {
        let mut moved = false;
        let mut datagram = Vec::new();
        while self.ours.poll_transmit(self.now, &mut datagram).is_some() {
            moved = true;
            if self.passes() {
                self.theirs.handle_packet(&datagram).expect("dimpl goes on");
            }
            datagram.clear();
        }
        let mut packets = Vec::new();
        let mut buffer = vec![0; 4096];
        loop {
            match self.theirs.poll_output(&mut buffer) {
                Output::Packet(packet) => packets.push(packet.to_vec()),
                Output::Timeout(at) => {
                    self.their_timeout = Some(at);
                    break;
                }
                Output::Connected => self.they_are_connected = true,
                Output::KeyingMaterial(keys, _) => self.their_keys = Some(keys.to_vec()),
                Output::ApplicationData(data) => self.they_received.push(data.to_vec()),
                _ => {}
            }
        }
        for mut packet in packets {
            moved = true;
            if self.passes() {
                self.ours.handle_datagram(self.now, path(), &mut packet);
            }
        }
        while let Some(event) = self.ours.poll_event() {
            match event {
                Event::Connected { srtp } => self.keys = srtp,
                Event::ApplicationData(data) => self.received.push(data),
                other => panic!("{other:?}"),
            }
        }
        moved
    }

    /// Lets both speak, and time pass when they are silent, until `done`.
    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..500 {
            if self.carry() {
                continue;
            }
            if done(self) {
                return;
            }
            let next = [self.ours.poll_timeout(), self.their_timeout].into_iter().flatten().min();
            self.now = next.expect("something to wait for").max(self.now);
            self.ours.handle_timeout(self.now);
            self.theirs.handle_timeout(self.now).expect("dimpl goes on");
        }
        panic!("no end: ours {:?}, theirs connected {}", self.ours, self.they_are_connected);
    }

    /// Connects, compares keys, sends a line each way.
    fn check(mut self) -> Parameters {
        self.run_until(|call| call.keys.is_some() && call.they_are_connected && call.their_keys.is_some());
        // What is lost is of the handshake: nobody repeats application data.
        self.lost.clear();
        let keys = self.keys.clone().expect("connected");
        let (local, remote) = ([&keys.local_key, &keys.local_salt], [&keys.remote_key, &keys.remote_salt]);
        let (client, server) =
            if self.ours.role() == Role::Client { (local, remote) } else { (remote, local) };
        let material = [&client[0][..], server[0], client[1], server[1]].concat();
        assert_eq!(self.their_keys, Some(material), "the same keys for SRTP");
        self.ours.write(self.now, b"from us").expect("connected");
        self.theirs.send_application_data(b"from them").expect("connected");
        self.run_until(|call| !call.received.is_empty() && !call.they_received.is_empty());
        assert_eq!(
            (&self.received[..], &self.they_received[..]),
            (&[b"from them".to_vec()][..], &[b"from us".to_vec()][..])
        );
        let shown = self.ours.remote_certificate().expect("a certificate");
        let (expected, _) = certificate(2);
        let of =
            |der| Fingerprint::of(&CryptoProvider::default(), HashAlgorithm::Sha256, der).expect("SHA-256");
        assert_eq!(of(shown), of(expected.der()));
        self.ours.parameters().expect("connected").clone()
    }
}

/// Both roles and versions, every suite in common.
#[test]
fn every_suite_in_common() {
    let suites = [
        CipherSuite::Aes128GcmSha256,
        CipherSuite::Aes256GcmSha384,
        CipherSuite::ChaCha20Poly1305Sha256,
        CipherSuite::EcdheEcdsaAes128GcmSha256,
        CipherSuite::EcdheEcdsaAes256GcmSha384,
        CipherSuite::EcdheEcdsaChaCha20Poly1305Sha256,
    ];
    for role in [Role::Client, Role::Server] {
        for suite in suites {
            let version = suite.version();
            let case = Case { role, versions: (version, version), suites: vec![suite], ..Case::default() };
            let agreed = Call::new(&case).check();
            assert_eq!((agreed.version, agreed.cipher_suite), (version, suite), "{role:?}");
        }
    }
}

/// A client of both versions, whose hello has a post-quantum share that dimpl does not know, gets 1.3 and X25519.
#[test]
fn a_client_of_both_versions() {
    let agreed = Call::new(&Case::default()).check();
    assert_eq!((agreed.version, agreed.group), (V13, KeyExchangeGroup::X25519));
}

/// A cookie, and a share of another group, each with a second hello.
#[test]
fn second_hellos() {
    let with_cookie = Call::new(&Case { versions: (V13, V13), cookie: true, ..Case::default() }).check();
    assert_eq!(with_cookie.version, V13);
    for (ours, theirs, expected) in [
        (
            vec![KeyExchangeGroup::X25519, KeyExchangeGroup::Secp384r1],
            NamedGroup::Secp384r1,
            KeyExchangeGroup::Secp384r1,
        ),
        (
            vec![KeyExchangeGroup::X25519, KeyExchangeGroup::Secp256r1],
            NamedGroup::Secp256r1,
            KeyExchangeGroup::Secp256r1,
        ),
    ] {
        let case = Case { versions: (V13, V13), groups: ours, their_groups: vec![theirs], ..Case::default() };
        assert_eq!(Call::new(&case).check().group, expected);
    }
    // dimpl's hello has a share of its first group; ours is asked for.
    let case = Case {
        role: Role::Server,
        versions: (V13, V13),
        groups: vec![KeyExchangeGroup::Secp384r1],
        ..Case::default()
    };
    assert_eq!(Call::new(&case).check().group, KeyExchangeGroup::Secp384r1);
}

/// Each single datagram lost, in both roles and versions.
#[test]
fn every_datagram_may_be_lost() {
    for role in [Role::Client, Role::Server] {
        for version in [V12, V13] {
            for lost in 0..12 {
                let case = Case {
                    role,
                    versions: (version, version),
                    mtu: 600,
                    lost: vec![lost],
                    ..Case::default()
                };
                assert_eq!(Call::new(&case).check().version, version, "{role:?}, datagram {lost}");
            }
        }
    }
}
