//! What every bandwidth estimator must do, whatever it goes by: the same tests for each, on a link of one bottleneck.

mod link;

use std::time::Duration;

use proptest::prelude::*;
use tombolo_interceptors::bwe::{BandwidthEstimator, EstimatorConfig, PacketResult, SentPacket};
use tombolo_interceptors::gcc::Gcc;
use tombolo_interceptors::scream::Scream;
use tombolo_net::{Bitrate, Ecn, ExtSeqNo};

use link::{Link, Session};

const MIN: Bitrate = Bitrate::from_kbps(30);
const MAX: Bitrate = Bitrate::from_kbps(20_000);

/// All estimators of the crate, each new.
fn all() -> Vec<(&'static str, Box<dyn BandwidthEstimator>)> {
    vec![
        ("gcc", Box::new(Gcc::new(EstimatorConfig::default().min(MIN).max(MAX)))),
        ("scream", Box::new(Scream::new(EstimatorConfig::default().min(MIN).max(MAX)))),
    ]
}

/// Runs each estimator on a link of its own.
fn each(link: Link, test: impl Fn(&str, &mut Session)) {
    for (name, estimator) in all() {
        test(name, &mut Session::new(link, estimator));
    }
}

#[test]
fn a_clean_link_is_grown_into_without_a_standing_queue() {
    each(Link::new(2000), |name, session| {
        session.run(Duration::from_secs(20));
        let report = session.run(Duration::from_secs(10));
        assert!(report.kbps > 1600, "{name}: {report:?}");
        assert!(report.queue_ms < 80 && report.lost == 0, "{name}: {report:?}");
    });
}

#[test]
fn a_link_that_shrinks_is_left_to_drain() {
    each(Link::new(2000), |name, session| {
        session.run(Duration::from_secs(20));
        session.link.kbps = 700;
        session.run(Duration::from_secs(5));
        let report = session.run(Duration::from_secs(10));
        assert!((400..=720).contains(&report.kbps), "{name}: {report:?}");
        assert!(report.queue_ms < 120, "{name}: {report:?}");
        session.link.kbps = 2000;
        session.run(Duration::from_secs(20));
        let report = session.run(Duration::from_secs(5));
        assert!(report.kbps > 1400, "{name} comes back: {report:?}");
    });
}

#[test]
fn an_application_that_sends_little_gathers_no_estimate() {
    each(Link::new(10_000), |name, session| {
        session.most_kbps = 500;
        session.run(Duration::from_secs(60));
        let estimate = session.estimator.estimate();
        assert!(estimate <= Bitrate::from_kbps(800), "{name}: {estimate}");
        assert!(estimate >= Bitrate::from_kbps(480), "{name}: {estimate}");
    });
}

/// A short queue overflows: losses that come of the rate are answered by a lower one.
#[test]
fn losses_that_the_rate_explains_lower_it() {
    each(Link { queue_ms: 25, ..Link::new(1500) }, |name, session| {
        session.run(Duration::from_secs(20));
        let report = session.run(Duration::from_secs(10));
        assert!(report.lost * 10 < report.sent, "{name}: {report:?}");
        assert!(report.kbps > 900, "{name}: {report:?}");
    });
}

/// A queue that marks from 2 ms on is kept short.
#[test]
fn marks_keep_the_queue_short() {
    each(Link { mark_from_ms: Some(2), ..Link::new(3000) }, |name, session| {
        session.run(Duration::from_secs(20));
        let report = session.run(Duration::from_secs(10));
        assert!(report.kbps > 1300 && report.lost == 0, "{name}: {report:?}");
        assert!(report.queue_ms < 30, "{name}: {report:?}");
    });
}

#[test]
fn silence_halves_the_estimate_again_and_again() {
    each(Link::new(2000), |name, session| {
        session.run(Duration::from_secs(20));
        let before = session.estimator.estimate().as_bps();
        session.link.is_cut = true;
        session.run(Duration::from_secs(8));
        let after = session.estimator.estimate().as_bps();
        assert!(after < before / 6, "{name}: {before} to {after}");
    });
}

#[test]
fn nothing_is_due_for_who_sends_nothing() {
    for (name, mut estimator) in all() {
        let initial = estimator.estimate();
        assert_eq!((estimator.poll_timeout(), estimator.poll_probe(link::at(0))), (None, None), "{name}");
        estimator.handle_timeout(link::at(1_000_000));
        estimator.on_feedback(link::at(1_000_000), &mut []);
        assert_eq!(estimator.estimate(), initial, "{name}");
    }
}

proptest! {
    /// Whatever a peer claims, nothing panics, and the estimate is a number within its bounds.
    #[test]
    fn any_feedback_is_survived(
        rounds in proptest::collection::vec(
            proptest::collection::vec(
                (0u64..3000, proptest::option::of(any::<i32>()), 0u64..400, any::<bool>(), 0..4_u8),
                0..30,
            ),
            1..40,
        ),
    ) {
        for (name, mut estimator) in all() {
            for (round, claims) in rounds.iter().enumerate() {
                let now = 1000 + round as u64 * 50;
                for n in 0..10 {
                    let probe = estimator.poll_probe(link::at(now + n)).map(|probe| probe.id);
                    let number = ExtSeqNo(round as u64 * 10 + n);
                    let packet = SentPacket { number, size_bytes: 1200, is_padding: n == 3, probe };
                    estimator.on_sent(link::at(now + n), &packet);
                }
                let mut results: Vec<_> = claims
                    .iter()
                    .map(|&(number, arrival_us, before, was_missing, mark)| PacketResult {
                        number: ExtSeqNo(number),
                        sent: link::at(now.saturating_sub(before)),
                        size_bytes: 1200,
                        arrival_us: arrival_us.map(|us| i64::from(us) * 1000),
                        ecn: [Ecn::NotEct, Ecn::Ect0, Ecn::Ect1, Ecn::Ce][usize::from(mark)],
                        was_missing,
                    })
                    .collect();
                estimator.on_feedback(link::at(now + 20), &mut results);
                estimator.handle_timeout(link::at(now + 40));
                let estimate = estimator.estimate();
                prop_assert!((MIN..=MAX).contains(&estimate), "{}: {}", name, estimate);
                let due = estimator.poll_timeout();
                prop_assert!(due.is_none_or(|due| due > link::at(now + 40)), "{}: due again at once", name);
            }
        }
    }
}
