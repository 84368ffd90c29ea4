//! [`Sources`]: what is remembered of each source of a direction, bounded.

use std::collections::VecDeque;

use crate::replay::{ReplayWindow, Seen};

/// Where a source stands. Good until the next source comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At this place.
    Known(usize),
    /// Nowhere: it would stand at this place, and was there before with a packet of this index, if any.
    New { at: usize, ssrc: u32, ended: Option<u64> },
}

/// Why a packet index is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It was used, or nobody knows any more.
    Seen(Seen),
    /// It is a new source, and there are as many as may be.
    TooManySources,
}

/// The replay windows of the sources of one protocol, in the order of their SSRCs.
#[derive(Debug)]
pub(crate) struct Sources {
    windows: Vec<(u32, ReplayWindow)>,
    /// Where the source of the last packet stands: mostly the next one's.
    last: usize,
    /// The sources that were forgotten, the earliest first, with their highest indices: what is not beyond is no packet
    /// of theirs that anybody waits for, but one that somebody has recorded.
    ended: VecDeque<(u32, u64)>,
    window_packets: usize,
    max_sources: usize,
}

impl Sources {
    pub(crate) const fn new(window_packets: usize, max_sources: usize) -> Self {
        Self { windows: Vec::new(), last: 0, ended: VecDeque::new(), window_packets, max_sources }
    }

    pub(crate) fn find(&self, ssrc: u32) -> Place {
        if self.windows.get(self.last).is_some_and(|(known, _)| *known == ssrc) {
            return Place::Known(self.last);
        }
        match self.windows.binary_search_by_key(&ssrc, |(ssrc, _)| *ssrc) {
            Ok(at) => Place::Known(at),
            Err(at) => {
                let ended = self.ended.iter().find(|(ended, _)| *ended == ssrc);
                Place::New { at, ssrc, ended: ended.map(|(_, highest)| *highest) }
            }
        }
    }

    /// The highest index of a source, if it is known or was.
    pub(crate) fn highest(&self, place: Place) -> Option<u64> {
        match place {
            Place::Known(at) => Some(self.windows[at].1.highest()),
            Place::New { ended, .. } => ended,
        }
    }

    /// How many sources are known.
    pub(crate) const fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether a packet may have this index. Changes nothing.
    pub(crate) fn check(&self, place: Place, index: u64) -> Result<(), Refused> {
        match place {
            Place::Known(at) => self.windows[at].1.check(index).map_err(Refused::Seen),
            Place::New { ended: Some(highest), .. } if index <= highest => Err(Refused::Seen(Seen::TooOld)),
            Place::New { .. } if self.windows.len() >= self.max_sources => Err(Refused::TooManySources),
            Place::New { .. } => Ok(()),
        }
    }

    /// Notes a packet that was checked, and is authentic or about to be sent.
    pub(crate) fn note(&mut self, place: Place, index: u64) {
        self.last = match place {
            Place::Known(at) => {
                self.windows[at].1.mark(index);
                at
            }
            Place::New { at, ssrc, ended } => {
                let mut window = ReplayWindow::new(self.window_packets, ended.unwrap_or(index));
                if ended.is_some() {
                    window.close();
                    window.mark(index);
                    self.ended.retain(|(ended, _)| *ended != ssrc);
                }
                self.windows.insert(at, (ssrc, window));
                at
            }
        };
    }

    /// Forgets all of a source but its highest index.
    pub(crate) fn remove(&mut self, ssrc: u32) {
        if let Place::Known(at) = self.find(ssrc) {
            let (_, window) = self.windows.remove(at);
            if self.ended.len() >= self.max_sources {
                self.ended.pop_front();
            }
            self.ended.push_back((ssrc, window.highest()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_found_whichever_came_last() {
        let mut sources = Sources::new(64, 10);
        for ssrc in [5, 1, 9, 3, 7] {
            let place = sources.find(ssrc);
            assert_eq!(sources.highest(place), None);
            sources.note(place, u64::from(ssrc) + 100);
        }
        sources.remove(3);
        sources.remove(4);
        assert_eq!(sources.len(), 4);
        for ssrc in [9, 1, 1, 5, 7, 5] {
            let place = sources.find(ssrc);
            assert_eq!(sources.highest(place), Some(u64::from(ssrc) + 100));
            assert_eq!(sources.check(place, u64::from(ssrc) + 100), Err(Refused::Seen(Seen::Already)));
        }
        assert_eq!(sources.highest(sources.find(4)), None);
    }

    /// What was recorded of a source is not taken after it has ended, and its rollover counter goes on if it comes back.
    #[test]
    fn a_source_that_ended_is_not_replayed() {
        let mut sources = Sources::new(64, 10);
        for index in [70_000, 70_002] {
            sources.note(sources.find(1), index);
        }
        sources.remove(1);
        assert_eq!((sources.len(), sources.highest(sources.find(1))), (0, Some(70_002)));
        for index in [1, 70_000, 70_001, 70_002] {
            assert_eq!(sources.check(sources.find(1), index), Err(Refused::Seen(Seen::TooOld)));
        }
        assert_eq!(sources.check(sources.find(1), 70_003), Ok(()));
        sources.note(sources.find(1), 70_010);
        assert_eq!(sources.len(), 1);
        for index in [69_990, 70_001, 70_002, 70_010] {
            assert!(sources.check(sources.find(1), index).is_err(), "{index}");
        }
        assert_eq!(sources.check(sources.find(1), 70_003), Ok(()));
        // The memory of those that ended is bounded too: the earliest goes.
        for ssrc in 100..111 {
            sources.note(sources.find(ssrc), 5);
            sources.remove(ssrc);
        }
        assert_eq!(sources.highest(sources.find(100)), None);
        assert_eq!(sources.highest(sources.find(101)), Some(5));
    }
}
