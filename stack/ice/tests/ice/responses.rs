//! What a response may and may not do, and which path is used.

use std::time::Duration;

use tombolo_ice::stun::Class;
use tombolo_ice::{Candidate, DropReason, Role, State};
use tombolo_net::FiveTuple;
use tombolo_netsim::{Link, Pair, Side, start};

use crate::support::*;

/// A has sent its first check to B, which is silent; its transaction id.
fn asked(seed: u64) -> (Pair<Peer, Peer>, [u8; 12]) {
    let mut pair = signaled(full(), full(), seed);
    pair.set_links(&Link::default().cut());
    pair.run_for(Duration::from_millis(10));
    let id = stun_to(pair.records(), Side::B, Class::Request)[0].1.transaction_id();
    (pair, id.0)
}

fn success(id: [u8; 12], pwd: &str) -> Vec<u8> {
    // XOR-MAPPED-ADDRESS of 192.0.2.1:1000.
    let mapped = [0, 1, 0x22, 0xfa, 0xe1, 0x12, 0xa6, 0x43];
    Raw::with_id(0x0101, id).attribute(0x20, &mapped).sign(pwd).fingerprint().bytes()
}

fn b_pwd(pair: &Pair<Peer, Peer>) -> String {
    pair.b.agent.local_credentials().pwd().to_owned()
}

/// STUN-04: a forged response is as if never received; the genuine one still counts.
#[test]
fn a_forged_response_does_not_end_the_transaction() {
    let (mut pair, id) = asked(40);
    pair.inject(Side::A, a_to_b(), &success(id, "not the password at all"));
    pair.run_for(Duration::from_millis(1));
    assert_eq!(pair.a.agent.stats().dropped(DropReason::ResponseUnauthenticated), 1);
    assert_eq!(pair.a.agent.selected_path(), None);
    let genuine = success(id, &b_pwd(&pair));
    pair.inject(Side::A, a_to_b(), &genuine);
    pair.run_for(Duration::from_millis(1));
    assert_eq!(pair.a.agent.selected_path(), Some(a_to_b()));
}

/// STUN-05: a signed response to nothing, or a second one, changes nothing.
#[test]
fn a_response_needs_a_transaction_in_progress() {
    let (mut pair, id) = asked(41);
    let pwd = b_pwd(&pair);
    pair.inject(Side::A, a_to_b(), &success([7; 12], &pwd));
    pair.run_for(Duration::from_millis(1));
    assert_eq!(pair.a.agent.selected_path(), None);
    for _ in 0..2 {
        pair.inject(Side::A, a_to_b(), &success(id, &pwd));
    }
    pair.run_for(Duration::from_millis(1));
    assert_eq!(pair.a.agent.stats().dropped(DropReason::UnknownTransaction), 2);
    assert_eq!(pair.a.agent.stats().responses_accepted, 1);
}

/// ICE-13: a response from elsewhere fails the pair.
#[test]
fn an_asymmetric_response_fails_the_pair() {
    let (mut pair, id) = asked(42);
    let elsewhere = FiveTuple::udp(addr(A), addr("192.0.2.2:2001"));
    let genuine = success(id, &b_pwd(&pair));
    pair.inject(Side::A, elsewhere, &genuine);
    pair.run_for(Duration::from_millis(1));
    assert_eq!(pair.a.agent.stats().dropped(DropReason::AsymmetricResponse), 1);
    assert!(!pair.a.agent.is_authenticated(&a_to_b()) && !pair.a.agent.is_authenticated(&elsewhere));
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.a.state(), State::Failed);
    let requests = stun_to(pair.records(), Side::B, Class::Request);
    assert_eq!(requests.len(), 1, "a failed pair is not checked again");
}

