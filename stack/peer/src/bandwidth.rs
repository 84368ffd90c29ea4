//! [`BandwidthEstimation`]: which estimator a connection paces its packets by.

use std::fmt;
use std::sync::Arc;

use tombolo_interceptors::bwe::{BandwidthEstimator, EstimatorConfig};
use tombolo_interceptors::gcc::Gcc;
use tombolo_interceptors::pacer::PacerConfig;
use tombolo_interceptors::scream::Scream;

type Factory = dyn Fn() -> Box<dyn BandwidthEstimator + Send> + Send + Sync;

/// How connections estimate what the way to the peer carries, and pace what they send.
///
/// Packets wait in a queue of 4 MiB at most ([`PacerConfig::max_bytes`]) and leave at the estimate's pace: sound first, then
/// retransmissions, keyframes, and the rest. Probes find out whether more would go; where media do not suffice they are filled
/// up with repetitions over RTX (RFC 4588), to peers that have it. What the estimator goes by is the peer's feedback about each
/// packet (transport-wide, or RFC 8888); to a peer without it, its REMB is the estimate. To a peer that knows neither packets leave at once, and nothing is told.
///
/// ```
/// use tombolo::BandwidthEstimation;
/// use tombolo::interceptors::bwe::EstimatorConfig;
/// use tombolo::net::Bitrate;
///
/// let bounds = EstimatorConfig::default().initial(Bitrate::from_kbps(500)).max(Bitrate::from_kbps(4000));
/// let estimation = BandwidthEstimation::gcc(bounds);
/// # let provider = tombolo::crypto::CryptoProvider::default();
/// # let (start, month) = (std::time::SystemTime::now(), std::time::Duration::from_secs(30 * 86_400));
/// # let seed = tombolo::net::Seed([1; 32]);
/// # let certificate = tombolo::dtls::Certificate::self_signed(&provider, &seed, start, start + month).unwrap();
/// let config = tombolo::Config::builder(certificate).bandwidth_estimation(estimation).build().unwrap();
/// // In the loop of a driver, encoders follow the event:
/// // Event::AvailableBitrate { target, .. } => encoder.set_bitrate(target),
/// ```
#[derive(Clone)]
pub struct BandwidthEstimation {
    make: Arc<Factory>,
    pacer: PacerConfig,
}

impl BandwidthEstimation {
    /// By delay, losses and probes ([`Gcc`]): what browsers do, and the better choice beside other traffic.
    #[must_use]
    pub fn gcc(config: EstimatorConfig) -> Self {
        Self::new(move || Box::new(Gcc::new(config)))
    }

    /// By a window, delay, losses and marks of L4S ([`Scream`]): shorter queues where the network marks.
    #[must_use]
    pub fn scream(config: EstimatorConfig) -> Self {
        Self::new(move || Box::new(Scream::new(config)))
    }

    /// By an estimator of one's own. `make` is called once for each connection.
    #[must_use]
    pub fn new(make: impl Fn() -> Box<dyn BandwidthEstimator + Send> + Send + Sync + 'static) -> Self {
        Self { make: Arc::new(make), pacer: PacerConfig::default() }
    }

    /// How packets are paced. Default: [`PacerConfig::default`].
    #[must_use]
    pub const fn pacer(mut self, config: PacerConfig) -> Self {
        self.pacer = config;
        self
    }

    pub(crate) fn make(&self) -> Box<dyn BandwidthEstimator + Send> {
        (self.make)()
    }

    pub(crate) const fn pacer_config(&self) -> PacerConfig {
        self.pacer
    }
}

impl fmt::Debug for BandwidthEstimation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BandwidthEstimation").field("pacer", &self.pacer).finish_non_exhaustive()
    }
}
