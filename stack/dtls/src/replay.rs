//! The anti-replay window (RFC 6347 §4.1.2.6, RFC 9147 §4.5.1) and the rest of cut numbers (RFC 9147 §4.2.2).

/// Which of the last 256 sequence numbers were seen: a quick path may have that many in flight, and change their order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReplayWindow {
    /// One more than the highest number seen.
    next: u64,
    /// Whether a number was seen stands at its remainder.
    seen: [u64; Self::WORDS],
}

impl ReplayWindow {
    const WORDS: usize = 4;
    const LEN: u64 = 64 * Self::WORDS as u64;

    /// Where the bit of a number stands: the word, and the bit in it.
    const fn place(sequence: u64) -> (usize, u64) {
        ((sequence % Self::LEN / 64) as usize, 1 << (sequence % 64))
    }

    /// Whether a record with this number may be new. Changes nothing: a record moves the window only after it has
    /// authenticated.
    pub(crate) const fn is_new(&self, sequence: u64) -> bool {
        if sequence >= self.next {
            return true;
        }
        let (word, bit) = Self::place(sequence);
        self.next - 1 - sequence < Self::LEN && self.seen[word] & bit == 0
    }

    /// Whether no higher number was seen.
    pub(crate) const fn is_newest(&self, sequence: u64) -> bool {
        sequence >= self.next
    }

    /// The number whose low `bits` are `low` and which is closest to the one that is expected next.
    pub(crate) const fn expand(&self, low: u64, bits: u32) -> u64 {
        let size = 1 << bits;
        let candidate = self.next & !(size - 1) | low;
        if candidate + size / 2 < self.next {
            candidate + size
        } else if candidate > self.next + size / 2 && candidate >= size {
            candidate - size
        } else {
            candidate
        }
    }

    /// Marks the number of a record that has authenticated.
    pub(crate) const fn mark(&mut self, sequence: u64) {
        if sequence >= self.next + Self::LEN {
            self.seen = [0; Self::WORDS];
        }
        // What was passed over takes the places of numbers that are now too old.
        let mut passed = if sequence >= self.next + Self::LEN { sequence } else { self.next };
        while passed < sequence {
            let (word, bit) = Self::place(passed);
            self.seen[word] &= !bit;
            passed += 1;
        }
        if sequence >= self.next {
            self.next = sequence + 1;
        }
        if self.next - 1 - sequence < Self::LEN {
            let (word, bit) = Self::place(sequence);
            self.seen[word] |= bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_new_once_in_any_order_within_the_window() {
        let mut window = ReplayWindow::default();
        for sequence in [0, 5, 3, 255, 1, 4, 256, 2] {
            assert!(window.is_new(sequence), "{sequence}");
            window.mark(sequence);
            assert!(!window.is_new(sequence), "{sequence}");
        }
        assert!(!window.is_new(0), "left of the window");
        assert!(window.is_new(6));
        window.mark(1000);
        assert!(!window.is_new(256) && !window.is_new(744));
        assert!(window.is_new(745) && window.is_new(999));
        window.mark((1 << 48) - 1);
        assert!(!window.is_new((1 << 48) - 1));
    }

    #[test]
    fn cut_numbers_are_the_closest_ones() {
        for next in [0, 1, 100, 127, 128, 200, 255, 256, 300, 1000, 65_535, 65_536, (1 << 48) - 1] {
            let window = ReplayWindow { next, seen: [0; 4] };
            for low in 0..256_u64 {
                let all = (next.saturating_sub(600)..next + 600).filter(|number| number % 256 == low);
                let distance = |number: u64| number.abs_diff(next);
                let closest = all.clone().map(distance).min();
                let expanded = window.expand(low, 8);
                assert_eq!((expanded % 256, Some(distance(expanded))), (low, closest), "next {next}");
            }
            assert_eq!(window.expand(next & 0xffff, 16), next);
        }
    }

    /// Beside a set of all numbers seen.
    #[test]
    fn agrees_with_a_naive_window() {
        let mut window = ReplayWindow::default();
        let mut all = std::collections::BTreeSet::new();
        let mut sequence = 0u64;
        for step in 0..2_000u64 {
            sequence = (sequence + step * step % 397).saturating_sub(step * 7 % 283);
            let high: u64 = all.last().copied().unwrap_or(0);
            let expected = !all.contains(&sequence) && (all.is_empty() || sequence + 256 > high);
            assert_eq!(window.is_new(sequence), expected, "step {step}, number {sequence}");
            if expected {
                window.mark(sequence);
                all.insert(sequence);
            }
        }
    }
}
