//! The client's states, up to the version and through DTLS 1.2.

use tombolo_crypto::{KeyExchange, KeyExchangeGroup, SharedSecret, SignatureScheme};

use crate::connection_id::ConnectionIds;
use crate::error::{FailReason, PeerError};
use crate::extension::{
    CONNECTION_ID, COOKIE, Extensions, KEY_SHARE, KeyShare, SERVER_HELLO_1_2, SUPPORTED_VERSIONS, UseSrtp,
};
use crate::fragment::{HandshakeType, Message};
use crate::handshake::client13::AwaitEncryptedExtensions;
use crate::handshake::message::{
    CertificateRequest, ClientHello, ServerHello, ServerKeyExchange, encode_certificate,
    encode_client_key_exchange,
};
use crate::handshake::psk::AwaitPskExchange;
use crate::handshake::{Context, Handshake, Negotiated, answered_profile, answered_protocol, own_scheme};
use crate::keys::{Secrets, Sender};
use crate::session::{Parameters, Session, SessionSecrets};
use crate::suite::CipherSuite;
use crate::version::{ProtocolVersion, VERSION_1_0, VERSION_1_2, VERSION_1_3};
use crate::x509::PublicKey;

/// The last bytes of a server's random when it speaks 1.3 but has chosen 1.2 (RFC 8446 §4.1.3).
pub(crate) const DOWNGRADE_TO_1_2: &[u8; 8] = b"DOWNGRD\x01";

/// A key pair of ours whose share is in the hello.
struct OfferedShare {
    id: u16,
    group: KeyExchangeGroup,
    exchange: Box<dyn KeyExchange>,
}

/// The hello is out.
pub(crate) struct AwaitServerHello {
    hello: ClientHello,
    shares: Vec<OfferedShare>,
    /// The suite of a HelloRetryRequest, once there was one.
    retried: Option<CipherSuite>,
    /// Whether there was a HelloVerifyRequest, whose cookie may be empty.
    verified: bool,
}

impl AwaitServerHello {
    /// Opens the handshake with a ClientHello.
    pub(crate) fn start(context: &mut Context<'_>) -> Result<Self, FailReason> {
        let config = context.config;
        let versions = config.versions();
        let speaks = |version| versions.contains(&version);
        let shares = if speaks(ProtocolVersion::Dtls13) { first_shares(context)? } else { Vec::new() };
        let random = context.random();
        let connection_id = ConnectionIds::draw(config, context.rng);
        let usable = |suite: &CipherSuite| {
            suite.version() == ProtocolVersion::Dtls13 || suite.is_psk() || context.can_verify_for(*suite)
        };
        let extensions = Extensions {
            server_name: config.server_name.clone(),
            groups: Some(config.groups().map(|(id, _)| id).collect()),
            point_formats: speaks(ProtocolVersion::Dtls12),
            signature_schemes: Some(context.signature_schemes(&versions)),
            use_srtp: (!config.srtp_profiles.is_empty()).then(|| UseSrtp {
                profiles: config.srtp_profiles.iter().map(|profile| profile.0).collect(),
                mki: Vec::new(),
            }),
            alpn: (!config.alpn.is_empty()).then(|| config.alpn.clone()),
            extended_master_secret: speaks(ProtocolVersion::Dtls12),
            renegotiation_info: speaks(ProtocolVersion::Dtls12).then(Vec::new),
            versions: speaks(ProtocolVersion::Dtls13)
                .then(|| versions.iter().rev().map(|version| version.wire()).collect()),
            key_shares: speaks(ProtocolVersion::Dtls13).then(|| encode_shares(&shares)),
            connection_id,
            ..Extensions::default()
        };
        let hello = ClientHello {
            version: VERSION_1_2,
            random,
            session_id: Vec::new(),
            cookie: Vec::new(),
            cipher_suites: versions
                .iter()
                .rev()
                .flat_map(|version| config.suites(*version).filter(usable).map(CipherSuite::id))
                .collect(),
            compression_methods: vec![0],
            extensions,
        };
        let state = Self { hello, shares, retried: None, verified: false };
        context.transcript.clear();
        // As browsers have it, for what stands on the way and knows versions by their first records (RFC 9147 §4.1 allows it).
        context.records.say_version(VERSION_1_0);
        state.send(context);
        Ok(state)
    }

    fn send(&self, context: &mut Context<'_>) {
        context.flight.prepare();
        context.send(0, HandshakeType::CLIENT_HELLO, self.hello.encode());
        context.launch(true);
    }

