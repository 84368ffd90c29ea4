//! What arrives, by the receiver's clock.

use std::collections::VecDeque;

/// How long arrivals are kept, µs.
const SPAN_US: i64 = 1_000_000;
/// How many are kept at most.
const MAX_ARRIVALS: usize = 2048;
/// With fewer than this, a rate says nothing.
const MIN_ARRIVALS: usize = 5;

/// A full way is measured over this time at least and at most, µs, and so many arrivals.
const FULL_SPAN_US: (i64, i64) = (150_000, 500_000);
const FULL_ARRIVALS: usize = 20;

/// The arrivals of the last second.
#[derive(Clone, Debug, Default)]
pub(super) struct Throughput {
    arrivals: VecDeque<(i64, u32)>,
}

impl Throughput {
    pub(super) fn on_arrival(&mut self, arrival_us: i64, size_bytes: u32) {
        let newest = self.arrivals.back().map_or(arrival_us, |(at, _)| *at);
        if (arrival_us - newest).abs() > SPAN_US {
            self.arrivals.clear(); // A pause, or the clock has jumped.
        }
        while self.arrivals.len() >= MAX_ARRIVALS
            || self.arrivals.front().is_some_and(|(at, _)| arrival_us - at > SPAN_US)
        {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back((arrival_us, size_bytes));
    }

    /// Bits per second over the last `span_us` of arrivals; `None` when there are too few.
    pub(super) fn over(&self, span_us: i64) -> Option<f64> {
        let (newest, _) = *self.arrivals.back()?;
        let mut bytes = 0;
        let mut count = 0;
        let mut first = (newest, 0);
        for &(at, size) in self.arrivals.iter().rev().take_while(|(at, _)| newest - at <= span_us) {
            bytes += u64::from(size);
            count += 1;
            first = (at, size);
        }
        // The bytes of the first arrival took their time before it.
        let elapsed_us = newest - first.0;
        let is_enough = count >= MIN_ARRIVALS && elapsed_us * 3 > span_us;
        is_enough.then(|| (bytes - u64::from(first.1)) as f64 * 8e6 / elapsed_us as f64)
    }

    /// The same over a short time, as long as there are arrivals enough: what a full way carries now.
    pub(super) fn when_full(&self) -> Option<f64> {
        let (newest, _) = *self.arrivals.back()?;
        let (earliest, _) = *self.arrivals.iter().rev().nth(FULL_ARRIVALS.min(self.arrivals.len()) - 1)?;
        self.over((newest - earliest).clamp(FULL_SPAN_US.0, FULL_SPAN_US.1))
    }

    /// The mean size of a packet, bytes.
    pub(super) fn mean_size(&self) -> f64 {
        let bytes: u64 = self.arrivals.iter().map(|(_, size)| u64::from(*size)).sum();
        bytes as f64 / self.arrivals.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_span() {
        let mut throughput = Throughput::default();
        assert_eq!(throughput.over(500_000), None);
        for n in 0..100 {
            throughput.on_arrival(n * 10_000, 1250); // 1 Mb/s
        }
        for n in 0..100 {
            throughput.on_arrival(1_000_000 + n * 5_000, 1250); // 2 Mb/s
        }
        let kbps = |span| throughput.over(span).map(|bps| (bps / 1000.0).round());
        assert_eq!(kbps(200_000), Some(2000.0));
        assert!((1400.0..1600.0).contains(&kbps(1_000_000).unwrap()));
        assert!((throughput.mean_size() - 1250.0).abs() < 1.0);
    }

    #[test]
    fn a_pause_is_not_spread_over_and_a_few_packets_are_no_rate() {
        let mut throughput = Throughput::default();
        for n in 0..100 {
            throughput.on_arrival(n * 10_000, 1250);
        }
        throughput.on_arrival(60_000_000, 1250);
        assert_eq!(throughput.over(500_000), None);
        for n in 1..100_000 {
            throughput.on_arrival(60_000_000 + n, 1250);
        }
        assert!(throughput.arrivals.len() <= MAX_ARRIVALS);
    }
}
