//! Bounds, pacing, and which candidates are used.

use std::time::Duration;

use tombolo_ice::stun::Class;
use tombolo_ice::{Candidate, Credentials, State, UseError};
use tombolo_net::FiveTuple;
use tombolo_netsim::{Link, Side, start};

use crate::support::*;

/// ICE-17: of 5,000 candidates the best 100 are checked, best first, never faster than Ta.
#[test]
fn a_big_offer_is_bounded_and_paced() {
    let mut pair = pair_of(full(), full(), 60);
    pair.set_links(&Link::default().cut());
    for number in 0..5000_u32 {
        let address = format!("10.{}.{}.1:9", number / 200, number % 200);
        // An order that is neither rising nor falling.
        let priority = (number * 1237) % 5000 + 1;
        let candidate = Candidate { priority, ..Candidate::host(addr(&address)) };
        pair.a.agent.add_remote_candidate(start(), candidate);
    }
    pair.run_for(Duration::from_secs(5));
    let firsts: Vec<_> = stun_to(pair.records(), Side::B, Class::Request)
        .iter()
        .map(|(record, message)| (record.sent, record.path.remote, message.transaction_id()))
        .collect();
    let mut seen = Vec::new();
    let mut times = Vec::new();
    for (sent, remote, id) in firsts {
        if !seen.iter().any(|(known, _)| *known == id) {
            seen.push((id, remote));
            times.push(sent);
        }
    }
    assert_eq!(seen.len(), 100);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(50)));
    let priority = |remote: std::net::SocketAddr| {
        let octets = match remote.ip() {
            std::net::IpAddr::V4(ip) => ip.octets(),
            std::net::IpAddr::V6(_) => unreachable!("only IPv4 was added"),
        };
        (u32::from(octets[1]) * 200 + u32::from(octets[2])) * 1237 % 5000 + 1
    };
    let order: Vec<u32> = seen.iter().map(|(_, remote)| priority(*remote)).collect();
    assert_eq!(order, (4901..=5000).rev().collect::<Vec<_>>());
}

/// ICE-17: even triggered checks keep the distance.
#[test]
fn triggered_checks_are_paced_too() {
    let mut pair = pair_of(full(), full(), 61);
    for id in 1..40 {
        let path = FiveTuple::udp(addr(B), addr(&format!("198.51.100.{id}:5")));
        let request = check(&pair.b.agent, id, false);
        pair.inject(Side::B, path, &request);
    }
    pair.run_for(Duration::from_secs(3));
    let requests = stun_to(pair.records(), Side::A, Class::Request);
    let mut ids: Vec<_> = requests.iter().map(|(record, m)| (m.transaction_id(), record.sent)).collect();
    ids.sort_unstable();
    ids.dedup_by_key(|(id, _)| *id);
    let mut times: Vec<_> = ids.into_iter().map(|(_, sent)| sent).collect();
    times.sort_unstable();
    assert_eq!(times.len(), 39);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(50)));
}

/// A peer that checks from ever new addresses cannot grow the list, nor push the selected path out.
#[test]
fn many_peer_reflexive_paths_are_bounded() {
    for config in [full(), lite()] {
        let mut pair = signaled(full(), config.max_pairs(20), 62);
        assert!(pair.run_until(both_connected));
        for port in 1..2000_u16 {
            let path = FiveTuple::udp(addr(B), ([198, 51, 100, 7], port).into());
            let request = check(&pair.b.agent, (port % 251) as u8, false);
            pair.inject(Side::B, path, &request);
            pair.run_for(Duration::from_micros(100));
        }
        let authenticated = (1..2000).filter(|port| {
            pair.b.agent.is_authenticated(&FiveTuple::udp(addr(B), ([198, 51, 100, 7], *port).into()))
        });
        assert!(authenticated.count() <= 20);
        assert_eq!(pair.b.agent.selected_path(), Some(a_to_b().reversed()));
    }
}

