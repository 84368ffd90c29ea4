//! What a request may and may not do: RFC 8489 §9.1.3, RFC 8445 §7.3, and the attacks on it.

use std::time::Duration;

use tombolo_ice::stun::{AttributeType, Class, ErrorCode, Message};
use tombolo_ice::{DropReason, Event, Role, State};
use tombolo_net::FiveTuple;
use tombolo_netsim::start;

use crate::support::*;

/// B alone, lite or full, before any check; and where an attacker sits.
fn target(is_lite: bool) -> (Peer, FiveTuple) {
    let mut b = Peer::new(if is_lite { lite() } else { full() }, 30);
    let other = Peer::new(full(), 31).agent.local_credentials().clone();
    b.prepare(Role::Controlled, B, &other);
    b.drain();
    (b, FiveTuple::udp(addr(B), addr("198.51.100.66:666")))
}

/// What the agent answers, if it does; the answer must go to where the request came from.
fn answer(peer: &mut Peer, path: FiveTuple, request: &[u8]) -> Option<Vec<u8>> {
    peer.agent.handle_datagram(start(), path, &mut request.to_vec());
    let mut replies = sent(peer, start());
    replies.retain(|(_, data)| !matches!(Message::parse(data).unwrap().class(), Class::Request));
    assert!(replies.iter().all(|(to, _)| *to == path), "only to the sender (STUN-06)");
    assert!(replies.len() <= 1);
    replies.pop().map(|(_, data)| data)
}

fn error_of(reply: Option<Vec<u8>>) -> Option<ErrorCode> {
    let reply = reply?;
    let message = Message::parse(&reply).unwrap();
    assert_eq!((message.class(), message.transaction_id().0), (Class::Error, [9; 12]));
    assert!(message.has_fingerprint());
    message.error_code()
}

fn is_untouched(peer: &Peer, path: &FiveTuple) -> bool {
    let Peer { agent, events } = peer;
    agent.state() == State::Checking
        && *events == [Event::StateChanged(State::Checking)]
        && agent.selected_path().is_none()
        && !agent.is_authenticated(path)
        && agent.stats().requests_accepted == 0
}

/// STUN-01.
#[test]
fn a_wrong_username_is_401_and_none_is_400() {
    for is_lite in [false, true] {
        let (mut b, path) = target(is_lite);
        let pwd = b.agent.local_credentials().pwd().to_owned();
        let ufrag = b.agent.local_credentials().ufrag().to_owned();
        for username in ["wrong:peer", &ufrag, &format!("{ufrag}x:peer"), ":peer", ""] {
            let request =
                Raw::new(1, 9).attribute(6, username.as_bytes()).attribute(0x24, &[0x6e, 0, 0x1e, 0xff]);
            let reply = answer(&mut b, path, &request.sign(&pwd).fingerprint().bytes());
            assert_eq!(error_of(reply), Some(ErrorCode::UNAUTHENTICATED), "{username}");
        }
        let request = Raw::new(1, 9).attribute(0x24, &[0x6e, 0, 0x1e, 0xff]).sign(&pwd).fingerprint();
        assert_eq!(error_of(answer(&mut b, path, &request.bytes())), Some(ErrorCode::BAD_REQUEST));
        assert!(is_untouched(&b, &path));
        assert_eq!(b.agent.stats().dropped(DropReason::Unauthenticated), 5);
    }
}

/// STUN-02: USE-CANDIDATE without a right HMAC changes nothing.
#[test]
fn an_unauthenticated_request_changes_nothing() {
    for is_lite in [false, true] {
        let (mut b, path) = target(is_lite);
        let nominating = || unsigned_check(&b.agent, 9).attribute(0x25, &[]);
        let unsigned = nominating().fingerprint().bytes();
        let mut flipped = nominating().sign(b.agent.local_credentials().pwd()).bytes();
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        let foreign = nominating().sign("another session's password").fingerprint().bytes();
        for (request, code) in [
            (unsigned, ErrorCode::BAD_REQUEST),
            (flipped, ErrorCode::UNAUTHENTICATED),
            (foreign, ErrorCode::UNAUTHENTICATED),
        ] {
            assert_eq!(error_of(answer(&mut b, path, &request)), Some(code));
            assert!(is_untouched(&b, &path));
        }
    }
}

