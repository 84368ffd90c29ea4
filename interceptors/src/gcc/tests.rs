use proptest::prelude::*;
use tombolo_net::ExtSeqNo;

use super::*;
use crate::test_clock::at;

/// A sender of a packet of 1250 bytes each 5 ms (2 Mb/s) and its feedback each 50 ms, 30 ms later.
struct Sender {
    gcc: Gcc,
    ms: u64,
    number: u64,
}

impl Sender {
    fn new() -> Self {
        let config = EstimatorConfig::default().initial(Bitrate::from_kbps(2000));
        Self { gcc: Gcc::new(config), ms: 0, number: 0 }
    }

    fn run(&mut self, rounds: u64, ecn: Ecn, delay_us: impl Fn(u64) -> i64) -> u64 {
        for round in 0..rounds {
            let mut results = Vec::new();
            for _ in 0..10 {
                let (now, number) = (at(self.ms), ExtSeqNo(self.number));
                let packet = SentPacket { number, size_bytes: 1250, is_padding: false, probe: None };
                self.gcc.on_sent(now, &packet);
                let arrival_us = Some(self.ms as i64 * 1000 + delay_us(round));
                let was_missing = false;
                results.push(PacketResult {
                    number,
                    sent: now,
                    size_bytes: 1250,
                    arrival_us,
                    ecn,
                    was_missing,
                });
                self.ms += 5;
                self.number += 1;
            }
            self.gcc.on_feedback(at(self.ms + 30), &mut results);
        }
        self.gcc.estimate().as_bps()
    }
}

#[test]
fn a_quiet_way_is_grown_into_and_a_growing_queue_left() {
    let mut sender = Sender::new();
    let before = sender.run(20, Ecn::NotEct, |_| 20_000);
    assert!(before > 2_100_000, "{before}");
    let after = sender.run(10, Ecn::NotEct, |round| 20_000 + round as i64 * 8000);
    assert!(after < 1_900_000, "{after}");
    assert!(sender.gcc.queueing_delay() > Duration::from_millis(40));
}

#[test]
fn a_mark_counts_as_congestion() {
    let mut sender = Sender::new();
    let before = sender.run(20, Ecn::Ect1, |_| 20_000);
    let after = sender.run(6, Ecn::Ce, |_| 20_000);
    assert!(after < before * 19 / 20, "{before} {after}");
}

#[test]
fn jitter_alone_is_no_reason_to_send_less() {
    let mut sender = Sender::new();
    let calm = sender.run(100, Ecn::NotEct, |round| 20_000 + (round * 7919 % 13) as i64 * 1000);
    assert!(calm > 2_000_000, "{calm}");
}

#[test]
fn silence_halves_the_estimate_again_and_again() {
    let mut sender = Sender::new();
    let before = sender.run(20, Ecn::NotEct, |_| 20_000);
    let mut halvings = 0;
    for ms in (sender.ms..sender.ms + 6000).step_by(5) {
        let packet =
            SentPacket { number: ExtSeqNo(sender.number), size_bytes: 1250, is_padding: false, probe: None };
        sender.number += 1;
        sender.gcc.on_sent(at(ms), &packet);
        if sender.gcc.poll_timeout().is_some_and(|due| due <= at(ms)) {
            sender.gcc.handle_timeout(at(ms));
            halvings += 1;
        }
    }
    assert!((3..=6).contains(&halvings), "{halvings}");
    assert!(sender.gcc.estimate().as_bps() < before / 7);
}

#[test]
fn nothing_is_due_for_who_sends_nothing() {
    let mut gcc = Gcc::new(EstimatorConfig::default());
    assert_eq!(gcc.poll_timeout(), None);
    assert_eq!(gcc.poll_probe(at(0)), None);
    gcc.handle_timeout(at(100_000));
    assert_eq!(gcc.estimate(), Bitrate::from_kbps(300));
}

proptest! {
    /// Whatever a peer claims, nothing panics and the estimate keeps its bounds.
    #[test]
    fn any_feedback_is_survived(
        rounds in proptest::collection::vec(
            proptest::collection::vec((0u64..3000, proptest::option::of(any::<i32>()), 0u64..400, any::<bool>()), 0..40),
            1..60,
        ),
    ) {
        let config = EstimatorConfig::default();
        let mut gcc = Gcc::new(config);
        for (round, claims) in rounds.iter().enumerate() {
            let now = 1000 + round as u64 * 50;
            for n in 0..10 {
                let probe = gcc.poll_probe(at(now + n)).map(|probe| probe.id);
                let number = ExtSeqNo(round as u64 * 10 + n);
                gcc.on_sent(at(now + n), &SentPacket { number, size_bytes: 1200, is_padding: n == 3, probe });
            }
            let mut results: Vec<_> = claims
                .iter()
                .map(|&(number, arrival, before, was_missing)| PacketResult {
                    number: ExtSeqNo(number),
                    sent: at(now.saturating_sub(before)),
                    size_bytes: 1200,
                    arrival_us: arrival.map(|us| i64::from(us) * 1000),
                    ecn: if number % 5 == 0 { Ecn::Ce } else { Ecn::NotEct },
                    was_missing,
                })
                .collect();
            gcc.on_feedback(at(now + 20), &mut results);
            gcc.handle_timeout(at(now + 40));
            let estimate = gcc.estimate();
            prop_assert!(estimate >= config.min && estimate <= config.max);
        }
    }
}