/// STUN-11: every check has PRIORITY with the peer-reflexive preference, and FINGERPRINT last.
#[test]
fn every_check_has_the_peer_reflexive_priority_and_a_fingerprint() {
    let mut pair = connected(43);
    pair.run_for(Duration::from_secs(20));
    for side in [Side::A, Side::B] {
        let requests = stun_to(pair.records(), side, Class::Request);
        assert!(requests.len() >= 4);
        for (_, request) in requests {
            assert_eq!(request.priority().map(|priority| priority >> 24), Some(110));
            assert!(request.has_fingerprint() && request.has_integrity());
        }
    }
}

/// ICE-01: after nomination nothing but the nomination of another pair moves the path.
#[test]
fn nothing_unauthenticated_and_no_plain_check_moves_the_selected_path() {
    for is_lite in [false, true] {
        let mut pair = signaled(full(), if is_lite { lite() } else { full() }, 44);
        assert!(pair.run_until(both_connected));
        pair.run_for(Duration::from_secs(1));
        let z = FiveTuple::udp(addr(B), addr("198.51.100.9:9"));
        let plain = check(&pair.b.agent, 1, false);
        let unsigned = unsigned_check(&pair.b.agent, 2).attribute(0x25, &[]).fingerprint().bytes();
        for data in [unsigned, plain] {
            pair.inject(Side::B, z, &data);
            pair.run_for(Duration::from_millis(100));
            assert_eq!(pair.b.agent.selected_path(), Some(a_to_b().reversed()));
        }
    }
}

/// ICE-02: a path counts for receiving from its first authenticated check on, nominated or not.
#[test]
fn a_path_is_authenticated_by_a_check_and_not_by_nomination() {
    let mut pair = connected(45);
    let (good, bad) = ("198.51.100.9:9", "198.51.100.10:10");
    let (good, bad) = (FiveTuple::udp(addr(B), addr(good)), FiveTuple::udp(addr(B), addr(bad)));
    let plain = check(&pair.b.agent, 1, false);
    let forged = unsigned_check(&pair.b.agent, 2).sign("a guess").fingerprint().bytes();
    pair.inject(Side::B, good, &plain);
    pair.inject(Side::B, bad, &forged);
    pair.run_for(Duration::from_millis(1));
    assert!(pair.b.agent.is_authenticated(&good) && !pair.b.agent.is_authenticated(&bad));
    assert!(pair.b.agent.is_authenticated(&a_to_b().reversed()));
}

/// ICE-15: only the controlling side nominates.
#[test]
fn the_controlled_side_never_sends_use_candidate() {
    for seed in 46..50 {
        let mut pair = signaled(full(), full(), seed);
        pair.set_links(&Link::default().loss(0.2));
        assert!(pair.run_until(both_connected));
        pair.run_for(Duration::from_secs(30));
        assert_eq!(pair.b.agent.role(), Role::Controlled);
        let requests = stun_to(pair.records(), Side::A, Class::Request);
        assert!(!requests.is_empty() && requests.iter().all(|(_, request)| !request.use_candidate()));
    }
}

/// A check of the peer on `path` with this priority, which nominates.
fn nominate(peer: &mut Peer, path: FiveTuple, id: u8, priority: u32) {
    let request = Raw::new(1, id)
        .attribute(6, format!("{}:peer", peer.agent.local_credentials().ufrag()).as_bytes())
        .attribute(0x24, &priority.to_be_bytes())
        .attribute(0x802a, &7_u64.to_be_bytes())
        .attribute(0x25, &[])
        .sign(peer.agent.local_credentials().pwd())
        .fingerprint();
    peer.agent.handle_datagram(start(), path, &mut request.bytes());
}

fn low_and_high() -> (FiveTuple, FiveTuple) {
    (FiveTuple::udp(addr(B), addr("192.0.2.1:1")), FiveTuple::udp(addr(B), addr("192.0.2.1:2")))
}

