//! What a connection is told when it is made.

use std::sync::Arc;

use tombolo_crypto::{CryptoProvider, HashAlgorithm};
use tombolo_dtls::Certificate;
use tombolo_rtp::ext::ExtensionKind;

use crate::bandwidth::BandwidthEstimation;
use crate::codec::{Codec, CodecCapability, H264Format};
use crate::sdp::FingerprintLine;

/// Which DTLS role to take when the offerer leaves the choice (`a=setup:actpass`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DtlsRolePreference {
    /// The client: its first flight leaves as soon as a connectivity check has passed, which saves half a round
    /// trip. What RFC 8842 §5.3 recommends, and the default.
    #[default]
    Active,
    /// The server.
    Passive,
}

/// Why a configuration cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Two codecs share a payload type, or one has a payload type that cannot be used with rtcp-mux (RFC 5761 §4).
    #[error("payload type {0} is used twice or cannot be used")]
    PayloadType(u8),
    /// A codec's `fmtp` for H.264 cannot be read.
    #[error("the parameters of an H.264 format cannot be read")]
    H264,
    /// The MTU is not between 576 and 1500 bytes.
    #[error("the MTU must be from 576 to 1500 bytes")]
    Mtu,
    /// DTLS does not take the settings.
    #[error(transparent)]
    Dtls(#[from] tombolo_dtls::ConfigError),
    /// ICE does not take the settings.
    #[error(transparent)]
    Ice(#[from] tombolo_ice::ConfigError),
    /// The certificate cannot be hashed.
    #[error("the certificate cannot be hashed")]
    Certificate,
}

/// Who this side is to the peer.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) dtls: Arc<tombolo_dtls::Config>,
    pub(crate) fingerprint: FingerprintLine,
}

impl Identity {
    pub(crate) fn new(
        certificate: Certificate,
        crypto: CryptoProvider,
        mtu: usize,
    ) -> Result<Self, ConfigError> {
        let fingerprint =
            certificate.fingerprint(HashAlgorithm::Sha256).map_err(|_| ConfigError::Certificate)?;
        let fingerprint =
            FingerprintLine { algorithm: "sha-256".into(), bytes: fingerprint.value().to_vec() };
        let dtls = tombolo_dtls::Config::builder(certificate).provider(crypto).mtu(mtu).build()?;
        Ok(Self { dtls: Arc::new(dtls), fingerprint })
    }
}

/// Settings of a [`PeerConnection`](crate::PeerConnection). Many connections share one.
#[derive(Clone)]
pub struct Config {
    pub(crate) ice: Arc<tombolo_ice::Config>,
    pub(crate) identity: Identity,
    pub(crate) crypto: CryptoProvider,
    pub(crate) dtls_role: DtlsRolePreference,
    pub(crate) codecs: Vec<CodecCapability>,
    pub(crate) flexfec: Option<u8>,
    pub(crate) red: Option<u8>,
    pub(crate) extensions: Vec<ExtensionKind>,
    pub(crate) max_rids: usize,
    pub(crate) mtu: usize,
    pub(crate) bandwidth: Option<BandwidthEstimation>,
    pub(crate) prefers_ccfb: bool,
}

impl Config {
    /// Starts from the defaults, with the certificate whose fingerprint the descriptions carry.
    #[must_use]
    pub fn builder(certificate: Certificate) -> ConfigBuilder {
        ConfigBuilder {
            certificate,
            crypto: CryptoProvider::default(),
            ice_lite: false,
            allow_loopback: false,
            dtls_role: DtlsRolePreference::default(),
            codecs: CodecCapability::defaults(),
            flexfec: None,
            red: None,
            extensions: vec![
                ExtensionKind::Mid,
                ExtensionKind::Rid,
                ExtensionKind::RepairedRid,
                ExtensionKind::AudioLevel,
                ExtensionKind::AbsSendTime,
                ExtensionKind::TransportSeq,
                ExtensionKind::PlayoutDelay,
            ],
            max_rids: 3,
            mtu: 1200,
            bandwidth: None,
            prefers_ccfb: false,
        }
    }

    /// Whether this side is ICE-lite.
    #[must_use]
    pub fn is_ice_lite(&self) -> bool {
        self.ice.is_lite()
    }
}

/// Sets a [`Config`] up.
#[derive(Clone, Debug)]
pub struct ConfigBuilder {
    certificate: Certificate,
    crypto: CryptoProvider,
    ice_lite: bool,
    allow_loopback: bool,
    dtls_role: DtlsRolePreference,
    codecs: Vec<CodecCapability>,
    flexfec: Option<u8>,
    red: Option<u8>,
    extensions: Vec<ExtensionKind>,
    max_rids: usize,
    mtu: usize,
    bandwidth: Option<BandwidthEstimation>,
    prefers_ccfb: bool,
}

impl ConfigBuilder {
    /// The crypto backend. Default: `ring`.
    #[must_use]
    pub const fn crypto(mut self, provider: CryptoProvider) -> Self {
        self.crypto = provider;
        self
    }

    /// Whether this side is ICE-lite (RFC 8445 §2.5): for servers with public addresses. Default: no.
    #[must_use]
    pub const fn ice_lite(mut self, lite: bool) -> Self {
        self.ice_lite = lite;
        self
    }