    /// RFC 6347 §4.2.1: the same hello again, with the cookie. Once is enough, and never in 1.3.
    pub(crate) fn handle_cookie(
        mut self,
        cookie: &[u8],
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        if !context.config.versions().contains(&ProtocolVersion::Dtls12) {
            return Err(PeerError::Version.into());
        }
        if self.verified || self.retried.is_some() {
            return Err(PeerError::UnexpectedMessage.into());
        }
        self.verified = true;
        self.hello.cookie = cookie.to_vec();
        context.transcript.clear();
        self.send(context);
        Ok(Handshake::ServerHello(self))
    }

    pub(crate) fn handle(
        self,
        hello: &ServerHello,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        if hello.version != VERSION_1_2 {
            return Err(PeerError::Version.into());
        }
        context.records.say_version(VERSION_1_2);
        if hello.compression_method != 0 {
            return Err(PeerError::IllegalParameter.into());
        }
        match &hello.extensions.versions {
            None if self.retried.is_none() && !hello.is_retry() => self.handle_1_2(hello, message, context),
            Some(versions) => {
                let offered = self.hello.extensions.versions.as_ref();
                if offered.is_none() {
                    return Err(PeerError::UnsolicitedExtension.into());
                }
                // A hello with a cookie of 1.2 has told the server's version.
                if versions[..] != [VERSION_1_3] || self.verified {
                    return Err(PeerError::IllegalParameter.into());
                }
                *context.version = Some(ProtocolVersion::Dtls13);
                if hello.is_retry() {
                    self.handle_retry(hello, message, context)
                } else {
                    self.handle_1_3(hello, message, context)
                }
            }
            None => Err(PeerError::IllegalParameter.into()),
        }
    }

    /// The suite that the server has chosen, which is one of those that were offered.
    fn suite(&self, hello: &ServerHello, version: ProtocolVersion) -> Result<CipherSuite, PeerError> {
        CipherSuite::ALL
            .into_iter()
            .chain(CipherSuite::PSK)
            .find(|suite| suite.id() == hello.cipher_suite && suite.version() == version)
            .filter(|suite| self.hello.cipher_suites.contains(&suite.id()))
            .ok_or(PeerError::IllegalParameter)
    }

    /// RFC 8446 §4.1.4: the hello again, with a share of the group that the server wants, or with its cookie.
    fn handle_retry(
        mut self,
        request: &ServerHello,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        if self.retried.is_some() {
            return Err(PeerError::UnexpectedMessage.into());
        }
        let suite = self.suite(request, ProtocolVersion::Dtls13)?;
        let extensions = &request.extensions;
        if !extensions.are_among(&[SUPPORTED_VERSIONS, KEY_SHARE, COOKIE]) {
            return Err(PeerError::UnsolicitedExtension.into());
        }
        let wanted = extensions.key_shares.as_ref().and_then(|shares| shares.first());
        if wanted.is_none() && extensions.cookie.is_none() || !request.session_id.is_empty() {
            return Err(PeerError::IllegalParameter.into());
        }
        if let Some(KeyShare { group: wanted, .. }) = wanted {
            let already = self.shares.iter().any(|share| share.id == *wanted);
            let (id, group) = context
                .config
                .groups()
                .find(|(id, _)| id == wanted && !already)
                .ok_or(PeerError::IllegalParameter)?;
            let exchange = (context.config.provider.key_exchange)(group, context.rng)?;
            self.shares = vec![OfferedShare { id, group, exchange }];
            self.hello.extensions.key_shares = Some(encode_shares(&self.shares));
        }
        self.hello.extensions.cookie = extensions.cookie.clone();
        self.retried = Some(suite);
        context.transcript.start_1_3(&context.config.provider, suite.hash())?;
        context.transcript.retry(&context.config.provider, suite.hash())?;
        context.transcript.add(&message.whole());
        self.send(context);
        Ok(Handshake::ServerHello(self))
    }

