//! The client's states.

use crate::error::{FailReason, PeerError};
use crate::extension::{Extensions, UseSrtp};
use crate::fragment::{HandshakeType, Message};
use crate::handshake::message::{
    CertificateRequest, ClientHello, DigitallySigned, ServerHello, ServerKeyExchange, encode_certificate,
    encode_client_key_exchange,
};
use crate::handshake::{Complete, Context, Handshake, Negotiated};
use crate::keys::{Secrets, Sender};
use crate::record::VERSION_1_2;
use crate::srtp::SrtpProfileId;
use crate::suite::{CipherSuite, GROUPS};
use crate::x509::PublicKey;

/// The hello is out.
pub(crate) struct AwaitServerHello {
    hello: ClientHello,
}

impl AwaitServerHello {
    /// Opens the handshake with a ClientHello.
    pub(crate) fn start(context: &mut Context<'_>) -> Self {
        let profiles = &context.config.srtp_profiles;
        let extensions = Extensions {
            groups: Some(GROUPS.iter().map(|(id, _)| *id).collect()),
            point_formats: true,
            signature_schemes: Some(context.signature_schemes()),
            use_srtp: (!profiles.is_empty()).then(|| UseSrtp {
                profiles: profiles.iter().map(|profile| profile.0).collect(),
                mki: Vec::new(),
            }),
            extended_master_secret: true,
            renegotiation_info: Some(Vec::new()),
            ..Extensions::default()
        };
        let verifies = context.config.provider.verifies;
        let usable = |suite: &CipherSuite| verifies.iter().any(|scheme| suite.fits(*scheme));
        let hello = ClientHello {
            version: VERSION_1_2,
            random: context.random(),
            session_id: Vec::new(),
            cookie: Vec::new(),
            cipher_suites: CipherSuite::ALL.into_iter().filter(usable).map(CipherSuite::id).collect(),
            compression_methods: vec![0],
            extensions,
        };
        let state = Self { hello };
        state.send(context);
        state
    }

    fn send(&self, context: &mut Context<'_>) {
        context.transcript.clear();
        context.flight.prepare();
        context.send(0, HandshakeType::CLIENT_HELLO, self.hello.encode());
        context.launch(true);
    }

    /// RFC 6347 §4.2.1: the same hello again, with the cookie. Once is enough.
    pub(crate) fn handle_cookie(
        mut self,
        cookie: &[u8],
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        if !self.hello.cookie.is_empty() || cookie.is_empty() {
            return Err(PeerError::UnexpectedMessage.into());
        }
        self.hello.cookie = cookie.to_vec();
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
        let offered = |suite: &CipherSuite| suite.id() == hello.cipher_suite;
        let suite = CipherSuite::ALL.into_iter().find(offered).ok_or(PeerError::IllegalParameter)?;
        let extensions = &hello.extensions;
        let renegotiating = extensions.renegotiation_info.as_ref().is_some_and(|info| !info.is_empty());
        if !self.hello.cipher_suites.contains(&suite.id()) || hello.compression_method != 0 || renegotiating {
            return Err(PeerError::IllegalParameter.into());
        }
        if !extensions.others.is_empty() {
            return Err(PeerError::UnsolicitedExtension.into());
        }
        if !extensions.extended_master_secret {
            return Err(PeerError::NoExtendedMasterSecret.into());
        }
        let srtp = extensions.use_srtp.as_ref().map(|answer| self.srtp_profile(answer)).transpose()?;
        context.transcript.add(&message.whole());
        let negotiated =
            Negotiated { suite, srtp, client_random: self.hello.random, server_random: hello.random };
        Ok(Handshake::ServerCertificate(AwaitServerCertificate { negotiated }))
    }

    /// RFC 5764 §4.1.1: the answer names one of the profiles that were offered, and the MKI that was: none.
    fn srtp_profile(&self, answer: &UseSrtp) -> Result<SrtpProfileId, PeerError> {
        let offer = self.hello.extensions.use_srtp.as_ref().ok_or(PeerError::UnsolicitedExtension)?;
        match answer.profiles[..] {
            [profile] if offer.profiles.contains(&profile) && answer.mki.is_empty() => {
                Ok(SrtpProfileId(profile))
            }
            _ => Err(PeerError::IllegalParameter),
        }
    }
}

