//! The per-packet and per-frame work of the stack and the gateway, one scenario each.
//!
//! A scenario is made once, warmed up, and then run a number of times. It must do the same work each time.

#[cfg(feature = "gateway")]
mod core;
mod frames;
mod interceptors;
mod media;
mod null_cipher;
mod rtp;
mod srtp;

pub use frames::{L16, MAX_PAYLOAD, frame};
pub use null_cipher::null_provider;
pub use rtp::browser_packet;
pub use srtp::{FAN_OUT, LONG, SHORT};

/// One kind of work.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The name, as `baseline.csv` has it.
    pub name: &'static str,
    make: fn() -> Work,
}

/// What does the work of one iteration.
pub type Work = Box<dyn FnMut()>;

/// How often a scenario runs before it is measured, so that tables have grown and sources are known.
const WARM_UP: usize = 512;

impl Scenario {
    const fn new(name: &'static str, make: fn() -> Work) -> Self {
        Self { name, make }
    }

    /// The work, warmed up.
    #[must_use]
    pub fn prepare(&self) -> Work {
        let mut work = (self.make)();
        (0..WARM_UP).for_each(|_| work());
        work
    }
}

/// All scenarios.
#[must_use]
pub fn all() -> Vec<Scenario> {
    let stack =
        [srtp::SCENARIOS, rtp::SCENARIOS, frames::SCENARIOS, interceptors::SCENARIOS, media::SCENARIOS]
            .concat();
    #[cfg(feature = "gateway")]
    let stack = [&stack[..], core::SCENARIOS].concat();
    stack
}

/// The scenario with this name.
#[must_use]
pub fn find(name: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_different_and_found() {
        let names: BTreeSet<_> = all().iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all().len());
        assert!(find("srtp-gcm-protect").is_some() && find("nothing").is_none());
    }

    /// Every scenario runs: the work inside asserts that it was done.
    #[test]
    fn every_scenario_runs() {
        for scenario in all() {
            let mut work = scenario.prepare();
            (0..50).for_each(|_| work());
        }
    }
}
