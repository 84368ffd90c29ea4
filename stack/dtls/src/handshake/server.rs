//! The server's states, up to the version and through DTLS 1.2.

use tombolo_crypto::{KeyExchange, SignatureScheme};

use crate::config::Config;
use crate::error::{FailReason, PeerError};
use crate::extension::{Extensions, UseSrtp};
use crate::fragment::{HandshakeType, Message};
use crate::handshake::client::DOWNGRADE_TO_1_2;
use crate::handshake::message::{
    CertificateRequest, ClientHello, DigitallySigned, ServerHello, ServerKeyExchange, encode_certificate,
};
use crate::handshake::psk::PskServerExchange;
use crate::handshake::{Context, Handshake, Negotiated, own_scheme, server13};
use crate::keys::{Secrets, Sender};
use crate::session::{Parameters, Session, SessionSecrets};
use crate::srtp::SrtpProfileId;
use crate::suite::RENEGOTIATION_SCSV;
use crate::version::{ProtocolVersion, VERSION_1_2};
use crate::x509::PublicKey;

/// `ClientCertificateType` values.
const RSA_SIGN: u8 = 1;
const ECDSA_SIGN: u8 = 64;

/// Nothing has come yet.
pub(crate) struct AwaitClientHello;

/// What the server chooses from a hello of 1.2.
struct Choice {
    parameters: Parameters,
    group: u16,
    /// What we sign with; with pre-shared keys nothing.
    scheme: Option<(u16, SignatureScheme)>,
}

impl AwaitClientHello {
    pub(crate) fn handle(
        self,
        hello: &ClientHello,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        match choose_version(hello, context.config)? {
            ProtocolVersion::Dtls13 => server13::handle_first(hello, message, context),
            ProtocolVersion::Dtls12 => answer(hello, message, context),
        }
    }
}

/// The highest version in common. RFC 8446 §4.2.1: supported_versions, where it is, says what the legacy version cannot.
pub(crate) fn choose_version(hello: &ClientHello, config: &Config) -> Result<ProtocolVersion, PeerError> {
    let offers = |version: &ProtocolVersion| match &hello.extensions.versions {
        Some(versions) => versions.contains(&version.wire()),
        // Versions count down, and later ones than we know contain ours (RFC 5246 §E.1).
        None => *version == ProtocolVersion::Dtls12 && hello.version <= VERSION_1_2,
    };
    config.versions().into_iter().rev().find(offers).ok_or(PeerError::Version)
}

/// Answers a hello with DTLS 1.2.
fn answer(
    hello: &ClientHello,
    message: &Message,
    context: &mut Context<'_>,
) -> Result<Handshake, FailReason> {
    let Choice { parameters, group, scheme } = choose(hello, context.config)?;
    *context.version = Some(ProtocolVersion::Dtls12);
    context.transcript.add(&message.whole());
    let exchange = (context.config.provider.key_exchange)(parameters.group, context.rng)?;
    let mut server_random = context.random();
    if context.config.versions().contains(&ProtocolVersion::Dtls13) {
        server_random[24..].copy_from_slice(DOWNGRADE_TO_1_2);
    }
    let negotiated = Negotiated { parameters, client_random: hello.random, server_random };
    context.flight.prepare();
    let connection_id = context.take_connection_id(&hello.extensions)?;
    let server_hello = server_hello(hello, &negotiated, connection_id);
    context.send(0, HandshakeType::SERVER_HELLO, server_hello.encode());
    let share = exchange.public_share();
    if let Some(scheme) = scheme {
        let certificate = encode_certificate(context.config.certificate.chain());
        context.send(0, HandshakeType::CERTIFICATE, certificate);
        let key_exchange = sign_params(&negotiated, group, share, scheme, context)?;
        context.send(0, HandshakeType::SERVER_KEY_EXCHANGE, key_exchange);
    } else if let Some(keys) = &context.config.pre_shared_keys {
        let key_exchange = PskServerExchange { hint: &keys.hint(), group, share }.encode();
        context.send(0, HandshakeType::SERVER_KEY_EXCHANGE, key_exchange);
    }
    let asks_client = context.config.asks_clients && scheme.is_some();
    if asks_client {
        let request = CertificateRequest {
            certificate_types: certificate_types(context),
            signature_schemes: context.signature_schemes(&[ProtocolVersion::Dtls12]),
        };
        context.send(0, HandshakeType::CERTIFICATE_REQUEST, request.encode());
    }
    context.send(0, HandshakeType::SERVER_HELLO_DONE, Vec::new());
    context.launch(true);
    if asks_client {
        Ok(Handshake::ClientCertificate(AwaitClientCertificate { negotiated, exchange }))
    } else {
        context.identity.trust();
        Ok(Handshake::ClientKeyExchange(AwaitClientKeyExchange { negotiated, exchange, key: None }))
    }
}

