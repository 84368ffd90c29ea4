//! What a [`crate::Connection`] is configured with.

use std::time::Duration;

use tombolo_crypto::CryptoProvider;

use crate::certificate::Certificate;
use crate::flight::{MIN_MTU, Retransmission};
use crate::srtp::SrtpProfileId;

/// The settings of a connection; many connections share one.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) certificate: Certificate,
    pub(crate) provider: CryptoProvider,
    pub(crate) srtp_profiles: Vec<SrtpProfileId>,
    pub(crate) mtu: usize,
    pub(crate) retransmission: Retransmission,
}

/// What is wrong with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The MTU is not between 256 and 16384.
    #[error("the MTU must be from 256 to 16384 bytes")]
    Mtu,
    /// The lengths of an SRTP profile's keys are not known.
    #[error("unknown SRTP profile {0:?}")]
    SrtpProfile(SrtpProfileId),
    /// A retransmission time is zero, or the greatest one is less than the first one.
    #[error("bad retransmission times")]
    Retransmission,
}

impl Config {
    /// Starts from the defaults, with this certificate.
    #[must_use]
    pub fn builder(certificate: Certificate) -> ConfigBuilder {
        ConfigBuilder(Self {
            certificate,
            provider: CryptoProvider::default(),
            srtp_profiles: vec![
                SrtpProfileId::AEAD_AES_128_GCM,
                SrtpProfileId::AEAD_AES_256_GCM,
                SrtpProfileId::AES128_CM_HMAC_SHA1_80,
                SrtpProfileId::AES128_CM_HMAC_SHA1_32,
            ],
            mtu: 1200,
            retransmission: Retransmission {
                initial: Duration::from_millis(50),
                max: Duration::from_secs(3),
                attempts: 10,
            },
        })
    }

    /// Our certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

/// Sets a [`Config`] up.
#[derive(Clone, Debug)]
pub struct ConfigBuilder(Config);

impl ConfigBuilder {
    /// The crypto provider. Default: [`CryptoProvider::default`].
    #[must_use]
    pub const fn provider(mut self, provider: CryptoProvider) -> Self {
        self.0.provider = provider;
        self
    }

    /// The SRTP profiles that are offered and taken, the preferred one first; a server's order decides. None: no
    /// keys for SRTP. Default: AEAD_AES_128_GCM, AEAD_AES_256_GCM, AES128_CM_HMAC_SHA1_80, AES128_CM_HMAC_SHA1_32.
    #[must_use]
    pub fn srtp_profiles(mut self, profiles: Vec<SrtpProfileId>) -> Self {
        self.0.srtp_profiles = profiles;
        self
    }

    /// The longest datagram, in bytes of UDP payload, from 256 to 16384. A handshake goes below it when datagrams
    /// are lost. Default: 1200.
    #[must_use]
    pub const fn mtu(mut self, bytes: usize) -> Self {
        self.0.mtu = bytes;
        self
    }

    /// The time until a flight is first repeated. It doubles with each repetition. Default: 50 ms.
    #[must_use]
    pub const fn initial_retransmit_timeout(mut self, timeout: Duration) -> Self {
        self.0.retransmission.initial = timeout;
        self
    }

    /// The greatest time between repetitions. Default: 3 s.
    #[must_use]
    pub const fn max_retransmit_timeout(mut self, timeout: Duration) -> Self {
        self.0.retransmission.max = timeout;
        self
    }

    /// How often a flight is repeated without any progress before the handshake fails with
    /// [`crate::FailReason::Timeout`]. Default: 10, which is about 18 s.
    #[must_use]
    pub const fn max_retransmits(mut self, attempts: u32) -> Self {
        self.0.retransmission.attempts = attempts;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that is out of range.
    pub fn build(self) -> Result<Config, ConfigError> {
        let config = self.0;
        if !(MIN_MTU..=16384).contains(&config.mtu) {
            return Err(ConfigError::Mtu);
        }
        if let Some(unknown) =
            config.srtp_profiles.iter().find(|profile| profile.key_and_salt_len().is_none())
        {
            return Err(ConfigError::SrtpProfile(*unknown));
        }
        let times = config.retransmission;
        if times.initial.is_zero() || times.max < times.initial {
            return Err(ConfigError::Retransmission);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::tests::certificate;

    #[test]
    fn settings_out_of_range_are_refused() {
        let builder = || Config::builder(certificate(1));
        assert!(builder().build().is_ok());
        assert_eq!(builder().mtu(255).build().map(|_| ()), Err(ConfigError::Mtu));
        assert_eq!(builder().mtu(16385).build().map(|_| ()), Err(ConfigError::Mtu));
        let unknown = SrtpProfileId(5);
        let built = builder().srtp_profiles(vec![unknown]).build().map(|_| ());
        assert_eq!(built, Err(ConfigError::SrtpProfile(unknown)));
        let built = builder().initial_retransmit_timeout(Duration::ZERO).build().map(|_| ());
        assert_eq!(built, Err(ConfigError::Retransmission));
        let built = builder().max_retransmit_timeout(Duration::from_millis(1)).build().map(|_| ());
        assert_eq!(built, Err(ConfigError::Retransmission));
    }
}
