//! When to probe, and what a probe has shown.
//!
//! At the start two probes find the order of magnitude. Each that arrives whole is followed by one of twice the rate. Later,
//! while the way is calm and the application sends what it may, a probe every few seconds finds out early that more
//! would go; when an application that sent little sends more again, one finds out whether what went before still goes.

use std::time::{Duration, Instant};

use tombolo_net::{Bitrate, ExtSeqNo};

use super::limited::{Demand, Limited};
use super::rate::RateControl;
use crate::bwe::{PacketResult, Probe, ProbeId, SentPacket};

/// The first probes, as multiples of the initial estimate.
const FIRST: [f64; 2] = [3.0, 6.0];
/// The one after one that arrived whole.
const NEXT: f64 = 2.0;
/// The one that is sent now and then.
const REGULAR: f64 = 1.5;
/// A probe of which this much arrived is followed by another.
const GOES_ON: f64 = 0.7;
const REGULAR_INTERVAL: Duration = Duration::from_secs(3);
/// The same when the rate was lowered meanwhile: what then arrived may have been too little for another reason.
const LOWERED_INTERVAL: Duration = Duration::from_millis(1200);
const WANTED_INTERVAL: Duration = Duration::from_secs(5);
/// How long a probe lasts at least.
const LEN: Duration = Duration::from_millis(15);
const MIN_PACKETS: u8 = 5;
/// The share of packets, and their number, that must have arrived.
const MIN_ARRIVED: f64 = 0.5;
const MIN_ARRIVALS: u32 = 4;
/// Arriving at less than this share of the rate of sending means that the way was full,
const FULL_BELOW: f64 = 0.9;
/// and then this much of it is used.
const USED: f64 = 0.95;
/// A probe of which nothing is known after this is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3);
/// Arriving more than this much quicker than sent means that the packets were held up together.
const MAX_GAIN: f64 = 2.0;
const MAX_UNDER_WAY: usize = 4;

/// The first and the last of a probe's packets, by one clock, and their bytes.
#[derive(Clone, Copy, Debug)]
struct Ends {
    first: (i64, u32),
    last: (i64, u32),
}

impl Ends {
    const fn new(at_us: i64, size: u32) -> Self {
        Self { first: (at_us, size), last: (at_us, size) }
    }

    fn add(&mut self, at_us: i64, size: u32) {
        if at_us < self.first.0 {
            self.first = (at_us, size);
        }
        if at_us >= self.last.0 {
            self.last = (at_us, size);
        }
    }

    fn seconds(&self) -> Option<f64> {
        let us = self.last.0 - self.first.0;
        (us > 0 && us < 1_000_000).then(|| us as f64 / 1e6)
    }
}

/// A probe that is being sent or whose fate is not known yet.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    probe: Probe,
    begun: Instant,
    numbers: Option<(ExtSeqNo, ExtSeqNo)>,
    sent_bytes: u32,
    sent_packets: u32,
    arrived: u32,
    arrived_bytes: u32,
    sent_ends: Option<Ends>,
    arrival_ends: Option<Ends>,
}

impl UnderWay {
    const fn new(probe: Probe, now: Instant) -> Self {
        Self {
            probe,
            begun: now,
            numbers: None,
            sent_bytes: 0,
            sent_packets: 0,
            arrived: 0,
            arrived_bytes: 0,
            sent_ends: None,
            arrival_ends: None,
        }
    }

    fn is_sent(&self) -> bool {
        let Probe { min_bytes, min_packets, .. } = self.probe;
        self.sent_bytes >= min_bytes && self.sent_packets >= min_packets.into()
    }

    fn on_sent(&mut self, packet: &SentPacket) {
        let first = self.numbers.map_or(packet.number, |(first, _)| first);
        self.numbers = Some((first, packet.number));
        self.sent_bytes = self.sent_bytes.saturating_add(packet.size_bytes);
        self.sent_packets += 1;
    }

    /// Takes note of a packet's fate. `true`: the last one's, or that of one after it, is known.
    fn on_result(&mut self, result: &PacketResult) -> bool {
        let Some((first, last)) = self.numbers else { return false };
        if let Some(arrival_us) = result.arrival_us
            && (first..=last).contains(&result.number)
        {
            let size = result.size_bytes;
            let sent_us = result.sent.saturating_duration_since(self.begun).as_micros() as i64;
            self.arrived += 1;
            self.arrived_bytes += size;
            self.sent_ends.get_or_insert(Ends::new(sent_us, size)).add(sent_us, size);
            self.arrival_ends.get_or_insert(Ends::new(arrival_us, size)).add(arrival_us, size);
        }
        self.is_sent() && result.number >= last
    }

    /// What arrived, bit/s.
    fn shown(&self) -> Option<f64> {
        let share = f64::from(self.arrived) / f64::from(self.sent_packets.max(1));
        if self.arrived < MIN_ARRIVALS || share < MIN_ARRIVED {
            return None;
        }
        let (sent, arrival) = (self.sent_ends?, self.arrival_ends?);
        let bits = |without: u32| f64::from(self.arrived_bytes.saturating_sub(without)) * 8.0;
        // The last packet's bytes leave after its time of sending, the first one's came before its time of arrival.
        let sent_rate = bits(sent.last.1) / sent.seconds()?;
        let arrival_rate = bits(arrival.first.1) / arrival.seconds()?;
        if arrival_rate > sent_rate * MAX_GAIN {
            return None;
        }
        Some(if arrival_rate < sent_rate * FULL_BELOW {
            arrival_rate * USED
        } else {
            sent_rate.min(arrival_rate)
        })
    }
}