/// ServerHello is here.
pub(crate) struct AwaitServerCertificate {
    negotiated: Negotiated,
}

impl AwaitServerCertificate {
    pub(crate) fn handle(
        self,
        leaf: Option<&[u8]>,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let key = context.take_certificate(leaf)?;
        if !key.scheme.is_some_and(|scheme| self.negotiated.suite.fits(scheme)) {
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
        let Negotiated { client_random, server_random, .. } = &self.negotiated;
        let signed = [client_random, server_random, exchange.params].concat();
        context.verify(&self.key, exchange.signature, &signed)?;
        let (_, group) =
            GROUPS.into_iter().find(|(id, _)| *id == exchange.group).ok_or(PeerError::IllegalParameter)?;
        let ours = (context.config.provider.key_exchange)(group, context.rng)?;
        let share = ours.public_share().to_vec();
        let premaster = ours.agree(exchange.share).map_err(|_| PeerError::IllegalParameter)?;
        context.transcript.add(&message.whole());
        let negotiated = self.negotiated;
        Ok(Handshake::CertificateRequest(AwaitCertificateRequest { negotiated, share, premaster }))
    }
}

/// The server has proved its certificate, and the secret is agreed.
pub(crate) struct AwaitCertificateRequest {
    negotiated: Negotiated,
    share: Vec<u8>,
    premaster: tombolo_crypto::SharedSecret,
}

impl AwaitCertificateRequest {
    pub(crate) fn handle(
        self,
        request: &CertificateRequest,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        if !request.signature_schemes.contains(&context.own_scheme()?) {
            return Err(PeerError::SignatureScheme.into());
        }
        context.transcript.add(&message.whole());
        let Self { negotiated, share, premaster } = self;
        Ok(Handshake::ServerHelloDone(AwaitServerHelloDone { negotiated, share, premaster, asked: true }))
    }

    /// Deviation: RFC 5763 §5 demands certificates of both sides, but the server asks for none, as that of FFmpeg's
    /// WHIP output. It is the server that goes without knowing us; its own certificate was checked as always.
    pub(crate) fn not_asked(self) -> AwaitServerHelloDone {
        let Self { negotiated, share, premaster } = self;
        AwaitServerHelloDone { negotiated, share, premaster, asked: false }
    }
}

/// Only the end of the server's flight is missing.
pub(crate) struct AwaitServerHelloDone {
    negotiated: Negotiated,
    share: Vec<u8>,
    premaster: tombolo_crypto::SharedSecret,
    /// Whether the server wants our certificate.
    asked: bool,
}

impl AwaitServerHelloDone {
    pub(crate) fn handle(
        self,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        context.transcript.add(&message.whole());
        context.flight.prepare();
        if self.asked {
            let certificate = encode_certificate(context.config.certificate.der());
            context.send(0, HandshakeType::CERTIFICATE, certificate);
        }
        let key_exchange = encode_client_key_exchange(&self.share);
        context.send(0, HandshakeType::CLIENT_KEY_EXCHANGE, key_exchange);
        let secrets = context.derive_secrets(&self.negotiated, &self.premaster, Sender::Client)?;
        if self.asked {
            let signature = context.config.certificate.signer().sign(context.transcript.bytes())?;
            let mut verify = Vec::with_capacity(signature.len() + 4);
            DigitallySigned { scheme: context.own_scheme()?, signature: &signature }.encode(&mut verify);
            context.send(0, HandshakeType::CERTIFICATE_VERIFY, verify);
        }
        context.send_finished(&secrets, self.negotiated.suite, Sender::Client)?;
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
        context.check_finished(&self.secrets, self.negotiated.suite, Sender::Server, verify_data)?;
        Ok(Handshake::Complete(Complete { secrets: self.secrets, srtp: self.negotiated.srtp }))
    }
}
