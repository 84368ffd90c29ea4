//! The handshakes, one struct per state.
//!
//! DTLS 1.2 (RFC 6347 §4.2.4, figure 1):
//!
//! ```text
//! client                                             server
//!          ClientHello                         ->              AwaitClientHello
//! AwaitServerHello                [<- HelloVerifyRequest, -> ClientHello with the cookie]
//!                                              <-  ServerHello
//! AwaitServerCertificate                           Certificate
//! AwaitServerKeyExchange                           ServerKeyExchange
//! AwaitCertificateRequest                          CertificateRequest
//! AwaitServerHelloDone                             ServerHelloDone
//!          Certificate                         ->              AwaitClientCertificate
//!          ClientKeyExchange                                   AwaitClientKeyExchange
//!          CertificateVerify                                   AwaitCertificateVerify
//!          [ChangeCipherSpec], Finished                        AwaitClientFinished
//! AwaitServerFinished                          <-  [ChangeCipherSpec], Finished
//! ```
//!
//! DTLS 1.3 (RFC 9147 §5, figure 6), in `client13` and `server13`; the numbers are epochs:
//!
//! ```text
//! client                                             server
//!          ClientHello                     0   ->              AwaitClientHello
//! AwaitServerHello                [<- HelloRetryRequest, -> ClientHello]   AwaitSecondClientHello
//!                                              <-  ServerHello           0
//! AwaitEncryptedExtensions                         EncryptedExtensions   2
//! AwaitCertificateRequest                          CertificateRequest    2
//! AwaitCertificate                                 Certificate           2
//! AwaitCertificateVerify                           CertificateVerify     2
//! AwaitFinished                                    Finished              2
//!          Certificate                     2   ->              AwaitCertificate
//!          CertificateVerify               2                   AwaitCertificateVerify
//!          Finished                        2                   AwaitFinished
//!                                              <-  ACK                   3
//! ```
//!
//! A transition consumes the state. An error ends the handshake.
//!
//! Deviation: RFC 6347 §4.1 has ChangeCipherSpec switch the epoch. Here a record's own epoch number does, since it
//! says the same, is authenticated, and cannot be lost apart from the record.

pub(crate) mod client;
pub(crate) mod client13;
pub(crate) mod message;
pub(crate) mod psk;
pub(crate) mod server;
pub(crate) mod server13;

use std::time::Instant;

use rand_core::Rng as _;
use subtle::ConstantTimeEq as _;
use tombolo_crypto::{CryptoError, Digest, SignatureScheme};
use tombolo_net::Rng;

use crate::config::Config;
use crate::connection::Role;
use crate::connection_id::{ConnectionIds, MAX_PEER_ID_LEN};
use crate::error::{FailReason, PeerError};
use crate::extension::{Extensions, UseSrtp};
use crate::flight::Flight;
use crate::fragment::{HandshakeType, Message};
use crate::handshake::message::{Body, DigitallySigned};
use crate::identity::PeerIdentity;
use crate::key_log::LoggedSecret;
use crate::keys::{Secrets, Sender};
use crate::record::RecordLayer;
use crate::schedule::{ApplicationSecrets, HandshakeSecrets, TrafficSecret};
use crate::session::{Parameters, Session};
use crate::srtp::SrtpProfileId;
use crate::suite::{CipherSuite, schemes_of};
use crate::transcript::Transcript;
use crate::verifier::ShownChain;
use crate::version::ProtocolVersion;
use crate::x509::PublicKey;

/// The epoch of the encrypted handshake in DTLS 1.3.
pub(crate) const HANDSHAKE_EPOCH: u64 = 2;
/// The first epoch of application data in DTLS 1.3.
pub(crate) const APPLICATION_EPOCH: u64 = 3;

/// The labels of the key log for the traffic secrets of either side.
pub(crate) const CLIENT_TRAFFIC: &str = "CLIENT_TRAFFIC_SECRET";
pub(crate) const SERVER_TRAFFIC: &str = "SERVER_TRAFFIC_SECRET";