/// Plans and reads probes.
#[derive(Clone, Debug)]
pub(super) struct Probes {
    initial: f64,
    has_begun: bool,
    next_id: u8,
    planned: [Option<f64>; 2],
    under_way: Vec<UnderWay>,
    /// The last that was read: its rate and what arrived of it.
    last_shown: Option<(f64, f64)>,
    last_probe: Option<Instant>,
    next_wanted: Option<Instant>,
}

impl Probes {
    pub(super) fn new(initial: f64) -> Self {
        Self {
            initial,
            has_begun: false,
            next_id: 0,
            planned: [None; 2],
            under_way: Vec::with_capacity(MAX_UNDER_WAY),
            last_shown: None,
            last_probe: None,
            next_wanted: None,
        }
    }

    pub(super) fn on_sent(&mut self, now: Instant, packet: &SentPacket) {
        if !self.has_begun {
            self.has_begun = true;
            self.planned = FIRST.map(|factor| Some(factor * self.initial));
            self.last_probe = Some(now);
        }
        let Some(id) = packet.probe else { return };
        if let Some(under_way) = self.under_way.iter_mut().find(|under_way| under_way.probe.id == id) {
            under_way.on_sent(packet);
        }
    }

    /// Reads what became of packets. Some: so many bit/s were shown to arrive.
    pub(super) fn on_results(&mut self, results: &[PacketResult]) -> Option<f64> {
        if self.under_way.is_empty() {
            return None;
        }
        let mut best = None;
        for under_way in &mut self.under_way {
            let mut is_over = false;
            for result in results {
                is_over |= under_way.on_result(result);
            }
            if !is_over {
                continue;
            }
            if let Some(shown) = under_way.shown() {
                self.last_shown = Some((under_way.probe.rate.as_bps() as f64, shown));
                best = Some(best.map_or(shown, |best: f64| best.max(shown)));
            }
            under_way.probe.min_packets = 0;
            under_way.numbers = None;
        }
        self.under_way.retain(|under_way| under_way.probe.min_packets > 0);
        best
    }

    /// Plans what is to be sent next, if anything.
    pub(super) fn plan(
        &mut self,
        now: Instant,
        estimate: f64,
        rate: &RateControl,
        limited: &mut Limited,
        max: f64,
    ) {
        self.under_way.retain(|probe| now.saturating_duration_since(probe.begun) < FORGOTTEN);
        let is_busy = !self.under_way.is_empty() || self.planned.iter().any(Option::is_some);
        if is_busy || !self.has_begun || !rate.is_calm(now) {
            return;
        }
        let due = |at: Option<Instant>| at.is_none_or(|at| now >= at);
        let is_limited = limited.demand() == Demand::Limited;
        let goal = if let Some((rate, shown)) = self.last_shown.take().filter(|_| !is_limited)
            && shown >= rate * GOES_ON
            && estimate >= shown * 0.9
        {
            Some(shown * NEXT)
        } else if let Some(former) = limited.take_former().filter(|former| *former > estimate) {
            Some(former)
        } else if let Some(wanted) = limited.wanted().filter(|wanted| is_limited && *wanted > estimate * 1.05)
            && due(self.next_wanted)
        {
            self.next_wanted = Some(now + WANTED_INTERVAL);
            Some((wanted * 1.05).min(estimate * 3.0))
        } else if limited.demand() == Demand::Full && self.is_regular_due(now, rate) {
            Some(estimate * REGULAR)
        } else {
            None
        };
        let Some(goal) = goal.map(|goal| goal.min(max)).filter(|goal| *goal > estimate * 1.02) else {
            return;
        };
        self.last_probe = Some(now);
        self.planned[0] = Some(goal);
    }

    fn is_regular_due(&self, now: Instant, rate: &RateControl) -> bool {
        let Some(last) = self.last_probe else { return true };
        let is_lowered = rate.decreased_at().is_some_and(|at| at > last);
        now >= last + if is_lowered { LOWERED_INTERVAL } else { REGULAR_INTERVAL }
    }

    pub(super) fn poll(&mut self, now: Instant) -> Option<Probe> {
        let bps = self.planned.iter_mut().find_map(Option::take)?;
        let rate = Bitrate::from_bps(bps as u64);
        self.next_id = self.next_id.wrapping_add(1);
        let min_bytes = (bps * LEN.as_secs_f64() / 8.0) as u32;
        let probe = Probe { id: ProbeId(self.next_id), rate, min_bytes, min_packets: MIN_PACKETS };
        if self.under_way.len() >= MAX_UNDER_WAY {
            self.under_way.remove(0);
        }
        self.under_way.push(UnderWay::new(probe, now));
        Some(probe)
    }
}