/// ICE-15: of several nominated pairs the one of the highest priority wins.
#[test]
fn an_aggressive_peer_gets_its_highest_pair() {
    let (low, high) = low_and_high();
    let mut pair = pair_of(full(), lite(), 50);
    let b = &mut pair.b;
    nominate(b, high, 1, 2000);
    nominate(b, low, 2, 1000);
    nominate(b, low, 2, 1000);
    assert_eq!(b.agent.selected_path(), Some(high), "high then low, also repeated: stays");
    nominate(b, high, 3, 2000);
    nominate(b, low, 4, 1000);
    assert_eq!(b.agent.selected_path(), Some(high), "by turns: stays");

    let mut pair = pair_of(full(), lite(), 51);
    let b = &mut pair.b;
    nominate(b, low, 1, 1000);
    assert_eq!(b.agent.selected_path(), Some(low), "data can be sent at once");
    assert!(b.agent.can_send());
    nominate(b, high, 2, 2000);
    assert_eq!(b.agent.selected_path(), Some(high), "low then high: moves");
}

/// A browser whose network changed nominates another pair, and goes on doing so.
#[test]
fn a_peer_that_moves_to_a_lower_pair_is_followed() {
    let (low, high) = low_and_high();
    let mut pair = pair_of(full(), lite(), 52);
    let b = &mut pair.b;
    nominate(b, high, 1, 2000);
    nominate(b, low, 2, 1000);
    nominate(b, low, 3, 1000);
    assert_eq!(b.agent.selected_path(), Some(low));
    assert!(b.agent.is_authenticated(&high), "what is still under way is received");
}

/// The same for a full agent, which checks the nominated pair itself first.
#[test]
fn a_full_controlled_agent_follows_only_to_a_pair_it_has_checked() {
    let mut pair = connected(53);
    let other = addr("192.0.2.1:3");
    let path = FiveTuple::udp(addr(B), other);
    nominate(&mut pair.b, path, 1, 0x7fff_ffff);
    assert_eq!(pair.b.agent.selected_path(), Some(a_to_b().reversed()));
    assert!(sent(&mut pair.b, start() + Duration::from_secs(5)).iter().any(|(to, _)| *to == path), "checked");
    assert_eq!(pair.b.agent.selected_path(), Some(a_to_b().reversed()), "no answer, no move");
}

/// The consent of a path that was valid a minute ago has run out; moving there is no failure but takes a new check.
#[test]
fn moving_to_a_pair_that_was_checked_long_ago_checks_it_again() {
    let mut pair = connected(55);
    let second = FiveTuple::udp(addr(B), addr("192.0.2.1:1001"));
    pair.a.agent.add_local_candidate(start(), host("192.0.2.1:1001")).unwrap();
    let plain = check(&pair.b.agent, 1, false);
    pair.inject(Side::B, second, &plain);
    pair.run_for(Duration::from_secs(60));
    for id in [2, 3] {
        let nomination = check(&pair.b.agent, id, true);
        pair.inject(Side::B, second, &nomination);
    }
    let before = pair.b.agent.stats().checks_sent;
    assert!(pair.run_until(|_, b| b.agent.selected_path() == Some(second)));
    assert_eq!(pair.b.agent.stats().checks_sent, before + 1);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.b.state(), State::Connected);
}

#[test]
fn a_controlling_agent_moves_to_the_next_pair_when_nomination_fails() {
    let mut pair = signaled(full(), full(), 54);
    let second = addr("192.0.2.1:1001");
    let worse = Candidate { priority: 1000, ..Candidate::host(second) };
    pair.a.agent.add_local_candidate(start(), worse).unwrap();
    // Each path works for its first check only, except the worse one.
    let mut on_best = 0;
    pair.translate(
        Side::A,
        Box::new(move |path| {
            let is_best = path.remote == addr(A);
            on_best += u32::from(is_best);
            (!is_best || on_best <= 2).then_some(path.reversed())
        }),
    );
    assert!(pair.run_until(|a, _| a.agent.selected_path().is_some_and(|path| path.local == second)));
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.b.agent.selected_path().map(|path| path.remote), Some(second));
    assert!(both_connected(&mut pair.a, &mut pair.b));
}