/// Chooses by our own order of preference. Extensions and code points that are not known are passed over.
fn choose(hello: &ClientHello, config: &Config) -> Result<Choice, PeerError> {
    let extensions = &hello.extensions;
    if !hello.compression_methods.contains(&0) {
        return Err(PeerError::IllegalParameter);
    }
    if extensions.renegotiation_info.as_ref().is_some_and(|info| !info.is_empty()) {
        return Err(PeerError::IllegalParameter);
    }
    if !extensions.extended_master_secret {
        return Err(PeerError::NoExtendedMasterSecret);
    }
    let kind = config.certificate.kind().ok_or(PeerError::SignatureScheme)?;
    let cipher_suite = config
        .suites(ProtocolVersion::Dtls12)
        .find(|suite| (suite.is_psk() || suite.fits(kind)) && hello.cipher_suites.contains(&suite.id()))
        .ok_or(PeerError::CipherSuite)?;
    // RFC 8422 §4: without the extension the server is free; P-256 is what everyone has.
    let offered = extensions.groups.as_deref().unwrap_or(&[23]);
    let (group, kind) = config
        .groups()
        .find(|(id, group)| group.is_symmetric() && offered.contains(id))
        .ok_or(PeerError::Group)?;
    let scheme = if cipher_suite.is_psk() {
        None
    } else {
        let schemes = extensions.signature_schemes.as_ref().ok_or(PeerError::SignatureScheme)?;
        Some(own_scheme(config, ProtocolVersion::Dtls12, schemes)?)
    };
    let parameters = Parameters {
        version: ProtocolVersion::Dtls12,
        cipher_suite,
        group: kind,
        srtp_profile: choose_profile(extensions, config),
        alpn: choose_protocol(extensions, config)?,
        server_name: extensions.server_name.clone(),
        psk_identity: None,
    };
    Ok(Choice { parameters, group, scheme })
}

/// The best SRTP profile in common.
pub(crate) fn choose_profile(offer: &Extensions, config: &Config) -> Option<SrtpProfileId> {
    let offer = offer.use_srtp.as_ref()?;
    let ours = &config.srtp_profiles;
    ours.iter().copied().find(|profile| offer.profiles.contains(&profile.0))
}

/// The best application protocol in common. Having none is an error where both sides name some (RFC 7301 §3.2).
pub(crate) fn choose_protocol(offer: &Extensions, config: &Config) -> Result<Option<Vec<u8>>, PeerError> {
    let ours = &config.alpn;
    match &offer.alpn {
        Some(offered) if !ours.is_empty() => {
            let chosen = ours.iter().find(|protocol| offered.contains(protocol));
            chosen.cloned().map(Some).ok_or(PeerError::NoApplicationProtocol)
        }
        _ => Ok(None),
    }
}

fn server_hello(hello: &ClientHello, negotiated: &Negotiated, connection_id: Option<Vec<u8>>) -> ServerHello {
    let signals_renegotiation =
        hello.extensions.renegotiation_info.is_some() || hello.cipher_suites.contains(&RENEGOTIATION_SCSV);
    let parameters = &negotiated.parameters;
    ServerHello {
        version: VERSION_1_2,
        random: negotiated.server_random,
        session_id: Vec::new(),
        cipher_suite: parameters.cipher_suite.id(),
        compression_method: 0,
        extensions: Extensions {
            point_formats: hello.extensions.point_formats,
            server_name: parameters.server_name.as_ref().map(|_| Vec::new()),
            use_srtp: parameters
                .srtp_profile
                .map(|profile| UseSrtp { profiles: vec![profile.0], mki: Vec::new() }),
            alpn: parameters.alpn.clone().map(|protocol| vec![protocol]),
            extended_master_secret: true,
            connection_id,
            renegotiation_info: signals_renegotiation.then(Vec::new),
            ..Extensions::default()
        },
    }
}

