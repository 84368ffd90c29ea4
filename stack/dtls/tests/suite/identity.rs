//! Fingerprints on every path (DTLS-02, DTLS-11, DTLS-12).

use std::time::Duration;

use tombolo_crypto::HashAlgorithm;
use tombolo_dtls::{
    AlertDescription, Config, Event, FailReason, Fingerprint, PeerError, ProtocolVersion, UseError,
};
use tombolo_netsim::{Link, Pair, Side};

use crate::peer::{Peer, config, connect, for_both_versions, strangers, talk};
use crate::wire::Record;

fn fingerprint(config: &Config, algorithm: HashAlgorithm) -> Fingerprint {
    config.certificate().fingerprint(algorithm).expect("SHA-2")
}

/// Which side is told a fingerprint that is not the other's, and when both are told.
struct Case {
    client_is_told_wrong: bool,
    server_is_told_wrong: bool,
    late: bool,
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        (2..8).map(|bits| Self {
            client_is_told_wrong: bits & 2 != 0,
            server_is_told_wrong: bits & 4 != 0,
            late: bits & 1 != 0,
        })
    }

    fn tell(&self, pair: &mut Pair<Peer, Peer>, client: &Config, server: &Config, stranger: &Config) {
        let now = pair.now();
        let pick =
            |wrong: bool, right| fingerprint(if wrong { stranger } else { right }, HashAlgorithm::Sha256);
        pair.a.connection.set_remote_fingerprints(now, vec![pick(self.client_is_told_wrong, server)]);
        pair.b.connection.set_remote_fingerprints(now, vec![pick(self.server_is_told_wrong, client)]);
    }
}

/// DTLS-02: another certificate, both roles, early and late fingerprints, every datagram lost or all doubled. Nothing
/// is exported, sent or delivered by the side that was deceived.
fn another_certificate_never_connects(version: ProtocolVersion) {
    let [client, server, stranger] =
        [1, 2, 3].map(|seed| config(version, seed).mtu(600).build().expect("settings"));
    let mut links = vec![Link::default().duplicate(1.0)];
    links.extend((0..7).map(|index| Link::default().drop_indices([index])));
    for case in Case::all() {
        for to in [Side::A, Side::B] {
            for link in &links {
                let mut pair = strangers(client.clone(), server.clone(), 1);
                pair.set_link(to, link.clone());
                if !case.late {
                    case.tell(&mut pair, &client, &server, &stranger);
                }
                pair.run_for(Duration::from_secs(2));
                if case.late {
                    assert_eq!(
                        (pair.a.events.len(), pair.b.events.len()),
                        (0, 0),
                        "nothing before the check"
                    );
                    case.tell(&mut pair, &client, &server, &stranger);
                }
                pair.run_for(Duration::from_secs(60));
                check(&mut pair, &case);
            }
        }
    }
}

fn check(pair: &mut Pair<Peer, Peer>, case: &Case) {
    let now = pair.now();
    let mismatch = Some(FailReason::Peer(PeerError::FingerprintMismatch));
    for (peer, deceived) in
        [(&mut pair.a, case.client_is_told_wrong), (&mut pair.b, case.server_is_told_wrong)]
    {
        assert!(peer.received().is_empty());
        if !deceived {
            // The alert that would tell it may have been the one that was lost.
            continue;
        }
        assert_eq!(peer.connection.write(now, b"x"), Err(UseError::Closed));
        // Where the other side was deceived too and ended first, this one may hear of it, or hear no more.
        assert!(peer.failure().is_some(), "{:?}", peer.events);
        if !(case.client_is_told_wrong && case.server_is_told_wrong) {
            assert_eq!(peer.failure(), mismatch);
        }
        assert!(!peer.is_connected(), "{:?}", peer.events);
    }
    let failures = [pair.a.failure(), pair.b.failure()];
    assert!(failures.contains(&mismatch), "{failures:?}");
}

/// DTLS-12: what comes before the fingerprints do is held back, and delivered once they fit.
fn data_before_the_fingerprints_waits_for_them(version: ProtocolVersion) {
    let [client, server] = [1, 2].map(|seed| config(version, seed).build().expect("settings"));
    let mut pair = strangers(client.clone(), server.clone(), 1);
    let now = pair.now();
    pair.b.connection.set_remote_fingerprints(now, vec![fingerprint(&client, HashAlgorithm::Sha256)]);
    assert!(pair.run_until(|_, b| b.is_connected()));
    let now = pair.now();
    pair.b.connection.write(now, b"one").expect("write");
    pair.b.connection.write(now, b"two").expect("write");
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.a.events, []);
    let now = pair.now();
    assert_eq!(pair.a.connection.write(now, b"x"), Err(UseError::NotConnected));
    assert!(pair.a.connection.remote_certificate().is_some());
    pair.a.connection.set_remote_fingerprints(now, vec![fingerprint(&server, HashAlgorithm::Sha256)]);
    connect(&mut pair);
    assert!(matches!(pair.a.events[0], Event::Connected { .. }));
    assert_eq!(pair.a.received(), [b"one", b"two"]);
    talk(&mut pair);
}

