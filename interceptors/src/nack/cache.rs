//! The recent packets of one stream, for retransmission.

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

/// A ring of the last packets of one stream by sequence number, bounded by packets, bytes and age.
///
/// `P` is whatever the owner needs to make the packet again: usually header fields and a shared `Bytes`
/// payload. One cache serves all subscribers of a stream.
#[derive(Debug)]
pub struct Cache<P> {
    config: CacheConfig,
    slots: Vec<Option<Slot<P>>>,
    /// The span that may hold packets, both ends included; meaningless while `len` is 0.
    oldest: u64,
    newest: u64,
    len: usize,
    bytes: usize,
}

impl<P> Cache<P> {
    /// An empty cache; the ring of slots is allocated here, once.
    #[must_use]
    pub fn new(config: CacheConfig) -> Self {
        let slots = (0..config.max_packets.max(1)).map(|_| None).collect();
        Self { config, slots, oldest: 0, newest: 0, len: 0, bytes: 0 }
    }

    /// Keeps a packet of `size_bytes`. A number that is there already, or that lies below the span, changes
    /// nothing.
    pub fn insert(&mut self, now: Instant, seq: ExtSeqNo, size_bytes: usize, packet: P) {
        self.evict_old(now);
        if !self.make_room(seq.0) {
            return;
        }
        let index = self.index(seq.0);
        if self.slots[index].is_some() {
            return;
        }
        self.slots[index] = Some(Slot { at: now, size_bytes, packet });
        self.len += 1;
        self.bytes += size_bytes;
        while self.bytes > self.config.max_bytes {
            self.evict_oldest();
        }
    }

    /// The packet with this number, when it is there and not too old.
    #[must_use]
    pub fn get(&self, now: Instant, seq: ExtSeqNo) -> Option<&P> {
        if self.len == 0 || seq.0 < self.oldest || seq.0 > self.newest {
            return None;
        }
        let slot = self.slots[self.index(seq.0)].as_ref()?;
        (now.saturating_duration_since(slot.at) <= self.config.max_age).then_some(&slot.packet)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.slots.fill_with(|| None);
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

    /// Moves the span so that it includes `seq`; `false` when `seq` is below what the ring can span.
    fn make_room(&mut self, seq: u64) -> bool {
        let span = self.slots.len() as u64;
        if self.len == 0 || (seq > self.newest && seq - self.newest >= span) {
            self.clear();
            (self.oldest, self.newest) = (seq, seq);
        } else if seq > self.newest {
            self.newest = seq;
            while self.newest - self.oldest >= span {
                self.remove(self.oldest);
                self.oldest += 1;
            }
        } else if seq < self.oldest {
            if self.newest - seq >= span {
                return false;
            }
            self.oldest = seq;
        }
        true
    }

    fn evict_old(&mut self, now: Instant) {
        while self.len > 0 {
            if let Some(slot) = &self.slots[self.index(self.oldest)]
                && now.saturating_duration_since(slot.at) <= self.config.max_age
            {
                return;
            }
            self.evict_oldest();
        }
    }

    /// Narrows the span by one number; while `len` is above 0 there is one to come.
    fn evict_oldest(&mut self) {
        self.remove(self.oldest);
        self.oldest += 1;
    }

    fn remove(&mut self, seq: u64) {
        let index = self.index(seq);
        if let Some(slot) = self.slots[index].take() {
            self.len -= 1;
            self.bytes -= slot.size_bytes;
        }
    }

    fn index(&self, seq: u64) -> usize {
        (seq % self.slots.len() as u64) as usize
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