    /// Whether loopback addresses are taken as candidates, against RFC 8445 §5.1.1.1. Default: no.
    #[must_use]
    pub const fn allow_loopback(mut self, allow: bool) -> Self {
        self.allow_loopback = allow;
        self
    }

    /// The DTLS role when the choice is ours. Default: active.
    #[must_use]
    pub const fn dtls_role(mut self, role: DtlsRolePreference) -> Self {
        self.dtls_role = role;
        self
    }

    /// The codecs, preferred first. Answers list them in this order. Default: [`CodecCapability::defaults`].
    #[must_use]
    pub fn codecs(mut self, codecs: Vec<CodecCapability>) -> Self {
        self.codecs = codecs;
        self
    }

    /// Forward error correction of pictures (FlexFEC, draft-ietf-payload-flexible-fec-scheme-03, as Chromium has it), with
    /// its payload type in our offers, 96–127 or 35–63. Where a peer takes it, repair packets are sent as reports tell of losses, and
    /// none without losses; what a peer's repair packets bring is not asked for again. Default: none.
    ///
    /// The video timing extension is not negotiated then: it is changed on its way, behind the protection.
    #[must_use]
    pub const fn flexfec(mut self, payload_type: Option<u8>) -> Self {
        self.flexfec = payload_type;
        self
    }

    /// Redundant sound (RED, RFC 2198) around Opus, with its payload type in our offers, 96–127 or 35–63. Where a peer takes it, packets of
    /// sound carry the ones before them again as reports tell of losses, and are plain Opus without losses. What a peer sends
    /// is taken apart: each frame comes once, as a packet of Opus. Default: none.
    ///
    /// It comes behind Opus in offers, and in answers where the offer had it: browsers send what is first.
    #[must_use]
    pub const fn red(mut self, payload_type: Option<u8>) -> Self {
        self.red = payload_type;
        self
    }

    /// The header extensions to offer and accept. Default: all typed ones but video orientation, so that senders
    /// turn their pictures themselves.
    #[must_use]
    pub fn extensions(mut self, extensions: Vec<ExtensionKind>) -> Self {
        self.extensions = extensions;
        self
    }

    /// The most simulcast streams to accept in one section; 0 accepts none. Default: 3.
    #[must_use]
    pub const fn max_rids(mut self, rids: usize) -> Self {
        self.max_rids = rids;
        self
    }

    /// The largest datagram of DTLS and RTCP, in bytes of UDP payload, 576 to 1500. RTP packets are as large as
    /// their sender makes them. Default: 1200.
    #[must_use]
    pub const fn mtu(mut self, bytes: usize) -> Self {
        self.mtu = bytes;
        self
    }

    /// Estimates what the way to the peer carries, and paces what is sent by it. Default: neither; packets leave at once.
    #[must_use]
    pub fn bandwidth_estimation(mut self, estimation: BandwidthEstimation) -> Self {
        self.bandwidth = Some(estimation);
        self
    }

    /// Whether to offer the feedback of RFC 8888 (`ack ccfb`), and to take it where the peer offers transport-wide feedback as well.
    /// It tells of marks of congestion (ECN), and needs no header extension. Default: no; then it is taken from peers that
    /// offer nothing else.
    #[must_use]
    pub const fn prefer_ccfb(mut self, prefer: bool) -> Self {
        self.prefers_ccfb = prefer;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] names what is wrong.
    pub fn build(mut self) -> Result<Config, ConfigError> {
        if !(576..=1500).contains(&self.mtu) {
            return Err(ConfigError::Mtu);
        }
        let mut taken: Vec<u8> = Vec::new();
        let formats = self.codecs.iter().flat_map(|one| [Some(one.payload_type), one.rtx_payload_type]);
        for payload_type in formats.chain([self.flexfec, self.red]).flatten() {
            if payload_type > 127 || (64..=95).contains(&payload_type) || taken.contains(&payload_type) {
                return Err(ConfigError::PayloadType(payload_type));
            }
            taken.push(payload_type);
        }
        if self.flexfec.is_some() {
            self.extensions.retain(|&extension| extension != ExtensionKind::VideoTiming);
        }
        for capability in &self.codecs {
            if capability.codec == Codec::H264 && H264Format::from_fmtp(&capability.fmtp).is_none() {
                return Err(ConfigError::H264);
            }
        }
        let identity = Identity::new(self.certificate, self.crypto, self.mtu)?;
        let ice =
            tombolo_ice::Config::builder().lite(self.ice_lite).allow_loopback(self.allow_loopback).build()?;
        Ok(Config {
            ice: Arc::new(ice),
            identity,
            crypto: self.crypto,
            dtls_role: self.dtls_role,
            codecs: self.codecs,
            flexfec: self.flexfec,
            red: self.red,
            extensions: self.extensions,
            max_rids: self.max_rids,
            mtu: self.mtu,
            bandwidth: self.bandwidth,
            prefers_ccfb: self.prefers_ccfb,
        })
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("ice", &self.ice)
            .field("dtls_role", &self.dtls_role)
            .field("codecs", &self.codecs)
            .field("max_rids", &self.max_rids)
            .field("mtu", &self.mtu)
            .finish_non_exhaustive()
    }
}
