//! Who asks for keyframes, and how often each is heard.

use std::time::{Duration, Instant};

/// How a [`Requesters`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct RequestersConfig {
    min_interval: Duration,
    max_interval: Duration,
    max_requesters: usize,
}

impl Default for RequestersConfig {
    fn default() -> Self {
        Self {
            min_interval: Duration::from_millis(200),
            max_interval: Duration::from_secs(1),
            max_requesters: 1024,
        }
    }
}

impl RequestersConfig {
    /// The shortest time between two requests of one requester that are heard. Default 200 ms.
    #[must_use]
    pub const fn min_interval(mut self, interval: Duration) -> Self {
        self.min_interval = interval;
        self
    }

    /// The longest such time, whatever the round trip. Default 1 s.
    #[must_use]
    pub const fn max_interval(mut self, interval: Duration) -> Self {
        self.max_interval = interval;
        self
    }

    /// How many requesters are known apart, at least 1; of more, the one that was heard longest ago is forgotten. Default 1024.
    #[must_use]
    pub const fn max_requesters(mut self, requesters: usize) -> Self {
        self.max_requesters = if requesters == 0 { 1 } else { requesters };
        self
    }
}

/// Hears each of many requesters of one stream's keyframes as often as makes sense, and no one more often: before two round trips
/// have passed, one cannot have seen what its last request has brought.
///
/// `K` tells them apart. A request of nobody in particular needs a key, too (an `Option` will do): one without would pass all
/// limits. What is heard goes to a [`Requester`](super::Requester) or a [`Budget`](super::Budget), which all share.
#[derive(Clone, Debug)]
pub struct Requesters<K> {
    config: RequestersConfig,
    /// Who was heard and when, the latest last.
    heard: Vec<(K, Instant)>,
    refused: u64,
}

impl<K: Copy + Eq> Requesters<K> {
    /// Nobody was heard yet.
    #[must_use]
    pub const fn new(config: RequestersConfig) -> Self {
        Self { config, heard: Vec::new(), refused: 0 }
    }

    /// Whether a request that came in counts. `rtt` is the round trip to the requester, where it is known. One that does not
    /// count is not remembered: who still needs a keyframe asks again.
    pub fn hear(&mut self, now: Instant, who: K, rtt: Option<Duration>) -> bool {
        let RequestersConfig { min_interval, max_interval, max_requesters } = self.config;
        let interval = rtt.map_or(min_interval, |rtt| (rtt * 2).max(min_interval).min(max_interval));
        let known = self.heard.iter().position(|&(known, _)| known == who);
        if known.is_some_and(|at| now.saturating_duration_since(self.heard[at].1) < interval) {
            self.refused += 1;
            return false;
        }
        match known {
            Some(at) => drop(self.heard.remove(at)),
            None if self.heard.len() >= max_requesters => drop(self.heard.remove(0)),
            None => {}
        }
        self.heard.push((who, now));
        true
    }

    /// How many requests did not count.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::at;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_is_heard_once_in_two_round_trips_within_bounds() {
        for (rtt, interval) in [(None, 200), (Some(20), 200), (Some(150), 300), (Some(900), 1000)] {
            let mut requesters = Requesters::new(RequestersConfig::default());
            let rtt = rtt.map(|rtt| MS * rtt);
            let heard: Vec<_> = (0..2500).filter(|&ms| requesters.hear(at(ms), 'a', rtt)).collect();
            let expected: Vec<_> = (0..2500).step_by(interval).collect();
            assert_eq!(heard, expected, "{rtt:?}");
            assert_eq!(requesters.refused(), 2500 - expected.len() as u64);
        }
    }

    #[test]
    fn one_does_not_hold_up_another_and_nobody_in_particular_is_one_too() {
        let mut requesters = Requesters::new(RequestersConfig::default());
        assert!(requesters.hear(at(0), Some(1), None));
        assert!(requesters.hear(at(1), Some(2), None));
        assert!(requesters.hear(at(2), None, None));
        assert_eq!([Some(1), Some(2), None].map(|who| requesters.hear(at(100), who, None)), [false; 3]);
    }

    #[test]
    fn a_crowd_is_bounded_and_forgets_who_was_heard_longest_ago() {
        let mut requesters = Requesters::new(RequestersConfig::default().max_requesters(3));
        for who in 0..1000 {
            assert!(requesters.hear(at(0), who, None));
        }
        assert_eq!(requesters.heard.len(), 3);
        assert!(!requesters.hear(at(1), 999, None) && requesters.hear(at(1), 0, None));
    }
}
