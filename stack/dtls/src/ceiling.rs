//! What a connection keeps at most while its peer sends whatever it likes: a million fragments from somebody without keys,
//! and a flood of them from a peer that has keys.

use std::sync::Arc;
use std::time::Instant;

use rand_core::Rng as _;
use tombolo_crypto::KeyExchangeGroup;
use tombolo_net::{FiveTuple, Rng, Seed};

use crate::certificate::tests::certificate;
use crate::config::Config;
use crate::connection::{Connection, Role};
use crate::fragment::{Fragment, HandshakeType, MAX_MESSAGES};
use crate::record::{ContentType, Header, RecordNumber};
use crate::version::{ProtocolVersion, VERSION_1_2};

/// What [`Connection`] says that it holds at most.
const MAX_FLOODED_BYTES: u64 = 64 * 1024;
const FRAGMENTS: usize = 1_000_000;
/// Those that authenticate, which take more time.
const AUTHENTIC_FRAGMENTS: usize = 200_000;
/// The fragments in one record.
const AT_ONCE: usize = 50;

#[expect(clippy::disallowed_methods, reason = "a starting point for a clock that stands still")]
fn now() -> Instant {
    Instant::now()
}

fn path() -> FiveTuple {
    let address = ([192, 0, 2, 1], 1).into();
    FiveTuple::udp(address, address)
}

fn connection(version: ProtocolVersion, role: Role, now: Instant) -> Connection {
    let builder = Config::builder(certificate(1)).groups(vec![KeyExchangeGroup::X25519]);
    let config = builder.versions(version, version).build().unwrap();
    let mut connection = Connection::new(Arc::new(config), role, &Seed::from_number(1), now);
    connection.set_path(path());
    connection
}

fn carry(from: &mut Connection, to: &mut Connection, now: Instant) {
    let mut datagram = Vec::new();
    while from.poll_transmit(now, &mut datagram).is_some() {
        to.handle_datagram(now, path(), &mut datagram);
        datagram.clear();
    }
}

/// Appends fragments of one to eight bytes, of messages of any length that are not the next one from `first` on.
fn junk(rng: &mut Rng, first: u16, out: &mut Vec<u8>) {
    for _ in 0..AT_ONCE {
        let types = [HandshakeType::CERTIFICATE, HandshakeType::FINISHED, HandshakeType::KEY_UPDATE];
        let length = 1 + rng.next_u32() as usize % 17_000;
        let offset = rng.next_u32() as usize % length;
        let bytes = &[0xee; 8][..(1 + rng.next_u32() as usize % 8).min(length - offset)];
        let fragment = Fragment {
            msg_type: types[rng.next_u32() as usize % types.len()],
            // Mostly the same one, or each contradicts the one before.
            length: if rng.next_u32().is_multiple_of(64) { length } else { 16_000 },
            message_seq: first + (rng.next_u32() as usize % (MAX_MESSAGES + 2)) as u16,
            offset: offset.min(15_000),
            bytes,
        };
        out.extend_from_slice(&fragment.header());
        out.extend_from_slice(bytes);
    }
}

/// Sends a million fragments to `to`, in records of an epoch without keys.
fn flood(to: &mut Connection, first: u16, now: Instant) {
    let mut rng = Seed::from_number(2).rng();
    let (mut content, mut datagram) = (Vec::with_capacity(2000), Vec::with_capacity(2000));
    for sequence in 0..(FRAGMENTS / AT_ONCE) as u64 {
        content.clear();
        junk(&mut rng, first, &mut content);
        let number = RecordNumber { epoch: 0, sequence };
        let header = Header { content_type: ContentType::HANDSHAKE, version: VERSION_1_2, number };
        datagram.clear();
        datagram.extend_from_slice(&header.encode(content.len()));
        datagram.extend_from_slice(&content);
        to.handle_datagram(now, path(), &mut datagram);
    }
}

/// The same, in records that authenticate, of the newest epoch of the sender.
fn flood_with_keys(from: &mut Connection, to: &mut Connection, first: u16, now: Instant) {
    let mut rng = Seed::from_number(3).rng();
    let (mut content, mut datagram) = (Vec::with_capacity(2000), Vec::with_capacity(2000));
    for _ in 0..AUTHENTIC_FRAGMENTS / AT_ONCE {
        content.clear();
        junk(&mut rng, first, &mut content);
        datagram.clear();
        let epoch = from.records.write_epoch();
        assert!(from.records.write(epoch, ContentType::HANDSHAKE, &[&content], &mut datagram).is_some());
        to.handle_datagram(now, path(), &mut datagram);
        datagram.clear();
        // What it answers is sent: a driver polls.
        while to.poll_transmit(now, &mut datagram).is_some() {
            datagram.clear();
        }
    }
}

/// The most bytes that `work` had at once beyond those before it.
fn most_bytes(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).bytes_max
}

/// The buffers of the test itself.
const OWN_BYTES: u64 = 8 * 1024;

#[test]
fn a_million_fragments_from_anybody() {
    let now = now();
    for (version, role) in [(ProtocolVersion::Dtls12, Role::Server), (ProtocolVersion::Dtls13, Role::Client)]
    {
        let most = most_bytes(|| {
            let mut connection = connection(version, role, now);
            flood(&mut connection, 0, now);
            assert!(connection.poll_event().is_none(), "{version:?} {role:?} goes on");
        });
        assert!(most <= MAX_FLOODED_BYTES + OWN_BYTES, "{version:?} {role:?}: {most} bytes");
    }
}

/// During the handshake of 1.3, in epoch 2, by the server and by the client.
#[test]
fn a_flood_of_fragments_from_a_peer_with_keys() {
    let now = now();
    let mut peer = connection(ProtocolVersion::Dtls13, Role::Server, now);
    let most = most_bytes(|| {
        let mut client = connection(ProtocolVersion::Dtls13, Role::Client, now);
        carry(&mut client, &mut peer, now);
        // ServerHello alone, in a datagram of its own: what comes next is encrypted.
        let mut datagram = Vec::new();
        assert!(peer.poll_transmit(now, &mut datagram).is_some());
        let (header, body, _) = Header::split(&mut datagram).unwrap();
        let hello = [&header.encode(body.len())[..], body].concat();
        client.handle_datagram(now, path(), &mut hello.clone());
        assert!(client.records.read_epoch() == 2);
        flood_with_keys(&mut peer, &mut client, 2, now);
    });
    assert!(most <= MAX_FLOODED_BYTES + OWN_BYTES, "a client: {most} bytes");

    let mut peer = connection(ProtocolVersion::Dtls13, Role::Client, now);
    let most = most_bytes(|| {
        let mut server = connection(ProtocolVersion::Dtls13, Role::Server, now);
        carry(&mut peer, &mut server, now);
        carry(&mut server, &mut peer, now);
        flood_with_keys(&mut peer, &mut server, 2, now);
    });
    assert!(most <= MAX_FLOODED_BYTES + OWN_BYTES, "a server: {most} bytes");
}
