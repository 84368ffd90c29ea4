//! [`ReplayWindow`]: which indices of a source were seen (RFC 3711 §3.3.2).

/// A sliding bitmap. The bits stand in a ring of words, at least one word more than the window needs, so that moving
/// forward clears whole words, and a power of two, so that finding one takes no division.
#[derive(Clone, Debug)]
pub(crate) struct ReplayWindow {
    words: Box<[u64]>,
    packets: u64,
    highest: u64,
}

/// Why an index may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It was used.
    Already,
    /// It is so far behind that nobody knows.
    TooOld,
}

impl ReplayWindow {
    /// A window of `packets`, a multiple of 64, whose first index is `first`.
    pub(crate) fn new(packets: usize, first: u64) -> Self {
        let words = vec![0; (packets / 64 + 1).next_power_of_two()].into_boxed_slice();
        let mut window = Self { words, packets: packets as u64, highest: first };
        window.mark(first);
        window
    }

    /// The highest index so far.
    pub(crate) const fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether `index` is new.
    pub(crate) fn check(&self, index: u64) -> Result<(), Seen> {
        if index > self.highest {
            return Ok(());
        }
        if self.highest - index >= self.packets {
            return Err(Seen::TooOld);
        }
        if self.words[self.word(index)] >> (index % 64) & 1 != 0 { Err(Seen::Already) } else { Ok(()) }
    }

    /// Notes `index`, which was checked.
    pub(crate) fn mark(&mut self, index: u64) {
        if index > self.highest {
            let fresh = (index / 64 - self.highest / 64).min(self.words.len() as u64);
            for step in 0..fresh {
                let word = self.word(index - step * 64);
                self.words[word] = 0;
            }
            self.highest = index;
        }
        let word = self.word(index);
        self.words[word] |= 1 << (index % 64);
    }

    /// Takes every index up to the highest for used.
    pub(crate) fn close(&mut self) {
        self.words.fill(u64::MAX);
        let last = self.word(self.highest);
        self.words[last] >>= 63 - self.highest % 64;
    }

    const fn word(&self, index: u64) -> usize {
        (index / 64) as usize & (self.words.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_window_is_as_wide_as_it_says() {
        let mut window = ReplayWindow::new(64, 0);
        window.mark(1000);
        assert_eq!(window.check(1000), Err(Seen::Already));
        assert_eq!(window.check(937), Ok(()));
        assert_eq!(window.check(936), Err(Seen::TooOld));
        window.mark(937);
        assert_eq!(window.check(937), Err(Seen::Already));
    }

    proptest! {
        /// Beside a set of all indices.
        #[test]
        fn it_agrees_with_a_set(
            words in 1usize..5,
            first in 0u64..500,
            steps in proptest::collection::vec(prop_oneof![4 => -100i64..100, 1 => -400i64..400], 0..300),
        ) {
            let size = words * 64;
            let mut window = ReplayWindow::new(size, first);
            let mut seen = BTreeSet::from([first]);
            for step in steps {
                let highest = *seen.last().unwrap();
                let Some(index) = highest.checked_add_signed(step) else { continue };
                let expected = if highest >= size as u64 && index <= highest - size as u64 {
                    Err(Seen::TooOld)
                } else if seen.contains(&index) {
                    Err(Seen::Already)
                } else {
                    Ok(())
                };
                prop_assert_eq!(window.check(index), expected);
                if expected.is_ok() {
                    window.mark(index);
                    seen.insert(index);
                }
                prop_assert_eq!(window.highest(), *seen.last().unwrap());
            }
        }
    }
}
