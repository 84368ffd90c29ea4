//! Pre-shared keys in DTLS 1.2 (RFC 5489, RFC 8442).

use std::sync::Arc;
use std::time::Duration;

use tombolo_dtls::{
    CipherSuite, Config, ConfigBuilder, FailReason, PeerError, PreSharedKey, PreSharedKeys, ProtocolVersion,
};
use tombolo_netsim::Pair;

use crate::peer::{Peer, config, connect, strangers, talk};
use crate::wire::{Direct, Record, change_message};

const V12: ProtocolVersion = ProtocolVersion::Dtls12;

fn with(keys: impl PreSharedKeys + 'static, seed: u64) -> ConfigBuilder {
    config(V12, seed).pre_shared_keys(Arc::new(keys))
}

fn known(seed: u64) -> ConfigBuilder {
    with(PreSharedKey::new("sensor", [7; 32]), seed)
}

fn pair(client: ConfigBuilder, server: ConfigBuilder) -> Pair<Peer, Peer> {
    strangers(client.build().expect("settings"), server.build().expect("settings"), 1)
}

#[test]
fn both_know_each_other_by_the_key_in_every_suite() {
    for suite in CipherSuite::PSK {
        let mut pair = pair(known(1).cipher_suites(vec![suite]), known(2));
        connect(&mut pair);
        talk(&mut pair);
        for peer in [&pair.a, &pair.b] {
            let parameters = peer.connection.parameters().expect("connected");
            assert_eq!(parameters.cipher_suite, suite);
            assert_eq!(parameters.psk_identity.as_deref(), Some(&b"sensor"[..]));
            assert_eq!(peer.connection.remote_certificate(), None);
        }
    }
}

/// Each datagram may be lost, and any two.
#[test]
fn any_one_or_two_datagrams_may_be_lost() {
    let mut sent = 0;
    for first in 0..8 {
        for second in first..8 {
            let build = |builder: ConfigBuilder| builder.mtu(256).build().expect("settings");
            let mut direct = Direct::strangers(build(known(1)), build(known(2)));
            let mut count = 0;
            for _ in 0..8 {
                for from_client in [true, false, true, false] {
                    for datagram in direct.poll_flight(from_client) {
                        if count != first && count != second {
                            direct.deliver(!from_client, &datagram);
                        }
                        count += 1;
                    }
                }
                direct.pass(Duration::from_secs(4));
            }
            assert!(direct.client.is_connected() && direct.server.is_connected(), "{first} and {second}");
            sent = sent.max(count);
        }
    }
    assert!(sent > 5, "each of the first datagrams was one that counts");
}

/// A hint that tells the client which identity to take, and a server that knows several.
#[derive(Debug)]
struct Several;

impl PreSharedKeys for Several {
    fn hint(&self) -> Vec<u8> {
        b"second".to_vec()
    }

    fn identity(&self, hint: &[u8]) -> Option<Vec<u8>> {
        (hint == b"second").then(|| b"2".to_vec())
    }

    fn key(&self, identity: &[u8]) -> Option<Vec<u8>> {
        [b"1", b"2"].contains(&<&[u8; 1]>::try_from(identity).ok()?).then(|| [identity, &[5; 31]].concat())
    }
}

#[test]
fn a_hint_finds_the_identity() {
    let mut several = pair(with(Several, 1), with(Several, 2));
    connect(&mut several);
    let parameters = several.b.connection.parameters().expect("connected");
    assert_eq!(parameters.psk_identity.as_deref(), Some(&b"2"[..]));
    let mut pair = pair(with(Several, 1), known(2));
    assert!(pair.run_until(|client, _| client.failure().is_some()));
    assert_eq!(pair.a.failure(), Some(FailReason::Peer(PeerError::NoPreSharedKey)), "another hint");
}

/// RFC 4279 §2: who tries identities learns nothing. The server does the same with one that it does not know as with a wrong
/// key, byte for byte in length and to the end.
#[test]
fn an_unknown_identity_is_no_different_from_a_wrong_key() {
    let mut seen = Vec::new();
    for (identity, key) in [("sensor", [8; 32]), ("nobody", [7; 32])] {
        let mut pair = pair(with(PreSharedKey::new(identity, key), 1), known(2));
        pair.run_for(Duration::from_secs(60));
        assert_eq!(pair.b.failure(), Some(FailReason::Timeout));
        assert_eq!(pair.a.failure(), Some(FailReason::Timeout));
        assert!(!pair.a.is_connected() && !pair.b.is_connected());
        let lengths = |record: &tombolo_netsim::Record| (record.to, record.data.len());
        seen.push(pair.records().iter().map(lengths).collect::<Vec<_>>());
    }
    assert_eq!(seen[0], seen[1]);
}

/// Without the key nobody gets in by the shares alone: what stands between the two and changes one is noticed.
#[test]
fn changed_messages_of_the_exchange_do_not_connect() {
    for (msg_type, from_client) in [(12, false), (16, true)] {
        let build = |builder: ConfigBuilder| builder.build().expect("settings");
        let mut direct = Direct::strangers(build(known(1)), build(known(2)));
        direct.run(|client, datagram| {
            if client != from_client {
                return datagram;
            }
            change_message(&datagram, msg_type, |mut body| {
                *body.last_mut().expect("a share") ^= 1;
                body
            })
        });
        assert!(!direct.client.is_connected() && !direct.server.is_connected(), "message {msg_type}");
    }
}

/// A side with certificates and one with keys have nothing in common, and neither falls back.
#[test]
fn keys_and_certificates_do_not_mix() {
    for keys_at_client in [true, false] {
        let (client, server) =
            if keys_at_client { (known(1), config(V12, 2)) } else { (config(V12, 1), known(2)) };
        let mut pair = pair(client, server);
        assert!(pair.run_until(|client, server| client.failure().is_some() && server.failure().is_some()));
        assert_eq!(pair.b.failure(), Some(FailReason::Peer(PeerError::CipherSuite)));
    }
}

/// Neither Certificate, nor a request for one, nor CertificateVerify goes over the wire.
#[test]
fn there_are_no_certificates() {
    let build = |builder: ConfigBuilder| -> Config { builder.build().expect("settings") };
    let mut direct = Direct::strangers(build(known(1)), build(known(2)));
    let mut types = Vec::new();
    direct.run(|_, datagram| {
        let records = Record::split(&datagram).into_iter();
        types.extend(
            records.filter(|record| (record.content_type, record.epoch) == (22, 0)).map(|it| it.body[0]),
        );
        datagram
    });
    assert_eq!(types, [1, 2, 12, 14, 16]);
    assert!(direct.client.is_connected() && direct.server.is_connected());
}
