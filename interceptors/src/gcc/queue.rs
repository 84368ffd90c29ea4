//! How long packets wait on the way: the delay of the quickest lately, above that of the quickest in a longer time.
//!
//! The clocks of both ends differ by an unknown offset, which the difference is free of, and drift apart by less than
//! 10 ms in the longer time.

/// The quickest packet of each such span counts, µs of the receiver's clock: jitter is longer than that in few.
const SPAN_US: i64 = 60_000;
/// A span needs so many packets, or goes on.
const MIN_PACKETS: u32 = 4;
/// How long the quickest of all counts: in half of these, µs.
const BASE_SPAN_US: i64 = 15_000_000;

/// How much each span counts for the noise.
const NOISE_SHARE: f64 = 0.05;

/// The least of a span of time.
#[derive(Clone, Copy, Debug)]
struct Least {
    start_us: i64,
    delay_us: i64,
    packets: u32,
}

impl Least {
    const fn new(start_us: i64, delay_us: i64) -> Self {
        Self { start_us, delay_us, packets: 1 }
    }

    fn add(&mut self, delay_us: i64) {
        self.delay_us = self.delay_us.min(delay_us);
        self.packets += 1;
    }
}

/// Measures the queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StandingQueue {
    current: Option<Least>,
    last: Option<i64>,
    base: Option<Least>,
    /// That of the span before.
    former_base: Option<i64>,
    noise_us: f64,
}

impl StandingQueue {
    pub(super) fn on_arrival(&mut self, sent_us: i64, arrival_us: i64) {
        let delay_us = arrival_us - sent_us;
        match &mut self.current {
            Some(current)
                if (0..SPAN_US).contains(&(arrival_us - current.start_us))
                    || current.packets < MIN_PACKETS =>
            {
                current.add(delay_us);
            }
            current => {
                if let (Some(current), Some(last)) = (&current, self.last) {
                    self.noise_us += ((current.delay_us - last).abs() as f64 - self.noise_us) * NOISE_SHARE;
                }
                self.last = current.map(|current| current.delay_us);
                self.current = Some(Least::new(arrival_us, delay_us));
            }
        }
        match &mut self.base {
            Some(base) if (0..BASE_SPAN_US).contains(&(arrival_us - base.start_us)) => base.add(delay_us),
            base => {
                self.former_base = base.map(|base| base.delay_us);
                self.base = Some(Least::new(arrival_us, delay_us));
            }
        }
    }

    /// How much the quickest of one span and the next differ, µs: jitter that the spans are too short for.
    pub(super) const fn noise_us(&self) -> f64 {
        self.noise_us
    }

    /// How long the quickest packet waited lately, µs; 0 while that is not known.
    pub(super) fn delay_us(&self) -> i64 {
        let (Some(current), Some(base)) = (self.current, self.base) else { return 0 };
        let least = self.former_base.map_or(base.delay_us, |former| former.min(base.delay_us));
        let recent = match self.last {
            Some(last) if current.packets < MIN_PACKETS => last.min(current.delay_us),
            Some(_) => current.delay_us,
            None => return 0,
        };
        (recent - least).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets every 5 ms; the delay in ms of each.
    fn feed(queue: &mut StandingQueue, from_ms: i64, count: i64, delay_ms: impl Fn(i64) -> i64) -> i64 {
        for n in 0..count {
            let sent_us = (from_ms + n * 5) * 1000;
            queue.on_arrival(sent_us, sent_us + delay_ms(n) * 1000 - 77_000_000);
        }
        queue.delay_us() / 1000
    }

    #[test]
    fn a_queue_that_stands_is_measured_past_jitter() {
        let mut queue = StandingQueue::default();
        assert_eq!(feed(&mut queue, 0, 200, |_| 50), 0);
        assert_eq!(feed(&mut queue, 1000, 100, |_| 90), 40);
        assert_eq!(feed(&mut queue, 1500, 100, |n| 50 + n * 7 % 30), 0);
        assert_eq!(feed(&mut queue, 2000, 100, |n| 70 + n * 7 % 30), 20);
    }

    #[test]
    fn a_longer_way_is_taken_for_a_queue_for_half_a_minute_at_most() {
        let mut queue = StandingQueue::default();
        feed(&mut queue, 0, 200, |_| 50);
        assert_eq!(feed(&mut queue, 1000, 2000, |_| 80), 30);
        assert_eq!(feed(&mut queue, 11_000, 6000, |_| 80), 0);
    }
}
