//! What a [`crate::Connection`] is configured with.

use std::sync::Arc;
use std::time::Duration;

use tombolo_crypto::{CryptoProvider, KeyExchangeGroup};

use crate::certificate::Certificate;
use crate::connection_id::MAX_OWN_ID_LEN;
use crate::flight::{MAX_MTU, MIN_MTU, Retransmission};
use crate::key_log::KeyLog;
use crate::psk::PreSharedKeys;
use crate::srtp::SrtpProfileId;
use crate::suite::{CipherSuite, group_id};
use crate::verifier::CertificateVerifier;
use crate::version::ProtocolVersion;

/// The settings of a connection; many connections share one.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) certificate: Certificate,
    pub(crate) provider: CryptoProvider,
    pub(crate) srtp_profiles: Vec<SrtpProfileId>,
    pub(crate) min_version: ProtocolVersion,
    pub(crate) max_version: ProtocolVersion,
    cipher_suites: Vec<CipherSuite>,
    groups: Option<Vec<KeyExchangeGroup>>,
    pub(crate) first_shares: bool,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) server_name: Option<Vec<u8>>,
    pub(crate) key_update_after: u64,
    pub(crate) mtu: usize,
    pub(crate) retransmission: Retransmission,
    pub(crate) key_log: Option<Arc<dyn KeyLog>>,
    pub(crate) verifier: Option<Arc<dyn CertificateVerifier>>,
    pub(crate) asks_clients: bool,
    pub(crate) pre_shared_keys: Option<Arc<dyn PreSharedKeys>>,
    pub(crate) connection_id_len: Option<usize>,
}

/// What is wrong with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The MTU is not between 256 and 65507.
    #[error("the MTU must be from 256 to 65507 bytes")]
    Mtu,
    /// The lengths of an SRTP profile's keys are not known.
    #[error("unknown SRTP profile {0:?}")]
    SrtpProfile(SrtpProfileId),
    /// The lowest version is above the highest one.
    #[error("the lowest version is above the highest one")]
    Version,
    /// No cipher suite is left for a version.
    #[error("no cipher suite for a version that is allowed")]
    CipherSuite,
    /// No group is left that the provider has, or none that DTLS 1.2 can use where it is allowed.
    #[error("no key exchange group for a version that is allowed")]
    Group,
    /// An application protocol or a server name is empty or too long.
    #[error("an empty or too long name")]
    Name,
    /// A connection id is longer than 20 bytes.
    #[error("a connection id has 20 bytes at most")]
    ConnectionId,
    /// A key may protect no record, or more than AES-GCM allows.
    #[error("keys must be changed after 1 to 2^24 records")]
    KeyUpdate,
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
            min_version: ProtocolVersion::Dtls12,
            max_version: ProtocolVersion::Dtls13,
            cipher_suites: CipherSuite::ALL.to_vec(),
            groups: None,
            first_shares: true,
            alpn: Vec::new(),
            server_name: None,
            key_update_after: 1 << 23,
            mtu: 1200,
            retransmission: Retransmission {
                initial: Duration::from_millis(50),
                max: Duration::from_secs(3),
                attempts: 10,
            },
            key_log: None,
            verifier: None,
            asks_clients: true,
            pre_shared_keys: None,
            connection_id_len: None,
        })
    }

    /// Our certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The versions that are allowed, the lowest first.
    pub(crate) fn versions(&self) -> Vec<ProtocolVersion> {
        [ProtocolVersion::Dtls12, ProtocolVersion::Dtls13]
            .into_iter()
            .filter(|version| (self.min_version..=self.max_version).contains(version))
            .collect()
    }

    /// The suites of a version that may be used, in order of preference.
    pub(crate) fn suites(&self, version: ProtocolVersion) -> impl Iterator<Item = CipherSuite> + '_ {
        let aeads = self.provider.aeads;
        let has_keys = self.pre_shared_keys.is_some();
        let usable = move |suite: &CipherSuite| {
            suite.version() == version && suite.is_psk() == has_keys && aeads.contains(&suite.aead())
        };
        self.cipher_suites.iter().copied().filter(usable)
    }

    /// The groups that may be used, with their code points, in order of preference. Those that DTLS 1.2 cannot use only
    /// where 1.3 is allowed.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (u16, KeyExchangeGroup)> + '_ {
        let provided = self.provider.groups;
        let has_1_3 = self.max_version >= ProtocolVersion::Dtls13;
        let wanted = self.groups.as_deref().unwrap_or(provided).iter().copied();
        wanted
            .filter(move |group| provided.contains(group) && (has_1_3 || group.is_symmetric()))
            .filter_map(|group| Some((group_id(group)?, group)))
    }
}

