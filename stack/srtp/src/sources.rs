//! [`Sources`]: what is remembered of each source of a direction, bounded.

use std::collections::BTreeMap;

use crate::replay::{ReplayWindow, Seen};

/// A packet index that was checked and not yet noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fresh {
    ssrc: u32,
    index: u64,
}

/// Why a packet index is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It was used, or nobody knows any more.
    Seen(Seen),
    /// It is a new source, and there are as many as may be.
    TooManySources,
    /// The key has protected as many packets as it may.
    Lifetime,
}

/// The replay windows of the sources of one protocol, and the count of packets under the key.
#[derive(Debug)]
pub(crate) struct Sources {
    windows: BTreeMap<u32, ReplayWindow>,
    window_packets: usize,
    max_sources: usize,
    packets: u64,
    lifetime_packets: u64,
}

impl Sources {
    pub(crate) const fn new(window_packets: usize, max_sources: usize, lifetime_packets: u64) -> Self {
        Self { windows: BTreeMap::new(), window_packets, max_sources, packets: 0, lifetime_packets }
    }

    /// The highest index of a source, if it is known.
    pub(crate) fn highest(&self, ssrc: u32) -> Option<u64> {
        self.windows.get(&ssrc).map(ReplayWindow::highest)
    }

    /// How many sources are known.
    pub(crate) fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether a packet may have this index. Changes nothing.
    pub(crate) fn check(&self, ssrc: u32, index: u64) -> Result<Fresh, Refused> {
        if self.packets >= self.lifetime_packets {
            return Err(Refused::Lifetime);
        }
        match self.windows.get(&ssrc) {
            Some(window) => window.check(index).map_err(Refused::Seen)?,
            None if self.windows.len() >= self.max_sources => return Err(Refused::TooManySources),
            None => {}
        }
        Ok(Fresh { ssrc, index })
    }

    /// Notes a packet that is authentic, or is about to be sent.
    pub(crate) fn note(&mut self, Fresh { ssrc, index }: Fresh) {
        self.packets += 1;
        match self.windows.get_mut(&ssrc) {
            Some(window) => window.mark(index),
            None => {
                self.windows.insert(ssrc, ReplayWindow::new(self.window_packets, index));
            }
        }
    }

    /// Forgets a source.
    pub(crate) fn remove(&mut self, ssrc: u32) {
        self.windows.remove(&ssrc);
    }
}
