//! Bandwidth estimators on simulated links: the test cases of RFC 8867 and some of loss.
//!
//! Everything runs in virtual time with seeds, so a run gives the same table on every machine. Each contender brings its
//! sender (estimator and pacer) and its receiver (what writes the feedback); codec model, links and measurement are the
//! same for all.

mod cases;
mod flow;
mod measure;
#[cfg(feature = "bwe-peers")]
mod rtc;
mod tombolo;

use std::time::Duration;

use tombolo_net::{Bitrate, Seed};
use tombolo_netsim::cubic::{CubicReceiver, CubicSender};
use tombolo_netsim::{CodecConfig, Dumbbell, Link, Side, start};

pub use cases::{Case, cases};
use cases::{Direction, FlowKind, FlowPlan};
use flow::{Endpoint, MediaSender, Plain};
pub use measure::Row;

/// Who takes part: makes the two ends of a media flow.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    name: &'static str,
    ends: fn(seed: u64) -> flow::Ends,
}

/// All that take part, ours first.
#[must_use]
pub fn contenders() -> Vec<Contender> {
    vec![
        Contender { name: "tombolo", ends: tombolo::gcc },
        Contender { name: "tombolo, SCReAM", ends: tombolo::scream },
        #[cfg(feature = "bwe-peers")]
        Contender { name: "rtc-interceptor", ends: rtc::ends },
    ]
}

/// Runs a case with one contender: a row for each of its media flows, and one for each TCP flow without end.
#[must_use]
pub fn run(case: &Case, contender: &Contender) -> Vec<Row> {
    let mut net: Dumbbell<Endpoint, Endpoint> = Dumbbell::new(case.seed);
    for (index, plan) in case.flows.iter().enumerate() {
        let (from, to) = endpoints(plan, contender, case.seed + index as u64);
        match plan.direction {
            Direction::Forward => net.add(from, to, plan.extra_latency),
            Direction::Backward => net.add(to, from, plan.extra_latency),
        }
    }
    for (at, length) in changes(case) {
        net.set_link(Side::B, link(case, case.forward_at(at)));
        net.set_link(Side::A, link(case, case.backward_at(at)));
        net.run_for(length);
    }
    measure::rows(case, contender.name, &mut net)
}

/// The times at which a link changes, and how long it then stays.
fn changes(case: &Case) -> Vec<(Duration, Duration)> {
    let times = case.forward.iter().chain(&case.backward).map(|(at, _)| *at);
    let mut times: Vec<Duration> = times.filter(|at| *at < case.duration).collect();
    times.sort();
    times.dedup();
    let ends = times.iter().skip(1).copied().chain([case.duration]);
    times.iter().zip(ends).map(|(at, end)| (*at, end - *at)).collect()
}

fn link(case: &Case, rate: Option<Bitrate>) -> Link {
    let link = Link::default().latency(case.latency).jitter(case.jitter).loss(case.loss);
    match rate {
        Some(rate) => link.rate(rate, (rate.as_bps() as f64 / 8.0 * case.queue.as_secs_f64()) as usize),
        None => link.loss(0.0),
    }
}

fn endpoints(plan: &FlowPlan, contender: &Contender, seed: u64) -> (Endpoint, Endpoint) {
    let begin = start() + plan.start;
    match plan.kind {
        FlowKind::Media { max, pause } => {
            let flow::Ends { sender, receiver } = (contender.ends)(seed);
            let config = CodecConfig::default().range(Bitrate::from_kbps(50), max);
            let pause = pause.map(|(from, until)| (start() + from, start() + until));
            let seed = Seed::from_number(seed);
            let sender = MediaSender::new(sender, config, begin, pause, &seed);
            (Endpoint::Media(Box::new(sender)), Endpoint::Plain(Plain(receiver)))
        }
        FlowKind::Tcp { bytes } => {
            let (sender, receiver) = (CubicSender::new(begin, bytes), CubicReceiver::default());
            (Endpoint::Plain(Plain(Box::new(sender))), Endpoint::Plain(Plain(Box::new(receiver))))
        }
    }
}

#[cfg(test)]
mod tests;
