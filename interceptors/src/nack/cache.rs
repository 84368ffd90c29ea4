//! The recent packets of one stream, for retransmission.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tombolo_net::ExtSeqNo;

/// The bounds of a [`Cache`].
#[derive(Clone, Copy, Debug)]
pub struct CacheConfig {
    max_packets: u16,
    max_bytes: usize,
    max_age: Duration,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { max_packets: 1024, max_bytes: 1 << 20, max_age: Duration::from_secs(2) }
    }
}

impl CacheConfig {
    /// How many sequence numbers the cache spans, at least 1. Default 1024.
    #[must_use]
    pub const fn max_packets(mut self, packets: u16) -> Self {
        self.max_packets = if packets == 0 { 1 } else { packets };
        self
    }

    /// How many bytes it holds, as told to [`Cache::insert`]. Default 1 MiB.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How old a packet may become. Default 2 s.
    #[must_use]
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }
}

#[derive(Debug)]
struct Slot<P> {
    at: Instant,
    size_bytes: usize,
    packet: P,
}

/// The last packets of one stream by sequence number, bounded by packets, bytes and age.
///
/// `P` is whatever the owner needs to make the packet again: usually header fields and a shared `Bytes`
/// payload. One cache serves all subscribers of a stream. Its table grows to what the bounds make of the stream's
/// rate, and is then used again and again.
#[derive(Debug)]
pub struct Cache<P> {
    config: CacheConfig,
    /// One slot for each number from `oldest` on; neither the first nor the last is empty.
    slots: VecDeque<Option<Slot<P>>>,
    oldest: u64,
    len: usize,
    bytes: usize,
}

impl<P> Cache<P> {
    /// An empty cache.
    #[must_use]
    pub const fn new(config: CacheConfig) -> Self {
        Self { config, slots: VecDeque::new(), oldest: 0, len: 0, bytes: 0 }
    }

    /// Keeps a packet of `size_bytes`. A number that is there already, or that lies below the span, changes
    /// nothing.
    pub fn insert(&mut self, now: Instant, seq: ExtSeqNo, size_bytes: usize, packet: P) {
        self.evict_old(now);
        let Some(index) = self.make_room(seq.0) else { return };
        let slot = &mut self.slots[index];
        if slot.is_some() {
            return;
        }
        *slot = Some(Slot { at: now, size_bytes, packet });
        self.len += 1;
        self.bytes += size_bytes;
        while self.bytes > self.config.max_bytes || self.slots.len() > usize::from(self.config.max_packets) {
            self.evict_oldest();
        }
    }

    /// The packet with this number, when it is there and not too old.
    #[must_use]
    pub fn get(&self, now: Instant, seq: ExtSeqNo) -> Option<&P> {
        let index = usize::try_from(seq.0.checked_sub(self.oldest)?).ok()?;
        let slot = self.slots.get(index)?.as_ref()?;
        (now.saturating_duration_since(slot.at) <= self.config.max_age).then_some(&slot.packet)
    }

    /// The packets that are not too old, the newest first.
    pub fn newest(&self, now: Instant) -> impl Iterator<Item = &P> {
        let max_age = self.config.max_age;
        let slots = self.slots.iter().rev().flatten();
        let young = move |slot: &&Slot<P>| now.saturating_duration_since(slot.at) <= max_age;
        slots.take_while(young).map(|slot| &slot.packet)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.len = 0;
        self.bytes = 0;
    }

    /// How many packets it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes it holds, as told to [`Cache::insert`].
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The slot for `seq`, made if there is none; `None` when `seq` is below what the cache can span. Before the
    /// return to the caller's code the first and the last slot are filled again.
    fn make_room(&mut self, seq: u64) -> Option<usize> {
        let span = u64::from(self.config.max_packets);
        let newest = self.oldest + (self.slots.len() as u64).saturating_sub(1);
        if self.slots.is_empty() || (seq > newest && seq - newest >= span) {
            self.clear();
            self.oldest = seq;
        } else if seq < self.oldest {
            if newest - seq >= span {
                return None;
            }
            for _ in seq..self.oldest {
                self.slots.push_front(None);
            }
            self.oldest = seq;
        }
        // At most twice the span, and less than that for longer than this call.
        let index = (seq - self.oldest) as usize;
        while self.slots.len() <= index {
            self.slots.push_back(None);
        }
        Some(index)
    }

