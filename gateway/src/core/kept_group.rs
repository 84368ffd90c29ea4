//! The group of pictures since the last keyframe, kept for joiners where the publisher cannot be asked for a keyframe.

use std::time::{Duration, Instant};

/// What a kept group may grow to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) age: Duration,
    pub(super) bytes: usize,
}

/// Everything since the last keyframe, within a [`Bound`]; nothing once the bound is passed, until the next keyframe.
#[derive(Clone, Debug)]
pub(super) struct KeptGroup<T> {
    items: Vec<T>,
    bytes: usize,
    span: Option<(Instant, Instant)>,
}

impl<T> Default for KeptGroup<T> {
    fn default() -> Self {
        Self { items: Vec::new(), bytes: 0, span: None }
    }
}

impl<T> KeptGroup<T> {
    /// Begins a group with the first item of a keyframe.
    pub(super) fn begin(&mut self, now: Instant, bound: Bound, item: T, bytes: usize) {
        self.items.clear();
        self.bytes = 0;
        self.span = Some((now, now));
        self.push(now, bound, item, bytes);
    }

    /// Goes on with a group; without one, nothing is kept.
    pub(super) fn push(&mut self, now: Instant, bound: Bound, item: T, bytes: usize) {
        let Some((first, last)) = &mut self.span else {
            return;
        };
        *last = now;
        if self.bytes + bytes > bound.bytes || now.saturating_duration_since(*first) > bound.age {
            self.clear();
            return;
        }
        self.bytes += bytes;
        self.items.push(item);
    }

    /// Takes over the same group in another form, as long as that is within `other`'s bound, give or take headers.
    pub(super) fn replace<U>(&mut self, items: Vec<T>, size: impl Fn(&T) -> usize, other: &KeptGroup<U>) {
        self.bytes = items.iter().map(size).sum();
        self.items = items;
        self.span = other.span;
    }

    /// All that is kept, live or not.
    pub(super) fn items(&self) -> &[T] {
        &self.items
    }

    /// Forgets the group and its memory.
    pub(super) fn clear(&mut self) {
        if self.span.is_some() {
            *self = Self::default();
        }
    }

    /// The items, when the newest of them is no older than `edge`: what is older is not live.
    pub(super) fn live(&self, now: Instant, edge: Duration) -> Option<&[T]> {
        let (_, last) = self.span?;
        (now.saturating_duration_since(last) <= edge && !self.items.is_empty()).then_some(&self.items)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound { age: Duration::from_secs(2), bytes: 100 };

    #[test]
    fn a_group_past_its_bytes_is_gone_until_the_next_keyframe() {
        let now = Instant::now();
        let mut group = KeptGroup::default();
        group.push(now, BOUND, 0, 1);
        assert_eq!(group.live(now, BOUND.age), None, "no keyframe yet");
        group.begin(now, BOUND, 1, 60);
        group.push(now, BOUND, 2, 40);
        assert_eq!(group.live(now, BOUND.age), Some(&[1, 2][..]));
        group.push(now, BOUND, 3, 1);
        assert_eq!((group.live(now, BOUND.age), group.bytes()), (None, 0));
        group.push(now, BOUND, 4, 1);
        assert_eq!(group.live(now, BOUND.age), None);
        group.begin(now, BOUND, 5, 1);
        assert_eq!(group.live(now, BOUND.age), Some(&[5][..]));
    }

    #[test]
    fn a_group_past_its_age_is_gone_and_a_stale_one_is_not_live() {
        let now = Instant::now();
        let mut group = KeptGroup::default();
        group.begin(now, BOUND, 1, 1);
        let edge = Duration::from_secs(1);
        assert!(group.live(now + edge, edge).is_some());
        assert!(group.live(now + edge * 3 / 2, edge).is_none());
        group.push(now + BOUND.age * 2, BOUND, 2, 1);
        assert!(group.live(now + BOUND.age * 2, edge).is_none());
    }
}
