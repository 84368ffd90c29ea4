//! The server's states in DTLS 1.3.

use tombolo_crypto::{KeyExchangeGroup, SignatureScheme};

use crate::config::Config;
use crate::cookie::FirstHello;
use crate::error::{FailReason, PeerError};
use crate::extension::{Extensions, KeyShare, UseSrtp};
use crate::fragment::{Fragment, HandshakeType, Message};
use crate::handshake::message::{
    ClientHello, DigitallySigned, RETRY_RANDOM, ServerHello, encode_certificate_request_1_3,
};
use crate::handshake::server::{choose_profile, choose_protocol};
use crate::handshake::{APPLICATION_EPOCH, Context, HANDSHAKE_EPOCH, Handshake, own_scheme};
use crate::keys::Sender;
use crate::schedule::{ApplicationSecrets, HandshakeSecrets};
use crate::session::{Parameters, SecretsOf13, Session, SessionSecrets};
use crate::suite::CipherSuite;
use crate::version::{ProtocolVersion, VERSION_1_2, VERSION_1_3};
use crate::x509::PublicKey;

/// What the server chooses from a hello.
pub(crate) struct Choice<'a> {
    pub(crate) parameters: Parameters,
    /// The code point.
    pub(crate) group: u16,
    /// The client's share, if it has sent one for the group.
    pub(crate) share: Option<&'a [u8]>,
    scheme: (u16, SignatureScheme),
}

/// Takes the first hello.
pub(crate) fn handle_first(
    hello: &ClientHello,
    message: &Message,
    context: &mut Context<'_>,
) -> Result<Handshake, FailReason> {
    let choice = choose(hello, context.config)?;
    let suite = choice.parameters.cipher_suite;
    *context.version = Some(ProtocolVersion::Dtls13);
    context.transcript.add(&message.whole());
    context.transcript.start_1_3(&context.config.provider, suite.hash())?;
    match choice.share {
        Some(share) => answer(&choice, share, hello, context),
        None => retry(hello, &choice, context),
    }
}

/// Asks for a share of a group that the client supports.
fn retry(
    hello: &ClientHello,
    choice: &Choice<'_>,
    context: &mut Context<'_>,
) -> Result<Handshake, FailReason> {
    let suite = choice.parameters.cipher_suite;
    context.transcript.retry(&context.config.provider, suite.hash())?;
    context.flight.prepare();
    let request = retry_request(suite, Some(choice.group), None);
    context.send(0, HandshakeType::SERVER_HELLO, request);
    // The client repeats its hello until it has this: no timer is needed.
    context.launch(false);
    let state = AwaitSecondClientHello { random: hello.random, suite, group: choice.group };
    Ok(Handshake::SecondClientHello13(state))
}

/// HelloRetryRequest: for a share of a group, or for the cookie to come back.
pub(crate) fn retry_request(suite: CipherSuite, group: Option<u16>, cookie: Option<&[u8]>) -> Vec<u8> {
    let extensions = Extensions {
        versions: Some(vec![VERSION_1_3]),
        key_shares: group.map(|group| vec![KeyShare { group, share: Vec::new() }]),
        cookie: cookie.map(<[u8]>::to_vec),
        ..Extensions::default()
    };
    server_hello(RETRY_RANDOM, suite, extensions).encode()
}

/// HelloRetryRequest is out.
pub(crate) struct AwaitSecondClientHello {
    random: [u8; 32],
    suite: CipherSuite,
    group: u16,
}

impl AwaitSecondClientHello {
    /// Starts with a hello whose cookie was good: the first one is known by its hash, and `request` is what answered it.
    pub(crate) fn resume(
        random: [u8; 32],
        first: &FirstHello,
        request: &[u8],
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let FirstHello { suite, group, .. } = *first;
        *context.version = Some(ProtocolVersion::Dtls13);
        context.transcript.start_retried(&context.config.provider, suite.hash(), &first.hash)?;
        context.transcript.add(&Fragment {
            msg_type: HandshakeType::SERVER_HELLO,
            length: request.len(),
            message_seq: 0,
            offset: 0,
            bytes: request,
        });
        Ok(Handshake::SecondClientHello13(Self { random, suite, group }))
    }

