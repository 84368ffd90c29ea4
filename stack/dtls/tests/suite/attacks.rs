//! Junk, forgeries and replays from anyone (DTLS-09, DTLS-13), before, during and after the handshake.

use std::time::Duration;

use rand_core::Rng as _;
use tombolo_dtls::{AlertDescription, DropReason, FailReason, ProtocolVersion, Role};
use tombolo_net::{FiveTuple, Seed};
use tombolo_netsim::{Link, Pair, Side};

use crate::peer::{Peer, config, connect, for_both_versions, pair, pair_of, path, talk};
use crate::wire::{Direct, HANDSHAKE, Record, fragment};

const ALERT: u8 = 21;
const APPLICATION_DATA: u8 = 23;
const CHANGE_CIPHER_SPEC: u8 = 20;

/// The paths of a side on which an attacker may speak: the peer's own, and another one.
fn paths(to: Side) -> [FiveTuple; 2] {
    let genuine = path(if to == Side::A { Role::Client } else { Role::Server });
    [genuine, FiveTuple::udp(genuine.local, ([198, 51, 100, 7], 7).into())]
}

fn plain(content_type: u8, body: &[u8]) -> Vec<u8> {
    Record { content_type, epoch: 0, sequence: 77, body: body.to_vec() }.encode()
}

/// Alerts, data and hellos without protection, and 1,000 random records: some of them with a good header.
fn junk(seed: u64) -> Vec<Vec<u8>> {
    let mut rng = Seed::from_number(seed).rng();
    let mut datagrams = vec![
        vec![],
        vec![22],
        plain(ALERT, &[2, 40]),
        plain(ALERT, &[1, 0]),
        plain(ALERT, &[2]),
        plain(APPLICATION_DATA, b"not encrypted"),
        plain(CHANGE_CIPHER_SPEC, &[1]),
        plain(HANDSHAKE, &[]),
        plain(99, b"?"),
        // A hello of someone else, whole but for its contents.
        fragment(1, 0, &[0xfe; 80], 0, 80).encode(),
        // HelloRequest, and messages that never come in this version.
        fragment(0, 0, &[], 0, 0).encode(),
        fragment(24, 9, b"key update", 0, 10).encode(),
        // Finished without encryption.
        fragment(20, 5, &[0; 12], 0, 12).encode(),
    ];
    for number in 0..1000 {
        let mut datagram = vec![0; 1 + rng.next_u32() as usize % 200];
        rng.fill_bytes(&mut datagram);
        if number % 2 == 0 {
            let record = Record {
                content_type: 20 + (rng.next_u32() % 5) as u8,
                epoch: (rng.next_u32() % 3) as u16,
                sequence: rng.next_u64() >> (16 + rng.next_u32() % 48),
                body: datagram,
            };
            datagram = record.encode();
        }
        datagrams.push(datagram);
    }
    datagrams
}

fn inject_junk(pair: &mut Pair<Peer, Peer>, seed: u64) {
    for to in [Side::A, Side::B] {
        for datagram in junk(seed) {
            for path in paths(to) {
                pair.inject(to, path, &datagram);
            }
        }
    }
}

/// DTLS-09: after the handshake junk does nothing at all.
fn junk_after_the_handshake_has_no_effect(version: ProtocolVersion) {
    let mut pair = pair(version, 1);
    connect(&mut pair);
    pair.run_for(Duration::from_secs(1));
    let before = (pair.a.events.clone(), pair.b.events.clone());
    let sent = |pair: &Pair<Peer, Peer>| {
        pair.a.connection.stats().datagrams_sent + pair.b.connection.stats().datagrams_sent
    };
    let sent_before = sent(&pair);
    inject_junk(&mut pair, 5);
    pair.run_for(Duration::from_secs(1));
    assert_eq!((&pair.a.events, &pair.b.events), (&before.0, &before.1));
    assert_eq!(sent(&pair), sent_before, "nobody answers junk");
    assert!(pair.a.connection.stats().dropped(DropReason::Unprotected) >= 10);
    assert!(pair.a.connection.stats().dropped(DropReason::Unauthentic) > 0);
    talk(&mut pair);
}

/// DTLS-09: junk between any two steps of the handshake does not stop it.
fn junk_during_the_handshake_does_not_stop_it(version: ProtocolVersion) {
    for step in 0..12 {
        let mut pair = pair_of(
            config(version, 1).mtu(300).build().expect("settings"),
            config(version, 2).mtu(300).build().expect("settings"),
            2,
        );
        for _ in 0..step {
            pair.step();
        }
        inject_junk(&mut pair, step);
        connect(&mut pair);
        talk(&mut pair);
    }
}

