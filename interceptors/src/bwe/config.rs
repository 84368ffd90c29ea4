//! [`EstimatorConfig`].

use tombolo_net::Bitrate;

/// Where an estimator begins, and what it never leaves.
#[derive(Clone, Copy, Debug)]
pub struct EstimatorConfig {
    pub(crate) initial: Bitrate,
    pub(crate) min: Bitrate,
    pub(crate) max: Bitrate,
}

impl Default for EstimatorConfig {
    fn default() -> Self {
        let (initial, min) = (Bitrate::from_kbps(300), Bitrate::from_kbps(30));
        Self { initial, min, max: Bitrate::from_kbps(100_000) }
    }
}

impl EstimatorConfig {
    /// The estimate before anything is known. Default 300 kb/s.
    #[must_use]
    pub const fn initial(mut self, initial: Bitrate) -> Self {
        self.initial = initial;
        self
    }

    /// The estimate never falls below this. Default 30 kb/s.
    #[must_use]
    pub const fn min(mut self, min: Bitrate) -> Self {
        self.min = min;
        self
    }

    /// The estimate never rises above this. Default 100 Mb/s.
    #[must_use]
    pub const fn max(mut self, max: Bitrate) -> Self {
        self.max = max;
        self
    }

    /// A rate in bits per second, within the bounds.
    pub(crate) fn clamp(&self, bps: f64) -> f64 {
        let (min, max) = (self.min.as_bps() as f64, self.max.as_bps() as f64);
        bps.clamp(min, max.max(min))
    }
}