/// What the states work on.
pub(crate) struct Context<'a> {
    pub(crate) config: &'a Config,
    pub(crate) role: Role,
    pub(crate) now: Instant,
    pub(crate) rng: &'a mut Rng,
    pub(crate) transcript: &'a mut Transcript,
    pub(crate) flight: &'a mut Flight,
    pub(crate) records: &'a mut RecordLayer,
    pub(crate) identity: &'a mut PeerIdentity,
    /// The version, once it is agreed on.
    pub(crate) version: &'a mut Option<ProtocolVersion>,
    /// Set when a new flight of ours goes out.
    pub(crate) launched: bool,
}

impl Context<'_> {
    /// Adds a message to our flight and to the transcript.
    fn send(&mut self, epoch: u64, msg_type: HandshakeType, body: Vec<u8>) {
        self.flight.push(epoch, msg_type, body, |message| self.transcript.add(message));
    }

    fn launch(&mut self, awaits_answer: bool) {
        self.flight.launch(awaits_answer);
        self.launched = true;
    }

    fn random(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// Takes the client's connection id, if there are to be any. Gives ours for the answer. One that is too long is passed over.
    fn take_connection_id(&mut self, offer: &Extensions) -> Result<Option<Vec<u8>>, PeerError> {
        let theirs = offer.connection_id.as_ref().filter(|id| id.len() <= MAX_PEER_ID_LEN);
        let ours = theirs.and_then(|_| ConnectionIds::draw(self.config, self.rng));
        if ours.is_some() {
            self.records.use_ids(ConnectionIds::agree(ours.as_ref(), theirs)?);
        }
        Ok(ours)
    }

    /// The hash of the messages so far.
    fn transcript_hash(&self, suite: CipherSuite) -> Result<Digest, CryptoError> {
        self.transcript.hash(&self.config.provider, suite.hash())
    }

    /// The schemes of these versions that we can verify.
    fn signature_schemes(&self, versions: &[ProtocolVersion]) -> Vec<u16> {
        let verifies = self.config.provider.verifies;
        let mut ids: Vec<u16> = Vec::new();
        for (id, scheme, _) in schemes_of(versions) {
            if verifies.contains(&scheme) && !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    /// Whether a certificate of a kind that fits a suite of 1.2 can be verified.
    fn can_verify_for(&self, suite: CipherSuite) -> bool {
        let verifies = self.config.provider.verifies;
        schemes_of(&[ProtocolVersion::Dtls12])
            .any(|(_, scheme, kind)| suite.fits(kind) && verifies.contains(&scheme))
    }

    /// Signs, and encodes the signature with its scheme.
    fn sign(&self, (id, scheme): (u16, SignatureScheme), text: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let signature = self.config.certificate.signer().sign(scheme, text)?;
        let mut out = Vec::with_capacity(signature.len() + 4);
        DigitallySigned { scheme: id, signature: &signature }.encode(&mut out);
        Ok(out)
    }

    /// Reads the peer's certificate and holds it against the fingerprints, if they are here, and shows it to the verifier, if
    /// there is one.
    fn take_certificate(&mut self, chain: &[&[u8]]) -> Result<PublicKey, FailReason> {
        let leaf = *chain.first().ok_or(PeerError::NoCertificate)?;
        self.identity.show(leaf);
        if let Some(verifier) = &self.config.verifier {
            let name = match self.role {
                Role::Client => self.config.server_name.as_deref(),
                Role::Server => None,
            };
            let shown = ShownChain { certificates: chain, of: self.role.peer(), name };
            verifier.verify(&shown, self.now).map_err(PeerError::Rejected)?;
            self.identity.trust();
        }
        self.identity.check(&self.config.provider)?;
        let key = PublicKey::of_certificate(leaf).map_err(|_| PeerError::BadCertificate)?;
        let verifies = self.config.provider.verifies;
        let usable = |kind| {
            schemes_of(&self.versions()).any(|(_, scheme, of)| of == kind && verifies.contains(&scheme))
        };
        if key.kind.is_some_and(usable) { Ok(key) } else { Err(PeerError::UnsupportedCertificate.into()) }
    }

    /// The version that was agreed on, or those that may be.
    fn versions(&self) -> Vec<ProtocolVersion> {
        self.version.map_or_else(|| self.config.versions(), |version| vec![version])
    }

    /// Verifies a handshake signature.
    fn verify(&self, key: &PublicKey, signed: DigitallySigned<'_>, text: &[u8]) -> Result<(), PeerError> {
        let (_, scheme, _) = schemes_of(&self.versions())
            .find(|(id, _, kind)| *id == signed.scheme && key.kind == Some(*kind))
            .filter(|(_, scheme, _)| self.config.provider.verifies.contains(scheme))
            .ok_or(PeerError::IllegalParameter)?;
        (self.config.provider.verify)(scheme, &key.bytes, text, signed.signature)
            .map_err(|_| PeerError::BadSignature)
    }

    /// The extended master secret over the transcript so far, and its keys into the record layer.
    fn derive_secrets(
        &mut self,
        negotiated: &Negotiated,
        premaster: &[u8],
        us: Sender,
    ) -> Result<Secrets, FailReason> {
        let suite = negotiated.parameters.cipher_suite;
        let session_hash = self.transcript_hash(suite)?;
        let Negotiated { client_random, server_random, .. } = *negotiated;
        let provider = &self.config.provider;
        let secrets =
            Secrets::derive(provider, suite, premaster, &session_hash, client_random, server_random)?;
        self.log(&secrets.logged());
        let (client, server) = secrets.ciphers()?;
        let (read, write) = if us == Sender::Client { (server, client) } else { (client, server) };
        self.records.install_read(1, read);
        self.records.install_write(1, write);
        Ok(secrets)
    }

    fn log(&self, secret: &LoggedSecret<'_>) {
        if let Some(log) = &self.config.key_log {
            log.log(secret);
        }
    }

    /// The secrets of epoch 2 over the transcript up to ServerHello.
    fn handshake_secrets(
        &self,
        suite: CipherSuite,
        shared_secret: &[u8],
        client_random: &[u8; 32],
    ) -> Result<HandshakeSecrets, CryptoError> {
        let hash = self.transcript_hash(suite)?;
        let secrets =
            HandshakeSecrets::derive(&self.config.provider, suite, shared_secret, &hash, *client_random)?;
        self.log(&secrets.client.logged("CLIENT_HANDSHAKE_TRAFFIC_SECRET", client_random));
        self.log(&secrets.server.logged("SERVER_HANDSHAKE_TRAFFIC_SECRET", client_random));
        Ok(secrets)
    }

    /// The secrets from epoch 3 on over the transcript up to the server's Finished.
    fn application_secrets(
        &self,
        suite: CipherSuite,
        secrets: &HandshakeSecrets,
    ) -> Result<ApplicationSecrets, CryptoError> {
        let application = secrets.application(&self.transcript_hash(suite)?)?;
        let client_random = &application.client_random;
        self.log(&application.client.logged(CLIENT_TRAFFIC, client_random).of_generation(0));
        self.log(&application.server.logged(SERVER_TRAFFIC, client_random).of_generation(0));
        self.log(&application.exporter.logged(client_random));
        Ok(application)
    }

    /// Adds our ChangeCipherSpec and Finished of 1.2.
    fn send_finished(&mut self, secrets: &Secrets, suite: CipherSuite, us: Sender) -> Result<(), FailReason> {
        let verify_data = secrets.verify_data(us, &self.transcript_hash(suite)?)?;
        self.flight.push_change_cipher_spec();
        self.send(1, HandshakeType::FINISHED, verify_data.to_vec());
        Ok(())
    }

    /// Checks the peer's Finished of 1.2 against the transcript before it.
    fn check_finished(
        &self,
        secrets: &Secrets,
        suite: CipherSuite,
        peer: Sender,
        shown: &[u8],
    ) -> Result<(), FailReason> {
        let expected = secrets.verify_data(peer, &self.transcript_hash(suite)?)?;
        Ok(same_verify_data(&expected, shown)?)
    }

    /// Adds our Certificate, if the peer wants it, CertificateVerify and Finished of 1.3.
    fn send_authentication_1_3(
        &mut self,
        us: Sender,
        suite: CipherSuite,
        scheme: Option<(u16, SignatureScheme)>,
        secret: &TrafficSecret,
    ) -> Result<(), FailReason> {
        if let Some(scheme) = scheme {
            let certificate = message::encode_certificate_1_3(self.config.certificate.chain());
            self.send(HANDSHAKE_EPOCH, HandshakeType::CERTIFICATE, certificate);
            let text = signed_text_1_3(us, &self.transcript_hash(suite)?);
            let verify = self.sign(scheme, &text)?;
            self.send(HANDSHAKE_EPOCH, HandshakeType::CERTIFICATE_VERIFY, verify);
        }
        let verify_data = secret.verify_data(&self.transcript_hash(suite)?)?;
        self.send(HANDSHAKE_EPOCH, HandshakeType::FINISHED, verify_data.to_vec());
        Ok(())
    }

    /// Checks the peer's CertificateVerify of 1.3 against the transcript before it.
    fn check_signature_1_3(
        &self,
        peer: Sender,
        suite: CipherSuite,
        key: &PublicKey,
        signed: DigitallySigned<'_>,
    ) -> Result<(), FailReason> {
        let text = signed_text_1_3(peer, &self.transcript_hash(suite)?);
        Ok(self.verify(key, signed, &text)?)
    }

    /// Checks the peer's Finished of 1.3 against the transcript before it.
    fn check_finished_1_3(
        &self,
        suite: CipherSuite,
        secret: &TrafficSecret,
        shown: &[u8],
    ) -> Result<(), FailReason> {
        let expected = secret.verify_data(&self.transcript_hash(suite)?)?;
        Ok(same_verify_data(&expected, shown)?)
    }
}

/// The scheme that our key signs with in this version, of those that the peer verifies.
fn own_scheme(
    config: &Config,
    version: ProtocolVersion,
    offered: &[u16],
) -> Result<(u16, SignatureScheme), PeerError> {
    let signs = config.certificate.signer().schemes();
    schemes_of(&[version])
        .find(|(id, scheme, _)| signs.contains(scheme) && offered.contains(id))
        .map(|(id, scheme, _)| (id, scheme))
        .ok_or(PeerError::SignatureScheme)
}

fn same_verify_data(expected: &[u8], shown: &[u8]) -> Result<(), PeerError> {
    if bool::from(expected.ct_eq(shown)) { Ok(()) } else { Err(PeerError::BadFinished) }
}

/// What a CertificateVerify of 1.3 signs (RFC 8446 §4.4.3).
fn signed_text_1_3(sender: Sender, transcript_hash: &[u8]) -> Vec<u8> {
    let context: &[u8] = match sender {
        Sender::Client => b"TLS 1.3, client CertificateVerify",
        Sender::Server => b"TLS 1.3, server CertificateVerify",
    };
    [&[b' '; 64], context, &[0], transcript_hash].concat()
}

/// RFC 5764 §4.1.1: the answer names one of the profiles that were offered, and the MKI that was: none.
fn answered_profile(
    offer: Option<&UseSrtp>,
    answer: Option<&UseSrtp>,
) -> Result<Option<SrtpProfileId>, PeerError> {
    let Some(answer) = answer else { return Ok(None) };
    let offer = offer.ok_or(PeerError::UnsolicitedExtension)?;
    match answer.profiles[..] {
        [profile] if offer.profiles.contains(&profile) && answer.mki.is_empty() => {
            Ok(Some(SrtpProfileId(profile)))
        }
        _ => Err(PeerError::IllegalParameter),
    }
}

/// RFC 7301 §3.1: the answer names one of the protocols that were offered.
fn answered_protocol(
    offer: Option<&Vec<Vec<u8>>>,
    answer: Option<&Vec<Vec<u8>>>,
) -> Result<Option<Vec<u8>>, PeerError> {
    let Some(answer) = answer else { return Ok(None) };
    let offer = offer.ok_or(PeerError::UnsolicitedExtension)?;
    match &answer[..] {
        [protocol] if offer.contains(protocol) => Ok(Some(protocol.clone())),
        _ => Err(PeerError::IllegalParameter),
    }
}

/// What the hellos of 1.2 agreed on.
pub(crate) struct Negotiated {
    pub(crate) parameters: Parameters,
    pub(crate) client_random: [u8; 32],
    pub(crate) server_random: [u8; 32],
}

/// The state of a handshake.
pub(crate) enum Handshake {
    ServerHello(client::AwaitServerHello),
    ServerCertificate(client::AwaitServerCertificate),
    PskExchange(psk::AwaitPskExchange),
    ServerKeyExchange(client::AwaitServerKeyExchange),
    CertificateRequest(client::AwaitCertificateRequest),
    ServerHelloDone(client::AwaitServerHelloDone),
    ServerFinished(client::AwaitServerFinished),
    EncryptedExtensions13(client13::AwaitEncryptedExtensions),
    CertificateRequest13(client13::AwaitCertificateRequest),
    ServerCertificate13(client13::AwaitCertificate),
    ServerCertificateVerify13(client13::AwaitCertificateVerify),
    ServerFinished13(client13::AwaitFinished),
    ClientHello(server::AwaitClientHello),
    ClientCertificate(server::AwaitClientCertificate),
    ClientKeyExchange(server::AwaitClientKeyExchange),
    CertificateVerify(server::AwaitCertificateVerify),
    ClientFinished(server::AwaitClientFinished),
    SecondClientHello13(server13::AwaitSecondClientHello),
    ClientCertificate13(server13::AwaitCertificate),
    ClientCertificateVerify13(server13::AwaitCertificateVerify),
    ClientFinished13(server13::AwaitFinished),
    /// Both Finished messages are verified.
    Complete(Session),
}

impl Handshake {
    /// Takes the next message of the peer.
    pub(crate) fn handle(
        self,
        body: Body<'_>,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Self, FailReason> {
        match (self, body) {
            (Self::ServerHello(state), Body::HelloVerifyRequest(cookie)) => {
                state.handle_cookie(cookie, context)
            }
            (Self::ServerHello(state), Body::ServerHello(hello)) => state.handle(&hello, message, context),
            (Self::ServerCertificate(state), Body::Certificate(chain)) => {
                state.handle(&chain, message, context)
            }
            (Self::ServerKeyExchange(state), Body::ServerKeyExchange(exchange)) => {
                state.handle(&exchange, message, context)
            }
            (Self::CertificateRequest(state), Body::CertificateRequest(request)) => {
                state.handle(&request, message, context)
            }
            (Self::CertificateRequest(state), Body::ServerHelloDone) => {
                state.not_asked().handle(message, context)
            }
            (Self::ServerHelloDone(state), Body::ServerHelloDone) => state.handle(message, context),
            (Self::ServerFinished(state), Body::Finished(data)) => state.handle(data, context),
            (Self::ClientHello(state), Body::ClientHello(hello)) => state.handle(&hello, message, context),
            (Self::ClientCertificate(state), Body::Certificate(chain)) => {
                state.handle(&chain, message, context)
            }
            (Self::PskExchange(state), Body::PskServerExchange(exchange)) => {
                state.handle(&exchange, message, context)
            }
            (Self::ClientKeyExchange(state), Body::PskClientExchange(exchange)) => {
                state.handle_psk(&exchange, message, context)
            }
            (Self::ClientKeyExchange(state), Body::ClientKeyExchange(share)) => {
                state.handle(share, message, context)
            }
            (Self::CertificateVerify(state), Body::CertificateVerify(signed)) => {
                state.handle(signed, message, context)
            }
            (Self::ClientFinished(state), Body::Finished(data)) => state.handle(data, message, context),
            (state, body) => state.handle_1_3(body, message, context),
        }
    }

    fn handle_1_3(
        self,
        body: Body<'_>,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Self, FailReason> {
        match (self, body) {
            (Self::EncryptedExtensions13(state), Body::EncryptedExtensions(extensions)) => {
                state.handle(&extensions, message, context)
            }
            (Self::CertificateRequest13(state), Body::CertificateRequestOf13(extensions)) => {
                state.handle(&extensions, message, context)
            }
            (Self::CertificateRequest13(state), Body::Certificate(chain)) => {
                state.not_asked().handle(&chain, message, context)
            }
            (Self::ServerCertificate13(state), Body::Certificate(chain)) => {
                state.handle(&chain, message, context)
            }
            (Self::ServerCertificateVerify13(state), Body::CertificateVerify(signed)) => {
                state.handle(signed, message, context)
            }
            (Self::ServerFinished13(state), Body::Finished(data)) => state.handle(data, message, context),
            (Self::SecondClientHello13(state), Body::ClientHello(hello)) => {
                state.handle(&hello, message, context)
            }
            (Self::ClientCertificate13(state), Body::Certificate(chain)) => {
                state.handle(&chain, message, context)
            }
            (Self::ClientCertificateVerify13(state), Body::CertificateVerify(signed)) => {
                state.handle(signed, message, context)
            }
            (Self::ClientFinished13(state), Body::Finished(data)) => state.handle(data, context),
            _ => Err(PeerError::UnexpectedMessage.into()),
        }
    }
}