    pub(crate) fn handle(
        self,
        hello: &ClientHello,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let offers_1_3 =
            hello.extensions.versions.as_ref().is_some_and(|versions| versions.contains(&VERSION_1_3));
        let choice = choose(hello, context.config)?;
        let same = choice.parameters.cipher_suite == self.suite && choice.group == self.group;
        let Some(share) = choice.share.filter(|_| same && offers_1_3 && hello.random == self.random) else {
            return Err(PeerError::IllegalParameter.into());
        };
        context.transcript.add(&message.whole());
        answer(&choice, share, hello, context)
    }
}

/// Chooses by our own order of preference.
pub(crate) fn choose<'a>(hello: &'a ClientHello, config: &Config) -> Result<Choice<'a>, PeerError> {
    let extensions = &hello.extensions;
    if hello.compression_methods != [0] || !hello.cookie.is_empty() {
        return Err(PeerError::IllegalParameter);
    }
    let suite = config
        .suites(ProtocolVersion::Dtls13)
        .find(|suite| hello.cipher_suites.contains(&suite.id()))
        .ok_or(PeerError::CipherSuite)?;
    let (Some(groups), Some(shares), Some(schemes)) =
        (&extensions.groups, &extensions.key_shares, &extensions.signature_schemes)
    else {
        return Err(PeerError::MissingExtension);
    };
    let (group, kind, share) = choose_group(groups, shares, config)?;
    let parameters = Parameters {
        version: ProtocolVersion::Dtls13,
        cipher_suite: suite,
        group: kind,
        srtp_profile: choose_profile(extensions, config),
        alpn: choose_protocol(extensions, config)?,
        server_name: extensions.server_name.clone(),
        psk_identity: None,
    };
    let scheme = own_scheme(config, ProtocolVersion::Dtls13, schemes)?;
    Ok(Choice { parameters, group, share, scheme })
}

/// The best group of which the client has sent a share, or else the best that it supports.
fn choose_group<'a>(
    groups: &[u16],
    shares: &'a [KeyShare],
    config: &Config,
) -> Result<(u16, KeyExchangeGroup, Option<&'a [u8]>), PeerError> {
    // RFC 8446 §4.2.8: no share of a group that is not offered.
    if shares.iter().any(|share| !groups.contains(&share.group)) {
        return Err(PeerError::IllegalParameter);
    }
    let common = || config.groups().filter(|(id, _)| groups.contains(id));
    let with_share = common().find_map(|(id, group)| {
        let share = shares.iter().find(|share| share.group == id)?;
        Some((id, group, Some(&share.share[..])))
    });
    with_share.or_else(|| common().next().map(|(id, group)| (id, group, None))).ok_or(PeerError::Group)
}

fn server_hello(random: [u8; 32], suite: CipherSuite, extensions: Extensions) -> ServerHello {
    ServerHello {
        version: VERSION_1_2,
        random,
        // RFC 9147 §5.3: the client's is not echoed.
        session_id: Vec::new(),
        cipher_suite: suite.id(),
        compression_method: 0,
        extensions,
    }
}