    fn evict_old(&mut self, now: Instant) {
        while let Some(Some(slot)) = self.slots.front()
            && now.saturating_duration_since(slot.at) > self.config.max_age
        {
            self.evict_oldest();
        }
    }

    /// Removes the oldest packet and the empty slots behind it.
    fn evict_oldest(&mut self) {
        if let Some(Some(slot)) = self.slots.pop_front() {
            self.len -= 1;
            self.bytes -= slot.size_bytes;
        }
        self.oldest += 1;
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.oldest += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::at;

    fn cache(packets: u16, bytes: usize) -> Cache<u64> {
        let config = CacheConfig::default().max_packets(packets).max_bytes(bytes);
        Cache::new(config.max_age(Duration::from_millis(500)))
    }

    fn held(cache: &Cache<u64>, now: Instant) -> Vec<u64> {
        (0..100).filter(|&seq| cache.get(now, ExtSeqNo(seq)) == Some(&seq)).collect()
    }

    #[test]
    fn the_last_packets_stay_within_the_count() {
        let mut cache = cache(4, 1000);
        for seq in 0..10 {
            cache.insert(at(0), ExtSeqNo(seq), 10, seq);
        }
        assert_eq!(held(&cache, at(0)), [6, 7, 8, 9]);
        assert_eq!((cache.len(), cache.bytes()), (4, 40));
    }

    #[test]
    fn bytes_bound_it_too() {
        let mut cache = cache(16, 30);
        for seq in [1, 2, 5, 6] {
            cache.insert(at(0), ExtSeqNo(seq), 10, seq);
        }
        assert_eq!(held(&cache, at(0)), [2, 5, 6]);
        cache.insert(at(0), ExtSeqNo(7), 31, 7);
        assert_eq!((cache.len(), cache.bytes()), (0, 0), "a packet beyond the bound is not kept");
        cache.insert(at(0), ExtSeqNo(8), 30, 8);
        assert_eq!(held(&cache, at(0)), [8]);
    }

    #[test]
    fn age_hides_and_then_frees() {
        let mut cache = cache(16, 1000);
        cache.insert(at(0), ExtSeqNo(1), 10, 1);
        cache.insert(at(400), ExtSeqNo(2), 10, 2);
        assert_eq!(held(&cache, at(501)), [2]);
        cache.insert(at(600), ExtSeqNo(3), 10, 3);
        assert_eq!((cache.len(), cache.bytes()), (2, 20));
    }

    #[test]
    fn the_newest_come_first_without_those_that_are_too_old() {
        let mut cache = cache(16, 1000);
        for (ms, seq) in [(0, 1), (400, 2), (450, 4)] {
            cache.insert(at(ms), ExtSeqNo(seq), 10, seq);
        }
        assert!(cache.newest(at(500)).eq(&[4, 2, 1]));
        assert!(cache.newest(at(501)).eq(&[4, 2]));
        assert_eq!(cache.newest(at(2000)).next(), None);
    }

    #[test]
    fn late_packets_find_their_place_and_ancient_ones_do_not() {
        let mut cache = cache(8, 1000);
        for seq in [20, 22, 18, 21, 14, 22] {
            cache.insert(at(0), ExtSeqNo(seq), 10, seq);
        }
        assert_eq!(held(&cache, at(0)), [18, 20, 21, 22]);
        assert_eq!(cache.bytes(), 40, "a duplicate is not counted twice");
    }

    #[test]
    fn a_far_jump_empties_it() {
        let mut cache = cache(8, 1000);
        cache.insert(at(0), ExtSeqNo(1), 10, 1);
        cache.insert(at(0), ExtSeqNo(90), 10, 90);
        assert_eq!(held(&cache, at(0)), [90]);
        cache.insert(at(0), ExtSeqNo(u64::MAX - 1), 10, 0);
        assert_eq!(cache.len(), 1);
    }
}
