//! Which counters of a key were seen (RFC 9605 §9.3, after RFC 3711 §3.3.2).

/// How far behind the newest a frame may come. Streams that share a key take turns at its counters.
const WINDOW: u64 = 1024;
const WORD: u64 = u64::BITS as u64;

/// The counters that were seen of the last 1024.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplayWindow {
    /// One above the newest.
    next: u64,
    seen: [u64; (WINDOW / WORD) as usize],
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self { next: 0, seen: [0; (WINDOW / WORD) as usize] }
    }
}

impl ReplayWindow {
    fn bit(counter: u64) -> (usize, u64) {
        ((counter % WINDOW / WORD) as usize, 1 << (counter % WORD))
    }

    /// Whether it was not seen, and is not too old to tell.
    pub(super) fn is_new(&self, counter: u64) -> bool {
        if counter >= self.next {
            return true;
        }
        let (word, bit) = Self::bit(counter);
        self.next - counter <= WINDOW && self.seen[word] & bit == 0
    }

    /// Takes note of the counter of a frame that was authentic.
    pub(super) fn insert(&mut self, counter: u64) {
        if counter >= self.next {
            if counter - self.next >= WINDOW {
                self.seen = Self::default().seen;
            } else {
                for skipped in self.next..counter {
                    let (word, bit) = Self::bit(skipped);
                    self.seen[word] &= !bit;
                }
            }
            self.next = counter.saturating_add(1);
        }
        let (word, bit) = Self::bit(counter);
        self.seen[word] |= bit;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a set of all that was seen.
        #[test]
        fn each_counter_is_new_once(steps in prop::collection::vec((any::<bool>(), 0..3000_u64), 1..200)) {
            let (mut window, mut seen, mut newest) = (ReplayWindow::default(), BTreeSet::new(), 0_u64);
            for (forward, by) in steps {
                let counter = if forward { newest + by % 1100 } else { newest.saturating_sub(by) };
                let too_old = seen.last().is_some_and(|&last| last + 1 - counter.min(last) > WINDOW);
                let expected = !too_old && !seen.contains(&counter);
                prop_assert_eq!(window.is_new(counter), expected);
                if expected {
                    window.insert(counter);
                    seen.insert(counter);
                    newest = newest.max(counter);
                }
            }
        }
    }
}