/// ServerKeyExchange: our share, signed together with both randoms.
fn sign_params(
    negotiated: &Negotiated,
    group: u16,
    share: &[u8],
    scheme: (u16, SignatureScheme),
    context: &Context<'_>,
) -> Result<Vec<u8>, FailReason> {
    let params = ServerKeyExchange::encode_params(group, share);
    let signed = [&negotiated.client_random[..], &negotiated.server_random, &params].concat();
    let mut out = params;
    out.extend_from_slice(&context.sign(scheme, &signed)?);
    Ok(out)
}

fn certificate_types(context: &Context<'_>) -> Vec<u8> {
    let rsa = context.config.provider.verifies.contains(&SignatureScheme::RsaPkcs1Sha256);
    if rsa { vec![ECDSA_SIGN, RSA_SIGN] } else { vec![ECDSA_SIGN] }
}

/// Our flight with ServerHello is out.
pub(crate) struct AwaitClientCertificate {
    negotiated: Negotiated,
    exchange: Box<dyn KeyExchange>,
}

impl AwaitClientCertificate {
    pub(crate) fn handle(
        self,
        chain: &[&[u8]],
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let key = context.take_certificate(chain)?;
        context.transcript.add(&message.whole());
        let Self { negotiated, exchange } = self;
        Ok(Handshake::ClientKeyExchange(AwaitClientKeyExchange { negotiated, exchange, key: Some(key) }))
    }
}

/// The client's certificate is here, and it fits if the fingerprints are; or none was asked for.
pub(crate) struct AwaitClientKeyExchange {
    pub(crate) negotiated: Negotiated,
    pub(crate) exchange: Box<dyn KeyExchange>,
    key: Option<PublicKey>,
}

impl AwaitClientKeyExchange {
    pub(crate) fn handle(
        self,
        share: &[u8],
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let Self { negotiated, exchange, key } = self;
        let premaster = exchange.agree(share).map_err(|_| PeerError::IllegalParameter)?;
        context.transcript.add(&message.whole());
        let secrets = context.derive_secrets(&negotiated, &premaster, Sender::Server)?;
        Ok(match key {
            Some(key) => Handshake::CertificateVerify(AwaitCertificateVerify { negotiated, key, secrets }),
            None => Handshake::ClientFinished(AwaitClientFinished { negotiated, secrets }),
        })
    }
}

/// The secret is agreed.
pub(crate) struct AwaitCertificateVerify {
    negotiated: Negotiated,
    key: PublicKey,
    secrets: Secrets,
}

impl AwaitCertificateVerify {
    pub(crate) fn handle(
        self,
        signed: DigitallySigned<'_>,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        context.verify(&self.key, signed, context.transcript.bytes())?;
        context.transcript.add(&message.whole());
        let Self { negotiated, secrets, .. } = self;
        Ok(Handshake::ClientFinished(AwaitClientFinished { negotiated, secrets }))
    }
}

/// The client has proved its certificate, or need not.
pub(crate) struct AwaitClientFinished {
    pub(crate) negotiated: Negotiated,
    pub(crate) secrets: Secrets,
}

impl AwaitClientFinished {
    pub(crate) fn handle(
        self,
        verify_data: &[u8],
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let Self { negotiated, secrets } = self;
        let parameters = negotiated.parameters;
        let suite = parameters.cipher_suite;
        context.check_finished(&secrets, suite, Sender::Client, verify_data)?;
        context.transcript.add(&message.whole());
        context.flight.prepare();
        context.send_finished(&secrets, suite, Sender::Server)?;
        context.launch(false);
        Ok(Handshake::Complete(Session { parameters, secrets: SessionSecrets::Of12(Box::new(secrets)) }))
    }
}
