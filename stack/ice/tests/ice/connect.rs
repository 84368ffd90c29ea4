//! Two agents find each other, whatever their kinds and however bad the network.

use std::time::Duration;

use crate::support::*;
use tombolo_ice::stun::Class;
use tombolo_ice::{Candidate, Event, FailReason, Role, State};
use tombolo_net::{Bitrate, FiveTuple};
use tombolo_netsim::{GilbertElliott, Link, Pair, Side, start};

#[test]
fn two_full_agents_connect_in_two_round_trips_and_agree_on_the_path() {
    let mut pair = signaled(full(), full(), 1);
    pair.set_links(&Link::default().latency(Duration::from_millis(20)));
    assert!(pair.run_until(both_connected));
    assert!(pair.elapsed() <= Duration::from_millis(80), "{:?}", pair.elapsed());
    assert_eq!(pair.a.agent.selected_path(), Some(a_to_b()));
    assert_eq!(pair.b.agent.selected_path(), Some(a_to_b().reversed()));
    assert!(pair.a.agent.can_send() && pair.a.agent.is_authenticated(&a_to_b()));
    pair.run_for(Duration::from_millis(200));
    assert_eq!(pair.a.agent.rtt(), Some(Duration::from_millis(40)));
    let expected = [
        Event::StateChanged(State::Checking),
        Event::PathAuthenticated(a_to_b()),
        Event::StateChanged(State::Connected),
        Event::PathSelected(a_to_b()),
    ];
    assert_eq!(pair.a.events, expected);
}

/// ICE-07: a full agent controls a lite one and nominates, whatever role it was given; the lite one sends no checks.
#[test]
fn a_full_agent_controls_a_lite_one_whoever_offered() {
    for lite_is_a in [false, true] {
        let mut pair = if lite_is_a { pair_of(lite(), full(), 2) } else { pair_of(full(), lite(), 2) };
        let (lite_side, full_side) = if lite_is_a { (Side::A, Side::B) } else { (Side::B, Side::A) };
        let (agent, known) = if lite_is_a { (&mut pair.b.agent, A) } else { (&mut pair.a.agent, B) };
        agent.add_remote_candidate(start(), host(known));
        assert_eq!(agent.role(), Role::Controlling);
        assert!(pair.run_until(both_connected));
        // 5 ms of pacing, then one way until nominated.
        assert!(pair.elapsed() <= Duration::from_millis(7), "{:?}", pair.elapsed());
        pair.run_for(Duration::from_secs(60));
        assert!(both_connected(&mut pair.a, &mut pair.b));
        assert_eq!(
            stun_to(pair.records(), full_side, Class::Request).len(),
            0,
            "a lite agent sends no request"
        );
        let requests = stun_to(pair.records(), lite_side, Class::Request);
        assert!(requests.iter().all(|(_, request)| request.ice_controlling().is_some()));
        assert!(requests.iter().skip(1).all(|(_, request)| request.use_candidate()));
    }
}

#[test]
fn a_lite_agent_facing_a_lite_one_checks_like_a_full_one() {
    let mut pair = signaled(lite(), lite(), 3);
    assert!(!pair.a.agent.is_lite());
    assert_eq!(pair.a.agent.role(), Role::Controlling);
    assert!(pair.run_until(both_connected));
}

/// ICE-14: both controlling, or both controlled, for all orders of the tiebreakers.
#[test]
fn a_role_conflict_ends_with_complementary_roles() {
    for seed in 0..12 {
        for role in [Role::Controlling, Role::Controlled] {
            let mut pair = signaled(full(), full(), seed);
            pair.a.agent.set_role(role);
            pair.b.agent.set_role(role);
            assert!(pair.run_until(both_connected), "seed {seed} {role:?}");
            pair.run_for(Duration::from_secs(2));
            assert_eq!(pair.a.agent.role(), pair.b.agent.role().opposite(), "seed {seed} {role:?}");
            let switches = pair.a.agent.stats().role_switches + pair.b.agent.stats().role_switches;
            assert_eq!(switches % 2, 1, "seed {seed} {role:?}");
            assert!(switches <= 3, "seed {seed} {role:?}: {switches}");
            assert_eq!(pair.a.agent.selected_path(), Some(a_to_b()));
            let nominations = |side| {
                stun_to(pair.records(), side, Class::Request)
                    .iter()
                    .filter(|(_, m)| m.use_candidate())
                    .count()
            };
            assert!(nominations(Side::A) + nominations(Side::B) > 0);
        }
    }
}

