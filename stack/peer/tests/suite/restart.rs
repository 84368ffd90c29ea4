//! Restarts of ICE and of the association under a call: media goes on.

use std::time::Duration;

use tombolo::sdp::{SdpReason, SessionDescription};
use tombolo::{Codec, DropReason, Event, FailReason, MediaKind, Restart, UseError};
use tombolo_netsim::{Link, Side};

use crate::peer::{Call, Peer, address, call, certificate, config, connected, negotiate};

/// Packets of sound each way, 20 ms apart; all of them must come, whatever happens meanwhile.
fn talk(call: &mut Call, packets: usize) {
    let before = [call.a.packets().count(), call.b.packets().count()];
    for _ in 0..packets {
        let now = call.now();
        for peer in [&mut call.a, &mut call.b] {
            let audio = peer.first(MediaKind::Audio);
            peer.send(now, audio, Codec::Opus);
        }
        call.run_for(Duration::from_millis(20));
    }
    call.run_for(Duration::from_millis(200));
    let after = [call.a.packets().count(), call.b.packets().count()];
    assert_eq!(after, before.map(|count| count + packets), "a gap");
}

/// Records of DTLS handshakes since the tap was cleared.
fn handshakes(call: &Call) -> usize {
    call.records().iter().filter(|record| matches!(record.data.first(), Some(22))).count()
}

fn is_old(description: &SessionDescription, line: &str, other: &SessionDescription) -> bool {
    let value = |description: &SessionDescription| {
        description.to_string().lines().find(|text| text.starts_with(line)).unwrap_or(line).to_owned()
    };
    value(description) == value(other)
}

#[test]
fn a_restart_of_ice_keeps_the_keys() {
    let mut call = connected();
    talk(&mut call, 5);
    let before = [call.a.pc.local_description().unwrap(), call.b.pc.local_description().unwrap()];
    call.clear_records();
    let now = call.now();
    call.a.pc.restart(now, Restart::Ice).unwrap();
    negotiate(now, &mut call.a, &mut call.b);
    for (peer, before) in [&call.a, &call.b].into_iter().zip(&before) {
        let after = peer.pc.local_description().unwrap();
        for line in ["a=ice-ufrag:", "a=ice-pwd:"] {
            assert!(!is_old(&after, line, before), "{line}");
        }
        for line in ["a=fingerprint:", "a=tls-id:"] {
            assert!(is_old(&after, line, before), "{line}");
        }
    }
    talk(&mut call, 500);
    assert_eq!(handshakes(&call), 0);
    for peer in [&call.a, &call.b] {
        assert_eq!(peer.pc.stats().path_changes, 2);
        assert!(peer.is_connected());
    }
}

/// The peer has moved: what it sends comes from elsewhere, and it asks for a restart. The old path carries nothing.
#[test]
fn a_peer_that_moves_goes_on_from_its_new_address() {
    let mut call = connected();
    talk(&mut call, 5);
    let now = call.now();
    call.a.pc.restart(now, Restart::Ice).unwrap();
    call.a.pc.add_local_candidate(now, address(9)).unwrap();
    negotiate(now, &mut call.a, &mut call.b);
    talk(&mut call, 100);
    let path = call.b.pc.stats().path.unwrap();
    assert!([address(1), address(9)].contains(&path.remote));
    assert!(call.a.is_connected() && call.b.is_connected());
}

#[test]
fn another_association_takes_over_without_a_gap() {
    for rtt_ms in [0, 100] {
        let mut call = connected();
        call.set_links(&Link::default().latency(Duration::from_millis(rtt_ms / 2)));
        talk(&mut call, 5);
        call.clear_records();
        let now = call.now();
        let before = call.a.pc.local_description().unwrap();
        call.a.pc.restart(now, Restart::Association).unwrap();
        negotiate(now, &mut call.a, &mut call.b);
        assert!(!is_old(&call.a.pc.local_description().unwrap(), "a=tls-id:", &before));
        talk(&mut call, 100);
        assert!(handshakes(&call) > 0);
        assert!(call.a.is_connected() && call.b.is_connected());
        talk(&mut call, 400);
        let losses: u64 = [&call.a, &call.b].iter().map(|peer| unopened(peer)).sum();
        assert_eq!(losses, 0, "sealed with keys that the other does not have");
    }
}

fn unopened(peer: &Peer) -> u64 {
    peer.pc.stats().drops.count(DropReason::Unprotect)
}

/// The side that answers restarts with another certificate: the offerer of the call sees another fingerprint.
#[test]
fn another_certificate_is_another_association() {
    let mut call = connected();
    let now = call.now();
    call.b.pc.restart_as(now, certificate(77)).unwrap();
    call.clear_records();
    let Call { a, b, .. } = &mut call;
    negotiate(now, b, a);
    talk(&mut call, 400);
    assert!(handshakes(&call) > 0);
    let fingerprint = |peer: &Peer| {
        let local = peer.pc.local_description().unwrap();
        local.sdp().media[0].transport.fingerprints[0].value.to_string()
    };
    let hash = certificate(77).fingerprint(tombolo::crypto::HashAlgorithm::Sha256).unwrap();
    let hash: Vec<String> = hash.value().iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(fingerprint(&call.b), format!("sha-256 {}", hash.join(":")));
}