/// ICE-18: loopback only by an option, link-local only with link-local, families apart.
#[test]
fn candidates_are_used_as_their_scope_allows() {
    let mut b = Peer::new(full(), 1);
    for refused in ["127.0.0.1:5", "[::1]:5", "0.0.0.0:5", "[::]:5", "224.0.0.1:5", "192.0.2.1:0"] {
        assert_eq!(
            b.agent.add_local_candidate(start(), host(refused)),
            Err(UseError::Candidate),
            "{refused}"
        );
    }
    let mut pair = pair_of(full(), full(), 63);
    pair.set_links(&Link::default().cut());
    let locals = ["[fe80::1]:1", "[2001:db8::1]:1"];
    for local in locals {
        pair.a.agent.add_local_candidate(start(), host(local)).unwrap();
    }
    for remote in ["127.0.0.1:2", "255.255.255.255:2", "[fe80::2]:2", "[2001:db8::2]:2", "192.0.2.2:2"] {
        pair.a.agent.add_remote_candidate(start(), host(remote));
    }
    pair.run_for(Duration::from_secs(1));
    let mut paths: Vec<_> =
        pair.records().iter().filter(|r| r.to == Side::B).map(|r| (r.path.local, r.path.remote)).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut expected = [
        (addr(A), addr("192.0.2.2:2")),
        (addr("[fe80::1]:1"), addr("[fe80::2]:2")),
        (addr("[2001:db8::1]:1"), addr("[2001:db8::2]:2")),
    ];
    expected.sort_unstable();
    assert_eq!(paths, expected);
    assert_eq!(pair.a.agent.stats().candidates_ignored, 2);
}

#[test]
fn loopback_works_when_it_is_allowed() {
    let mut a = Peer::new(full().allow_loopback(true), 64);
    let mut b = Peer::new(lite().allow_loopback(true), 65);
    let (to_a, to_b) = (a.agent.local_credentials().clone(), b.agent.local_credentials().clone());
    a.agent.set_remote_lite(true);
    a.prepare(tombolo_ice::Role::Controlling, "127.0.0.1:1", &to_b);
    b.prepare(tombolo_ice::Role::Controlled, "127.0.0.1:2", &to_a);
    a.agent.add_remote_candidate(start(), host("127.0.0.1:2"));
    let mut pair = tombolo_netsim::Pair::new(a, b, 64);
    assert!(pair.run_until(both_connected));
}

/// ICE-05: candidates after the end, of another generation, of another component or of TCP are ignored.
#[test]
fn candidates_that_do_not_belong_are_ignored() {
    let mut pair = pair_of(full(), full(), 66);
    let ufrag = pair.b.agent.local_credentials().ufrag().to_owned();
    let a = &mut pair.a.agent;
    for text in [
        "candidate:1 1 udp 5 192.0.2.3 1 typ host ufrag older",
        "candidate:1 2 udp 5 192.0.2.4 1 typ host",
        "candidate:1 1 tcp 5 192.0.2.5 1 typ host tcptype passive",
        "candidate:1 1 udp 5 x.local 1 typ host",
    ] {
        a.add_remote_candidate(start(), text.parse().unwrap());
    }
    let good = format!("candidate:1 1 udp 5 192.0.2.6 1 typ host ufrag {ufrag}");
    a.add_remote_candidate(start(), good.parse().unwrap());
    a.end_of_candidates(start());
    a.add_remote_candidate(start(), host("192.0.2.7:1"));
    assert_eq!(a.stats().candidates_ignored, 5);
    pair.run_for(Duration::from_secs(1));
    assert!(pair.records().iter().filter(|r| r.to == Side::B).all(|r| r.path.remote == addr("192.0.2.6:1")));
}

/// ICE-04: the same credentials again are nothing; others need a restart.
#[test]
fn changed_credentials_without_a_restart_are_refused() {
    let mut pair = connected(67);
    let now = pair.now();
    let same = pair.b.agent.local_credentials().clone();
    assert_eq!(pair.a.agent.set_remote_credentials(now, same), Ok(()));
    let other = Credentials::new("other", "p".repeat(24)).unwrap();
    assert_eq!(pair.a.agent.set_remote_credentials(now, other), Err(UseError::CredentialsChanged));
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.a.state(), State::Connected);
}

/// Candidates and credentials may come in any order, and checks of the peer before either.
#[test]
fn the_order_of_signaling_does_not_matter() {
    let mut a = Peer::new(full(), 68);
    let mut b = Peer::new(full(), 69);
    let (to_a, to_b) = (a.agent.local_credentials().clone(), b.agent.local_credentials().clone());
    b.agent.add_remote_candidate(start(), host(A));
    b.agent.add_local_candidate(start(), host(B)).unwrap();
    a.prepare(tombolo_ice::Role::Controlling, A, &to_b);
    a.agent.add_remote_candidate(start(), host(B));
    let mut pair = tombolo_netsim::Pair::new(a, b, 68);
    pair.run_for(Duration::from_millis(400));
    assert_eq!(pair.b.state(), State::Checking);
    assert!(pair.b.agent.is_authenticated(&a_to_b().reversed()));
    let now = pair.now();
    pair.b.agent.set_remote_credentials(now, to_a).unwrap();
    assert!(pair.run_until(both_connected));
    assert!(pair.elapsed() < Duration::from_millis(600), "{:?}", pair.elapsed());
}
