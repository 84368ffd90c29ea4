//! The parts together, over links that lose, reorder, duplicate and delay.

mod endpoints;

use std::time::Duration;

use tombolo_netsim::{Fate, GilbertElliott, Link, Pair, Side, start};

use endpoints::{MEDIA, Receiver, Sender, has_pli, nacks};

const LATENCY: Duration = Duration::from_millis(30);

fn pair(frames: u64, seed: u64) -> Pair<Sender, Receiver> {
    Pair::new(Sender::new(frames), Receiver::new(2 * LATENCY), seed)
}

/// Runs until all frames are sent and two more seconds have passed.
fn run(pair: &mut Pair<Sender, Receiver>) {
    pair.set_time_limit(Duration::from_secs(1000));
    assert!(pair.run_until(|sender, _| sender.frames_left == 0));
    pair.run_for(Duration::from_secs(2));
}

fn rough() -> Link {
    Link::default()
        .latency(LATENCY)
        .jitter(Duration::from_millis(8))
        .reorder(0.02, Duration::from_millis(15))
        .duplicate(0.01)
        .mtu(600)
}

fn check_delivery(pair: &Pair<Sender, Receiver>, least: f64) {
    let (sender, receiver) = (&pair.a, &pair.b);
    let share = receiver.delivered.len() as f64 / sender.packets as f64;
    assert!(share >= least, "{} of {} packets delivered", receiver.delivered.len(), sender.packets);
    let first = receiver.delivered.first_key_value().expect("some packets");
    for (seq, (number, _)) in &receiver.delivered {
        assert_eq!(seq.0 - first.0.0, number - first.1.0, "a packet came back as another one");
    }
}

/// RTX-01 and RTX-03: over 10 % loss both ways, with reordering, duplication, jitter and an MTU of 600, more than
/// 99.9 % of the packets arrive, each once and unchanged; NACKs name the original stream only, and what is resent
/// stays near what was lost.
#[test]
fn ten_per_cent_loss_is_repaired() {
    for seed in 0..3 {
        let mut pair = pair(3000, seed);
        pair.set_links(&rough().loss(0.1));
        run(&mut pair);
        check_delivery(&pair, 0.999);
        let overhead = pair.a.responder.resent() as f64 / pair.a.packets as f64;
        assert!(overhead < 0.15, "{overhead} of the packets were resent");
        for record in pair.records().iter().filter(|record| record.to == Side::A) {
            assert!(nacks(&record.data).iter().all(|&(media, _)| media == MEDIA));
        }
        assert!(pair.records().iter().all(|record| record.data.len() <= 572), "larger than the MTU");
    }
}

#[test]
fn bursts_of_loss_are_repaired() {
    let mut pair = pair(3000, 7);
    let burst = GilbertElliott { to_bad: 0.01, to_good: 0.15, loss_good: 0.001, loss_bad: 0.6 };
    pair.set_links(&rough().burst_loss(burst));
    run(&mut pair);
    check_delivery(&pair, 0.999);
}

/// A clean link that jitters costs no retransmission at all.
#[test]
fn a_clean_link_is_left_alone() {
    let mut pair = pair(1000, 3);
    pair.set_links(&Link::default().latency(LATENCY).jitter(Duration::from_millis(4)));
    run(&mut pair);
    check_delivery(&pair, 1.0);
    assert_eq!((pair.a.responder.resent(), pair.b.duplicates, pair.b.lost), (0, 0, 0));
    assert_eq!(pair.b.requester.sent(), 0);
}

/// RTCP-07: the round trip from LSR and DLSR is that of the link.
#[test]
fn the_round_trip_is_measured() {
    let mut pair = pair(300, 3);
    pair.set_links(&Link::default().latency(LATENCY));
    run(&mut pair);
    let rtt = pair.a.rtt.smoothed().unwrap();
    assert!(rtt.abs_diff(2 * LATENCY) < Duration::from_millis(1), "{rtt:?}");
}