/// ICE-14: after a 487 the check is sent again in the other role with another tiebreaker.
#[test]
fn a_refused_check_is_retried_in_the_other_role_with_a_new_tiebreaker() {
    let refused = (0..20).find_map(|seed| {
        let mut pair = signaled(full(), full(), seed);
        pair.b.agent.set_role(Role::Controlling);
        assert!(pair.run_until(both_connected));
        let errors = stun_to(pair.records(), Side::A, Class::Error).len();
        (errors > 0).then_some(pair)
    });
    let pair = refused.expect("in one of twenty runs A has the smaller tiebreaker");
    let requests = stun_to(pair.records(), Side::B, Class::Request);
    let first = requests.first().and_then(|(_, m)| m.ice_controlling()).expect("A began as controlling");
    let retried = requests.iter().find_map(|(_, m)| m.ice_controlled()).expect("A went on as controlled");
    assert_ne!(first, retried);
}

#[test]
fn loss_reordering_duplication_bursts_and_a_small_mtu_only_delay() {
    let ms = Duration::from_millis;
    let burst = GilbertElliott { to_bad: 0.1, to_good: 0.3, loss_good: 0.0, loss_bad: 0.9 };
    let links = [
        Link::default().latency(ms(30)).loss(0.3),
        Link::default().latency(ms(30)).reorder(0.3, ms(120)).jitter(ms(40)),
        Link::default().latency(ms(30)).duplicate(0.5),
        Link::default().latency(ms(30)).burst_loss(burst),
        Link::default().latency(ms(30)).mtu(600),
        Link::default().latency(ms(200)).rate(Bitrate::from_kbps(32), 4000),
        Link::default().latency(ms(5)).drop_one_in(3),
    ];
    for (number, link) in links.iter().enumerate() {
        for seed in 0..8 {
            for other_is_lite in [false, true] {
                let other = if other_is_lite { lite() } else { full() };
                let mut pair = signaled(full(), other, seed);
                pair.set_links(link);
                assert!(pair.run_until(both_connected), "link {number}, seed {seed}");
                assert!(pair.elapsed() < Duration::from_secs(20), "link {number}, seed {seed}");
                pair.run_for(Duration::from_secs(5));
                assert_eq!(pair.a.agent.selected_path(), Some(a_to_b()));
                assert_eq!(pair.b.agent.selected_path(), Some(a_to_b().reversed()));
            }
        }
    }
}

/// The offer has no candidate, or only a `.local` one: the peer's check brings the address (ICE-20).
#[test]
fn an_agent_without_remote_candidates_connects_through_a_peer_reflexive_one() {
    for end in [false, true] {
        for with_name in [false, true] {
            let mut pair = pair_of(full(), full(), 4);
            pair.a.agent.add_remote_candidate(start(), host(B));
            if with_name {
                let name = "candidate:1 1 udp 2122260223 6a0a0f3e.local 1000 typ host".parse().unwrap();
                pair.b.agent.add_remote_candidate(start(), name);
            }
            if end {
                pair.b.agent.end_of_candidates(start());
            }
            pair.set_link(Side::B, Link::default().cut());
            pair.run_for(Duration::from_secs(10));
            assert_eq!(pair.b.state(), State::Checking, "patient");
            pair.set_link(Side::B, Link::default());
            assert!(pair.run_until(both_connected));
            assert_eq!(pair.b.agent.selected_path(), Some(a_to_b().reversed()));
        }
    }
}

