//! Consent freshness (RFC 7675) and the states that silence leads to.

use std::time::Duration;

use tombolo_ice::stun::Class;
use tombolo_ice::{Event, FailReason, State};
use tombolo_netsim::{Link, Side};

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);

/// CONS-01: without responses sending ends within 30 s, and a late response does not bring it back.
#[test]
fn consent_expires_thirty_seconds_after_the_last_response() {
    let mut pair = connected(20);
    pair.run_for(20 * SECOND);
    let responses = stun_to(pair.records(), Side::A, Class::Success);
    let last = responses.last().map(|(record, _)| record.sent).expect("consent checks are answered");
    pair.set_link(Side::A, Link::default().cut());
    pair.clear_records();
    assert!(pair.run_until(|a, _| a.state() == State::Failed));
    let expired = pair.elapsed();
    assert!(expired <= last + 30 * SECOND + Duration::from_millis(5), "{expired:?} after {last:?}");
    assert!(expired >= last + 29 * SECOND);
    assert_eq!(pair.a.events.last(), Some(&Event::Failed(FailReason::ConsentExpired)));
    assert!(!pair.a.agent.can_send());

    // All that was lost arrives late.
    let late: Vec<_> = pair.records().iter().filter(|record| record.to == Side::A).cloned().collect();
    assert!(late.len() > 4);
    pair.clear_records();
    for record in late {
        pair.inject(Side::A, a_to_b(), &record.data);
    }
    pair.run_for(60 * SECOND);
    assert_eq!(pair.a.state(), State::Failed);
    assert!(!pair.records().iter().any(|record| record.to == Side::B), "silent");
}

/// CONS-02: intervals of 4 to 6 s, each check sent once, with an id of its own.
#[test]
fn consent_checks_are_spread_and_never_repeated() {
    let mut pair = connected(21);
    pair.clear_records();
    pair.run_for(520 * SECOND);
    let checks = stun_to(pair.records(), Side::B, Class::Request);
    assert!(checks.len() >= 100, "{}", checks.len());
    let mut gaps: Vec<Duration> = checks.windows(2).map(|pair| pair[1].0.sent - pair[0].0.sent).collect();
    gaps.sort_unstable();
    assert!(gaps[0] >= 4 * SECOND && gaps[gaps.len() - 1] <= 6 * SECOND);
    assert!(gaps[gaps.len() - 1] - gaps[0] > SECOND, "drawn, not fixed");
    let mut ids: Vec<_> = checks.iter().map(|(_, check)| check.transaction_id()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), checks.len());
}

/// CONS-02: neither checks of the peer nor other traffic keep consent alive.
#[test]
fn only_a_response_renews_consent() {
    let mut pair = connected(22);
    // The checks of A arrive, its responses do not.
    pair.set_link(Side::B, Link::default().cut());
    let failed = (1..40).find(|id| {
        let request = check(&pair.b.agent, *id, true);
        pair.inject(Side::B, a_to_b().reversed(), &request);
        pair.run_for(SECOND);
        pair.b.state() == State::Failed
    });
    assert!(failed.is_some_and(|second| second >= 20), "{failed:?}");
    assert!(pair.b.agent.stats().requests_accepted >= 20);
}

#[test]
fn a_one_way_cut_disconnects_and_then_fails() {
    for side in [Side::A, Side::B] {
        let mut pair = connected(23);
        pair.set_link(side, Link::default().cut());
        assert!(pair.run_until(|a, b| a.state() == State::Failed && b.state() == State::Failed));
        for peer in [&pair.a, &pair.b] {
            let expected = [State::Checking, State::Connected, State::Disconnected, State::Failed];
            assert_eq!(peer.states(), expected);
        }
    }
}

#[test]
fn a_gap_of_twenty_seconds_is_survived() {
    let mut pair = connected(24);
    pair.set_links(&Link::default().cut());
    pair.run_for(20 * SECOND);
    assert_eq!(pair.a.state(), State::Disconnected);
    assert!(pair.a.agent.can_send(), "consent is still fresh");
    pair.set_links(&Link::default());
    assert!(pair.run_until(both_connected));
    assert_eq!(pair.a.agent.selected_path(), Some(a_to_b()));
}

#[test]
fn a_long_call_with_losses_stays_connected() {
    let mut pair = connected(25);
    pair.set_links(&Link::default().latency(Duration::from_millis(80)).loss(0.1));
    pair.set_recording(false);
    pair.run_for(3600 * SECOND);
    assert!(both_connected(&mut pair.a, &mut pair.b));
}

/// CONS-03: a signed 403 revokes consent at once, an unsigned one does nothing.
#[test]
fn a_signed_403_revokes_consent() {
    for signed in [false, true] {
        let mut pair = connected(26);
        pair.set_link(Side::A, Link::default().cut());
        pair.clear_records();
        pair.run_for(7 * SECOND);
        let id = stun_to(pair.records(), Side::B, Class::Request)[0].1.transaction_id();
        let refusal = Raw::with_id(0x0111, id.0).attribute(0x0009, &[0, 0, 4, 3]);
        let pwd = if signed { pair.b.agent.local_credentials().pwd() } else { "somebody else's password" };
        let refusal = refusal.sign(pwd).fingerprint().bytes();
        pair.inject(Side::A, a_to_b(), &refusal);
        pair.run_for(SECOND);
        let expected = if signed { State::Failed } else { State::Connected };
        assert_eq!(pair.a.state(), expected);
        assert_eq!(pair.a.events.contains(&Event::Failed(FailReason::ConsentRevoked)), signed);
    }
}

/// A lite agent cannot check: its peer is gone when no authenticated check has come for 30 s.
#[test]
fn a_lite_agent_fails_thirty_seconds_after_the_last_check() {
    let mut pair = signaled(full(), lite(), 27);
    assert!(pair.run_until(both_connected));
    pair.run_for(60 * SECOND);
    assert_eq!(pair.b.states(), [State::Checking, State::Connected]);
    let last = stun_to(pair.records(), Side::B, Class::Request).last().map(|(record, _)| record.sent);
    pair.set_link(Side::B, Link::default().cut());
    assert!(pair.run_until(|_, b| b.state() == State::Disconnected));
    assert!(pair.run_until(|_, b| b.state() == State::Failed));
    assert_eq!(Some(pair.elapsed()), last.map(|last| last + 30 * SECOND + Duration::from_millis(1)));
    assert_eq!(pair.b.events.last(), Some(&Event::Failed(FailReason::ConsentExpired)));
}