/// Sends our flight, from ServerHello to Finished.
fn answer(
    choice: &Choice<'_>,
    share: &[u8],
    hello: &ClientHello,
    context: &mut Context<'_>,
) -> Result<Handshake, FailReason> {
    let (client_random, offer) = (&hello.random, &hello.extensions);
    let parameters = choice.parameters.clone();
    let suite = parameters.cipher_suite;
    let response = context
        .config
        .provider
        .respond(parameters.group, share, context.rng)
        .map_err(|_| PeerError::IllegalParameter)?;
    let connection_id = context.take_connection_id(offer)?;
    context.flight.prepare();
    let extensions = Extensions {
        versions: Some(vec![VERSION_1_3]),
        key_shares: Some(vec![KeyShare { group: choice.group, share: response.share }]),
        connection_id,
        ..Extensions::default()
    };
    let hello = server_hello(context.random(), suite, extensions);
    context.send(0, HandshakeType::SERVER_HELLO, hello.encode());

    let secrets = context.handshake_secrets(suite, &response.secret, client_random)?;
    context.records.install_read(HANDSHAKE_EPOCH, secrets.client.cipher()?);
    context.records.install_write(HANDSHAKE_EPOCH, secrets.server.cipher()?);
    let mut encrypted = Vec::new();
    let extensions = Extensions {
        // RFC 6066 §3: that it was taken is said.
        server_name: parameters.server_name.as_ref().map(|_| Vec::new()),
        use_srtp: parameters
            .srtp_profile
            .map(|profile| UseSrtp { profiles: vec![profile.0], mki: Vec::new() }),
        alpn: parameters.alpn.clone().map(|protocol| vec![protocol]),
        ..Extensions::default()
    };
    extensions.encode(crate::extension::Place::EncryptedExtensions, &mut encrypted);
    context.send(HANDSHAKE_EPOCH, HandshakeType::ENCRYPTED_EXTENSIONS, encrypted);
    if context.config.asks_clients {
        let schemes = context.signature_schemes(&[ProtocolVersion::Dtls13]);
        let request = encode_certificate_request_1_3(schemes);
        context.send(HANDSHAKE_EPOCH, HandshakeType::CERTIFICATE_REQUEST, request);
    }
    context.send_authentication_1_3(Sender::Server, suite, Some(choice.scheme), &secrets.server)?;
    context.launch(true);

    let application = context.application_secrets(suite, &secrets)?;
    context.records.install_write(APPLICATION_EPOCH, application.server.cipher()?);
    if context.config.asks_clients {
        Ok(Handshake::ClientCertificate13(AwaitCertificate { parameters, secrets, application }))
    } else {
        context.identity.trust();
        Ok(Handshake::ClientFinished13(AwaitFinished { parameters, secrets, application }))
    }
}

/// Our flight is out.
pub(crate) struct AwaitCertificate {
    parameters: Parameters,
    secrets: HandshakeSecrets,
    application: ApplicationSecrets,
}

impl AwaitCertificate {
    pub(crate) fn handle(
        self,
        chain: &[&[u8]],
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let key = context.take_certificate(chain)?;
        context.transcript.add(&message.whole());
        let Self { parameters, secrets, application } = self;
        let state = AwaitCertificateVerify { parameters, secrets, application, key };
        Ok(Handshake::ClientCertificateVerify13(state))
    }
}

/// The client's certificate is here, and it fits if the fingerprints are.
pub(crate) struct AwaitCertificateVerify {
    parameters: Parameters,
    secrets: HandshakeSecrets,
    application: ApplicationSecrets,
    key: PublicKey,
}

impl AwaitCertificateVerify {
    pub(crate) fn handle(
        self,
        signed: DigitallySigned<'_>,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let Self { parameters, secrets, application, key } = self;
        context.check_signature_1_3(Sender::Client, parameters.cipher_suite, &key, signed)?;
        context.transcript.add(&message.whole());
        Ok(Handshake::ClientFinished13(AwaitFinished { parameters, secrets, application }))
    }
}

/// The client has proved its certificate, or need not.
pub(crate) struct AwaitFinished {
    parameters: Parameters,
    secrets: HandshakeSecrets,
    application: ApplicationSecrets,
}

impl AwaitFinished {
    pub(crate) fn handle(
        self,
        verify_data: &[u8],
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let Self { parameters, secrets, application } = self;
        context.check_finished_1_3(parameters.cipher_suite, &secrets.client, verify_data)?;
        context.records.install_read(APPLICATION_EPOCH, application.client.cipher()?);
        let secrets = SecretsOf13 {
            read: application.client,
            write: application.server,
            exporter: application.exporter,
            client_random: application.client_random,
        };
        Ok(Handshake::Complete(Session { parameters, secrets: SessionSecrets::Of13(Box::new(secrets)) }))
    }
}
