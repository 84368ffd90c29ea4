//! What DTLS 1.3 alone has, and how the version is agreed on (DTLS-16).

use std::time::Duration;

use tombolo_crypto::{CryptoProvider, HashAlgorithm, KeyExchangeGroup};
use tombolo_dtls::{
    CipherSuite, Config, ConfigBuilder, Event, FailReason, Parameters, PeerError, ProtocolVersion, UseError,
};
use tombolo_netsim::{Link, Pair, Side};

use crate::peer::{Peer, certificate, connect, pair_of, talk};
use crate::wire::{Direct, Record};

const V12: ProtocolVersion = ProtocolVersion::Dtls12;
const V13: ProtocolVersion = ProtocolVersion::Dtls13;

/// Both versions, the quick provider.
fn both(seed: u64) -> ConfigBuilder {
    Config::builder(certificate(&CryptoProvider::default(), seed))
}

fn only(version: ProtocolVersion, seed: u64) -> ConfigBuilder {
    both(seed).versions(version, version)
}

fn connected(client: ConfigBuilder, server: ConfigBuilder) -> Pair<Peer, Peer> {
    let mut pair = pair_of(client.build().expect("settings"), server.build().expect("settings"), 1);
    connect(&mut pair);
    talk(&mut pair);
    pair
}

fn parameters(pair: &Pair<Peer, Peer>) -> Parameters {
    let [ours, theirs] =
        [&pair.a, &pair.b].map(|peer| peer.connection.parameters().expect("connected").clone());
    assert_eq!(ours, theirs);
    ours
}

/// The highest version in common, and an alert where there is none.
#[test]
fn versions_are_negotiated() {
    let ranges = [(V12, V12), (V12, V13), (V13, V13)];
    for client in ranges {
        for server in ranges {
            let build = |(lowest, highest), seed| both(seed).versions(lowest, highest);
            let common = client.1.min(server.1);
            if common >= client.0.max(server.0) {
                let pair = connected(build(client, 1), build(server, 2));
                assert_eq!(parameters(&pair).version, common);
                continue;
            }
            let (client, server) =
                (build(client, 1).build().expect("settings"), build(server, 2).build().expect("settings"));
            let mut pair = pair_of(client, server, 1);
            pair.run_for(Duration::from_secs(5));
            assert_eq!(pair.b.failure(), Some(FailReason::Peer(PeerError::Version)));
            let told = FailReason::PeerAlert(PeerError::Version.alert());
            assert_eq!(pair.a.failure(), Some(told));
        }
    }
}

#[test]
fn every_suite_and_group_of_1_3() {
    let suites = CipherSuite::ALL.into_iter().filter(|suite| suite.version() == V13);
    for suite in suites {
        for provider in [tombolo_crypto::ring::provider(), tombolo_crypto::rust_crypto::provider()] {
            for group in provider.groups.iter().copied() {
                let build = |seed| {
                    let builder = Config::builder(certificate(&provider, seed)).provider(provider);
                    builder.versions(V13, V13).cipher_suites(vec![suite]).groups(vec![group])
                };
                let agreed = parameters(&connected(build(1), build(2)));
                assert_eq!((agreed.cipher_suite, agreed.group), (suite, group));
            }
        }
    }
}

#[test]
fn every_suite_of_1_2() {
    for suite in [
        CipherSuite::EcdheEcdsaAes128GcmSha256,
        CipherSuite::EcdheEcdsaAes256GcmSha384,
        CipherSuite::EcdheEcdsaChaCha20Poly1305Sha256,
    ] {
        let pair = connected(only(V12, 1).cipher_suites(vec![suite]), only(V12, 2));
        assert_eq!(parameters(&pair).cipher_suite, suite);
    }
}

/// What both prefer by default: the post-quantum group, without a second hello.
#[test]
fn the_default_is_post_quantum() {
    let pair = connected(both(1), both(2));
    let agreed = parameters(&pair);
    assert_eq!(agreed.group, KeyExchangeGroup::X25519MlKem768);
    assert_eq!(agreed.cipher_suite, CipherSuite::Aes128GcmSha256);
    assert_eq!(pair.a.connection.stats().retransmissions + pair.b.connection.stats().retransmissions, 0);
    let hellos = pair.records().iter().filter(|record| record.to == Side::B && record.data[0] == 22);
    assert_eq!(hellos.count(), 2, "a hello of two datagrams, once");
}