/// DTLS-09: every datagram of the whole exchange, again, to either side.
fn replays_of_everything_have_no_effect(version: ProtocolVersion) {
    let mut pair = pair(version, 1);
    connect(&mut pair);
    talk(&mut pair);
    let before = (pair.a.events.clone(), pair.b.events.clone());
    let records = pair.records().to_vec();
    for _ in 0..2 {
        for record in &records {
            for to in [Side::A, Side::B] {
                pair.inject(to, paths(to)[0], &record.data);
            }
        }
        pair.run_for(Duration::from_secs(1));
    }
    assert_eq!((&pair.a.events, &pair.b.events), (&before.0, &before.1));
    assert!(pair.a.connection.stats().dropped(DropReason::Replayed) > 0);
    assert!(pair.b.connection.stats().dropped(DropReason::Replayed) > 0);
    talk(&mut pair);
}

/// A plaintext alert is believed only when nothing else comes.
fn a_forged_alert_only_shortens_the_wait(version: ProtocolVersion) {
    let mut pair = pair(version, 1);
    pair.set_links(&Link::default().latency(Duration::from_millis(300)));
    pair.step();
    pair.inject(Side::A, paths(Side::A)[1], &plain(ALERT, &[2, 40]));
    connect(&mut pair);

    let mut pair = self::pair(version, 1);
    pair.set_links(&Link::default().cut());
    pair.inject(Side::A, paths(Side::A)[1], &plain(ALERT, &[2, 40]));
    pair.inject(Side::B, paths(Side::B)[1], &plain(ALERT, &[2, 40]));
    pair.run_for(Duration::from_secs(2));
    let told = FailReason::PeerAlert(AlertDescription::HANDSHAKE_FAILURE);
    assert_eq!(pair.a.failure(), Some(told), "it may have been true");
    assert_eq!(pair.b.events, [], "a server that has said nothing has nothing to give up");
}

/// A hello that does not parse leaves the server as it was (pion/dtls#689).
#[test]
fn a_malformed_hello_does_not_stall_the_server() {
    let mut direct = Direct::new(
        config(ProtocolVersion::Dtls12, 1).build().expect("settings"),
        config(ProtocolVersion::Dtls12, 2).build().expect("settings"),
    );
    let hello = Record::split(&direct.poll_flight(true)[0]).remove(0);
    let body = &hello.body[12..];
    // 46 bytes are a whole hello, without extensions, which is refused (DTLS-15).
    for len in (0..body.len()).filter(|len| *len != 46) {
        direct.deliver(false, &fragment(1, 0, &body[..len], 0, len).encode());
        assert_eq!(direct.poll_flight(false), Vec::<Vec<u8>>::new(), "{len} bytes");
        assert_eq!(direct.server.failure(), None, "{len} bytes");
    }
    direct.deliver(false, &hello.encode());
    direct.run(|_, datagram| datagram);
    assert!(direct.client.is_connected() && direct.server.is_connected());
}

/// A changed byte anywhere in an encrypted record makes it vanish, and what follows is not disturbed.
fn changed_records_vanish(version: ProtocolVersion) {
    let mut pair = pair(version, 1);
    connect(&mut pair);
    let now = pair.now();
    pair.set_links(&Link::default().cut());
    pair.clear_records();
    pair.a.connection.write(now, b"hello").expect("write");
    pair.run_for(Duration::from_millis(10));
    let datagram = pair.records()[0].data.clone();
    for at in 0..datagram.len() {
        for bit in 0..8 {
            let mut changed = datagram.clone();
            changed[at] ^= 1 << bit;
            pair.inject(Side::B, paths(Side::B)[0], &changed);
        }
    }
    pair.run_for(Duration::from_millis(10));
    assert!(pair.b.received().is_empty());
    for _ in 0..2 {
        pair.inject(Side::B, paths(Side::B)[0], &datagram);
    }
    pair.run_for(Duration::from_millis(10));
    assert_eq!(pair.b.received(), [b"hello"], "once");
    pair.set_links(&Link::default());
    talk(&mut pair);
}