/// STUN-03.
#[test]
fn a_success_response_has_the_mapped_address_integrity_and_fingerprint_and_no_username() {
    let (mut b, path) = target(false);
    let request = check(&b.agent, 9, false);
    let reply = answer(&mut b, path, &request).expect("an answer");
    let message = Message::parse(&reply).unwrap();
    assert_eq!((message.class(), message.transaction_id().0), (Class::Success, [9; 12]));
    assert_eq!(message.xor_mapped_address(), Some(path.remote));
    assert_eq!(message.username(), None);
    assert!(message.has_fingerprint());
    let key = tombolo_ice::stun::IntegrityKey::new(b.agent.local_credentials().pwd().as_bytes());
    assert!(message.verify_integrity(&key));
}

/// STUN-06 and the chain *Reflection*: error replies go to the sender only, are bounded, and never longer than what
/// provoked them; a victim whose address was pinned gets nothing else.
#[test]
fn the_agent_is_no_reflector() {
    for is_lite in [false, true] {
        let (mut b, victim) = target(is_lite);
        let bare = Raw::new(1, 9).bytes();
        assert_eq!(bare.len(), 20);
        let (mut sent_bytes, mut sent_count) = (0, 0);
        for tenth in 0..600_u32 {
            let now = start() + Duration::from_millis(100) * (tenth / 10);
            for request in [bare.clone(), Raw::new(1, 9).attribute(6, b"sniffed:peer").fingerprint().bytes()]
            {
                b.agent.handle_datagram(now, victim, &mut request.clone());
                for (to, reply) in sent(&mut b, now) {
                    assert_eq!(to, victim);
                    assert!(reply.len() <= request.len());
                    sent_bytes += reply.len();
                    sent_count += 1;
                }
            }
        }
        // 1200 requests in 6 s: a burst of 10 and 10 a second.
        assert!(sent_count <= 70, "{sent_count} replies, {sent_bytes} bytes");
        assert!(is_untouched(&b, &victim));
        assert!(b.agent.stats().errors_suppressed > 1000);
    }
}

/// STUN-08.
#[test]
fn an_unknown_required_attribute_is_420_and_an_optional_one_is_ignored() {
    let (mut b, path) = target(false);
    let pwd = b.agent.local_credentials().pwd().to_owned();
    let request = unsigned_check(&b.agent, 9).attribute(0x7ffe, &[1, 2, 3, 4]).sign(&pwd).fingerprint();
    let reply = answer(&mut b, path, &request.bytes()).expect("an answer");
    let message = Message::parse(&reply).unwrap();
    assert_eq!(message.error_code(), Some(ErrorCode::UNKNOWN_ATTRIBUTE));
    assert_eq!(message.unknown_attributes().collect::<Vec<_>>(), [AttributeType(0x7ffe)]);
    assert!(message.has_integrity());
    assert!(is_untouched(&b, &path));

    let request = unsigned_check(&b.agent, 8).attribute(0xc0fe, &[1]).sign(&pwd).fingerprint();
    let reply = answer(&mut b, path, &request.bytes()).expect("an answer");
    assert_eq!(Message::parse(&reply).unwrap().class(), Class::Success);
}

/// STUN-09: USE-CANDIDATE behind the HMAC of a captured request nominates nothing.
#[test]
fn an_appended_use_candidate_is_not_honoured() {
    let (mut b, path) = target(true);
    let elsewhere = FiveTuple::udp(addr(B), addr("192.0.2.1:77"));
    let nomination = check(&b.agent, 9, true);
    assert!(answer(&mut b, path, &nomination).is_some());
    for id in 1..4 {
        let request = unsigned_check(&b.agent, id).sign(b.agent.local_credentials().pwd());
        let request = request.attribute(0x25, &[]).fingerprint().bytes();
        assert!(answer(&mut b, elsewhere, &request).is_some());
    }
    assert_eq!(b.agent.selected_path(), Some(path));
    assert!(b.agent.is_authenticated(&elsewhere));
}

