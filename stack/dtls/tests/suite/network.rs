//! Loss, duplication, reordering and small datagrams (DTLS-14).

use std::time::Duration;

use tombolo_crypto::{CryptoProvider, KeyExchangeGroup};
use tombolo_dtls::{Config, ConfigBuilder, FailReason, ProtocolVersion};
use tombolo_net::Bitrate;
use tombolo_netsim::{GilbertElliott, Link, Side};

use crate::peer::{certificate, config, connect, for_both_versions, pair, pair_of, talk};
use crate::wire::Direct;

/// The quick provider, since these tests make many handshakes.
fn quick(version: ProtocolVersion, seed: u64) -> ConfigBuilder {
    let provider = CryptoProvider::default();
    Config::builder(certificate(&provider, seed)).provider(provider).versions(version, version)
}

fn quick_pair_of_mtu(version: ProtocolVersion, mtu: usize) -> impl Fn() -> (Config, Config) {
    let build = move |seed| quick(version, seed).mtu(mtu).build().expect("settings");
    let (client, server) = (build(1), build(2));
    move || (client.clone(), server.clone())
}

/// DTLS-14: the loss of each datagram, and of each two, of either direction.
fn any_one_or_two_datagrams_may_be_lost(version: ProtocolVersion) {
    let configs = quick_pair_of_mtu(version, 600);
    // As (side, index); index 7 is beyond the handshake without loss.
    let all: Vec<(Side, u64)> =
        [Side::A, Side::B].into_iter().flat_map(|to| (0..8).map(move |i| (to, i))).collect();
    for first in &all {
        for second in &all {
            let (client, server) = configs();
            let mut pair = pair_of(client, server, 3);
            for to in [Side::A, Side::B] {
                let lost =
                    [first, second].into_iter().filter(|(side, _)| *side == to).map(|(_, index)| *index);
                pair.set_link(to, Link::default().drop_indices(lost));
            }
            connect(&mut pair);
            assert!(
                pair.elapsed() < Duration::from_millis(400),
                "{first:?} {second:?}: {:?}",
                pair.elapsed()
            );
            pair.set_links(&Link::default());
            talk(&mut pair);
        }
    }
}

/// DTLS-14: every order of the datagrams of a flight, each of them delivered once or twice. No timer is needed.
fn any_order_of_a_flight_completes_without_retransmission(version: ProtocolVersion) {
    // A post-quantum share makes flights of so many datagrams that their orders cannot be counted through.
    let groups = vec![KeyExchangeGroup::X25519];
    let build = |seed| quick(version, seed).mtu(256).groups(groups.clone()).build().expect("settings");
    let pair = (build(1), build(2));
    let configs = || pair.clone();
    let mut orders = 0;
    for reordered_flight in 0..4 {
        let mut size = 0;
        let mut order_number = 0;
        loop {
            let (client, server) = configs();
            let mut direct = Direct::new(client, server);
            for flight in 0..4 {
                let datagrams = direct.poll_flight(flight % 2 == 0);
                if flight == reordered_flight {
                    size = datagrams.len();
                    for at in permutation(size, order_number) {
                        direct.deliver(flight % 2 != 0, &datagrams[at]);
                        if order_number % 2 == 1 {
                            direct.deliver(flight % 2 != 0, &datagrams[at]);
                        }
                    }
                } else {
                    datagrams.iter().for_each(|datagram| direct.deliver(flight % 2 != 0, datagram));
                }
            }
            assert!(
                direct.client.is_connected() && direct.server.is_connected(),
                "flight {reordered_flight}, order {:?}",
                permutation(size, order_number)
            );
            orders += 1;
            order_number += 1;
            if order_number >= (1..=size).product::<usize>() {
                break;
            }
        }
        match reordered_flight {
            1 | 2 => assert!(size >= 3, "flight {reordered_flight} has {size} datagrams"),
            _ => assert!(size >= 1),
        }
    }
    assert!(orders >= 14, "{orders} orders");
}

/// The `number`-th order of `0..len`.
fn permutation(len: usize, mut number: usize) -> Vec<usize> {
    let mut rest: Vec<usize> = (0..len).collect();
    let mut order = Vec::new();
    for left in (1..=len).rev() {
        order.push(rest.remove(number % left));
        number /= left;
    }
    order
}

fn every_datagram_may_come_twice_and_out_of_order(version: ProtocolVersion) {
    for seed in 0..100 {
        let (client, server) = quick_pair_of_mtu(version, 256)();
        let mut pair = pair_of(client, server, seed);
        pair.set_links(&Link::default().duplicate(0.5).reorder(0.5, Duration::from_millis(7)));
        connect(&mut pair);
        talk(&mut pair);
    }
}

/// The handshake completes with few flights sent again, by both sides together. (When half of all is lost, three of four
/// questions have no answer: one in twenty handshakes would give up after the default of ten attempts.)
fn random_loss_up_to_half(version: ProtocolVersion) {
    let cases = [(0.05, 0..40, 6), (0.1, 0..40, 8), (0.2, 0..40, 14), (0.3, 0..80, 18), (0.5, 0..120, 48)];
    for (loss, seeds, limit) in cases {
        for seed in seeds {
            let mtu = if seed % 2 == 0 { 1200 } else { 300 };
            let build = |own| quick(version, own).mtu(mtu).max_retransmits(30).build().expect("settings");
            let mut pair = pair_of(build(1), build(2), seed);
            pair.set_links(&Link::default().latency(Duration::from_millis(20)).loss(loss));
            connect(&mut pair);
            let [ours, theirs] = [&pair.a, &pair.b].map(|peer| peer.connection.stats().retransmissions);
            assert!(ours + theirs <= limit, "{ours} and {theirs} repetitions at a loss of {loss}");
        }
    }
}