/// DTLS-14: a flood of fragments neither stops the handshake nor is answered, whatever it claims to be.
fn a_flood_of_fragments(version: ProtocolVersion) {
    let mut rng = Seed::from_number(4).rng();
    let mut direct = Direct::new(
        config(version, 1).build().expect("settings"),
        config(version, 2).build().expect("settings"),
    );
    let body = vec![0xee; 60_000];
    for _ in 0..20_000 {
        let len = 1 + rng.next_u32() as usize % 60_000;
        let offset = rng.next_u32() as usize % len;
        let end = (offset + rng.next_u32() as usize % 1000).min(len);
        let msg_type = [1, 2, 11, 16, 20, 77][rng.next_u32() as usize % 6];
        let seq = (rng.next_u32() % 20) as u16;
        direct.deliver(false, &fragment(msg_type, seq, &body[..len], offset, end).encode());
    }
    assert!(direct.poll_flight(false).is_empty());
    assert!(direct.server.connection.stats().dropped(DropReason::BufferFull) > 0);
    direct.run(|_, datagram| datagram);
    assert!(direct.client.is_connected() && direct.server.is_connected());
}

/// The repetition of a message is answered, but not each time that anyone says it.
fn repetitions_are_answered_at_a_bounded_rate(version: ProtocolVersion) {
    let mut direct = Direct::new(
        config(version, 1).build().expect("settings"),
        config(version, 2).build().expect("settings"),
    );
    let hello = direct.poll_flight(true);
    hello.iter().for_each(|datagram| direct.deliver(false, datagram));
    let flight = direct.poll_flight(false).len();
    let mut sent = 0;
    for _ in 0..1000 {
        direct.now += Duration::from_micros(100);
        hello.iter().for_each(|datagram| direct.deliver(false, datagram));
        sent += direct.poll_flight(false).len();
    }
    assert!(sent <= 4 * flight, "{sent} datagrams in 100 ms, where a flight has {flight}");
    assert!(sent >= flight, "but it is answered");
}

/// DTLS-08: late records of an earlier association between the same addresses, before, during and after the handshake
/// of a new one. (Its plaintext handshake would be taken for the new one's, which is why RFC 8842 §6 wants new
/// addresses or ICE credentials for it.)
fn records_of_an_earlier_association_have_no_effect(version: ProtocolVersion) {
    let mut old = pair(version, 1);
    connect(&mut old);
    talk(&mut old);
    let now = old.now();
    old.a.connection.close(now);
    old.run_for(Duration::from_secs(1));
    let old = old.records().to_vec();
    for step in 0..14 {
        let mut pair = pair(version, 2);
        for _ in 0..step {
            pair.step();
        }
        for record in old.iter().filter(|record| Record::split(&record.data)[0].epoch != 0) {
            pair.inject(record.to, paths(record.to)[0], &record.data);
        }
        connect(&mut pair);
        talk(&mut pair);
        assert_eq!((pair.a.received().len(), pair.b.received().len()), (1, 1), "nothing old is delivered");
    }
}

/// Any bit of any handshake datagram may be wrong: nobody panics, nobody connects with another key than the other,
/// and while nothing was wrong the handshake completes.
fn mutated_handshakes_never_panic(version: ProtocolVersion) {
    let mut rng = Seed::from_number(9).rng();
    let mut completed = 0;
    for _ in 0..150 {
        let mut direct = Direct::new(
            config(version, 1).mtu(700).build().expect("settings"),
            config(version, 2).mtu(700).build().expect("settings"),
        );
        direct.run(|_, mut datagram| {
            // Two of ten datagrams are changed, one of them twice.
            for _ in 0..(rng.next_u32() % 10).saturating_sub(7) {
                let at = rng.next_u32() as usize % datagram.len();
                match rng.next_u32() % 3 {
                    0 => datagram[at] ^= 1 << (rng.next_u32() % 8),
                    1 => datagram.truncate(at + 1),
                    _ => datagram.insert(at, rng.next_u32() as u8),
                }
            }
            datagram
        });
        direct.wait(Duration::from_secs(120));
        for peer in [&direct.client, &direct.server] {
            assert!(peer.received().is_empty());
            assert!(peer.connection.poll_timeout().is_none(), "every handshake ends");
        }
        if let (Some(client), Some(server)) = (direct.client.srtp(), direct.server.srtp()) {
            assert_eq!(client.local_key, server.remote_key);
            completed += 1;
        }
    }
    assert!(completed > 0, "some datagrams are not touched");
}

for_both_versions!(
    junk_after_the_handshake_has_no_effect,
    junk_during_the_handshake_does_not_stop_it,
    replays_of_everything_have_no_effect,
    a_forged_alert_only_shortens_the_wait,
    changed_records_vanish,
    a_flood_of_fragments,
    repetitions_are_answered_at_a_bounded_rate,
    records_of_an_earlier_association_have_no_effect,
    mutated_handshakes_never_panic,
);
