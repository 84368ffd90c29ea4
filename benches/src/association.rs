//! Associations of DTLS with certificates on both sides, both ends in one thread, on a path that loses nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tombolo_crypto::{CryptoProvider, HashAlgorithm, KeyExchangeGroup};
use tombolo_dtls::{Certificate, Config, Connection, Event, Fingerprint, ProtocolVersion, Role};
use tombolo_net::{FiveTuple, Seed};

/// Bytes of the largest datagram: room for a record of 1200 bytes.
const MTU: usize = 1400;

/// An address of an end.
pub(crate) fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

struct Side {
    config: Arc<Config>,
    fingerprint: Fingerprint,
}

impl Side {
    fn new(seed: u64, version: ProtocolVersion, group: KeyExchangeGroup) -> Self {
        let now = SystemTime::now();
        let (from, to) = (now - Duration::from_secs(3600), now + Duration::from_secs(86_400));
        let certificate =
            Certificate::self_signed(&CryptoProvider::default(), &Seed::from_number(seed), from, to)
                .expect("a certificate");
        let fingerprint = certificate.fingerprint(HashAlgorithm::Sha256).expect("a hash");
        let builder = Config::builder(certificate).versions(version, version).groups(vec![group]).mtu(MTU);
        Self { config: Arc::new(builder.build().expect("settings")), fingerprint }
    }

    fn connection(&self, peer: &Self, role: Role, seed: u64, now: Instant) -> Connection {
        let path = FiveTuple::udp(address(1), address(2));
        let mut connection = Connection::new(Arc::clone(&self.config), role, &Seed::from_number(seed), now);
        connection.set_path(if role == Role::Client { path } else { path.reversed() });
        connection.set_remote_fingerprints(now, vec![peer.fingerprint.clone()]);
        connection
    }
}

/// Two ends that make one association after the other.
pub(crate) struct Ends {
    client: Side,
    server: Side,
    made: u64,
    buf: Vec<u8>,
}

impl Ends {
    pub(crate) fn new(version: ProtocolVersion, group: KeyExchangeGroup) -> Self {
        let side = |seed| Side::new(seed, version, group);
        Self { client: side(1), server: side(2), made: 0, buf: Vec::with_capacity(2048) }
    }

    /// A whole handshake, with keys for SRTP on both sides: the client and the server.
    pub(crate) fn connect(&mut self) -> (Connection, Connection) {
        let now = Instant::now();
        self.made += 2;
        let mut client = self.client.connection(&self.server, Role::Client, self.made, now);
        let mut server = self.server.connection(&self.client, Role::Server, self.made + 1, now);
        while self.carry(now, &mut client, &mut server) | self.carry(now, &mut server, &mut client) {}
        for connection in [&mut client, &mut server] {
            let keys = std::iter::from_fn(|| connection.poll_event())
                .any(|event| matches!(event, Event::Connected { srtp: Some(_) }));
            assert!(keys, "a handshake");
        }
        (client, server)
    }

    fn carry(&mut self, now: Instant, from: &mut Connection, to: &mut Connection) -> bool {
        let mut moved = false;
        loop {
            self.buf.clear();
            let Some(transmit) = from.poll_transmit(now, &mut self.buf) else { return moved };
            let segment = transmit.segment_size.unwrap_or(transmit.len).max(1);
            for datagram in self.buf.chunks_mut(segment) {
                to.handle_datagram(now, transmit.path.reversed(), datagram);
            }
            moved = true;
        }
    }
}
