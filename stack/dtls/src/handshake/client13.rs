//! The client's states in DTLS 1.3, after the version is known.

use tombolo_crypto::{SharedSecret, SignatureScheme};

use crate::error::{DecodeError, FailReason, PeerError};
use crate::extension::{ALPN, Extensions, SERVER_NAME, SUPPORTED_GROUPS, USE_SRTP};
use crate::fragment::Message;
use crate::handshake::message::{ClientHello, DigitallySigned};
use crate::handshake::{
    APPLICATION_EPOCH, Context, HANDSHAKE_EPOCH, Handshake, answered_profile, answered_protocol, own_scheme,
};
use crate::keys::Sender;
use crate::schedule::HandshakeSecrets;
use crate::session::{Parameters, SecretsOf13, Session, SessionSecrets};
use crate::version::ProtocolVersion;
use crate::x509::PublicKey;

/// ServerHello is here; all that follows is encrypted.
pub(crate) struct AwaitEncryptedExtensions {
    hello: ClientHello,
    parameters: Parameters,
    secrets: HandshakeSecrets,
}

impl AwaitEncryptedExtensions {
    /// Derives the keys of the handshake. ServerHello is in the transcript.
    pub(crate) fn start(
        hello: ClientHello,
        parameters: Parameters,
        shared_secret: &SharedSecret,
        context: &mut Context<'_>,
    ) -> Result<Self, FailReason> {
        let suite = parameters.cipher_suite;
        let secrets = context.handshake_secrets(suite, shared_secret, &hello.random)?;
        context.records.install_read(HANDSHAKE_EPOCH, secrets.server.cipher()?);
        context.records.install_write(HANDSHAKE_EPOCH, secrets.client.cipher()?);
        Ok(Self { hello, parameters, secrets })
    }

    pub(crate) fn handle(
        self,
        answer: &Extensions,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let Self { hello, mut parameters, secrets } = self;
        let offer = &hello.extensions;
        let unasked = answer.server_name.is_some() && offer.server_name.is_none();
        if unasked || !answer.are_among(&[SERVER_NAME, SUPPORTED_GROUPS, USE_SRTP, ALPN]) {
            return Err(PeerError::UnsolicitedExtension.into());
        }
        parameters.srtp_profile = answered_profile(offer.use_srtp.as_ref(), answer.use_srtp.as_ref())?;
        parameters.alpn = answered_protocol(offer.alpn.as_ref(), answer.alpn.as_ref())?;
        context.transcript.add(&message.whole());
        Ok(Handshake::CertificateRequest13(AwaitCertificateRequest { parameters, secrets }))
    }
}

/// The server may want our certificate.
pub(crate) struct AwaitCertificateRequest {
    parameters: Parameters,
    secrets: HandshakeSecrets,
}

impl AwaitCertificateRequest {
    pub(crate) fn handle(
        self,
        request: &Extensions,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let offered = request.signature_schemes.as_ref().ok_or(PeerError::MissingExtension)?;
        let scheme = own_scheme(context.config, ProtocolVersion::Dtls13, offered)?;
        context.transcript.add(&message.whole());
        let Self { parameters, secrets } = self;
        Ok(Handshake::ServerCertificate13(AwaitCertificate { parameters, secrets, scheme: Some(scheme) }))
    }

    /// Deviation: RFC 5763 §5 demands certificates of both sides; see
    /// [`crate::handshake::client::AwaitCertificateRequest::not_asked`].
    pub(crate) fn not_asked(self) -> AwaitCertificate {
        let Self { parameters, secrets } = self;
        AwaitCertificate { parameters, secrets, scheme: None }
    }
}

/// Whether we are to show our certificate is known.
pub(crate) struct AwaitCertificate {
    parameters: Parameters,
    secrets: HandshakeSecrets,
    /// What we sign with, if the server wants our certificate.
    scheme: Option<(u16, SignatureScheme)>,
}

impl AwaitCertificate {
    pub(crate) fn handle(
        self,
        chain: &[&[u8]],
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        // RFC 8446 §4.4.2.4: a server without certificate is an error of form.
        if chain.is_empty() {
            return Err(PeerError::Malformed(DecodeError::BadLength).into());
        }
        let key = context.take_certificate(chain)?;
        context.transcript.add(&message.whole());
        let Self { parameters, secrets, scheme } = self;
        let state = AwaitCertificateVerify { parameters, secrets, scheme, key };
        Ok(Handshake::ServerCertificateVerify13(state))
    }
}

/// The server's certificate is here, and it fits if the fingerprints are.
pub(crate) struct AwaitCertificateVerify {
    parameters: Parameters,
    secrets: HandshakeSecrets,
    scheme: Option<(u16, SignatureScheme)>,
    key: PublicKey,
}

impl AwaitCertificateVerify {
    pub(crate) fn handle(
        self,
        signed: DigitallySigned<'_>,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let Self { parameters, secrets, scheme, key } = self;
        context.check_signature_1_3(Sender::Server, parameters.cipher_suite, &key, signed)?;
        context.transcript.add(&message.whole());
        Ok(Handshake::ServerFinished13(AwaitFinished { parameters, secrets, scheme }))
    }
}

/// The server has proved its certificate.
pub(crate) struct AwaitFinished {
    parameters: Parameters,
    secrets: HandshakeSecrets,
    scheme: Option<(u16, SignatureScheme)>,
}

impl AwaitFinished {
    /// Ends the handshake: our flight goes out, and is repeated until the server acknowledges it.
    pub(crate) fn handle(
        self,
        verify_data: &[u8],
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let Self { parameters, secrets, scheme } = self;
        let suite = parameters.cipher_suite;
        context.check_finished_1_3(suite, &secrets.server, verify_data)?;
        context.transcript.add(&message.whole());
        let application = context.application_secrets(suite, &secrets)?;
        context.flight.prepare();
        context.send_authentication_1_3(Sender::Client, suite, scheme, &secrets.client)?;
        context.launch(true);
        context.records.install_read(APPLICATION_EPOCH, application.server.cipher()?);
        context.records.install_write(APPLICATION_EPOCH, application.client.cipher()?);
        let secrets = SecretsOf13 {
            read: application.server,
            write: application.client,
            exporter: application.exporter,
            client_random: application.client_random,
        };
        Ok(Handshake::Complete(Session { parameters, secrets: SessionSecrets::Of13(Box::new(secrets)) }))
    }
}