/// ICE-20: without any candidate it fails after the PAC timer, not before (RFC 8863).
#[test]
fn without_any_pair_it_fails_only_after_the_pac_timer() {
    for config in [full(), lite()] {
        let mut pair = pair_of(config, full(), 5);
        pair.a.agent.end_of_candidates(start());
        pair.run_for(Duration::from_millis(39_400));
        assert_eq!(pair.a.state(), State::Checking);
        pair.run_for(Duration::from_millis(200));
        assert_eq!(pair.a.state(), State::Failed);
        assert_eq!(pair.a.events.last(), Some(&Event::Failed(FailReason::NoPath)));
        assert_eq!(pair.a.agent.poll_timeout(), None);
    }
}

#[test]
fn it_fails_when_no_check_is_ever_answered() {
    let mut pair = signaled(full(), full(), 6);
    pair.set_links(&Link::default().cut());
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.a.states(), [State::Checking, State::Failed]);
    // RFC 8489 §6.2.1: seven times, at 0, 500, 1500, 3500, 7500, 15500 and 31500 ms.
    let times: Vec<u128> =
        pair.records().iter().filter(|r| r.to == Side::B).map(|r| r.sent.as_millis()).collect();
    assert_eq!(times, [0, 500, 1500, 3500, 7500, 15500, 31500]);
}

/// ICE-16: behind an address translation B sees another source: a peer-reflexive candidate with the priority of the
/// check, valid only after B's own check.
#[test]
fn a_translated_source_becomes_a_peer_reflexive_candidate() {
    let mut pair = pair_of(full(), full(), 7);
    pair.a.agent.add_remote_candidate(start(), host(B));
    let outside = addr("203.0.113.9:4000");
    let seen_by_b = FiveTuple::udp(addr(B), outside);
    pair.translate(Side::B, Box::new(move |_| Some(seen_by_b)));
    pair.translate(
        Side::A,
        Box::new(move |path| (path.remote == outside).then_some(FiveTuple::udp(addr(A), addr(B)))),
    );
    assert!(pair.run_until(|_, b| b.agent.is_authenticated(&seen_by_b)));
    assert_eq!(pair.b.agent.selected_path(), None, "not valid before its own check");
    assert!(pair.run_until(both_connected));
    assert_eq!(pair.b.agent.selected_path(), Some(seen_by_b));
    assert_eq!(pair.a.agent.selected_path(), Some(a_to_b()));
}

#[test]
fn the_best_pair_that_works_is_nominated() {
    // A has two addresses; the better one is dead.
    let mut pair = signaled(full(), full(), 8);
    let dead = addr("192.0.2.77:7");
    let better = Candidate { priority: 0x7fff_ffff, ..Candidate::host(dead) };
    pair.a.agent.add_local_candidate(start(), better).unwrap();
    pair.translate(Side::B, Box::new(move |path| (path.local != dead).then_some(path.reversed())));
    assert!(pair.run_until(both_connected));
    pair.run_for(Duration::from_millis(500));
    assert_eq!(pair.b.agent.selected_path(), Some(a_to_b().reversed()));
    let nominated = stun_to(pair.records(), Side::B, Class::Request);
    assert!(nominated.iter().any(|(r, m)| m.use_candidate() && r.path == a_to_b()));
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let run = || -> Vec<Vec<u8>> {
        let mut pair: Pair<Peer, Peer> = signaled(full(), full(), 9);
        pair.set_links(&Link::default().loss(0.2));
        pair.run_for(Duration::from_secs(30));
        pair.records().iter().map(|record| record.data.clone()).collect()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_closed_agent_is_silent_and_says_so_once() {
    let mut pair = connected(10);
    let now = pair.now();
    pair.a.agent.close(now);
    pair.a.agent.close(now);
    pair.clear_records();
    pair.run_for(Duration::from_secs(60));
    assert!(pair.records().iter().all(|record| record.to == Side::A));
    assert_eq!(pair.a.events.iter().filter(|event| **event == Event::Closed).count(), 1);
    assert!(!pair.a.agent.can_send() && !pair.a.agent.is_authenticated(&a_to_b()));
    assert_eq!(pair.b.state(), State::Failed);
}
