//! What is told of a flow.

use std::fmt;
use std::time::Duration;

use tombolo_net::Bitrate;
use tombolo_netsim::{Delivery, Dumbbell, Side};

use super::cases::{Case, Direction, FlowKind, FlowPlan};
use super::flow::Endpoint;

/// Rates are taken over this.
const WINDOW: Duration = Duration::from_secs(1);
/// What the way carries is reached with this share of it.
const REACHED: f64 = 0.9;
/// How long an estimate may be above what an application sends, at the start.
const START: Duration = Duration::from_secs(5);

/// One flow of one case.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The case.
    pub case: &'static str,
    /// Whose estimator it was.
    pub contender: &'static str,
    /// Which flow: `media 1`, `tcp`.
    pub flow: String,
    /// What arrived, from the flow's start on.
    pub rate: Bitrate,
    /// The share of what the way carried that all flows used, 0 to 1.
    pub utilisation: f64,
    /// The share of this flow in what all flows of its direction brought, while it ran.
    pub share: f64,
    /// Waiting before the bottleneck: the median and the 95th percentile.
    pub queued: (Duration, Duration),
    /// The share of datagrams that were lost.
    pub loss: f64,
    /// From the flow's start until 90 % of the way was used in one second; for flows alone on a way.
    pub converged: Option<Duration>,
    /// The largest estimate, as a multiple of what was sent in the second before; without the first 5 s.
    pub lead: f64,
}

impl fmt::Display for Row {
    /// Tab-separated: case, contender, flow, kb/s, utilisation %, share %, median and 95th percentile of queueing ms, loss %,
    /// s to converge, lead.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| share * 100.0;
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        let converged =
            self.converged.map_or_else(|| "–".to_owned(), |time| format!("{:.1}", time.as_secs_f64()));
        write!(
            f,
            "{}\t{}\t{}\t{}\t{:.1}\t{:.1}\t{:.0}\t{:.0}\t{:.2}\t{converged}\t{:.2}",
            self.case,
            self.contender,
            self.flow,
            self.rate.as_bps() / 1000,
            percent(self.utilisation),
            percent(self.share),
            millis(self.queued.0),
            millis(self.queued.1),
            percent(self.loss),
            self.lead,
        )
    }
}

pub(super) fn rows(case: &Case, contender: &'static str, net: &mut Dumbbell<Endpoint, Endpoint>) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut media = 0;
    for (index, plan) in case.flows.iter().enumerate() {
        let flow = match plan.kind {
            FlowKind::Media { .. } => {
                media += 1;
                format!("media {media}")
            }
            FlowKind::Tcp { bytes: u64::MAX } => "tcp".to_owned(),
            FlowKind::Tcp { .. } => continue,
        };
        let estimates = {
            let ends = &net.flows()[index];
            let end = if plan.direction == Direction::Forward { &ends.a } else { &ends.b };
            end.estimates().to_vec()
        };
        rows.push(row(case, contender, flow, (index, plan), net, &estimates));
    }
    rows
}

const fn towards(plan: &FlowPlan) -> Side {
    match plan.direction {
        Direction::Forward => Side::B,
        Direction::Backward => Side::A,
    }
}

/// Bytes that arrived in a time.
fn arrived(deliveries: &[Delivery], from: Duration, until: Duration) -> u64 {
    let times = |delivery: &&Delivery| delivery.arrival.is_some_and(|at| at >= from && at < until);
    deliveries.iter().filter(times).map(|delivery| delivery.len_bytes as u64).sum()
}

/// Bytes that the way could carry in a time.
fn capacity(case: &Case, direction: Direction, from: Duration, until: Duration) -> f64 {
    let schedule = match direction {
        Direction::Forward => &case.forward,
        Direction::Backward => &case.backward,
    };
    let ends = schedule.iter().skip(1).map(|(at, _)| *at).chain([case.duration]);
    let carried = schedule.iter().zip(ends).map(|((at, rate), end)| {
        let time = end.min(until).saturating_sub((*at).max(from)).as_secs_f64();
        rate.map_or(0.0, |rate| rate.as_bps() as f64 / 8.0 * time)
    });
    carried.sum()
}

fn row(
    case: &Case,
    contender: &'static str,
    flow: String,
    (index, plan): (usize, &FlowPlan),
    net: &Dumbbell<Endpoint, Endpoint>,
    estimates: &[(Duration, Bitrate)],
) -> Row {
    let side = towards(plan);
    let (from, until) = (plan.start, case.duration);
    let own = net.deliveries(index, side);
    let of_direction = case.flows.iter().enumerate().filter(|(_, other)| other.direction == plan.direction);
    let all: u64 = of_direction.clone().map(|(n, _)| arrived(net.deliveries(n, side), from, until)).sum();
    let bytes = arrived(own, from, until);
    let mut queued: Vec<Duration> =
        own.iter().filter(|one| one.arrival.is_some()).map(|one| one.queued).collect();
    queued.sort();
    let quantile =
        |share: f64| queued.get((queued.len() as f64 * share) as usize).copied().unwrap_or_default();
    let lost = own.iter().filter(|one| one.arrival.is_none()).count();
    let is_alone = of_direction.count() == 1;
    Row {
        case: case.name,
        contender,
        flow,
        rate: Bitrate::from_bytes_in(bytes, until - from),
        utilisation: all as f64 / capacity(case, plan.direction, from, until),
        share: bytes as f64 / all.max(1) as f64,
        queued: (quantile(0.5), quantile(0.95)),
        loss: lost as f64 / own.len().max(1) as f64,
        converged: is_alone.then(|| converged(case, plan, own)).flatten(),
        lead: lead(plan, own, estimates),
    }
}

fn converged(case: &Case, plan: &FlowPlan, own: &[Delivery]) -> Option<Duration> {
    let step = Duration::from_millis(100);
    let windows = (0..).map(|n| plan.start + step * n).take_while(|at| *at + WINDOW <= case.duration);
    let mut reached = windows.filter(|at| {
        let used = arrived(own, *at, *at + WINDOW) as f64;
        used >= capacity(case, plan.direction, *at, *at + WINDOW) * REACHED * (1.0 - case.loss)
    });
    // A window that begins at the time of reaching is full from then on.
    reached.next().map(|at| at - plan.start)
}

fn lead(plan: &FlowPlan, own: &[Delivery], estimates: &[(Duration, Bitrate)]) -> f64 {
    let mut lead = 0.0_f64;
    let (mut first, mut end, mut bytes) = (0, 0, 0);
    for (at, estimate) in estimates.iter().filter(|(at, _)| *at >= plan.start + START) {
        while own.get(end).is_some_and(|one| one.sent < *at) {
            bytes += own[end].len_bytes;
            end += 1;
        }
        while first < end && own[first].sent + WINDOW < *at {
            bytes -= own[first].len_bytes;
            first += 1;
        }
        let sent = bytes as f64 * 8.0 / WINDOW.as_secs_f64();
        if sent > 0.0 {
            lead = lead.max(estimate.as_bps() as f64 / sent);
        }
    }
    lead
}