    fn handle_1_3(
        self,
        hello: &ServerHello,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let suite = self.suite(hello, ProtocolVersion::Dtls13)?;
        let extensions = &hello.extensions;
        if !extensions.are_among(&[SUPPORTED_VERSIONS, KEY_SHARE, CONNECTION_ID]) {
            return Err(PeerError::UnsolicitedExtension.into());
        }
        let answer = extensions.key_shares.as_ref().and_then(|shares| shares.first());
        let answer = answer.ok_or(PeerError::MissingExtension)?;
        let other_suite = self.retried.is_some_and(|retried| retried != suite);
        if other_suite || !hello.session_id.is_empty() {
            return Err(PeerError::IllegalParameter.into());
        }
        let Self { hello: offer, shares, retried, .. } = self;
        let ours = offer.extensions.connection_id.as_ref();
        context.records.use_ids(ConnectionIds::agree(ours, extensions.connection_id.as_ref())?);
        let ours = shares.into_iter().find(|share| share.id == answer.group);
        let ours = ours.ok_or(PeerError::IllegalParameter)?;
        let shared_secret = ours.exchange.agree(&answer.share).map_err(|_| PeerError::IllegalParameter)?;
        if retried.is_none() {
            context.transcript.start_1_3(&context.config.provider, suite.hash())?;
        }
        context.transcript.add(&message.whole());
        let parameters = Parameters {
            version: ProtocolVersion::Dtls13,
            cipher_suite: suite,
            group: ours.group,
            srtp_profile: None,
            alpn: None,
            server_name: offer.extensions.server_name.clone(),
            psk_identity: None,
        };
        let state = AwaitEncryptedExtensions::start(offer, parameters, &shared_secret, context)?;
        Ok(Handshake::EncryptedExtensions13(state))
    }

    fn handle_1_2(
        self,
        hello: &ServerHello,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let versions = context.config.versions();
        if !versions.contains(&ProtocolVersion::Dtls12) {
            return Err(PeerError::Version.into());
        }
        let offers_1_3 = versions.contains(&ProtocolVersion::Dtls13);
        if offers_1_3 && hello.random.ends_with(DOWNGRADE_TO_1_2) {
            return Err(PeerError::IllegalParameter.into());
        }
        let suite = self.suite(hello, ProtocolVersion::Dtls12)?;
        let extensions = &hello.extensions;
        if extensions.renegotiation_info.as_ref().is_some_and(|info| !info.is_empty()) {
            return Err(PeerError::IllegalParameter.into());
        }
        let offer = &self.hello.extensions;
        let unasked = extensions.server_name.is_some() && offer.server_name.is_none();
        if unasked || !extensions.are_among(&SERVER_HELLO_1_2) {
            return Err(PeerError::UnsolicitedExtension.into());
        }
        if !extensions.extended_master_secret {
            return Err(PeerError::NoExtendedMasterSecret.into());
        }
        let ids = ConnectionIds::agree(offer.connection_id.as_ref(), extensions.connection_id.as_ref())?;
        context.records.use_ids(ids);
        *context.version = Some(ProtocolVersion::Dtls12);
        let parameters = Parameters {
            version: ProtocolVersion::Dtls12,
            cipher_suite: suite,
            // What it is comes with the server's share.
            group: KeyExchangeGroup::X25519,
            srtp_profile: answered_profile(offer.use_srtp.as_ref(), extensions.use_srtp.as_ref())?,
            alpn: answered_protocol(offer.alpn.as_ref(), extensions.alpn.as_ref())?,
            server_name: offer.server_name.clone(),
            psk_identity: None,
        };
        context.transcript.add(&message.whole());
        let negotiated =
            Negotiated { parameters, client_random: self.hello.random, server_random: hello.random };
        Ok(if suite.is_psk() {
            Handshake::PskExchange(AwaitPskExchange { negotiated })
        } else {
            Handshake::ServerCertificate(AwaitServerCertificate { negotiated })
        })
    }
}

/// The key pairs of the first hello: the preferred group, and if a peer may well not know that one, X25519 too. None where
/// the server is to ask first.
fn first_shares(context: &mut Context<'_>) -> Result<Vec<OfferedShare>, FailReason> {
    if !context.config.first_shares {
        return Ok(Vec::new());
    }
    let mut groups: Vec<(u16, KeyExchangeGroup)> = context.config.groups().collect();
    let preferred = groups.first().map(|(_, group)| *group);
    groups.retain(|(_, group)| {
        Some(*group) == preferred
            || preferred == Some(KeyExchangeGroup::X25519MlKem768) && *group == KeyExchangeGroup::X25519
    });
    let mut shares = Vec::with_capacity(groups.len());
    for (id, group) in groups {
        let exchange = (context.config.provider.key_exchange)(group, context.rng)?;
        shares.push(OfferedShare { id, group, exchange });
    }
    Ok(shares)
}

fn encode_shares(shares: &[OfferedShare]) -> Vec<KeyShare> {
    shares
        .iter()
        .map(|share| KeyShare { group: share.id, share: share.exchange.public_share().to_vec() })
        .collect()
}

/// ServerHello is here.
pub(crate) struct AwaitServerCertificate {
    negotiated: Negotiated,
}

