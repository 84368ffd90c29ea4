//! What is run: RFC 8867 §5, and links that lose at random.

use std::time::Duration;

use tombolo_net::Bitrate;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn kbps(kbps: u64) -> Bitrate {
    Bitrate::from_kbps(kbps)
}

/// Which way a flow's content goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Backward,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum FlowKind {
    /// A codec that follows the estimate up to `max`, silent from and until a time where it has a pause.
    Media { max: Bitrate, pause: Option<(Duration, Duration)> },
    /// TCP with CUBIC.
    Tcp { bytes: u64 },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct FlowPlan {
    pub(super) kind: FlowKind,
    pub(super) direction: Direction,
    pub(super) start: Duration,
    pub(super) extra_latency: Duration,
}

impl FlowPlan {
    const fn media(start: Duration) -> Self {
        let kind = FlowKind::Media { max: kbps(100_000), pause: None };
        Self { kind, direction: Direction::Forward, start, extra_latency: Duration::ZERO }
    }

    const fn tcp(start: Duration, bytes: u64) -> Self {
        let kind = FlowKind::Tcp { bytes };
        Self { kind, direction: Direction::Forward, start, extra_latency: Duration::ZERO }
    }
}

/// The rate of a bottleneck from each time on; none: it does not limit.
pub(super) type Schedule = Vec<(Duration, Option<Bitrate>)>;

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    pub(super) name: &'static str,
    pub(super) seed: u64,
    pub(super) duration: Duration,
    pub(super) forward: Schedule,
    pub(super) backward: Schedule,
    /// One way.
    pub(super) latency: Duration,
    pub(super) jitter: Duration,
    /// How long what waits before the bottleneck takes at most.
    pub(super) queue: Duration,
    /// Where there is a bottleneck.
    pub(super) loss: f64,
    pub(super) flows: Vec<FlowPlan>,
}

impl Case {
    fn new(name: &'static str, seconds: u64, forward: &[(u64, u64)]) -> Self {
        let forward = forward.iter().map(|(at, rate)| (s(*at), Some(kbps(*rate)))).collect();
        Self {
            name,
            seed: 1,
            duration: s(seconds),
            forward,
            backward: vec![(Duration::ZERO, None)],
            latency: ms(50),
            jitter: Duration::ZERO,
            queue: ms(300),
            loss: 0.0,
            flows: vec![FlowPlan::media(Duration::ZERO)],
        }
    }

    fn flows(mut self, flows: impl IntoIterator<Item = FlowPlan>) -> Self {
        self.flows = flows.into_iter().collect();
        self
    }

    fn loss(mut self, loss: f64) -> Self {
        self.loss = loss;
        self
    }

    /// The case's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn forward_at(&self, at: Duration) -> Option<Bitrate> {
        rate_at(&self.forward, at)
    }

    pub(super) fn backward_at(&self, at: Duration) -> Option<Bitrate> {
        rate_at(&self.backward, at)
    }
}

fn rate_at(schedule: &Schedule, at: Duration) -> Option<Bitrate> {
    schedule.iter().rev().find(|(from, _)| *from <= at).and_then(|(_, rate)| *rate)
}

/// All cases: first those of a constant link, of which the goals speak, then RFC 8867 §5.1 to §5.8.
#[must_use]
pub fn cases() -> Vec<Case> {
    let steady = |name, loss| Case { latency: ms(25), ..Case::new(name, 60, &[(0, 3000)]).loss(loss) };
    let limited = FlowKind::Media { max: kbps(784), pause: None };
    let limited = FlowPlan { kind: limited, ..FlowPlan::media(Duration::ZERO) };
    let mut all = vec![
        steady("3 Mb/s", 0.0),
        steady("3 Mb/s, 2 % loss", 0.02),
        steady("3 Mb/s, 5 % loss", 0.05),
        steady("3 Mb/s, 10 % loss", 0.1),
        steady("3 Mb/s, 20 % loss", 0.2),
        Case { jitter: ms(30), ..steady("3 Mb/s, 30 ms jitter", 0.0) },
        Case { latency: ms(125), ..steady("3 Mb/s, RTT 250 ms", 0.0) },
        Case { queue: ms(20), ..steady("3 Mb/s, queue of 20 ms", 0.0) },
        Case::new("halves and doubles", 60, &[(0, 2500), (20, 1250), (40, 2500)]),
        Case::new("sends 784 kb/s of 4 Mb/s", 60, &[(0, 4000)]).flows([limited]),
    ];
    all.extend(rfc8867());
    all
}

fn rfc8867() -> [Case; 9] {
    let media = |starts: &[u64]| starts.iter().map(|at| FlowPlan::media(s(*at))).collect::<Vec<_>>();
    let backward = FlowPlan { direction: Direction::Backward, ..FlowPlan::media(Duration::ZERO) };
    let backward_rates = [(0, 2000), (35, 800), (70, 2000)];
    let trips = [10, 25, 50, 100, 150].into_iter().enumerate();
    let trips =
        trips.map(|(at, way)| FlowPlan { extra_latency: ms(way), ..FlowPlan::media(s(10 * at as u64)) });
    // Ten a minute or so, of 100 to 500 kB.
    let short = (0..30).map(|n| FlowPlan::tcp(s(5 + n * 37 % 290), 100_000 + n * n * 7919 % 400_000));
    let kind = FlowKind::Media { max: kbps(100_000), pause: Some((s(40), s(60))) };
    let paused = FlowPlan { kind, ..FlowPlan::media(Duration::ZERO) };
    let (zero, late) = (Duration::ZERO, s(5));
    [
        Case::new("5.1 variable capacity", 100, &[(0, 1000), (40, 2500), (60, 600), (80, 1000)]),
        Case::new(
            "5.2 variable capacity, two flows",
            125,
            &[(0, 4000), (25, 2000), (50, 3500), (75, 1000), (100, 2000)],
        )
        .flows(media(&[0, 0])),
        Case {
            backward: backward_rates.map(|(at, rate)| (s(at), Some(kbps(rate)))).to_vec(),
            ..Case::new("5.3 congested feedback", 100, &[(0, 2000), (20, 1000), (40, 500), (60, 2000)])
                .flows([FlowPlan::media(zero), backward])
        },
        Case::new("5.4 three flows", 120, &[(0, 3500)]).flows(media(&[0, 20, 40])),
        Case { latency: zero, ..Case::new("5.5 round trips 20 to 300 ms", 300, &[(0, 4000)]).flows(trips) },
        Case::new("5.6 beside long TCP", 120, &[(0, 2000)])
            .flows([FlowPlan::media(late), FlowPlan::tcp(zero, u64::MAX)]),
        Case { queue: s(1), ..Case::new("5.6 beside long TCP, bloated", 120, &[(0, 2000)]) }
            .flows([FlowPlan::media(late), FlowPlan::tcp(zero, u64::MAX)]),
        Case::new("5.7 beside short TCP", 300, &[(0, 2000)]).flows(media(&[0, 0]).into_iter().chain(short)),
        Case::new("5.8 pause and resume", 120, &[(0, 3500)]).flows([
            FlowPlan::media(zero),
            FlowPlan::media(zero),
            paused,
        ]),
    ]
}