/// Transport-wide feedback tells of every packet in time, and tells the truth, though feedback itself gets lost.
#[test]
fn transport_feedback_survives_loss() {
    let mut pair = pair(2000, 11);
    pair.set_link(Side::B, rough().loss(0.1));
    pair.set_link(Side::A, rough().loss(0.05));
    run(&mut pair);
    let sent = pair.a.packets + pair.a.responder.resent();
    let acked: std::collections::BTreeMap<_, _> =
        pair.a.results.iter().filter_map(|result| Some((result.number, result.arrival_us?))).collect();
    let acks = pair.a.results.iter().filter(|result| result.arrival_us.is_some()).count();
    assert_eq!(acks, acked.len(), "no packet is acknowledged twice");
    // A tenth is lost, and about a twentieth of the rest goes untold with the feedback that was lost.
    let share = acked.len() as f64 / sent as f64;
    assert!((0.82..0.91).contains(&share), "{share}");
    assert!((pair.a.history.loss_fraction() - 0.1).abs() < 0.07, "{}", pair.a.history.loss_fraction());
    // Arrivals less departures vary by the jitter and the reordering of the link alone.
    let transit: Vec<_> = pair
        .a
        .results
        .iter()
        .filter_map(|result| {
            Some(result.arrival_us? - result.sent.duration_since(start()).as_micros() as i64)
        })
        .collect();
    let spread = transit.iter().max().unwrap() - transit.iter().min().unwrap();
    assert!((8_000..25_000).contains(&spread), "{spread} µs");
    let delivered = pair.a.history.delivered().unwrap().as_bps();
    assert!((350_000..600_000).contains(&delivered), "{delivered} b/s of about 465 k");
}

/// A PLI that is lost on the way is repeated, and the keyframe ends it.
#[test]
fn a_lost_keyframe_request_is_repeated() {
    let mut pair = pair(200, 5);
    pair.set_links(&Link::default().latency(LATENCY));
    pair.run_for(Duration::from_millis(1000));
    assert_eq!(pair.b.keyframes.len(), 1);
    pair.clear_records();
    let asked = pair.now();
    pair.b.requester.request(asked);
    pair.set_link(Side::A, Link::default().cut());
    pair.run_for(Duration::from_millis(150));
    pair.set_link(Side::A, Link::default().latency(LATENCY));
    assert!(pair.run_until(|_, receiver| receiver.keyframes.len() == 2));
    assert!(pair.now() - asked < Duration::from_millis(350), "{:?}", pair.now() - asked);
    pair.run_for(Duration::from_secs(2));
    let plis: Vec<_> = pair.records().iter().filter(|record| has_pli(&record.data)).collect();
    assert_eq!(plis.len(), 2, "one lost, one answered, none after the keyframe");
    assert!(matches!(plis[0].fate, Fate::Lost(_)));
    assert_eq!(pair.a.keyframes, 2);
}

/// After 1.5 s without any packet a keyframe arrives within 500 ms of the first one.
#[test]
fn an_outage_ends_in_a_keyframe() {
    for seed in 0..5 {
        let mut pair = pair(400, seed);
        pair.set_links(&rough());
        pair.run_for(Duration::from_secs(3));
        pair.set_links(&Link::default().cut());
        pair.run_for(Duration::from_millis(1500));
        pair.set_links(&rough());
        let before = pair.b.delivered.len();
        assert!(pair.run_until(|_, receiver| receiver.delivered.len() > before));
        let back = pair.now();
        let keyframes = pair.b.keyframes.len();
        assert!(pair.run_until(|_, receiver| receiver.keyframes.len() > keyframes));
        assert!(pair.now() - back < Duration::from_millis(500), "{:?}", pair.now() - back);
    }
}

/// The same seed gives the same datagrams, byte for byte and in time.
#[test]
fn a_run_repeats_exactly() {
    let record = || {
        let mut pair = pair(200, 42);
        pair.set_links(&rough().loss(0.05));
        run(&mut pair);
        pair.records().iter().map(|record| (record.sent, record.data.clone())).collect::<Vec<_>>()
    };
    assert!(record() == record());
}