/// RFC 8446 §4.1.4: the server asks for a share of a group that both have; it is not asked for twice.
#[test]
fn a_server_may_ask_for_another_share() {
    use KeyExchangeGroup::{Secp256r1, Secp384r1, X25519, X25519MlKem768};
    for wanted in [Secp256r1, Secp384r1, X25519MlKem768] {
        let client = only(V13, 1).groups(vec![X25519, Secp256r1, Secp384r1, X25519MlKem768]);
        let pair = connected(client, only(V13, 2).groups(vec![wanted]));
        assert_eq!(parameters(&pair).group, wanted);
        assert_eq!(pair.a.connection.stats().retransmissions + pair.b.connection.stats().retransmissions, 0);
    }
    let client = only(V13, 1).groups(vec![X25519]).build().expect("settings");
    let server = only(V13, 2).groups(vec![Secp384r1]).build().expect("settings");
    let mut pair = pair_of(client, server, 1);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.b.failure(), Some(FailReason::Peer(PeerError::Group)));
}

/// RFC 8446 §4.1.3: a server that speaks 1.3 marks its choice of 1.2, and a client that speaks 1.3 takes it for tampering.
#[test]
fn a_downgrade_is_noticed() {
    let mut direct = Direct::new(
        both(1).mtu(4000).build().expect("settings"),
        both(2).mtu(4000).build().expect("settings"),
    );
    // supported_versions becomes an extension that nobody knows, so that the server believes in 1.2.
    let versions = [0, 43, 0, 5, 4, 0xfe, 0xfc, 0xfe, 0xfd];
    let mut hidden = false;
    direct.run(|from_client, mut datagram| {
        let at = datagram.windows(versions.len()).position(|bytes| bytes == versions);
        if let Some(at) = at.filter(|_| from_client) {
            datagram[at] = 0xaa;
            hidden = true;
        }
        datagram
    });
    assert!(hidden);
    assert_eq!(direct.client.failure(), Some(FailReason::Peer(PeerError::IllegalParameter)));
    assert!(!direct.server.is_connected());
}

/// RFC 9147 §5, §5.1, §7: no ChangeCipherSpec, no HelloVerifyRequest; after the hellos all is encrypted; the last flight
/// of the client is acknowledged by one ACK.
#[test]
fn the_records_of_a_handshake() {
    let pair = connected(both(1), both(2));
    let mut epochs = std::collections::BTreeSet::new();
    let mut hello_done = false;
    for sent in pair.records() {
        for record in Record::split(&sent.data) {
            if record.epoch == 0 {
                assert!(!hello_done || sent.to == Side::A, "nothing in the clear after the hellos");
                assert_eq!(record.content_type, 22);
                assert!(matches!(record.body[0], 1 | 2), "message {}", record.body[0]);
                hello_done = record.body[0] == 2;
            } else {
                assert_eq!(record.content_type, 0x20);
                epochs.insert(record.epoch);
            }
        }
    }
    assert_eq!(epochs.into_iter().collect::<Vec<_>>(), [2, 3]);
    for peer in [&pair.a, &pair.b] {
        assert_eq!(peer.connection.poll_timeout(), None, "all is acknowledged");
    }
}

#[test]
fn protocols_and_names_are_negotiated() {
    for version in [V12, V13] {
        let name = |text: &str| text.as_bytes().to_vec();
        let client = || only(version, 1).alpn(vec![name("a"), name("b")]).server_name("example.org");
        let pair = connected(client(), only(version, 2).alpn(vec![name("b"), name("a")]));
        let agreed = parameters(&pair);
        assert_eq!(agreed.alpn, Some(name("b")), "the server's order");
        assert_eq!(agreed.server_name, Some(name("example.org")));
        let agreed = parameters(&connected(client(), only(version, 2)));
        assert_eq!(agreed.alpn, None);
        let server = only(version, 2).alpn(vec![name("c")]).build().expect("settings");
        let mut pair = pair_of(client().build().expect("settings"), server, 1);
        pair.run_for(Duration::from_secs(5));
        assert_eq!(pair.b.failure(), Some(FailReason::Peer(PeerError::NoApplicationProtocol)));
    }
}

