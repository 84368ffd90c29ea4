//! A connection as netsim drives it, with the events it has given out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tombolo_crypto::{CryptoProvider, HashAlgorithm};
use tombolo_dtls::{
    Certificate, Config, ConfigBuilder, Connection, Event, FailReason, ProtocolVersion, Role, SrtpKeys,
};
use tombolo_net::{FiveTuple, Seed, Transmit};
use tombolo_netsim::{Machine, Pair};

/// Makes tests of functions that take a version: one each for 1.2 and 1.3.
macro_rules! for_both_versions {
    ($($name:ident),* $(,)?) => {
        mod dtls12 {
            $(#[test]
            fn $name() {
                super::$name(tombolo_dtls::ProtocolVersion::Dtls12);
            })*
        }

        mod dtls13 {
            $(#[test]
            fn $name() {
                super::$name(tombolo_dtls::ProtocolVersion::Dtls13);
            })*
        }
    };
}
pub(crate) use for_both_versions;

pub(crate) struct Peer {
    pub(crate) connection: Connection,
    pub(crate) events: Vec<Event>,
}

impl Peer {
    pub(crate) fn new(config: Config, role: Role, seed: u64) -> Self {
        let mut connection =
            Connection::new(Arc::new(config), role, &Seed::from_number(seed), tombolo_netsim::start());
        connection.set_path(path(role));
        Self { connection, events: Vec::new() }
    }

    pub(crate) fn srtp(&self) -> Option<&SrtpKeys> {
        self.events.iter().find_map(|event| match event {
            Event::Connected { srtp } => srtp.as_ref(),
            _ => None,
        })
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Connected { .. }))
    }

    pub(crate) fn failure(&self) -> Option<FailReason> {
        self.events.iter().find_map(|event| match event {
            Event::Failed(reason) => Some(*reason),
            _ => None,
        })
    }

    pub(crate) fn received(&self) -> Vec<&[u8]> {
        let mut received = Vec::new();
        for event in &self.events {
            if let Event::ApplicationData(data) = event {
                received.push(&data[..]);
            }
        }
        received
    }

    fn collect(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.connection.poll_event()));
    }
}

impl Machine for Peer {
    fn handle_datagram(&mut self, now: Instant, path: FiveTuple, data: &mut [u8]) {
        self.connection.handle_datagram(now, path, data);
        self.collect();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.connection.handle_timeout(now);
        self.collect();
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.collect();
        self.connection.poll_transmit(now, out)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.connection.poll_timeout()
    }
}

pub(crate) fn path(role: Role) -> FiveTuple {
    let client: SocketAddr = ([192, 0, 2, 1], 1000).into();
    let server: SocketAddr = ([192, 0, 2, 2], 2000).into();
    match role {
        Role::Client => FiveTuple::udp(client, server),
        Role::Server => FiveTuple::udp(server, client),
    }
}

pub(crate) fn certificate(provider: &CryptoProvider, seed: u64) -> Certificate {
    let day = Duration::from_secs(86400);
    let start = SystemTime::UNIX_EPOCH + day * 20_000;
    Certificate::self_signed(provider, &Seed::from_number(seed), start, start + day * 30)
        .expect("certificate")
}

/// A configuration with the deterministic provider, for one version.
pub(crate) fn config(version: ProtocolVersion, seed: u64) -> ConfigBuilder {
    let provider = tombolo_crypto::rust_crypto::provider();
    Config::builder(certificate(&provider, seed)).provider(provider).versions(version, version)
}

/// A client (A) and a server (B) that do not know each other's fingerprints yet.
pub(crate) fn strangers(client: Config, server: Config, seed: u64) -> Pair<Peer, Peer> {
    let (client, server) = (Peer::new(client, Role::Client, seed), Peer::new(server, Role::Server, seed + 1));
    Pair::new(client, server, seed)
}

/// A client (A) and a server (B) with each other's fingerprints.
pub(crate) fn pair_of(client: Config, server: Config, seed: u64) -> Pair<Peer, Peer> {
    let fingerprint =
        |config: &Config| config.certificate().fingerprint(HashAlgorithm::Sha256).expect("SHA-256");
    let (of_client, of_server) = (fingerprint(&client), fingerprint(&server));
    let mut pair = strangers(client, server, seed);
    let now = pair.now();
    pair.a.connection.set_remote_fingerprints(now, vec![of_server]);
    pair.b.connection.set_remote_fingerprints(now, vec![of_client]);
    pair
}

/// The same with default settings.
pub(crate) fn pair(version: ProtocolVersion, seed: u64) -> Pair<Peer, Peer> {
    let build = |seed| config(version, seed).build().expect("defaults");
    pair_of(build(100), build(200), seed)
}

/// Runs until both sides are connected with matching keys.
pub(crate) fn connect(pair: &mut Pair<Peer, Peer>) {
    let connected = pair.run_until(|a, b| a.is_connected() && b.is_connected());
    assert!(connected, "no connection: client {:?}, server {:?}", pair.a.events, pair.b.events);
    match (pair.a.srtp(), pair.b.srtp()) {
        (Some(a), Some(b)) => {
            assert_eq!(a.profile, b.profile);
            assert_eq!((&a.local_key, &a.local_salt), (&b.remote_key, &b.remote_salt));
            assert_eq!((&a.remote_key, &a.remote_salt), (&b.local_key, &b.local_salt));
            assert_ne!(a.local_key, a.remote_key);
        }
        (a, b) => assert_eq!((a, b), (None, None)),
    }
}

/// Sends a message each way and checks that it arrives.
pub(crate) fn talk(pair: &mut Pair<Peer, Peer>) {
    let now = pair.now();
    pair.a.connection.write(now, b"from the client").expect("write");
    pair.b.connection.write(now, b"from the server").expect("write");
    let arrived = pair.run_until(|a, b| {
        a.received().contains(&&b"from the server"[..]) && b.received().contains(&&b"from the client"[..])
    });
    assert!(arrived, "client {:?}, server {:?}", pair.a.received(), pair.b.received());
}
