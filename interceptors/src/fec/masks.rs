//! Which repair packet covers which packet.
//!
//! A packet is covered by a set of repair packets. Two lost packets with different sets can both be had again, one after
//! the other; with sets of two and more, so can a packet and one of its repair packets. Small sets leave more repair packets that lack one
//! packet only, which is what a decoder goes by. So sets are different as long as there are enough, and of two or three.

use super::{MAX_GROUP, MAX_REPAIRS};

/// Adds to `masks`, one for each repair packet, which of `packets` packets it covers: bit `n` for the `n`-th.
pub(super) fn cover(packets: usize, masks: &mut [u64]) {
    debug_assert!(packets <= MAX_GROUP && masks.len() <= MAX_REPAIRS);
    let repairs = masks.len() as u32;
    let mut sets = Sets::new(repairs);
    for packet in 0..packets {
        let set = sets.next();
        for (repair, mask) in masks.iter_mut().enumerate() {
            *mask |= u64::from(set >> repair & 1) << packet;
        }
    }
}

/// Sets of repair packets as bits, in the order in which they are given to packets.
struct Sets {
    repairs: u32,
    sizes: &'static [u32],
    at: usize,
    /// The next set of this size.
    next: u32,
}

impl Sets {
    fn new(repairs: u32) -> Self {
        let sizes: &'static [u32] = match repairs {
            0 | 1 => &[1],
            2 => &[2, 1],
            3 => &[2, 3, 1],
            4 => &[2, 3, 4, 1],
            _ => &[3, 2],
        };
        Self { repairs, sizes, at: 0, next: (1 << sizes[0]) - 1 }
    }

    fn next(&mut self) -> u32 {
        let set = self.next;
        if self.repairs == 0 {
            return 0;
        }
        // The next larger number with as many bits.
        let low = set & set.wrapping_neg();
        let carried = set + low;
        self.next = (((carried ^ set) >> 2) / low) | carried;
        if self.next >> self.repairs != 0 {
            self.at = (self.at + 1) % self.sizes.len();
            self.next = (1 << self.sizes[self.at]) - 1;
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is still missing of `lost` packets and repair packets (those above the packets) in the end.
    fn unrepaired(packets: usize, masks: &[u64], lost: u64) -> u32 {
        let mut missing = lost & ((1 << packets) - 1);
        loop {
            let came = masks.iter().enumerate().filter(|(at, _)| lost >> (packets + at) & 1 == 0);
            let Some((_, mask)) = came.into_iter().find(|(_, mask)| (*mask & missing).count_ones() == 1)
            else {
                return missing.count_ones();
            };
            missing &= !mask;
        }
    }

    fn masks(packets: usize, repairs: usize) -> Vec<u64> {
        let mut masks = vec![0; repairs];
        cover(packets, &mut masks);
        masks
    }

    #[test]
    fn every_packet_is_covered_and_only_packets_are() {
        for packets in 1..=MAX_GROUP {
            for repairs in 1..=MAX_REPAIRS {
                let masks = masks(packets, repairs);
                let covered = masks.iter().fold(0, |all, mask| all | mask);
                assert_eq!(covered, (1 << packets) - 1, "{packets} packets, {repairs} repairs");
            }
        }
        assert_eq!(masks(5, 0), []);
        assert_eq!(masks(3, 1), [0b111]);
    }

    /// Whatever two are lost, of the packets and of the repair packets.
    #[test]
    fn any_two_losses_are_repaired_where_there_are_sets_enough() {
        for (packets, repairs) in [(1, 2), (4, 3), (7, 4), (11, 4), (20, 5), (40, 7), (46, 8)] {
            let masks = masks(packets, repairs);
            for first in 0..packets + repairs {
                for second in 0..first {
                    let lost = 1 << first | 1 << second;
                    assert_eq!(
                        unrepaired(packets, &masks, lost),
                        0,
                        "{packets}+{repairs}: {first}, {second}"
                    );
                }
            }
        }
    }

    #[test]
    fn most_losses_of_three_are_repaired() {
        for (packets, repairs, most_percent) in [(8, 4, 20), (20, 8, 2), (40, 12, 1)] {
            let masks = masks(packets, repairs);
            let all = packets + repairs;
            let (mut tried, mut failed) = (0, 0);
            for first in 0..all {
                for second in 0..first {
                    for third in 0..second {
                        let lost = 1 << first | 1 << second | 1 << third;
                        tried += 1;
                        failed += u32::from(unrepaired(packets, &masks, lost) > 0);
                    }
                }
            }
            assert!(failed * 100 <= tried * most_percent, "{packets}+{repairs}: {failed} of {tried}");
        }
    }
}
