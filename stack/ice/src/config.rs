//! What an application chooses about an [`Agent`](crate::Agent).

use std::time::Duration;

use thiserror::Error;

/// The least time between two new checks (RFC 8445 §14.2).
pub(crate) const MIN_PACING: Duration = Duration::from_millis(5);

/// Options of an [`Agent`](crate::Agent). The default is a full agent with the timers of RFC 8445.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub(crate) lite: bool,
    pub(crate) allow_loopback: bool,
    pub(crate) pacing: Duration,
    pub(crate) initial_rto: Duration,
    pub(crate) max_transmissions: u32,
    pub(crate) pac_timeout: Duration,
    pub(crate) disconnected_timeout: Duration,
    pub(crate) nomination_patience: Duration,
    pub(crate) max_pairs: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lite: false,
            allow_loopback: false,
            pacing: Duration::from_millis(50),
            initial_rto: Duration::from_millis(500),
            max_transmissions: 7,
            pac_timeout: Duration::from_millis(39_500),
            disconnected_timeout: Duration::from_millis(12_500),
            nomination_patience: Duration::from_millis(100),
            max_pairs: 100,
        }
    }
}

/// Why a configuration is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Faster than one transaction in 5 ms (RFC 8445 §14.2).
    #[error("pacing is under 5 ms")]
    Pacing,
    /// A retransmission timeout of zero, or no transmission at all.
    #[error("retransmission timeout or count is zero")]
    Retransmission,
    /// No pair, or more than 1000.
    #[error("the limit of pairs is not 1 to 1000")]
    MaxPairs,
}

impl Config {
    /// The defaults, to be changed.
    #[must_use]
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder(Self::default())
    }

    /// Whether the agent is lite, which its session description must say.
    #[must_use]
    pub const fn is_lite(&self) -> bool {
        self.lite
    }
}

/// Makes a [`Config`].
#[derive(Clone, Debug)]
pub struct ConfigBuilder(Config);

impl ConfigBuilder {
    /// Lite: answers checks and sends none (RFC 8445 §2.5), for a server with a public address. Default: full.
    #[must_use]
    pub const fn lite(mut self, lite: bool) -> Self {
        self.0.lite = lite;
        self
    }

    /// Accepts loopback addresses as candidates, against RFC 8445 §5.1.1.1. Default: not.
    #[must_use]
    pub const fn allow_loopback(mut self, allow: bool) -> Self {
        self.0.allow_loopback = allow;
        self
    }

    /// The time between two new checks, Ta (RFC 8445 §14.2). At least 5 ms. Default 50 ms.
    #[must_use]
    pub const fn pacing(mut self, pacing: Duration) -> Self {
        self.0.pacing = pacing;
        self
    }

    /// The least time until a check is first repeated (RFC 8445 §14.3). Default 500 ms.
    #[must_use]
    pub const fn initial_rto(mut self, rto: Duration) -> Self {
        self.0.initial_rto = rto;
        self
    }

    /// How often one check is sent at most, Rc (RFC 8489 §6.2.1). Default 7.
    #[must_use]
    pub const fn max_transmissions(mut self, count: u32) -> Self {
        self.0.max_transmissions = count;
        self
    }

    /// How long the agent waits for any candidate, a peer-reflexive one too, before it can fail (RFC 8863 §3.3).
    /// Default 39.5 s.
    #[must_use]
    pub const fn pac_timeout(mut self, timeout: Duration) -> Self {
        self.0.pac_timeout = timeout;
        self
    }

    /// How long the selected path is silent before the state is `Disconnected`. Default 12.5 s: two consent checks
    /// were lost.
    #[must_use]
    pub const fn disconnected_timeout(mut self, timeout: Duration) -> Self {
        self.0.disconnected_timeout = timeout;
        self
    }

    /// How long a controlling agent waits for a pair better than the first valid one before it nominates. Default
    /// 100 ms.
    #[must_use]
    pub const fn nomination_patience(mut self, patience: Duration) -> Self {
        self.0.nomination_patience = patience;
        self
    }

    /// The most candidate pairs (RFC 8445 §6.1.2.5), 1 to 1000. Default 100.
    #[must_use]
    pub const fn max_pairs(mut self, count: usize) -> Self {
        self.0.max_pairs = count;
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// When a value is outside its range.
    pub fn build(self) -> Result<Config, ConfigError> {
        let config = self.0;
        if config.pacing < MIN_PACING {
            return Err(ConfigError::Pacing);
        }
        if config.initial_rto.is_zero() || config.max_transmissions == 0 {
            return Err(ConfigError::Retransmission);
        }
        if !(1..=1000).contains(&config.max_pairs) {
            return Err(ConfigError::MaxPairs);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_their_range_are_refused() {
        let fast = Config::builder().pacing(Duration::from_millis(4));
        assert_eq!(fast.build(), Err(ConfigError::Pacing));
        assert_eq!(Config::builder().max_pairs(0).build(), Err(ConfigError::MaxPairs));
        assert_eq!(Config::builder().max_transmissions(0).build(), Err(ConfigError::Retransmission));
        assert!(Config::builder().pacing(Duration::from_millis(5)).lite(true).build().unwrap().is_lite());
    }
}