/// DTLS-12, the other end of it: the fingerprints come and do not fit.
fn data_before_fingerprints_that_do_not_fit_is_never_delivered(version: ProtocolVersion) {
    let [client, server, stranger] = [1, 2, 3].map(|seed| config(version, seed).build().expect("settings"));
    let mut pair = strangers(client.clone(), server, 1);
    let now = pair.now();
    pair.b.connection.set_remote_fingerprints(now, vec![fingerprint(&client, HashAlgorithm::Sha256)]);
    assert!(pair.run_until(|_, b| b.is_connected()));
    let now = pair.now();
    pair.b.connection.write(now, b"secret").expect("write");
    pair.run_for(Duration::from_secs(1));
    let sent = pair.a.connection.stats().datagrams_sent;
    let now = pair.now();
    pair.a.connection.set_remote_fingerprints(now, vec![fingerprint(&stranger, HashAlgorithm::Sha256)]);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.a.events, [Event::Failed(FailReason::Peer(PeerError::FingerprintMismatch))]);
    assert_eq!(pair.a.connection.stats().datagrams_sent, sent + 1, "an alert and nothing else");
    assert_eq!(pair.b.failure(), Some(FailReason::PeerAlert(AlertDescription::BAD_CERTIFICATE)));
}

/// DTLS-11: a weaker hash that fits does not make up for a stronger one that does not; several certificates may be
/// named.
fn several_fingerprints(version: ProtocolVersion) {
    let [client, server, stranger] = [1, 2, 3].map(|seed| config(version, seed).build().expect("settings"));
    let cases = [
        (vec![fingerprint(&server, HashAlgorithm::Sha512)], true),
        (
            vec![fingerprint(&stranger, HashAlgorithm::Sha256), fingerprint(&server, HashAlgorithm::Sha256)],
            true,
        ),
        (
            vec![fingerprint(&stranger, HashAlgorithm::Sha256), fingerprint(&server, HashAlgorithm::Sha384)],
            true,
        ),
        (
            vec![fingerprint(&stranger, HashAlgorithm::Sha512), fingerprint(&server, HashAlgorithm::Sha256)],
            false,
        ),
        (vec![], false),
    ];
    for (fingerprints, fits) in cases {
        let mut pair = strangers(client.clone(), server.clone(), 1);
        let now = pair.now();
        pair.a.connection.set_remote_fingerprints(now, fingerprints.clone());
        pair.b.connection.set_remote_fingerprints(now, vec![fingerprint(&client, HashAlgorithm::Sha256)]);
        pair.run_for(Duration::from_secs(5));
        assert_eq!(pair.a.is_connected() && pair.b.is_connected(), fits, "{fingerprints:?}");
    }
}

/// A certificate is checked against fingerprints that change, too.
fn fingerprints_that_change_end_a_live_connection(version: ProtocolVersion) {
    let [client, server, stranger] = [1, 2, 3].map(|seed| config(version, seed).build().expect("settings"));
    let mut pair = strangers(client.clone(), server.clone(), 1);
    let now = pair.now();
    pair.a.connection.set_remote_fingerprints(now, vec![fingerprint(&server, HashAlgorithm::Sha256)]);
    pair.b.connection.set_remote_fingerprints(now, vec![fingerprint(&client, HashAlgorithm::Sha256)]);
    connect(&mut pair);
    let now = pair.now();
    pair.a.connection.set_remote_fingerprints(now, vec![fingerprint(&server, HashAlgorithm::Sha384)]);
    talk(&mut pair);
    let now = pair.now();
    pair.a.connection.set_remote_fingerprints(now, vec![fingerprint(&stranger, HashAlgorithm::Sha256)]);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.a.failure(), Some(FailReason::Peer(PeerError::FingerprintMismatch)));
    assert_eq!(pair.b.failure(), Some(FailReason::PeerAlert(AlertDescription::BAD_CERTIFICATE)));
}

/// The private key is needed, not only the certificate: SRTP keys differ from run to run, and no plaintext record
/// carries application data.
#[test]
fn nothing_but_the_handshake_goes_out_unprotected() {
    let [client, server] =
        [1, 2].map(|seed| config(ProtocolVersion::Dtls12, seed).build().expect("settings"));
    let mut pair = strangers(client.clone(), server.clone(), 1);
    let now = pair.now();
    pair.a.connection.set_remote_fingerprints(now, vec![fingerprint(&server, HashAlgorithm::Sha256)]);
    pair.b.connection.set_remote_fingerprints(now, vec![fingerprint(&client, HashAlgorithm::Sha256)]);
    connect(&mut pair);
    talk(&mut pair);
    let now = pair.now();
    pair.a.connection.close(now);
    pair.run_for(Duration::from_secs(1));
    for record in pair.records().iter().flat_map(|datagram| Record::split(&datagram.data)) {
        let plain = record.epoch == 0;
        match record.content_type {
            20 => assert!(plain),
            21 | 23 => assert!(!plain, "alerts after the handshake and data are encrypted"),
            22 => assert!(!plain || record.body[0] != 20, "Finished is encrypted"),
            other => panic!("content type {other}"),
        }
    }
}

for_both_versions!(
    another_certificate_never_connects,
    data_before_the_fingerprints_waits_for_them,
    data_before_fingerprints_that_do_not_fit_is_never_delivered,
    several_fingerprints,
    fingerprints_that_change_end_a_live_connection,
);