#[test]
fn exported_keys_are_the_same_on_both_sides() {
    for version in [V12, V13] {
        let mut pair = connected(only(version, 1), only(version, 2));
        let export = |peer: &Peer, label: &[u8], context: Option<&[u8]>| {
            let mut out = [0; 48];
            peer.connection.export_keying_material(label, context, &mut out).map(|()| out)
        };
        let mut seen = Vec::new();
        for (label, context) in [(&b"one"[..], None), (b"one", Some(&b"c"[..])), (b"two", None)] {
            let ours = export(&pair.a, label, context).expect("connected");
            assert_eq!(export(&pair.b, label, context), Ok(ours));
            assert!(!seen.contains(&ours));
            seen.push(ours);
        }
        let empty = export(&pair.a, b"one", Some(b"")).expect("connected");
        assert_eq!(empty == seen[0], version == V13, "RFC 8446 §7.5");
        let mut long = vec![0; 8161];
        let refused = pair.a.connection.export_keying_material(b"one", None, &mut long);
        assert_eq!(refused, Err(UseError::TooLong { max: 8160 }));
        let now = pair.now();
        pair.a.connection.close(now);
        assert_eq!(export(&pair.a, b"one", None), Err(UseError::Closed));
        assert_eq!(pair.a.connection.parameters(), None);
    }
}

/// RFC 9147 §8: each side's keys change, alone or together, and data flows before, while and after.
#[test]
fn keys_are_updated() {
    for (request, from_both) in [(false, false), (true, false), (true, true), (false, true)] {
        let mut pair = connected(both(1), both(2));
        for round in 0..6 {
            let now = pair.now();
            pair.a.connection.update_keys(now, request).expect("connected");
            if from_both {
                pair.b.connection.update_keys(now, request).expect("connected");
            }
            // A second one before the first is acknowledged changes nothing.
            pair.a.connection.update_keys(now, request).expect("connected");
            talk(&mut pair);
            pair.run_for(Duration::from_millis(20));
            for peer in [&mut pair.a, &mut pair.b] {
                assert_eq!(peer.failure(), None, "round {round}");
                assert_eq!(peer.connection.poll_timeout(), None);
                peer.events.retain(|event| !matches!(event, Event::ApplicationData(_)));
            }
        }
    }
    let mut pair = connected(only(V12, 1), only(V12, 2));
    let now = pair.now();
    assert_eq!(pair.a.connection.update_keys(now, true), Err(UseError::Version));
}

/// DTLS-16: KeyUpdate and its ACK may be lost or overtaken: both directions flow on, and the keys change in the end.
#[test]
fn keys_are_updated_under_loss() {
    for seed in 0..40 {
        let mut pair = connected(both(1), both(2));
        pair.set_links(&Link::default().loss(0.3).duplicate(0.2).reorder(0.4, Duration::from_millis(9)));
        let mut epochs = std::collections::BTreeSet::new();
        for round in 0..20_u8 {
            let now = pair.now();
            if round % 4 == 0 {
                let (one, other) = (&mut pair.a, &mut pair.b);
                let updating = if seed % 2 == 0 { one } else { other };
                updating.connection.update_keys(now, seed % 3 == 0).expect("connected");
            }
            pair.a.connection.write(now, &[round]).expect("write");
            pair.b.connection.write(now, &[round]).expect("write");
            pair.run_for(Duration::from_millis(40));
        }
        pair.set_links(&Link::default());
        pair.run_for(Duration::from_secs(10));
        for peer in [&pair.a, &pair.b] {
            assert_eq!(peer.failure(), None);
            assert!(peer.received().len() > 6, "{} arrived", peer.received().len());
            assert_eq!(peer.connection.poll_timeout(), None);
        }
        talk(&mut pair);
        for record in pair.records().iter().flat_map(|sent| Record::split(&sent.data)) {
            epochs.insert(record.epoch);
        }
        assert!(epochs.contains(&0) && epochs.len() >= 3, "{epochs:?}");
    }
}

