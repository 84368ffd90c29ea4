//! The server's states.

use tombolo_crypto::{KeyExchange, KeyExchangeGroup, SignatureScheme};

use crate::error::{FailReason, PeerError};
use crate::extension::{Extensions, UseSrtp};
use crate::fragment::{HandshakeType, Message};
use crate::handshake::message::{
    CertificateRequest, ClientHello, DigitallySigned, ServerHello, ServerKeyExchange, encode_certificate,
};
use crate::handshake::{Complete, Context, Handshake, Negotiated};
use crate::keys::{Secrets, Sender};
use crate::record::VERSION_1_2;
use crate::srtp::SrtpProfileId;
use crate::suite::{CipherSuite, GROUPS, RENEGOTIATION_SCSV};
use crate::x509::PublicKey;

/// `ClientCertificateType` values.
const RSA_SIGN: u8 = 1;
const ECDSA_SIGN: u8 = 64;

/// Nothing has come yet.
pub(crate) struct AwaitClientHello;

/// What the server chooses from a hello.
struct Choice {
    suite: CipherSuite,
    group: (u16, KeyExchangeGroup),
    srtp: Option<SrtpProfileId>,
}

impl AwaitClientHello {
    pub(crate) fn handle(
        self,
        hello: &ClientHello,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let choice = choose(hello, context)?;
        context.transcript.add(&message.whole());
        let exchange = (context.config.provider.key_exchange)(choice.group.1, context.rng)?;
        let negotiated = Negotiated {
            suite: choice.suite,
            srtp: choice.srtp,
            client_random: hello.random,
            server_random: context.random(),
        };
        context.flight.prepare();
        let server_hello = server_hello(hello, &negotiated);
        context.send(0, HandshakeType::SERVER_HELLO, server_hello.encode());
        let certificate = encode_certificate(context.config.certificate.der());
        context.send(0, HandshakeType::CERTIFICATE, certificate);
        let key_exchange = sign_params(&negotiated, choice.group.0, exchange.public_share(), context)?;
        context.send(0, HandshakeType::SERVER_KEY_EXCHANGE, key_exchange);
        let request = CertificateRequest {
            certificate_types: certificate_types(context),
            signature_schemes: context.signature_schemes(),
        };
        context.send(0, HandshakeType::CERTIFICATE_REQUEST, request.encode());
        context.send(0, HandshakeType::SERVER_HELLO_DONE, Vec::new());
        context.launch(true);
        Ok(Handshake::ClientCertificate(AwaitClientCertificate { negotiated, exchange }))
    }
}

/// Chooses by our own order of preference. Extensions and code points that are not known are passed over, so a hello
/// that offers DTLS 1.3 and post-quantum shares beside 1.2 is answered with 1.2.
fn choose(hello: &ClientHello, context: &Context<'_>) -> Result<Choice, PeerError> {
    let extensions = &hello.extensions;
    // RFC 8446 §4.2.1: supported_versions, where it is, says what the legacy version cannot.
    let speaks_1_2 = match &extensions.supported_versions {
        Some(versions) => versions.contains(&VERSION_1_2),
        // Versions count down from 0xfeff.
        None => hello.version >> 8 == 0xfe && hello.version <= VERSION_1_2,
    };
    if !speaks_1_2 {
        return Err(PeerError::Version);
    }
    if !hello.compression_methods.contains(&0) {
        return Err(PeerError::IllegalParameter);
    }
    if extensions.renegotiation_info.as_ref().is_some_and(|info| !info.is_empty()) {
        return Err(PeerError::IllegalParameter);
    }
    if !extensions.extended_master_secret {
        return Err(PeerError::NoExtendedMasterSecret);
    }
    let scheme = context.config.certificate.signer().scheme();
    let suite = CipherSuite::ALL
        .into_iter()
        .find(|suite| suite.fits(scheme) && hello.cipher_suites.contains(&suite.id()))
        .ok_or(PeerError::CipherSuite)?;
    let group = match &extensions.groups {
        Some(offered) => GROUPS.into_iter().find(|(id, _)| offered.contains(id)).ok_or(PeerError::Group)?,
        // RFC 8422 §4: without the extension the server is free; P-256 is what everyone has.
        None => (23, KeyExchangeGroup::Secp256r1),
    };
    let schemes = extensions.signature_schemes.as_ref().ok_or(PeerError::SignatureScheme)?;
    if !schemes.contains(&context.own_scheme()?) {
        return Err(PeerError::SignatureScheme);
    }
    let srtp = extensions.use_srtp.as_ref().and_then(|offer| {
        let ours = &context.config.srtp_profiles;
        ours.iter().copied().find(|profile| offer.profiles.contains(&profile.0))
    });
    Ok(Choice { suite, group, srtp })
}

fn server_hello(hello: &ClientHello, negotiated: &Negotiated) -> ServerHello {
    let signals_renegotiation =
        hello.extensions.renegotiation_info.is_some() || hello.cipher_suites.contains(&RENEGOTIATION_SCSV);
    ServerHello {
        version: VERSION_1_2,
        // 1.2 is the highest version spoken here, so the random ends without the downgrade marks of RFC 8446 §4.1.3.
        random: negotiated.server_random,
        session_id: Vec::new(),
        cipher_suite: negotiated.suite.id(),
        compression_method: 0,
        extensions: Extensions {
            point_formats: hello.extensions.point_formats,
            use_srtp: negotiated.srtp.map(|profile| UseSrtp { profiles: vec![profile.0], mki: Vec::new() }),
            extended_master_secret: true,
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
    context: &Context<'_>,
) -> Result<Vec<u8>, FailReason> {
    let params = ServerKeyExchange::encode_params(group, share);
    let signed = [&negotiated.client_random[..], &negotiated.server_random, &params].concat();
    let signer = context.config.certificate.signer();
    let signature = signer.sign(&signed)?;
    let mut out = params;
    DigitallySigned { scheme: context.own_scheme()?, signature: &signature }.encode(&mut out);
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
        leaf: Option<&[u8]>,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let key = context.take_certificate(leaf)?;
        context.transcript.add(&message.whole());
        let Self { negotiated, exchange } = self;
        Ok(Handshake::ClientKeyExchange(AwaitClientKeyExchange { negotiated, exchange, key }))
    }
}

/// The client's certificate is here, and it fits if the fingerprints are.
pub(crate) struct AwaitClientKeyExchange {
    negotiated: Negotiated,
    exchange: Box<dyn KeyExchange>,
    key: PublicKey,
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
        Ok(Handshake::CertificateVerify(AwaitCertificateVerify { negotiated, key, secrets }))
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

/// The client has proved its certificate.
pub(crate) struct AwaitClientFinished {
    negotiated: Negotiated,
    secrets: Secrets,
}

impl AwaitClientFinished {
    pub(crate) fn handle(
        self,
        verify_data: &[u8],
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Handshake, FailReason> {
        let Self { negotiated, secrets } = self;
        context.check_finished(&secrets, negotiated.suite, Sender::Client, verify_data)?;
        context.transcript.add(&message.whole());
        context.flight.prepare();
        context.send_finished(&secrets, negotiated.suite, Sender::Server)?;
        context.launch(false);
        Ok(Handshake::Complete(Complete { secrets, srtp: negotiated.srtp }))
    }
}
