//! Groups of packets that left together, and how the time between two grew on the way (draft-ietf-rmcat-gcc-02 §5.2).

use super::Sample;

/// Packets that leave within this time of the first are one group, µs.
const SEND_SPAN_US: i64 = 5_000;
/// A packet that arrives this shortly after the last, and caught up, belongs to its group: both waited together, µs.
const BURST_GAP_US: i64 = 5_000;
/// The longest that such a group may last, µs.
const MAX_BURST_US: i64 = 100_000;
/// So many arrivals before their predecessors mean that the receiver's clock has jumped.
const MAX_BACKWARDS: u8 = 3;

/// How two groups lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delta {
    /// Between their last packets when sent, µs.
    pub(super) sent_us: i64,
    /// Between their last packets when arriving, µs.
    pub(super) arrival_us: i64,
    /// When the later one arrived, µs.
    pub(super) at_us: i64,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent_us: i64,
    last_sent_us: i64,
    first_arrival_us: i64,
    last_arrival_us: i64,
}

impl Group {
    const fn new(sample: &Sample) -> Self {
        let Sample { sent_us, arrival_us, .. } = *sample;
        Self {
            first_sent_us: sent_us,
            last_sent_us: sent_us,
            first_arrival_us: arrival_us,
            last_arrival_us: arrival_us,
        }
    }

    fn holds(&self, sample: &Sample) -> bool {
        if sample.sent_us - self.first_sent_us <= SEND_SPAN_US {
            return true;
        }
        let arrival_us = sample.arrival_us - self.last_arrival_us;
        let caught_up = arrival_us < sample.sent_us - self.last_sent_us;
        caught_up && arrival_us <= BURST_GAP_US && sample.arrival_us - self.first_arrival_us < MAX_BURST_US
    }

    fn add(&mut self, sample: &Sample) {
        self.last_sent_us = self.last_sent_us.max(sample.sent_us);
        self.last_arrival_us = self.last_arrival_us.max(sample.arrival_us);
    }
}

/// Puts packets into groups.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Groups {
    complete: Option<Group>,
    current: Option<Group>,
    backwards: u8,
}

impl Groups {
    /// Takes note of an arrival. When it begins a group, tells how the last two complete ones lie.
    pub(super) fn on_arrival(&mut self, sample: &Sample) -> Option<Delta> {
        let Some(current) = &mut self.current else {
            self.current = Some(Group::new(sample));
            return None;
        };
        if sample.sent_us < current.first_sent_us {
            return None; // It came out of order, and tells nothing about the queue.
        }
        if current.holds(sample) {
            current.add(sample);
            return None;
        }
        let (current, begun) = (*current, Group::new(sample));
        let before = self.complete.replace(current);
        self.current = Some(begun);
        let before = before?;
        let delta = Delta {
            sent_us: current.last_sent_us - before.last_sent_us,
            arrival_us: current.last_arrival_us - before.last_arrival_us,
            at_us: current.last_arrival_us,
        };
        if delta.arrival_us < 0 {
            self.backwards += 1;
            if self.backwards >= MAX_BACKWARDS {
                *self = Self { current: Some(begun), ..Self::default() };
            }
            return None;
        }
        self.backwards = 0;
        Some(delta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(sent_ms: i64, arrival_ms: i64) -> Sample {
        Sample { sent_us: sent_ms * 1000, arrival_us: arrival_ms * 1000, size_bytes: 1000 }
    }

    fn deltas(samples: &[(i64, i64)]) -> Vec<(i64, i64)> {
        let mut groups = Groups::default();
        let each = |&(sent, arrival): &(i64, i64)| groups.on_arrival(&sample(sent, arrival));
        let deltas = samples.iter().filter_map(each);
        deltas.map(|delta| (delta.sent_us / 1000, delta.arrival_us / 1000)).collect()
    }

    #[test]
    fn packets_that_left_together_are_one() {
        let told = deltas(&[(0, 100), (2, 103), (5, 106), (20, 120), (24, 125), (40, 140), (60, 175)]);
        assert_eq!(told, [(19, 19), (16, 15)], "the third waits for the one after it");
    }

    #[test]
    fn packets_that_waited_together_are_one() {
        // The second to the fourth were held up and came at once.
        let told = deltas(&[(0, 100), (20, 160), (40, 161), (60, 162), (80, 180), (100, 200)]);
        assert_eq!(told, [(60, 62), (20, 18)]);
    }

    #[test]
    fn what_comes_out_of_order_is_left_out_and_a_jump_of_the_clock_begins_anew() {
        assert_eq!(deltas(&[(0, 100), (20, 120), (10, 121), (40, 140), (60, 160)]), [(20, 20), (20, 20)]);
        let jump = [(0, 9000), (20, 9020), (40, 40), (60, 60), (80, 80), (100, 100), (120, 120), (140, 140)];
        assert!(deltas(&jump).iter().all(|(_, arrival)| *arrival == 20), "{:?}", deltas(&jump));
    }
}
