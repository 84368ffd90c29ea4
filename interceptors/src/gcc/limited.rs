//! Whether the application sends less than it might. Then the estimate says nothing about the way, and may not stand far
//! above what is sent.

use std::time::{Duration, Instant};

use crate::bwe::SentPacket;

/// What is sent is measured over this time.
const WINDOW: Duration = Duration::from_millis(250);
/// How many windows are remembered.
const WINDOWS: usize = 20;
/// Sending less than this share of the estimate is to be limited.
const LIMITED_BELOW: f64 = 0.75;
/// The estimate may be this much more than what is sent at most.
const MAX_LEAD: f64 = 1.4;
/// After so long without a packet nothing is known.
const PAUSE: Duration = Duration::from_secs(1);
/// How long what a probe has shown counts.
const PROVEN: Duration = Duration::from_secs(15);

/// What is known about the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Demand {
    /// It has sent for too short a time.
    #[default]
    Unknown,
    /// It sends what it may.
    Full,
    /// It sends clearly less.
    Limited,
}

/// Compares what is sent to what might be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limited {
    demand: Demand,
    start: Option<Instant>,
    last: Option<Instant>,
    bytes: u64,
    /// The rates of the last windows, bit/s; a ring.
    rates: [f64; WINDOWS],
    count: usize,
    wanted: Option<f64>,
    proven: Option<(f64, Instant)>,
    /// What the estimate was before it was lowered for want of demand.
    former: Option<f64>,
}

impl Limited {
    pub(super) fn is_limited(&self) -> bool {
        self.demand == Demand::Limited
    }

    pub(super) const fn demand(&self) -> Demand {
        self.demand
    }

    /// What the application would send if it could.
    pub(super) const fn wanted(&self) -> Option<f64> {
        self.wanted
    }

    pub(super) const fn set_wanted(&mut self, wanted: Option<f64>) {
        self.wanted = wanted;
    }

    /// What the estimate was before the application was limited, once it is so no longer. Told once.
    pub(super) fn take_former(&mut self) -> Option<f64> {
        if self.demand == Demand::Full { self.former.take() } else { None }
    }

    pub(super) fn on_sent(&mut self, now: Instant, packet: &SentPacket, estimate: f64) {
        if packet.is_padding {
            return;
        }
        if self.last.is_some_and(|last| now.saturating_duration_since(last) > PAUSE) {
            self.demand = Demand::Unknown;
            (self.start, self.count, self.bytes) = (None, 0, 0);
        }
        self.last = Some(now);
        let start = *self.start.get_or_insert(now);
        let elapsed = now.saturating_duration_since(start);
        if elapsed >= WINDOW {
            self.rates[self.count % WINDOWS] = self.bytes as f64 * 8.0 / elapsed.as_secs_f64();
            self.count += 1;
            (self.start, self.bytes) = (Some(now), 0);
            self.judge(estimate);
        }
        self.bytes += u64::from(packet.size_bytes);
    }

    /// A probe has shown that so much arrives.
    pub(super) fn on_probe(&mut self, now: Instant, bps: f64) {
        self.proven = Some((bps, now + PROVEN));
    }

    /// The estimate of `rate` that may be told.
    pub(super) fn cap(&mut self, now: Instant, rate: f64) -> f64 {
        if self.demand != Demand::Limited {
            return rate;
        }
        let proven = match (self.proven, self.wanted) {
            (Some((bps, until)), Some(wanted)) if now < until => bps.min(wanted),
            _ => 0.0,
        };
        let cap = (self.most_sent() * MAX_LEAD).max(proven);
        if rate > cap {
            self.former = Some(self.former.map_or(rate, |former| former.max(rate)));
        }
        rate.min(cap)
    }

    fn judge(&mut self, estimate: f64) {
        let Some(recent) = self.count.checked_sub(1).and_then(|last| self.sent(last)) else { return };
        self.demand = if recent < estimate * LIMITED_BELOW { Demand::Limited } else { Demand::Full };
    }

    /// What was sent in the window of this index and the one before.
    fn sent(&self, index: usize) -> Option<f64> {
        let before = index.checked_sub(1)?;
        Some(f64::midpoint(self.rates[index % WINDOWS], self.rates[before % WINDOWS]))
    }

    fn most_sent(&self) -> f64 {
        let oldest = (self.count + 1).saturating_sub(WINDOWS);
        (oldest..self.count).filter_map(|index| self.sent(index)).fold(0.0, f64::max)
    }
}