impl AwaitServerCertificate {
    pub(crate) fn handle(
        self,
        chain: &[&[u8]],
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let key = context.take_certificate(chain)?;
        if !key.kind.is_some_and(|kind| self.negotiated.parameters.cipher_suite.fits(kind)) {
            return Err(PeerError::UnsupportedCertificate.into());
        }
        context.transcript.add(&message.whole());
        Ok(Handshake::ServerKeyExchange(AwaitServerKeyExchange { negotiated: self.negotiated, key }))
    }
}

/// The server's certificate is here, and it fits if the fingerprints are.
pub(crate) struct AwaitServerKeyExchange {
    negotiated: Negotiated,
    key: PublicKey,
}

impl AwaitServerKeyExchange {
    pub(crate) fn handle(
        self,
        exchange: &ServerKeyExchange<'_>,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let mut negotiated = self.negotiated;
        let Negotiated { client_random, server_random, .. } = &negotiated;
        let signed = [client_random, server_random, exchange.params].concat();
        context.verify(&self.key, exchange.signature, &signed)?;
        let (_, group) = context
            .config
            .groups()
            .find(|(id, group)| *id == exchange.group && group.is_symmetric())
            .ok_or(PeerError::IllegalParameter)?;
        negotiated.parameters.group = group;
        let ours = (context.config.provider.key_exchange)(group, context.rng)?;
        let share = ours.public_share().to_vec();
        let premaster = ours.agree(exchange.share).map_err(|_| PeerError::IllegalParameter)?;
        context.transcript.add(&message.whole());
        Ok(Handshake::CertificateRequest(AwaitCertificateRequest { negotiated, share, premaster }))
    }
}

/// The server has proved its certificate, and the secret is agreed.
pub(crate) struct AwaitCertificateRequest {
    negotiated: Negotiated,
    share: Vec<u8>,
    premaster: SharedSecret,
}

impl AwaitCertificateRequest {
    pub(crate) fn handle(
        self,
        request: &CertificateRequest,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let scheme = own_scheme(context.config, ProtocolVersion::Dtls12, &request.signature_schemes)?;
        context.transcript.add(&message.whole());
        let Self { negotiated, share, premaster } = self;
        Ok(Handshake::ServerHelloDone(AwaitServerHelloDone {
            negotiated,
            key_exchange: encode_client_key_exchange(&share),
            premaster,
            scheme: Some(scheme),
        }))
    }

    /// Deviation: RFC 5763 §5 demands certificates of both sides, but the server asks for none, as that of FFmpeg's
    /// WHIP output. It is the server that goes without knowing us; its own certificate was checked as always.
    pub(crate) fn not_asked(self) -> AwaitServerHelloDone {
        let Self { negotiated, share, premaster } = self;
        let key_exchange = encode_client_key_exchange(&share);
        AwaitServerHelloDone { negotiated, key_exchange, premaster, scheme: None }
    }
}

/// Only the end of the server's flight is missing.
pub(crate) struct AwaitServerHelloDone {
    pub(crate) negotiated: Negotiated,
    /// The body of our ClientKeyExchange.
    pub(crate) key_exchange: Vec<u8>,
    pub(crate) premaster: SharedSecret,
    /// What we sign with, if the server wants our certificate.
    pub(crate) scheme: Option<(u16, SignatureScheme)>,
}

impl AwaitServerHelloDone {
    pub(crate) fn handle(
        self,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        context.transcript.add(&message.whole());
        context.flight.prepare();
        if self.scheme.is_some() {
            let certificate = encode_certificate(context.config.certificate.chain());
            context.send(0, HandshakeType::CERTIFICATE, certificate);
        }
        context.send(0, HandshakeType::CLIENT_KEY_EXCHANGE, self.key_exchange);
        let secrets = context.derive_secrets(&self.negotiated, &self.premaster, Sender::Client)?;
        if let Some(scheme) = self.scheme {
            let verify = context.sign(scheme, context.transcript.bytes())?;
            context.send(0, HandshakeType::CERTIFICATE_VERIFY, verify);
        }
        let suite = self.negotiated.parameters.cipher_suite;
        context.send_finished(&secrets, suite, Sender::Client)?;
        context.launch(true);
        Ok(Handshake::ServerFinished(AwaitServerFinished { negotiated: self.negotiated, secrets }))
    }
}

/// Our Finished is out.
pub(crate) struct AwaitServerFinished {
    negotiated: Negotiated,
    secrets: Secrets,
}

impl AwaitServerFinished {
    pub(crate) fn handle(
        self,
        verify_data: &[u8],
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let parameters = self.negotiated.parameters;
        context.check_finished(&self.secrets, parameters.cipher_suite, Sender::Server, verify_data)?;
        Ok(Handshake::Complete(Session { parameters, secrets: SessionSecrets::Of12(Box::new(self.secrets)) }))
    }
}