/// Before nomination a lite agent can already answer where the peer has checked; a nomination then decides.
#[test]
fn a_lite_agent_can_send_after_the_first_authenticated_check() {
    let (mut b, path) = target(true);
    let elsewhere = FiveTuple::udp(addr(B), addr("192.0.2.1:77"));
    let plain = check(&b.agent, 1, false);
    assert!(answer(&mut b, path, &plain).is_some());
    assert_eq!((b.agent.selected_path(), b.agent.can_send()), (Some(path), true));
    let nomination = check(&b.agent, 2, true);
    assert!(answer(&mut b, elsewhere, &nomination).is_some());
    let plain = check(&b.agent, 3, false);
    assert!(answer(&mut b, path, &plain).is_some());
    assert_eq!(b.agent.selected_path(), Some(elsewhere));
}

/// STUN-10, STUN-11: every truncation and every flipped bit of a right check is dropped or refused.
#[test]
fn a_damaged_check_changes_nothing() {
    let (mut b, path) = target(true);
    let request = check(&b.agent, 9, true);
    for len in 0..request.len() {
        b.agent.handle_datagram(start(), path, &mut request[..len].to_vec());
    }
    // Not the header of FINGERPRINT: a check without one is as authentic.
    for at in (0..request.len()).filter(|at| !(request.len() - 8..request.len() - 4).contains(at)) {
        for bit in 0..8 {
            let mut damaged = request.clone();
            damaged[at] ^= 1 << bit;
            b.agent.handle_datagram(start(), path, &mut damaged);
        }
    }
    assert!(is_untouched(&b, &path));
    assert!(b.agent.stats().total_dropped() >= 9 * request.len() as u64 - 40);
    assert!(sent(&mut b, start()).len() <= 10, "errors are bounded");
    assert!(answer(&mut b, path, &request).is_some(), "the right one still works");
}

/// ICE-20: an indication is answered by nothing.
#[test]
fn an_indication_has_no_answer() {
    let (mut b, path) = target(false);
    assert_eq!(answer(&mut b, path, &Raw::new(0x0011, 9).fingerprint().bytes()), None);
    assert!(is_untouched(&b, &path));
    assert_eq!(b.agent.stats().indications, 1);
}

#[test]
fn another_method_has_no_answer() {
    let (mut b, path) = target(false);
    assert_eq!(answer(&mut b, path, &Raw::new(0x0003, 9).fingerprint().bytes()), None);
    assert_eq!(b.agent.stats().dropped(DropReason::Method), 1);
}

/// The chains *Hijack* and *WHIP takeover* up to ICE: a third party with the sniffed ufrag comes first, with forged
/// USE-CANDIDATE checks; the client connects normally, and the third party's path is never authenticated.
#[test]
fn a_third_party_with_a_sniffed_ufrag_gets_at_most_errors() {
    for is_lite in [false, true] {
        let mut pair = signaled(full(), if is_lite { lite() } else { full() }, 31);
        let attacker = FiveTuple::udp(addr(B), addr("198.51.100.66:666"));
        for id in 0..20 {
            let unsigned = unsigned_check(&pair.b.agent, id).attribute(0x25, &[]);
            pair.inject(tombolo_netsim::Side::B, attacker, &unsigned.clone().fingerprint().bytes());
            pair.inject(tombolo_netsim::Side::B, attacker, &unsigned.sign("a guess").fingerprint().bytes());
        }
        assert!(pair.run_until(both_connected));
        pair.run_for(Duration::from_secs(40));
        assert!(both_connected(&mut pair.a, &mut pair.b));
        assert_eq!(pair.b.agent.selected_path(), Some(a_to_b().reversed()));
        assert!(!pair.b.agent.is_authenticated(&attacker));
        let to_attacker = pair.records().iter().filter(|record| record.path == attacker);
        assert!(to_attacker.clone().count() <= 10);
        assert!(to_attacker.into_iter().all(|r| Message::parse(&r.data).unwrap().class() == Class::Error));
    }
}