/// The certificate is not the one that the restart announced: the connection ends, and nothing comes through on the way.
#[test]
fn a_restart_is_verified_too() {
    let mut call = connected();
    let now = call.now();
    call.a.pc.restart(now, Restart::Association).unwrap();
    let offer = call.a.pc.create_offer().unwrap();
    call.a.pc.set_local_description(now, &offer).unwrap();
    let text = offer.to_string();
    let fingerprint = text.lines().find(|line| line.starts_with("a=fingerprint:")).unwrap();
    let forged = format!("{}00", &fingerprint[..fingerprint.len() - 2]);
    let offer = SessionDescription::offer(&text.replace(fingerprint, &forged)).unwrap();
    call.b.pc.set_remote_description(now, offer).unwrap();
    let answer = call.b.pc.create_answer().unwrap();
    call.b.pc.set_local_description(now, &answer).unwrap();
    call.a.pc.set_remote_description(now, SessionDescription::answer(&answer.to_string()).unwrap()).unwrap();
    call.run_for(Duration::from_secs(2));
    assert!(call.b.events.contains(&Event::Failed(FailReason::Fingerprint)), "{:?}", call.b.events);
}

/// The loss of a handshake's datagrams costs time, not media.
#[test]
fn a_restart_survives_loss() {
    let mut call = connected();
    let now = call.now();
    call.a.pc.restart(now, Restart::Association).unwrap();
    negotiate(now, &mut call.a, &mut call.b);
    call.set_links(&Link::default().loss(0.3));
    call.clear_records();
    call.run_for(Duration::from_secs(4));
    call.set_links(&Link::default());
    call.run_for(Duration::from_secs(6));
    talk(&mut call, 50);
    assert!(handshakes(&call) > 0);
    assert!(call.a.is_connected() && call.b.is_connected());
}

/// DTLS-08: what the old association has said before, said again after the switch, reaches and ends nothing.
#[test]
fn dtls_08_old_records_do_not_reach_the_new_association() {
    let mut call = call(config(1), config(2));
    assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
    let old: Vec<(Side, Vec<u8>)> = call
        .records()
        .iter()
        .filter(|record| matches!(record.data.first(), Some(20..=63)))
        .map(|record| (record.to, record.data.clone()))
        .collect();
    assert!(old.len() > 4);
    let now = call.now();
    call.a.pc.restart(now, Restart::Association).unwrap();
    negotiate(now, &mut call.a, &mut call.b);
    // Between and after the flights of the new handshake.
    for _ in 0..10 {
        call.run_for(Duration::from_millis(5));
        for (to, data) in &old {
            let path = match to {
                Side::A => tombolo::net::FiveTuple::udp(address(1), address(2)),
                Side::B => tombolo::net::FiveTuple::udp(address(2), address(1)),
            };
            call.inject(*to, path, data);
        }
    }
    call.run_for(Duration::from_secs(8));
    talk(&mut call, 50);
    assert!(call.a.is_connected() && call.b.is_connected());
}

#[test]
fn a_rollback_calls_a_restart_off() {
    let mut call = connected();
    let before = call.a.pc.local_ice_credentials().clone();
    let now = call.now();
    call.a.pc.restart(now, Restart::Association).unwrap();
    assert_ne!(call.a.pc.local_ice_credentials(), &before);
    let offer = call.a.pc.create_offer().unwrap();
    call.a.pc.set_local_description(now, &offer).unwrap();
    assert_eq!(call.a.pc.restart(now, Restart::Ice), Err(UseError::WrongState));
    call.a.pc.set_local_description(now, &SessionDescription::rollback()).unwrap();
    assert_eq!(call.a.pc.local_ice_credentials(), &before);
    talk(&mut call, 10);
    assert_eq!(call.a.pc.stats().path_changes, 1);
}

#[test]
fn there_is_nothing_to_restart_before_the_first_negotiation() {
    let mut peer = Peer::new(config(1), 1);
    assert_eq!(peer.pc.restart(tombolo_netsim::start(), Restart::Ice), Err(UseError::WrongState));
}

/// RFC 8839 §4.4.2: the answer restarts when the offer does, and only then.
#[test]
fn an_answer_restarts_with_its_offer() {
    for restarts in [true, false] {
        let mut call = connected();
        let now = call.now();
        if restarts {
            call.a.pc.restart(now, Restart::Ice).unwrap();
        }
        let answer = call.b.pc.local_description().unwrap().to_string();
        let offer = call.a.pc.create_offer().unwrap();
        call.a.pc.set_local_description(now, &offer).unwrap();
        let ufrag = answer.lines().find(|line| line.starts_with("a=ice-ufrag:")).unwrap();
        let pwd = answer.lines().find(|line| line.starts_with("a=ice-pwd:")).unwrap();
        let wrong = match restarts {
            true => answer.clone(),
            false => answer
                .replace(ufrag, "a=ice-ufrag:otherone")
                .replace(pwd, "a=ice-pwd:0123456789012345678901234"),
        };
        let error = call.a.pc.set_remote_description(now, SessionDescription::answer(&wrong).unwrap());
        assert_eq!(error.unwrap_err().reason, SdpReason::IceRestart);
    }
}

/// The handshake's timer knows the round trip that the checks have seen: a slow path is not taken for a lossy one.
#[test]
fn a_slow_path_makes_no_handshake_repeat_itself() {
    let mut call = call(config(1), config(2));
    call.set_links(&Link::default().latency(Duration::from_millis(200)));
    assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
    let mut seen = std::collections::BTreeSet::new();
    let records = call.records().iter().filter(|record| matches!(record.data.first(), Some(20..=63)));
    for record in records {
        // A repetition has another record number; whole flights of a handshake differ in more than that.
        assert!(seen.insert(record.data[13..].to_vec()), "sent twice");
    }
}