/// RFC 9147 §4.5.3: keys are changed by themselves before too much is encrypted with them.
#[test]
fn keys_are_updated_by_themselves() {
    let mut pair = connected(both(1).key_update_after(10), both(2));
    for number in 0..100_u8 {
        let now = pair.now();
        pair.a.connection.write(now, &[number]).expect("write");
        pair.run_for(Duration::from_millis(3));
    }
    let numbers = (0..100).map(|number| vec![number]).collect::<Vec<_>>();
    assert_eq!(pair.b.received()[1..], numbers);
    let epochs: Vec<u16> = pair
        .records()
        .iter()
        .filter(|record| record.to == Side::B)
        .flat_map(|sent| Record::split(&sent.data))
        .filter(|record| record.content_type == 0x20)
        .map(|record| record.epoch)
        .collect();
    let changes = epochs.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!((8..14).contains(&changes), "{changes} changes: {epochs:?}");
}

/// The client's last flight is repeated until it is acknowledged, and the server acknowledges each repetition.
#[test]
fn a_lost_ack_is_sent_again() {
    let mut pair = pair_of(both(1).build().expect("settings"), both(2).build().expect("settings"), 1);
    // All that the server has to send from now on are ACKs.
    assert!(pair.run_until(|a, _| a.is_connected()));
    pair.set_link(Side::A, Link::default().cut());
    pair.run_for(Duration::from_millis(500));
    assert!(pair.a.connection.stats().retransmissions > 2);
    assert!(pair.a.connection.poll_timeout().is_some());
    pair.set_links(&Link::default());
    pair.run_for(Duration::from_secs(2));
    assert_eq!(pair.a.connection.poll_timeout(), None);
    talk(&mut pair);
}

/// A client whose last flight nobody acknowledges gives up, even if it could send already.
#[test]
fn a_client_without_ack_gives_up() {
    let mut pair =
        pair_of(both(1).max_retransmits(3).build().expect("settings"), both(2).build().expect("settings"), 1);
    assert!(pair.run_until(|a, _| a.is_connected()));
    pair.set_links(&Link::default().cut());
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.a.failure(), Some(FailReason::Timeout));
}

/// A client that shows another certificate than was signalled is told so, under the new keys.
#[test]
fn both_sides_learn_why() {
    let (client, server, stranger) = (
        both(1).build().expect("settings"),
        both(2).build().expect("settings"),
        both(3).build().expect("settings"),
    );
    let mut pair = pair_of(client, server, 1);
    let now = pair.now();
    let wrong = stranger.certificate().fingerprint(HashAlgorithm::Sha256).expect("SHA-256");
    pair.b.connection.set_remote_fingerprints(now, vec![wrong]);
    pair.run_for(Duration::from_secs(3));
    assert_eq!(pair.b.failure(), Some(FailReason::Peer(PeerError::FingerprintMismatch)));
    let told = FailReason::PeerAlert(PeerError::FingerprintMismatch.alert());
    assert_eq!(pair.a.failure(), Some(told));
}

/// A record holds as many messages as fit it: an encrypted flight has one record in each datagram, and all but the last are full.
#[test]
fn messages_share_the_records_of_a_flight() {
    for mtu in [256, 300, 512, 1200] {
        let build = |seed| {
            let builder = only(V13, seed).groups(vec![KeyExchangeGroup::X25519]).mtu(mtu);
            builder.build().expect("settings")
        };
        let mut direct = Direct::new(build(1), build(2));
        for from_client in [true, false, true] {
            let flight = direct.poll_flight(from_client);
            let (last, full) = flight.split_last().expect("a flight");
            assert!(
                last.len() <= mtu && full.iter().all(|datagram| (mtu - 12..=mtu).contains(&datagram.len()))
            );
            for datagram in &flight {
                let records = Record::split(datagram);
                assert!(records.iter().filter(|record| record.content_type == 0x20).count() <= 1);
                direct.deliver(!from_client, datagram);
            }
        }
        assert!(direct.client.is_connected() && direct.server.is_connected());
    }
}
