//! Which parts of a message are here, or have arrived.

/// Ranges of bytes that neither overlap nor touch, in order: start and end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pieces(Vec<(usize, usize)>);

impl Pieces {
    /// Adds a range and joins what it touches. `false`: there would be more than `max` ranges, and nothing changed.
    pub(crate) fn add(&mut self, mut start: usize, mut end: usize, max: usize) -> bool {
        let first = self.0.partition_point(|piece| piece.1 < start);
        let last = self.0.partition_point(|piece| piece.0 <= end);
        if first == last && self.0.len() >= max {
            return false;
        }
        if let Some((from, to)) = self.0.get(first).zip(self.0[..last].last())
            && first < last
        {
            start = start.min(from.0);
            end = end.max(to.1);
        }
        self.0.splice(first..last, [(start, end)]);
        true
    }

    /// Whether all of `0..len` is there.
    pub(crate) fn cover(&self, len: usize) -> bool {
        len == 0 || self.0 == [(0, len)]
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The first range at or after `from` that is missing of `0..len`.
    pub(crate) fn next_gap(&self, from: usize, len: usize) -> Option<(usize, usize)> {
        let mut start = from;
        for (piece_start, piece_end) in &self.0 {
            if *piece_start > start {
                return Some((start, (*piece_start).min(len)));
            }
            start = start.max(*piece_end);
        }
        (start < len).then_some((start, len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined_and_gaps_are_found() {
        let mut pieces = Pieces::default();
        assert_eq!(pieces.next_gap(0, 10), Some((0, 10)));
        assert!(pieces.add(2, 4, 2) && pieces.add(6, 8, 2));
        assert!(!pieces.add(9, 10, 2), "too many");
        assert_eq!(pieces.next_gap(0, 10), Some((0, 2)));
        assert_eq!(pieces.next_gap(2, 10), Some((4, 6)));
        assert_eq!(pieces.next_gap(5, 10), Some((5, 6)));
        assert_eq!(pieces.next_gap(7, 10), Some((8, 10)));
        assert!(pieces.add(0, 2, 2) && pieces.add(8, 10, 2) && !pieces.cover(10));
        assert!(pieces.add(4, 6, 2) && pieces.cover(10));
        assert_eq!(pieces.next_gap(0, 10), None);
        assert!(Pieces::default().cover(0));
    }

    /// Beside a set of single bytes.
    #[test]
    fn agrees_with_a_set_of_bytes() {
        let mut state = 1_u64;
        let mut draw = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        for _ in 0..200 {
            let (mut pieces, mut bytes) = (Pieces::default(), [false; 40]);
            for _ in 0..12 {
                let start = draw(39);
                let end = start + 1 + draw(40 - start);
                assert!(pieces.add(start, end, 64));
                bytes[start..end].fill(true);
                let from = draw(40);
                let gap = (from..40).find(|at| !bytes[*at]);
                let expected = gap.map(|at| (at, (at..40).find(|at| bytes[*at]).unwrap_or(40)));
                assert_eq!(pieces.next_gap(from, 40), expected);
                assert_eq!(pieces.cover(40), bytes.iter().all(|byte| *byte));
            }
        }
    }
}
