//! Servers without ICE: cookies before anything is kept, and no answer longer than three times the question (Californium's
//! CVE-2022-2576 was one that amplified).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_core::Rng as _;
use tombolo_crypto::{HashAlgorithm, KeyExchangeGroup};
use tombolo_dtls::{
    Config, ConfigBuilder, Connection, Event, Fingerprint, Heard, Listener, ProtocolVersion, Role,
};
use tombolo_net::{FiveTuple, Seed, Transmit};
use tombolo_netsim::{Link, Machine, Pair};

use crate::peer::{Peer, config, for_both_versions, path};
use crate::wire::{HANDSHAKE, Record, change_message, fragment};

/// A server of one client, as a driver would write it.
struct Server {
    listener: Listener,
    connection: Option<Box<Connection>>,
    fingerprint: Fingerprint,
    answers: Vec<(Vec<u8>, Transmit)>,
    events: Vec<Event>,
    /// Bytes heard and answered before there was a connection.
    heard: usize,
    answered: usize,
}

impl Machine for Server {
    fn handle_datagram(&mut self, now: Instant, path: FiveTuple, data: &mut [u8]) {
        if let Some(connection) = &mut self.connection {
            return connection.handle_datagram(now, path, data);
        }
        self.heard += data.len();
        let mut out = Vec::new();
        match self.listener.handle_datagram(now, path, data, &mut out) {
            Heard::Answer(transmit) => {
                assert_eq!(transmit.len, out.len());
                assert!(out.len() <= 3 * data.len(), "{} bytes for {}", out.len(), data.len());
                self.answered += out.len();
                self.answers.push((out, transmit));
            }
            Heard::Connection(mut connection) => {
                connection.set_remote_fingerprints(now, vec![self.fingerprint.clone()]);
                self.connection = Some(connection);
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.connection.iter_mut().for_each(|connection| connection.handle_timeout(now));
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if let Some((answer, transmit)) = self.answers.pop() {
            out.extend_from_slice(&answer);
            return Some(transmit);
        }
        let connection = self.connection.as_mut()?;
        self.events.extend(std::iter::from_fn(|| connection.poll_event()));
        connection.poll_transmit(now, out)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.connection.as_ref()?.poll_timeout()
    }
}

fn pair_of(client: Config, server: Config, seed: u64) -> Pair<Peer, Server> {
    let of = |config: &Config| config.certificate().fingerprint(HashAlgorithm::Sha256).expect("SHA-256");
    let (fingerprint, of_server) = (of(&client), of(&server));
    let now = tombolo_netsim::start();
    let server = Server {
        listener: Listener::new(Arc::new(server), &Seed::from_number(seed + 1), now),
        connection: None,
        fingerprint,
        answers: Vec::new(),
        events: Vec::new(),
        heard: 0,
        answered: 0,
    };
    let mut client = Peer::new(client, Role::Client, seed);
    client.connection.set_remote_fingerprints(now, vec![of_server]);
    Pair::new(client, server, seed)
}

/// The clients whose hellos differ in length and in what they lack: with a share that the server takes, with one that it
/// does not, without.
fn clients(version: ProtocolVersion) -> Vec<ConfigBuilder> {
    use KeyExchangeGroup::{Secp256r1, X25519};
    vec![
        config(version, 1),
        config(version, 1).mtu(300),
        config(version, 1).no_first_shares(),
        config(version, 1).no_first_shares().mtu(300),
        config(version, 1).groups(vec![X25519]),
        config(version, 1).groups(vec![Secp256r1, X25519]),
    ]
}

/// Every client connects, also when much is lost, and talks.
fn a_client_with_a_cookie_connects(version: ProtocolVersion) {
    for client in clients(version) {
        for (loss, seeds) in [(0.0, 0..1), (0.3, 1..8)] {
            for seed in seeds {
                let server = config(version, 2)
                    .groups(vec![KeyExchangeGroup::X25519MlKem768, KeyExchangeGroup::X25519]);
                let server = server.versions(ProtocolVersion::Dtls12, ProtocolVersion::Dtls13);
                let build = |builder: ConfigBuilder| builder.build().expect("settings");
                let mut pair = pair_of(build(client.clone()), build(server), seed);
                pair.set_links(&Link::default().latency(Duration::from_millis(5)).loss(loss));
                let connected = pair.run_until(|client, server| {
                    client.is_connected()
                        && server.events.iter().any(|event| matches!(event, Event::Connected { .. }))
                });
                assert!(connected, "{client:?}: {:?} {:?}", pair.a.events, pair.b.events);
                assert!(pair.b.answered > 0 && pair.b.answered <= 3 * pair.b.heard);
                pair.set_links(&Link::default());
                let now = pair.now();
                pair.a.connection.write(now, b"hello").expect("write");
                let text = Event::ApplicationData(b"hello".to_vec());
                assert!(pair.run_until(|_, server| server.events.contains(&text)));
                let parameters = pair.a.connection.parameters().cloned().expect("parameters");
                assert_eq!(parameters.version, version);
            }
        }
    }
}

/// One client by hand: the datagrams that it says after each answer.
struct Client {
    connection: Connection,
    now: Instant,
}

impl Client {
    fn new(config: Config) -> Self {
        let now = tombolo_netsim::start();
        let mut connection = Connection::new(Arc::new(config), Role::Client, &Seed::from_number(5), now);
        connection.set_path(path(Role::Client));
        Self { connection, now }
    }

    fn says(&mut self) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        loop {
            let mut datagram = Vec::new();
            match self.connection.poll_transmit(self.now, &mut datagram) {
                Some(_) => datagrams.push(datagram),
                None => return datagrams,
            }
        }
    }

    fn hears(&mut self, datagram: &[u8]) {
        self.connection.handle_datagram(self.now, path(Role::Client), &mut datagram.to_vec());
    }
}

fn listener(version: ProtocolVersion) -> Listener {
    let config = config(version, 2).build().expect("settings");
    Listener::new(Arc::new(config), &Seed::from_number(9), tombolo_netsim::start())
}

/// A client's hello with a cookie, which comes in one datagram.
fn hello_with_cookie(version: ProtocolVersion, listener: &mut Listener) -> Vec<u8> {
    let builder = config(version, 1).groups(vec![KeyExchangeGroup::X25519]);
    let mut client = Client::new(builder.build().expect("settings"));
    let [hello] = &client.says()[..] else { panic!("one datagram") };
    let mut answer = Vec::new();
    let heard = listener.handle_datagram(client.now, path(Role::Server), hello, &mut answer);
    assert!(matches!(heard, Heard::Answer(_)), "{heard:?}");
    client.hears(&answer);
    let [hello] = &client.says()[..] else { panic!("one datagram") };
    hello.clone()
}

/// A cookie is for one address, one hello and one minute, and a changed one is as none.
fn a_cookie_serves_nobody_else(version: ProtocolVersion) {
    let now = tombolo_netsim::start();
    let mut listener = listener(version);
    let hello = hello_with_cookie(version, &mut listener);
    let genuine = path(Role::Server);
    let stranger = FiveTuple::udp(genuine.local, SocketAddr::from(([198, 51, 100, 7], 1000)));
    let other_port = FiveTuple::udp(genuine.local, SocketAddr::new(genuine.remote.ip(), 1001));
    let mut hear = |at: Duration, path: FiveTuple, datagram: &[u8]| {
        let mut out = Vec::new();
        let heard = listener.handle_datagram(now + at, path, datagram, &mut out);
        assert!(out.len() <= 3 * datagram.len());
        matches!(heard, Heard::Connection(_))
    };
    let soon = Duration::from_secs(1);
    assert!(!hear(soon, stranger, &hello) && !hear(soon, other_port, &hello));
    let other_random = change_message(&hello, 1, |mut body| {
        body[5] ^= 1;
        body
    });
    assert!(!hear(soon, genuine, &other_random));
    assert!(hear(soon, genuine, &hello), "it is good");
    assert!(hear(Duration::from_secs(31), genuine, &hello), "it is good for a while");
    assert!(!hear(Duration::from_secs(61), genuine, &hello), "it is too old");
}

/// RFC 6347 §4.2.1, RFC 9147 §5.1: the answers have the record number of what they answer, with a cookie and without.
fn answers_have_the_number_of_the_hello(version: ProtocolVersion) {
    let mut listener = listener(version);
    let hello = hello_with_cookie(version, &mut listener);
    let mut record = Record::split(&hello).remove(0);
    record.sequence = 777;
    let now = tombolo_netsim::start();
    let heard = listener.handle_datagram(now, path(Role::Server), &record.encode(), &mut Vec::new());
    let Heard::Connection(mut connection) = heard else { panic!("{heard:?}") };
    let mut out = Vec::new();
    assert!(connection.poll_transmit(now, &mut out).is_some());
    let first = Record::split(&out).remove(0);
    assert_eq!((first.content_type, first.epoch, first.sequence), (HANDSHAKE, 0, 777));
    assert_eq!(first.body[4..6], [0, 1], "the second message");

    let mut client = Client::new(config(version, 1).no_first_shares().build().expect("settings"));
    let mut record = Record::split(&client.says()[0]).remove(0);
    record.sequence = 778;
    out.clear();
    listener.handle_datagram(now, path(Role::Server), &record.encode(), &mut out);
    let first = Record::split(&out).remove(0);
    assert_eq!((first.content_type, first.sequence), (HANDSHAKE, 778));
    assert_eq!(first.body[4..6], [0, 0], "the first message");
}

/// Hellos in parts of 100,000 addresses: what is kept stays below the ceiling, and whole hellos leave nothing.
#[test]
fn hellos_of_many_addresses_are_not_kept() {
    let mut listener = listener(ProtocolVersion::Dtls13);
    let small = config(ProtocolVersion::Dtls13, 1).groups(vec![KeyExchangeGroup::X25519]);
    let hello = Client::new(small.build().expect("settings")).says().remove(0);
    let mut rng = Seed::from_number(3).rng();
    let part = fragment(1, 0, &[7; 4096], 0, 1100).encode();
    let end = fragment(1, 0, &[7; 4096], 3000, 4096).encode();
    let now = tombolo_netsim::start();
    let mut out = Vec::with_capacity(1024);
    let mut speak = |count: usize, datagrams: &[&[u8]]| {
        let info = allocation_counter::measure(|| {
            for number in 0..count {
                let mut octets = [0; 4];
                rng.fill_bytes(&mut octets);
                let path = FiveTuple::udp(path(Role::Server).local, (octets, number as u16).into());
                for datagram in datagrams {
                    out.clear();
                    let heard = listener.handle_datagram(now, path, datagram, &mut out);
                    assert!(!matches!(heard, Heard::Connection(_)));
                }
            }
        });
        (info.bytes_max, info.bytes_current)
    };
    let (most, left) = speak(50_000, &[&part, &end]);
    assert!(most <= 80 * 1024 && left <= 80 * 1024, "{most} bytes at once, {left} at the end");
    let (_, left) = speak(2_000, &[&hello]);
    assert_eq!(left, 0, "bytes that are left of whole hellos");
}

/// What cannot be served is told with an alert, of which nothing is kept either.
#[test]
fn a_hello_without_anything_in_common_gets_an_alert() {
    let mut listener = listener(ProtocolVersion::Dtls13);
    let client = config(ProtocolVersion::Dtls12, 1).build().expect("settings");
    let mut client = Client::new(client);
    let hello = client.says().remove(0);
    let mut out = Vec::new();
    let heard = listener.handle_datagram(client.now, path(Role::Server), &hello, &mut out);
    assert!(matches!(heard, Heard::Answer(_)));
    let record = Record::split(&out).remove(0);
    assert_eq!((record.content_type, &record.body[..]), (21, &[2, 70][..]), "protocol_version");
}

/// Junk is not answered.
#[test]
fn junk_is_not_answered() {
    let mut listener = listener(ProtocolVersion::Dtls13);
    let mut rng = Seed::from_number(8).rng();
    let hello = Client::new(config(ProtocolVersion::Dtls13, 1).build().expect("settings")).says().remove(0);
    let now = tombolo_netsim::start();
    for _ in 0..20_000 {
        let mut datagram = hello.clone();
        datagram.truncate(rng.next_u32() as usize % (hello.len() + 1));
        for _ in 0..rng.next_u32() % 4 {
            if let Some(byte) = datagram.get_mut(rng.next_u32() as usize % 120) {
                *byte = rng.next_u32() as u8;
            }
        }
        let mut out = Vec::new();
        let heard = listener.handle_datagram(now, path(Role::Server), &datagram, &mut out);
        assert!(!matches!(heard, Heard::Connection(_)));
        assert!(out.len() <= 3 * datagram.len());
    }
    assert!(Listener::may_open(&hello) && !Listener::may_open(&hello[1..]) && !Listener::may_open(&[]));
}

for_both_versions!(
    a_client_with_a_cookie_connects,
    a_cookie_serves_nobody_else,
    answers_have_the_number_of_the_hello,
);