impl Config {
    fn check_names(&self) -> Result<(), ConfigError> {
        let bad_protocol = self.alpn.iter().any(|protocol| !(1..=255).contains(&protocol.len()));
        let bad_name = self.server_name.as_ref().is_some_and(|name| !(1..=255).contains(&name.len()));
        if bad_protocol || bad_name { Err(ConfigError::Name) } else { Ok(()) }
    }

    fn check_negotiation(&self) -> Result<(), ConfigError> {
        let versions = self.versions();
        if versions.is_empty() {
            return Err(ConfigError::Version);
        }
        for version in versions {
            if self.suites(version).next().is_none() {
                return Err(ConfigError::CipherSuite);
            }
            let is_1_3 = version == ProtocolVersion::Dtls13;
            if !self.groups().any(|(_, group)| is_1_3 || group.is_symmetric()) {
                return Err(ConfigError::Group);
            }
        }
        Ok(())
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

    /// The lowest and the highest version that are offered and taken. Default: DTLS 1.2 and DTLS 1.3.
    #[must_use]
    pub const fn versions(mut self, lowest: ProtocolVersion, highest: ProtocolVersion) -> Self {
        self.0.min_version = lowest;
        self.0.max_version = highest;
        self
    }

    /// The cipher suites of both versions, the preferred one first; a server's order decides. Those that the provider
    /// lacks are left out. Default: [`CipherSuite::ALL`].
    #[must_use]
    pub fn cipher_suites(mut self, suites: Vec<CipherSuite>) -> Self {
        self.0.cipher_suites = suites;
        self
    }

    /// The groups of the key exchange, the preferred one first. A client sends a share of the first one, and of X25519
    /// beside X25519MLKEM768. A server takes the first one that the client has sent a share of, and else asks for one.
    /// Those that the provider lacks are left out. Default: all of the provider's.
    #[must_use]
    pub fn groups(mut self, groups: Vec<KeyExchangeGroup>) -> Self {
        self.0.groups = Some(groups);
        self
    }

    /// Has a client's first hello of DTLS 1.3 carry no key share, so that it fits one datagram: the server asks for the share,
    /// with its cookie, in one round trip more (RFC 8446 §4.2.8). For servers without ICE that keep nothing of a first hello.
    /// Default: the hello has shares.
    #[must_use]
    pub const fn no_first_shares(mut self) -> Self {
        self.0.first_shares = false;
        self
    }

    /// The application protocols (RFC 7301), the preferred one first; a server's order decides. Each has 1 to 255 bytes.
    /// Default: none, and what a peer offers is passed over.
    #[must_use]
    pub fn alpn(mut self, protocols: Vec<Vec<u8>>) -> Self {
        self.0.alpn = protocols;
        self
    }

    /// The server name that a client asks for (RFC 6066 §3). Default: none. A server takes any and tells it in
    /// [`crate::Parameters::server_name`].
    #[must_use]
    pub fn server_name(mut self, name: impl Into<Vec<u8>>) -> Self {
        self.0.server_name = Some(name.into());
        self
    }

    /// After how many records DTLS 1.3 changes its write key, 1 to 2²⁴ (RFC 9147 §4.5.3 allows 2^24.5 with AES-GCM).
    /// Default: 2²³.
    #[must_use]
    pub const fn key_update_after(mut self, records: u64) -> Self {
        self.0.key_update_after = records;
        self
    }

    /// The longest datagram, in bytes of UDP payload, from 256 to 65507. A handshake goes below it when datagrams
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

    /// Offers and takes connection ids (RFC 9146, RFC 9147 §9): records to us carry one of this many random bytes, 0 to 20, so
    /// that the peer is known by it when its address changes; see [`crate::Event::Moved`]. With 0 records to us carry none, but ours
    /// carry the peer's, if it wants that. Default: no connection ids.
    #[must_use]
    pub const fn connection_id_len(mut self, bytes: usize) -> Self {
        self.0.connection_id_len = Some(bytes);
        self
    }

    /// Decides about the peer's certificate. A connection needs no fingerprints then; where there are some, both must agree.
    /// Default: none, and fingerprints alone decide.
    #[must_use]
    pub fn verifier(mut self, verifier: Arc<dyn CertificateVerifier>) -> Self {
        self.0.verifier = Some(verifier);
        self
    }

    /// Has a server not ask clients for a certificate: anybody is let in who is told no fingerprints. Not for WebRTC, where both
    /// sides have certificates (RFC 5763 §5). Default: it asks, and a client without a certificate is refused.
    #[must_use]
    pub const fn anonymous_clients(mut self) -> Self {
        self.0.asks_clients = false;
        self
    }

    /// Knows peers by keys that both sides have had before, in place of certificates: DTLS 1.2 alone, with the suites of
    /// [`CipherSuite::PSK`], of which [`ConfigBuilder::cipher_suites`] may name fewer after this call. The certificate is not
    /// shown then, nor is one asked for; fingerprints and verifiers have nothing to look at. Not for WebRTC. Default: none.
    #[must_use]
    pub fn pre_shared_keys(mut self, keys: Arc<dyn PreSharedKeys>) -> Self {
        self.0.pre_shared_keys = Some(keys);
        self.0.cipher_suites = CipherSuite::PSK.to_vec();
        self
    }

    /// Tells the secrets of every connection, so that Wireshark can read a capture. For debugging alone. Default: nobody is told.
    #[must_use]
    pub fn key_log(mut self, log: Arc<dyn KeyLog>) -> Self {
        self.0.key_log = Some(log);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that is out of range.
    pub fn build(self) -> Result<Config, ConfigError> {
        let config = self.0;
        if !(MIN_MTU..=MAX_MTU).contains(&config.mtu) {
            return Err(ConfigError::Mtu);
        }
        if let Some(unknown) =
            config.srtp_profiles.iter().find(|profile| profile.key_and_salt_len().is_none())
        {
            return Err(ConfigError::SrtpProfile(*unknown));
        }
        config.check_names()?;
        config.check_negotiation()?;
        if config.connection_id_len.is_some_and(|len| len > MAX_OWN_ID_LEN) {
            return Err(ConfigError::ConnectionId);
        }
        if !(1..=1 << 24).contains(&config.key_update_after) {
            return Err(ConfigError::KeyUpdate);
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
        assert_eq!(builder().mtu(65508).build().map(|_| ()), Err(ConfigError::Mtu));
        let unknown = SrtpProfileId(5);
        let built = builder().srtp_profiles(vec![unknown]).build().map(|_| ());
        assert_eq!(built, Err(ConfigError::SrtpProfile(unknown)));
        use ProtocolVersion::{Dtls12, Dtls13};
        let built = |builder: ConfigBuilder| builder.build().map(|_| ());
        assert_eq!(built(builder().versions(Dtls13, Dtls12)), Err(ConfigError::Version));
        let suites_of_1_3 = || builder().cipher_suites(vec![CipherSuite::Aes128GcmSha256]);
        assert_eq!(built(suites_of_1_3()), Err(ConfigError::CipherSuite), "none is left for 1.2");
        assert_eq!(built(suites_of_1_3().versions(Dtls13, Dtls13)), Ok(()));
        let hybrid = || builder().groups(vec![KeyExchangeGroup::X25519MlKem768]);
        assert_eq!(built(hybrid()), Err(ConfigError::Group), "1.2 cannot use it");
        assert_eq!(built(hybrid().versions(Dtls13, Dtls13)), Ok(()));
        let keys = || Arc::new(crate::psk::PreSharedKey::new("name", "key"));
        assert_eq!(built(builder().pre_shared_keys(keys())), Err(ConfigError::CipherSuite), "not in 1.3");
        assert_eq!(built(builder().pre_shared_keys(keys()).versions(Dtls12, Dtls12)), Ok(()));
        assert_eq!(built(builder().alpn(vec![vec![]])), Err(ConfigError::Name));
        assert_eq!(built(builder().server_name([b'a'; 256])), Err(ConfigError::Name));
        assert_eq!(built(builder().connection_id_len(21)), Err(ConfigError::ConnectionId));
        assert_eq!(built(builder().key_update_after(0)), Err(ConfigError::KeyUpdate));
        assert_eq!(built(builder().key_update_after(1 << 25)), Err(ConfigError::KeyUpdate));
        let built = builder().initial_retransmit_timeout(Duration::ZERO).build().map(|_| ());
        assert_eq!(built, Err(ConfigError::Retransmission));
        let built = builder().max_retransmit_timeout(Duration::from_millis(1)).build().map(|_| ());
        assert_eq!(built, Err(ConfigError::Retransmission));
    }
}
