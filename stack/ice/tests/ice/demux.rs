//! Many sessions on one port.

use tombolo_ice::demux::{Limits, RegisterError, UnknownReason};
use tombolo_ice::{Demux, Learned, Route};
use tombolo_net::FiveTuple;

use crate::support::*;

const DTLS: &[u8] = &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn path(port: u16) -> FiveTuple {
    FiveTuple::udp(addr(B), ([192, 0, 2, 1], port).into())
}

#[test]
fn a_request_goes_by_ufrag_and_all_else_by_authenticated_path() {
    let (one, two) = (Peer::new(lite(), 1), Peer::new(lite(), 2));
    let mut demux = Demux::default();
    demux.register(one.agent.local_credentials().ufrag(), 1).unwrap();
    demux.register(two.agent.local_credentials().ufrag(), 2).unwrap();
    assert_eq!(demux.route(&path(1), &check(&one.agent, 1, true)), Route::Session(1));
    assert_eq!(demux.route(&path(1), &check(&two.agent, 1, true)), Route::Session(2));
    assert_eq!(demux.route(&path(1), DTLS), Route::Unknown(UnknownReason::UnknownPath));
    assert_eq!(demux.learn(path(1), 1), Learned::New);
    assert_eq!(demux.route(&path(1), DTLS), Route::Session(1));
    assert_eq!(demux.route(&path(2), DTLS), Route::Unknown(UnknownReason::UnknownPath));
    assert_eq!(
        demux.route(&path(1), &Raw::new(0x11, 1).bytes()),
        Route::Session(1),
        "an indication has no ufrag"
    );
    demux.remove(1);
    assert_eq!(demux.route(&path(1), DTLS), Route::Unknown(UnknownReason::UnknownPath));
    let closed = demux.route(&path(1), &check(&one.agent, 1, true));
    assert_eq!(closed, Route::Unknown(UnknownReason::UnknownUfrag), "STUN-01: a closed session");
    assert_eq!((demux.len(), demux.path_count()), (1, 0));
}

/// Somebody with a session of their own forges the source of a stranger: the stranger's media still arrives.
#[test]
fn a_path_that_is_taken_stays_with_its_owner() {
    let mut demux = Demux::default();
    demux.register("victim", 1).unwrap();
    demux.register("attacker", 2).unwrap();
    assert_eq!(demux.learn(path(1), 1), Learned::New);
    assert_eq!(demux.learn(path(1), 2), Learned::Taken(1));
    assert_eq!(demux.learn(path(1), 1), Learned::Known);
    assert_eq!(demux.route(&path(1), DTLS), Route::Session(1));
    demux.forget(&path(1));
    assert_eq!(demux.learn(path(1), 2), Learned::New);
    assert_eq!(demux.learn(path(2), 3), Learned::NoSession);
}

/// After a restart checks for the old and the new user fragment are the session's, and it takes nobody else's.
#[test]
fn a_session_that_restarts_goes_by_another_name_too() {
    let peers: Vec<Peer> = (1..=5).map(|seed| Peer::new(lite(), seed)).collect();
    let ufrags: Vec<&str> = peers.iter().map(|peer| peer.agent.local_credentials().ufrag()).collect();
    let mut demux = Demux::default();
    demux.register(ufrags[0], 1).unwrap();
    demux.register("other", 2).unwrap();
    assert_eq!(demux.restart("other", 1), Err(RegisterError::UfragTaken));
    for ufrag in &ufrags[1..] {
        demux.restart(ufrag, 1).unwrap();
        demux.restart(ufrag, 1).unwrap();
    }
    let routes: Vec<_> =
        peers.iter().map(|peer| demux.route(&path(1), &check(&peer.agent, 1, true))).collect();
    let unknown = Route::Unknown(UnknownReason::UnknownUfrag);
    assert_eq!(routes, [unknown, unknown, Route::Session(1), Route::Session(1), Route::Session(1)]);
    demux.remove(1);
    assert_eq!(demux.route(&path(1), &check(&peers[4].agent, 1, true)), unknown);
    demux.register(ufrags[4], 3).unwrap();
}

#[test]
fn a_response_goes_to_who_asked() {
    let mut demux = Demux::default();
    demux.register("one", 1).unwrap();
    demux.register("two", 2).unwrap();
    demux.note_sent(&Raw::new(1, 50).bytes(), 2);
    demux.note_sent(&Raw::new(0x0101, 51).bytes(), 1);
    demux.note_sent(DTLS, 1);
    let response = |id| Raw::new(0x0101, id).bytes();
    assert_eq!(demux.route(&path(9), &response(50)), Route::Session(2));
    for unknown in [51, 52] {
        let route = demux.route(&path(9), &response(unknown));
        assert_eq!(route, Route::Unknown(UnknownReason::UnknownTransaction));
    }
}

#[test]
fn every_table_is_bounded() {
    let mut demux = Demux::new(Limits { sessions: 2, paths_per_session: 3, requests: 4 });
    demux.register("one", 1).unwrap();
    assert_eq!(demux.register("one", 2), Err(RegisterError::UfragTaken));
    demux.register("two", 2).unwrap();
    assert_eq!(demux.register("three", 3), Err(RegisterError::Full));
    for port in 1..100 {
        demux.learn(path(port), 1);
    }
    assert_eq!(demux.path_count(), 3);
    assert_eq!(demux.route(&path(96), DTLS), Route::Unknown(UnknownReason::UnknownPath));
    assert_eq!(demux.route(&path(97), DTLS), Route::Session(1), "the newest are kept");
    for id in 0..100 {
        demux.note_sent(&Raw::new(1, id).bytes(), 1);
    }
    let known =
        (0..100).filter(|id| demux.route(&path(1), &Raw::new(0x101, *id).bytes()) == Route::Session(1));
    assert_eq!(known.count(), 4);
}

#[test]
fn any_bytes_are_routed_or_refused() {
    let demux: Demux<u8> = Demux::default();
    let request = check(&Peer::new(lite(), 1).agent, 1, true);
    for len in 0..request.len() {
        assert!(matches!(demux.route(&path(1), &request[..len]), Route::Unknown(_)));
    }
    let bad = Raw::new(1, 1).attribute(6, b"no colon").bytes();
    assert_eq!(demux.route(&path(1), &bad), Route::Unknown(UnknownReason::NoUsername));
    let bad = Raw::new(1, 1).attribute(6, &[0xff, 0xfe, b':', b'a']).bytes();
    assert_eq!(demux.route(&path(1), &bad), Route::Unknown(UnknownReason::UnknownUfrag));
    let mut wrong = Raw::new(1, 1).fingerprint().bytes();
    wrong[10] ^= 1;
    assert_eq!(demux.route(&path(1), &wrong), Route::Unknown(UnknownReason::MalformedStun));
}