fn bursts_of_loss(version: ProtocolVersion) {
    let burst = GilbertElliott { to_bad: 0.1, to_good: 0.3, loss_good: 0.01, loss_bad: 0.8 };
    for seed in 0..60 {
        let (client, server) = quick_pair_of_mtu(version, 600)();
        let mut pair = pair_of(client, server, seed);
        pair.set_links(&Link::default().burst_loss(burst));
        connect(&mut pair);
    }
}

fn every_mtu_from_256_to_1500_is_kept(version: ProtocolVersion) {
    for mtu in (256..=1500).step_by(7) {
        let (client, server) = quick_pair_of_mtu(version, mtu)();
        let mut pair = pair_of(client, server, 1);
        connect(&mut pair);
        let longest = pair.records().iter().map(|record| record.data.len()).max();
        assert!(longest <= Some(mtu), "a datagram of {longest:?} bytes with an MTU of {mtu}");
        assert_eq!(pair.a.connection.stats().retransmissions, 0);
        assert_eq!(pair.b.connection.stats().retransmissions, 0);
    }
}

/// Datagrams are packed: few for an MTU of 1200, no more.
#[test]
fn flights_are_packed_into_few_datagrams() {
    let mut pair = pair(ProtocolVersion::Dtls12, 1);
    connect(&mut pair);
    assert_eq!(pair.a.connection.stats().datagrams_sent, 2);
    assert_eq!(pair.b.connection.stats().datagrams_sent, 2);
}

/// A path that swallows what is longer than it takes, on either side, is found out by the losses.
fn a_smaller_path_mtu_is_found_out(version: ProtocolVersion) {
    for path_mtu in [256, 300, 600] {
        for to in [Side::A, Side::B] {
            let (client, server) = quick_pair_of_mtu(version, 1500)();
            let mut pair = pair_of(client, server, 1);
            pair.set_link(to, Link::default().mtu(path_mtu));
            connect(&mut pair);
            assert!(pair.elapsed() < Duration::from_secs(8), "{path_mtu}: {:?}", pair.elapsed());
        }
    }
}

fn a_slow_path_with_a_long_round_trip(version: ProtocolVersion) {
    let (client, server) = quick_pair_of_mtu(version, 1200)();
    let mut pair = pair_of(client, server, 1);
    pair.set_links(
        &Link::default().latency(Duration::from_millis(400)).rate(Bitrate::from_bps(100_000), 20_000),
    );
    connect(&mut pair);
    talk(&mut pair);
    let sent = pair.a.connection.stats().datagrams_sent + pair.b.connection.stats().datagrams_sent;
    // Flights of 1.3 with a post-quantum share have twice as many datagrams.
    let limit = if version == ProtocolVersion::Dtls12 { 80 } else { 120 };
    assert!(sent < limit, "{sent} datagrams: repetitions must not breed repetitions");
}

#[test]
fn a_round_trip_time_that_is_known_prevents_needless_repetitions() {
    let mut pair = pair(ProtocolVersion::Dtls12, 1);
    pair.set_links(&Link::default().latency(Duration::from_millis(400)));
    pair.a.connection.set_round_trip_time(Duration::from_millis(800));
    pair.b.connection.set_round_trip_time(Duration::from_millis(800));
    connect(&mut pair);
    assert_eq!(pair.a.connection.stats().retransmissions, 0);
    assert_eq!(pair.b.connection.stats().retransmissions, 0);
    assert_eq!(pair.elapsed(), Duration::from_millis(1600));
}

/// A bounded number of repetitions, in growing intervals, and one end.
fn without_an_answer_the_handshake_times_out(version: ProtocolVersion) {
    let mut pair = pair_of(
        config(version, 1).max_retransmits(5).build().expect("settings"),
        config(version, 2).build().expect("settings"),
        1,
    );
    pair.set_link(Side::B, Link::default().cut());
    assert!(pair.run_until(|a, _| a.failure().is_some()));
    assert_eq!(pair.a.failure(), Some(FailReason::Timeout));
    let mut sent: Vec<u128> = pair.records().iter().map(|record| record.sent.as_millis()).collect();
    sent.dedup();
    assert_eq!(sent, [0, 50, 150, 350, 750, 1550]);
    assert_eq!(pair.elapsed(), Duration::from_millis(3150));
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.a.events.len(), 1);
    assert_eq!(pair.b.events, []);
    assert_eq!(pair.b.connection.poll_timeout(), None, "a server that nobody speaks to waits without timer");
}

/// The server's last flight is repeated for as long as the client asks for it, though its own timer is off.
#[test]
fn a_lost_last_flight_is_sent_again_on_demand() {
    let mut pair = pair(ProtocolVersion::Dtls12, 1);
    pair.set_link(Side::A, Link::default().drop_indices(1..5));
    pair.run_for(Duration::from_millis(600));
    assert!(pair.b.is_connected() && !pair.a.is_connected(), "the server is ahead");
    assert_eq!(pair.b.connection.poll_timeout(), None);
    connect(&mut pair);
    talk(&mut pair);
}

for_both_versions!(
    any_one_or_two_datagrams_may_be_lost,
    every_datagram_may_come_twice_and_out_of_order,
    any_order_of_a_flight_completes_without_retransmission,
    random_loss_up_to_half,
    bursts_of_loss,
    every_mtu_from_256_to_1500_is_kept,
    a_smaller_path_mtu_is_found_out,
    a_slow_path_with_a_long_round_trip,
    without_an_answer_the_handshake_times_out,
);
